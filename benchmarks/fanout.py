"""Costs of a delivery: processor time beside that of a push that is only counted, and how many a second are held.

    python benchmarks/fanout.py             # in process: bytes are fed to the sessions, in short turns side by side
    python benchmarks/fanout.py --loop      # the same in the compiled loop, over socket pairs, without the collection
    python benchmarks/fanout.py --held      # 200,000 deliveries a second over sockets, for 10 s

In process, both kinds of sessions get the same frames: of one message, 100 sessions each read the same bytes, as with a
broadcast. What the interval's collection costs (rows into histograms, publishes that are settled) is in the figure of
the delivery. Figures are medians over the turns: other programs on the machine add to some of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from ws_load_test import make_plan, run
from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.sharding import Shard
from ws_load_test.echo import EchoProcess
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.native.reactor import FoundDeliveries, Reactor
from ws_load_test.engine.native.rules import questions_of, rules_of
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.messages.marker import MarkerCodec
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.plan.plan import Plan

SESSIONS, PUBLISHES, TURNS = 100, 300, 31
TEXT = '{{"op":"say","room":"lobby","text":"{}","from":"user-7"}}'
JOIN, SAY = '{"op": "join", "room": "{room}"}', '{"op": "say", "room": "{room}", "text": "{marker}"}'


class SilentTransport(asyncio.Transport):
    """Takes the place of a socket, of which nothing is needed here."""

    def get_extra_info(self, name: str, default: object = None) -> object:  # noqa: ARG002 - there is none
        """Returns the default."""
        return default


def sessions(plan: Plan) -> tuple[ConnectionPool, list[Connection], int]:
    """Returns the sessions of a plan as after their upgrade, and the instant at which the load has begun."""
    pool = ConnectionPool(plan, Shard(0, 1))
    found = []
    for number in range(plan.connections):
        connection = pool.new_connection(number)
        connection.connection_made(SilentTransport())
        connection.set_receiver(connection.sender)
        if pool.audience is not None:
            pool.audience.joined(number)
        found.append(connection)
    now_ns = monotonic_ns()
    if pool.audience is not None:
        pool.audience.start(LoadWindow(now_ns, now_ns, None, LoadSwitch(), tag=b"abc"))
    return pool, found, now_ns


def frame(text: str) -> bytes:
    """Returns a server's frame of a text."""
    return frames.encode_frame(frames.TEXT, text.encode())


def turn(pool: ConnectionPool, found: list[Connection], messages: list[bytes]) -> float:
    """Returns the processor time in ns of a message to one session, its share of the collection included."""
    started = time.process_time_ns()
    for data in messages:
        for connection in found:
            connection.data_received(data)
    tally, _ = pool.collect()
    took_ns = time.process_time_ns() - started
    count = len(messages) * len(found)
    assert count in {tally.deliveries, tally.pushed}, "each message is counted"
    return took_ns / count


async def compare() -> None:
    """Prints the cost of a delivery and of a push."""
    url, common = "ws://localhost:1", {"rate": 1, "duration": 1, "workers": 1, "timeout": "100ms"}
    fan_out = make_plan(url, subscribers=SESSIONS, message=TEXT.format("{marker}"), **common)
    pushes = make_plan(url, connections=SESSIONS, match="none", **common)
    pool, publishers_and_subscribers, start_ns = sessions(fan_out)
    plain_pool, plain, _ = sessions(pushes)
    codec, number = MarkerCodec(b"abc"), 0
    ratios, costs = [], []
    for _ in range(TURNS):
        messages = []
        for _ in range(PUBLISHES):
            marker = codec.encode(0, number, monotonic_ns() - start_ns, 0)
            messages.append(frame(TEXT.format(marker.decode())))
            number += 1
        delivery = turn(pool, publishers_and_subscribers[1:], messages)
        push = turn(plain_pool, plain, messages)
        ratios.append(delivery / push)
        costs.append((delivery, push))
    delivery, push = (statistics.median(one) for one in zip(*costs, strict=True))
    print(f"a delivery {delivery:,.0f} ns   a push {push:,.0f} ns   ratio {statistics.median(ratios):.2f}")
    print(f"ratios from {min(ratios):.2f} to {max(ratios):.2f}, of {TURNS} turns of {PUBLISHES * SESSIONS:,}")


