"""``--markdown``: a short report for a pull request, or for the summary of a job (GitHub Flavored Markdown)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content import scenario
from ws_load_test.report.content.fan_out import format_reach
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.content.outcome import flaws
from ws_load_test.report.content.thresholds import describe_check, stopped_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.summary_types import Summary, ThresholdCheck
    from ws_load_test.report.results import Results

MOST_FAULTS = 10
"""Kinds of faults with a line of their own; a comment on a pull request has to stay short."""
_PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")
"""Columns of the table of times."""
_NO_TIMES = ("gap", "spread")
"""Times whose name needs no noun."""
_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
"""Letters that mean something in GitHub Flavored Markdown."""


def lines(results: Results) -> Iterator[str]:
    """Yields the report: verdict, requests, times, faults, warnings."""
    summary = results.summary
    yield f"### ws-load-test: {_verdict(results)}\n\n"
    length = f"{format_duration(summary.duration_s * 1e9)} measured"
    several = f", {len(results.recordings)} recordings together" if len(results.recordings) > 1 else ""
    name = f"{prose(summary.name)}: " if summary.name else ""
    yield f"{name}{code(summary.target)}, {prose(summary.started_at)}, {length}{several}\n"
    checks = [f"- {_check(check)}\n" for check in summary.verdict.checks]
    yield from ["\n", *checks] if checks else []
    messages = summary.messages
    counts = {
        "due": messages.due,
        "sent": messages.sent,
        "answered": messages.answered,
        "unanswered": messages.unanswered,
        **({"unawaited": messages.unawaited} if summary.sessions is not None else {}),
        "dropped": messages.dropped,
        "pushed": messages.pushed,
    }
    shown = {name: format_count(count) for name, count in counts.items()}
    if not results.awaits_replies:
        shown |= dict.fromkeys(("answered", "unanswered"), NO_VALUE)
    yield from table((*counts, "throughput"), [[*shown.values(), format_rate(summary.throughput_per_s)]])
    yield from _deliveries(results)
    yield from _times(results)
    yield from _scenario(summary)
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
        yield from (f"- {prose(warning)}\n" for warning in results.warnings)
    # A text that is appended to the file begins a paragraph of its own.
    yield "\n"


def code(text: str) -> str:
    """Returns a foreign text as a code span, in which nothing is markup, a mention or a link.

    Its fence is longer than any run of backticks within (CommonMark, section 6.1).
    """
    shown = sanitize(text) or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    # One space at each end is not part of a span; without it a backtick there would lengthen the fence.
    edge = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def prose(text: str) -> str:
    """Returns a sentence in which no letter is markup."""
    # A comment keeps an at sign from notifying the user of that name.
    return _SIGNS.sub(r"\\\1", sanitize(text)).replace("@", "@<!-- -->")


def _verdict(results: Results) -> str:
    if results.failure is not None:
        return f"failed, {prose(results.failure.text)}"
    if not results.passed:
        stopped = stopped_by(results.summary)
        if stopped:
            return f"stopped early, because {' and '.join(map(prose, stopped))}"
        failed = len(results.summary.verdict.failed_checks)
        return f"failed, {failed} threshold{'s' * (failed > 1)} did"
    words, found = "passed" if results.summary.verdict.checks else "done", flaws(results)
    return f"{words}, with {', '.join(found)}" if found else words


def _check(check: ThresholdCheck) -> str:
    return f"{'passed' if check.passed else '**failed**'}: {code(describe_check(check))}"


def _deliveries(results: Results) -> Iterator[str]:
    """Yields the counts of a fan-out's deliveries; those that are rare where there are any."""
    fan_out = results.summary.fanout
    if fan_out is None:
        return
    counts = fan_out.deliveries
    always = {name: getattr(counts, name) for name in ("expected", "delivered", "missing")}
    others = ("cut_off", "late", "duplicate", "out_of_order", "misdelivered", "foreign")
    rare = {name.replace("_", " "): getattr(counts, name) for name in others if getattr(counts, name)}
    shown = {**always, **rare}
    share = NO_VALUE if fan_out.reach is None else format_reach(fan_out.reach)
    yield from table(
        ("", *shown, "reach"), [["deliveries", *map(format_count, shown.values()), share]], first_left=True
    )


def _scenario(summary: Summary) -> Iterator[str]:
    """Yields the tables of steps and reactions, and a line about the sessions; nothing without a scenario."""
    rows = [
        [prose(role.name), *map(prose, (name.strip(), *figures))]
        for role, steps in scenario.roles_with_steps(summary)
        for (name, *figures), _ in scenario.step_rows(role, steps)
    ]
    if rows:
        yield from table(("role", "step", *scenario.STEP_HEADINGS[1:]), rows, first_left=True)
    if summary.on:
        found = [[*map(prose, scenario.reaction_cells(one, summary))] for one in summary.on]
        yield from table(scenario.REACTION_HEADINGS, found, first_left=True)
    if summary.sessions is not None:
        yield f"\nSessions: {prose(scenario.sessions(summary.sessions))}\n"


def _times(results: Results) -> Iterator[str]:
    summary = results.summary
    service = summary.service_time_ns if summary.service_time_ns != summary.response_time_ns else None
    times = {"response": summary.response_time_ns, "service": service, "connect": summary.connect_time_ns}
    if (streams := summary.streams) is not None:
        times = {"first": streams.first_time_ns, "gap": streams.gap_ns, **times}
    if (fan_out := summary.fanout) is not None:
        deliveries = {
            "delivery": fan_out.delivery_time_ns,
            "first": fan_out.first_time_ns,
            "last": fan_out.last_time_ns,
            "spread": fan_out.spread_ns,
        }
        times = {**deliveries, "acknowledgement": times.pop("response"), **times}
    rows = [
        [label if label in _NO_TIMES else f"{label} time", *(format_duration(stats.value(key)) for key in _PERCENTILES)]
        for label, stats in times.items()
        if stats is not None
    ]
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
