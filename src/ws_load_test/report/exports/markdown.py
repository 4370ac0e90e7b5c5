"""``--markdown``: a short report for a pull request, or for the summary of a job (GitHub Flavored Markdown)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.findings import awaits_nothing
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.labelled import count_of
from ws_load_test.report.content.thresholds import stopped_by
from ws_load_test.report.exports.junit import said_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.report.results import Results

MOST_FAULTS = 10
_COUNTS = ("due", "sent", "answered", "unanswered", "dropped", "pushed")
_PERCENTILES = {"50 %": "p50", "90 %": "p90", "99 %": "p99", "99.9 %": "p99.9", "slowest": "max"}
_TIMES = {"response": "response_time_ns", "service": "service_time_ns", "connect": "connect_time_ns"}
_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def lines(results: Results) -> Iterator[str]:
    """Yields the report: verdict, requests, times, faults, doubts."""
    summary = results.summary
    yield f"### ws-load-test: {_verdict(results)}\n\n"
    length = f"{format_duration(summary.duration_s * 1e9)} measured"
    several = f", {len(results.recordings)} recordings together" if len(results.recordings) > 1 else ""
    yield f"{code(summary.target)}, {prose(summary.started_at)}, {length}{several}\n"
    checks = [f"- {_check(check)}\n" for check in summary.verdict.checks]
    yield from ["\n", *checks] if checks else []
    messages = summary.messages
    rate = format_rate(summary.throughput_per_s)
    yield from table((*_COUNTS, "throughput"), [[*(format_count(messages[word]) for word in _COUNTS), rate]])
    yield from _times(results)
    if summary.faults:
        yield "\nWhat the target did wrong:\n\n"
        for kind, count in list(summary.faults.items())[:MOST_FAULTS]:
            example = results.example_of(kind)
            yield f"- {format_count(count)} × {code(kind)}{f': {code(example)}' if example else ''}\n"
        if (more := len(summary.faults) - MOST_FAULTS) > 0:
            yield f"- and {more} more kind{'s' * (more > 1)} of faults\n"
    if results.warnings:
        bound = ", and **the generator was the bottleneck**" if summary.generator.saturated else ""
        yield f"\nTo bear in mind{bound}:\n\n"
        yield from (f"- {prose(doubt)}\n" for doubt in results.warnings)
    # Whatever is appended after it begins a paragraph of its own.
    yield "\n"


def code(text: str) -> str:
    """Returns somebody else's text as a code span, in which nothing is markup, a mention or a link.

    Its fence is longer than any run of backticks within (CommonMark, section 6.1).
    """
    shown = sanitize(text) or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    # One space at each end is not part of a span; without it a backtick there would lengthen the fence.
    edge = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def prose(text: str) -> str:
    """Returns a sentence in which no letter is markup."""
    # A comment keeps an at sign from notifying whoever has that name.
    return _SIGNS.sub(r"\\\1", sanitize(text)).replace("@", "@<!-- -->")


def _verdict(results: Results) -> str:
    if results.failure is not None:
        return f"failed, {prose(results.failure)}"
    if not results.passed:
        stopped = stopped_by(results.summary)
        if stopped:
            return f"stopped early, because {' and '.join(map(prose, stopped))}"
        failed = sum(not check["passed"] for check in results.summary.verdict.checks)
        return f"failed, {failed} threshold{'s' * (failed > 1)} did"
    doubts = _doubts(results)
    return f"done, with {', '.join(doubts)}" if doubts else "passed"


def _doubts(results: Results) -> list[str]:
    """Returns what went wrong in a run that passed."""
    summary = results.summary
    messages, faults = summary.messages, sum(summary.faults.values())
    doubts = [count_of(faults, "fault")] if faults else []
    words = ("dropped",) if awaits_nothing(results.recordings) else ("unanswered", "dropped")
    doubts += [f"{count_of(messages[word], 'message')} {word}" for word in words if messages[word]]
    return [*doubts, "the generator at its limit"] if summary.generator.saturated else doubts


def _check(check: dict[str, Any]) -> str:
    return f"{'passed' if check['passed'] else '**failed**'}: {code(said_of(check))}"


def _times(results: Results) -> Iterator[str]:
    rows = []
    for label, room in _TIMES.items():
        stats = results.summary[room]
        # A flood's two times are the same one.
        if stats is None or (label == "service" and stats == results.summary.response_time_ns):
            continue
        rows.append([f"{label} time", *(format_duration(stats[key]) for key in _PERCENTILES.values())])
    if rows:
        yield from table(("", *_PERCENTILES), rows, first_left=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, first_left: bool = False) -> Iterator[str]:
    """Yields a table, an empty line before it; its numbers stand at the right."""
    yield f"\n| {' | '.join(heads)} |\n"
    marks = ["--:"] * len(heads)
    if first_left:
        marks[0] = ":--"
    yield f"| {' | '.join(marks)} |\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"
