"""One session's frames: the hot path of reading, and every way in which a session ends.

What it costs. `Connection.data_received` runs once per read of a socket, whatever number of replies the read holds.
Per read it takes one clock reading, next to the read and before anything else; per reply a few bytecodes: the first
byte of a frame is compared with the one that an ordinary reply has, which checks FIN, the reserved bits and the
opcode in a single comparison, and the second byte gives the frame's end. Nothing is copied, and no object is made for
a frame. Everything that is not an ordinary whole reply (control frames, fragments, frames cut by the end of a read,
nonsense) leaves the loop for a method below it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ws_load_test import wire
from ws_load_test.clock import monotonic_ns
from ws_load_test.errors import Fault, FaultKind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ws_load_test.measure.samples import Samples
    from ws_load_test.measure.tally import Tally

LARGEST_MESSAGE_BYTES = 64 * 1024 * 1024
"""A larger reply is answered with close code 1009 (RFC 6455, section 7.4.1)."""
WHOLE_TEXT, WHOLE_BINARY = wire.FIN | wire.TEXT, wire.FIN | wire.BINARY
WHOLE_PING, WHOLE_PONG, WHOLE_CLOSE = wire.FIN | wire.PING, wire.FIN | wire.PONG, wire.FIN | wire.CLOSE
LAST_FRAGMENT = wire.FIN | wire.CONTINUATION
NO_HEAD = -1
"""Equals no byte: every frame takes the long way."""
UNKNOWN = 1 << 62
"""The end of a frame whose header is cut off: behind any data."""


class Owner(Protocol):
    """What a connection needs of the worker that owns it."""

    tally: Tally
    samples: Samples

    def connection_opened(self, connection: Connection) -> None:
        """A session is open."""
        ...

    def connection_ended(self, connection: Connection, fault: Fault | None) -> None:
        """An open session is over; the fault is what the target did wrong, if that was the end of it."""
        ...

    def connection_gone(self, connection: Connection) -> None:
        """The TCP connection of a session that was open is closed."""
        ...


class Connection(asyncio.Protocol):
    """An open session: finds the replies in what is read, answers control frames, and knows how it ended.

    What a reply means is up to a subclass: `replied` is told how many came in one read, and when it was read.
    """

    write: Callable[[bytes | memoryview], int]
    """Hands bytes to the kernel and tells how many it took; raises BlockingIOError when its buffer is full."""

    def __init__(self, owner: Owner, expected_pong: bytes | None = None) -> None:
        """Takes `expected_pong` where pongs with that payload, and they alone, are the replies."""
        self.owner = owner
        self.expected_pong = expected_pong
        self.reply_head = WHOLE_TEXT if expected_pong is None else NO_HEAD
        self.closing = False
        """A close frame has been sent or received: no message follows."""
        self.given_up: Fault | None = None
        """Why we closed the session although the run was not over."""
        self.ended = False
        """The session's end has been counted."""
        self.reset_by: ConnectionResetError | None = None
        """What a write met: the kernel tells of a reset once, and the next read finds a mere end."""
        self._verdict: tuple[int, Fault | None] | None = None
        self._pinged_ns = 0
        self._blocked_ns = 0
        self._transport: asyncio.Transport
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._wanted_bytes = 0
        self._fragmented_bytes = -1
        self._head_after_fragments = self.reply_head

    def opened(self, transport: asyncio.Transport, sock: socket.socket, *, secure: bool, early: bytes) -> None:
        """Takes over from the upgrade; `early` is what the target sent behind its answer to it."""
        self._transport = transport
        # Straight to the kernel, because a loop that keeps writes for its end would make every sent instant a lie.
        self._write_now = self._write_through if secure else sock.send
        self.write = self._write_now
        self.owner.connection_opened(self)
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Counts the whole replies in what was read; the hot path."""
        at_ns = monotonic_ns()
        self.owner.tally.bytes_received += len(data)
        if self._kept:
            data = self._join(data)
        size, at, end, replies, head = len(data), 0, 0, 0, self.reply_head
        last = size - 1
        while at < last:
            length = data[at + 1]
            end = at + 2 + length if length < 126 else self._end_of_long(data, at)
            if end > size:
                break
            if data[at] == head:
                replies += 1
            else:
                replies += self._other(data, at, end)
                head = self.reply_head
            at = end
        if at != size:
            self._keep(data[at:], end - at if end != UNKNOWN else 0)
        if replies:
            self.replied(replies, at_ns)
        if self._verdict is not None:
            # Only now, because the replies that came before the end, perhaps in the same read, are replies.
            self._end(*self._verdict)

    def replied(self, count: int, at_ns: int) -> None:
        """`count` replies were read at `at_ns`, together."""
        raise NotImplementedError

    def abandoned(self) -> None:
        """The session has ended; what was in flight stays unanswered."""
        raise NotImplementedError

    # --- Reading what is not ordinary -------------------------------------------------------------------------------

    def _end_of_long(self, data: bytes, at: int) -> int:
        """Where a frame with a long length ends (RFC 6455, section 5.2), `UNKNOWN` while its header is not whole."""
        length, start = data[at + 1], at + 2
        if length == wire.LENGTH_IS_16_BIT:
            return start + 2 + int.from_bytes(data[start : start + 2]) if start + 2 <= len(data) else UNKNOWN
        if length != wire.LENGTH_IS_64_BIT:
            self._fail("a masked frame (RFC 6455, section 5.1: a server never masks)")
        elif start + 8 <= len(data):
            payload_bytes = int.from_bytes(data[start : start + 8])
            if payload_bytes <= LARGEST_MESSAGE_BYTES:
                return start + 8 + payload_bytes
            self._fail(f"a frame of {payload_bytes} bytes, more than the {LARGEST_MESSAGE_BYTES} taken", wire.TOO_BIG)
        return UNKNOWN

    def _keep(self, rest: bytes, frame_bytes: int) -> None:
        """Puts a frame aside that the read cut off; `frame_bytes` is its whole size, 0 while that is not known."""
        self._kept.append(rest)
        self._kept_bytes = len(rest)
        self._wanted_bytes = max(frame_bytes, len(rest) + 1)

    def _join(self, data: bytes) -> bytes:
        """What was put aside and what came now, as soon as the frame is whole; nothing before."""
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes < self._wanted_bytes:
            return b""
        data = b"".join(self._kept)
        self._kept.clear()
        return data

    def _other(self, data: bytes, at: int, end: int) -> int:
        """Takes in a whole frame that is not an ordinary reply; returns how many replies it completes, 0 or 1."""
        if self._verdict is not None:
            return 0
        first = data[at]
        opcode = first & wire.OPCODE_BITS
        if first & wire.RESERVED_BITS:
            self._fail("reserved bits set without an extension (RFC 6455, section 5.2)")
        elif opcode >= wire.CLOSE:
            if data[at + 1] > wire.LARGEST_CONTROL_PAYLOAD or not first & wire.FIN:
                self._fail("a control frame that is fragmented or longer than 125 bytes (RFC 6455, section 5.5)")
            else:
                return self._control(opcode, data[at + 2 : end])
        elif opcode > wire.BINARY:
            self._fail(f"reserved opcode {opcode:#x} (RFC 6455, section 5.2)")
        elif (opcode == wire.CONTINUATION) == (self._fragmented_bytes < 0):
            self._fail("a message's fragments out of order (RFC 6455, section 5.4)")
        elif first & wire.FIN:
            return self._message(opcode)
        else:
            self._fragment(end - at)
        return 0

    def _message(self, opcode: int) -> int:
        """The last, or only, frame of a message has come."""
        if opcode == wire.CONTINUATION:
            self._fragmented_bytes = -1
            self.reply_head = self._head_after_fragments
        elif self.expected_pong is None:
            # Whichever of text and binary the target answers with is the ordinary reply from here on.
            self.reply_head = wire.FIN | opcode
        if self.expected_pong is None:
            return 1
        self.owner.tally.pushed += 1
        return 0

    def _fragment(self, frame_bytes: int) -> None:
        """A frame has come that more of the same message follow."""
        if self._fragmented_bytes < 0:
            self._fragmented_bytes = 0
            self._head_after_fragments, self.reply_head = self.reply_head, NO_HEAD
        self._fragmented_bytes += frame_bytes
        if self._fragmented_bytes > LARGEST_MESSAGE_BYTES:
            self._fail(f"a message of more than {LARGEST_MESSAGE_BYTES} bytes", wire.TOO_BIG)

    def _control(self, opcode: int, payload: bytes) -> int:
        """A control frame (RFC 6455, section 5.5)."""
        if opcode == wire.PING:
            if not self.closing:
                self._write_control(wire.PONG, payload)
                # A message must not reach the kernel before the rest of a pong of which it took a part.
                self.write = self._write_queued
        elif opcode == wire.PONG:
            if self._pinged_ns and payload == self._pinged_ns.to_bytes(8):
                self.owner.tally.keepalive_time_ns.record(monotonic_ns() - self._pinged_ns)
                self._pinged_ns = 0
            return int(payload == self.expected_pong)
        elif opcode == wire.CLOSE:
            self._close_frame(payload)
        else:
            self._fail(f"reserved opcode {opcode:#x} (RFC 6455, section 5.2)")
        return 0

    def _close_frame(self, payload: bytes) -> None:
        """The target closes, or answers our close (RFC 6455, section 5.5.1)."""
        code = int.from_bytes(payload[:2]) if payload else wire.NO_CODE
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            self._fail("a close reason that is not UTF-8 (RFC 6455, section 8.1)", wire.INVALID_PAYLOAD)
            return
        if payload and not wire.close_code_is_valid(code):
            self._fail(f"close code {code} (RFC 6455, section 7.4)")
            return
        text = f"closed with {code}" + (f' "{reason}"' if reason else "")
        self._condemn(code, Fault(FaultKind.CLOSED, str(code), text), payload[:2])

    def _fail(self, what: str, code: int = wire.PROTOCOL_ERROR) -> None:
        """The target broke the protocol: says so to it (RFC 6455, section 7.1.7) and ends the session."""
        fault = Fault(FaultKind.PROTOCOL_ERROR, text=f"sent {what}")
        self._condemn(code, fault, wire.close_payload(code))
        self._transport.close()

    def _condemn(self, code: int, fault: Fault, answer: bytes) -> None:
        """Nothing that the target sends from here on counts; the session ends when this read has been dealt with."""
        self.reply_head = NO_HEAD
        if self.closing:
            # After our close the target is the first to end the TCP connection (RFC 6455, section 7.1.1), which keeps
            # our port out of TIME_WAIT.
            self._verdict = (code, self.given_up)
            return
        self.closing = True
        self._verdict = (code, fault)
        self._write_control(wire.CLOSE, answer)
        self._transport.close()

    # --- Writing what is not ordinary -------------------------------------------------------------------------------

    def _write_control(self, opcode: int, payload: bytes) -> None:
        frame = wire.client_frame(opcode, payload)
        self.owner.tally.bytes_sent += len(frame)
        self._transport.write(frame)

    def write_behind(self, data: bytes | memoryview) -> None:
        """Leaves to the transport what the kernel did not take, and all that follows until it has gone."""
        self.write = self._write_queued
        self._blocked_ns = self._blocked_ns or monotonic_ns()
        self._transport.set_write_buffer_limits(0)
        self._transport.write(data)

    def resume_writing(self) -> None:
        """All that waited has gone to the kernel."""
        if self._blocked_ns:
            self.owner.tally.write_blocked_ns += monotonic_ns() - self._blocked_ns
            self._blocked_ns = 0

    def ping(self) -> None:
        """Sends a ping whose pong tells how long it took, unless one is still on its way."""
        if not self.closing and not self._pinged_ns:
            self._pinged_ns = monotonic_ns()
            self._write_control(wire.PING, self._pinged_ns.to_bytes(8))
            self.write = self._write_queued

    def _write_queued(self, data: bytes | memoryview) -> int:
        if self._transport.get_write_buffer_size():
            self._transport.write(data)
            return len(data)
        self.write = self._write_now
        return self._write_now(data)

    def _write_through(self, data: bytes | memoryview) -> int:
        self._transport.write(data)
        return len(data)

    # --- Ending -----------------------------------------------------------------------------------------------------

    def close(self, given_up: Fault | None = None) -> None:
        """Begins the close handshake (RFC 6455, section 7.1.2); `given_up` says why, when the run is not over."""
        if self.closing or self.ended:
            return
        self.closing, self.given_up = True, given_up
        self._write_control(wire.CLOSE, wire.close_payload(wire.NORMAL))

    def abort(self) -> None:
        """Ends the session without waiting for anything."""
        self._end(wire.ABNORMAL, self.given_up)
        if not self._transport.is_closing():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        fault: Fault | None
        exc = exc or self.reset_by
        if self.closing:
            fault = self.given_up
        elif isinstance(exc, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            fault = Fault(FaultKind.RESET, text="reset the connection")
        elif exc is None:
            fault = Fault(FaultKind.CLOSED, str(wire.ABNORMAL), "closed the TCP connection without a close frame")
        else:
            fault = Fault(FaultKind.RESET, text=f"broke the connection: {exc}")
        self._end(wire.ABNORMAL, fault)
        self.owner.connection_gone(self)

    def _end(self, code: int, fault: Fault | None) -> None:
        if self.ended:
            return
        self.ended = self.closing = True
        tally = self.owner.tally
        tally.closed[str(code)] += 1
        if fault is not None:
            tally.lost += 1
            tally.faults[fault.key] += 1
        self.abandoned()
        self.owner.connection_ended(self, fault)
