"""A session joins the load once, whether it was ready before the load began or after."""

import asyncio

import pytest

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.load_models.closed_loop import ClosedLoopRunner
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import FaultyServer, behaviors


@pytest.mark.parametrize("options", [{"in_flight": 2}, {"rate": 10}], ids=["closed loop", "open loop"])
def test_a_session_that_is_ready_before_its_begin_joins_once(options):
    async def main(url):
        plan = make_plan(url, connections=1, duration=1, workers=1, **options)
        pool = ConnectionPool(plan, Shard(0, 1))
        await pool.opener.open_all()
        (connection,) = pool.ready()
        pool.loading = True
        pool.load.start([connection.sender], monotonic_ns(), monotonic_ns() + 10**9)
        assert pool.load.sessions == 1
        assert pool.begin(connection)
        sessions, in_flight = pool.load.sessions, connection.sender.in_flight
        pool.load.end(monotonic_ns())
        await pool.close_all()
        return sessions, in_flight

    with FaultyServer(behaviors.echoes) as server:
        sessions, in_flight = asyncio.run(main(server.url))
    assert sessions == 1
    assert in_flight <= 2


def test_however_many_sessions_wait_for_messages_the_fleet_is_asked_once():
    plan = make_plan("ws://localhost:1", connections=3, messages=10, workers=2)
    asked = []
    load = ClosedLoopRunner.of(plan, Shard(0, 2), None, on_exhausted=asked.clear, on_idle=asked.append)
    load.on_change = lambda: asked.append(load.state().waiting)
    senders = [SentCounts() for _ in range(3)]
    for sender in senders:
        load.wait_for_more(sender, 2)
    assert asked == [2]
    assert load.state().waiting == 6
    load.switch(LoadSwitch(messages=(5, 5)))
    assert [sender.counts for sender in senders] == [[2]] * 3
    load.wait_for_more(senders[0], 1)
    assert asked == [2, 1], "it waits anew"


class SentCounts:
    """Takes the place of a sender."""

    def __init__(self):
        self.counts = []

    def send(self, count):
        """Takes note of the count."""
        self.counts.append(count)
