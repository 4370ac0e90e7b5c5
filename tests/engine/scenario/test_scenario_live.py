"""Scenarios over real sockets, against servers whose own logs are what the counts are compared with."""

import asyncio
import contextlib
import json
from collections import Counter

import msgspec
import pytest
import websockets

from engine.fan_out.in_process import measure_in_time, together
from engine.scenario.scenes import MS, measured, on, plan_of, role, step, timer, wait
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import run
from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.testing import FaultyServer, unused_port
from ws_load_test.websocket import frames


class Log:
    """A server that answers each message with an id by the same, and logs the rest."""

    def __init__(self, burst=0, on_message=None):
        self.received = Counter()
        self.pushed = self.sessions = self.at_once = self.most = 0
        self._burst = burst
        self._on_message = on_message

    async def __call__(self, peer):
        await peer.upgrade()
        self.sessions += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        peer.pushed = -1
        try:
            async for message in peer.messages():
                data = json.loads(message.payload)
                self.received[data["op"]] += 1
                if self._on_message is not None and await self._on_message(peer, data):
                    return
                await self.push(peer)
                if "id" in data:
                    await peer.send_raw(frames.encode_frame(frames.TEXT, message.payload))
                    await self.push(peer)
        finally:
            self.at_once -= 1

    async def push(self, peer):
        """Sends a burst of messages that are numbered within their session."""
        burst = b""
        for _ in range(self._burst):
            peer.pushed += 1
            self.pushed += 1
            burst += frames.encode_frame(frames.TEXT, b'{"op": "tick", "n": %d}' % peer.pushed)
        if burst:
            await peer.send_raw(burst)


def say(name, **options):
    return step(name, f'{{"op": "{name}", "id": {{seq}}}}', "json:id={seq}", **options)


def resets_at(where):
    async def reset(peer, data):
        if data["op"] == where:
            peer.reset()
            return True
        return False

    return reset


async def freezes_at_b(peer, data):
    if data["op"] == "b":
        await asyncio.sleep(30)
    return False


async def is_slow_at_a(peer, data):
    await asyncio.sleep(0.15 if data["op"] == "a" else 0)
    return False


CHATTY = role(
    sessions=6,
    open=(say("join"),),
    steps=(step("think", wait=WaitTime("exp", ns=5 * MS)), say("say"), step("tell", '{"op": "tell"}'), say("ask")),
    leave=(say("leave"),),
    reactions=(on("tick", "json:op=tick", sequence="json:n"),),
)
LEAVERS = (
    role("turns", 3, iterations=(1, 3), open=(say("in"),), steps=(say("a"),), leave=(say("out"),)),
    role("stays", 3, stay=WaitTime("exp", ns=50 * MS), steps=(say("b", wait=wait(5 * MS)),), leave=(say("bye"),)),
    role("quits", 2, iterations=(9, 9), steps=(say("c"), step("close", '{"op": "d"}', close=4001))),
)
SHORT = role(
    sessions=3, iterations=(2, 2), open=(say("in"),), steps=(say("a", wait=wait(20 * MS)),), leave=(say("out"),)
)
FREEZING = role(
    sessions=4,
    steps=(say("a"), say("b", timeout_ns=100 * MS)),
    timers=(timer(30 * MS, "t", '{"op": "t"}'),),
)
PACED = (
    role("paced", 2, rate_per_s=100.0, steps=(say("a"), say("b"))),
    role("idle", 5),
    role("late", 1, rate_per_s=50.0, steps=(say("c"),)),
)
VISITOR = role(
    "visitor", 4, arrive_per_s=100.0, arrivals="poisson", iterations=(1, 1), steps=(say("a", wait=wait(60 * MS)),)
)
RESETS = (("in", "none"), ("a", "now"), ("out", "none"), ("never", "now"))
"""Message at which the server resets the connection, and the policy of reconnecting."""
EAGER = role(
    sessions=8,
    steps=(say("a", wait=wait(50 * MS)),),
    timers=(timer(1 * MS, "t", '{"op": "t", "id": {seq}}', "json:id={seq}"),),
)
"""Its timers send all the time, so that some messages fall due right when the measured time begins."""
RUNS = {
    "eager": (Log, [EAGER], {"duration": "100ms", "warmup": "100ms"}),
    "chatty": (lambda: Log(burst=5), [CHATTY], {}),
    "leavers": (Log, LEAVERS, {}),
    "freezing": (lambda: Log(on_message=freezes_at_b), [FREEZING], {"duration": "60s"}),
    "slow": (lambda: Log(on_message=is_slow_at_a), [role(sessions=3, steps=(say("a"),), leave=(say("out"),))], {}),
    "paced": (Log, PACED, {}),
    "paced by 3": (Log, PACED, {"workers": 3}),
    "visitor": (Log, [VISITOR], {}),
    "visitor by 2": (Log, [VISITOR], {"workers": 2, "reconnect": "now"}),
} | {
    f"{where} {policy}": (lambda where=where: Log(on_message=resets_at(where)), [SHORT], {"reconnect": policy})
    for where, policy in RESETS
}
"""Each with a server of its own: server, roles, and options."""


