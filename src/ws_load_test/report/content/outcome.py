"""What a run came to, in the words that every report has of it, whatever the report is shown on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.aggregate import lost_workers as known_lost
from ws_load_test.analysis.findings import Finding, FindingKind
from ws_load_test.analysis.per_host import host_of
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_share,
)
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labelled import (
    LabelledText,
    count_of,
    sentence,
    summarize_times,
)
from ws_load_test.report.content.sessions import close_codes
from ws_load_test.report.content.thresholds import stopped_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


# --- The verdict --------------------------------------------------------------------------------------------


def pairing_findings(reasons: Sequence[Finding]) -> list[Finding]:
    """Returns those of the reasons that make every response time one to doubt."""
    return [reason for reason in reasons if reason.kind is FindingKind.PAIRING]


def verdict(
    recordings: Sequence[Recording], summary: dict[str, Any], reasons: Sequence[Finding], *, awaited: bool
) -> tuple[str, str]:
    """Returns the verdict in words, of several truths the one that spoils the run most, and its colour."""
    lost = sum(len(recording.trailer.lost_workers) for recording in recordings if recording.trailer)
    if summary["interrupted"]:
        killed = any(recording.trailer is None for recording in recordings)
        why = "killed, the recording has no end" if killed else "interrupted"
        return f"Partial: {why}", "yellow"
    if lost:
        return "A worker was lost" if lost == 1 else f"{format_count(lost)} workers were lost", "red"
    if not summary["connections"]["opened"]:
        return "Could not open a single connection", "red"
    if not summary["verdict"]["passed"]:
        stopped = " and ".join(stopped_by(summary))
        failed = sum(not check["passed"] for check in summary["verdict"]["checks"])
        words = "A threshold failed" if failed == 1 else f"{format_count(failed)} thresholds failed"
        return f"Stopped early, because {stopped}" if stopped else words, "red"
    doubts = _doubts(summary, pairing_findings(reasons), awaited=awaited)
    return (f"Done, with {doubts}", "yellow") if doubts else ("Passed", "green")


def _doubts(summary: dict[str, Any], doubted: Sequence[Finding], *, awaited: bool) -> str:
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
    if summary["generator"]["saturated"]:
        doubts.append("the generator at its limit")
    return ", ".join(doubts)


def lost_workers(recordings: Sequence[Recording]) -> list[LabelledText]:
    """Returns when workers were lost, and why."""
    said: list[LabelledText] = []
    for number, recording in enumerate(recordings, 1):
        hosts = recording.header.hosts or ()
        for lost in known_lost(recording):
            where = f"recording {number}, " if len(recordings) > 1 else ""
            host = host_of(lost, hosts)
            part = format_share(1 / recording.header.workers)
            who = f"worker {lost.worker}" if host is None else f"worker {lost.worker} on {sanitize(host)} with {part}"
            when = f"{who}, {format_duration(lost.at_ns)} after the start"
            said.append(LabelledText("lost worker", f"{where}{when}: {sentence(lost.reason)}", "red"))
    return said


# --- Messages -----------------------------------------------------------------------------------------------


def requests(summary: dict[str, Any], *, awaited: bool) -> list[LabelledText]:
    """Returns what became of messages: counts under their words, with a style where they are not as they should be."""
    messages, pushed_bytes = summary["messages"], summary["bytes"]["pushed"]
    rows = [(word, messages[word]) for word in ("due", "sent", "answered", "unanswered", "dropped", "pushed")]
    more = [(word, messages[word.replace(" ", "_")]) for word in _OPTIONAL_COUNTS]
    more.append(("first replies", summary["opening"]["first_replies"]))
    rows += [(word, count) for word, count in more if count]
    warmup = [(f"warm-up {word}", summary["warmup"][word]) for word in ("sent", "answered")]
    if any(count for _, count in warmup):
        rows += warmup
    failing = {"dropped", "duplicate replies", "late replies", "unknown id"} | ({"unanswered"} if awaited else set())
    said = [
        LabelledText(word, format_count(count), "yellow" if count and word in failing else "") for word, count in rows
    ]
    if pushed_bytes:
        place = next(number for number, (word, _, _) in enumerate(said) if word == "pushed")
        said.insert(place + 1, LabelledText("pushed payload", format_bytes(pushed_bytes)))
    return said


_OPTIONAL_COUNTS = ("duplicate replies", "late replies", "unknown id", "out of order", "greetings")
"""Counts that have a row only where they are not zero."""


def unanswered(summary: dict[str, Any]) -> list[LabelledText]:
    """Returns what the percentiles leave out."""
    count, waited = summary["messages"]["unanswered"], summary["unanswered_wait_ns"]
    if not count:
        return []
    text = count_of(count, "message")
    if waited is not None:
        text += f" that had waited at least {format_duration(waited['min'])}, {format_duration(waited['max'])} at most"
    if summary["response_time_ns"] is not None:
        text += f"; the percentiles lack {'it' if count == 1 else f'these {format_count(count)}'}"
    return [LabelledText("unanswered", text, "yellow")]


# --- Faults -------------------------------------------------------------------------------------------------


def faults(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Returns what the target did wrong: kind, count, and a sentence about the first of them."""
    examples: dict[str, str] = {}
    for recording in recordings:
        for interval in recording.intervals:
            examples = interval.fault_examples | examples
    return [
        (sanitize(kind), count, sentence(examples.get(kind) or fault_phrase(kind)))
        for kind, count in summary["faults"].items()
    ]


# --- The wire -----------------------------------------------------------------------------------------------


def traffic(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[LabelledText]:
    """Returns how sessions ended, the traffic, what compression saved, and the times of keep-alive pings."""
    said = close_codes(summary)
    seconds = summary["duration_s"]
    if seconds and summary["throughput_per_s"] is not None:
        sent, received = (format_bytes(_measured(recordings, f"bytes_{way}") / seconds) for way in ("sent", "received"))
        said.append(LabelledText("traffic", f"{sent}/s sent, {received}/s received while measured"))
    said += _compression(summary["bytes"])
    keepalive = summary["keepalive_time_ns"]
    if keepalive is not None:
        said.append(LabelledText("keep-alive", f"{count_of(keepalive['count'], 'pong')}: {summarize_times(keepalive)}"))
    return said


def _compression(sizes: dict[str, int]) -> list[LabelledText]:
    """Returns what compression saved, frames and all."""
    parts = [
        f"{format_bytes(sizes[f'uncompressed_{way}'])} of payload {way} as {format_bytes(sizes[way])}"
        for way in ("sent", "received")
        if sizes[f"uncompressed_{way}"]
    ]
    return [LabelledText("compression", ", ".join(parts))] if parts else []


def _measured(recordings: Sequence[Recording], room: str) -> int:
    """Returns a count of all measured intervals together, without their tallies: histograms take long to decode."""
    return sum(
        interval.encoded_tally.get(room, 0)
        for recording in recordings
        for interval in recording.intervals
        if interval.phase == "measured"
    )
