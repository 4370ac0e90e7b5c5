"""The report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.measure.digest import Digest, digest, lost_workers
from ws_load_test.measure.evidence import Reason, ReasonKind, awaits_nothing
from ws_load_test.measure.health import judge
from ws_load_test.measure.hosts import host_of
from ws_load_test.measure.lacks import FEW, PERCENTILES, few_beyond
from ws_load_test.report.asked import asked_and_achieved
from ws_load_test.report.checks import checks, stopped_by
from ws_load_test.report.generator import generator
from ws_load_test.report.hosts import host_rows
from ws_load_test.report.letters import clean, writable
from ws_load_test.report.lines import NOTHING, WIDTH, beside, count_of, hanging, pairs, sentence, spread_of, wrapped
from ws_load_test.report.seconds import opened_over_time, over_time
from ws_load_test.report.sessions import comings, endings, phases, unkind
from ws_load_test.report.spread import drawing, figures
from ws_load_test.report.words import fault_phrase
from ws_load_test.units import show_bytes, show_count, show_duration, show_share

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
    reasons = judge(recordings, digested)
    doubted = [reason for reason in reasons if reason.kind is ReasonKind.PAIRING]
    awaited = not awaits_nothing(recordings)
    health = generator(recordings, digested, reasons)
    # Where the generator was the bottleneck, all other numbers are to be read with that in mind.
    first, last = (health, []) if summary["generator"]["bound"] else ([], health)
    sections = [
        _heading(recordings, summary, doubted, awaited=awaited),
        _lost_workers(recordings),
        # Its words are ours, and none of them may be cut.
        [line for reason in doubted for line in wrapped("pairing", clean(reason.text), "bold red")],
        first,
        asked_and_achieved(recordings, summary),
        _faults(recordings, summary),
        beside(_requests(summary, awaited=awaited), _connect_times(summary), gap=6),
        phases(summary),
        opened_over_time(digested, encoding),
        comings(recordings, summary),
        _response_times(summary, digested, encoding) if awaited else _send_lag(summary),
        over_time(digested, encoding, awaited=awaited),
        unkind(summary),
        host_rows(summary),
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


def _heading(
    recordings: Sequence[Recording], summary: dict[str, Any], doubted: Sequence[Reason], *, awaited: bool
) -> list[Text]:
    words, style = _verdict(recordings, summary, _doubts(summary, doubted, awaited=awaited))
    started = datetime.fromisoformat(summary["started_at"])
    facts = [clean(summary["tool"]), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(recordings) > 1:
        facts.append(f"{len(recordings)} recordings together")
    return [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        Text(clean(summary["target"])),
        Text(", ".join(facts), style="dim"),
        *checks(summary),
    ]


def _verdict(recordings: Sequence[Recording], summary: dict[str, Any], doubts: str) -> tuple[str, str]:
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
        stopped = " and ".join(stopped_by(summary))
        failed = sum(not check["passed"] for check in summary["verdict"]["checks"])
        words = "A threshold failed" if failed == 1 else f"{show_count(failed)} thresholds failed"
        return f"Stopped early, because {stopped}" if stopped else words, "red"
    return (f"Done, with {doubts}", "yellow") if doubts else ("Passed", "green")


def _doubts(summary: dict[str, Any], doubted: Sequence[Reason], *, awaited: bool) -> str:
    """Returns what went wrong in a run that passed, for which a single open connection is enough."""
    messages, faults = summary["messages"], sum(summary["faults"].values())
    doubts = [count_of(faults, "fault")] if faults else []
    if awaited and not messages["answered"]:
        doubts.append("no message answered")
    else:
        if doubted:
            doubts.append("replies that are perhaps not those of their messages")
        counted = ("unanswered", "dropped") if awaited else ("dropped",)
        doubts += [f"{count_of(messages[word], 'message')} {word}" for word in counted if messages[word]]
    if summary["generator"]["bound"]:
        doubts.append("the generator at its limit")
    return ", ".join(doubts)


def _lost_workers(recordings: Sequence[Recording]) -> list[Text]:
    lines: list[Text] = []
    for number, recording in enumerate(recordings, 1):
        hosts = recording.header.hosts or ()
        for lost in lost_workers(recording):
            where = f"recording {number}, " if len(recordings) > 1 else ""
            host = host_of(lost, hosts)
            part = show_share(1 / recording.header.workers)
            who = f"worker {lost.worker}" if host is None else f"worker {lost.worker} on {clean(host)} with {part}"
            when = f"{who}, {show_duration(lost.at_ns)} after the start"
            lines += wrapped("lost worker", f"{where}{when}: {sentence(lost.reason)}", style="red")
    return lines


# --- Messages and connections -------------------------------------------------------------------------------


def _requests(summary: dict[str, Any], *, awaited: bool) -> list[Text]:
    messages, pushed_bytes = summary["messages"], summary["bytes"]["pushed"]
    rows = [(word, messages[word]) for word in ("due", "sent", "answered", "unanswered", "dropped", "pushed")]
    more = [(word, messages[word.replace(" ", "_")]) for word in _SELDOM]
    more.append(("first replies", summary["opening"]["first_replies"]))
    rows += [(word, count) for word, count in more if count]
    warmup = [(f"warm-up {word}", summary["warmup"][word]) for word in ("sent", "answered")]
    if any(count for _, count in warmup):
        rows += warmup
    failing = {"dropped", "duplicates", "late", "mismatched"} | ({"unanswered"} if awaited else set())
    shown = [(word, show_count(count), "yellow" if count and word in failing else "") for word, count in rows]
    if pushed_bytes:
        place = next(number for number, (word, _, _) in enumerate(shown) if word == "pushed")
        shown.insert(place + 1, ("pushed payload", show_bytes(pushed_bytes), ""))
    return pairs("requests", shown)


_SELDOM = ("duplicates", "late", "mismatched", "out of order", "skipped")
"""Counts that have a row only where they are not zero."""


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


def _send_lag(summary: dict[str, Any]) -> list[Text]:
    """Returns what stands in the place of response times where none was awaited."""
    lines = [Text("response time", style="bold"), Text("  none: replies were not awaited, whatever came is a push")]
    lag = summary["generator"]["send_lag_ns"]
    return lines if lag is None else [*lines, Text(f"  sent after being due: {spread_of(lag)}")]


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
    lines = endings(summary)
    seconds = summary["duration_s"]
    if seconds and summary["throughput_per_s"] is not None:
        sent, received = (
            show_bytes(_recorded(recordings, f"bytes_{way}", "measured") / seconds) for way in ("sent", "received")
        )
        lines += wrapped("traffic", f"{sent}/s sent, {received}/s received while measured")
    lines += _compression(summary["bytes"])
    keepalive = summary["keepalive_time_ns"]
    if keepalive is not None:
        lines += wrapped("keep-alive", f"{count_of(keepalive['count'], 'pong')}: {spread_of(keepalive)}")
    return lines


def _compression(sizes: dict[str, int]) -> list[Text]:
    """Returns what compression saved, frames and all."""
    parts = [
        f"{show_bytes(sizes[f'plain_{way}'])} of payload {way} as {show_bytes(sizes[way])}"
        for way in ("sent", "received")
        if sizes[f"plain_{way}"]
    ]
    return wrapped("compression", ", ".join(parts)) if parts else []
