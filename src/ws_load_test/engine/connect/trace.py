"""Trace hook of a dial: what a listener is called with while a session opens. Normal runs have no listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl

    import h11

    from ws_load_test.engine.connect.dialed_session import DialedSession
    from ws_load_test.engine.connect.upgrade_request import UpgradeRequest
    from ws_load_test.websocket.deflate import PerMessageDeflate


class TraceListener(Protocol):
    """Observer of dials. It can wrap what an open session reads from and writes to; it decides nothing."""

    def phase_done(self, phase: str, result: Any) -> None:
        """A dial has passed a phase: ``resolve``, ``try``, ``connect``, ``proxy`` or ``redirect``.

        The result is the host and its routes; an address and the error of it; an address; the host and the port that
        the proxy opened the way to; the next upgrade request.
        """
        ...

    def tls_established(self, tls: ssl.SSLObject) -> None:
        """The TLS handshake is over."""
        ...

    def request_sent(self, request: UpgradeRequest, data: bytes) -> None:
        """The upgrade request is about to leave."""
        ...

    def response_received(self, response: h11.Response | h11.InformationalResponse) -> None:
        """The head of the answer has come."""
        ...

    def body_received(self, data: bytes, *, is_body: bool) -> None:
        """The body of a refusal has come or, with `is_body` False, bytes that are not HTTP."""
        ...

    def session_upgraded(
        self,
        session: DialedSession,
        transport: asyncio.Transport,
        sock: socket.socket,
        *,
        secure: bool,
        early: bytes,
        deflate: PerMessageDeflate | None,
    ) -> None:
        """The upgrade was accepted. Must set the transport's protocol and call `DialedSession.attach`."""
        ...
