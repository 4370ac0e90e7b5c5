"""Accounting of deliveries by workers that know their own members alone, against a ledger that knows everything."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from ws_load_test.engine.fan_out.accounting import Accounting
from ws_load_test.engine.fan_out.membership import MemberColumns, RoomMembers
from ws_load_test.engine.fan_out.publish import NO_SLOT
from ws_load_test.messages.marker import Marker
from ws_load_test.metrics.fan_out_report import NOT_KNOWN
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.fan_out import FanOut

TIMEOUT = 40
START = 1_000
LENGTH = 150
COUNTS = ("expected", "missing", "cut_off", "late", "duplicate", "ambiguous", "replayed", "out_of_order")


class NoTurns:
    def lags(self, times_ns):
        return np.zeros_like(times_ns)


class Worker:
    """Every `of`-th subscriber from `index`, as an engine would feed its accounting."""

    def __init__(self, fan_out, index=0, of=1, *, timeout=TIMEOUT):
        self.fan_out = fan_out
        rooms = len(fan_out.rooms)
        own = [range_of(room, rooms, fan_out.subscribers, index, of) for room in range(rooms)]
        self.columns = MemberColumns([True] * sum(map(len, own)))
        self.rooms, first = [], 0
        for room, subscribers in enumerate(own):
            self.rooms.append(RoomMembers(room, subscribers, self.columns, first))
            first += len(subscribers)
        self.slots = {s: one.first_slot + place for one in self.rooms for place, s in enumerate(one.subscribers)}
        slot_of = (lambda p: self.slots.get(p, NO_SLOT)) if fan_out.everyone else (lambda _: NO_SLOT)
        self.accounting = Accounting(fan_out, self.rooms, self.columns, timeout, slot_of=slot_of)
        self.accounting.start_ns = self.accounting.measured_from_ns = START
        self.tally = Tally()

    def room_of(self, subscriber):
        return self.rooms[subscriber % len(self.rooms)]

    def place(self, subscriber):
        return self.slots[subscriber] - self.room_of(subscriber).first_slot

    def come(self, subscriber, at):
        self.room_of(subscriber).joining(self.place(subscriber), at)
        self.room_of(subscriber).joined(self.place(subscriber), at)

    def go(self, subscriber, at, *, by_target):
        self.room_of(subscriber).left(self.place(subscriber), at, by_target=by_target)

    def deliver(self, at, subscriber, publisher, number, sent):
        publish = self.accounting.publish_of(Marker(publisher, number, sent - START, sent - START))
        if publish is None:
            self.tally.deliveries_replayed += 1
            return
        publish.add_slot(self.slots[subscriber])
        publish.add_time(at)

    def settle(self, now):
        self.accounting.flush(self.tally, NoTurns())
        self.accounting.settle(now, self.tally)

    def finish(self, now, counts):
        self.accounting.flush(self.tally, NoTurns())
        self.accounting.finish(now, counts, self.tally)


def range_of(room, rooms, subscribers, index, of):
    return [s for s in range(subscribers) if s % rooms == room and s % of == index]


def make_world(rng, publishers, rooms, subscribers, churn):
    """Returns publishes (p, n, sent), deliveries (at, s, p, n, sent) and the stays of each subscriber."""
    length, stays = LENGTH, {}
    for s in range(subscribers):
        spans, t = [], START - 1
        if rng.random() < churn:
            t = START + rng.randrange(-1, length // 2)
            while t < START + length and len(spans) < 3:
                out = t + rng.randrange(5, length)
                spans.append((t, out, rng.random() < 0.5))
                t = out + rng.randrange(5, length)
        else:
            spans.append((t, 10**9, False))
        stays[s] = spans
    sent, events, numbers = [], [], Counter()
    for t in range(START, START + length):
        for p in range(publishers):
            if rng.random() >= 0.2:
                continue
            n = numbers[p]
            numbers[p] += 1
            sent.append((p, n, t))
            if rng.random() < 0.02:
                continue
            room = p % rooms if publishers >= rooms else (p + n) % rooms
            for s in range(room, subscribers, rooms):
                delay = rng.choice([1, 2, 3, 20, 39, 60]) if rng.random() < 0.3 else 1
                member = [(a, b) for a, b, _ in stays[s] if a <= t < b]
                if not member or rng.random() < 0.03 or t + delay >= member[0][1]:
                    continue
                events += [(t + delay, s, p, n, t)] * (1 + (rng.random() < 0.02))
    events.sort(key=lambda e: e[0])
    return sent, events, stays, numbers


def claim(spans, t):
    for a, b, by_target in spans:
        if a <= t < b:
            return "expected" if b >= t + TIMEOUT else "cut" if by_target else "ambiguous"
    return "out"


def members_of(fan_out, publisher, number):
    rooms = len(fan_out.rooms)
    room = publisher % rooms if fan_out.publishers >= rooms else (publisher + number) % rooms
    return range(room, fan_out.subscribers, rooms)


def ledger(sent, events, stays, fan_out):
    came, out = defaultdict(list), Counter(dict.fromkeys(COUNTS, 0))
    latest = {}
    for at, s, p, n, t in events:
        first = not came[s, p, n]
        came[s, p, n].append(at)
        if first and at <= t + TIMEOUT:
            out["out_of_order"] += latest.get((s, p), -1) > n
            latest[s, p] = max(latest.get((s, p), -1), n)
    for p, n, t in sent:
        for s in members_of(fan_out, p, n):
            what, at = claim(stays[s], t), came.get((s, p, n), [])
            delivered = bool(at) and at[0] <= t + TIMEOUT
            if what == "ambiguous" and not delivered:
                out["ambiguous"] += 1
            elif what != "out":
                out["expected"] += 1
                out["delivered"] += delivered
                out["missing"] += what == "expected" and not delivered
                out["cut_off"] += what == "cut" and not delivered
                out["late"] += what == "expected" and bool(at) and not delivered
                out["duplicate"] += max(0, len(at) - 1)
    return out


def counted(tally):
    return {
        "delivered": tally.deliveries,
        **{name: getattr(tally, f"deliveries_{name}") for name in COUNTS},
    }


def run_world(seed, churn):
    rng = random.Random(seed)
    publishers, rooms, subscribers = rng.randrange(1, 6), rng.randrange(1, 8), rng.randrange(3, 24)
    sent, events, stays, numbers = make_world(rng, publishers, rooms, subscribers, churn)
    fan_out = FanOut(publishers, subscribers, rooms=tuple(map(str, range(rooms))))
    of = rng.randrange(1, 5)
    workers = [Worker(fan_out, index, of) for index in range(of)]
    changes = []
    for s, spans in stays.items():
        for a, b, by_target in spans:
            changes += [(a, 0, s, None), (b, 1, s, by_target)]
    changes = sorted((c for c in changes if c[0] < 10**9), key=lambda c: c[:3])
    clock = START
    steps = sorted(
        [(c[0], 0, "change", c) for c in changes] + [(e[0], 1, "event", e) for e in events], key=lambda x: x[:2]
    )
    for at, _, kind, what in steps:
        if at > clock + 40:
            clock = at
            for worker in workers:
                worker.settle(clock)
        worker = workers[what[1 if kind == "event" else 2] % of]
        if kind == "event":
            worker.deliver(*what)
        elif what[1] == 0:
            worker.come(what[2], at)
        else:
            worker.go(what[2], at, by_target=what[3])
    for worker in workers:
        worker.finish(START + LENGTH + 10 * TIMEOUT, numbers)
    merged = Tally()
    for worker in workers:
        merged.merge(worker.tally)
    return ledger(sent, events, stays, fan_out), counted(merged), merged


WORLDS = 25
"""Worlds of one test: a check for leaks after each takes longer than the world."""


@pytest.mark.parametrize("first", range(0, 100, WORLDS))
def test_with_fixed_members_every_count_is_that_of_the_ledger(first):
    for seed in range(first, first + WORLDS):
        truth, found, tally = run_world(seed, churn=0.0)
        assert found == truth, seed
        assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing + tally.deliveries_cut_off, seed
        gaps = sum(int(length) * count for length, count in tally.delivery_gaps.items())
        assert gaps == tally.deliveries_missing, seed


@pytest.mark.parametrize("first", range(100, 200, WORLDS))
def test_with_members_that_come_and_go_none_too_many_are_missing(first):
    for seed in range(first, first + WORLDS):
        truth, found, tally = run_world(seed, churn=0.5)
        assert tally.deliveries_expected == tally.deliveries + tally.deliveries_missing + tally.deliveries_cut_off, seed
        # Of a publish that a worker received nothing of, the instant is known only between two others.
        for name in ("expected", "missing", "cut_off", "late", "duplicate"):
            assert found[name] <= truth[name], (seed, name)
        for name in ("delivered", "out_of_order", "replayed"):
            assert found[name] == truth[name], (seed, name)
        assert found["expected"] + found["ambiguous"] >= truth["expected"], seed


@pytest.mark.parametrize(("self_delivery", "is_settled"), [("either", True), ("excluded", True), ("expected", False)])
def test_a_publish_is_settled_as_soon_as_it_has_come_to_all_who_must_have_it(self_delivery, is_settled):
    worker = Worker(FanOut(2, 2, everyone=True, self_delivery=self_delivery))
    for subscriber in range(2):
        worker.come(subscriber, START)
    worker.deliver(START + 6, 1, 0, 0, START + 5)
    worker.settle(START + 7)
    assert worker.accounting.can_end() is is_settled
    worker.finish(START + 100, {0: 1})
    assert worker.tally.deliveries == 1
    assert worker.tally.deliveries_expected == 1 + (not is_settled)


def test_a_run_need_not_wait_for_members_who_have_left():
    worker = Worker(FanOut(1, 3))
    for subscriber in range(3):
        worker.come(subscriber, START)
    worker.deliver(START + 6, 0, 0, 0, START + 5)
    worker.settle(START + 7)
    worker.go(1, START + 8, by_target=False)
    assert not worker.accounting.can_end()
    worker.deliver(START + 9, 2, 0, 0, START + 5)
    worker.settle(START + 10)
    # One came behind the publish, and one has left before it came.
    worker.come(1, START + 10)
    assert worker.accounting.can_end()
    worker.finish(START + 11, {0: 1})
    assert (worker.tally.deliveries_expected, worker.tally.deliveries) == (2, 2)
    assert (worker.tally.deliveries_ambiguous, worker.tally.deliveries_missing) == (1, 0)


def test_what_came_to_no_member_here_is_waited_for():
    worker = Worker(FanOut(1, 1))
    worker.come(0, START)
    worker.accounting.expect({0: 1})
    assert not worker.accounting.can_end()


def test_members_who_are_away_are_waited_for_where_they_are_owed_what_they_missed():
    worker = Worker(FanOut(1, 2, recovery="expected"))
    for subscriber in range(2):
        worker.come(subscriber, START)
    worker.deliver(START + 6, 0, 0, 0, START + 5)
    worker.settle(START + 7)
    worker.go(1, START + 8, by_target=True)
    assert not worker.accounting.can_end()


# --- Times ---


class Lags:
    """Read lag of each delivery: a thousandth of its time."""

    def lags(self, times_ns):
        return times_ns // 1000


def timed(worker, *deliveries):
    """Counts deliveries: instant, subscriber, publisher, number, due, sent."""
    for at, subscriber, publisher, number, due, sent in deliveries:
        publish = worker.accounting.publish_of(Marker(publisher, number, due - START, sent - START))
        publish.add_slot(worker.slots[subscriber])
        publish.add_time(at)
    worker.accounting.flush(worker.tally, Lags())


def worker_of(subscribers=3, publishers=1, rooms="ab", **options):
    worker = Worker(FanOut(publishers, subscribers, rooms=tuple(rooms)), **options)
    for subscriber in range(subscribers):
        worker.come(subscriber, START)
    return worker


def test_times_are_from_due_and_from_sent_and_those_before_due_are_counted():
    worker = worker_of(rooms="a")
    worker.accounting.is_on_this_host = lambda publisher: publisher == 0
    timed(worker, (START + 20, 0, 0, 0, START + 5, START + 8), (START + 30, 1, 0, 0, START + 5, START + 8))
    timed(worker, (START + 9, 2, 0, 1, START + 11, START + 12))
    tally = worker.tally
    assert (tally.delivery_time_ns.sum, tally.delivery_time_ns.count) == (15 + 25, 3)
    assert (tally.transit_time_ns.sum, tally.transit_time_ns.count) == (12 + 22, 3)
    assert (tally.same_host_delivery_time_ns.sum, tally.same_host_delivery_time_ns.count) == (15 + 25, 3)
    assert (tally.deliveries_negative, tally.deliveries_before_sent) == (1, 1)
    assert tally.read_lag_ns.count == tally.read_lag_ns.sum == 3
    timed(worker, (START + 15, 0, 0, 2, START + 14, START + 16))
    assert (tally.deliveries_negative, tally.deliveries_before_sent) == (1, 2)
    assert tally.transit_time_ns.min == 0


def test_means_of_subscribers_and_of_groups():
    worker = worker_of(subscribers=4, timeout=10_000)
    # Slots are by room: subscribers 0 and 2 in the first, 1 and 3 in the second.
    worker.accounting.group_by(np.array([0, 0, 1, 1]), ["even", "odd"])
    due = START + 1
    timed(worker, (due + 7_000, 0, 0, 0, due, due), (due + 9_000, 2, 0, 0, due, due), (due + 3_000, 1, 0, 1, due, due))
    timed(worker, (due + 5_000, 1, 0, 3, due, due))
    assert worker.columns.delivery_sum_ns.tolist() == [7_000, 9_000, 8_000, 0]
    assert worker.columns.delivery_count.tolist() == [1, 1, 2, 0]
    assert worker.tally.delivery_groups == {"even": 2, "odd": 2}
    assert worker.tally.delivery_group_time_us == {"even": 16, "odd": 8}


def test_first_and_last_of_a_publish_are_over_all_flushes_and_of_timed_members():
    worker = worker_of(subscribers=4, rooms="a")
    worker.columns.timed[3] = False
    due, sent = START + 5, START + 8
    timed(worker, (START + 20, 0, 0, 0, due, sent), (START + 12, 1, 0, 0, due, sent), (START + 25, 3, 0, 0, due, sent))
    timed(worker, (START + 15, 2, 0, 0, due, sent))
    worker.settle(START + 30)
    (followed,) = worker.accounting.take_followed()
    assert (followed.publisher, followed.number, followed.due_ns) == (0, 0, 5)
    assert (followed.first_ns, followed.last_ns) == (12, 20)
    assert (followed.expected, followed.delivered, followed.members) == (4, 4, 4)
    assert worker.accounting.take_followed() == []


def test_the_due_instant_of_a_publish_is_known_by_a_delivery_of_it():
    worker = worker_of(rooms="a")
    for number, due in ((0, START), (2, START + 6)):
        timed(worker, *((due + 3, one, 0, number, due, due) for one in range(3)))
    worker.finish(START + 10**6, {0: 3})
    dues = {one.number: one.due_ns for one in worker.accounting.take_followed()}
    assert dues == {0: 0, 1: NOT_KNOWN, 2: 6}


def test_one_publish_of_so_many_is_followed():
    worker = worker_of(publishers=2, rooms="a")
    worker.accounting._follow_every = 3
    for number in range(6):
        for publisher in range(2):
            timed(worker, *((START + 9, one, publisher, number, START + 5, START + 5) for one in range(3)))
    worker.settle(START + 10)
    followed = [(one.publisher, one.number) for one in worker.accounting.take_followed()]
    assert sorted(followed) == [(0, 0), (0, 3), (1, 1), (1, 4)]


def test_each_subscriber_with_a_gap_is_counted_once_with_what_it_had_to_get():
    worker = worker_of(rooms="a")
    for number in range(6):
        # The second subscriber misses numbers 1, 2 and 4.
        those = (0, 2) if number in (1, 2, 4) else (0, 1, 2)
        timed(worker, *((START + 9, one, 0, number, START + 5, START + 5) for one in those))
    worker.finish(START + 100, {0: 6})
    assert worker.tally.subscribers_with_gaps == 1
    assert worker.tally.delivery_gaps == {"2": 1, "1": 1}
    assert worker.columns.expected.tolist() == [6, 6, 6]
    assert worker.columns.delivered.tolist() == [6, 3, 6]


def test_what_may_have_been_due_in_the_warm_up_is_ambiguous_and_its_repeats_are_not_counted():
    worker = worker_of(rooms="a")
    worker.accounting.measured_from_ns = START + 50
    timed(worker, *((START + 48, one, 0, 0, START + 45, START + 45) for one in (0, 0, 1, 2)))
    timed(worker, *((START + 65, one, 0, 2, START + 60, START + 60) for one in range(3)))
    worker.finish(START + 200, {0: 3})
    # Number 1 came to none: it was sent between the other two.
    assert worker.tally.deliveries_ambiguous == 3
    assert worker.tally.deliveries_expected == worker.tally.deliveries == 3
    assert worker.tally.deliveries_duplicate == worker.tally.deliveries_missing == worker.tally.deliveries_replayed == 0
    assert worker.tally.delivery_time_ns.count == 3


def test_what_came_in_an_earlier_stay_is_timed_and_what_comes_again_in_a_later_one_is_not():
    worker = worker_of(subscribers=2, rooms="a")
    sent = START + 5
    # The first flush is after the return: the delivery came before it.
    publish = worker.accounting.publish_of(Marker(0, 0, 5, 5))
    publish.add_slot(0)
    publish.add_time(START + 9)
    worker.go(0, START + 15, by_target=True)
    worker.come(0, START + 20)
    worker.settle(START + 21)
    assert worker.tally.delivery_time_ns.count == 1
    worker.go(1, START + 16, by_target=False)
    worker.come(1, START + 22)
    timed(worker, (START + 25, 1, 0, 0, sent, sent))
    assert worker.tally.delivery_time_ns.count == 1
    worker.finish(START + 200, {0: 1})


def test_what_was_published_before_a_subscriber_joined_is_replayed():
    worker = Worker(FanOut(1, 2, rooms=("a",)))
    worker.come(0, START)
    worker.come(1, START + 10)
    timed(worker, *((START + 12, one, 0, 0, START + 5, START + 5) for one in (0, 1)))
    worker.finish(START + 200, {0: 1})
    assert (worker.tally.deliveries_expected, worker.tally.deliveries, worker.tally.deliveries_replayed) == (1, 1, 1)
    assert worker.tally.delivery_time_ns.count == 1
