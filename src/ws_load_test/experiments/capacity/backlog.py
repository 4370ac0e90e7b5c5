"""Detects a target that does not keep up with a step: failed connections and messages, and a growing queue.

A target that is slightly too slow answers every message, but later and later, and its percentiles within a short step
can still be good. The number of messages that were sent and not yet answered grows, though.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import percent
from ws_load_test.common.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import IntervalStats
    from ws_load_test.analysis.summary_types import Summary

TOLERATED_SHARE = 0.01
"""Share of the requested connections or messages that can fail: single failures are the objectives' business."""
MIN_GROWTH = 10
"""Messages that a queue can grow by through chance alone."""
PARTS = 3
"""Parts of a step. The queue's minima in the first and the last are compared, which a short pause does not raise."""


def shortfalls(summary: Summary) -> list[str]:
    """Returns one phrase per shortfall above 1 %: failed connections, dropped messages, unanswered messages."""
    connections, messages = summary.connections, summary.messages
    counts = (
        (
            connections.failed + connections.lost,
            connections.attempted,
            "connections",
            "could not be opened or were lost",
        ),
        (messages.dropped, messages.due, "messages", "were never sent"),
        (messages.unanswered, messages.due, "messages", "got no answer"),
    )
    return [
        f"{format_count(failed)} of the {format_count(total)} {noun}, {percent(failed / total)}, {verb}"
        for failed, total, noun, verb in counts
        if failed > TOLERATED_SHARE * total
    ]


def describe_backlog(growth: int) -> str:
    """Returns a clause on the growth of the queue in messages."""
    return f"the queue of messages without an answer grew by {format_count(growth)}"


def backlog_growth(intervals: Sequence[IntervalStats]) -> int | None:
    """Returns by how many messages the queue grew from the first third of a step to the last; None if it did not.

    It grew if the difference is more than `TOLERATED_SHARE` of the messages sent in between, and than `MIN_GROWTH`.
    """
    queue, sent, points = 0, 0, []
    for interval in intervals:
        queue += interval.sent - interval.answered
        sent += interval.sent
        points.append((queue, sent))
    third = len(points) // PARTS
    if not third:
        return None
    first, last = min(points[:third]), min(points[-third:])
    growth = last[0] - first[0]
    return growth if growth > max(MIN_GROWTH, TOLERATED_SHARE * (last[1] - first[1])) else None
