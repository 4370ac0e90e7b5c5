"""Lending of sessions to the compiled loop, and their way back.

A session that is lent is read and written by `Reactor`; its transport rests. Whatever is not ordinary (a close frame, a
breach of the protocol, the end of the stream, a reply that is overdue) makes it go back, with all that is in flight and
every byte that is left over. From there the portable code goes on, and decides and counts as it does for any session.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import UsageError
from ws_load_test.common.faults import HostErrorKind, classify_host_error
from ws_load_test.common.loop_turns import TURN_NS
from ws_load_test.engine.native.own_tls import carrier_of, has_tls
from ws_load_test.engine.native.reactor import Reactor, tls_of
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.read_policy import NO_FAST_PATH
from ws_load_test.engine.sessions.session_setup import SessionSetup
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import socket

    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.native.reactor import Loan

GOES_BACK, STARVED, IDLE, PONG = 1, 2, 4, 8
"""Kinds of events, as bits (`Reactor.events`)."""
NOT_LENT = -1


class LendingLoad(Protocol):
    """The load of sessions that are lent, as far as events concern it."""

    def starved(self, connection: NativeConnection, count: int) -> None:
        """A session would have sent so many messages more, had there been any."""
        ...

    def on_idle(self, connection: Connection, /) -> None:
        """A session has nothing in flight, and nothing to send just now."""
        ...

    @property
    def may_get_more(self) -> bool:
        """False if a session that has starved will not be given more messages."""
        ...

    def has_woken(self, connection: NativeConnection, slot: int) -> None:
        """Goes on with a session that was asleep."""
        ...

    def continue_schedule(self) -> None:
        """The block of due instants is used up, or a message is due that no session can send."""
        ...


class SleepingSessions(Protocol):
    """The sessions that are lent and have no object here, as far as events concern them (`sleeping`)."""

    def wake(self, slot: int) -> NativeConnection:
        """Makes a session one that is merely lent. Returns its connection."""
        ...

    def slots(self) -> list[int]:
        """Returns the slots of all."""
        ...

    def on_pong(self, payload: bytes, at_ns: int) -> None:
        """Records the time of a ping."""
        ...

    def on_idle(self, slot: int) -> None:
        """Takes note that a session has nothing in flight, and nothing to send just now."""
        ...


class ReturnedLoad(Protocol):
    """One session's part of the load, which goes on in Python."""

    def lent(self) -> None:
        """Leaves what is in flight, and what waits, to the compiled loop."""
        ...

    def take_back(self, loan: Loan) -> None:
        """Goes on with the messages in flight, and those that wait for room."""
        ...


