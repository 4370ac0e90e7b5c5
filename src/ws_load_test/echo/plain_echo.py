"""Echo connection without faults, as cheap as possible.

Everything here runs once per message, so replies are built by hand (a server's frames are not masked, RFC 6455
section 5.1: a header and the payload), and the replies to one read are sent in one write. Text is echoed as it is,
without a check for valid UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ws_load_test.common.loop_turns import LoopTurns
    from ws_load_test.echo.service_limit import ServiceLimit

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Bytes of the longest message, 64 MiB; a longer one could exhaust the memory, and is refused with close code 1009."""

WRITING, QUEUE = 1, 2
"""Reasons to read nothing from a client: it does not read its replies; too many of its messages wait for theirs."""

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_PING = WSMsgType.PING
_CLOSE = WSMsgType.CLOSE

_SHORT = frames.LENGTH_IS_16_BIT
"""Bytes from which on a payload's length does not fit in the second byte of the header (RFC 6455, section 5.2)."""
_TEXT_HEADS = [frames.encode_frame(frames.TEXT, bytes(size))[:2] for size in range(_SHORT)]
_BINARY_HEADS = [frames.encode_frame(frames.BINARY, bytes(size))[:2] for size in range(_SHORT)]


def close_frame(code: int, reason: str = "") -> bytes:
    """Builds a close frame with a code."""
    return frames.encode_frame(frames.CLOSE, frames.close_payload(code, reason))


def close_answer(body: bytes) -> bytes:
    """Builds the answer to a close frame: its own code, or 1002 if that code is not allowed to be sent."""
    if not body:
        return frames.encode_frame(frames.CLOSE)
    code = int.from_bytes(body[:2])
    return close_frame(code if frames.close_code_is_valid(code) else frames.PROTOCOL_ERROR)


class EchoCounters(Protocol):
    """Counters and shared queues of a server, which its connections update; an `EchoServer` has them."""

    connections: int
    open: int
    messages: int
    bytes: int
    pongs: int
    transports: set[asyncio.Transport]
    limits: dict[float, ServiceLimit]
    """Queues that connections share, by their limit in messages per second."""
    queued_bytes: int
    """Memory of all messages that wait for their replies."""
    loop_turns: LoopTurns
    """Turns of the server's loop."""


def discard(_data: bytes) -> None:
    """Replaces a transport's write once the connection is closing."""


class PlainEcho(WSListener):
    """One connection that echoes and does nothing else."""

    __slots__ = ("_fragments", "_fragments_bytes", "_held", "_opcode", "_pending", "_tally", "_transport", "_write")

    def __init__(self, tally: EchoCounters) -> None:
        self._tally = tally
        self._pending: list[bytes] = []
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._held = 0  # reasons for which it is not read
        self._opcode = 0  # of the message whose fragments are arriving, else 0
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], None] = discard

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Counts the connection, and keeps its write function at hand."""
        self._transport = transport.underlying_transport
        self._write = self._transport.write
        self._tally.connections += 1
        self._tally.open += 1
        self._tally.transports.add(self._transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Uncounts the connection, and drops its transport: later replies are discarded."""
        self._write = discard
        self._transport = None
        self._tally.open -= 1
        self._tally.transports.discard(transport.underlying_transport)

    @property
    def gone(self) -> bool:
        """True once the connection is closed."""
        return self._transport is None

    def pause_writing(self) -> None:
        """Stops reading from a client that does not read, so that its replies cannot fill the memory."""
        self._hold(WRITING)

    def resume_writing(self) -> None:
        """Reads again once the client has received its replies."""
        self._release(WRITING)

    def _hold(self, reason: int) -> None:
        """Reads nothing for a reason, until that is released."""
        if not self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held |= reason

    def _release(self, reason: int) -> None:
        """Reads again unless there is another reason not to."""
        if self._held == reason and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._held &= ~reason

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Echoes a whole message; leaves everything rarer to `_on_rare`."""
        kind = frame.msg_type
        if kind is _TEXT:
            heads, opcode = _TEXT_HEADS, frames.TEXT
        elif kind is _BINARY:
            heads, opcode = _BINARY_HEADS, frames.BINARY
        else:
            self._on_rare(frame, kind)
            return
        if self._opcode or not frame.fin or frame.rsv1:
            self._on_rare(frame, kind)
            return
        payload = frame.get_payload_as_bytes()
        size = len(payload)
        tally = self._tally
        tally.messages += 1
        tally.bytes += size
        reply = heads[size] + payload if size < _SHORT else frames.encode_frame(opcode, payload)
        pending = self._pending
        if not frame.last_in_buffer:
            pending.append(reply)
        elif pending:
            pending.append(reply)
            self._write(b"".join(pending))
            pending.clear()
        else:
            self._write(reply)

    def _on_rare(self, frame: WSFrame, kind: WSMsgType) -> None:
        """Handles control frames, fragments and frames that violate the protocol."""
        payload = frame.get_payload_as_bytes()
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._close(close_frame(frames.PROTOCOL_ERROR, "reserved bits set and no extension agreed on"))
        elif kind is _PING:
            self._pending.append(frames.encode_frame(frames.PONG, payload))
        elif kind is _CLOSE:
            self._close(close_answer(payload))
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._on_fragment(kind, payload, fin=frame.fin)
        else:
            self._tally.pongs += 1
        if frame.last_in_buffer:
            self._flush()

    def _on_fragment(self, kind: WSMsgType, payload: bytes, *, fin: bool) -> None:
        """Reassembles a fragmented message and echoes it as one frame (RFC 6455 section 5.4)."""
        if (kind is _CONTINUATION) != bool(self._opcode):
            self._close(close_frame(frames.PROTOCOL_ERROR, "fragments out of order"))
            return
        if not self._opcode:
            self._opcode = frames.TEXT if kind is _TEXT else frames.BINARY
        self._fragments.append(payload)
        self._fragments_bytes += len(payload)
        if self._fragments_bytes > MAX_MESSAGE_BYTES:
            self._close(close_frame(frames.MESSAGE_TOO_BIG, "message too big"))
        elif fin:
            self._tally.messages += 1
            self._tally.bytes += self._fragments_bytes
            opcode, message = self._opcode, b"".join(self._fragments)
            self._fragments.clear()
            self._fragments_bytes = 0
            self._opcode = 0
            self._answer(opcode, message)

    def _answer(self, opcode: int, payload: bytes) -> None:
        """Replies to a message that was not handled on the fast path."""
        self._pending.append(frames.encode_frame(opcode, payload))

    def _flush(self) -> None:
        if self._pending:
            self._write(b"".join(self._pending))
            self._pending.clear()

    def _close(self, frame: bytes) -> None:
        """Sends pending replies and `frame`, then closes; later replies are discarded."""
        self._pending.append(frame)
        self._flush()
        self._write = discard
        if self._transport is not None:
            self._transport.close()
