"""Facts of a fan-out that the fleet puts together from the parts of its workers."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fan_out.in_process import InProcessFleet
from ws_load_test.fleet.published import SLOWEST, FollowedPublishes, PublishedCounts
from ws_load_test.metrics.fan_out_report import NOT_KNOWN, FollowedPublish, SlowSubscriber
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.fan_out import FanOut
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.worker.ipc import Published

S = 1_000_000_000


def test_counts_are_known_once_each_worker_has_reported_or_is_gone():
    counts = PublishedCounts(3)
    counts.add(0, {0: 5})
    counts.lose(2)
    assert counts.take() is None
    counts.add(1, {1: 7})
    assert counts.take() == {0: 5, 1: 7}
    assert counts.take() is None, "they are announced once"


def test_without_any_worker_there_is_nothing_to_announce():
    counts = PublishedCounts(1)
    counts.lose(0)
    assert counts.take() is None


class RecordingFleet(InProcessFleet):
    """Workers that report what a test says, and what the fleet broadcasts."""

    def __init__(self, workers):
        options = {"subscribers": 4, "publishers": 2, "messages": 9, "workers": workers, "message": "{marker}"}
        super().__init__(read_plan({"url": "ws://127.0.0.1:1", "rate": 10, **options}), lambda _: None)
        self.commands = []

    def _broadcast(self, command):
        self.commands.append(command)

    def report(self, worker, counts):
        """Takes a worker's report of what its publishers have sent."""
        self._on_report(worker, msgspec.json.encode(Published(counts)))

    @property
    def announced(self):
        return [command.published for command in self.commands if command.kind == "published"]


@pytest.mark.parametrize("is_lost_first", [False, True])
def test_counts_of_a_lost_worker_are_not_awaited(is_lost_first):
    fleet = RecordingFleet(3)
    steps = [lambda: fleet.report(0, {0: 5}), lambda: fleet._on_worker_lost(1, "it was killed")]
    for step in reversed(steps) if is_lost_first else steps:
        step()
    assert fleet.announced == []
    fleet.report(2, {1: 4})
    assert fleet.announced == [{0: 5, 1: 4}]


def test_counts_are_announced_at_once_when_the_last_awaited_worker_is_lost():
    fleet = RecordingFleet(2)
    fleet.report(0, {0: 5})
    fleet._on_worker_lost(1, "it was killed")
    assert fleet.announced == [{0: 5}]


def test_that_nothing_was_published_is_announced_too():
    fleet = RecordingFleet(2)
    fleet.report(0, {})
    fleet.report(1, {})
    assert fleet.announced == [{}], "else each worker waits for a count that does not come"


def part(publisher, number, times, members, *, due=1000, missing=0):
    """Returns a worker's part: instants at which it came to so many of its members."""
    first, last = (min(times), max(times)) if times else (0, 0)
    return FollowedPublish(
        publisher, number, due if times else NOT_KNOWN, first, last, len(times) + missing, len(times), members
    )


@given(seed=st.integers(0, 10_000), workers=st.integers(1, 4), subscribers=st.integers(1, 9), rooms=st.integers(1, 3))
def test_first_and_last_are_those_over_all_workers(seed, workers, subscribers, rooms):
    rng = random.Random(seed)
    followed, tally = FollowedPublishes(FanOut(2, subscribers, rooms=tuple("abc"[:rooms])), S), Tally()
    parts, firsts, lasts, complete, expected = [], [], [], 0, 0
    for number in range(5):
        room = followed._fan_out.room_of_publish(0, number)
        members = range(room, subscribers, rooms)
        came = {one: 1000 + rng.randrange(1, 500) for one in members if rng.random() < 0.8}
        for worker in range(workers):
            own = [one for one in members if one % workers == worker]
            times = [came[one] for one in own if one in came]
            # A worker without members of the room has no part.
            if own:
                parts.append(part(0, number, times, len(own), missing=len(own) - len(times)))
        expected += bool(members)
        complete += bool(members) and len(came) == len(members)
        if came:
            firsts.append(min(came.values()) - 1000)
            lasts.append(max(came.values()) - 1000)
    rng.shuffle(parts)
    for one in parts:
        followed.add([one])
    followed.count_into(tally)
    assert (tally.publishes_followed, tally.publishes_complete) == (expected, complete)
    assert tally.first_time_ns.sum == sum(firsts)
    assert tally.last_time_ns.sum == sum(lasts)
    assert tally.spread_ns.sum == sum(lasts) - sum(firsts)
    followed.count_into(tally, final=True)
    assert tally.publishes_followed == expected, "each is counted once"


def test_a_publish_that_was_due_when_the_load_began_has_its_times():
    followed, tally = FollowedPublishes(FanOut(1, 4), S), Tally()
    followed.add([FollowedPublish(0, 0, NOT_KNOWN, 0, 0, 2, 0, 2), FollowedPublish(0, 0, 0, 5, 9, 2, 2, 2)])
    followed.count_into(tally)
    assert (tally.publishes_followed, tally.first_time_ns.max, tally.last_time_ns.max) == (1, 5, 9)


def test_a_publish_that_no_subscriber_had_to_get_is_not_followed():
    followed, tally = FollowedPublishes(FanOut(1, 4), S), Tally()
    followed.add([FollowedPublish(0, 0, 1000, 1005, 1009, 0, 0, 4)])
    followed.count_into(tally)
    assert tally.publishes_followed == tally.publishes_complete == tally.last_time_ns.count == 0


@pytest.mark.parametrize("final", [False, True])
def test_the_part_of_a_worker_that_is_gone_is_not_awaited_for_ever(final):
    followed, tally = FollowedPublishes(FanOut(1, 4), S), Tally()
    followed.add([part(0, 0, [1005], 2, due=1000)])
    followed.count_into(tally)
    assert tally.publishes_followed == 0
    if not final:
        followed.add([part(0, 1, [20 * S], 4, due=10 * S)])
    followed.count_into(tally, final=final)
    assert tally.publishes_followed == 2 - final
    assert tally.first_time_ns.min == 5


def test_the_slowest_of_all_workers_are_named():
    followed = FollowedPublishes(FanOut(1, 100), S)
    for worker in range(3):
        followed.add_slowest(SlowSubscriber(one, one * 10, 1, 1) for one in range(worker, 30, 3))
    assert [one.subscriber for one in followed.slowest] == list(range(29, 29 - SLOWEST, -1))
