"""Session events of one worker, by a manual clock."""

from __future__ import annotations

import pytest

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine import disconnect_log
from ws_load_test.engine.disconnect_log import BOUNCE_NS, LOGGED_NS, DisconnectLog, is_end_by_target
from ws_load_test.engine.sessions.kind_limits import MAX_KINDS, KindLimits
from ws_load_test.metrics.session_events import duration_bucket, is_key

MS, S = 10**6, 10**9
GOING_AWAY, RESET = Fault(FaultKind.CLOSED, "1001"), Fault(FaultKind.RESET)


class Clock:
    """A clock that stands; it counts how often it is read."""

    def __init__(self):
        self.now_ns = 100 * S
        self.read = 0

    def __call__(self):
        self.read += 1
        return self.now_ns


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(disconnect_log, "monotonic_ns", made)
    return made


def a_log(*, reconnects=True):
    return DisconnectLog(KindLimits(), reconnects=reconnects)


def test_a_run_in_which_nothing_ends_reads_no_clock(clock):
    log = a_log()
    for number in range(10):
        log.dialed()
        log.opened(number)
        log.closed()
        log.refused()
    assert log.take() == {}
    assert clock.read == 0


def test_events_are_counted_by_the_millisecond(clock):
    log = a_log()
    log.ended_by_target(1, GOING_AWAY, 2)
    log.ended_by_target(2, GOING_AWAY, 0)
    clock.now_ns += 999_999
    log.ended_by_target(3, RESET, 0)
    clock.now_ns += 50 * MS
    log.dialed()
    log.refused()
    log.closed()
    events = log.take()
    assert events == {
        "100000 1001": 2,
        "100000 unanswered": 2,
        "100000 1006": 1,
        "100050 dialed": 1,
        "100050 refused": 1,
        "100050 closed": 1,
    }
    assert all(map(is_key, events))
    assert log.take() == {}


def test_a_return_is_counted_by_the_second_of_the_loss(clock):
    log = a_log()
    clock.now_ns += 300 * MS
    log.ended_by_target(1, GOING_AWAY, 0)
    log.take()
    clock.now_ns += 1_700 * MS
    log.opened(1)
    log.opened(7)
    assert log.take() == {"102000 opened": 2, f"100000 reconnected:{duration_bucket(1_700 * MS)}": 1}


@pytest.mark.parametrize(("age_ns", "bounced"), [(BOUNCE_NS - 1, 1), (BOUNCE_NS, 0)])
def test_a_session_that_is_ended_again_soon_has_bounced(clock, age_ns, bounced):
    log = a_log()
    log.ended_by_target(1, GOING_AWAY, 0)
    log.opened(1)
    clock.now_ns += age_ns
    log.take()
    log.ended_by_target(1, GOING_AWAY, 0)
    events = log.take()
    assert events["100000 bounced"] == bounced
    # And only once for each return.
    log.ended_by_target(1, GOING_AWAY, 0)
    assert "100000 bounced" not in log.take()


def test_nothing_is_counted_any_more_once_all_is_quiet(clock):
    log = a_log()
    log.ended_by_target(1, GOING_AWAY, 0)
    clock.now_ns += 2 * LOGGED_NS
    log.dialed()
    # It is not back yet.
    assert log.take().total() == 2
    log.opened(1)
    log.take()
    log.dialed()
    assert log.take() == {}
    read = clock.read
    log.dialed()
    assert clock.read == read


def test_without_reconnects_no_session_is_waited_for(clock):
    log = a_log(reconnects=False)
    log.ended_by_target(1, GOING_AWAY, 0)
    clock.now_ns += LOGGED_NS
    log.take()
    log.dialed()
    assert log.take() == {}


def test_close_codes_are_bounded(clock):
    log = a_log()
    for code in range(4000, 4000 + MAX_KINDS + 3):
        log.ended_by_target(1, Fault(FaultKind.CLOSED, str(code)), 0)
    events = log.take()
    assert events["100000 other"] == 3
    assert all(map(is_key, events))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(GOING_AWAY, True), (RESET, True), (None, False)]
    + [(Fault(kind), False) for kind in (FaultKind.REPLY_TIMEOUT, FaultKind.PROTOCOL_ERROR, FaultKind.CHECK_FAILED)],
)
def test_only_ends_by_the_target_count(fault, expected):
    assert is_end_by_target(fault) is expected
