"""The opening handshake (RFC 6455, section 4): one HTTP exchange, read by h11; every refusal is a fault."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

import h11

from ws_load_test import wire
from ws_load_test.clock import monotonic_ns
from ws_load_test.errors import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.plan import Target

LARGEST_RESPONSE_HEAD_BYTES = 64 * 1024
_PRIVATE_PARTS = re.compile(r"(?<=//)[^/?#]*@|[?#].*")
"""What of an address may carry a password or a token: user info, query, fragment."""


class DialError(Exception):
    """A session could not be opened, through the target's fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def request_headers(target: Target) -> list[tuple[str, str]]:
    """The headers of the upgrade request but for its key (RFC 6455, section 4.1)."""
    given = {name.lower() for name, _ in target.headers}
    headers = [] if "host" in given else [("Host", target.authority)]
    headers += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    if target.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(target.subprotocols)))
    if target.user_info is not None and "authorization" not in given:
        user, colon, password = target.user_info.partition(":")
        credentials = unquote_to_bytes(user) + (colon or ":").encode() + unquote_to_bytes(password)
        headers.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
    return headers + list(target.headers)


class Upgrade(asyncio.Protocol):
    """Sends the request as soon as the transport is there, and hands the transport over when it is granted.

    `take_over` is called with the transport and the bytes behind the answer, before anything else can be read; `done`
    then has the monotonic instant, or a `DialError`.
    """

    def __init__(
        self, target: Target, headers: list[tuple[str, str]], take_over: Callable[[asyncio.Transport, bytes], None]
    ) -> None:
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # A refusal that comes when nobody waits any more is not news to anybody.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._take_over = take_over
        self._target = target
        self._headers = headers
        self._key = wire.new_key()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_RESPONSE_HEAD_BYTES)

    @property
    def granted(self) -> bool:
        """Whether the transport has been handed over."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the request."""
        # uvloop's transports have asyncio's methods without being its classes.
        self._transport = cast("asyncio.Transport", transport)
        request = h11.Request(
            method="GET", target=self._target.resource, headers=[*self._headers, ("Sec-WebSocket-Key", self._key)]
        )
        self._transport.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    def data_received(self, data: bytes) -> None:
        """Reads on until the response's head is whole."""
        if self.done.done():
            return
        self._http.receive_data(data)
        try:
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            self._refuse(FaultKind.UPGRADE_INVALID, "answered the upgrade with something that is not HTTP")
            return
        if isinstance(event, h11.InformationalResponse):
            self._check(event)
        elif isinstance(event, h11.Response):
            status, phrase = event.status_code, event.reason.decode("latin-1")
            location = next((value.decode("latin-1") for name, value in event.headers if name == b"location"), None)
            moved = f" to {_PRIVATE_PARTS.sub('', location)}" if location else ""
            self._refuse(
                FaultKind.UPGRADE_REJECTED, f"answered the upgrade with {status} {phrase}".rstrip() + moved, str(status)
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer went away before the handshake was over."""
        if isinstance(exc, (ConnectionResetError, BrokenPipeError)):
            self._refuse(FaultKind.RESET, "reset the connection instead of answering the upgrade")
        else:
            self._refuse(FaultKind.UPGRADE_INVALID, "closed the connection instead of answering the upgrade")

    def _check(self, response: h11.InformationalResponse) -> None:
        """Whether a 101 is the one we asked for (RFC 6455, section 4.1, what the client validates)."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in response.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
        chosen = headers.get("sec-websocket-protocol")
        if headers.get("upgrade", "").lower() != "websocket":
            self._refuse(FaultKind.UPGRADE_INVALID, "answered 101 without Upgrade: websocket")
        elif "upgrade" not in tokens:
            self._refuse(FaultKind.UPGRADE_INVALID, "answered 101 without Connection: Upgrade")
        elif headers.get("sec-websocket-accept") != wire.accept_key(self._key):
            self._refuse(FaultKind.UPGRADE_INVALID, "answered 101 with a wrong Sec-WebSocket-Accept")
        elif chosen is not None and chosen not in self._target.subprotocols:
            self._refuse(FaultKind.UPGRADE_INVALID, "answered 101 with a subprotocol that was not offered")
        elif "sec-websocket-extensions" in headers:
            self._refuse(FaultKind.UPGRADE_INVALID, "answered 101 with an extension that was not offered")
        else:
            self.done.set_result(monotonic_ns())
            self._take_over(self._transport, self._http.trailing_data[0])

    def _refuse(self, kind: FaultKind, text: str, detail: str = "") -> None:
        if not self.done.done():
            self.done.set_exception(DialError(Fault(kind, detail, text)))
