"""Scenarios for tests, made in Python, and a worker's players without sockets or time."""

import contextlib
import json
from unittest import mock

import msgspec
from fakes import FakeOwner, FakeSocket

from engine.fan_out.in_process import InProcessFleet
from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import Run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.scenario import (
    alarms,
    code_session,
    coroutine_player,
    exchange,
    followed_player,
    iterations,
    played_connection,
    player,
    reactions,
    session_notes,
)
from ws_load_test.engine.scenario.played_connection import PlayedConnection
from ws_load_test.engine.scenario.scenario_load import ScenarioLoad
from ws_load_test.engine.sessions import connection as connection_module
from ws_load_test.engine.sessions import session as session_module
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.messages.generator import MessageGenerator
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import Check, parse_check
from ws_load_test.plan.load import RoleLoad
from ws_load_test.plan.scenario.model import Capture, Reaction, Role, Scenario, Step, Text, Timer
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.testing import ManualClock
from ws_load_test.websocket import frames

MS = 1_000_000
S = 1000 * MS
START_NS = 10**12
TIMEOUT_NS = 10 * S


def text(content, **options):
    """A message; it is a template if it has braces that may be a field."""
    return Text(content.encode(), is_template="{" in content, **options)


def wait(ns):
    return WaitTime("fixed", ns=ns)


def checks(*texts):
    return tuple(one if isinstance(one, Check) else parse_check(one) for one in texts)


def step(name, send=None, *awaits, until=(), first=(), expect=(), capture=None, **options):
    return Step(
        name=name,
        send=None if send is None else text(send),
        awaits=checks(*awaits),
        until=checks(*until),
        first=checks(*first),
        expect=checks(*expect),
        captures=tuple(Capture(key, place) for key, place in (capture or {}).items()),
        **options,
    )


def on(name, *when, send=None, capture=None, **options):
    return Reaction(
        name=name,
        when=checks(*when),
        send=None if send is None else text(send),
        captures=tuple(Capture(key, place) for key, place in (capture or {}).items()),
        **options,
    )


def timer(every_ns, name, send=None, *awaits, **options):
    return Timer(every_ns, step(name, send, *awaits, **options))


def role(name="user", sessions=1, **parts):
    return Role(name=name, sessions=sessions, **parts)


def plan_of(*roles, url="ws://localhost", rooms=(), **options):
    """A plan whose load is a scenario of these roles."""
    scenario = Scenario(roles=roles, rooms=rooms)
    plan = make_plan(url, connections=scenario.sessions, **{"duration": "1h", "workers": 1, **options})
    return msgspec.structs.replace(plan, scenario=scenario, load=RoleLoad())


class TickingClock(ManualClock):
    """A clock that can go on by itself, a little with each reading."""

    tick_ns = 0

    def now_ns(self):
        self.advance(self.tick_ns)
        return super().now_ns()


