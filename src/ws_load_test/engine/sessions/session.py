"""One session apart from reading: how it begins, what it writes beside the load, how it ends."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.dialed_session import DialedSession
from ws_load_test.engine.sessions.read_policy import NO_FAST_PATH, ReadPolicy
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.loop_turns import LoopTurns
    from ws_load_test.engine.sessions.kind_limits import KindLimits
    from ws_load_test.engine.sessions.sender import MessageReceiver
    from ws_load_test.metrics.sample_buffer import SampleBuffer
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.websocket.deflate import PerMessageDeflate

READ_COUNTED = ReadPolicy()
UNLIMITED = 1 << 62
"""Bytes: more than any buffer."""
MAX_QUEUED_PONG_BYTES = 1 << 12
"""Bytes that wait for the kernel, of whatever kind, above which only the latest ping is answered: some 680 pongs, more
than any target needs that reads them."""
MAX_QUEUED_ANSWER_BYTES = 1 << 20
"""Bytes that wait for the kernel above which a message is not answered on its own account (``--auto-reply``)."""
SET_LATER = ("_transport", "_sock", "_write_now", "write", "receiver", "sender", "on_replies")
"""Attributes that a session gets when it has opened. The objects of a class share one table of names, of at most 30
that the first few objects had once they were made (CPython's objects/dictobject.c). An object with any other name takes
a table of its own, of 1.3 kB; with hundreds of sessions being dialed at once that would be all of them."""
SMALL_BUFFER_BYTES = 4096
"""Receive buffer of a client that reads slowly or not at all, so that the target soon finds it full."""


class SessionListener(Protocol):
    """Owner of sessions: it counts what happens to them, and is called when they open and end."""

    tally: Tally
    samples: SampleBuffer
    loop_turns: LoopTurns
    """Turns of the loop, which the sessions of a worker share."""
    kinds: KindLimits
    """Names under which the worker counts faults and close codes."""

    def session_opened(self, session: Session) -> None:
        """A session is open."""
        ...

    def session_ended(self, session: Session, fault: Fault | None) -> None:
        """An open session is over; the fault is the target's failing that ended it, if there was one."""
        ...

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target's close frame gave a reason."""
        ...

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        ...

    def fault(self, fault: Fault) -> None:
        """The target did something wrong that did not end the session."""
        ...


class Session(DialedSession):
    """The beginning, the writing and the end of a session; `Connection` adds reading."""

    write: Callable[[bytes | memoryview], int]
    """Hands bytes to the kernel. Returns how many it took; raises BlockingIOError when its buffer is full."""

    # What few sessions have is set where it is needed only: see SET_LATER.
    deflate: PerMessageDeflate | None = None
    """Permessage-deflate (RFC 7692), where it was agreed."""
    close_fault: Fault | None = None
    """Fault of the target's that ended the session, or for which we closed it although the run was not over."""
    reset_by: ConnectionResetError | None = None
    """The reset that a write met: the kernel reports it once, and the next read finds a mere end."""
    max_buffered_bytes = UNLIMITED
    """Bytes that may wait for the kernel before a write is refused."""
    _latest_ping: bytes | None = None
    """The ping that will be answered once what waits before it has gone to the kernel."""
    _queued_since_bytes = 0
    """Bytes handed to the transport since the latest ping began to wait."""
    _reads_slowly = False
    """The transport reads only when it is asked to."""
    receiver: MessageReceiver
    """Takes the messages that are read whole."""
    left_unanswered = 0
    """Messages that were in flight when the session ended."""

    def __init__(self, owner: SessionListener, reading: ReadPolicy = READ_COUNTED) -> None:
        for name in SET_LATER:
            setattr(self, name, None)
        self.owner = owner
        self.reading = reading
        self.number = 0
        """Number of the connection within the run; the session that takes the place of another has its number."""
        self.reply_head = reading.fast_path_byte
        """First byte of an ordinary reply's frame, which is only counted."""
        self.needs_payload = reading.needs_payload
        """Messages are read whole."""
        self.closing = False
        """A close frame has been sent or received: no message follows."""
        self.ended = False
        """The session's end has been counted."""
        self._pending_end: tuple[int, Fault | None] | None = None
        self._pinged_ns = 0
        self._blocked_ns = 0
        self._transport: asyncio.Transport
        self._sock: socket.socket
        self._secure = False

    def attach(
        self,
        transport: asyncio.Transport,
        sock: socket.socket,
        *,
        secure: bool,
        early: bytes,
        deflate: PerMessageDeflate | None = None,
    ) -> None:
        """Takes over from the upgrade; `early` is what the target sent behind its answer to it."""
        self.take_over(transport, sock, secure=secure)
        if deflate is not None:
            self.deflate, self.needs_payload, self.reply_head = deflate, True, NO_FAST_PATH
        self.owner.session_opened(self)
        if early:
            self.data_received(early)

    def take_over(self, transport: asyncio.Transport, sock: socket.socket, *, secure: bool) -> None:
        """Writes through a transport, or to the socket under it."""
        self._transport, self._sock, self._secure = transport, sock, secure
        # Straight to the kernel, because a loop that keeps writes for its end would make every sent instant a lie.
        self._write_now = self._write_through if secure else sock.send
        self.write = self._write_now

    def set_receiver(self, receiver: MessageReceiver, *, needs_payload: bool = False) -> None:
        """Gives the messages that come from here on to a receiver, which may need to see all of each."""
        self.receiver = receiver
        self.needs_payload = needs_payload or self.reading.needs_payload or self.deflate is not None
        if self._pending_end is None and not self.ended:
            self.reply_head = NO_FAST_PATH if self.needs_payload else self.reading.fast_path_byte

    # --- Writing what is not ordinary -------------------------------------------------------------------------------

    def write_message(self, opcode: int, payload: bytes) -> None:
        """Sends a message, or a pong, that is not the load's; nothing behind a close (RFC 6455, section 5.5.1)."""
        if self.closing:
            return
        if self.deflate is not None and opcode < frames.CLOSE:
            frame = frames.encode_frame(opcode, self.deflate.compress(payload), mask=os.urandom(4), rsv=frames.RSV1)
            self.owner.tally.uncompressed_bytes_sent += len(payload)
            self.owner.tally.bytes_sent += len(frame)
            self._queue(frame)
        else:
            self._write_control(opcode, payload)
        # A message of the load must not reach the kernel before the rest of one of which it took a part.
        self.write = self._write_queued

    def _write_control(self, opcode: int, payload: bytes) -> None:
        frame = frames.encode_client_frame(opcode, payload)
        self.owner.tally.bytes_sent += len(frame)
        self._queue(frame)

    def _queue(self, data: bytes | memoryview) -> None:
        if self._latest_ping is not None:
            self._queued_since_bytes += len(data)
        # A transport that has met the end of the stream takes nothing more, and reports that a turn of the loop later.
        if not self._transport.is_closing():
            self._transport.write(data)

    def answer_ping(self, payload: bytes) -> None:
        """Sends a pong or, while the target does not read, only that of its latest ping (RFC 6455, section 5.5.3)."""
        if self._latest_ping is not None:
            self.owner.tally.answers_left_out += 1
            self._latest_ping = payload
            self._answer_latest_ping()
        elif self._transport.get_write_buffer_size() > MAX_QUEUED_PONG_BYTES:
            self._latest_ping, self._queued_since_bytes = payload, 0
            self._transport.set_write_buffer_limits(0)
        else:
            self.write_message(frames.PONG, payload)

    def _answer_latest_ping(self) -> None:
        """Answers the ping that waits, once all that waited before it has gone to the kernel."""
        payload = self._latest_ping
        if payload is not None and self._transport.get_write_buffer_size() <= self._queued_since_bytes:
            self._latest_ping = None
            self.write_message(frames.PONG, payload)

    def answer_message(self, opcode: int, payload: bytes) -> None:
        """Sends an answer that a message asks for, unless the target does not read."""
        if self._transport.get_write_buffer_size() > MAX_QUEUED_ANSWER_BYTES:
            self.owner.tally.answers_left_out += 1
        else:
            self.write_message(opcode, payload)

    def write_buffered(self, data: bytes | memoryview) -> None:
        """Leaves to the transport what the kernel did not take, and all that follows until it has gone."""
        self.write = self._write_queued
        self._blocked_ns = self._blocked_ns or monotonic_ns()
        self._transport.set_write_buffer_limits(0)
        self._queue(data)

    def blocked_since(self, before_ns: int) -> bool:
        """True if bytes have waited for the kernel since before an instant, because the target does not read."""
        return 0 < self._blocked_ns < before_ns

    def resume_writing(self) -> None:
        """All that waited has gone to the kernel."""
        if self._blocked_ns:
            self.owner.tally.write_blocked_ns += monotonic_ns() - self._blocked_ns
            self._blocked_ns = 0
        self._answer_latest_ping()

    def ping(self) -> None:
        """Sends a ping whose pong is timed, unless one is still on its way."""
        if not self.closing and not self._pinged_ns:
            self._pinged_ns = monotonic_ns()
            self.write_message(frames.PING, self._pinged_ns.to_bytes(8))

    def _write_queued(self, data: bytes | memoryview) -> int:
        queued_bytes = self._transport.get_write_buffer_size()
        if queued_bytes > self.max_buffered_bytes:
            raise OSError(errno.ENOBUFS, "the target does not read")
        if queued_bytes:
            self._queue(data)
            self._answer_latest_ping()
            return len(data)
        if self._latest_ping is not None:
            # Behind the pong, which waits for the end of the loop's turn.
            self._answer_latest_ping()
            return self._write_through(data)
        self.write = self._write_now
        return self._write_now(data)

    def _write_through(self, data: bytes | memoryview) -> int:
        self._transport.write(data)
        return len(data)

    # --- Reading slowly, or not at all ------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Leaves unread all that comes from here on, in a buffer that is full soon."""
        self._reads_slowly = True
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self._transport.pause_reading()

    def read_some(self, limit_bytes: int) -> None:
        """Reads a little of what `pause_reading` leaves; under TLS, as much as the buffer holds."""
        data = b""
        if not self._secure:
            try:
                data = self._sock.recv(limit_bytes)
            except BlockingIOError:
                return
            except OSError as error:
                if isinstance(error, ConnectionResetError):
                    self.reset_by = error
                self._transport.abort()
                return
        if data:
            self.data_received(data)
        else:
            # The end of the stream is the transport's to notice.
            self._transport.resume_reading()
            if self._secure:
                asyncio.get_running_loop().call_soon(self._transport.pause_reading)

    # --- Ending -----------------------------------------------------------------------------------------------------

    def close(self, given_up: Fault | None = None, code: int = frames.NORMAL_CLOSURE) -> None:
        """Begins the close handshake (RFC 6455, section 7.1.2); `given_up` is the reason, when the run is not over."""
        if self.closing or self.ended:
            return
        self.closing, self.close_fault = True, given_up
        self._write_control(frames.CLOSE, frames.close_payload(code))

    def abort(self) -> None:
        """Ends the session without waiting for anything."""
        self._end(frames.ABNORMAL_CLOSURE, self.close_fault)
        if not self._transport.is_closing():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        fault: Fault | None
        exc = exc or self.reset_by
        if self.closing:
            fault = self.close_fault
        elif isinstance(exc, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            fault = Fault(FaultKind.RESET, text="reset the connection")
        elif exc is None:
            fault = Fault(
                FaultKind.CLOSED, str(frames.ABNORMAL_CLOSURE), "closed the TCP connection without a close frame"
            )
        else:
            fault = Fault(FaultKind.RESET, text=f"broke the connection: {_words(exc)}")
        self._end(frames.ABNORMAL_CLOSURE, fault)
        self.owner.transport_closed(self)

    def _end(self, code: int, fault: Fault | None) -> None:
        if self.ended:
            return
        self.ended = self.closing = True
        self.resume_writing()
        tally = self.owner.tally
        tally.closed[self.owner.kinds.code_key(code)] += 1
        if fault is not None:
            tally.lost += 1
            tally.faults[self.owner.kinds.fault_key(fault)] += 1
            self.close_fault = fault
        unanswered = tally.unanswered
        self.receiver.on_ended()
        if tally.unanswered != unanswered:
            self.left_unanswered = tally.unanswered - unanswered
        self.owner.session_ended(self, fault)

    # --- The end from the target's side, or for its breach of the protocol ------------------------------------------

    def _close_frame(self, payload: bytes) -> None:
        """The target closes, or answers our close (RFC 6455, section 5.5.1)."""
        if len(payload) == 1:
            self._fail("a close frame with one byte, half a code (RFC 6455, section 5.5.1)", clause="5.5.1")
            return
        code = int.from_bytes(payload[:2]) if payload else frames.NO_STATUS_RCVD
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            self._fail("a close reason that is not UTF-8 (RFC 6455, section 8.1)", frames.INVALID_DATA, "8.1")
            return
        if payload and not frames.close_code_is_valid(code):
            self._fail(f"a close frame with code {code}, which {frames.why_invalid(code)}", clause="7.4")
            return
        text = f"closed with {code}" + (f' "{reason}"' if reason else "")
        if reason and not self.closing:
            self.owner.close_reason(self, code, reason)
        self._end_after_read(code, Fault(FaultKind.CLOSED, str(code), text), payload[:2])

    def _fail(self, what: str, code: int = frames.PROTOCOL_ERROR, clause: str = "") -> None:
        """The target broke a clause of the protocol: sends it the code (RFC 6455, section 7.1.7), ends the session."""
        fault = Fault(FaultKind.PROTOCOL_ERROR, clause, f"sent {what}")
        self._end_after_read(code, fault, frames.close_payload(code))
        self._transport.close()

    def _refuse_large(self, what: str) -> None:
        """Ends the session for a message that is larger than what we take, which is our limit and no breach."""
        fault = Fault(FaultKind.MESSAGE_TOO_LARGE, text=f"sent {what} of --max-message-size")
        self._end_after_read(frames.MESSAGE_TOO_BIG, fault, frames.close_payload(frames.MESSAGE_TOO_BIG))
        self._transport.close()

    def _end_after_read(self, code: int, fault: Fault, answer: bytes) -> None:
        """Ends the session once this read has been dealt with; nothing that is read from here on counts."""
        if self._pending_end is not None:
            # The first to end the session is what ended it.
            return
        self.reply_head = NO_FAST_PATH
        if self.closing:
            # After our close the target is the first to end the TCP connection (RFC 6455, section 7.1.1), which keeps
            # our port out of TIME_WAIT.
            self._pending_end = (code, self.close_fault)
            return
        self.closing = True
        self._pending_end = (code, fault)
        self._write_control(frames.CLOSE, answer)
        self._transport.close()


def _words(error: Exception) -> str:
    """Returns the text of a connection's error, without the place in OpenSSL that noticed it."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed with {(error.reason or 'no reason').replace('_', ' ').lower()}"
    return str(error)
