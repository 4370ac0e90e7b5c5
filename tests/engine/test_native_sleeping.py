"""Sessions that are asleep: nothing in Python stands for them, and every policy finds them."""

import asyncio
import gc
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.conversations.queue_looks import QueueLooks
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.registry import ENGINES, why_missing
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

pytestmark = pytest.mark.skipif(bool(why_missing("native")), reason=f"not built: {why_missing('native')}")

LOADS = {"closed": {}, "open": {"rate": 500}}


@pytest.fixture(autouse=True)
def collected_garbage():
    """Undoes what an engine does to the garbage collector of its process."""
    yield
    gc.unfreeze()
    gc.enable()


def engine_for(url, **options):
    return ENGINES["native"]()(make_plan(url, workers=1, **options), Shard(0, 1))


def start(engine):
    now_ns = monotonic_ns()
    end_ns = None if engine._plan.duration_ns is None else now_ns + engine._plan.duration_ns
    engine.start(LoadWindow(now_ns, now_ns, end_ns, LoadSwitch()), lambda phase, at_ns: None)


async def ended(engine):
    """Ends a run. Returns all that was counted."""
    await engine.drain({})
    await engine.close()
    assert engine._pool._sleepers.count == 0
    assert engine.status.open_sessions == 0
    return engine.collect().tally


def awake(engine):
    return sorted(connection.number for connection in engine._pool.connections)


async def until(holds):
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("load", LOADS)
def test_the_load_wakes_no_session(load):
    async def main(url):
        engine = engine_for(url, connections=20, messages=200, **LOADS[load])
        await engine.open()
        state = engine.status
        assert (state.open_sessions, state.ready_sessions, engine.load_state.sessions, awake(engine)) == (
            20,
            20,
            20,
            [],
        )
        start(engine)
        await engine.wait()
        assert awake(engine) == []
        return await ended(engine)

    with FaultyServer(behaviors.echoes) as server:
        tally = run(main(server.url))
        assert server.seen.violations == []
    assert (tally.opened, tally.sent, tally.answered, tally.unanswered, tally.lost) == (20, 200, 200, 0, 0)
    assert tally.closed == {"1000": 20}


@pytest.mark.parametrize("load", LOADS)
def test_what_is_odd_in_a_session_wakes_that_one(load):
    """The target ends one session of five, in a way that is a fault."""

    async def ends(peer):
        await peer.upgrade()
        async for _ in peer.messages():
            await peer.send_frame(frames.CLOSE, frames.close_payload(1012, "restart"))
            return

    async def main(url):
        engine = engine_for(url, connections=5, duration="30s", **LOADS[load])
        await engine.open()
        start(engine)
        await until(lambda: engine.status.open_sessions == 4)
        sessions, woken = engine.load_state.sessions, len(awake(engine))
        engine.stop()
        await engine.wait()
        return sessions, woken, await ended(engine)

    with FaultyServer(ends, behaviors.echoes) as server:
        sessions, woken, tally = run(main(server.url))
    assert sessions == 4
    assert woken <= 1
    assert (tally.lost, tally.faults) == (1, {"closed:1012": 1})
    assert tally.close_reasons == {"1012 restart": 1}
    assert tally.unanswered + tally.answered == tally.sent


@pytest.mark.parametrize("load", LOADS)
def test_those_that_are_overdue_wake(load):
    async def main(url):
        engine = engine_for(url, connections=4, duration="30s", timeout="600ms", **LOADS[load])
        await engine.open()
        start(engine)
        await until(lambda: engine.status.open_sessions <= 2)
        assert awake(engine) == [] or engine.status.open_sessions < 4
        engine.stop()
        await engine.wait()
        return await ended(engine)

    with FaultyServer(behaviors.never_answers, behaviors.never_answers, behaviors.echoes) as server:
        tally = run(main(server.url))
    assert tally.faults == {"reply-timeout": 2}
    assert tally.lost == 2


def test_pings_wake_no_session():
    async def main(url):
        engine = engine_for(url, connections=10, rate=100, duration="30s", ping_interval="50ms")
        await engine.open()
        start(engine)
        total = Tally()

        def enough():
            total.merge(engine.collect().tally)
            return total.keepalive_time_ns.count >= 30

        await until(enough)
        assert awake(engine) == []
        engine.stop()
        await engine.wait()
        total.merge(await ended(engine))
        return total

    with FaultyServer(behaviors.echoes) as server:
        tally = run(main(server.url))
        assert server.seen.violations == []
    assert (tally.lost, tally.answered) == (0, tally.sent)
    assert tally.keepalive_time_ns.max > 0


