"""One HTTP connection of a publisher: a request at a time, and the response that answers it (RFC 9112)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

import h11

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGEST_HEAD_BYTES = 64 * 1024
"""Bytes of a response's head that are read; servers send some hundred."""


class HttpRequest(NamedTuple):
    """A request that is about to leave."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    content: bytes


class HttpExchange(asyncio.Protocol):
    """Sends requests and reads their responses."""

    def __init__(self, on_response: Callable[[int, int], None], on_lost: Callable[[str], None]) -> None:
        """Takes the callbacks.

        Args:
            on_response: Called with the status and the instant at which the response was read whole.
            on_lost: Called once, with the end of the connection and the reason in a few words.
        """
        self._on_response = on_response
        self._on_lost = on_lost
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._status = 0
        self._why_lost = ""
        self.bytes_received = 0
        """Bytes read since the caller last took them."""

    @property
    def is_usable(self) -> bool:
        """True if a request may leave."""
        return self._transport is not None and self._http.our_state is h11.IDLE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: HttpRequest) -> int:
        """Writes a request. Returns its bytes.

        Raises:
            UsageError: A field gave what no header or request target can hold.
        """
        transport = self._transport
        assert transport is not None
        headers = [(name.encode(), value.encode()) for name, value in request.headers]
        headers.append((b"Content-Length", b"%d" % len(request.content)))
        try:
            head = self._http.send(h11.Request(method=request.method, target=request.target, headers=headers))
        except h11.LocalProtocolError as error:
            raise UsageError(
                f"--publish-url, --publish-header: what their fields give is no request: {error}"
            ) from None
        data = head + (self._http.send(h11.Data(request.content)) or b"")
        data += self._http.send(h11.EndOfMessage()) or b""
        transport.write(data)
        return len(data)

    def data_received(self, data: bytes) -> None:
        """Called by the loop. Reads the clock first."""
        at_ns = monotonic_ns()
        self.bytes_received += len(data)
        self._read(data, at_ns)

    def eof_received(self) -> None:
        """Called by the loop: a response without a length ends so."""
        self._read(b"", monotonic_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        why = self._why_lost or ("the connection was reset" if exc is not None else "the connection was closed")
        self._on_lost(why)

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _read(self, data: bytes, at_ns: int) -> None:
        try:
            self._http.receive_data(data)
            while self._next_event(at_ns):
                pass
        except h11.RemoteProtocolError as error:
            self._why_lost = f"what came is no HTTP response ({error})" if data else ""
            self.close()

    def _next_event(self, at_ns: int) -> bool:
        """Takes what the response goes on with. Returns False if it takes more data."""
        event = self._http.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return False
        if isinstance(event, h11.Response):
            self._status = event.status_code
        elif isinstance(event, h11.EndOfMessage):
            goes_on = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
            if goes_on:
                self._http.start_next_cycle()
            else:
                self.close()
            self._on_response(self._status, at_ns)
            return goes_on
        return True
