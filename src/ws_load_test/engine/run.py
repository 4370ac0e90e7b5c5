"""One worker's run of its share of a plan: a line of phases, and what goes on beside them.

*opening* (dial the share's sessions), *warmup*, *measured*, *closing* (wait for the last replies, close the
sessions). Policy stands here; what happens once a message stands in `flood`, `paced` and `connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any, cast

from ws_load_test.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.engine.alarm import new_alarm
from ws_load_test.engine.dial import Dialler
from ws_load_test.engine.flood import Flood, FloodConnection
from ws_load_test.engine.paced import UNLIMITED, Paced, PacedConnection
from ws_load_test.engine.protocol import Assignment, Phase, Report
from ws_load_test.engine.upgrade import DialError
from ws_load_test.engine.vitals import Vitals
from ws_load_test.errors import host_failing
from ws_load_test.measure.samples import Samples
from ws_load_test.measure.tally import Tally
from ws_load_test.pace import Pace, spaced_ns
from ws_load_test.plan import OpenLoad

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from ws_load_test.engine.connection import Connection
    from ws_load_test.errors import Fault

    LoadConnection = FloodConnection | PacedConnection

DIALS_AT_ONCE = 128
"""More would overrun the accept queues of most servers, and lost SYNs come back a second later."""
CLOSE_TIMEOUT_S = 2.0
"""How long a target may take to answer a close frame."""
LONGEST_SCAN_NS = NS_PER_S // 4
LOOP_CHECK_NS = 20 * NS_PER_MS
"""How often the loop's own lateness is looked at."""
SHAPE_CHECK_S = 0.02
"""How often the number of connections is brought to what its shape asks."""


