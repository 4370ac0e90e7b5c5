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
    from ws_load_test.metrics.tally import Tally

TOLERATED_SHARE = 0.01
"""Share of the requested connections or messages that can fail: single failures are the objectives' business."""
MIN_GROWTH = 10
"""Messages that a queue can grow by through chance alone."""
PARTS = 3
"""Parts of a step. The queue's minima in the first and the last are compared, which a short pause does not raise."""


def shortfalls(summary: Summary) -> list[str]:
    """Returns one phrase per shortfall above 1 %: of connections, messages, deliveries, sessions, iterations."""
    connections, messages = summary.connections, summary.messages
    acknowledged = messages.answered if summary.fanout is None else summary.fanout.publishes.acknowledged
    counts = (
        (
            connections.failed + connections.lost,
            connections.attempted,
            "connections",
            "could not be opened or were lost",
        ),
        (messages.dropped, messages.due, "messages", "were never sent"),
        # A fan-out need not await acknowledgements of its publishers.
        (0 if acknowledged is None else messages.unanswered, messages.due, "messages", "got no answer"),
        *_deliveries(summary),
        *_sessions(summary),
    )
    return [
        f"{format_count(failed)} of the {format_count(total)} {noun}, {percent(failed / total)}, {verb}"
        for failed, total, noun, verb in counts
        if failed > TOLERATED_SHARE * total
    ]


def _deliveries(summary: Summary) -> list[tuple[int, int, str, str]]:
    if summary.fanout is None:
        return []
    counts = summary.fanout.deliveries
    return [(counts.expected - counts.delivered, counts.expected, "deliveries", "did not come in time")]


def _sessions(summary: Summary) -> list[tuple[int, int, str, str]]:
    """Returns the sessions of a scenario that failed, and the iterations that no session was free for."""
    if summary.sessions is None:
        return []
    counts = summary.sessions
    iterations = [role.iterations for role in summary.roles if role.iterations is not None]
    dropped, due = sum(one.dropped for one in iterations), sum(one.due for one in iterations)
    return [
        (counts.failed + counts.dropped, counts.due, "sessions", "failed or were dropped"),
        (dropped, due, "iterations", "found no session that was free"),
    ]


def describe_backlog(growth: int, *, of_deliveries: bool = False) -> str:
    """Returns a clause on the growth of the queue, in messages or in deliveries."""
    what = "deliveries on their way" if of_deliveries else "messages without an answer"
    return f"the queue of {what} grew by {format_count(growth)}"


def backlog_growth(intervals: Sequence[IntervalStats]) -> int | None:
    """Returns by how many messages the queue grew from the first third of a step to the last; None if it did not.

    It grew if the difference is more than `TOLERATED_SHARE` of the messages sent in between, and than `MIN_GROWTH`.
    """
    return _growth([(interval.sent, interval.answered) for interval in intervals])


def delivery_backlog_growth(intervals: Sequence[IntervalStats], tally: Tally) -> int | None:
    """Returns by how many deliveries the queue of a fan-out grew, by the rule of `backlog_growth`.

    A publish is so many deliveries as came of one on average over the whole step, the wait at its end included. So
    those that never came, and those that are not timed, are no queue.

    Args:
        intervals: Measured intervals of the step.
        tally: Counts and times of the whole step.
    """
    each = tally.delivery_time_ns.count / tally.sent if tally.sent else 0.0
    return _growth([(interval.sent * each, interval.delivered) for interval in intervals])


def _growth(flows: Sequence[tuple[float, int]]) -> int | None:
    """Returns the growth of a queue by what entered and what left it in each interval."""
    queue, sent = 0.0, 0.0
    points: list[tuple[float, float]] = []
    for entered, left in flows:
        queue += entered - left
        sent += entered
        points.append((queue, sent))
    third = len(points) // PARTS
    if not third:
        return None
    first, last = min(points[:third]), min(points[-third:])
    growth = round(last[0] - first[0])
    return growth if growth > max(MIN_GROWTH, TOLERATED_SHARE * (last[1] - first[1])) else None