class FakeWorker(FakeOwner):
    """A worker's players, with time and sockets moved by hand; it is their owner, keeper, and the alarms' timer."""

    def __init__(self, plan, *, workers=1, worker=0, warmup_ns=0):
        super().__init__(due_when_sent=False, measured_from_ns=START_NS + warmup_ns)
        self.plan = plan
        self.armed_ns = self.ring_alarms = None
        share = Shard(worker, workers)
        self.load = ScenarioLoad.of(plan, share, self, on_exhausted=lambda: None, on_idle=self.on_idle)
        self.load.compile(MessageGenerator(plan.message, share, plan.scenario.room_of), lambda _: ())
        self.load.rows.set_window(from_ns=START_NS + warmup_ns)
        self.load.keeper = self
        self.reading = ReadPolicy.of(plan)
        self.sessions = []
        self.kernels = []
        self.retired = []
        self.collected = Tally()

    @property
    def connections(self):
        return [one for one in self.sessions if not one.ended]

    # The timer's part.

    def new_timer(self, ring):
        self.ring_alarms = ring
        return self

    def arm(self, at_ns):
        self.armed_ns = at_ns

    def close(self):
        self.armed_ns = self.ring_alarms = None

    # The keeper's part.

    def retire(self, connection, *, replace, code):
        self.retired.append((connection.number, replace))
        connection.sender.stop_sending()
        if not connection.sender.in_flight:
            connection.close(code=code)

    def end_session(self, connection, fault):
        connection.close(fault)

    def on_idle(self, connection):
        super().on_idle(connection)
        if (connection.number, True) in self.retired:
            connection.close()

    # What happens.

    def open(self, number=0):
        """Opens a session; the load begins on it at once if it is ready."""
        connection = PlayedConnection(self, self.reading)
        connection.number = number
        connection.carry(self.load.player(connection))
        kernel = FakeSocket()
        self.sessions.append(connection)
        self.kernels.append(kernel)
        connection.attach(kernel, kernel, secure=False, early=b"")
        connection.sender.open()
        return connection

    def start(self, end_ns=None):
        senders = [one.sender for one in self.connections if not one.receiver.blocks_load]
        self.load.start(senders, START_NS, START_NS + (end_ns or 3600 * S))

    def now(self, at_ns):
        """Moves time to an instant after the start, and lets every alarm ring at its own."""
        until_ns = START_NS + at_ns
        while self.armed_ns is not None and self.armed_ns <= until_ns:
            self.clock.advance(max(0, self.armed_ns - self.clock.now_ns()))
            self.ring()
        self.clock.advance(until_ns - self.clock.now_ns())

    def late(self, at_ns):
        """Moves time to an instant at which the alarms before it ring all at once."""
        self.clock.advance(START_NS + at_ns - self.clock.now_ns())
        while self.armed_ns is not None and self.armed_ns <= self.clock.now_ns():
            self.ring()

    def ring(self):
        self.armed_ns = None
        self.ring_alarms()

    def receive(self, *messages, which=0):
        """Lets a session read messages, all at once."""
        self.sessions[which].data_received(
            b"".join(
                frames.encode_frame(frames.TEXT, (one if isinstance(one, str) else json.dumps(one)).encode())
                for one in messages
            )
        )

    def sent(self, which=0):
        """Returns the texts that a session has sent since the last call; ``<1000>`` is a close frame."""
        kernel = self.kernels[which]
        stream, kernel.stream = kernel.stream, b""
        found = []
        while stream:
            length, start = stream[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(stream[2:4]), 4
            payload = frames.apply_mask(stream[start + 4 : start + 4 + length], stream[start : start + 4])
            is_close = stream[0] & 0x0F == frames.CLOSE
            found.append(f"<{int.from_bytes(payload[:2])}>" if is_close else payload.decode())
            stream = stream[start + 4 + length :]
        return found

    def lose(self, which=0, error=None):
        self.kernels[which].closed = True
        self.sessions[which].connection_lost(error)

    def counts(self):
        """Returns all counts so far."""
        self.load.rows.flush()
        self.samples.flush()
        tally = Tally()
        self.load.rows.collect_into(tally)
        self.collected.merge(tally)
        self.collected.merge(self.tally)
        self.tally = Tally()
        self.samples.tally = self.tally
        return self.collected


async def measured(plan):
    """Runs a plan with its workers in this loop. Returns the result and the tally of the whole run."""
    result = await Run(plan, make_fleet=InProcessFleet).execute()
    return result, aggregate([result.recording]).tally


@contextlib.contextmanager
def world(*roles, workers=1, worker=0, warmup_ns=0, follows=False, **options):
    """A worker while its clock rules the modules under test; with `follows`, it follows some sessions."""
    clock = TickingClock(START_NS)
    made = []
    scenario_modules = (
        *(alarms, code_session, coroutine_player, exchange, followed_player, iterations),
        *(played_connection, player, reactions, session_notes),
    )
    modules = (*scenario_modules, connection_module, session_module)
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "monotonic_ns", clock.now_ns))
        stack.enter_context(mock.patch.object(alarms, "new_timer", lambda ring: made[0].new_timer(ring=ring)))
        worker_ = FakeWorker(plan_of(*roles, **options), workers=workers, worker=worker, warmup_ns=warmup_ns)
        worker_.clock = clock
        if follows:
            worker_.load.follow_some()
        made.append(worker_)
        yield worker_
