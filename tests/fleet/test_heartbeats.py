"""Who was not heard of for too long, by a clock that is moved by hand."""

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.fleet.heartbeats import HeartbeatMonitor
from ws_load_test.testing import ManualClock


def watch(silence, clock, seconds, step_s=0.1):
    """Looks often for a while; returns who was found to be overdue, and when."""
    found = []
    for _ in range(round(seconds / step_s)):
        clock.advance(round(step_s * NS_PER_S))
        found += [(key, clock.now_ns() / NS_PER_S) for key in silence.overdue(clock.now_ns())]
    return found


def test_who_speaks_is_not_overdue_and_who_stops_is_reported_once():
    clock, silence = ManualClock(), HeartbeatMonitor()
    for key in "ab":
        silence.expect(key, 3 * NS_PER_S, clock.now_ns())
    for _ in range(10):
        for key in "ab":
            silence.heard(key, clock.now_ns())
        assert watch(silence, clock, 1) == []
    for _ in range(4):
        silence.heard("a", clock.now_ns())
        found = watch(silence, clock, 1)
        if found:
            [(key, at_s)] = found
            assert key == "b"
            assert 12 < at_s < 12.3
    assert [key for key, _ in watch(silence, clock, 10)] == ["a"]
    assert watch(silence, clock, 10) == []


def test_a_late_beginning_is_allowed_once():
    clock, silence = ManualClock(), HeartbeatMonitor()
    silence.expect("a", 3 * NS_PER_S, clock.now_ns(), grace_ns=30 * NS_PER_S)
    assert watch(silence, clock, 20) == []
    silence.heard("a", clock.now_ns())
    [(_, at_s)] = watch(silence, clock, 20)
    assert 23 < at_s < 23.3


def test_who_need_not_be_heard_and_who_was_never_expected():
    clock, silence = ManualClock(), HeartbeatMonitor()
    silence.expect("a", NS_PER_S, clock.now_ns())
    silence.forget("a")
    silence.forget("b")
    silence.heard("b", clock.now_ns())
    assert watch(silence, clock, 5) == []


def test_a_listener_that_was_asleep_blames_no_target():
    clock, silence = ManualClock(), HeartbeatMonitor()
    silence.expect("a", 3 * NS_PER_S, clock.now_ns())
    assert watch(silence, clock, 2) == []
    clock.advance(3600 * NS_PER_S)
    assert silence.overdue(clock.now_ns()) == []
    [(_, at_s)] = watch(silence, clock, 5)
    assert 3603 < at_s < 3603.5