class NativeConnection(Connection):
    """A session that can be lent."""

    __slots__ = ("carrier", "lender", "order", "slot")

    lender: Lender
    """Set as soon as the connection is made."""
    slot: int
    """Its place in the compiled loop; `NOT_LENT` while it is the portable code's."""
    carrier: asyncio.Transport
    """The transport of the socket, which under TLS is below that of the session; set while it is lent."""
    order: int
    """Sessions of the worker that have opened before it; set once it has opened."""

    def lend(self, reactor: Reactor) -> bool:
        """Hands the session over. Returns False if the compiled loop cannot take it now.

        Bytes that wait in a transport would be overtaken.
        """
        setup = self.receiver if isinstance(self.receiver, SessionSetup) else None
        if self.closing or self.ended or (setup and setup.blocks_load) or self._transport.get_write_buffer_size():
            return False
        carrier, tls = self._transport, 0
        if self._secure:
            carrier = carrier_of(self._transport)
            tls = tls_of(self._transport.get_extra_info("ssl_object")) if has_tls() else 0
            if not tls:
                raise UsageError("OpenSSL's connection is not where Python usually keeps it; take --engine portable")
            if carrier.get_write_buffer_size():
                return False
        self.carrier = carrier
        if carrier.is_reading():
            carrier.pause_reading()
        early = b"".join(self._partial)
        self._partial.clear()
        unread, self._unread = self._unread, None
        if unread is not None:
            self.owner.tally.bytes_received += len(unread)
            early += unread
        try:
            self.slot = reactor.lend(
                self._sock.fileno(),
                self.number,
                early,
                self._fragmented_bytes,
                bytes(self._parts),
                self._message_head & frames.OPCODE_BITS,
                0 if setup is None else setup.pass_on(),
                tls,
            )
        except OSError as error:
            self._close_unlent(error)
            return False
        self._parts = bytearray()
        self._load_lent()
        return True

    def wake(self, slot: int, transport: asyncio.Transport, sock: socket.socket, ping: bytes) -> None:
        """Stands for a session that was lent without it; `ping` is the payload of one whose pong is awaited."""
        self.slot, self.carrier = slot, transport
        self._pinged_ns = int.from_bytes(ping)
        self.take_over(transport, sock, secure=False)
        cast("ReturnedLoad", self.sender).lent()

    def _close_unlent(self, error: OSError) -> None:
        """Closes a session that the kernel does not let the loop watch: this machine is at a limit of its own."""
        self.owner.tally.host_errors[classify_host_error(error) or HostErrorKind.OUT_OF_MEMORY] += 1
        self.carrier.resume_reading()
        self.close()

    def take_back(self, reactor: Reactor) -> int:
        """Goes on with the session in Python. Returns the messages that would have left, had there been any."""
        back = reactor.give_back(self.slot)
        self.slot = NOT_LENT
        self._load_back(back)
        self._set_fragmented(back.fragmented)
        self._parts += back.fragments
        if self._utf8 is not None:
            # The fragments belong to a text that may be cut off within a character.
            self._utf8.reset()
            self._utf8.decode(back.fragments if back.opcode == frames.TEXT else b"")
        self._message_head = back.opcode
        if back.greetings:
            SessionSetup(self, back.greetings, frames.TEXT, ())
        if back.cut_frame:
            self._stash(back.cut_frame, back.frame_bytes)
        if back.error:
            # Reported once: the read that follows finds a mere end.
            self.reset_by = cast("ConnectionResetError", OSError(back.error, os.strerror(back.error)))
        if back.unsent:
            self._write_unsent(back.unsent, back.blocked_since_ns)
        if back.ping is not None:
            self.answer_ping(back.ping)
        if back.unread:
            self.data_received(back.unread)
        if back.tls_ended:
            self._end_tls(back.tls_failure)
        elif not self.carrier.is_closing():
            self.carrier.resume_reading()
        return back.starved

    def _load_lent(self) -> None:
        cast("ReturnedLoad", self.sender).lent()

    def _load_back(self, loan: Loan) -> None:
        cast("ReturnedLoad", self.sender).take_back(loan)

    def _write_unsent(self, unsent: bytes, blocked_since_ns: int) -> None:
        """Leaves to the transport what the kernel has not taken."""
        if self.carrier is self._transport:
            self._blocked_ns = blocked_since_ns
            self.write_buffered(unsent)
        else:
            # Encrypted already.
            self.owner.tally.write_blocked_ns += monotonic_ns() - blocked_since_ns
            self.carrier.write(unsent)

    def _end_tls(self, failure: str) -> None:
        """Ends the session as asyncio does where the target ends TLS, or breaks it."""
        if failure:
            error = ssl.SSLError(failure)
            error.reason = failure
            self.reset_by = cast("ConnectionResetError", error)
        self._transport.abort()

    def _set_fragmented(self, payload_bytes: int) -> None:
        """Takes over how much of a message in fragments has come; -1: none."""
        if (payload_bytes < 0) != (self._fragmented_bytes < 0):
            if payload_bytes < 0:
                self.reply_head = self._head_after_fragments
            else:
                self._head_after_fragments, self.reply_head = self.reply_head, NO_FAST_PATH
        self._fragmented_bytes = payload_bytes

    # --- What others ask of a session that may be lent ----------------------------------------------------------------

    def _queue(self, data: bytes | memoryview) -> None:
        """Writes a frame that is not the load's, in its place among those that are."""
        if self.slot == NOT_LENT:
            super()._queue(data)
        else:
            self.lender.reactor.write(self.slot, bytes(data))

    def close(self, given_up: Fault | None = None, code: int = frames.NORMAL_CLOSURE) -> None:
        """Takes the session back, and begins the close handshake."""
        self.lender.take_back(self)
        super().close(given_up, code)

    def abort(self) -> None:
        """Takes the session back, and ends it without waiting for anything."""
        self.lender.take_back(self)
        super().abort()

    def blocked_since(self, before_ns: int) -> bool:
        """True if bytes have waited for the kernel since before an instant, because the target does not read."""
        if self.slot == NOT_LENT:
            return super().blocked_since(before_ns)
        return 0 < self.lender.reactor.blocked_since(self.slot) < before_ns


