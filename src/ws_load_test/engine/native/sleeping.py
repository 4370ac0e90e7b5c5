"""Sessions that are asleep: lent, and known by a slot of the compiled loop alone.

A session in Python is ten objects and 1.7 kB, and an idle one needs none of them. So a plain session without a set-up
falls asleep as soon as it has opened. It wakes, which makes these objects, for all that concerns it alone: what is odd
in it, its end, a policy that picks it. What concerns all sessions (pings, looks for overdue replies, the beginning and
the end of the load) is done without waking any.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.connect.socket_transport import SocketTransport
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.native import reactor as native
from ws_load_test.engine.native.sleeping_looks import SleepingLooks
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ws_load_test.engine.keep_alive import Pinged
    from ws_load_test.engine.native.lending import Lender, NativeConnection
    from ws_load_test.engine.native.senders import LentSender
    from ws_load_test.metrics.tally import Tally


class WakingPool(Protocol):
    """The pool of sessions, as far as those that wake need it."""

    @property
    def tally(self) -> Tally:
        """Counts of the sessions."""
        ...

    def woken(self, number: int, slot: int) -> NativeConnection:
        """Returns the connection of a session that wakes."""
        ...

    def on_idle_asleep(self, slot: int) -> None:
        """A session that is asleep has nothing in flight, and nothing to send just now."""
        ...


class Sleepers:
    """The sessions of one worker that are asleep."""

    def __init__(self, pool: WakingPool, lender: Lender) -> None:
        self.count = 0
        """Sessions that are asleep."""
        self._pool = pool
        self._lender = lender
        self._reactor = lender.reactor
        self._looks = SleepingLooks()

    def open(self, descriptor: int, number: int, order: int) -> int | None:
        """Begins a session that is asleep, `order` sessions after the first. Returns its slot.

        Returns None if the kernel does not let the loop watch it.
        """
        self._lender.watch()
        try:
            slot = self._lender.reactor.lend(descriptor, number)
        except OSError:
            return None
        native.fall_asleep(self._reactor, slot, order)
        self._looks.begin(slot)
        self.count += 1
        return slot

    def wake(self, slot: int) -> NativeConnection:
        """Makes a session one that is merely lent. Returns its connection."""
        descriptor, number, order, ping = native.wake(self._reactor, slot)
        self.count -= 1
        connection = self._pool.woken(number, slot)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        transport = SocketTransport(asyncio.get_running_loop(), sock, connection)
        connection.wake(slot, transport, sock, ping)
        connection.order = order
        conversation = cast("LentSender", connection.sender).flights
        if isinstance(conversation, InOrderConversation):
            conversation.looks = self._looks.of(slot)
        self._lender.has_woken(connection)
        return connection

    def wake_numbers(self, numbers: Container[int]) -> None:
        """Wakes the sessions that have these numbers."""
        for slot, number, _ in self.all():
            if number in numbers:
                self.wake(slot)

    def all(self) -> list[tuple[int, int, int]]:
        """Returns all: slot, number, sessions that have opened before it."""
        return native.asleep(self._reactor) if self.count else []

    def slots(self) -> list[int]:
        """Returns the slots of all."""
        return [slot for slot, _, _ in self.all()]

    def is_asleep(self, slot: int) -> bool:
        """Returns True if the session of a slot is asleep."""
        return native.is_asleep(self._reactor, slot)

    def busy(self) -> list[int]:
        """Returns the slots of those that have messages in flight, or messages that wait for room."""
        return native.busy_asleep(self._reactor) if self.count else []

    # --- What concerns all of them ----------------------------------------------------------------------------------

    def overdue(self, before_ns: int) -> list[NativeConnection]:
        """Drops messages that wait for room too long, and wakes the sessions on which one was sent too long ago."""
        if not self.count:
            return []
        return [self.wake(slot) for slot in native.overdue_asleep(self._reactor, before_ns)]

    def look(self) -> None:
        """Looks at their queues of messages in flight, which are paired in order."""
        if self.count:
            suspected, cleared = self._looks.add(np.frombuffer(native.oldest_asleep(self._reactor), np.int64))
            tally = self._pool.tally
            tally.pairing_suspected += suspected
            tally.pairing_cleared += cleared

    def ping(self, slot: int, number: int) -> None:
        """Sends a ping on a session, unless the pong to one is still to come."""
        connection = self._lender.of_slot(slot)
        if connection is not None:
            # Awake by now.
            if connection.number == number:
                connection.ping()
        elif native.is_asleep(self._reactor, slot) and not native.ping_awaits_pong(self._reactor, slot):
            frame = frames.encode_client_frame(frames.PING, monotonic_ns().to_bytes(8))
            self._pool.tally.bytes_sent += len(frame)
            self._reactor.write(slot, frame)

    def on_pong(self, payload: bytes, at_ns: int) -> None:
        """Records the time of a ping."""
        self._pool.tally.keepalive_time_ns.record(max(0, at_ns - int.from_bytes(payload)))

    def on_idle(self, slot: int) -> None:
        """Takes note that a session has nothing in flight, and nothing to send just now."""
        self._pool.on_idle_asleep(slot)


class SleepingPing:
    """A session that is asleep, as far as pings need it."""

    __slots__ = ("_number", "_sleepers", "_slot")

    def __init__(self, sleepers: Sleepers, slot: int, number: int) -> None:
        self._sleepers, self._slot, self._number = sleepers, slot, number

    def ping(self) -> None:
        """Sends a ping whose pong is timed, unless one is still on its way."""
        self._sleepers.ping(self._slot, self._number)


def pinged(sleepers: Sleepers) -> Sequence[Pinged]:
    """Returns all that are asleep, for one round of pings."""
    return [SleepingPing(sleepers, slot, number) for slot, number, _ in sleepers.all()]
