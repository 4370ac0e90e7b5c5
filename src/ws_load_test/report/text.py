"""The report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.measure.digest import Digest, digest
from ws_load_test.measure.lacks import FEW, PERCENTILES, few_beyond
from ws_load_test.report.asked import asked_and_achieved
from ws_load_test.report.generator import generator
from ws_load_test.report.letters import clean, writable
from ws_load_test.report.lines import NOTHING, WIDTH, beside, count_of, hanging, pairs, sentence, wrapped
from ws_load_test.report.seconds import over_time
from ws_load_test.report.spread import drawing, figures
from ws_load_test.report.words import close_code_name, fault_phrase
from ws_load_test.units import show_bytes, show_count, show_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ws_load_test.measure.recording import Recording


def print_report(
    recordings: Sequence[Recording], summary: dict[str, Any], digested: Digest | None = None, *, console: Console
) -> None:
    """Prints the report of one recording, or of several taken together.

    Args:
        recordings: What was recorded, at least one.
        summary: What `summarise` says of the same recordings.
        digested: Their digest, where there is one already.
        console: Where to; its encoding decides between blocks and ``#``, its colours are its own affair.
    """
    for line in report_lines(recordings, summary, digested, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def report_lines(
    recordings: Sequence[Recording],
    summary: dict[str, Any],
    digested: Digest | None = None,
    *,
    encoding: str = "utf-8",
) -> list[Text]:
    """Returns the report's lines: no wider than 80 columns, but for a long URL and counts beyond reason."""
    if digested is None:
        digested = digest(recordings)
    health = generator(recordings, digested)
    # Where the generator was the bottleneck, all other numbers are to be read with that in mind.
    first, last = (health, []) if summary["generator"]["bound"] else ([], health)
    sections = [
        _heading(recordings, summary),
        _lost_workers(recordings),
        first,
        asked_and_achieved(recordings, summary),
        _faults(recordings, summary),
        beside(_requests(summary), _connect_times(summary), gap=6),
        _response_times(summary, digested, encoding),
        over_time(digested, encoding),
        _wire(recordings, summary) + last,
    ]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    for line in lines:
        # Of the same length, so that the styles stay where they are.
        line.plain = writable(line.plain, encoding)
        line.rstrip()
    return lines


# --- What the run came to -----------------------------------------------------------------------------------


