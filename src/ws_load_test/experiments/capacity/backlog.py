"""Whether a target kept up with a step: did all that was asked come about, and was no queue left to grow?

A target that is a little too slow answers everything, and later and later; its percentiles within a short step may
still be good. What grows is the number of messages that were sent and not yet answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import percent
from ws_load_test.common.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import IntervalStats
    from ws_load_test.analysis.summary_types import Summary

LEFT_OUT = 0.01
"""Of what was asked."""
NOT_CHANCE = 10
"""Messages more than that in a queue."""
PART = 3
"""Parts of a step: the queue's lowest point in the first and in the last are compared, which no hiccup can raise."""


def shortfalls(summary: Summary) -> list[str]:
    """Returns what of that which was asked did not come about, a part of a sentence each."""
    connections, messages = summary.connections, summary.messages
    wholes = (
        (connections.failed + connections.lost, connections.attempted, "connections", _NOT_OPEN),
        (messages.dropped, messages.due, "messages", "were never sent"),
        (messages.unanswered, messages.due, "messages", "got no answer"),
    )
    return [
        f"{format_count(part)} of the {format_count(whole)} {what}, {percent(part / whole)}, {became}"
        for part, whole, what, became in wholes
        if part > LEFT_OUT * whole
    ]


def describe_backlog(grown: int) -> str:
    """Returns that a queue grew, a part of a sentence."""
    return f"the queue of messages without an answer grew by {format_count(grown)}"


_NOT_OPEN = "could not be opened or were lost"


def backlog_growth(stretches: Sequence[IntervalStats]) -> int | None:
    """Returns by how many messages the queue grew from the first part of the time to the last; None if it did not.

    More than `LEFT_OUT` of what was sent in between, and more than `NOT_CHANCE`, is growth.
    """
    queue, sent, points = 0, 0, []
    for stretch in stretches:
        queue += stretch.sent - stretch.answered
        sent += stretch.sent
        points.append((queue, sent))
    third = len(points) // PART
    if not third:
        return None
    first, last = min(points[:third]), min(points[-third:])
    grown = last[0] - first[0]
    return grown if grown > max(NOT_CHANCE, LEFT_OUT * (last[1] - first[1])) else None
