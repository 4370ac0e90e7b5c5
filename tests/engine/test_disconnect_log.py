"""Log of what happens around the sessions that a target ends, on a clock of its own."""

from collections import Counter

import pytest

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine import disconnect_log
from ws_load_test.engine.disconnect_log import BOUNCE_NS, LOGGED_NS, DisconnectLog
from ws_load_test.engine.sessions.kind_limits import KindLimits

MS, S = 10**6, 10**9
GOING = Fault(FaultKind.CLOSED, "1012", text="closed")
RESET = Fault(FaultKind.RESET, text="reset")


class Clock:
    """Time that tests set, in ns."""

    now_ns = 100 * S


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(disconnect_log, "monotonic_ns", lambda: made.now_ns)
    return made


def events_after(log, clock, seconds, *calls):
    """Returns what is logged of calls, at so many seconds."""
    clock.now_ns = round(seconds * S)
    log.take()
    for call in calls:
        call()
    return log.take()


def test_before_the_first_end_nothing_is_counted(clock):
    log = DisconnectLog(KindLimits(), reconnects=True)
    assert events_after(log, clock, 1, log.dialed, log.refused, log.closed, lambda: log.opened(1)) == Counter()


def test_what_happens_around_an_end_is_counted_in_its_slot(clock):
    log = DisconnectLog(KindLimits(), reconnects=True)
    ended = events_after(
        log, clock, 100, lambda: log.ended_by_target(1, GOING, 7), lambda: log.ended_by_target(2, RESET, 0)
    )
    assert ended == {"100000 1012": 1, "100000 1006": 1, "100000 unanswered": 7}
    assert events_after(log, clock, 100.5, log.dialed, log.dialed, log.refused, log.closed) == {
        "100500 dialed": 2,
        "100500 refused": 1,
        "100500 closed": 1,
    }
    # The return stands in the second of the loss, with the bucket of its time: 528 to 544 ms.
    assert events_after(log, clock, 100.54, lambda: log.opened(1)) == {"100540 opened": 1, "100000 reconnected:528": 1}


@pytest.mark.parametrize(("age_ns", "bounced"), [(BOUNCE_NS - MS, 1), (BOUNCE_NS, 0)])
def test_a_session_that_is_ended_soon_after_its_return_has_bounced(clock, age_ns, bounced):
    log = DisconnectLog(KindLimits(), reconnects=True)
    events_after(log, clock, 100.2, lambda: log.ended_by_target(1, GOING, 0))
    events_after(log, clock, 102, lambda: log.opened(1))
    again = events_after(log, clock, 102 + age_ns / S, lambda: log.ended_by_target(1, GOING, 0))
    assert again["100000 bounced"] == bounced, "in the second of its first loss"
    assert again.total() == 1 + bounced


def test_it_counts_until_all_are_back_and_a_while_after_that(clock):
    log = DisconnectLog(KindLimits(), reconnects=True)
    events_after(log, clock, 100, lambda: log.ended_by_target(1, GOING, 0))
    long_after = 100 + 3 * LOGGED_NS / S
    assert events_after(log, clock, long_after, log.dialed).total() == 1, "one is not back"
    events_after(log, clock, long_after, lambda: log.opened(1))
    assert events_after(log, clock, long_after, log.dialed) == Counter()


def test_without_reconnecting_none_is_waited_for(clock):
    log = DisconnectLog(KindLimits(), reconnects=False)
    events_after(log, clock, 100, lambda: log.ended_by_target(1, GOING, 0))
    assert events_after(log, clock, 100 + LOGGED_NS / S - 0.001, log.closed).total() == 1
    assert events_after(log, clock, 100 + LOGGED_NS / S, log.closed) == Counter()
