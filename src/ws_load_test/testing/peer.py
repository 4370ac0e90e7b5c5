"""Server side of one connection, raw enough to violate every rule, with a record of the client's actions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_CONTROL = 0x8
"""Bit of an opcode that marks control frames (RFC 6455 section 5.2)."""


class ClientGone(ConnectionError):  # noqa: N818 - not an error, an end
    """The client left, which ends a behavior without an error."""


@dataclass(frozen=True)
class Request:
    """An upgrade request; header names are in lower case."""

    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Frame:
    """A received frame, unmasked, with the instant at which it was complete."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool
    read_ns: int


@dataclass(frozen=True)
class Message:
    """A received message, reassembled from its fragments, with the instant at which it was complete."""

    opcode: int
    payload: bytes
    read_ns: int


@dataclass
class ServerObservations:
    """Record of the clients' actions, over all connections of a faulty server.

    Attributes:
        accepted: TCP (or TLS) connections accepted.
        upgraded: Connections answered with 101.
        open: Connections whose behavior is still running.
        requests: The upgrade requests.
        messages: Data messages received.
        replies: Data messages sent as replies.
        payloads: Payloads of the messages, in order of arrival.
        pings: Payloads of the pings received.
        pongs: Payloads of the pongs received.
        closes: Codes of the close frames received; None for one without a code.
        violations: The clients' violations of RFC 6455, a phrase each.
        delays_ns: Actual delays of replies that were delayed on purpose, from message read to reply written.
    """

    accepted: int = 0
    upgraded: int = 0
    open: int = 0
    requests: list[Request] = field(default_factory=list)
    messages: int = 0
    replies: int = 0
    payloads: list[bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    closes: list[int | None] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    delays_ns: list[int] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False, compare=False)

    def notify(self) -> None:
        """Wakes the threads in `wait_for`, after a change."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[ServerObservations], bool], timeout_s: float = 30.0) -> None:
        """Waits until `condition` holds.

        Raises:
            TimeoutError: It did not within `timeout_s`; the text shows the record.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), timeout_s):
                raise TimeoutError(f"not within {timeout_s} s; seen so far: {self}")


class Peer:
    """One client, as behaviors see it: frames to read and to write."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: ServerObservations) -> None:
        self._reader = reader
        self._writer = writer
        self.seen = seen
        self.request: Request | None = None
        self.answers_pings = True

    async def read_request(self) -> Request:
        """Reads the upgrade request.

        Raises:
            ClientGone: The client left before it was complete.
        """
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ClientGone from error
        first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self.request = Request(first.split(" ")[1], headers)
        self.seen.requests.append(self.request)
        self.seen.notify()
        return self.request

    def response(
        self,
        status: int = 101,
        *,
        accept: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: bytes = b"",
    ) -> bytes:
        """Builds the response to the upgrade request.

        Args:
            status: HTTP status.
            accept: `Sec-WebSocket-Accept` instead of the right one.
            headers: Headers to set, or to leave out if None.
            body: Body of the response, sent with its length.
        """
        assert self.request is not None, "read_request() comes first"
        fields: dict[str, str | None] = {}
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            key = self.request.headers.get("sec-websocket-key", "")
            fields = {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Accept": frames.accept_key(key) if accept is None else accept,
            }
        else:
            fields = {"Content-Length": str(len(body)), "Connection": "close"}
        fields.update(headers or {})
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def upgrade(
        self,
        *,
        status: int = 101,
        accept: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: bytes = b"",
        together_with: bytes = b"",
    ) -> None:
        """Answers the request; `together_with` is sent in the same write, hence the same TCP segment."""
        if self.request is None:
            await self.read_request()
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.seen.upgraded += 1
            self.seen.notify()
        await self.send_raw(self.response(status, accept=accept, headers=headers, body=body) + together_with)

    async def read_frame(self) -> Frame:
        """Reads one frame, counts it, and records violations of the protocol.

        Raises:
            ClientGone: The client left.
        """
        try:
            first, second = await self._reader.readexactly(2)
            size = second & ~frames.MASKED
            if size == frames.LENGTH_IS_16_BIT:
                size = int.from_bytes(await self._reader.readexactly(2))
            elif size == frames.LENGTH_IS_64_BIT:
                size = int.from_bytes(await self._reader.readexactly(8))
            masked = bool(second & frames.MASKED)
            mask = await self._reader.readexactly(4) if masked else b""
            payload = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ClientGone from error
        read_ns = time.monotonic_ns()
        if masked:
            payload = frames.apply_mask(payload, mask)
        opcode, fin = first & frames.OPCODE_BITS, bool(first & frames.FIN)
        frame = Frame(opcode, payload, fin, first & frames.RESERVED_BITS, masked, read_ns)
        self._count(frame)
        return frame

    def _count(self, frame: Frame) -> None:
        seen = self.seen
        if not frame.masked:
            seen.violations.append("a frame without a mask (section 5.1)")
        if frame.rsv:
            seen.violations.append("reserved bits set (section 5.2)")
        if frame.opcode & _CONTROL and (not frame.fin or len(frame.payload) > frames.LARGEST_CONTROL_PAYLOAD):
            seen.violations.append("a control frame fragmented or too long (section 5.5)")
        if frame.opcode == frames.PING:
            seen.pings.append(frame.payload)
        elif frame.opcode == frames.PONG:
            seen.pongs.append(frame.payload)
        elif frame.opcode == frames.CLOSE:
            seen.closes.append(int.from_bytes(frame.payload[:2]) if frame.payload else None)
        seen.notify()

    async def messages(self) -> AsyncIterator[Message]:
        """Yields the client's data messages; answers pings, and the closing handshake, which ends it.

        Raises:
            ClientGone: The client left without a closing handshake.
        """
        opcode, fragments = 0, b""
        while True:
            frame = await self.read_frame()
            if frame.opcode == frames.PING and self.answers_pings:
                await self.send_frame(frames.PONG, frame.payload)
            elif frame.opcode == frames.CLOSE:
                await self.send_frame(frames.CLOSE, frame.payload[:2])
                return
            elif not frame.opcode & _CONTROL:
                opcode = frame.opcode or opcode
                fragments += frame.payload
                if frame.fin:
                    message = Message(opcode, fragments, frame.read_ns)
                    opcode, fragments = 0, b""
                    self.seen.messages += 1
                    self.seen.payloads.append(message.payload)
                    self.seen.notify()
                    yield message

    async def reply(self, message: Message) -> None:
        """Echoes `message` and counts the reply."""
        await self.send_frame(message.opcode, message.payload)
        self.replied()

    def replied(self) -> None:
        """Counts a reply that was sent by other means."""
        self.seen.replies += 1
        self.seen.notify()

    async def send_frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False, rsv: int = 0
    ) -> None:
        """Sends one frame; `rsv` holds the reserved bits in their place (0x70)."""
        mask = b"\x11\x22\x33\x44" if masked else None
        await self.send_raw(frames.encode_frame(opcode, payload, fin=fin, mask=mask, rsv=rsv))

    async def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are.

        Raises:
            ClientGone: The client left.
        """
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise ClientGone from error

    async def until_gone(self) -> None:
        """Reads and drops everything until the client leaves."""
        with contextlib.suppress(OSError):
            while await self._reader.read(1 << 16):
                pass

    async def close(self) -> None:
        """Closes the TCP connection (FIN), without a closing handshake."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Resets the TCP connection: with a linger time of 0 the kernel sends RST instead of FIN."""
        stream = self._writer.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