class Worker:
    """Runs one share of a plan; `report` is called with each interval's numbers."""

    def __init__(self, assignment: Assignment, report: Callable[[Report], None]) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        plan = self.plan = assignment.plan
        self.share = assignment.share
        self.interval_ns = assignment.interval_ns
        self.tally = Tally()
        self.samples = Samples(self.tally, on_schedule=isinstance(plan.load, OpenLoad))
        self.connections: dict[LoadConnection, None] = {}
        """Those whose TCP connection is open, oldest first."""
        self.load: Flood | Paced
        if isinstance(plan.load, OpenLoad):
            pace = Pace(plan.load.rate, plan.load.arrivals, plan.load.seed)
            blocks = pace.blocks(self.share, plan.messages) if plan.load.rate.peak else iter(())
            self.load = Paced(
                self,
                plan.message.frames(1),
                blocks,
                max_in_flight=plan.load.max_in_flight,
                on_spent=self._spent,
                on_idle=self._idle,
            )
        else:
            self.load = Flood(plan.message.frames(plan.load.in_flight), plan.load.in_flight, self._idle)
        self._report = report
        self._dialler = Dialler(plan)
        self._vitals = Vitals()
        self._examples: dict[str, str] = {}
        self._known_examples: set[str] = set()
        self._phase: Phase = "opening"
        self._index = 0
        self._from_ns = monotonic_ns()
        self._started = asyncio.Event()
        self._finished = asyncio.Event()
        """There is nothing left to do: the messages are spent, nobody is connected, or we were told to stop."""
        self._quiet = asyncio.Event()
        """Nothing is in flight."""
        self._gone = asyncio.Event()
        """A connection has just been closed."""
        self._open = 0
        self._dialled = 0
        self._retiring: set[LoadConnection] = set()
        self._in_flight: set[LoadConnection] = set()
        self._draining = False
        self._stopping = False
        self._start_ns = 0

    # --- What the fleet says ----------------------------------------------------------------------------------------

    def start_at(self, at_ns: int) -> None:
        """The load begins at this monotonic instant."""
        self._start_ns = at_ns
        self._started.set()

    def stop(self) -> None:
        """Sends nothing more; waits for the replies that are due, closes, reports."""
        self._stopping = True
        self._started.set()
        self._finished.set()

    # --- The phases -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the first dial to the last report."""
        async with _background(self._tick()):
            await self._opening()
            self._emit(ready=True)
            await self._started.wait()
            if not self._stopping:
                await self._loading()
            await self._drain()
            await self._close_all()
        self._emit(done=True)
        self._vitals.close()

    async def _opening(self) -> None:
        """Dials what must be open before the load begins, unless we are told to stop."""
        dialling = asyncio.create_task(self._open_all())
        stopped = asyncio.create_task(self._finished.wait())
        await asyncio.wait((dialling, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stopping:
            dialling.cancel()
            await asyncio.wait((dialling,))
        else:
            dialling.result()

    async def _open_all(self) -> None:
        """Dials every session of the share, at the plan's rate or as fast as they open."""
        plan, total = self.plan, self.plan.connections_of(self.share)
        try:
            await self._dialler.resolve()
        except DialError as error:
            self.tally.attempted += total
            self.tally.failed += total
            self._fault(error.fault, total)
            return
        if plan.connection_shape is not None:
            return
        room = asyncio.Semaphore(DIALS_AT_ONCE)
        from_ns = self._from_ns
        async with asyncio.TaskGroup() as dials:
            for position in range(total):
                if plan.connect_rate_per_s is not None:
                    due_ns = from_ns + spaced_ns(self.share.number(position), plan.connect_rate_per_s)
                    await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
                await room.acquire()
                dials.create_task(self._dial()).add_done_callback(lambda _: room.release())

    async def _dial(self) -> None:
        expected_pong = self.plan.message.payload if self.plan.message.kind == "ping" else None
        connection = self.load.connection(self, expected_pong)
        number, self._dialled = self._dialled, self._dialled + 1
        self.tally.attempted += 1
        try:
            took_ns = await self._dialler.dial(connection, self.share.number(number))
        except DialError as error:
            self.tally.failed += 1
            self._fault(error.fault)
        except OSError as error:
            failing = host_failing(error)
            if failing is None:
                raise
            self.tally.failed += 1
            self.tally.host_errors[str(failing)] += 1
        except asyncio.CancelledError:
            self.tally.failed += connection not in self.connections and not connection.ended
            raise
        else:
            self.tally.connect_time_ns.record(took_ns)

    async def _loading(self) -> None:
        """Warm-up and measured time."""
        # What lives now lives to the end; looking through it again and again would stall the loop for milliseconds.
        gc.collect()
        gc.freeze()
        gc.disable()
        await asyncio.sleep(max(0, self._start_ns - monotonic_ns()) / NS_PER_S)
        async with _background(self._scan(), self._watch_loop(), self._follow_shape(), self._keep_alive()):
            until_ns = await (self._pace(self.load) if isinstance(self.load, Paced) else self._flood(self.load))
            self.samples.flush()
            self.samples.measured_until_ns = until_ns
            self._enter("closing", until_ns)

    async def _flood(self, flood: Flood) -> int:
        """The closed load, from its start to the instant that ends the measured time, which is returned."""
        plan = self.plan
        if plan.warmup_ns:
            self._enter("warmup")
            flood.start(self._connected())
            await self._until(self._start_ns + plan.warmup_ns)
        # A message belongs to the warm-up if it was sent before this very moment, not before a planned one.
        self._enter("measured")
        measured_from_ns = self.samples.measured_from_ns = self._from_ns
        if plan.messages is not None:
            flood.left = self.share.count(plan.messages)
        if not plan.warmup_ns:
            flood.start(self._connected())
        if self._open:
            await self._until(None if plan.duration_ns is None else measured_from_ns + plan.duration_ns)
        if plan.messages is None or self._stopping:
            flood.end()
            return monotonic_ns()
        await self._drain()
        self.tally.dropped += flood.end()
        return self._last_reply_ns(measured_from_ns)

    async def _pace(self, paced: Paced) -> int:
        """The open load, from its start to the instant that ends the measured time, which is returned."""
        plan, start_ns = self.plan, self._start_ns
        measured_from_ns = self.samples.measured_from_ns = start_ns + plan.warmup_ns
        until_ns = UNLIMITED if plan.duration_ns is None else measured_from_ns + plan.duration_ns
        self._enter("warmup" if plan.warmup_ns else "measured", start_ns)
        paced.start(self._connected(), start_ns, until_ns)
        if plan.warmup_ns:
            await self._until(measured_from_ns)
            self._enter("measured", None if self._stopping else measured_from_ns)
        if self._open or plan.connection_shape is not None:
            await self._until(None if plan.duration_ns is None else until_ns)
        ended_ns = min(monotonic_ns(), until_ns)
        paced.end(ended_ns)
        if plan.messages is None or self._stopping:
            return max(ended_ns, self._from_ns)
        await self._drain()
        return self._last_reply_ns(self._from_ns)

    def _last_reply_ns(self, from_ns: int) -> int:
        """When the last reply was read: a number of messages takes as long as that, not as its last send."""
        self.samples.flush()
        return max(self.samples.last_done_ns, from_ns)

    def _connected(self) -> list[Any]:
        return list(self.connections)

    async def _until(self, at_ns: int | None) -> None:
        """Returns at the instant, or as soon as there is nothing left to do."""
        try:
            async with asyncio.timeout(None if at_ns is None else max(0, at_ns - monotonic_ns()) / NS_PER_S):
                await self._finished.wait()
        except TimeoutError:
            # The loop's timers count milliseconds and may be one early; the schedule's last messages would be missed.
            while at_ns is not None and monotonic_ns() < at_ns:
                await asyncio.sleep(0)

    async def _drain(self) -> None:
        """Gives what is in flight its time to be answered."""
        self._in_flight = {connection for connection in self.connections if connection.in_flight}
        self._draining = True
        self._check_quiet()
        try:
            async with asyncio.timeout(self.plan.timeout_ns / NS_PER_S):
                await self._quiet.wait()
        except TimeoutError:
            for connection in list(self._in_flight):
                self._give_up_on(connection, monotonic_ns())

    async def _close_all(self) -> None:
        """Ends every session with a close handshake, or without one where the target no longer answers."""
        for connection in list(self.connections):
            connection.close()
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

    # --- What goes on beside the load -------------------------------------------------------------------------------

    async def _scan(self) -> None:
        """Looks for replies that take too long, a part of the connections at a time."""
        timeout_ns = self.plan.timeout_ns
        while True:
            await asyncio.sleep(min(LONGEST_SCAN_NS, timeout_ns // 4) / NS_PER_S)
            for number, connection in enumerate(list(self.connections)):
                self._give_up_on(connection, monotonic_ns() - timeout_ns)
                if number % 256 == 255:
                    await asyncio.sleep(0)

    def _give_up_on(self, connection: LoadConnection, before_ns: int) -> None:
        if connection.give_up_on(before_ns, self.plan.timeout_ns):
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

    async def _watch_loop(self) -> None:
        """Notes how late the loop turns to something that is due: what every reply may have waited."""
        rung = asyncio.Event()
        due_ns = 0

        def ring() -> None:
            self.tally.loop_lag_ns.record(max(0, monotonic_ns() - due_ns))
            rung.set()

        alarm = new_alarm(ring)
        try:
            while True:
                due_ns = monotonic_ns() + LOOP_CHECK_NS
                alarm.arm(due_ns)
                await rung.wait()
                rung.clear()
        finally:
            alarm.close()

    async def _follow_shape(self) -> None:
        """Opens and closes connections as their shape over time asks; what failed or was lost is not replaced."""
        shape = self.plan.connection_shape
        if shape is None:
            return
        retired = 0
        async with asyncio.TaskGroup() as dials:
            while True:
                wanted = self.share.count(round(shape.at(monotonic_ns() - self._start_ns)))
                for _ in range(min(wanted + retired - self._dialled, DIALS_AT_ONCE)):
                    dials.create_task(self._dial())
                surplus = self._dialled - retired - wanted
                for connection in [one for one in reversed(self.connections) if one not in self._retiring][
                    : max(surplus, 0)
                ]:
                    retired += 1
                    self._retire(connection)
                await asyncio.sleep(SHAPE_CHECK_S)

    def _retire(self, connection: LoadConnection) -> None:
        """Closes a session as soon as nothing is in flight on it."""
        self._retiring.add(connection)
        if isinstance(connection, PacedConnection):
            connection.paced.leave(connection)
        if not connection.in_flight:
            connection.close()

    async def _keep_alive(self) -> None:
        """Pings every connection once in a period, spread over it."""
        period_ns = self.plan.keepalive_ns
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

    # --- What the connections say -----------------------------------------------------------------------------------

    def connection_opened(self, connection: Connection) -> None:
        """A session is open."""
        assert isinstance(connection, (FloodConnection, PacedConnection))
        self.connections[connection] = None
        self.tally.opened += 1
        self._open += 1
        if isinstance(connection, PacedConnection) and self._phase != "opening":
            connection.paced.join(connection)

    def connection_ended(self, connection: Connection, fault: Fault | None) -> None:
        """An open session is over, whoever ended it."""
        self._open -= 1
        self._retiring.discard(cast("LoadConnection", connection))
        if fault is not None:
            self._example(fault)
        if not self._open and self._phase in {"warmup", "measured"} and self.plan.connection_shape is None:
            self._finished.set()

    def connection_gone(self, connection: Connection) -> None:
        """The TCP connection of a session that was open is closed."""
        self.connections.pop(cast("LoadConnection", connection), None)
        self._gone.set()

    def _spent(self) -> None:
        """No message will fall due any more; what ends the run is the plan's time, or the last reply."""
        if self.plan.messages is not None:
            self._finished.set()

    def _idle(self, connection: LoadConnection) -> None:
        """A connection has nothing in flight, and nothing to send just now."""
        if self.load.spent:
            self._spent()
        if connection in self._retiring:
            connection.close()
        self._in_flight.discard(connection)
        self._check_quiet()

    def _check_quiet(self) -> None:
        if self._draining and not self._in_flight:
            self._quiet.set()

    def _fault(self, fault: Fault, count: int = 1) -> None:
        self.tally.faults[fault.key] += count
        self._example(fault)

    def _example(self, fault: Fault) -> None:
        if fault.key not in self._known_examples:
            self._known_examples.add(fault.key)
            self._examples[fault.key] = fault.text

    # --- What the fleet is told -------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Reports every interval; a change of phase begins a new one."""
        while True:
            due_ns = self._from_ns + self.interval_ns
            await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
            if self._from_ns + self.interval_ns <= monotonic_ns():
                self._emit()

    def _enter(self, phase: Phase, at_ns: int | None = None) -> None:
        """One phase ends and another begins, now or at an instant that has just been."""
        self._emit(at_ns=at_ns)
        self._phase, self._index = phase, 0

    def _emit(self, *, at_ns: int | None = None, ready: bool = False, done: bool = False) -> None:
        self.samples.flush()
        tally, self.tally = self.tally, Tally()
        self.samples.tally = self.tally
        if isinstance(self.load, Flood):
            if self._phase == "warmup":
                tally.warmup_sent, tally.sent = tally.sent, 0
            tally.due = tally.sent + tally.dropped
        if self._phase == "warmup":
            tally.bytes_sent = tally.bytes_received = tally.pushed = 0
        now_ns = max(at_ns or monotonic_ns(), self._from_ns)
        examples, self._examples = self._examples, {}
        self._report(
            Report(
                phase=self._phase,
                index=self._index,
                from_ns=self._from_ns,
                to_ns=now_ns,
                lap=self._vitals.lap(),
                tally=tally.to_wire(),
                ready=ready,
                done=done,
                examples=examples,
            )
        )
        self._index += 1
        self._from_ns = now_ns


@contextlib.asynccontextmanager
async def _background(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs beside the block, and ends them with it; one that fails ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        yield
        for task in tasks:
            task.cancel()
