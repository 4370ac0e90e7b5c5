"""One worker's connections: how they are opened, kept, given up and closed.

A crew owns its connections: they report to it what happened to them, and count into its tally. Which load they carry
is the load's matter (`flood`, `paced`); what a run does and when is the worker's (`run`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, classify_host_error
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.misbehaving_clients import SeparateStats, SlowReader
from ws_load_test.engine.open_loop import OpenLoopRunner
from ws_load_test.engine.reconnect import Reconnector
from ws_load_test.engine.session_setup import SessionSetup, wait_until_ready
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import evenly_spaced_ns

if TYPE_CHECKING:
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.connection_factory import LoadConnection
    from ws_load_test.engine.session import Session
    from ws_load_test.plan.plan import Plan

DIALS_AT_ONCE = 128
"""More would overrun the accept queues of most servers, and lost SYNs come back a second later."""
CLOSE_TIMEOUT_S = 2.0
"""How long a target may take to answer a close frame."""
LONGEST_SCAN_NS = NS_PER_S
SHAPE_CHECK_S = 0.02
"""How often the number of connections is brought to what its shape asks."""
MAX_CLOSE_REASONS = 16
"""Different close reasons of one worker that are counted by themselves."""


class ConnectionPool:
    """The connections of one share of a plan, and what they have amounted to since the last report."""

    def __init__(self, plan: Plan, share: Shard, *, multi_host: bool = False) -> None:
        """Takes whether other machines have shares as well.

        Raises:
            UsageError: the plan's certificates or its feed cannot be used.
        """
        self.plan = plan
        self.share = share
        self.tally = Tally()
        on_schedule = isinstance(plan.load, OpenLoop)
        self.samples = SampleBuffer(self.tally, on_schedule=on_schedule)
        self.connections: dict[LoadConnection, None] = {}
        """Those whose TCP connection is open, oldest first."""
        self.open = 0
        """Sessions that are open."""
        self.finished = asyncio.Event()
        """There is nothing left to do: the messages are spent, nobody is connected, or we were told to stop."""
        self.loading = False
        """The load has begun."""
        self.factory = ConnectionFactory(self, plan, share, on_spent=self._on_exhausted, on_idle=self._on_idle)
        self.load = self.factory.load
        self.comeback = Reconnector(self)
        self.misbehaving = SeparateStats(self, on_schedule=on_schedule) if plan.misbehaving is not None else None
        """The owner of the unkind connections, where there are any."""
        self._misbehavior = plan.misbehaving.assign(plan.connections) if plan.misbehaving is not None else {}
        self._dialler = Dialer(plan, share if multi_host else None)
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)
        self._resolved: set[str] = set()
        self._dialled = 0
        self._dialling = 0
        self._examples: dict[str, str] = {}
        self._known_examples: set[str] = set()
        self._reasons: set[str] = set()
        self._retiring: set[LoadConnection] = set()
        self._in_flight: set[LoadConnection] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def continues_without_connections(self) -> bool:
        """Whether the load goes on although no connection is open.

        On a schedule messages fall due then, and are dropped: others may still be connected, which only the fleet can
        know. Where sessions come back, or connections follow a shape, there may be new ones.
        """
        if self.comeback.in_progress:
            return True
        return isinstance(self.load, OpenLoopRunner) and (
            self.share.count > 1 or self.plan.connection_profile is not None
        )

    @property
    def stopping(self) -> bool:
        """Whether the load is over."""
        return self._draining

    def set_window(self, *, from_ns: int | None = None, until_ns: int | None = None) -> None:
        """The measured time begins, or ends, at an instant."""
        for samples in (self.samples, self.misbehaving.samples) if self.misbehaving is not None else (self.samples,):
            if from_ns is not None:
                samples.measured_from_ns = from_ns
            if until_ns is not None:
                samples.measured_until_ns = until_ns
                samples.flush()

    def collect(self) -> tuple[Tally, dict[str, str]]:
        """What has come since the last cut: counts, and a sentence for each kind of fault that was new."""
        self.samples.flush()
        tally, self.tally = self.tally, Tally()
        self.samples.tally = self.tally
        if self.misbehaving is not None:
            tally.misbehaving = self.misbehaving.cut()
        for name in self._dialler.resolved_ns.keys() - self._resolved:
            self._resolved.add(name)
            tally.resolve_time_ns.record(self._dialler.resolved_ns[name])
        examples, self._examples = self._examples, {}
        return tally, examples

    def ready(self) -> list[LoadConnection]:
        """The connections on which the load may begin."""
        return [one for one in self.connections if _is_ready(one)]

    @property
    def has_ready(self) -> bool:
        """Whether the load may begin, or has begun, on any connection."""
        return any(map(_is_ready, self.connections))

    # --- Opening ----------------------------------------------------------------------------------------------------

    async def open_all(self) -> None:
        """Dials every session of the share, at the plan's rate or as fast as they open."""
        plan, total = self.plan, self.plan.connections_in(self.share)
        try:
            await self._dialler.resolve()
        except DialError as error:
            self.tally.attempted += total
            self.tally.failed += total
            self.fault(error.fault, total)
            self.finished.set()
            return
        if plan.connection_profile is not None:
            return
        from_ns = monotonic_ns()
        async with asyncio.TaskGroup() as dials:
            for position in range(total):
                if plan.connect_rate_per_s is not None:
                    due_ns = from_ns + evenly_spaced_ns(self.share.global_index(position), plan.connect_rate_per_s)
                    await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
                await self._dials.acquire()
                dials.create_task(self._dial_next())

    async def dial(self, number: int) -> bool:
        """Dials a session again, when there is room; returns whether it opened."""
        await self._dials.acquire()
        return await self._dial(number)

    async def _dial_next(self) -> None:
        position, self._dialled = self._dialled, self._dialled + 1
        await self._dial(self.share.global_index(position))

    async def _dial(self, number: int) -> bool:
        """Dials a session, which takes a place among the dials that may be under way; introduces it, and begins."""
        manner = self._misbehavior.get(number)
        connection = self.factory.connection(
            self.misbehaving or self if manner else self, number, mute=manner == "no_pong"
        )
        self._dialling += 1
        # What a run that is over calls off itself has neither opened nor failed.
        called_off = opened = False
        try:
            timings = await self._dialler.dial(connection, number, self.factory.renderer(number))
            opened = True
        except DialError as error:
            self.fault(error.fault, number=number)
            return False
        except OSError as error:
            failing = classify_host_error(error)
            if failing is None:
                raise
            self.tally.host_errors[str(failing)] += 1
            return False
        except asyncio.CancelledError:
            opened = connection in self.connections or connection.ended
            called_off = not opened
            raise
        finally:
            self._dialling -= 1
            self._dials.release()
            self.tally.attempted += 1
            self.tally.cancelled += called_off
            self.tally.failed += not (opened or called_off)
        timings.record_in(self.tally)
        await wait_until_ready(connection, self.plan.timeout_ns)
        return self._begin(connection)

    def _begin(self, connection: LoadConnection) -> bool:
        """The session is ready for the load; returns False if it has ended meanwhile."""
        if connection.closing:
            self._close(connection)
            return False
        manner, unkind = self._misbehavior.get(connection.number), self.plan.misbehaving
        if manner == "stalled_reader":
            connection.pause_reading()
        elif manner == "slow_reader" and unkind is not None:
            SlowReader(connection, unkind.slow_reader_bytes_per_s, secure=self.plan.target.secure)
        if self.loading:
            self.load.add(cast("Any", connection))
            self.comeback.session_ready(connection)
        return True

    async def follow_profile(self, start_ns: int) -> None:
        """Opens and closes connections as their shape over time asks; what failed or was lost is not replaced."""
        shape = self.plan.connection_profile
        if shape is None:
            return
        given_up = 0
        """Of the connections dialled, those that the shape has taken back."""
        async with asyncio.TaskGroup() as dials:
            while not self.finished.is_set():
                wanted = self.share.size(round(shape.value_at(monotonic_ns() - start_ns)))
                for _ in range(min(wanted + given_up - self._dialled, DIALS_AT_ONCE - self._dialling)):
                    await self._dials.acquire()
                    dials.create_task(self._dial_next())
                given_up = max(given_up, self._dialled - wanted)
                # Those that failed or were lost are the first to be missing, so that no more leave than must.
                if self.open - len(self._retiring) > wanted:
                    kept = [one for one in self.connections if not one.closing and one not in self._retiring]
                    for connection in reversed(kept[wanted:]):
                        self.close_when_idle(connection)
                await asyncio.sleep(SHAPE_CHECK_S)

    def close_when_idle(self, connection: LoadConnection) -> None:
        """Closes a session as soon as nothing is in flight on it."""
        self._retiring.add(connection)
        connection.stop_sending()
        if not connection.in_flight or connection.owner is self.misbehaving:
            self._close(connection)

    # --- Keeping ----------------------------------------------------------------------------------------------------

    async def expire_replies(self) -> None:
        """Looks for replies that take too long, a part of the connections at a time."""
        timeout_ns = self.plan.timeout_ns
        while True:
            await asyncio.sleep(min(LONGEST_SCAN_NS, timeout_ns // 4) / NS_PER_S)
            for number, connection in enumerate(list(self.connections)):
                if connection.owner is self:
                    self._give_up_on(connection, monotonic_ns() - timeout_ns)
                else:
                    # An unkind one has itself to blame; but what it holds back must not pile up.
                    connection.drop_overdue(monotonic_ns() - timeout_ns)
                if number % 256 == 255:
                    await asyncio.sleep(0)

    def _give_up_on(self, connection: LoadConnection, before_ns: int) -> None:
        if connection.give_up_on(before_ns, self.plan.timeout_ns):
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

    def _close(self, connection: LoadConnection, given_up: Fault | None = None) -> None:
        connection.close(given_up)
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

    async def keep_alive(self) -> None:
        """Pings every connection once in a period, spread over it."""
        period_ns = self.plan.ping_interval_ns
        if period_ns is None:
            return
        round_ns = monotonic_ns()
        while True:
            connections = list(self.connections)
            for number, connection in enumerate(connections):
                due_ns = round_ns + period_ns * number // len(connections)
                if due_ns > monotonic_ns():
                    await asyncio.sleep((due_ns - monotonic_ns()) / NS_PER_S)
                connection.ping()
            round_ns += period_ns
            await asyncio.sleep(max(0, round_ns - monotonic_ns()) / NS_PER_S)

    # --- Ending -----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Gives what is in flight its time to be answered."""
        self._in_flight = {one for one in self.connections if one.in_flight and one.owner is self}
        self._draining = True
        self._check_drained()
        try:
            async with asyncio.timeout(self.plan.timeout_ns / NS_PER_S):
                await self._quiet.wait()
        except TimeoutError:
            # What we held back and sent a moment ago has not had its time: it is unanswered, and nobody's fault.
            for connection in list(self._in_flight):
                self._give_up_on(connection, monotonic_ns() - self.plan.timeout_ns)

    async def close_all(self) -> None:
        """Ends every session with a close handshake, or without one where the target no longer answers."""
        for connection in list(self.connections):
            if connection.owner is self:
                connection.close()
            else:
                # It would not read the answer.
                connection.abort()
        try:
            while self.connections:
                self._gone.clear()
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._gone.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()
            # The loop turns once more, so that aborted sockets are closed before the process says that it is done.
            await asyncio.sleep(0)
        self.factory.close()

    # --- What the connections say -----------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """A session is open."""
        connection = cast("LoadConnection", session)
        self.connections[connection] = None
        self.tally.opened += 1
        self.open += 1
        self.factory.attach_frames(connection)
        first_messages = self.factory.first_messages(connection.number)
        greetings = self.plan.correlation.greetings
        if first_messages or greetings:
            SessionSetup(connection, greetings, self.factory.first_opcode, first_messages)

    def session_ended(self, session: Session, fault: Fault | None) -> None:
        """An open session is over, whoever ended it."""
        connection = cast("LoadConnection", session)
        self.open -= 1
        # A close that is answered is a sign of life: a busy target ends its TCP connections all at once, much later.
        self._gone.set()
        self._retiring.discard(connection)
        if fault is not None and connection.owner is self:
            self._example(fault, connection.number)
        self.comeback.session_ended(connection, lost=fault is not None)
        self.finish_if_empty()

    def finish_if_empty(self) -> None:
        """Ends the load where nobody is connected, and nobody will be."""
        if not self.open and self.loading and not self.continues_without_connections:
            self.finished.set()

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        self.connections.pop(cast("LoadConnection", session), None)
        self._gone.set()

    def fault(self, fault: Fault, count: int = 1, *, number: int | None = None) -> None:
        """The target did something wrong that ended no open session."""
        self.tally.faults[fault.key] += count
        self._example(fault, number)

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target said why it closes."""
        key = f"{code} {self.factory.redact(reason, session.number)}"
        if key not in self._reasons and len(self._reasons) >= MAX_CLOSE_REASONS:
            key = f"{code} (other reasons)"
        self._reasons.add(key)
        self.tally.close_reasons[key] += 1

    def _on_exhausted(self) -> None:
        """No message will fall due any more; what ends the run is the plan's time, or the last reply."""
        if self.plan.messages is not None:
            self.finished.set()

    def _on_idle(self, connection: LoadConnection) -> None:
        """A connection has nothing in flight, and nothing to send just now."""
        if self.load.exhausted:
            self._on_exhausted()
        if connection in self._retiring:
            self._close(connection)
        self._in_flight.discard(connection)
        self._check_drained()

    def _check_drained(self) -> None:
        if self._draining and not self._in_flight:
            self._quiet.set()

    def _example(self, fault: Fault, number: int | None = None) -> None:
        if fault.key not in self._known_examples:
            self._known_examples.add(fault.key)
            self._examples[fault.key] = self.factory.redact(fault.text, number)


def _is_ready(connection: LoadConnection) -> bool:
    return not connection.closing and (connection.introduction is None or not connection.introduction.blocks_load)
