"""Load models over sessions that are lent: the compiled loop sends and pairs, Python decides how much, and when.

Both derive from the portable models, which go on with every session that comes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import numpy as np

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.conversations.streamed import StreamedConversation
from ws_load_test.engine.load_models.closed_loop import START_BATCH, ClosedLoopRunner, ClosedLoopSender
from ws_load_test.engine.load_models.load_model import UNLIMITED, LoadSender
from ws_load_test.engine.load_models.open_loop import MAX_LATE_SEND_NS, OpenLoopRunner, OpenLoopSender, TurnTaker
from ws_load_test.engine.native.conversations import NativeCorrelatedConversation, take_over
from ws_load_test.engine.native.lending import NOT_LENT, Lender, NativeConnection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.engine.load_models.due_queue import Numbers
    from ws_load_test.engine.native.reactor import Loan, Reactor
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation

LEND_AGAIN_S = 0.001
"""Time after which a session is lent whose transport still had bytes to send: an answered ping, mostly."""
MOST_IN_FLIGHT = (1 << 32) - 1
"""Messages in flight on a session at most: the compiled loop counts them in 32 bits."""


_NO_FLIGHTS: deque[tuple[int, int, int]] = deque(maxlen=0)
_NO_DUE: deque[int] = deque(maxlen=0)
"""Queues of sessions that are lent: nothing stays in them."""


class LentSender(LoadSender):
    """One session's part of a load while the session is lent."""

    connection: NativeConnection

    @property
    def _reactor(self) -> Reactor:
        return self.connection.lender.reactor

    @property
    def _is_lent(self) -> bool:
        return self.connection.slot != NOT_LENT

    @property
    def flights(self) -> Conversation:
        """Conversation that knows the messages in flight."""
        conversation = self.conversation
        return conversation.inner if isinstance(conversation, StreamedConversation) else conversation

    def lent(self) -> None:
        """Keeps no queues while the compiled loop has them: empty, two take more memory than all else of a session."""
        flights = self.flights
        if isinstance(flights, InOrderConversation) and not flights.pending:
            flights.pending = _NO_FLIGHTS

    def take_back(self, loan: Loan) -> None:
        """Goes on with the messages in flight, and the due instants of those that wait for room."""
        flights = self.flights
        if isinstance(flights, InOrderConversation) and flights.pending is _NO_FLIGHTS:
            flights.pending = deque()
        take_over(self.conversation, loan)
        for due_ns, sent_ns, count in loan.in_flight:
            self.conversation.sent(count, due_ns, sent_ns)

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Gives up messages sent before an instant.

        A session need not come back for that if it has none, or if each has an id of its own.
        """
        if self._is_lent and not isinstance(self.flights, NativeCorrelatedConversation):
            oldest_ns = self._reactor.oldest_sent(self.connection.slot)
            if not oldest_ns or oldest_ns >= before_ns:
                self.drop_overdue(before_ns)
                return False
            self.connection.lender.take_back(self.connection)
        return super().give_up_on(before_ns, timeout_ns)

    def refill(self, count: int = 0) -> None:
        """Sends what `count` messages that are in flight no more make room for."""
        if self._is_lent:
            self._reactor.make_up(self.connection.slot, count)
        else:
            super().refill(count)


class NativeClosedSender(LentSender, ClosedLoopSender):
    """Sends a message for each reply, in the compiled loop while the session is lent."""

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        return self._reactor.in_flight(self.connection.slot) if self._is_lent else super().in_flight

    def send(self, count: int, due_ns: int = 0) -> None:
        """Sends messages."""
        if self._is_lent:
            self._reactor.fire(self.connection.slot, count)
        else:
            super().send(count, due_ns)

    def stop_sending(self) -> None:
        """Sends nothing more, for good."""
        super().stop_sending()
        if self._is_lent:
            self._reactor.stop(self.connection.slot)


class NativeClosedLoop(ClosedLoopRunner):
    """The closed loop of sessions that are lent."""

    _lender: Lender | None = None
    _remaining = UNLIMITED
    carries_asleep = False
    """The sessions that are asleep carry the load."""
    _unstarted: deque[int]
    """Slots of sessions that are asleep and have not sent their first messages."""

    def lend_through(self, lender: Lender) -> None:
        """Lends the sessions from here on."""
        self._lender, lender.load = lender, self
        self._unstarted = deque()
        lender.reactor.remaining = self._remaining

    @property
    def remaining(self) -> int:
        """Messages that may still be sent, which the compiled loop counts down."""
        return self._remaining if self._lender is None else self._lender.reactor.remaining

    @remaining.setter
    def remaining(self, count: int) -> None:
        if self._lender is None:
            self._remaining = count
        else:
            self._lender.reactor.remaining = count

    def sender(self, connection: Connection, conversation: Conversation) -> NativeClosedSender:
        """Returns the part of the load that a new connection carries."""
        return NativeClosedSender(self, connection, conversation)

    def _take(self, sender: ClosedLoopSender) -> None:
        super()._take(sender)
        connection = cast("NativeConnection", sender.connection)
        connection.lender.lend(connection)

    def start(self, senders: Sequence[ClosedLoopSender], start_ns: int = 0, end_ns: int = UNLIMITED) -> None:
        """Each connection sends its first messages, a few connections between two turns of the loop."""
        super().start(senders, start_ns, end_ns)
        if self._lender is not None and not self.carries_asleep:
            self.carries_asleep = True
            self._unstarted.extend(self._lender.sleepers.slots())
            self.sessions += len(self._unstarted)
            self._start_asleep()

    def _start_asleep(self) -> None:
        for _ in range(min(START_BATCH, len(self._unstarted))):
            self._fire(self._unstarted.popleft())
        if self._unstarted:
            asyncio.get_running_loop().call_soon(self._start_asleep)

    def _fire(self, slot: int) -> None:
        """Sends the first messages of a session that is asleep."""
        assert self._lender is not None
        self._lender.reactor.fire(slot, self.in_flight)

    def add_asleep(self, slot: int) -> None:
        """Takes in a session that has opened after the start."""
        self.sessions += 1
        self.on_change()
        self._fire(slot)

    def has_woken(self, connection: NativeConnection, slot: int) -> None:
        """Goes on with a session that was asleep."""
        connection.sender.carries_load = self.carries_asleep
        if slot in self._unstarted:
            self._unstarted.remove(slot)
            cast("ClosedLoopSender", connection.sender).send(self.in_flight)

    @property
    def may_get_more(self) -> bool:
        """False once no worker has messages left."""
        return not self._last

    def starved(self, connection: NativeConnection, count: int) -> None:
        """A session would have sent so many messages more."""
        self.wait_for_more(cast("ClosedLoopSender", connection.sender), count)

    def continue_schedule(self) -> None:
        """Does nothing: there is no schedule."""


class NativeOpenSender(LentSender, OpenLoopSender):
    """Sends when a message falls due, in the compiled loop while the session is lent."""

    def lent(self) -> None:
        """Keeps no queues while the compiled loop has them."""
        super().lent()
        if not self.backlog:
            self.backlog = _NO_DUE

    def take_back(self, loan: Loan) -> None:
        """Goes on with the messages in flight, and the due instants of those that wait for room."""
        super().take_back(loan)
        self.backlog = deque((*self.backlog, *loan.waiting))

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply, or for their turn to be sent."""
        return self._reactor.in_flight(self.connection.slot) if self._is_lent else super().in_flight

    def drop_overdue(self, before_ns: int) -> None:
        """Drops what has waited for room since before an instant."""
        if self._is_lent:
            self._reactor.drop_overdue(self.connection.slot, before_ns)
        else:
            super().drop_overdue(before_ns)

    def stop_sending(self) -> None:
        """Takes no more turns."""
        super().stop_sending()
        if self._is_lent:
            self._reactor.stop(self.connection.slot)


