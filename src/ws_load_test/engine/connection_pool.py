"""One worker's connections: how they are kept, given up and closed; `session_opener` dials them.

The pool owns the groups of sessions, which own the connections. The load that connections carry is the load model's
matter (`load_models`); the order of a run's phases is the engine's (`portable`).
"""

from __future__ import annotations

import asyncio
from array import array
from random import Random
from typing import TYPE_CHECKING, cast

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connection_factory import ConnectionFactory
from ws_load_test.engine.disconnect_log import DisconnectLog, is_end_by_target
from ws_load_test.engine.load_models.load_model import do_nothing
from ws_load_test.engine.misbehaving_clients import MisbehavingGroup
from ws_load_test.engine.nodes import NodeGroups, NodeSeekingConnection
from ws_load_test.engine.reconnect import Reconnector
from ws_load_test.engine.session_opener import SessionOpener
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.engine.sessions.session_group import SessionGroup
from ws_load_test.websocket.frames import NORMAL_CLOSURE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Sequence

    from ws_load_test.common.faults import Fault
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.keep_alive import Pinged
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.session import Session
    from ws_load_test.metrics.sample_buffer import SampleBuffer
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

CLOSE_TIMEOUT_S = 2.0
"""Time that a target has to answer a close frame; a live one needs milliseconds."""
LEAST_LOOK_INTERVAL_NS = 50_000_000
"""Usual time (50 ms) between two looks at the queue of each session: twenty a second cost nothing."""
LOOK_INTERVAL_NS_PER_CONNECTION = 500_000
"""The same for each of many sessions: a look takes half a microsecond, so all take a thousandth of the time."""
MAX_SCAN_INTERVAL_NS = NS_PER_S
"""Time between two scans for overdue replies, at most; a quarter of the reply time-out, where that is shorter."""
FEWEST_TOGETHER = 16
"""Connections that a scan looks at in one turn of the loop: 50 µs, as late as messages that fall due then may leave."""
MOST_TURNS = 64
"""Turns of the loop for one scan: each can last 2 ms (`loop_turns`), and a scan must end before the next is due."""
LONGEST_EXAMPLE = 500
"""Characters of the sentence about a fault that are kept: a target may answer with 64 KiB of words."""
MAX_CLOSE_REASONS = 16
"""Close reasons of one worker that are counted each by itself; a target may send as many different ones as it likes."""