def loop_turn(reactor: Reactor, ends: list[socket.socket], data: bytes, messages: int) -> float:
    """Returns the processor time in ns of a message in the compiled loop, its reading included."""
    for end in ends:
        end.send(data)
    started = time.process_time_ns()
    reactor.run(monotonic_ns() + NS_PER_S)
    return (time.process_time_ns() - started) / (messages * len(ends))


def compare_in_loop(messages: int) -> None:
    """Prints the cost of a delivery and of a push in the compiled loop, for so many messages in a read."""
    reading = ReadPolicy.of(plan := make_plan("ws://localhost:1", rate=1, duration=1, workers=1, match="none"))
    marker = MarkerCodec(b"abc").encode(3, 12345, 10**12, 54321)
    data = frame(TEXT.format(marker.decode())) * messages
    found, loops = FoundDeliveries(), []
    found.begin(b"wabc")
    with ExitStack() as stack:
        for delivers in (False, True):
            reactor = Reactor(False, b"", 1, 1 << 20)
            reactor.match(rules_of(plan.correlation, reading), True, questions_of(plan.correlation, reading))
            if delivers:
                reactor.receive(found)
            pairs = [socket.socketpair() for _ in range(SESSIONS)]
            for ours, theirs in pairs:
                stack.enter_context(ours)
                stack.enter_context(theirs)
                ours.setblocking(False)
                reactor.lend(ours.fileno())
            loops.append((reactor, [theirs for _, theirs in pairs]))
        costs = []
        for _ in range(10 * TURNS):
            costs.append([loop_turn(reactor, ends, data, messages) for reactor, ends in loops])
            assert found.count == messages * SESSIONS, "each delivery is found"
            found.take()
            found.take_turns()
    push, delivery = (statistics.median(one) for one in zip(*costs, strict=True))
    more = statistics.median(delivery - push for push, delivery in costs)
    print(f"{messages} in a read: a delivery {delivery:,.0f} ns   a push {push:,.0f} ns   {more:+,.0f} ns")


def held(per_s: int, seconds: int, workers: int, engine: str) -> None:
    """Prints whether so many deliveries a second were held, over sockets, and what the report says."""
    subscribers = 1000
    options = {"publishers": 10, "subscribers": subscribers, "rooms": 10, "rate": per_s / (subscribers / 10)}
    with EchoProcess() as server:
        result = run(
            make_plan(
                f"{server.url}?chat",
                duration=seconds,
                workers=workers,
                first_message=JOIN,
                message=SAY,
                timeout="2s",
                engine=engine,
                **options,
            )
        )
    summary = result.summary
    fan_out = summary.fanout
    assert fan_out is not None
    counts, times = fan_out.deliveries, fan_out.delivery_time_ns
    print(
        f"{workers} workers: {counts.delivered / seconds:,.0f} deliveries/s of {per_s:,} asked, reach {fan_out.reach}"
    )
    print(f"sent {fan_out.publishes.sent:,}, dropped {summary.messages.due - summary.messages.sent:,}")
    if times is not None and fan_out.read_lag_ns is not None:
        lag_ms = fan_out.read_lag_ns.p99 / 1e6
        print(f"delivery p50 {times.p50 / 1e6:.2f} ms, p99 {times.p99 / 1e6:.2f} ms; read lag p99 {lag_ms:.2f} ms")
    cpu_ns = sum(load.cpu_ns for one in result.recording.intervals if one.phase == "measured" for load in one.workers)
    print(
        f"processor time of a delivery, with its share of a publish: {cpu_ns / 1000 / max(1, counts.delivered):.2f} µs"
    )
    print(f"generator saturated: {summary.generator.saturated}")


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=cast("str", __doc__).partition("\n")[0])
    parser.add_argument("--held", action="store_true", help="deliveries a second over sockets")
    parser.add_argument("--loop", action="store_true", help="the cost of a delivery in the compiled loop")
    parser.add_argument("--engine", default="auto", help="one of ours, over sockets")
    parser.add_argument("--per-s", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    if arguments.held:
        held(arguments.per_s, arguments.seconds, arguments.workers, arguments.engine)
    elif arguments.loop:
        for messages in (1, 16):
            compare_in_loop(messages)
    else:
        asyncio.run(compare())


if __name__ == "__main__":
    main()
