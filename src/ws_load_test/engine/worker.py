"""One worker: a process with one event loop, and its share of the connections.

``python -m ws_load_test.engine.worker`` reads an assignment on standard input and writes tallies on standard output;
`protocol` has the words. Its life is a line of phases: *opening* (dial the share's sessions), *warmup*, *measured*,
*closing* (wait for the last replies, close the sessions). Policy stands here; what happens once a message stands in
`flood` and `connection`.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.clock import NS_PER_S, monotonic_ns
from ws_load_test.engine.dial import Dialler
from ws_load_test.engine.flood import Flood, FloodConnection
from ws_load_test.engine.loop import run_loop
from ws_load_test.engine.protocol import LONGEST_LINE_BYTES, Assignment, Command, Phase, Report
from ws_load_test.engine.upgrade import DialError
from ws_load_test.errors import WorkerError, host_failing
from ws_load_test.measure.samples import Samples
from ws_load_test.measure.tally import Tally
from ws_load_test.pace import spaced_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.connection import Connection
    from ws_load_test.errors import Fault

DIALS_AT_ONCE = 128
"""More would overrun the accept queues of most servers, and lost SYNs come back a second later."""
STARTS_AT_ONCE = 32
"""Connections that send their first messages before the loop turns to replies again."""
CLOSE_TIMEOUT_S = 2.0
"""How long a target may take to answer a close frame."""
LONGEST_SCAN_NS = NS_PER_S // 4


class Worker:
    """Runs one share of a plan; `report` is called with each interval's numbers."""

    def __init__(self, assignment: Assignment, report: Callable[[Report], None]) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        plan = self.plan = assignment.plan
        self.share = assignment.share
        self.interval_ns = assignment.interval_ns
        self.tally = Tally()
        self.samples = Samples(self.tally)
        self.connections: set[FloodConnection] = set()
        self._report = report
        self._dialler = Dialler(plan)
        self._flood = Flood(plan.message.frames(plan.load.in_flight), plan.load.in_flight, self._idle)
        self._examples: dict[str, str] = {}
        self._known_examples: set[str] = set()
        self._phase: Phase = "opening"
        self._index = 0
        self._from_ns = monotonic_ns()
        self._cpu_ns = time.process_time_ns()
        self._started = asyncio.Event()
        self._finished = asyncio.Event()
        """Nothing is left to send: the time is over, the messages are spent, nobody is connected, or we were told to
        stop."""
        self._quiet = asyncio.Event()
        """Nothing is in flight."""
        self._gone = asyncio.Event()
        """A connection has just been closed."""
        self._open = 0
        self._in_flight: set[FloodConnection] = set()
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
        ticking = asyncio.create_task(self._tick())
        opening = asyncio.create_task(self._open_all())
        stopped = asyncio.create_task(self._finished.wait())
        try:
            await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
            if self._stopping:
                opening.cancel()
                await asyncio.wait((opening,))
            else:
                opening.result()
            self._emit(ready=True)
            await self._started.wait()
            if not self._stopping:
                await self._load()
            await self._drain()
            await self._close_all()
        finally:
            for task in (ticking, opening, stopped):
                task.cancel()
            await asyncio.wait((ticking, opening, stopped))
        self._emit(done=True)

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
        connection = FloodConnection(self, self._flood, expected_pong)
        self.tally.attempted += 1
        try:
            took_ns = await self._dialler.dial(connection)
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

    async def _load(self) -> None:
        """Warm-up and measured time."""
        plan = self.plan
        # What lives now lives to the end; looking through it again and again would stall the loop for milliseconds.
        gc.collect()
        gc.freeze()
        gc.disable()
        await asyncio.sleep(max(0, self._start_ns - monotonic_ns()) / NS_PER_S)
        scanning = asyncio.create_task(self._scan())
        if plan.warmup_ns:
            self._enter("warmup")
            self._start(list(self.connections))
            await self._until(self._start_ns + plan.warmup_ns)
        self._enter("measured")
        measured_from_ns = self.samples.measured_from_ns = self._from_ns
        if plan.messages is not None:
            self._flood.left = self.share.count(plan.messages)
        if not plan.warmup_ns:
            self._start(list(self.connections))
        if self._open:
            await self._until(None if plan.duration_ns is None else measured_from_ns + plan.duration_ns)
        if plan.messages is None or self._stopping:
            self._flood.left = 0
            until_ns = monotonic_ns()
        else:
            # A number of messages takes as long as its last reply, not as its last send.
            await self._drain()
            self.tally.dropped, self._flood.left = self._flood.left, 0
            self.samples.flush()
            until_ns = max(self.samples.last_done_ns, measured_from_ns)
        self.samples.flush()
        self.samples.measured_until_ns = until_ns
        self._enter("closing", until_ns)
        scanning.cancel()
        await asyncio.wait((scanning,))

    def _start(self, connections: list[FloodConnection]) -> None:
        """Each connection sends its first messages, a few connections between two turns of the loop."""
        for connection in connections[:STARTS_AT_ONCE]:
            connection.send(self._flood.in_flight, monotonic_ns())
        if connections[STARTS_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._start, connections[STARTS_AT_ONCE:])

    async def _until(self, at_ns: int | None) -> None:
        """Returns at the instant, or as soon as nothing is left to send."""
        try:
            async with asyncio.timeout(None if at_ns is None else max(0, at_ns - monotonic_ns()) / NS_PER_S):
                await self._finished.wait()
        except TimeoutError:
            pass

    async def _scan(self) -> None:
        """Looks for replies that take too long, a part of the connections at a time."""
        timeout_ns = self.plan.timeout_ns
        while True:
            await asyncio.sleep(min(LONGEST_SCAN_NS, timeout_ns // 4) / NS_PER_S)
            for number, connection in enumerate(list(self.connections)):
                self._give_up_on(connection, monotonic_ns() - timeout_ns)
                if number % 256 == 255:
                    await asyncio.sleep(0)

    def _give_up_on(self, connection: FloodConnection, before_ns: int) -> None:
        if connection.give_up_on(before_ns, self.plan.timeout_ns):
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

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

    # --- What the connections say -----------------------------------------------------------------------------------

    def connection_opened(self, connection: Connection) -> None:
        """A session is open."""
        assert isinstance(connection, FloodConnection)
        self.connections.add(connection)
        self.tally.opened += 1
        self._open += 1

    def connection_ended(self, connection: Connection, fault: Fault | None) -> None:  # noqa: ARG002
        """An open session is over, whoever ended it."""
        self._open -= 1
        if fault is not None:
            self._example(fault)
        if not self._open and self._phase in ("warmup", "measured"):
            self._finished.set()

    def connection_gone(self, connection: Connection) -> None:
        """The TCP connection of a session that was open is closed."""
        self.connections.discard(connection)
        self._gone.set()

    def _idle(self, connection: FloodConnection) -> None:
        """A connection has nothing in flight, and nothing to send."""
        if not self._flood.left:
            self._finished.set()
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
        if self._phase == "warmup":
            tally.warmup_sent, tally.sent = tally.sent, 0
            tally.bytes_sent = tally.bytes_received = tally.pushed = 0
        tally.due = tally.sent + tally.dropped
        now_ns, cpu_ns = at_ns or monotonic_ns(), time.process_time_ns()
        examples, self._examples = self._examples, {}
        self._report(
            Report(
                phase=self._phase,
                index=self._index,
                from_ns=self._from_ns,
                to_ns=now_ns,
                cpu_ns=cpu_ns - self._cpu_ns,
                tally=tally.to_wire(),
                ready=ready,
                done=done,
                examples=examples,
            )
        )
        self._index += 1
        self._from_ns, self._cpu_ns = now_ns, cpu_ns


async def serve(assignment: Assignment, lines: asyncio.StreamReader, out: asyncio.WriteTransport) -> None:
    """Runs a worker that hears commands on `lines` and reports to `out`; `lines` ending ends it at once."""
    encoder = msgspec.json.Encoder()
    worker = Worker(assignment, lambda report: out.write(encoder.encode(report) + b"\n"))
    running = asyncio.create_task(worker.run())

    def broken(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A callback that fails is a bug; a worker that went on would report numbers that nobody should trust.
        loop.default_exception_handler(context)
        running.cancel(context["message"])

    asyncio.get_running_loop().set_exception_handler(broken)
    obeying = asyncio.create_task(_obey(worker, lines))
    await asyncio.wait((running, obeying), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, obeying):
        task.cancel()
    await asyncio.wait((running, obeying))
    if not running.cancelled():
        running.result()
    elif not obeying.done() or not obeying.cancelled():
        raise WorkerError("a callback of the engine failed")


async def _obey(worker: Worker, lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        command = msgspec.json.decode(line, type=Command)
        if command.do == "start":
            worker.start_at(command.at_ns)
        else:
            worker.stop()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    out, _ = await loop.connect_write_pipe(asyncio.Protocol, sys.stdout)
    line = await lines.readline()
    if not line:
        return
    await serve(msgspec.json.decode(line, type=Assignment), lines, out)
    out.close()


def main() -> None:
    """The process of one worker."""
    # The terminal's Ctrl-C goes to every process; what it means is the fleet's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_loop(_main())


if __name__ == "__main__":
    main()