class Lender:
    """Lends the sessions of one worker, and runs the compiled loop from asyncio's."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.load: LendingLoad
        """The load of the sessions; set once it is made."""
        self.sleepers: SleepingSessions
        """Sessions that have no connection here; set once there is a pool."""
        self._lent: dict[int, NativeConnection] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beside = -1

    def lend(self, connection: NativeConnection) -> bool:
        """Lends a session. Returns False if the compiled loop cannot take it now."""
        if connection.slot != NOT_LENT:
            return True
        self.watch()
        if not connection.lend(self.reactor):
            return False
        self._lent[connection.slot] = connection
        return True

    def take_back(self, connection: NativeConnection) -> None:
        """Takes a session back, if it is lent."""
        if connection.slot == NOT_LENT:
            return
        del self._lent[connection.slot]
        starved = connection.take_back(self.reactor)
        if starved and not connection.ended:
            self.load.starved(connection, starved)

    def of_slot(self, slot: int) -> NativeConnection | None:
        """Returns the connection that is lent in a slot; None if that is free, or the session asleep."""
        return self._lent.get(slot)

    def has_woken(self, connection: NativeConnection) -> None:
        """Goes on with a session that was asleep, and is lent."""
        self._lent[connection.slot] = connection
        self.load.has_woken(connection, connection.slot)

    def close(self) -> None:
        """Runs the compiled loop no more."""
        if self._loop is not None:
            self._loop.remove_reader(self.reactor.fileno())
            self._loop = None
        self.reactor.close()

    def watch(self) -> None:
        """Runs the compiled loop whenever it has something to do, from here on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.reactor.fileno(), self._turn)
            self._beside = _descriptor_of(self._loop)

    def _turn(self) -> None:
        """Runs the compiled loop for a while, and deals with its events."""
        reactor = self.reactor
        if not reactor.run(monotonic_ns() + TURN_NS, self._beside):
            return
        # Looked up first: what one event leads to may end other loans, and begin some.
        events = [(self._concerned(event), *event) for event in reactor.events()]
        for connection, slot, bits, count, at_ns, pong in events:
            if connection is None:
                if bits & IDLE:
                    self.sleepers.on_idle(slot)
                continue
            if bits & PONG:
                connection.time_pong(pong, at_ns)
            if bits & STARVED:
                self.load.starved(connection, count)
            if bits & IDLE and not connection.ended:
                self.load.on_idle(connection)
            if bits & GOES_BACK:
                self.take_back(connection)
        if reactor.waits_for_block or reactor.waits_for_session:
            self.load.continue_schedule()

    def _concerned(self, event: tuple[int, int, int, int, bytes]) -> NativeConnection | None:
        """Returns the connection that has to deal with an event; None for a session that need not wake for it."""
        slot, bits, _, at_ns, pong = event
        connection = self._lent.get(slot)
        if connection is not None:
            return connection
        if bits & PONG:
            self.sleepers.on_pong(pong, at_ns)
        if bits & GOES_BACK or (bits & STARVED and self.load.may_get_more):
            return self.sleepers.wake(slot)
        return None


def _descriptor_of(loop: asyncio.AbstractEventLoop) -> int:
    """Returns what an event loop itself waits for: readable while it has something to do. -1 if it does not say."""
    of_uvloop = getattr(loop, "_get_backend_id", None)
    if of_uvloop is not None:
        return int(of_uvloop())
    of_selector = getattr(getattr(loop, "_selector", None), "fileno", None)
    return -1 if of_selector is None else int(of_selector())
