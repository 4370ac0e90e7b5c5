"""A target that takes no more connections is not dialed for all of them."""

import asyncio
import contextlib
import socket

import msgspec
import pytest
from test_opening import plan_of

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.sharding import Shard
from ws_load_test.engine import session_opener
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.session_opener import TimeoutRounds
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


def opened_by(plan, connections):
    """Opens the sessions of a plan, and returns the tally and the sentence of the fault."""
    plan = msgspec.structs.replace(plan, connections=connections)

    async def main():
        pool = ConnectionPool(plan, Shard(0, 1))
        await asyncio.wait_for(pool.opener.open_all(), 20)
        await pool.close_all()
        return pool.collect()

    tally, examples = asyncio.run(main())
    return tally, examples.get("not-dialed", "")


def test_a_target_whose_backlog_is_full_is_given_up(rounds_of_four):
    with socket.socket() as listening, contextlib.ExitStack() as fillers:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        tally, text = opened_by(plan_of(url, connect_timeout_ns=60_000_000), 1000)
    assert (tally.attempted, tally.failed, tally.opened) == (1000, 1000, 0)
    assert tally.faults["connect-timeout"] <= 12, "some rounds, and not all of them"
    assert tally.faults.total() == 1000
    missing = tally.faults["not-dialed"]
    assert text == (
        f"takes no more connections: 4 dials in a row timed out after 60 ms, so that {missing} of 1,000 on one worker "
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
