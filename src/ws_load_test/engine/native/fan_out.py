"""Fan-outs whose deliveries the compiled loop finds.

Sessions that await no reply are lent: subscribers, and publishers without acknowledgments. Their messages are made and
sent by the portable code, since there are few of them beside their deliveries. These become rows in the compiled loop,
which are taken many at a time.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from ws_load_test.engine.conversations.send_only import SendOnlyConversation
from ws_load_test.engine.fan_out.audience import Audience
from ws_load_test.engine.fan_out.deliveries import NO_ROOM, SessionColumns, SubscriberConnection
from ws_load_test.engine.native.lending import Lender, NativeConnection
from ws_load_test.messages.marker import MAX_NUMBERS, Marker

if TYPE_CHECKING:
    from ws_load_test.engine.engine import LoadWindow
    from ws_load_test.engine.fan_out.audience import TallyOwner
    from ws_load_test.engine.native.reactor import FoundDeliveries, Loan, Reactor
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

LEND_AGAIN_S = 0.001
"""Time after which a session is lent whose transport still had bytes to send: its first message, mostly."""
ROWS_AT_ONCE = 8192
"""Deliveries that are taken together: what they take at once is below a millisecond."""
COLUMNS = 6
"""Numbers of a row (`FoundDeliveries.take`)."""


def unsupported(plan: Plan) -> list[str]:
    """Returns what of a fan-out the compiled loop cannot do, each a sentence."""
    fan_out = plan.fan_out
    if fan_out is None:
        return []
    rules = (
        (fan_out.marker.kind != "marker", "it finds deliveries by {marker} alone"),
        (fan_out.everyone and plan.correlation.awaits_replies, "its subscribers await no replies to what they publish"),
        (plan.message.kind == "ping", "it takes no pongs for deliveries"),
        (plan.reply_instant == "kernel", "it has the kernel's instants of replies, and of no deliveries"),
    )
    return [reason for applies, reason in rules if applies]


class NativeSubscriber(NativeConnection, SubscriberConnection):
    """A session of a fan-out that can be lent if it awaits no reply."""

    def lend(self, reactor: Reactor) -> bool:
        """Hands the session over. Returns False if it awaits replies, or cannot be handed over now."""
        if not isinstance(self.sender.conversation, SendOnlyConversation) or not super().lend(reactor):
            return False
        self._write_now = self.write = self._write_lent
        return True

    def take_back(self, reactor: Reactor) -> int:
        """Goes on with the session in Python, behind all deliveries that have come. Returns 0."""
        cast("DeliveryLender", self.lender).audience.take_rows()
        self._write_now = self.write = self._write_through if self._secure else self._sock.send
        return super().take_back(reactor)

    def _write_lent(self, data: bytes | memoryview) -> int:
        """Sends a publish. Returns its size; raises OSError if it cannot leave."""
        if not self.lender.reactor.send(self.slot, bytes(data)):
            raise OSError(errno.ENOBUFS, "the session is dead, or the target does not read")
        return len(data)

    def _load_lent(self) -> None:
        """Does nothing: nothing is in flight."""

    def _load_back(self, loan: Loan) -> None:
        """Does nothing: nothing is in flight."""


class NativeAudience(Audience):
    """Subscribers and publishers of one worker, with deliveries that come from the compiled loop in rows."""

    connection_type: ClassVar[type[SubscriberConnection]] = NativeSubscriber
    _found: FoundDeliveries
    _owner: TallyOwner

    def receive_through(self, lender: DeliveryLender, owner: TallyOwner) -> None:
        """Takes deliveries from the compiled loop from here on; `owner` has the counts of the sessions."""
        self._found, self._owner, lender.audience = lender.found, owner, self
        sessions = self._fan_out.sessions
        self._room_of, self._slot_of = np.full(sessions, NO_ROOM), np.zeros(sessions, np.int64)
        for number, (room, place) in self._places.items():
            self._room_of[number], self._slot_of[number] = room.room, room.first_slot + place

    def start(self, window: LoadWindow) -> None:
        """Begins: deliveries are recognized in the compiled loop as well."""
        super().start(window)
        self._found.begin(self._codec.head)

    def collect_into(self, tally: Tally) -> None:
        """Counts what has come, and settles what can be."""
        self.take_rows()
        super().collect_into(tally)

    def take_rows(self) -> None:
        """Adds the deliveries that the compiled loop has found to their publishes, as `Recipient.take` does each."""
        tally = self._owner.tally
        self.deliveries.count_foreign(self._found.take_foreign(), tally)
        self.deliveries.turns.add(self._found.take_turns())
        if not self._found.count:
            return
        rows = np.frombuffer(self._found.take(), np.int64).reshape(-1, COLUMNS)
        keys = rows[:, 1] * MAX_NUMBERS + rows[:, 2]
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        ends = np.append(starts[1:], len(rows))
        connections, times = rows[order, 0], rows[order, 5]
        rooms, slots = self._room_of[connections], self._slot_of[connections]
        # In the order in which the first of each came: how far ahead a number is depends on those before it.
        for group in np.argsort(order[starts]).tolist():
            own = slice(starts[group], ends[group])
            _, publisher, number, due_ns, lag_ns, _ = rows[order[starts[group]]].tolist()
            marker = Marker(publisher, number, due_ns, due_ns + lag_ns)
            columns = SessionColumns(rooms[own], slots[own], times[own])
            self.deliveries.take_many(marker, columns, self._rooms[self._accounting.room_of(marker)], tally)


class DeliveryLender(Lender):
    """Lends the sessions of a fan-out, and has their deliveries taken while they come."""

    audience: NativeAudience
    """Set once it is made."""

    def __init__(self, reactor: Reactor, found: FoundDeliveries) -> None:
        super().__init__(reactor)
        self.found = found
        """Deliveries that the loop has found."""
        self.load = NoLoad()

    def lend_soon(self, connection: Connection) -> None:
        """Lends a session as soon as it can be, if it awaits no reply."""
        native = cast("NativeSubscriber", connection)
        if native.closing or native.ended or self.lend(native):
            return
        if isinstance(native.sender.conversation, SendOnlyConversation):
            asyncio.get_running_loop().call_later(LEND_AGAIN_S, self.lend_soon, native)

    def _turn(self) -> None:
        super()._turn()
        if self.found.count >= ROWS_AT_ONCE:
            self.audience.take_rows()


class NoLoad:
    """Stands for the load of sessions whose messages are sent by Python; none of them sleeps."""

    may_get_more = False

    def starved(self, connection: NativeConnection, count: int) -> None:
        """Does nothing: no reply makes room for a message."""

    def on_idle(self, connection: Connection, /) -> None:
        """Does nothing: nothing is in flight."""

    def continue_schedule(self) -> None:
        """Does nothing: the schedule is Python's."""

    def has_woken(self, connection: NativeConnection, slot: int) -> None:
        """Does nothing: none was asleep."""