@pytest.fixture(scope="module")
def done():
    """Runs all of them side by side. Returns server, result and tally of each."""

    async def one(new_log, roles, options):
        async def attempt(_):
            log = new_log()
            with FaultyServer(log) as server:
                plan = plan_of(*roles, url=server.url, **{"duration": "500ms", "timeout": "1s"} | options)
                return log, *await measured(plan)

        return await measure_in_time(attempt)

    found = together(**{name: one(*parts) for name, parts in RUNS.items()})
    for name, (_, _, tally) in found.items():
        books_are_right(name, tally)
    return found


def books_are_right(name, tally):
    assert tally.due == tally.sent + tally.dropped, name
    assert tally.sent == tally.answered + tally.unanswered + tally.unawaited, name
    assert tally.response_time_ns.count == tally.answered, name
    for key, one in tally.steps.items():
        assert one.due == one.sent + one.dropped, (name, key)
        assert one.sent == one.answered + one.unanswered + one.unawaited, (name, key)
    for key, one in tally.roles.items():
        assert one.sessions_due == one.sessions_begun + one.sessions_dropped, (name, key)
        assert one.sessions_begun == one.sessions_completed + one.sessions_failed, (name, key)
        assert one.iterations_due == one.iterations_begun + one.iterations_dropped, (name, key)
    assert sum(one.sessions_begun for one in tally.roles.values()) == tally.attempted, name


def nothing_is_missed(log, result, tally):
    assert not result.summary.faults
    assert log.received == Counter({key.removeprefix("user/"): one.sent for key, one in tally.steps.items()})
    assert log.received["join"] == log.received["leave"] == 6
    ticks = tally.reactions["user/tick"]
    assert ticks.seen == log.pushed > 100
    assert (ticks.gaps, ticks.repeats, ticks.out_of_order, ticks.missed) == (0, 0, 0, 0)
    assert tally.pushed == 0
    assert tally.sent == log.received["say"] + log.received["tell"] + log.received["ask"]
    assert tally.roles["user"].sessions_completed == 6


def test_nothing_that_comes_between_steps_is_missed(done):
    """A server sends bursts before and after each answer: every one of its messages is counted, in order."""
    nothing_is_missed(*done["chatty"])


def test_the_same_from_several_processes():
    log = Log(burst=7)
    with FaultyServer(log) as server:
        result = run(plan_of(CHATTY, url=server.url, duration="200ms", workers=2))
    tally = aggregate([result.recording]).tally
    books_are_right("processes", tally)
    nothing_is_missed(log, result, tally)
    excerpts = tally.roles["user"].excerpts
    assert (excerpts.first.session, excerpts.failed) == (0, None)
    assert (excerpts.first.entries[0].name, excerpts.first.entries[0].fate) in {("join", "completed"), ("tick", "")}
    assert {"tick", "tell", "ask"} <= {one.name for one in excerpts.first.entries}
    assert excerpts.slowest.took_ns == tally.response_time_ns.max


def test_a_session_that_fails_has_an_excerpt_of_its_end(done):
    _, _, tally = done["freezing"]
    failed = tally.roles["user"].excerpts.failed
    assert (failed.failed_at, failed.fault) == ("b", "reply-timeout")
    assert {one.name: one.fate for one in failed.entries if one.is_step} | {"t": ""} == {
        "a": "completed",
        "b": "unanswered",
        "t": "",
    }
    assert (failed.entries[-1].kind, failed.entries[-1].name) == ("fault", "reply-timeout")


def test_sessions_leave_and_others_take_their_place(done):
    log, result, tally = done["leavers"]
    assert not result.summary.faults
    assert tally.lost == 0
    # The end of the run calls off dials, of which the server may have taken some.
    begun = sum(one.sessions_begun for one in tally.roles.values())
    assert tally.opened <= log.sessions <= begun == tally.opened + tally.cancelled
    assert begun > 8
    assert tally.steps["turns/out"].answered == log.received["out"]
    assert tally.closed["4001"] >= tally.roles["quits"].sessions_completed - 2
    assert tally.recycled == tally.opened - 8


@pytest.mark.parametrize(("where", "policy"), RESETS)
def test_a_session_that_is_reset_has_failed_at_its_step(done, where, policy):
    log, _, tally = done[f"{where} {policy}"]
    assert tally.opened <= log.sessions <= tally.opened + tally.cancelled
    failed = tally.roles["user"].failed_at
    if where == "never":
        assert not failed
        return
    assert set(failed) == {where}
    # Those that we were closing when they were reset have not failed.
    assert failed[where] == tally.faults["reset"] <= log.received[where] <= failed[where] + 3
    if where == "in":
        assert log.sessions == 3
    # One that has gone through its iterations is replaced, whatever happens to it while it leaves.
    assert tally.recycled <= failed["out"]