def test_a_pong_that_comes_when_the_session_is_awake_is_timed():
    async def main(url):
        engine = engine_for(url, connections=1, rate=0)
        await engine.open()
        sleepers = engine._pool._sleepers
        (slot, number, _) = sleepers.all()[0]
        sleepers.ping(slot, number)
        connection = sleepers.wake(slot)
        assert connection._pinged_ns > 0
        await until(lambda: connection._pinged_ns == 0)
        # One that is asked for while the session is about to end is nothing to anyone.
        sleepers.ping(slot, number + 1)
        return await ended(engine)

    with FaultyServer(behaviors.echoes) as server:
        assert run(main(server.url)).keepalive_time_ns.count == 1


def test_a_storm_wakes_those_that_it_cuts_off():
    async def main(url):
        plan = {"reconnect": "1ms", "disconnect": "50%@10ms"}
        engine = engine_for(url, connections=10, rate=200, duration="30s", **plan)
        await engine.open()
        start(engine)
        total = Tally()

        def back():
            total.merge(engine.collect().tally)
            return total.storm_recovery_time_ns.count == 5

        await until(back)
        assert engine.status.open_sessions == 10
        assert awake(engine) == []
        engine.stop()
        await engine.wait()
        total.merge(await ended(engine))
        return total

    with FaultyServer(behaviors.echoes) as server:
        tally = run(main(server.url))
    assert (tally.storm_disconnected, tally.reconnected, tally.lost) == (5, 5, 0)


def test_those_that_a_profile_takes_back_are_the_newest():
    async def main(url):
        engine = engine_for(url, connections=6, rate=0)
        await engine.open()
        pool = engine._pool
        # One is awake already, and older than most.
        oldest = min(pool._sleepers.all(), key=lambda one: one[2])
        pool._sleepers.wake(oldest[0])
        numbers = [number for _, number, _ in sorted(pool._sleepers.all(), key=lambda one: one[2])]
        pool.close_surplus(2)
        await until(lambda: engine.status.open_sessions == 2)
        left = [number for _, number, _ in pool._sleepers.all()]
        assert left == numbers[:1]
        assert awake(engine) == [oldest[1]]
        return await ended(engine)

    with FaultyServer(behaviors.echoes) as server:
        assert run(main(server.url)).closed == {"1000": 6}


def test_what_needs_python_keeps_a_session_awake():
    for options in ({"lifetime": "1h"}, {"skip_first": 1}, {"first_message": "hello"}):
        pool = engine_for("ws://127.0.0.1:9/", connections=1, **options)._pool
        assert not pool.sleeps
        pool.opener._plain.loop = None


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_looks_at_all_of_them_are_looks_at_each(rng, lost):
    from ws_load_test.engine.native.sleeping_looks import SleepingLooks

    together, apart = SleepingLooks(), [QueueLooks() for _ in lost]
    asleep = [rng.random() < 0.9 for _ in lost]
    suspected = cleared = 0
    for look in range(120):
        oldest = [
            0 if rng.random() < 0.6 and not (look > 50 and count) else rng.choice([look + 1, look // 2 + 1])
            for count in lost
        ]
        changes = [one.add(at) for one, at, sleeps in zip(apart, oldest, asleep, strict=True) if sleeps]
        suspected += changes.count(1)
        cleared += changes.count(-1)
        seen = [at if sleeps else -1 for at, sleeps in zip(oldest, asleep, strict=True)]
        more, fewer = together.add(np.array(seen[: len(lost)], np.int64))
        suspected -= more
        cleared -= fewer
        assert (suspected, cleared) == (0, 0)
    slot = random.Random(len(lost)).randrange(len(lost))
    if asleep[slot]:
        woken = together.of(slot)
        names = QueueLooks.__slots__
        assert [getattr(woken, name) for name in names] == [getattr(apart[slot], name) for name in names]
    together.begin(slot)
    assert together.of(slot)._empty == together.of(slot)._streak == 0
