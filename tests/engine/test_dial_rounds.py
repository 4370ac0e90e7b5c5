"""A target that takes no more connections is not dialed for all of them."""

import asyncio
import contextlib
import socket

import msgspec
import pytest
from test_opening import plan_of

from ws_load_test.api import run
from ws_load_test.common.errors import ExitCode, PlanError
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.sharding import Shard
from ws_load_test.engine import session_opener
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.session_opener import TimeoutRounds
from ws_load_test.messages import SetupMessage
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.testing import FaultyServer, behaviors

HUNG, OPENED, FAILED = (
    {"opened": False, "timed_out": True},
    {"opened": True, "timed_out": False},
    {"opened": False, "timed_out": False},
)


@pytest.mark.parametrize(
    ("outcomes", "hopeless"),
    [
        ([HUNG] * 127, False),
        ([HUNG] * 128, True),
        ([FAILED] * 500, False),
        ([FAILED, *[HUNG] * 128], True),
        ([OPENED, *[HUNG] * 128], False),
        ([OPENED, *[HUNG] * 256], True),
        ([OPENED, *[HUNG] * 100, OPENED, *[HUNG] * 155], True),
        ([OPENED, *([HUNG] * 30 + [OPENED]) * 40], False),
        ([OPENED, *[HUNG] * 255, OPENED, OPENED, OPENED, OPENED, OPENED], False),
    ],
)
def test_whole_rounds_of_time_outs_are_hopeless(outcomes, hopeless):
    rounds = TimeoutRounds()
    for outcome in outcomes:
        rounds.note(**outcome)
    assert rounds.are_hopeless() is hopeless


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(FaultKind.CONNECT_TIMEOUT), True),
        (Fault(FaultKind.UPGRADE_TIMEOUT), True),
        (Fault(FaultKind.PROXY, "timeout"), True),
        (Fault(FaultKind.PROXY, "407"), False),
        (Fault(FaultKind.CONNECT_REFUSED), False),
    ],
)
def test_faults_that_are_time_outs(fault, expected):
    assert fault.is_timeout is expected


@pytest.fixture
def rounds_of_four(monkeypatch):
    monkeypatch.setattr(session_opener, "MAX_CONCURRENT_DIALS", 4)
    monkeypatch.setattr(session_opener.DialBudget.__init__, "__defaults__", (4,))
    monkeypatch.setattr(session_opener, "MIN_ROUND_DIALS", 2)


def opened_by(plan, connections, fault="not-dialed"):
    """Opens the sessions of a plan, and returns the tally and the sentence of the fault."""
    plan = msgspec.structs.replace(plan, connections=connections)

    async def main():
        pool = ConnectionPool(plan, Shard(0, 1))
        await asyncio.wait_for(pool.opener.open_all(), 20)
        await pool.close_all()
        return pool.collect()

    tally, examples = asyncio.run(main())
    return tally, examples.get(fault, "")


def test_a_target_whose_backlog_is_full_is_given_up(rounds_of_four):
    with socket.socket() as listening, contextlib.ExitStack() as fillers:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        tally, text = opened_by(plan_of(url, connect_timeout_ns=400_000_000), 1000)
    assert (tally.attempted, tally.failed, tally.opened) == (1000, 1000, 0)
    assert tally.faults["connect-timeout"] <= 12, "some rounds, and not all of them"
    assert tally.faults.total() == 1000
    missing = tally.faults["not-dialed"]
    assert text == (
        f"takes no more connections: 4 dials in a row timed out after 400 ms, so that {missing} of 1,000 on one worker "
        "were not dialed"
    )


@pytest.mark.alone
def test_those_that_opened_stay(rounds_of_four):
    with FaultyServer(*[behaviors.echoes] * 5, behaviors.silent_after_request) as server:
        tally, text = opened_by(plan_of(server.url, connect_timeout_ns=100_000_000), 100)
    assert (tally.attempted, tally.failed, tally.opened) == (100, 95, 5)
    assert tally.faults["upgrade-timeout"] + tally.faults["not-dialed"] == 95
    assert 8 <= tally.faults["upgrade-timeout"] <= 20
    assert text.startswith("takes no more connections: 8 dials in a row")