class ConnectionPool:
    """The connections of one share of a plan, and their counts since the last report."""

    def __init__(
        self,
        plan: Plan,
        share: Shard,
        *,
        multi_host: bool = False,
        factory_type: type[ConnectionFactory] = ConnectionFactory,
        opener_type: type[SessionOpener] = SessionOpener,
    ) -> None:
        """Opens no connection yet; with `multi_host`, other machines have shares as well.

        Raises:
            UsageError: the plan's certificates or its feed cannot be used.
        """
        self.plan = plan
        self.share = share
        self.loop_turns = LoopTurns()
        """Turns of the loop, which all sessions share."""
        self.kinds = KindLimits((*plan.fail_if, *plan.slo, *plan.abort_if))
        """Names under which faults and close codes are counted."""
        self.disconnects = DisconnectLog(self.kinds, reconnects=plan.reconnect.policy != "none")
        """Log of events around the sessions that the target ends."""
        self._default = SessionGroup(self, due_when_sent=plan.load.due_when_sent)
        self.connections: dict[Connection, None] = {}
        """Connections whose TCP connection is open, oldest first."""
        self.open = 0
        """Sessions that are open."""
        self._open_before = self._lowest_open = 0
        """Sessions that were open at the last `collect`, and the fewest since."""
        self.finished = asyncio.Event()
        """There is nothing left to do: all messages have left, no connection is open, or the run was stopped."""
        self.loading = False
        """The load has begun."""
        self.factory = factory_type(self._default, plan, share, on_exhausted=self._on_exhausted, on_idle=self._on_idle)
        self.load = self.factory.load
        self.audience = self.factory.audience
        """Publishers and subscribers; None without a fan-out."""
        self.http_publishers = self.factory.http_publishers
        """Publishers by HTTP, which carry the load then; None without any."""
        self.scenario = self.factory.scenario
        """Players of a scenario, which carry the load then; None without one."""
        if self.scenario is not None:
            self.scenario.keeper = self
            self.scenario.follow_some()
        self.reconnector = Reconnector(self)
        self.opener = opener_type(self, Dialer(plan, share if multi_host else None))
        self._groups = [self._default]
        """Each connection belongs to the last of them that has its number."""
        if plan.misbehaving is not None:
            self._groups.append(MisbehavingGroup(self, plan, plan.misbehaving))
        self._nodes = None if plan.node is None else NodeGroups(self, plan, self.factory.redact)
        self.on_load_change: Callable[[], None] = do_nothing
        """Called when the sessions that carry the load are others, or wait for messages that they may send."""
        self.load.on_change = self._load_changed
        self._examples: dict[str, str] = {}
        self._known_examples: set[str] = set()
        self._reasons: set[str] = set()
        self._retiring: set[Connection] = set()
        self._in_flight: set[Connection] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def tally(self) -> Tally:
        """Counts of the sessions that are not measured apart, and of all dials."""
        return self._default.tally

    @property
    def samples(self) -> SampleBuffer:
        """Times of the sessions that are not measured apart."""
        return self._default.samples

    @property
    def continues_without_connections(self) -> bool:
        """True if the load goes on although no connection is open.

        Of a load that workers share, the others may still send this worker's part, which only the fleet can know. Where
        sessions come back, or connections follow a profile, there may be new ones.
        """
        if self.reconnector.in_progress:
            return True
        if self.scenario is not None:
            # Each worker's sessions are its own to lose.
            return self.scenario.has_arrivals
        if self.load.due_when_sent:
            return self.share.count > 1 and self.plan.messages is not None
        return self.share.count > 1 or self.plan.connection_profile is not None

    @property
    def stopping(self) -> bool:
        """True once the load is over."""
        return self._draining

    def set_window(self, *, from_ns: int | None = None, until_ns: int | None = None) -> None:
        """Begins the measured time at one instant, or ends it at another."""
        for group in self._groups:
            group.set_window(from_ns=from_ns, until_ns=until_ns)
        if self.scenario is not None:
            self.scenario.rows.set_window(from_ns=from_ns, until_ns=until_ns)
        if self._nodes is not None:
            self._nodes.set_window(from_ns=from_ns, until_ns=until_ns)

    def last_reply_ns(self) -> int:
        """Counts all samples; returns the instant of the last reply, 0 without one."""
        if self.scenario is not None:
            self.scenario.rows.flush()
        self.samples.flush()
        return max(self.samples.last_done_ns, 0 if self._nodes is None else self._nodes.flush())

    def collect(self) -> tuple[Tally, dict[str, str]]:
        """Returns the counts since the last call, and a sentence for each kind of fault that was new."""
        if self.audience is not None:
            self.audience.collect_into(self._default.tally)
        if self.scenario is not None:
            self.scenario.rows.flush()
        tally = self._default.collect()
        tally.session_events = self.disconnects.take()
        tally.open_dip = self._open_before - self._lowest_open
        self._open_before = self._lowest_open = self.open
        for group in self._groups[1:]:
            group.collect_into(tally)
        if self._nodes is not None:
            self._nodes.collect_into(tally)
        if self.scenario is not None:
            self.scenario.rows.collect_into(tally)
        self.opener.collect_into(tally)
        if self.factory.traces is not None:
            tally.traces = self.factory.traces.take()
        examples, self._examples = self._examples, {}
        return tally, examples

    def ready(self) -> list[Connection]:
        """Returns the connections on which the load may begin."""
        return [one for one in self.connections if _is_ready(one)]

    @property
    def ready_count(self) -> int:
        """Number of sessions on which the load may begin."""
        return len(self.ready())

    def pinged(self) -> Sequence[Pinged]:
        """Returns the connections that are kept alive by pings."""
        return list(self.connections)

    def open_numbers(self) -> set[int]:
        """Returns the numbers of the connections that are open, and not about to close."""
        return {connection.number for connection in self.connections if not connection.closing}

    def of_numbers(self, numbers: Container[int]) -> list[Connection]:
        """Returns those of them that have one of these numbers."""
        return [each for each in self.connections if each.number in numbers and not each.closing]

    @property
    def carrying(self) -> int:
        """Number of sessions that carry the load, or will when it begins."""
        if self.loading:
            return self.load.sessions
        if self.http_publishers is not None:
            return len(self.http_publishers.clients)
        return sum(one.sender.sends_load for one in self.ready())

    @property
    def has_ready(self) -> bool:
        """True if the load may begin, or has begun, on any connection."""
        return any(map(_is_ready, self.connections))

    # --- Opening ----------------------------------------------------------------------------------------------------

    def numbers_at_start(self) -> Sequence[int]:
        """Returns the numbers of the sessions that are to be there from the start."""
        numbers = map(self.share.global_index, range(self.plan.connections_in(self.share)))
        # Not a list: thousands of objects would be gone when all have opened, but the memory for them would not.
        return array("q", numbers if self.scenario is None else filter(self.scenario.opens_at_start, numbers))

    async def arrive(self, start_ns: int, end_ns: int) -> None:
        """Dials the sessions of a scenario that arrive, until it is cancelled."""
        if self.scenario is not None:
            await self.scenario.arrive(self.dial, start_ns, end_ns)

    async def dial(self, number: int) -> bool:
        """Dials a session again. Returns True if it opened."""
        return await self.opener.dial(number)

    def new_connection(self, number: int) -> Connection:
        """Returns connection `number` of the run, about to be dialed."""
        if self.scenario is not None:
            self.scenario.dialing(number)
        if self.audience is not None:
            self.audience.dialing(number)
        group = self._group_of(number)
        connection = self.factory.connection(group, number, no_pong=group.leaves_pings_unanswered(number))
        if isinstance(connection, NodeSeekingConnection):
            connection.on_node = self._place
        return connection

    def _place(self, connection: Connection) -> None:
        """Counts a session, whose node is known, among those of the node; one that misbehaves is measured apart."""
        if self._nodes is not None and connection.node and self._is_well_behaved(connection):
            self._nodes.place(connection)

    def never_opened(self, number: int, *, called_off: bool) -> None:
        """Takes note that a dial has failed, or that the end of the run has called it off."""
        if self.scenario is not None:
            self.scenario.never_opened(number, called_off=called_off)

    def not_dialed(self, number: int) -> None:
        """Takes note that a session of the opening is not dialed."""
        if self.scenario is not None:
            self.scenario.dialing(number)
            self.scenario.never_opened(number, called_off=False)

    def begin(self, connection: Connection) -> bool:
        """Begins the load on a session that is set up. Returns False if it has ended meanwhile."""
        if connection.closing:
            self._close(connection)
            return False
        self._group_of(connection.number).begin(connection)
        if self.audience is not None:
            self.audience.joined(connection.number)
        self.factory.session_ready(connection)
        if self.loading:
            # The load may have begun on it already: it was ready before this was called.
            if connection.sender.sends_load and not connection.sender.carries_load:
                self.load.add(connection.sender)
            self.reconnector.session_ready(connection)
        else:
            self._load_changed()
        return True

    def close_surplus(self, wanted: int) -> None:
        """Closes the newest sessions of those that are more than wanted, each once nothing is in flight on it."""
        # Those that failed or were lost are the first to be missing, so that no more leave than must.
        if self.open - len(self._retiring) > wanted:
            for connection in reversed(self._surplus(wanted)):
                self.close_when_idle(connection)

    def _surplus(self, wanted: int) -> list[Connection]:
        """Returns the newest of those sessions that do not leave yet, without so many."""
        return [each for each in self.connections if not each.closing and each not in self._retiring][wanted:]

    def end_session(self, connection: Connection, fault: Fault) -> None:
        """Closes a session for a fault of the target's."""
        if not connection.closing:
            self._close(connection, fault)

    def retire(self, connection: Connection, *, replace: bool, code: int = NORMAL_CLOSURE) -> None:
        """Closes a session as soon as it is idle; with `replace`, another takes its place."""
        if replace and not self.stopping:
            self.reconnector.recycle(connection, code)
        else:
            self.close_when_idle(connection, code)

    def close_when_idle(self, connection: Connection, code: int = NORMAL_CLOSURE) -> None:
        """Closes a session as soon as nothing is in flight on it."""
        self._retiring.add(connection)
        connection.sender.stop_sending()
        if not connection.sender.in_flight or not self._is_well_behaved(connection):
            self._close(connection, code=code)

    # --- Keeping ----------------------------------------------------------------------------------------------------

    async def expire_replies(self) -> None:
        """Gives up replies that take too long."""
        timeout_ns = self.plan.timeout_ns
        if self.scenario is not None and self.http_publishers is None and self.plan.misbehaving is None:
            # Each step has an alarm of its own.
            return
        while True:
            await asyncio.sleep(min(MAX_SCAN_INTERVAL_NS, timeout_ns // 4) / NS_PER_S)
            if self.http_publishers is not None:
                self.http_publishers.expire(monotonic_ns() - timeout_ns)
            self._look_for_overdue(monotonic_ns() - timeout_ns)
            async for connection in self._in_turns():
                if self._is_well_behaved(connection):
                    self._give_up_on(connection, monotonic_ns() - timeout_ns)
                else:
                    # A client that misbehaves has itself to blame; but what it holds back must not pile up.
                    connection.sender.drop_overdue(monotonic_ns() - timeout_ns)

    async def watch_pairing(self) -> None:
        """Looks at the queues of messages in flight, where replies are paired in order and a lost one would show."""
        if self.load.due_when_sent or self.plan.correlation.rule != "order" or self.scenario is not None:
            return
        random = Random()  # noqa: S311 - no secret
        while True:
            usual_ns = max(LEAST_LOOK_INTERVAL_NS, LOOK_INTERVAL_NS_PER_CONNECTION * self.open)
            # At random, for looks that beat with the schedule would find the same each time.
            await asyncio.sleep(usual_ns * (0.5 + random.random()) / NS_PER_S)
            self._look_at_queues()
            async for connection in self._in_turns():
                if self._is_well_behaved(connection):
                    connection.sender.conversation.look()

    async def _in_turns(self) -> AsyncIterator[Connection]:
        """Yields all connections, some in each turn of the loop: what falls due waits for them."""
        connections = list(self.connections)
        together = max(FEWEST_TOGETHER, len(connections) // MOST_TURNS)
        for number, connection in enumerate(connections, 1):
            yield connection
            if number % together == 0:
                await asyncio.sleep(0)

    def _look_for_overdue(self, before_ns: int) -> None:
        """Looks for messages sent before an instant where that takes no look at each connection; for subclasses."""

    def _look_at_queues(self) -> None:
        """Looks at the queues of messages in flight, likewise."""

    def _give_up_on(self, connection: Connection, before_ns: int) -> None:
        if connection.sender.give_up_on(before_ns, self.plan.timeout_ns):
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

    def _close(self, connection: Connection, given_up: Fault | None = None, code: int = NORMAL_CLOSURE) -> None:
        if self.audience is not None:
            self.audience.left(connection.number, by_target=given_up is not None)
        connection.close(given_up, code)
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, connection.abort)

    # --- Ending -----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Gives what is in flight its time to be answered."""
        timeout_ns = self.plan.timeout_ns if self.scenario is None else self.scenario.longest_end_ns
        self._in_flight = {
            connection
            for connection in self.connections
            if connection.sender.in_flight and self._is_well_behaved(connection)
        }
        self._draining = True
        self._quiet.clear()
        self._check_drained()
        if self.http_publishers is not None:
            await self.http_publishers.drain(self.plan.timeout_ns)
        try:
            async with asyncio.timeout(timeout_ns / NS_PER_S):
                await self._quiet.wait()
        except TimeoutError:
            # What we held back and sent a moment ago has not had its time: it is unanswered, and no fault.
            for connection in list(self._in_flight):
                self._give_up_on(connection, monotonic_ns() - self.plan.timeout_ns)

    async def leave(self) -> None:
        """Lets the sessions of a scenario leave."""
        if self.scenario is not None:
            self.scenario.leave()
            await self.drain()

    async def close_all(self) -> None:
        """Ends every session with a close handshake, or without one where the target no longer answers."""
        if self.http_publishers is not None:
            self.http_publishers.close()
        for connection in list(self.connections):
            if self._is_well_behaved(connection):
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
        self.opener.close()
        self.factory.close()

    # --- Events of the connections ----------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """A session is open."""
        connection = cast("Connection", session)
        self.connections[connection] = None
        self._count_opened(connection.number)
        self._place(connection)
        self.factory.session_opened(connection)

    def _count_opened(self, number: int) -> None:
        self.tally.opened += 1
        self.open += 1
        self.disconnects.opened(number)
        self.reconnector.session_opened(number)

    def session_ended(self, session: Session, fault: Fault | None) -> None:
        """An open session is over, by either side."""
        connection = cast("Connection", session)
        if self.audience is not None:
            self.audience.left(connection.number, by_target=fault is not None)
        self.open -= 1
        self._lowest_open = min(self._lowest_open, self.open)
        # A close that is answered is a sign of life: a busy target ends its TCP connections all at once, much later.
        self._gone.set()
        self._retiring.discard(connection)
        well_behaved = self._is_well_behaved(connection)
        if fault is not None and well_behaved:
            self.fault_counted(fault, connection.number)
        if not self.stopping:
            if fault is not None and well_behaved and is_end_by_target(fault):
                self.disconnects.ended_by_target(connection.number, fault, connection.left_unanswered)
            else:
                self.disconnects.closed()
        self.reconnector.session_ended(connection, lost=fault is not None)
        if self.scenario is not None and not self.reconnector.brings_back(connection.number):
            self.scenario.release(connection.number)
            self.reconnector.forget(connection.number)
        self.finish_if_empty()
        self._load_changed()

    def finish_if_empty(self) -> None:
        """Ends the load if no connection is open, and none will be."""
        if not self.open and self.loading and not self.continues_without_connections:
            self.finished.set()

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        self.connections.pop(cast("Connection", session), None)
        self._gone.set()

    def dial_failed(self, fault: Fault, count: int = 1, *, number: int | None = None) -> None:
        """Counts a fault that kept `count` sessions from opening."""
        self._default.fault(fault, count, number=number)

    def fault_counted(self, fault: Fault, number: int | None = None) -> None:
        """Keeps an example of each kind of fault."""
        key = self.kinds.fault_key(fault)
        if self.factory.traces is not None:
            self.factory.traces.fault_counted(key, number)
        if key not in self._known_examples:
            self._known_examples.add(key)
            text = self.factory.redact(fault.text, number) + ("" if key == fault.key else " (one of several)")
            self._examples[key] = text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """Counts the reason that a target's close frame gave."""
        key = f"{code} {self.factory.redact(reason, session.number)}"
        if key not in self._reasons and len(self._reasons) >= MAX_CLOSE_REASONS:
            key = f"{self.kinds.code_key(code)} (other reasons)"
        self._reasons.add(key)
        self.tally.close_reasons[key] += 1

    def _load_changed(self) -> None:
        self.on_load_change()

    def _on_exhausted(self) -> None:
        """No message will fall due any more: the run ends with the plan's time, or with the last reply."""
        if self.plan.messages is not None:
            self.finished.set()

    def _on_idle(self, connection: Connection) -> None:
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

    # --- Groups -----------------------------------------------------------------------------------------------------

    def _group_of(self, number: int) -> SessionGroup:
        """Returns the group of a connection."""
        return next(group for group in reversed(self._groups) if number in group)

    def _is_well_behaved(self, connection: Connection) -> bool:
        return self._group_of(connection.number).well_behaved


def _is_ready(connection: Connection) -> bool:
    return not connection.closing and not connection.receiver.blocks_load
