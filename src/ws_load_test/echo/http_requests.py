"""HTTP requests that the echo server answers beside upgrades, over connections that stay open.

* `POST /publish?room=NAME` publishes the body to a room, as text, or as a binary message where its content type is
  `application/octet-stream`; answered 204 after the deliveries have been written. `nodes` and `fan-delay` are options
  of the query here as well.
* `GET /rooms` answers the counts of the rooms as JSON; `GET /rooms?reset` does the same and starts them anew.
* `DELETE /rooms` starts them anew.

picows reads the upgrade request of each connection, and refuses all other requests. So each connection has a
`FirstRequest` in front, which looks at the first bytes and then hands the connection over for good.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import parse_qs

import h11

from ws_load_test.echo.plain_echo import MAX_MESSAGE_BYTES
from ws_load_test.echo.room_options import room_options
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.echo.room_counts import RoomsReport
    from ws_load_test.echo.rooms import Rooms

_METHODS = (b"POST ", b"DELETE ")
"""First bytes of requests that are answered here."""
_ROOMS = (b"GET /rooms ", b"GET /rooms?")
"""First bytes of the requests that are answered here, unless they ask for an upgrade."""
_LONGEST_HEAD_BYTES = 16 << 10
"""Bytes of a request's head that are waited for: as many as picows takes."""
_BINARY_TYPE = b"application/octet-stream"


class HttpServer(Protocol):
    """Server that requests are answered for; an `EchoServer` is one."""

    rooms: Rooms
    http_transports: set[asyncio.Transport]

    def collect_rooms(self, done: Callable[[RoomsReport], None], *, reset: bool) -> None:
        """Calls back with the counts of the rooms, now or later, and starts them anew if asked to."""


class FirstRequest(asyncio.Protocol):
    """Beginning of a connection: hands it to the upgrade of picows, or to `HttpConnection`."""

    def __init__(self, server: HttpServer, upgrade: asyncio.BufferedProtocol) -> None:
        """Takes the server, and the protocol of picows for this connection."""
        self._server = server
        self._upgrade = upgrade
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins the time limit of the upgrade as well, which is that of the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._upgrade.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time limit."""
        self._upgrade.connection_lost(exc)

    def eof_received(self) -> bool:
        """Closes: a request that is not whole by then never will be."""
        return False

    def data_received(self, data: bytes) -> None:
        """Decides by the first bytes."""
        self._data += data
        transport = self._transport
        assert transport is not None
        is_here = self._is_answered_here()
        if is_here:
            self._upgrade.connection_lost(None)  # ends its time limit; it has seen nothing
            http = HttpConnection(self._server, transport)
            transport.set_protocol(http)
            http.data_received(self._data)
        elif is_here is not None:
            transport.set_protocol(self._upgrade)
            feed(self._upgrade, self._data, transport)

    def _is_answered_here(self) -> bool | None:
        """Returns True for a request of this module, False for one of picows, None while that is open."""
        data = self._data
        if data.startswith(_METHODS):
            return True
        if data.startswith(_ROOMS):
            head, end, _ = data.partition(b"\r\n\r\n")
            if end:
                return b"\r\nupgrade:" not in head.lower()  # a session may have the path /rooms
            return None if len(data) < _LONGEST_HEAD_BYTES else False
        if any(beginning.startswith(data) for beginning in _METHODS + _ROOMS):
            return None
        return False


def feed(protocol: asyncio.BufferedProtocol, data: bytes, transport: asyncio.Transport) -> None:
    """Gives data to a protocol as its transport would."""
    while data and not transport.is_closing():
        buffer = memoryview(cast("bytearray", protocol.get_buffer(len(data))))
        part = data[: len(buffer)]
        buffer[: len(part)] = part
        protocol.buffer_updated(len(part))
        data = data[len(part) :]


class HttpConnection(asyncio.Protocol):
    """A connection that is kept open, for one request after the other."""

    def __init__(self, server: HttpServer, transport: asyncio.Transport) -> None:
        """Takes the server and the transport."""
        self._server = server
        self._transport = transport
        self._h11 = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = bytearray()
        server.http_transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forgets the connection."""
        self._server.http_transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Reads requests."""
        self._h11.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        """Closes, once what was written has been sent."""
        return False

    def _read(self) -> None:
        """Answers the request as soon as it is whole; the next one waits until then."""
        try:
            while (event := self._h11.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Request):
                    self._request = event
                    self._body.clear()
                    if self._h11.they_are_waiting_for_100_continue:
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MAX_MESSAGE_BYTES:
                        self._refuse(413, f"a message has at most {MAX_MESSAGE_BYTES} bytes")
                        return
                elif isinstance(event, h11.EndOfMessage):
                    self._answer()
                else:
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _answer(self) -> None:
        request = self._request
        assert request is not None
        path, _, query = request.target.decode("latin-1").partition("?")
        match request.method, path:
            case b"POST", "/publish":
                self._publish(query)
            case b"GET" | b"HEAD", "/rooms":
                reset = "reset" in parse_qs(query, keep_blank_values=True)
                self._server.collect_rooms(lambda report: self._respond(200, report.to_json() + "\n"), reset=reset)
            case b"DELETE", "/rooms":
                self._server.collect_rooms(lambda _: self._respond(204), reset=True)
            case _, "/publish" | "/rooms":
                self._respond(405, f"{path} takes {'POST' if path == '/publish' else 'GET and DELETE'}\n")
            case _:
                self._respond(404, "there are /publish?room=NAME and /rooms here\n")

    def _publish(self, query: str) -> None:
        try:
            options = room_options(query)
        except ValueError as error:
            self._respond(400, f"{error}\n")
            return
        if options is None or options.room is None:
            self._respond(400, "add the room to the URL, for example /publish?room=a\n")
            return
        assert self._request is not None
        kinds = [value for name, value in self._request.headers if name == b"content-type"]
        binary = bool(kinds) and kinds[0].partition(b";")[0].strip().lower() == _BINARY_TYPE
        frame = frames.encode_frame(frames.BINARY if binary else frames.TEXT, bytes(self._body))
        room = self._server.rooms.room(options.room)
        node = room.node_of(None, options.nodes)
        if options.fan_delay_ns:
            self._server.rooms.publish_slowly(
                room, node, frame, None, delay_ns=options.fan_delay_ns, done=self.published
            )
        else:
            self._server.rooms.publish(room, node, frame, None, self)

    def published(self) -> None:
        """Answers the request, whose message has gone out."""
        self._respond(204)

    def _respond(self, status: int, text: str = "") -> None:
        """Writes a response, and goes on with the next request."""
        if self._transport.is_closing():
            return
        body = text.encode()
        kind = b"application/json" if status == 200 else b"text/plain; charset=utf-8"
        headers = [] if status == 204 else [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        self._send(h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        if self._h11.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return
        self._h11.start_next_cycle()
        asyncio.get_running_loop().call_soon(self._read)

    def _refuse(self, status: int, reason: str) -> None:
        """Answers what is no request that can be read, and closes."""
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = f"{reason}\n".encode()
            headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            self._send(h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        self._transport.close()

    def _send(self, *events: h11.Event) -> None:
        self._transport.write(b"".join(self._h11.send(event) or b"" for event in events))