def test_a_frozen_server_fails_every_session_at_its_step(done):
    _, result, tally = done["freezing"]
    assert result.summary.faults == {"reply-timeout": 4}
    assert tally.roles["user"].failed_at == {"b": 4}
    assert tally.steps["user/b"].unanswered == 4
    # Nothing comes back, so the run is over.
    assert result.summary.duration_s < 50


def test_the_step_in_flight_ends_before_the_session_leaves(done):
    log, _, tally = done["slow"]
    assert tally.sent == tally.answered == log.received["a"] >= 6
    assert tally.steps["user/out"].answered == log.received["out"] == 3


def test_each_message_is_of_the_warm_up_or_of_the_measured_time(done):
    log, _, tally = done["eager"]
    assert tally.warmup_sent == tally.warmup_answered > 0
    assert tally.warmup_sent + tally.sent == log.received["t"] + log.received["a"]


def test_the_measured_time_is_known_before_it_begins():
    """A timer that is due at its beginning, and sends before the load is there, is measured like its answer."""

    async def main():
        engine = PortableEngine(plan_of(EAGER), Shard(0, 1))
        start_ns = monotonic_ns() + 3600 * NS_PER_S
        engine.start(LoadWindow(start_ns, start_ns + 1, None, LoadSwitch()), lambda *_: None)
        engine._load.cancel()
        assert engine._pool.scenario.rows.measured_from_ns == engine._pool.samples.measured_from_ns == start_ns + 1

    together(run=main())


@pytest.mark.parametrize("name", ["paced", "paced by 3"])
def test_iterations_on_a_schedule_are_shared_by_workers(done, name):
    log, _, tally = done[name]
    paced, late = tally.roles["paced"], tally.roles["late"]
    assert (paced.iterations_due, late.iterations_due) == (50, 25)
    assert paced.iterations_begun == log.received["a"] == tally.steps["paced/a"].sent
    assert late.iterations_begun == log.received["c"]


@pytest.mark.parametrize("name", ["visitor", "visitor by 2"])
def test_sessions_arrive_on_a_schedule_and_more_than_places_are_dropped(done, name):
    log, _, tally = done[name]
    visitors = tally.roles["visitor"]
    assert 25 < visitors.sessions_due < 80
    assert tally.opened <= log.sessions <= visitors.sessions_begun == tally.opened + tally.cancelled
    # A place is free as soon as the session has ended for us, which is before the server notices.
    assert log.most <= 4 + 4
    assert 0 < visitors.sessions_begun <= 40
    assert visitors.sessions_dropped > 5
    assert not visitors.failed_at
    # Those that come later take the place of none.
    assert tally.reconnected == tally.recycled == 0


def test_lifetimes_storms_pings_and_compression_are_as_for_any_session():
    """Against a server of another kind."""
    sessions = []

    async def main():
        user = role(
            sessions=6,
            open=(say("in"),),
            steps=(say("a", wait=wait(5 * MS)), step("b", '{"of": "{my.id}"}')),
            leave=(say("out"), step("close", '{"op": "close"}', close=4002)),
            reactions=(on("echo", "json:of"),),
        )
        options = {"lifetime": "200ms", "disconnect": "50%@250ms", "reconnect": "now", "deflate": "on"}

        async def echo(peer):
            sessions.append(peer)
            with contextlib.suppress(websockets.ConnectionClosed):
                async for message in peer:
                    await peer.send(message)

        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            plan = plan_of(user, url=url, duration="800ms", **options)
            return await measured(msgspec.structs.replace(plan, ping_interval_ns=50 * MS))

    result, tally = together(run=main())["run"]
    books_are_right("pool", tally)
    assert not result.summary.faults
    assert 0 < tally.storm_disconnected <= 3
    assert tally.recycled > 0
    assert tally.reconnected > 0
    assert tally.keepalive_time_ns.count > 0
    assert tally.uncompressed_bytes_sent > 0
    assert tally.reactions["user/echo"].seen <= tally.steps["user/b"].sent
    # Those that left did so with the code of their last step; others were still at `open` when the run ended.
    assert tally.closed["4002"] == tally.steps["user/out"].answered > 0
    assert tally.closed["1006"] >= tally.storm_disconnected
    assert tally.opened <= len(sessions) <= tally.opened + tally.cancelled
    assert not tally.roles["user"].failed_at


def test_an_arrival_at_a_target_that_refuses_fails_at_the_dial():
    with unused_port() as port:
        visitor = role("visitor", 2, arrive_per_s=50.0, steps=(say("a"),))
        plan = plan_of(visitor, url=f"ws://127.0.0.1:{port}", duration="300ms")
        _, tally = together(run=measured(plan))["run"]
    visitors = tally.roles["visitor"]
    assert (visitors.sessions_due, visitors.sessions_begun) == (15, 15)
    # The last one may be called off.
    assert visitors.sessions_completed == tally.cancelled <= 2
    assert visitors.failed_at == {"(dial)": 15 - tally.cancelled}
