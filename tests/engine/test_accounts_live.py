"""Accounts of real runs with faults: they add up, and the number of workers changes nothing."""

import socket

import pytest

from ws_load_test import make_plan
from ws_load_test.api import run
from ws_load_test.echo import EchoProcess
from ws_load_test.metrics.tally import Tally

pytestmark = pytest.mark.every_engine


@pytest.fixture(scope="module")
def echo():
    """An echo server with faults on request."""
    with EchoProcess() as server:
        yield server


def counted(url, **options):
    """All intervals of a run together, once its accounts have been found to add up."""
    plan = make_plan(url, timeout="300ms", **options)
    result = run(plan)
    tally = Tally()
    for interval in result.recording.intervals:
        tally.merge(Tally.from_record(interval.encoded_tally))
    assert tally.due == tally.sent + tally.dropped
    assert tally.sent == tally.answered + tally.unanswered
    assert tally.unanswered == tally.unanswered_wait_ns.count
    assert tally.attempted == tally.opened + tally.failed + tally.cancelled
    assert tally.opened == tally.ended
    assert tally.opened - tally.reconnected - tally.recycled <= plan.connections
    assert tally.reconnected <= tally.lost + tally.storm_disconnected
    assert tally.send_lag_ns.count == (0 if plan.load.due_when_sent else tally.sent)
    assert result.summary.messages.due == tally.due
    return tally


@pytest.fixture(scope="module")
def dead():
    """The URL of a port that refuses every connection."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}/"


@pytest.mark.parametrize("workers", [2])
def test_what_a_dead_url_leaves_goes_to_the_sessions_of_any_worker(echo, dead, workers):
    tally = counted([echo.url, dead], connections=4, rate=200, messages=80, workers=workers)
    assert (tally.due, tally.sent, tally.failed) == (80, 80, 2)


@pytest.mark.parametrize("workers", [2])
def test_one_of_two_sessions_takes_all_once_the_other_is_lost(echo, workers):
    urls = [echo.url, f"{echo.url}?close=1011&after=10"]
    tally = counted(urls, connections=2, rate=200, messages=100, workers=workers)
    assert (tally.due, tally.lost) == (100, 1)
    assert tally.dropped <= 30, "of 45: what was written to a session whose end had not been read"


@pytest.mark.parametrize("workers", [1, 3])
def test_once_all_sessions_are_lost_the_rest_of_the_load_is_dropped(echo, workers):
    tally = counted(f"{echo.url}?close=1011&after=0", connections=3, rate=100, duration="2s", workers=workers)
    # A message may leave between the opening of a session and the close frame behind it.
    assert (tally.due, tally.sent + tally.dropped, tally.answered) == (200, 200, 0)
    assert tally.sent < 100
    tally = counted(f"{echo.url}?close=1011&after=3", connections=3, messages=50, workers=workers)
    assert (tally.due, tally.answered) == (50, 9)


@pytest.mark.parametrize("workers", [2])
def test_a_number_of_messages_is_one_budget_of_all_connections(echo, workers):
    urls = [f"{echo.url}?delay=1ms", f"{echo.url}?delay=40ms"]
    tally = counted(urls, connections=2, messages=150, workers=workers)
    assert tally.answered == 150
    # Half of the messages on the slow session alone would take three seconds.
    assert tally.response_time_ns.percentile(50) < 40_000_000


@pytest.mark.parametrize("workers", [3])
def test_sessions_that_end_and_come_back_add_up(echo, workers):
    tally = counted(
        f"{echo.url}?reset&after=7",
        connections=3,
        rate=300,
        duration="500ms",
        reconnect="now",
        lifetime="150ms",
        workers=workers,
    )
    assert tally.due == 150
    assert tally.opened == 3 + tally.reconnected + tally.recycled


def test_sessions_that_never_carry_the_load_are_counted_as_well(echo):
    tally = counted(
        f"{echo.url}?close=1011&after=0", connections=2, rate=100, duration="300ms", reconnect="30ms", workers=2
    )
    assert tally.opened == 2 + tally.reconnected
    # A message may leave between the opening of a session and the close frame behind it.
    assert (tally.due, tally.sent + tally.dropped, tally.answered) == (30, 30, 0)


@pytest.mark.parametrize("options", [{"max_in_flight": 2}, {"match": "json:id", "message": '{"id": {seq}}'}])
def test_every_message_that_was_sent_has_a_lag(echo, options):
    tally = counted(f"{echo.url}?silent=0.3", connections=3, rate=200, duration="300ms", workers=2, **options)
    assert tally.due == 60
    assert tally.unanswered


def test_a_profile_of_connections_is_followed_by_the_load(echo):
    tally = counted(echo.url, rate=200, connection_stages="200ms@1,200ms@6,200ms@2", duration="600ms", workers=3)
    assert tally.due == 120
    assert tally.dropped < 100, "before the first session was open"
