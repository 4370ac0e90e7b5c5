"""One worker's connections: how they are opened, kept, given up and closed.

A crew owns its connections: they report to it what happened to them, and count into its tally. Which load they carry
is the load's matter (`flood`, `paced`); what a run does and when is the worker's (`run`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ws_load_test.clock import NS_PER_S, monotonic_ns
from ws_load_test.engine.dial import Dialler
from ws_load_test.engine.flood import Flood, FloodConnection
from ws_load_test.engine.paced import Paced, PacedConnection
from ws_load_test.engine.upgrade import DialError
from ws_load_test.errors import host_failing
from ws_load_test.measure.samples import Samples
from ws_load_test.measure.tally import Tally
from ws_load_test.pace import Pace, spaced_ns
from ws_load_test.plan import OpenLoad

if TYPE_CHECKING:
    from ws_load_test.engine.connection import Connection
    from ws_load_test.errors import Fault
    from ws_load_test.pace import Share
    from ws_load_test.plan import Plan

    LoadConnection = FloodConnection | PacedConnection

DIALS_AT_ONCE = 128
"""More would overrun the accept queues of most servers, and lost SYNs come back a second later."""
CLOSE_TIMEOUT_S = 2.0
"""How long a target may take to answer a close frame."""
LONGEST_SCAN_NS = NS_PER_S
SHAPE_CHECK_S = 0.02
"""How often the number of connections is brought to what its shape asks."""


class Crew:
    """The connections of one share of a plan, and what they have amounted to since the last report."""

    def __init__(self, plan: Plan, share: Share) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        self.plan = plan
        self.share = share
        self.tally = Tally()
        self.samples = Samples(self.tally, on_schedule=isinstance(plan.load, OpenLoad))
        self.connections: dict[LoadConnection, None] = {}
        """Those whose TCP connection is open, oldest first."""
        self.load = self._new_load()
        self.open = 0
        """Sessions that are open."""
        self.finished = asyncio.Event()
        """There is nothing left to do: the messages are spent, nobody is connected, or we were told to stop."""
        self.loading = False
        """The load has begun."""
        self._dialler = Dialler(plan)
        self._dialled = 0
        self._dialling = 0
        self._examples: dict[str, str] = {}
        self._known_examples: set[str] = set()
        self._retiring: set[LoadConnection] = set()
        self._in_flight: set[LoadConnection] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._gone = asyncio.Event()

    def _new_load(self) -> Flood | Paced:
        plan = self.plan
        if not isinstance(plan.load, OpenLoad):
            return Flood(plan.message.frames(plan.load.in_flight), plan.load.in_flight, self._idle)
        pace = Pace(plan.load.rate, plan.load.arrivals, plan.load.seed)
        return Paced(
            self,
            plan.message.frames(1),
            pace.blocks(self.share, plan.messages, warmup_ns=plan.warmup_ns, connections=plan.connections)
            if plan.load.rate.peak
            else iter(()),
            max_in_flight=plan.load.max_in_flight,
            on_spent=self._spent,
            on_idle=self._idle,
        )

    @property
    def goes_on_alone(self) -> bool:
        """Whether messages fall due here although no connection is open.

        On a schedule they do, and are dropped: others may still be connected, which only the fleet can know. Where
        connections follow a shape, there may be new ones.
        """
        return isinstance(self.load, Paced) and (self.share.of > 1 or self.plan.connection_shape is not None)

    def cut(self) -> tuple[Tally, dict[str, str]]:
        """What has come since the last cut: counts, and a sentence for each kind of fault that was new."""
        self.samples.flush()
        tally, self.tally = self.tally, Tally()
        self.samples.tally = self.tally
        examples, self._examples = self._examples, {}
        return tally, examples

    # --- Opening ----------------------------------------------------------------------------------------------------

    async def open_all(self) -> None:
        """Dials every session of the share, at the plan's rate or as fast as they open."""
        plan, total = self.plan, self.plan.connections_of(self.share)
        try:
            await self._dialler.resolve()
        except DialError as error:
            self.tally.attempted += total
            self.tally.failed += total
            self._fault(error.fault, total)
            self.finished.set()
            return
        if plan.connection_shape is not None:
            return
        room = asyncio.Semaphore(DIALS_AT_ONCE)
        from_ns = monotonic_ns()
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
        self._dialling += 1
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
        finally:
            self._dialling -= 1

    async def follow_shape(self, start_ns: int) -> None:
        """Opens and closes connections as their shape over time asks; what failed or was lost is not replaced."""
        shape = self.plan.connection_shape
        if shape is None:
            return
        given_up = 0
        """Of the connections dialled, those that the shape has taken back."""
        async with asyncio.TaskGroup() as dials:
            while not self.finished.is_set():
                wanted = self.share.count(round(shape.at(monotonic_ns() - start_ns)))
                for _ in range(min(wanted + given_up - self._dialled, DIALS_AT_ONCE - self._dialling)):
                    dials.create_task(self._dial())
                given_up = max(given_up, self._dialled - wanted)
                # Those that failed or were lost are the first to be missing, so that no more leave than must.
                if self.open - len(self._retiring) > wanted:
                    kept = [one for one in self.connections if not one.closing and one not in self._retiring]
                    for connection in reversed(kept[wanted:]):
                        self._retire(connection)
                await asyncio.sleep(SHAPE_CHECK_S)

    def _retire(self, connection: LoadConnection) -> None:
        """Closes a session as soon as nothing is in flight on it."""
        self._retiring.add(connection)
        if isinstance(connection, PacedConnection):
            connection.paced.leave(connection)
        if not connection.in_flight:
            connection.close()

    # --- Keeping ----------------------------------------------------------------------------------------------------

    async def watch_replies(self) -> None:
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

    async def keep_alive(self) -> None:
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

    # --- Ending -----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
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

    async def close_all(self) -> None:
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
        assert isinstance(connection, (FloodConnection, PacedConnection))
        self.connections[connection] = None
        self.tally.opened += 1
        self.open += 1
        if isinstance(connection, PacedConnection) and self.loading:
            connection.paced.join(connection)

    def connection_ended(self, connection: Connection, fault: Fault | None) -> None:
        """An open session is over, whoever ended it."""
        self.open -= 1
        # A close that is answered is a sign of life: a busy target ends its TCP connections all at once, much later.
        self._gone.set()
        self._retiring.discard(cast("LoadConnection", connection))
        if fault is not None:
            self._example(fault)
        if not self.open and self.loading and not self.goes_on_alone:
            self.finished.set()

    def connection_gone(self, connection: Connection) -> None:
        """The TCP connection of a session that was open is closed."""
        self.connections.pop(cast("LoadConnection", connection), None)
        self._gone.set()

    def _spent(self) -> None:
        """No message will fall due any more; what ends the run is the plan's time, or the last reply."""
        if self.plan.messages is not None:
            self.finished.set()

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
