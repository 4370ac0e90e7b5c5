"""How a rehearsal looks on: the classes that every run uses, with a witness beside them. No run pays for it.

What is parsed here is only for showing; what a frame means is the engine's to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import h11

from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.handshake import OpeningHandshake
from ws_load_test.engine.connect.upgrade_request import REDIRECTS
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from ws_load_test.engine.connect.handshake import TakeOver
    from ws_load_test.engine.connect.upgrade_request import UpgradeRequest
    from ws_load_test.engine.connection import Connection
    from ws_load_test.plan.plan import Plan
    from ws_load_test.websocket.deflate import PerMessageDeflate

LARGEST_BODY_BYTES = 4096
"""Of a refusal; more is not read."""
LONGEST_BODY_S = 0.5
"""How long the rest of a refusal's body may take."""


class TraceListener(Protocol):
    """Who is told what happens while a session opens."""

    def phase_done(self, phase: str, what: Any) -> None:
        """A dial has passed a phase."""
        ...

    def tls_established(self, tls: ssl.SSLObject) -> None:
        """The TLS handshake is over."""
        ...

    def request_sent(self, request: UpgradeRequest, data: bytes) -> None:
        """The upgrade request is about to leave."""
        ...

    def response_received(self, response: h11.Response | h11.InformationalResponse) -> None:
        """The head of its answer has come."""
        ...

    def body_received(self, data: bytes, *, is_body: bool) -> None:
        """The body of a refusal has come, or what is no HTTP."""
        ...


class TracingDialer(Dialer):
    """A dialler whose steps are told."""

    def __init__(self, plan: Plan, witness: TraceListener) -> None:
        """Raises UsageError as `Dialler` does."""
        super().__init__(plan)
        self._witness = witness

    def trace(self, phase: str, what: Any) -> None:
        """A dial has passed a phase."""
        self._witness.phase_done(phase, what)

    def new_upgrade(self, request: UpgradeRequest, take_over: TakeOver) -> OpeningHandshake:
        """What asks for a session, and tells what it is answered."""
        # A refusal must be told before the dial's own time is up.
        body_s = min(LONGEST_BODY_S, self.timeout_ns / 10e9)
        return TracingHandshake(request, take_over, self._witness, body_s)


class TracingHandshake(OpeningHandshake):
    """An upgrade whose request and answer are told; of a refusal the body, too."""

    def __init__(self, request: UpgradeRequest, take_over: TakeOver, witness: TraceListener, body_s: float) -> None:
        super().__init__(request, take_over)
        self._witness = witness
        self._body_s = body_s
        self._heard = b""
        self._refusal: h11.Response | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the request."""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._witness.tls_established(tls)
        super().connection_made(transport)

    def request_bytes(self) -> bytes:
        """The request as it travels."""
        data = super().request_bytes()
        self._witness.request_sent(self._request, data)
        return data

    def data_received(self, data: bytes) -> None:
        """Reads on until the response is whole."""
        if self._refusal is not None:
            self._http.receive_data(data)
            self._read_body()
            return
        self._heard = (self._heard + data)[:LARGEST_BODY_BYTES]
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer went away before the handshake was over, or with the end of its refusal."""
        if self._refusal is not None:
            self._end_refusal()
        super().connection_lost(exc)

    def _check(self, response: h11.InformationalResponse) -> None:
        self._tell(response)
        super()._check(response)

    def _refuse(self, kind: Any, text: str, detail: str = "") -> None:
        if self._heard and not self.done.done():
            self._witness.body_received(self._heard, is_body=False)
        super()._refuse(kind, text, detail)

    def _reject(self, response: h11.Response) -> None:
        if self.done.done():
            return
        self._tell(response)
        if response.status_code in REDIRECTS:
            super()._reject(response)
            return
        self._refusal = response
        self._timer = asyncio.get_running_loop().call_later(self._body_s, self._end_refusal)
        self._read_body()

    def _tell(self, response: h11.Response | h11.InformationalResponse) -> None:
        self._heard = b""
        self._witness.response_received(response)

    def _read_body(self) -> None:
        """Reads what there is of a refusal's body."""
        try:
            event = self._http.next_event()
            while isinstance(event, h11.Data):
                self._heard += bytes(event.data)
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            event = h11.EndOfMessage()
        if event is not h11.NEED_DATA or len(self._heard) >= LARGEST_BODY_BYTES:
            self._end_refusal()

    def _end_refusal(self) -> None:
        """All of a refusal that anybody waits for has come."""
        if self._timer is not None:
            self._timer.cancel()
        if self._refusal is None or self.done.done():
            return
        body, self._heard = self._heard, b""
        if body:
            self._witness.body_received(body, is_body=True)
        super()._reject(self._refusal)


# --- Frames --------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A frame as it travelled, unmasked."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """What kind of frame."""
        return self.first & frames.OPCODE_BITS

    @property
    def is_last(self) -> bool:
        """It ends its message."""
        return bool(self.first & frames.FIN)

    @property
    def is_compressed(self) -> bool:
        """It begins a compressed message (RFC 7692, section 6)."""
        return bool(self.first & frames.RSV1)


class FrameSplitter:
    """Cuts what goes one way into frames."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted_bytes = 2

    def cut(self, data: bytes) -> Iterator[tuple[bytes, Frame | None]]:
        """The same bytes in pieces, each with the frame that it completes; the last may complete none."""
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
        """The frame at a place and its end, where it is whole; else where it ends as far as that is known."""
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


class _TransportTap:
    """A transport whose writes are told."""

    def __init__(self, transport: asyncio.Transport, sent: Callable[[bytes], None]) -> None:
        self._transport, self._sent = transport, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        self._transport.write(data)
        self._sent(bytes(data))


class _SocketTap:
    """A socket whose writes are told."""

    def __init__(self, sock: socket.socket, sent: Callable[[bytes], None]) -> None:
        self._sock, self._sent = sock, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes | memoryview) -> int:
        count = self._sock.send(data)
        self._sent(bytes(data[:count]))
        return count


def trace_connection(
    connection: Connection,
    sent: Callable[[bytes], None],
    received: Callable[[bytes, Callable[[bytes], None]], None],
) -> None:
    """Tells of all that a connection writes, and lets `received` pass on what it reads, whole or in pieces."""
    read, open_session = connection.data_received, connection.attach

    def data_received(data: bytes) -> None:
        received(data, read)

    def opened(
        transport: asyncio.Transport,
        sock: socket.socket,
        *,
        secure: bool,
        early: bytes,
        deflate: PerMessageDeflate | None = None,
    ) -> None:
        tapped = cast("asyncio.Transport", _TransportTap(transport, sent))
        tapped_sock = cast("socket.socket", _SocketTap(sock, sent))
        open_session(tapped, tapped_sock, secure=secure, early=early, deflate=deflate)

    # On the instance: event loops look a protocol's methods up when it takes over.
    connection.data_received = data_received  # type: ignore[method-assign]
    connection.attach = opened  # type: ignore[method-assign]


def trace_deflate(
    deflate: PerMessageDeflate, compressed: Callable[[bytes], None], inflated: Callable[[bytes], None]
) -> None:
    """Tells what messages are before they are compressed, and after they have been inflated."""
    compress, decompress = deflate.compress, deflate.decompress

    def told_compress(payload: bytes) -> bytes:
        compressed(payload)
        return compress(payload)

    def told_decompress(payload: bytes, max_bytes: int) -> bytes:
        plain = decompress(payload, max_bytes)
        inflated(plain)
        return plain

    deflate.compress = told_compress  # type: ignore[method-assign]
    deflate.decompress = told_decompress  # type: ignore[method-assign]
