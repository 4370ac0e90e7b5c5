"""Fan-out in the words that every report uses: publishes, deliveries, reach, gaps, and where deliveries are slow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.fan_out import DeliveryCounts, FanOutSummary
    from ws_load_test.analysis.summary_times import TimeStats

MOST_NAMED = 5
"""Subscribers, and rooms, that a report names."""
RARE = (
    ("late", "late"),
    ("duplicate", "duplicate"),
    ("out_of_order", "out of order"),
    ("misdelivered", "misdelivered"),
    ("foreign", "of another run"),
    ("replayed", "replayed"),
    ("negative", "before they were due"),
    ("before_sent", "before they were sent"),
)
"""Counts of deliveries that are named where they are not 0."""
MOST_DIGITS = 9
"""Decimals of a share in per cent: one delivery in a hundred million shows."""
BAD = ("missing", "cut_off", "duplicate", "out_of_order", "misdelivered", "foreign")
"""Counts of deliveries by which a run is no perfect one."""


def shape(fan_out: FanOutSummary) -> str:
    """Returns who publishes to whom, in a few words."""
    rooms = f" in {format_count(fan_out.rooms)} rooms" if fan_out.rooms > 1 else ""
    return f"{count_of(fan_out.subscribers, 'subscriber')}{rooms}, {count_of(fan_out.publishers, 'publisher')}"


def is_flawed(counts: DeliveryCounts) -> bool:
    """Returns True if a delivery is missing, or came in another way than it had to."""
    return any(getattr(counts, name) for name in BAD)


def publishes(fan_out: FanOutSummary) -> str:
    """Returns the publishes, and how many came to everyone."""
    counts = fan_out.publishes
    parts = [f"{format_count(counts.sent)} sent"]
    if counts.acknowledged is not None:
        parts.append(f"{format_count(counts.acknowledged)} acknowledged")
    if counts.followed:
        of = "" if counts.followed == counts.sent else f" of {format_count(counts.followed)} followed"
        parts.append(f"{format_count(counts.complete)}{of} complete")
    return ", ".join(parts)


def deliveries(fan_out: FanOutSummary) -> str:
    """Returns the deliveries, and those that are not as they should be."""
    counts = fan_out.deliveries
    parts = [f"{format_count(counts.expected)} expected, {format_count(counts.delivered)} delivered"]
    parts += [
        f"{format_count(count)} {word}"
        for count, word in ((counts.missing, "missing"), (counts.cut_off, "cut off"))
        if count
    ]
    rare = [f"{format_count(getattr(counts, name))} {word}" for name, word in RARE if getattr(counts, name)]
    return ", ".join(parts) + (f" ({', '.join(rare)})" if rare else "")


def reach(fan_out: FanOutSummary) -> str:
    """Returns the share of deliveries that came, the gaps in their numbers, and what was not judged."""
    if fan_out.reach is None:
        return NO_VALUE
    parts = [format_reach(fan_out.reach)]
    gaps = fan_out.gaps
    if gaps.count:
        longest = f", the longest of {format_count(gaps.longest)}" if gaps.longest > 1 else ""
        count = f"{count_of(gaps.count, 'gap')} in the numbers"
        parts.append(f"{count}{longest}, on {count_of(gaps.subscribers, 'subscriber')}")
    if fan_out.deliveries.ambiguous:
        parts.append(f"{format_count(fan_out.deliveries.ambiguous)} ambiguous, as sessions joined or left")
    return "; ".join(parts)


def format_reach(share: float) -> str:
    """Returns a share in per cent, with two digits of what is missing: 99.994 %."""
    missing_percent = 100 * (1 - share)
    if share <= 0 or missing_percent <= 0:
        return f"{100 * share:.0f} %"
    digits = min(max(1, 1 - math.floor(math.log10(missing_percent))), MOST_DIGITS)
    return f"{100 * share:.{digits}f} %"


def skew(fan_out: FanOutSummary) -> list[LabeledText]:
    """Returns the subscribers and rooms with the longest mean times, where they differ from the others."""
    lines = []
    if fan_out.subscribers_skew is not None and fan_out.worst_subscribers:
        named = [f"{one.subscriber} ({format_duration(one.mean_ns)})" for one in fan_out.worst_subscribers[:MOST_NAMED]]
        text = f"p99 of their means is {fan_out.subscribers_skew:.2f} times the median; slowest {', '.join(named)}"
        lines.append(LabeledText("subscribers", text))
    if fan_out.rooms > 1 and fan_out.worst_rooms:
        named = [f"{sanitize(one.name)} ({format_duration(one.mean_ns)})" for one in fan_out.worst_rooms[:MOST_NAMED]]
        lines.append(LabeledText("slowest rooms", ", ".join(named)))
    return lines


def notes(fan_out: FanOutSummary) -> list[str]:
    """Returns what to know about the times."""
    found = []
    lag = fan_out.read_lag_ns
    if lag is not None and fan_out.last_time_ns is not None:
        waited = format_duration(lag.p99)
        found.append(f"read lag p99 {waited}: up to that much of last and spread may be the generator's own")
    if fan_out.clock_error_ns is not None:
        found.append(f"between machines, times are right to within {format_duration(fan_out.clock_error_ns)}")
    return found


def columns(fan_out: FanOutSummary, acknowledgment: TimeStats | None) -> Iterator[tuple[str, TimeStats]]:
    """Yields the times of a fan-out with their headings, those that there are."""
    times: Sequence[tuple[str, TimeStats | None]] = (
        ("each", fan_out.delivery_time_ns),
        ("same host", fan_out.same_host_delivery_time_ns),
        ("first", fan_out.first_time_ns),
        ("last", fan_out.last_time_ns),
        ("spread", fan_out.spread_ns),
        ("ack", acknowledgment if fan_out.publishes.acknowledged else None),
    )
    for heading, stats in times:
        if stats is not None:
            yield heading, stats
