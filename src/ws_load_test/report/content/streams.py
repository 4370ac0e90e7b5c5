"""Answers of many messages in the words that every report uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.units import format_3_significant, format_bytes, format_count, format_duration, format_share
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, count_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.analysis.number_stats import NumberStats
    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.analysis.summary_types import Streams, Summary

NUMBER_HEADINGS = ("each answer", "min", "p5", "p50", "p95", "max")
"""Columns of the table of what each answer came to."""
_LEAST_TO_SHOW = 1000
"""Numbers from which on digits behind the third mean nothing, and thousands are separated."""


def stream_times(summary: Summary) -> dict[str, TimeStats]:
    """Returns the times of answers that have values, by label; none where an answer is one message."""
    streams = summary.streams
    if streams is None:
        return {}
    times = {"first": streams.first_time_ns, "gap": streams.gap_ns, "response": summary.response_time_ns}
    return {label: stats for label, stats in times.items() if stats is not None}


def stream_numbers(streams: Streams) -> list[list[str]]:
    """Returns the rows of the table of what each answer came to: messages, bytes, the count, and their rates."""
    rows: list[tuple[str, NumberStats | None, Callable[[float], str]]] = [
        ("messages", streams.answer_messages, _number),
        ("payload", streams.answer_bytes, format_bytes),
        ("count", streams.answer_count, _number),
        ("messages/s", streams.messages_per_s, _number),
        ("payload/s", streams.bytes_per_s, format_bytes),
        ("count/s", streams.count_per_s, _number),
    ]
    return [
        [label, *(show(value) for value in (stats.min, stats.p5, stats.p50, stats.p95, stats.max))]
        for label, stats, show in rows
        if stats is not None
    ]


def stream_line(summary: Summary) -> list[LabeledText]:
    """Returns one line: first, gap and response at two percentiles, and what went wrong."""
    streams = summary.streams
    if streams is None:
        return []
    times = stream_times(summary)
    parts = [
        f"{key}: {', '.join(f'{label} {format_duration(stats.value(key))}' for label, stats in times.items())}"
        for key in ("p50", "p99")
        if times
    ]
    troubles = _troubles(streams)
    text = "; ".join([*parts, *([", ".join(troubles)] if troubles else [])])
    return [LabeledText("streams", text or f"{NO_VALUE}: no answer began", "yellow" if troubles else "")]


def stream_notes(summary: Summary) -> list[LabeledText]:
    """Returns sentences about what the tables do not show."""
    streams = summary.streams
    if streams is None:
        return []
    lines = [LabeledText("streamed", f"{count_of(streams.streamed, 'message')} of answers")]
    if troubles := _troubles(streams):
        lines.append(LabeledText("", ", ".join(troubles), "yellow"))
    if streams.came_together and streams.gap_ns is not None:
        share = format_share(streams.came_together / streams.gap_ns.count)
        lines.append(LabeledText("came together", f"{share} of the gaps are 0: one read brought both messages"))
    lacks = [(streams.without_first, "without one that satisfies --first"), (streams.without_count, "without --count")]
    found = [f"{count_of(count, 'answer')} {what}" for count, what in lacks if count]
    return [*lines, *([LabeledText("incomplete", ", ".join(found), "yellow")] if found else [])]


def _troubles(streams: Streams) -> list[str]:
    found = [(streams.stalls, count_of(streams.stalls, "stall"))]
    found.append((streams.broken_off, f"{format_count(streams.broken_off)} broken off"))
    return [words for count, words in found if count]


def _number(value: float) -> str:
    return format_count(value) if value >= _LEAST_TO_SHOW else format_3_significant(value)
