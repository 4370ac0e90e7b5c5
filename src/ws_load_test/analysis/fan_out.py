"""Summary of a fan-out: the key ``fanout`` of a run's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from ws_load_test.analysis.summary_times import TimeStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording
    from ws_load_test.metrics.tally import Tally

MOST_GROUPS = 10
"""Rooms, or groups of subscribers, that a summary names."""


class Publishes(msgspec.Struct, frozen=True, kw_only=True):
    """Messages published in the measured time."""

    sent: Annotated[int, Meta(description="Messages handed to the kernel.")]
    acknowledged: Annotated[
        int | None, Meta(description="Messages that the target acknowledged; null where that is not awaited.")
    ]
    followed: Annotated[int, Meta(description="Publishes whose first and last delivery were followed.")]
    complete: Annotated[int, Meta(description="Followed publishes that came to every subscriber they had to.")]


class DeliveryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries. expected = delivered + missing + cut_off."""

    expected: Annotated[int, Meta(description="Deliveries that had to come.")]
    delivered: Annotated[int, Meta(description="Expected deliveries that came within the time-out.")]
    missing: Annotated[int, Meta(description="Expected deliveries that did not, although the session was there.")]
    cut_off: Annotated[int, Meta(description="Expected deliveries that did not, as the target ended the session.")]
    late: Annotated[int, Meta(description="Missing deliveries that came after the time-out.")]
    duplicate: Annotated[int, Meta(description="Deliveries that came once more.")]
    out_of_order: Annotated[int, Meta(description="Deliveries that came behind a later one of the same publisher.")]
    misdelivered: Annotated[int, Meta(description="Deliveries to sessions that are not in the room.")]
    foreign: Annotated[int, Meta(description="Messages with the marker of another run.")]
    ambiguous: Annotated[int, Meta(description="Pairs of publish and subscriber that are not judged.")]
    replayed: Annotated[int, Meta(description="Deliveries of what was published before the subscriber came.")]
    to_publisher: Annotated[int, Meta(description="Deliveries to publishers that need not come, and may.")]
    negative: Annotated[int, Meta(description="Deliveries before they were due, by clocks of different machines.")]
    before_sent: Annotated[int, Meta(description="Deliveries before they were sent, by these clocks.")]


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Gaps: consecutive messages of one publisher that a subscriber missed."""

    count: Annotated[int, Meta(description="Gaps of any length.")]
    longest: Annotated[int, Meta(description="Messages of the longest gap; 0 without any.")]
    subscribers: Annotated[int, Meta(description="Subscribers that missed a delivery.")]
    by_length: Annotated[dict[str, int], Meta(description="Gaps by the number of messages missed.")]


class SubscriberTime(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to one subscriber."""

    subscriber: Annotated[int, Meta(description="Number of the subscriber, from 0.")]
    mean_ns: Annotated[int, Meta(description="Mean delivery time.")]
    expected: Annotated[int, Meta(description="Deliveries that had to come.")]
    delivered: Annotated[int, Meta(description="Deliveries that came within the time-out.")]


