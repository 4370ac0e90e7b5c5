"""Alarms without time: all ring, each once, and none for longer than a turn of the loop."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scenario.scenes import MS, START_NS, S, TickingClock
from ws_load_test.common.loop_turns import TURN_NS
from ws_load_test.engine.scenario import alarms
from ws_load_test.engine.scenario.alarms import ALARMS_PER_LOOK, DEADLINE, LOOK_AHEAD_NS, Alarms
from ws_load_test.engine.scenario.player import WAIT


class Bell:
    """Notes when it rings; each ring can take time, and set another alarm."""

    def __init__(self, clock, takes_ns=0):
        self.clock, self.takes_ns = clock, takes_ns
        self.rung = []
        self.armed_ns = None
        self.ring = None
        self.alarms = Alarms()
        self.again = {}

    def new_timer(self, ring):
        self.ring = ring
        return self

    def arm(self, at_ns):
        self.armed_ns = at_ns

    def close(self):
        self.armed_ns = None

    def on_alarm(self, kind, at_ns):
        assert at_ns <= self.clock.now_ns()
        self.rung.append((kind, at_ns))
        self.clock.advance(self.takes_ns)
        if kind in self.again:
            self.alarms.set(self.again.pop(kind), self, kind)


@pytest.fixture
def clock():
    clock = TickingClock(START_NS)
    with mock.patch.object(alarms, "monotonic_ns", clock.now_ns):
        yield clock


def run_all(bell, clock):
    """Lets the timer go off until nothing is armed; returns the number of turns."""
    turns = 0
    while bell.armed_ns is not None:
        clock.advance(max(0, bell.armed_ns - clock.now_ns()))
        bell.armed_ns = None
        turns += 1
        bell.ring()
    return turns


@settings(max_examples=50, deadline=None)
@given(instants=st.lists(st.integers(-5, 50), min_size=1, max_size=100), takes_ns=st.sampled_from([0, 1000, MS]))
def test_each_rings_once_and_in_order(instants, takes_ns):
    clock = TickingClock(START_NS)
    with mock.patch.object(alarms, "monotonic_ns", clock.now_ns):
        bell = Bell(clock, takes_ns)
        with mock.patch.object(alarms, "new_timer", bell.new_timer):
            for kind, at_ms in enumerate(instants):
                bell.alarms.set(START_NS + at_ms * MS, bell, kind)
        run_all(bell, clock)
    assert sorted(bell.rung) == sorted((kind, START_NS + at_ms * MS) for kind, at_ms in enumerate(instants))
    assert [at_ns for _, at_ns in bell.rung] == sorted(at_ns for _, at_ns in bell.rung)


def test_an_alarm_for_an_instant_that_has_passed_rings_in_the_next_turn(clock):
    bell = Bell(clock)
    bell.again = {0: START_NS - MS}
    with mock.patch.object(alarms, "new_timer", bell.new_timer):
        bell.alarms.set(START_NS, bell, 0)
        bell.alarms.set(START_NS, bell, 1)
    bell.ring()
    assert bell.rung == [(0, START_NS)]
    assert bell.armed_ns == START_NS - MS
    bell.ring()
    assert bell.rung == [(0, START_NS), (0, START_NS - MS), (1, START_NS)]


def test_they_ring_for_no_longer_than_a_turn(clock):
    bell = Bell(clock, takes_ns=10_000)
    with mock.patch.object(alarms, "new_timer", bell.new_timer):
        for kind in range(1000):
            bell.alarms.set(START_NS, bell, kind)
    bell.ring()
    assert TURN_NS // 10_000 <= len(bell.rung) <= TURN_NS // 10_000 + ALARMS_PER_LOOK
    assert run_all(bell, clock) > 2
    assert len(bell.rung) == 1000
    bell.alarms.close()
    assert bell.armed_ns is None


class Deadline(Bell):
    """A time-out that is needed at some instants alone, and put off to another elsewhere."""

    def __init__(self, clock, needed=(), later=None):
        super().__init__(clock)
        self.needed, self.later, self.looked_at = set(needed), dict(later or {}), []

    def has_deadline(self, at_ns):
        self.looked_at.append(at_ns)
        if at_ns in self.later:
            self.alarms.set_deadline(self.later[at_ns], self)
        return at_ns in self.needed


def test_a_deadline_that_is_needed_rings_at_its_instant_and_another_wakes_nothing(clock):
    at_ns = [START_NS + second * S for second in range(5)]
    bell = Deadline(clock, needed=at_ns[3:4], later={at_ns[1]: at_ns[3]})
    with mock.patch.object(alarms, "new_timer", bell.new_timer):
        for instant in at_ns[1:3]:
            bell.alarms.set_deadline(instant, bell)
            bell.alarms.set(instant - LOOK_AHEAD_NS, bell, WAIT)
    waits = [(WAIT, instant - LOOK_AHEAD_NS) for instant in at_ns[1:3]]
    turns = run_all(bell, clock)
    assert bell.rung == [*waits, (DEADLINE, at_ns[3])]
    assert bell.looked_at == at_ns[1:4]
    assert turns == len(bell.rung)
    assert clock.now_ns() == at_ns[3]


def test_a_deadline_rings_at_its_instant_though_nothing_else_does(clock):
    bell = Deadline(clock, needed=[START_NS + 1, START_NS + S])
    with mock.patch.object(alarms, "new_timer", bell.new_timer):
        bell.alarms.set_deadline(START_NS + S, bell)
        bell.alarms.set_deadline(START_NS + 1, bell)
        bell.alarms.set(START_NS + 2 * S, bell, WAIT)
    assert bell.armed_ns == START_NS + 1
    run_all(bell, clock)
    assert bell.rung == [(DEADLINE, START_NS + 1), (DEADLINE, START_NS + S), (WAIT, START_NS + 2 * S)]
    bell.alarms.set_deadline(START_NS + 9 * S, bell)
    bell.alarms.close()
    assert bell.armed_ns is None
