"""Outcome of a run in the words that every report uses: headline, lost workers, messages, faults, traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.aggregate import lost_workers as known_lost
from ws_load_test.analysis.per_host import host_of
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_share,
)
from ws_load_test.metrics.catalog import METRICS
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labeled import (
    LabeledText,
    count_of,
    sentence,
    summarize_times,
)
from ws_load_test.report.content.scenario import faults_by_step, session_flaws
from ws_load_test.report.content.sessions import close_codes
from ws_load_test.report.content.thresholds import stopped_by
from ws_load_test.report.content.waves import wave_flaws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.summary_types import ByteCounts
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.report.results import Results


# --- Headline -----------------------------------------------------------------------------------------------


def headline(results: Results) -> tuple[str, str]:
    """Returns the headline, of several truths the one that spoils the run most, and its color.

    A run passed only where a condition was judged; one without any is merely done.
    """
    failure, stopped = results.failure, " and ".join(stopped_by(results.summary))
    if failure is not None:
        early = f"; stopped early, because {stopped}" if stopped and not failure.is_partial else ""
        return f"{failure.headline}{early}", "yellow" if failure.is_partial else "red"
    verdict = results.summary.verdict
    if not verdict.passed:
        failed = len(verdict.failed_checks)
        words = "A threshold failed" if failed == 1 else f"{format_count(failed)} thresholds failed"
        return f"Stopped early, because {stopped}" if stopped else words, "red"
    words, found = "Passed" if verdict.checks else _held(results) or "Done", flaws(results)
    return (f"{words}, with {', '.join(found)}", "yellow") if found else (words, "green")


def _held(results: Results) -> str:
    """Returns the headline of a run that sent nothing and only held its connections; empty for other runs."""
    summary, plans = results.summary, results.plans.plans
    if summary.messages.due or not plans or any(plan.load.sends_messages for plan in plans):
        return ""
    counts = summary.connections
    held = max(0, counts.opened - counts.reconnected - counts.recycled - counts.lost)
    return f"Held {count_of(held, 'connection')} for {format_duration(summary.duration_s * 1e9)}"


def flaws(results: Results) -> list[str]:
    """Returns the flaws of a run that passed, for which a single reply is enough."""
    messages, faults = results.summary.messages, sum(results.summary.faults.values())
    found = [*wave_flaws(results.summary.waves), *session_flaws(results.summary)]
    found += [count_of(faults, "fault")] if faults else []
    if results.pairing_findings:
        found.append("replies that are perhaps not those of their messages")
    # What was in flight on sessions that --disconnect cut off was lost on request.
    storm = results.summary.reconnect_storm
    unanswered_by_target = messages.unanswered - (storm.unanswered if storm is not None else 0)
    fan_out = results.summary.fanout
    if fan_out is not None:
        counts = fan_out.deliveries
        missing = ((counts.missing, "missing"), (counts.cut_off, "cut off"), (counts.misdelivered, "misdelivered"))
        found += [f"{count_of(count, 'delivery', 'deliveries')} {word}" for count, word in missing if count]
    counted = [(unanswered_by_target, "unanswered")] if results.awaits_replies else []
    counted.append((messages.dropped, "dropped"))
    found += [f"{count_of(count, 'message')} {word}" for count, word in counted if count]
    return [*found, "the generator at its limit"] if results.summary.generator.saturated else found


def lost_workers(recordings: Sequence[Recording]) -> list[LabeledText]:
    """Returns the times at which workers were lost, and the reasons."""
    lines: list[LabeledText] = []
    for number, recording in enumerate(recordings, 1):
        hosts = recording.header.hosts or ()
        for lost in known_lost(recording):
            where = f"recording {number}, " if len(recordings) > 1 else ""
            host = host_of(lost, hosts)
            part = format_share(1 / recording.header.workers)
            name = f"worker {lost.worker}" if host is None else f"worker {lost.worker} on {sanitize(host)} with {part}"
            when = f"{name}, {format_duration(lost.at_ns)} after the start"
            lines.append(LabeledText("lost worker", f"{where}{when}: {sentence(lost.reason)}", "red"))
    return lines


# --- Messages -----------------------------------------------------------------------------------------------


def requests(results: Results) -> list[LabeledText]:
    """Returns the counts of messages under their labels, styled where they are not as they should be."""
    summary, tally = results.summary, results.aggregate.tally
    lines = []
    for name, spec in METRICS.items():
        count = getattr(tally, name)
        if spec.needs_replies and not results.awaits_replies:
            # No message was answered and none lacks an answer: one row in place of two counts.
            if name == "answered":
                lines.append(LabeledText("replies", "not awaited"))
        elif spec.report_label and (count or spec.report_if_zero):
            style = "yellow" if count and spec.is_failure else ""
            lines.append(LabeledText(spec.report_label, format_count(count), style))
    if summary.warmup.sent or summary.warmup.answered:
        lines.append(LabeledText("warm-up sent", format_count(summary.warmup.sent)))
        lines.append(LabeledText("warm-up answered", format_count(summary.warmup.answered)))
    pushed_bytes = summary.bytes.pushed
    if pushed_bytes:
        place = next(number for number, line in enumerate(lines) if line.label == "pushed")
        lines.insert(place + 1, LabeledText("pushed payload", format_bytes(pushed_bytes)))
    return lines


def balance(results: Results) -> str:
    """Returns the equations in which every message that was due has its place."""
    messages = results.summary.messages
    due, sent, dropped = map(format_count, (messages.due, messages.sent, messages.dropped))
    answered, without_reply = map(format_count, (messages.answered, messages.unanswered))
    replies = f"sent {sent} = answered {answered} + unanswered {without_reply}"
    if results.summary.sessions is not None:
        replies += f" + unawaited {format_count(messages.unawaited)}"
    return (
        f"due {due} = sent {sent} + dropped {dropped}; {replies if results.awaits_replies else 'no reply was awaited'}"
    )


def unanswered(results: Results) -> list[LabeledText]:
    """Returns a line about the messages that the percentiles lack; none where no reply was awaited."""
    summary = results.summary
    count, waited = summary.messages.unanswered, summary.unanswered_wait_ns
    if not count or not results.awaits_replies:
        return []
    text = count_of(count, "message")
    if waited is not None:
        text += f" that had waited at least {format_duration(waited.min)}, {format_duration(waited.max)} at most"
    if summary.response_time_ns is not None:
        text += f"; the percentiles lack {'it' if count == 1 else f'these {format_count(count)}'}"
    return [LabeledText("unanswered", text, "yellow")]


# --- Faults -------------------------------------------------------------------------------------------------


def faults(results: Results) -> list[tuple[str, int, str]]:
    """Returns the faults of the target: kind, count, and a sentence about the first of them.

    In a scenario the sentence names one step, so where several have had the fault, their counts follow.
    """
    examples: dict[str, str] = {}
    for recording in results.recordings:
        for interval in recording.intervals:
            examples = interval.fault_examples | examples
    found = []
    for kind, count in results.summary.faults.items():
        text = sentence(examples.get(kind) or fault_phrase(kind)) + faults_by_step(kind, results.summary)
        found.append((sanitize(kind), count, text))
    return found


# --- The wire -----------------------------------------------------------------------------------------------


def traffic(results: Results) -> list[LabeledText]:
    """Returns close codes, traffic, savings by compression, and the times of keep-alive pings."""
    summary = results.summary
    lines = close_codes(summary)
    seconds = summary.duration_s
    if seconds and summary.throughput_per_s is not None:
        sent, received = (
            format_bytes(_measured(results.recordings, name) / seconds) for name in ("bytes_sent", "bytes_received")
        )
        lines.append(LabeledText("traffic", f"{sent}/s sent, {received}/s received while measured"))
    lines += _compression(summary.bytes)
    keepalive = summary.keepalive_time_ns
    if keepalive is not None:
        lines.append(LabeledText("keep-alive", f"{count_of(keepalive.count, 'pong')}: {summarize_times(keepalive)}"))
    return lines


def _compression(sizes: ByteCounts) -> list[LabeledText]:
    """Returns the payload before compression and the bytes of its frames."""
    ways = (
        ("sent", sizes.uncompressed_sent, sizes.sent),
        ("received", sizes.uncompressed_received, sizes.received),
    )
    parts = [
        f"{format_bytes(plain)} of payload {way} as {format_bytes(framed)}" for way, plain, framed in ways if plain
    ]
    return [LabeledText("compression", ", ".join(parts))] if parts else []


def _measured(recordings: Sequence[Recording], name: str) -> int:
    """Returns a count over all measured intervals without decoding histograms, which takes a millisecond each."""
    return sum(
        interval.encoded_tally.get(name, 0)
        for recording in recordings
        for interval in recording.intervals
        if interval.phase == "measured"
    )
