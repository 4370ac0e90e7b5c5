"""Each number of the summary of a fan-out, from counts that are all different."""

from collections import Counter

import msgspec
from msgspec.structs import replace

from factories.pages import planned
from factories.results import histogram, interval
from ws_load_test.analysis.fan_out import MOST_GROUPS, fan_out_summary
from ws_load_test.metrics.fan_out_report import SlowSubscriber
from ws_load_test.metrics.tally import Tally

COUNTS = ("missing", "cut_off", "late", "duplicate", "out_of_order", "misdelivered", "foreign", "ambiguous")
COUNTS += ("replayed", "to_publisher", "negative", "before_sent")
TIMES = ("delivery_time_ns", "same_host_delivery_time_ns", "transit_time_ns", "first_time_ns", "last_time_ns")
TIMES += ("spread_ns", "read_lag_ns")
MS = 1_000_000


def recording(*slowest, **options):
    options = {"subscribers": 4, "publishers": 2, "rooms": "red,blue", "rate": 10, "duration": "4s"} | options
    closing = replace(interval(Tally(), index=9, phase="closing"), slowest=slowest)
    return planned(closing, message="{room} {marker}", match="none", **options)


def summary(tally, *recordings, awaits_replies=False, **options):
    found = fan_out_summary(recordings or [recording()], tally, awaits_replies=awaits_replies, **options)
    assert found is not None
    return found


def test_each_count_is_its_own():
    numbers = {name: 3 + 2 * place for place, name in enumerate(COUNTS)}
    tally = Tally(
        sent=101,
        answered=97,
        publishes_followed=89,
        publishes_complete=83,
        deliveries_expected=1000,
        deliveries=900,
        **{f"deliveries_{name}": number for name, number in numbers.items()},
    )
    found = summary(tally)
    assert msgspec.to_builtins(found.deliveries) == {"expected": 1000, "delivered": 900, **numbers}
    assert found.reach == 0.9
    published = {"sent": 101, "acknowledged": None, "followed": 89, "complete": 83}
    assert msgspec.to_builtins(found.publishes) == published
    assert summary(tally, awaits_replies=True).publishes.acknowledged == 97
    assert summary(Tally()).reach is None


def test_each_time_is_its_own():
    tally = Tally()
    for place, name in enumerate(TIMES):
        setattr(tally, name, histogram(*[(place + 1) * MS] * (place + 1)))
    found = summary(tally, clock_error_ns=5)
    for place, name in enumerate(TIMES):
        times = getattr(found, name)
        assert (times.count, times.min) == (place + 1, (place + 1) * MS), name
    assert found.clock_error_ns == 5
    empty = summary(Tally())
    assert [getattr(empty, name) for name in (*TIMES, "clock_error_ns", "subscribers_skew")] == [None] * 9


def test_gaps_are_sorted_by_their_length():
    tally = Tally(delivery_gaps=Counter({"10": 1, "9": 2, "2": 4}), subscribers_with_gaps=3)
    gaps = summary(tally).gaps
    assert (gaps.count, gaps.longest, gaps.subscribers) == (7, 10, 3)
    assert list(gaps.by_length.items()) == [("2", 4), ("9", 2), ("10", 1)]
    assert summary(Tally()).gaps.longest == 0


def test_the_skew_is_the_tail_of_the_means_by_their_median():
    tally = Tally()
    tally.subscriber_mean_time_ns = histogram(*[10 * MS] * 90, *[20 * MS] * 8, *[40 * MS] * 2)
    found = summary(tally)
    assert round(found.subscribers_skew, 1) == 4.0
    assert found.subscriber_mean_time_ns.count == 100


def test_the_slowest_of_all_recordings_are_named_the_slowest_first():
    one = recording(*(SlowSubscriber(number, number * MS, 8, 7) for number in range(8)))
    other = recording(*(SlowSubscriber(10 + number, 9 * MS - number, 6, 5) for number in range(4)), subscribers=5)
    found = summary(Tally(), one, other)
    assert [one.subscriber for one in found.worst_subscribers] == [10, 11, 12, 13, 7, 6, 5, 4, 3, 2]
    assert len(found.worst_subscribers) == MOST_GROUPS
    last = found.worst_subscribers[-1]
    assert (last.mean_ns, last.expected, last.delivered) == (2 * MS, 8, 7)
    assert (found.subscribers, found.publishers, found.rooms) == (9, 4, 2)


def test_rooms_are_named_with_their_means_the_slowest_first():
    counts = {"red": 4, "blue": 5, "none": 0} | {f"room {number}": 1 for number in range(12)}
    sums = {"red": 8_000, "blue": 15_000} | {f"room {number}": number for number in range(12)}
    tally = Tally(delivery_groups=Counter(counts), delivery_group_time_us=Counter(sums))
    found = summary(tally).worst_rooms
    assert [(one.name, one.deliveries, one.mean_ns) for one in found[:3]] == [
        ("blue", 5, 3 * MS),
        ("red", 4, 2 * MS),
        ("room 11", 1, 11_000),
    ]
    assert len(found) == MOST_GROUPS
