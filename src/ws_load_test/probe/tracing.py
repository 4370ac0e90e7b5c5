"""Observation of one session: wrappers that pass on all that goes in and out, and report it.

A frame that is parsed here is only shown; the engine decides what it means.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from ws_load_test.engine.connect.dialed_session import DialedSession
    from ws_load_test.websocket.deflate import PerMessageDeflate


class TrafficListener(Protocol):
    """Observer of an open session's bytes."""

    def bytes_sent(self, data: bytes) -> None:
        """Bytes have left."""
        ...

    def bytes_received(self, data: bytes, read: Callable[[bytes], None]) -> None:
        """Bytes have come. Must pass them on to `read`, whole or in pieces."""
        ...

    def message_compressed(self, payload: bytes) -> None:
        """A message is about to be compressed."""
        ...

    def message_decompressed(self, payload: bytes) -> None:
        """A message has been decompressed."""
        ...


SLICE_BYTES = 512
"""Bytes that are observed in one go: 256 of the smallest frames, some milliseconds."""

# --- Frames --------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A frame as it travelled, unmasked."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """Kind of the frame (RFC 6455, section 5.2)."""
        return self.first & frames.OPCODE_BITS

    @property
    def is_last(self) -> bool:
        """True if the frame ends its message."""
        return bool(self.first & frames.FIN)

    @property
    def is_compressed(self) -> bool:
        """True if the frame begins a compressed message (RFC 7692, section 6)."""
        return bool(self.first & frames.RSV1)


class FrameSplitter:
    """Cuts the bytes of one direction into frames."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted_bytes = 2

    def cut(self, data: bytes) -> Iterator[tuple[bytes, Frame | None]]:
        """Yields the same bytes in pieces, each with the frame that it completes; the last may complete none."""
        known, at = len(self._held), 0
        self._held += data
        while len(self._held) - at >= self._wanted_bytes:
            frame, end = self._frame(at)
            if frame is None:
                self._wanted_bytes = end - at
                continue
            yield data[max(0, at - known) : end - known], frame
            at, self._wanted_bytes = end, 2
        rest = data[max(0, at - known) :]
        del self._held[:at]
        if rest:
            yield rest, None

    def _frame(self, at: int) -> tuple[Frame | None, int]:
        """Returns the frame at a place, None if it is not whole, and its end as far as that is known."""
        held = self._held
        masked, length = held[at + 1] & frames.MASKED, held[at + 1] & ~frames.MASKED
        wide = {frames.LENGTH_IS_16_BIT: 2, frames.LENGTH_IS_64_BIT: 8}.get(length, 0)
        start = at + 2 + wide + (4 if masked else 0)
        if start > len(held):
            return None, start
        if wide:
            length = int.from_bytes(held[at + 2 : at + 2 + wide])
        end = start + length
        if end > len(held):
            return None, end
        payload = bytes(held[start:end])
        return Frame(held[at], frames.apply_mask(payload, bytes(held[start - 4 : start])) if masked else payload), end


# --- Wrappers ------------------------------------------------------------------------------------------------------


class _ObservedTransport:
    """A transport whose writes are reported."""

    def __init__(self, transport: asyncio.Transport, listener: TrafficListener) -> None:
        self._transport, self._listener = transport, listener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        self._transport.write(data)
        self._listener.bytes_sent(bytes(data))


class _ObservedSocket:
    """A socket whose writes are reported."""

    def __init__(self, sock: socket.socket, listener: TrafficListener) -> None:
        self._sock, self._listener = sock, listener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes | memoryview) -> int:
        count = self._sock.send(data)
        self._listener.bytes_sent(bytes(data[:count]))
        return count


class _ObservedDeflate:
    """A compression whose messages are reported: before they are compressed, and after they were decompressed."""

    def __init__(self, deflate: PerMessageDeflate, listener: TrafficListener) -> None:
        self._deflate, self._listener = deflate, listener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deflate, name)

    def compress(self, payload: bytes) -> bytes:
        self._listener.message_compressed(payload)
        return self._deflate.compress(payload)

    def decompress(self, payload: bytes, max_bytes: int) -> bytes:
        plain = self._deflate.decompress(payload, max_bytes)
        self._listener.message_decompressed(plain)
        return plain


class _ObservedProtocol(asyncio.Protocol):
    """A protocol between the transport and the session, whose reads are reported."""

    def __init__(self, session: DialedSession, transport: asyncio.Transport, listener: TrafficListener) -> None:
        self._session, self._transport, self._listener = session, transport, listener
        self._turns = LoopTurns()
        self._unread = bytearray()
        self._waits_for_turn = False

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._waits_for_turn:
            self._read()

    def _read(self) -> None:
        """Reads on, in slices, for as long as the turn has time."""
        self._waits_for_turn = False
        while self._unread and not self._turns.is_over():
            piece = bytes(self._unread[:SLICE_BYTES])
            del self._unread[:SLICE_BYTES]
            self._listener.bytes_received(piece, self._session.data_received)
        if self._transport.is_closing():
            return
        if self._unread:
            self._waits_for_turn = True
            self._turns.put_off(self._read)
            if self._transport.is_reading():
                self._transport.pause_reading()
        elif not self._transport.is_reading():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._read()
        self._session.connection_lost(exc)

    def pause_writing(self) -> None:
        self._session.pause_writing()

    def resume_writing(self) -> None:
        self._session.resume_writing()


def attach_observed(
    listener: TrafficListener,
    session: DialedSession,
    transport: asyncio.Transport,
    sock: socket.socket,
    *,
    secure: bool,
    early: bytes,
    deflate: PerMessageDeflate | None,
) -> None:
    """Attaches a session whose upgrade was accepted, and reports all that it reads and writes."""
    observed = _ObservedProtocol(session, transport, listener)
    transport.set_protocol(observed)
    session.attach(
        cast("asyncio.Transport", _ObservedTransport(transport, listener)),
        cast("socket.socket", _ObservedSocket(sock, listener)),
        secure=secure,
        early=b"",
        deflate=None if deflate is None else cast("PerMessageDeflate", _ObservedDeflate(deflate, listener)),
    )
    if early:
        observed.data_received(early)