def _heading(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    words, style = _verdict(recordings, summary)
    started = datetime.fromisoformat(summary["started_at"])
    facts = [clean(summary["tool"]), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(recordings) > 1:
        facts.append(f"{len(recordings)} recordings together")
    lines = [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        Text(clean(summary["target"])),
        Text(", ".join(facts), style="dim"),
    ]
    for check in summary["verdict"]["checks"]:
        passed = check["passed"]
        verdict = "passed" if passed else "failed"
        lines.append(Text(f"  {verdict}  {clean(str(check['check']))}", style="green" if passed else "red"))
    return lines


def _verdict(recordings: Sequence[Recording], summary: dict[str, Any]) -> tuple[str, str]:
    """Returns the verdict in words, of several truths the one that spoils the run most, and its colour."""
    lost = sum(len(recording.trailer.lost_workers) for recording in recordings if recording.trailer)
    if summary["interrupted"]:
        killed = any(recording.trailer is None for recording in recordings)
        why = "killed, the recording has no end" if killed else "interrupted"
        return f"Partial: {why}", "yellow"
    if lost:
        return "A worker was lost" if lost == 1 else f"{show_count(lost)} workers were lost", "red"
    if not summary["connections"]["opened"]:
        return "Could not open a single connection", "red"
    if not summary["verdict"]["passed"]:
        return "A threshold failed", "red"
    doubts = _doubts(summary)
    return (f"Passed, with {doubts}", "yellow") if doubts else ("Passed", "green")


def _doubts(summary: dict[str, Any]) -> str:
    """Returns what went wrong in a run that passed, for which a single open connection is enough."""
    messages, faults = summary["messages"], sum(summary["faults"].values())
    doubts = [count_of(faults, "fault")] if faults else []
    if not messages["answered"]:
        doubts.append("no message answered")
    else:
        doubts += [
            f"{count_of(messages[word], 'message')} {word}" for word in ("unanswered", "dropped") if messages[word]
        ]
    if summary["generator"]["bound"]:
        doubts.append("the generator at its limit")
    return ", ".join(doubts)


def _lost_workers(recordings: Sequence[Recording]) -> list[Text]:
    lines: list[Text] = []
    for number, recording in enumerate(recordings, 1):
        for lost in recording.trailer.lost_workers if recording.trailer else ():
            where = f"recording {number}, " if len(recordings) > 1 else ""
            when = f"worker {lost.worker}, {show_duration(lost.at_ns)} after the start"
            lines += wrapped("lost worker", f"{where}{when}: {sentence(lost.reason)}", style="red")
    return lines


# --- Messages and connections -------------------------------------------------------------------------------


def _requests(summary: dict[str, Any]) -> list[Text]:
    messages = summary["messages"]
    rows = [(word, messages[word]) for word in ("due", "sent", "answered", "unanswered", "dropped", "pushed")]
    warmup = [(f"warm-up {word}", summary["warmup"][word]) for word in ("sent", "answered")]
    if any(count for _, count in warmup):
        rows += warmup
    failing = {"unanswered", "dropped"}
    return pairs(
        "requests",
        [(word, show_count(count), "yellow" if count and word in failing else "") for word, count in rows],
    )


def _connect_times(summary: dict[str, Any]) -> list[Text]:
    stats = summary["connect_time_ns"]
    if stats is None:
        return pairs("connect time", [("fastest", NOTHING, ""), ("slowest", NOTHING, "")])
    keys = {"fastest": "min", "50 %": "p50", "95 %": "p95", "99 %": "p99", "slowest": "max"}
    rows = [("opened", show_count(stats["count"]), "")]
    return pairs("connect time", rows + [(label, show_duration(stats[key]), "") for label, key in keys.items()])


def _recorded(recordings: Sequence[Recording], room: str, phase: str | None = None) -> int:
    """Returns a count of all intervals together, without their tallies: histograms take long to decode."""
    return sum(
        interval.record.get(room, 0)
        for recording in recordings
        for interval in recording.intervals
        if phase in (None, interval.phase)
    )


# --- Response times -----------------------------------------------------------------------------------------


def _response_times(summary: dict[str, Any], digested: Digest, encoding: str) -> list[Text]:
    stats, service = summary["response_time_ns"], summary["service_time_ns"]
    if stats is None:
        nothing = f"  fastest {NOTHING}, average {NOTHING}, slowest {NOTHING}: no message was answered"
        return [Text("response time", style="bold"), Text(nothing), *_unanswered(summary)]
    left = figures(stats, service)
    width = WIDTH - max(line.cell_len for line in left) - 3
    lines = beside(left, drawing(digested.tally.response_time_ns, width, encoding))
    notes = []
    if service not in (None, stats):
        notes.append("response: from when a message was due; service: from when it was sent")
    if any(few_beyond(percentile, stats["count"]) for percentile in PERCENTILES):
        notes.append(f"* few samples: fewer than {FEW} answers lie beyond it, so chance decides")
    lines += [Text(f"  {note}", style="dim") for note in notes]
    return lines + _unanswered(summary)


def _unanswered(summary: dict[str, Any]) -> list[Text]:
    """Returns what the percentiles leave out."""
    unanswered, waited = summary["messages"]["unanswered"], summary["unanswered_wait_ns"]
    if not unanswered:
        return []
    text = count_of(unanswered, "message")
    if waited is not None:
        text += f" that had waited at least {show_duration(waited['min'])}, {show_duration(waited['max'])} at most"
    if summary["response_time_ns"] is not None:
        text += f"; the percentiles lack {'it' if unanswered == 1 else f'these {show_count(unanswered)}'}"
    return wrapped("unanswered", text, style="yellow")


# --- Faults -------------------------------------------------------------------------------------------------


def _faults(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    faults: dict[str, int] = summary["faults"]
    if not faults:
        return []
    examples: dict[str, str] = {}
    for recording in recordings:
        for interval in recording.intervals:
            examples = interval.examples | examples
    counts = [show_count(count) for count in faults.values()]
    digits, names = max(map(len, counts)), max(len(kind) for kind in faults)
    lines = [Text("what the target did wrong", style="bold")]
    for kind, count in zip(faults, counts, strict=True):
        head = f"  {count:>{digits}}  {clean(kind):{names}}  "
        lines += hanging(head, sentence(examples.get(kind) or fault_phrase(kind)), style="yellow")
    return lines


# --- The wire -----------------------------------------------------------------------------------------------


def _wire(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    lines: list[Text] = []
    closed: dict[str, int] = summary["connections"]["closed"]
    if closed:
        codes = (f"{show_count(count)} with {code} ({close_code_name(code)})" for code, count in closed.items())
        lines += wrapped("closed", clean(", ".join(codes)))
    seconds = summary["duration_s"]
    if seconds and summary["throughput_per_s"] is not None:
        sent, received = (
            show_bytes(_recorded(recordings, f"bytes_{way}", "measured") / seconds) for way in ("sent", "received")
        )
        lines += wrapped("traffic", f"{sent}/s sent, {received}/s received while measured")
    keepalive = summary["keepalive_time_ns"]
    if keepalive is not None:
        shown = ", ".join(f"{word} {show_duration(keepalive[key])}" for word, key in _SPREAD.items())
        lines += wrapped("keep-alive", f"{count_of(keepalive['count'], 'pong')}: {shown}")
    return lines


_SPREAD = {"50 %": "p50", "99 %": "p99", "slowest": "max"}