@pytest.mark.alone
def test_a_target_that_opens_now_and_then_is_not_given_up(rounds_of_four):
    turns = [behaviors.silent_after_request, behaviors.echoes, behaviors.silent_after_request] * 10
    with FaultyServer(*turns) as server:
        tally, text = opened_by(plan_of(server.url, connect_timeout_ns=100_000_000), 24)
    assert not text
    assert tally.opened == 8


@pytest.mark.alone
def test_one_way_of_several_is_given_up_alone(rounds_of_four):
    with FaultyServer(behaviors.echoes) as good, FaultyServer(behaviors.silent_after_request) as bad:
        plan = plan_of(good.url, bad.url, connect_timeout_ns=100_000_000)
        tally, text = opened_by(plan, 100)
    assert tally.opened == 50
    assert tally.faults["upgrade-timeout"] + tally.faults["not-dialed"] == 50
    assert tally.faults["not-dialed"] >= 40
    assert text.startswith("takes no more connections: 2 dials in a row")


# --- The time of the opening ----------------------------------------------------------------------------------------


def test_it_ends_with_what_is_open_when_the_time_is_over(rounds_of_four):
    with FaultyServer(*[behaviors.echoes] * 3, behaviors.silent_after_request) as server:
        plan = msgspec.structs.replace(plan_of(server.url), open_timeout_ns=10**9)
        tally, text = opened_by(plan, 20, fault="open-timeout")
    assert (tally.opened, tally.cancelled, tally.failed, tally.attempted) == (3, 4, 13, 20)
    assert tally.faults == {"open-timeout": 17}
    assert text == (
        "the opening was over after 1 s (--open-timeout): of 20 on one worker, 13 were not dialed, and 4 dials were "
        "cancelled"
    )


def test_the_load_runs_on_what_is_open_and_the_run_passes():
    with FaultyServer(behaviors.echoes, behaviors.silent_after_request) as server:
        result = run(make_plan(server.url, connections=3, open_timeout="1s", messages=5, workers=1))
    assert result.exit_code == ExitCode.PASSED
    assert (result.summary.messages.answered, result.summary.faults) == (5, {"open-timeout": 2})


def test_a_run_fails_that_has_no_session_by_then():
    with FaultyServer(behaviors.silent_after_request) as server:
        result = run(make_plan(server.url, connections=2, open_timeout="50ms", duration="1s"))
    assert result.exit_code == ExitCode.NOTHING_OPENED
    assert (result.summary.connections.cancelled, result.summary.faults) == (2, {"open-timeout": 2})


def test_an_opening_in_time_counts_nothing():
    with FaultyServer(behaviors.echoes) as server:
        plan = msgspec.structs.replace(plan_of(server.url), open_timeout_ns=10**10)
        tally, _ = opened_by(plan, 3)
    assert (tally.opened, tally.cancelled, tally.faults.total()) == (3, 0, 0)


def test_a_session_that_is_being_set_up_goes_on_with_it():
    with FaultyServer(behaviors.delays(800_000_000)) as server:
        plan = msgspec.structs.replace(
            plan_of(server.url), connections=1, setup_messages=(SetupMessage(b"hello"),), open_timeout_ns=400_000_000
        )

        async def main():
            pool = ConnectionPool(plan, Shard(0, 1))
            await asyncio.wait_for(pool.opener.open_all(), 20)
            at_first = pool.carrying
            await asyncio.wait_for(asyncio.gather(*pool.opener._setups), 20)
            carrying = pool.carrying
            await pool.close_all()
            return at_first, carrying, pool.collect()[0]

        at_first, carrying, tally = asyncio.run(main())
    assert (at_first, carrying) == (0, 1)
    assert (tally.opened, tally.cancelled, tally.faults.total()) == (1, 0, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ramp": "10s", "open_timeout": "9s"}, "is over before the last of 100 connections is due, after 9.90 s"),
        ({"connect_rate": 10, "open_timeout": "5s"}, "is over before the last of 100 connections is due"),
        ({"open_timeout": 0}, "0 is too short"),
    ],
)
def test_a_time_that_is_over_too_early_is_an_error(options, words):
    with pytest.raises(PlanError, match=words):
        make_plan("ws://h:1/", connections=100, **options)