class GroupTime(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to one room, or one group of subscribers."""

    name: Annotated[str, Meta(description="Name of the room, or first and last of several rooms or subscribers.")]
    deliveries: Annotated[int, Meta(description="Timed deliveries.")]
    mean_ns: Annotated[int, Meta(description="Mean delivery time.")]


class FanOutSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a fan-out: one session publishes, the members of its room receive."""

    publishers: Annotated[int, Meta(description="Sessions or clients that publish.")]
    subscribers: Annotated[int, Meta(description="Sessions whose deliveries count.")]
    rooms: Annotated[int, Meta(description="Rooms in which they meet.")]
    publishes: Annotated[Publishes, Meta(description="Messages published.")]
    deliveries: Annotated[DeliveryCounts, Meta(description="Deliveries to subscribers.")]
    reach: Annotated[float | None, Meta(description="Delivered ÷ expected, from 0 to 1; null where none was.")]
    gaps: Annotated[Gaps, Meta(description="Gaps in what subscribers received.")]
    delivery_time_ns: Annotated[TimeStats | None, Meta(description="From due to each delivery.")]
    same_host_delivery_time_ns: Annotated[
        TimeStats | None, Meta(description="The same within one machine; null in a run on one.")
    ]
    transit_time_ns: Annotated[TimeStats | None, Meta(description="From sent to each delivery.")]
    first_time_ns: Annotated[TimeStats | None, Meta(description="From due to the first delivery of a publish.")]
    last_time_ns: Annotated[TimeStats | None, Meta(description="From due to the last delivery of a publish.")]
    spread_ns: Annotated[TimeStats | None, Meta(description="From the first to the last delivery of a publish.")]
    read_lag_ns: Annotated[
        TimeStats | None, Meta(description="Time for which a delivery at most waited for others to be read.")
    ]
    subscriber_mean_time_ns: Annotated[
        TimeStats | None, Meta(description="Mean delivery time of each subscriber: one value for each.")
    ]
    subscribers_skew: Annotated[
        float | None, Meta(description="99th percentile of the subscribers' mean times ÷ their median.")
    ]
    worst_subscribers: Annotated[list[SubscriberTime], Meta(description="Subscribers with the longest mean times.")]
    worst_rooms: Annotated[list[GroupTime], Meta(description="Rooms, or groups of subscribers, with the longest.")]
    clock_error_ns: Annotated[
        int | None, Meta(description="Largest error of the clocks between machines; null in a run on one.")
    ]


def fan_out_summary(
    recordings: Sequence[Recording], tally: Tally, *, awaits_replies: bool, clock_error_ns: int | None = None
) -> FanOutSummary | None:
    """Returns the results of a fan-out; None where no recording has one.

    Args:
        recordings: Recordings of the runs.
        tally: Their sum.
        awaits_replies: Publishes are acknowledged.
        clock_error_ns: Error of times between two machines; None on one.
    """
    plans = [plan for one in recordings if isinstance(plan := one.header.plan.get("fan_out"), dict)]
    if not plans:
        return None
    of_scenario = any(one.header.plan.get("scenario") is not None for one in recordings)
    means = tally.subscriber_mean_time_ns
    middle, tail = means.percentiles((50, 99))
    acknowledged = tally.publishes_acknowledged if of_scenario else tally.answered
    return FanOutSummary(
        publishers=sum(_number(plan, "publishers") for plan in plans),
        subscribers=sum(_number(plan, "subscribers") for plan in plans),
        rooms=max(len(rooms) if isinstance(rooms := plan.get("rooms", ("0",)), (list, tuple)) else 1 for plan in plans),
        publishes=Publishes(
            # The other messages of a scenario are for no audience.
            sent=tally.publishes_sent if of_scenario else tally.sent,
            acknowledged=acknowledged if awaits_replies else None,
            followed=tally.publishes_followed,
            complete=tally.publishes_complete,
        ),
        deliveries=DeliveryCounts(
            expected=tally.deliveries_expected,
            delivered=tally.deliveries,
            missing=tally.deliveries_missing,
            cut_off=tally.deliveries_cut_off,
            late=tally.deliveries_late,
            duplicate=tally.deliveries_duplicate,
            out_of_order=tally.deliveries_out_of_order,
            misdelivered=tally.deliveries_misdelivered,
            foreign=tally.deliveries_foreign,
            ambiguous=tally.deliveries_ambiguous,
            replayed=tally.deliveries_replayed,
            to_publisher=tally.deliveries_to_publisher,
            negative=tally.deliveries_negative,
            before_sent=tally.deliveries_before_sent,
        ),
        reach=tally.deliveries / tally.deliveries_expected if tally.deliveries_expected else None,
        gaps=Gaps(
            count=tally.delivery_gaps.total(),
            longest=max(map(int, tally.delivery_gaps), default=0),
            subscribers=tally.subscribers_with_gaps,
            by_length=dict(sorted(tally.delivery_gaps.items(), key=lambda one: int(one[0]))),
        ),
        delivery_time_ns=TimeStats.of(tally.delivery_time_ns),
        same_host_delivery_time_ns=TimeStats.of(tally.same_host_delivery_time_ns),
        transit_time_ns=TimeStats.of(tally.transit_time_ns),
        first_time_ns=TimeStats.of(tally.first_time_ns),
        last_time_ns=TimeStats.of(tally.last_time_ns),
        spread_ns=TimeStats.of(tally.spread_ns),
        read_lag_ns=TimeStats.of(tally.read_lag_ns),
        subscriber_mean_time_ns=TimeStats.of(means),
        subscribers_skew=tail / middle if middle and tail is not None else None,
        worst_subscribers=_worst_subscribers(recordings),
        worst_rooms=_worst_groups(tally),
        clock_error_ns=clock_error_ns,
    )


def _number(plan: dict[str, object], name: str) -> int:
    value = plan.get(name, 1)
    return value if isinstance(value, int) else 0


def _worst_subscribers(recordings: Sequence[Recording]) -> list[SubscriberTime]:
    found = [one for recording in recordings for interval in recording.intervals for one in interval.slowest or ()]
    return [
        SubscriberTime(subscriber=one.subscriber, mean_ns=one.mean_ns, expected=one.expected, delivered=one.delivered)
        for one in sorted(found, key=lambda one: -one.mean_ns)[:MOST_GROUPS]
    ]


def _worst_groups(tally: Tally) -> list[GroupTime]:
    groups = [
        GroupTime(name=name, deliveries=count, mean_ns=round(tally.delivery_group_time_us[name] * 1000 / count))
        for name, count in tally.delivery_groups.items()
        if count
    ]
    return sorted(groups, key=lambda one: -one.mean_ns)[:MOST_GROUPS]