class _ReactorTimer:
    """The timer of a schedule that runs in the compiled loop."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def arm(self, at_ns: int) -> None:
        """Calls for the schedule to go on at an instant."""
        self._reactor.wake_at(at_ns)

    def close(self) -> None:
        """Does nothing: the loop has its timer to the end."""


class NativeOpenLoop(OpenLoopRunner):
    """The open loop of sessions that are lent: blocks of due instants go to the compiled loop."""

    lender: Lender
    _not_lent_yet = 0
    """Sessions that have their turns as soon as they can be lent."""
    carries_asleep = False
    """The sessions that are asleep carry the load."""
    may_get_more = False
    """A schedule has no limit that a session could meet."""

    def lend_through(self, lender: Lender) -> None:
        """Lends the sessions from here on."""
        self.lender, lender.load = lender, self
        lender.reactor.max_in_flight = min(self.max_in_flight, MOST_IN_FLIGHT)

    @property
    def _next(self) -> int:
        return self.lender.reactor.taken

    @_next.setter
    def _next(self, taken: int) -> None:
        """Is the compiled loop's to say."""

    def sender(self, connection: Connection, conversation: Conversation) -> NativeOpenSender:
        """Returns the part of the load that a new connection carries."""
        return NativeOpenSender(self, connection, conversation)

    def start(self, senders: Iterable[TurnTaker], start_ns: int, end_ns: int = UNLIMITED) -> None:
        """Begins: the schedule's instant 0 is `start_ns`; what is due at `end_ns` or later is not sent."""
        # A schedule goes on without sessions.
        self.lender.watch()
        for sender in senders:
            self._take(sender)
        reactor = self.lender.reactor
        self.carries_asleep = True
        for slot in self.lender.sleepers.slots():
            self.sessions += 1
            reactor.enter_rotation(slot)
        self._start_ns, self._end_ns = start_ns, end_ns
        reactor.end = reactor.measured_until = end_ns
        self._timer = _ReactorTimer(reactor)
        self._wake()

    def add_asleep(self, slot: int) -> None:
        """Takes in a session that has opened after the start."""
        self.sessions += 1
        self.lender.reactor.enter_rotation(slot)
        self.on_change()
        self._go_on_with_sessions()

    def has_woken(self, connection: NativeConnection, slot: int) -> None:  # noqa: ARG002 - it keeps its turns
        """Goes on with a session that was asleep."""
        connection.sender.carries_load = self.carries_asleep

    def _take(self, sender: TurnTaker) -> None:
        sender.carries_load = True
        self.sessions += 1
        self._not_lent_yet += 1
        # Publishers by HTTP are of the other engine.
        self._lend(cast("OpenLoopSender", sender))

    def _lend(self, sender: OpenLoopSender) -> None:
        """Lends a session, which then has its turns; a little later if bytes still wait in its transport."""
        connection = cast("NativeConnection", sender.connection)
        if self.lender.lend(connection):
            self.lender.reactor.enter_rotation(connection.slot)
        elif not (connection.closing or connection.ended) and sender.carries_load:
            asyncio.get_running_loop().call_later(LEND_AGAIN_S, self._lend, sender)
            return
        self._not_lent_yet -= 1
        self._go_on_with_sessions()

    def _go_on_with_sessions(self) -> None:
        """Sends what has waited for a session, if anything has."""
        if self._waits_for_session:
            self._waits_for_session = False
            self._wake()

    def leave(self, sender: OpenLoopSender) -> None:
        """Gives a connection no more turns."""
        self.no_longer_carries(sender)
        slot = cast("NativeConnection", sender.connection).slot
        if slot != NOT_LENT:
            self.lender.reactor.leave_rotation(slot)

    def starved(self, connection: NativeConnection, count: int) -> None:
        """Does nothing: a schedule has no limit that a session could meet."""

    def continue_schedule(self) -> None:
        """Goes on with the next block."""
        self._wake()

    def _wake(self) -> None:
        """Sends what is due, and hands over the next block when one is used up."""
        if self.exhausted or self._timer is None:
            return
        reactor = self.lender.reactor
        while reactor.wake(self._others_have_sessions or self._not_lent_yet > 0):
            if reactor.next_due is not None:
                # What follows is due after the end.
                break
            block = self._queue.next_block()
            if block is None:
                break
            self._renew(block)
        else:
            self._waits_for_session = reactor.waits_for_session
            return
        if self._runs_out(self._timer):
            reactor.finish()
            self._on_exhausted()

    def _renew(self, due: Numbers) -> None:
        self.lender.reactor.schedule((due + self._start_ns).astype(np.int64, copy=False).tobytes())

    def end(self, now_ns: int) -> int:
        """Sends nothing more but what fell due by `now_ns`, and drops what is late. Returns 0: nothing is left over."""
        reactor = self.lender.reactor
        self._timer = None
        until_ns = min(now_ns, self._end_ns)
        self._others_have_sessions = False
        self._drop_late(min(until_ns, monotonic_ns() - MAX_LATE_SEND_NS))
        while (due_ns := self._next_due()) is not None and due_ns < until_ns:
            reactor.dispatch(drops=monotonic_ns() - due_ns > MAX_LATE_SEND_NS)
        reactor.finish()
        self.exhausted = self.ended = True
        return 0

    def give_up(self) -> None:
        """Counts all messages of the schedule that are left as due, and drops them."""
        super().give_up()
        self._renew(np.zeros(0, np.int64))

    def _next_due(self) -> int | None:
        """Returns the due instant of the next message, of the next block if need be; None if there is none."""
        while (due_ns := self.lender.reactor.next_due) is None:
            block = self._queue.next_block()
            if block is None:
                return None
            self._renew(block)
        return due_ns
