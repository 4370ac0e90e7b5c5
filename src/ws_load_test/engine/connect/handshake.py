"""The opening handshake (RFC 6455, section 4): one HTTP exchange, read by h11; every refusal is a fault."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import h11

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.sanitize import sanitize
from ws_load_test.engine.connect.response_head import LARGEST_RESPONSE_HEAD_BYTES, MOST_INFORMATIONAL, ResponseHead
from ws_load_test.engine.connect.upgrade_request import REDIRECTS, DialError, RedirectError
from ws_load_test.plan.redaction import public_location
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateError, extension_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.connect.trace import TraceListener
    from ws_load_test.engine.connect.upgrade_request import UpgradeRequest

    TakeOver = Callable[[asyncio.Transport, bytes, PerMessageDeflate | None], None]
    """Gets the transport, the bytes behind the answer, and permessage-deflate if it was agreed."""

LARGEST_TRACED_BYTES = 4096
"""Bytes of a refusal's body, or of what is not HTTP, that a listener gets; more is not read."""
MAX_BODY_WAIT_S = 0.5
"""Time that a traced refusal waits for the rest of its body; a tenth of the dial's time-out, where that is shorter."""
_PRINTABLE = bytes(range(0x21, 0x7F)).decode()
_ASKS_FOR_TLS = (b"HTTPS port", b"HTTPS server", b"SSL-enabled server port")
"""Words of a 400 with which nginx, Go and Apache answer HTTP without TLS on a port that takes TLS."""
_ONCE = ("Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol")
"""Headers that the answer to an upgrade has once at most (RFC 6455, section 4.2.2)."""


class OpeningHandshake(asyncio.Protocol):
    """Sends the request as soon as the transport is there, and hands the transport over when it is granted.

    `take_over` is called before anything else can be read; `done` then has the monotonic instant, or a `DialError`.
    """

    def __init__(
        self,
        request: UpgradeRequest,
        take_over: TakeOver,
        *,
        listener: TraceListener | None = None,
        timeout_ns: int = NS_PER_S,
        left_hint: str = "",
    ) -> None:
        """Makes a handshake that begins with `connection_made`.

        Args:
            request: The request that is sent.
            take_over: Gets the transport when the upgrade is accepted.
            listener: Traces the handshake; only then the body of a refusal is waited for.
            timeout_ns: The time-out of the dial.
            left_hint: Part of a sentence on why the target may have gone away without an answer.
        """
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # A refusal that comes after the dial has timed out is no error that asyncio should log.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.not_granted: tuple[str, ...] = ()
        """Things that were offered and not granted by an accepted upgrade: ``permessage-deflate``, ``subprotocol``."""
        self.asked_ns = 0
        """Instant of the request, which under TLS is the end of its handshake."""
        self.headers: dict[str, list[str]] = {}
        """Headers of an accepted upgrade, by their names in lower case."""
        self._take_over = take_over
        self._request = request
        self._key = frames.new_key()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_RESPONSE_HEAD_BYTES)
        self._left_hint = left_hint
        self._head = ResponseHead()
        self._read_bytes = 0
        self._informational = 0
        """Bytes that have come of the answer."""
        self._listener = listener
        self._body_wait_s = min(MAX_BODY_WAIT_S, timeout_ns / (10 * NS_PER_S))
        self._traced = b""
        """Bytes that belong to no head yet, where a listener gets them."""
        self._refusal: tuple[h11.Response, DialError] | None = None
        """The refusal whose body is read, and the dial's error."""

    @property
    def accepted(self) -> bool:
        """True once the transport has been handed over."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    @property
    def answer_begun(self) -> bool:
        """True once a part of the answer has come."""
        return self._read_bytes > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the request."""
        # uvloop's transports have asyncio's methods without being its classes.
        self._transport = cast("asyncio.Transport", transport)
        if self._listener is not None:
            tls = transport.get_extra_info("ssl_object")
            # A proxy can be under TLS where the target is not.
            if tls is not None and self._request.endpoint.secure:
                self._listener.tls_established(tls)
        self.asked_ns = monotonic_ns()
        data = request_bytes(self._http, self._request, self._key)
        if self._listener is not None:
            self._listener.request_sent(self._request, data)
        self._transport.write(data)

    def resume(self, transport: asyncio.Transport, key: str, asked_ns: int) -> None:
        """Goes on with a request that has left with this key, at this instant."""
        self._transport, self._key, self.asked_ns = transport, key, asked_ns
        request_bytes(self._http, self._request, key)

    def data_received(self, data: bytes) -> None:
        """Reads on until the response's head is whole."""
        if self.done.done():
            return
        if self._refusal is not None:
            self._http.receive_data(data)
            self._read_body()
            return
        if self._listener is not None:
            self._traced = (self._traced + data)[:LARGEST_TRACED_BYTES]
        self._http.receive_data(data)
        self._read_bytes += len(data)
        event = self._next_head()
        if isinstance(event, h11.InformationalResponse):
            self._check(event)
        elif isinstance(event, h11.Response):
            self._reject(event)
        elif self._read_bytes > LARGEST_RESPONSE_HEAD_BYTES:
            # Informational responses without end count, too.
            self._refuse(FaultKind.UPGRADE_INVALID, self._head.too_large())

    def _next_head(self) -> object:
        """Returns the head of the answer that counts once it is whole; refuses what is malformed as it comes."""
        while True:
            head = self._http.trailing_data[0]
            problem = self._head.problem(head)
            if problem is not None:
                self._refuse(FaultKind.UPGRADE_INVALID, problem)
                return None
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse_unreadable(error, head)
                return None
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                return event
            self._head.begin_next()
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                what = f"answered the upgrade with more than {MOST_INFORMATIONAL} informational responses"
                self._refuse(FaultKind.UPGRADE_INVALID, what)
                return None

    def _refuse_unreadable(self, error: h11.RemoteProtocolError, head: bytes) -> None:
        """Refuses a head whose lines are well-formed, and which h11 does not take."""
        status = self._head.status
        if len(head) > LARGEST_RESPONSE_HEAD_BYTES:
            self._refuse(FaultKind.UPGRADE_INVALID, self._head.too_large())
        elif status and status != "101":
            # Whatever is said about the body: the upgrade is refused.
            text = f"answered the upgrade with {status} and headers that contradict HTTP ({error})"
            self._refuse(FaultKind.UPGRADE_REJECTED, text, status)
        else:
            self._refuse(FaultKind.UPGRADE_INVALID, f"answered 101 with headers that contradict HTTP ({error})")

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer went away before the handshake was over, or with the end of its refusal."""
        self._end_refusal()
        if isinstance(exc, ssl.SSLError) and not self.done.done():
            # Under TLS 1.3 a server judges a client's certificate when the client's handshake is over.
            self.done.set_exception(exc)
        elif isinstance(exc, (ConnectionResetError, BrokenPipeError)):
            hint = "" if self.answer_begun else self._left_hint
            self._refuse(FaultKind.RESET, f"reset the connection instead of answering the upgrade{hint}")
        elif self.answer_begun:
            self._refuse(FaultKind.UPGRADE_INVALID, "closed the connection in the middle of its answer to the upgrade")
        else:
            what = "closed the connection instead of answering the upgrade"
            self._refuse(FaultKind.UPGRADE_INVALID, what + self._left_hint)

    def _reject(self, response: h11.Response) -> None:
        """Takes an answer that is no 101: it refuses the upgrade, or leads elsewhere."""
        if self.done.done():
            return
        self._trace_response(response)
        status = response.status_code
        text = f"answered the upgrade with {status} {response.reason.decode('latin-1')}".rstrip()
        raw = next((value for name, value in response.headers if name == b"location"), b"")
        # A Location in other characters than ASCII is malformed (RFC 3986), and common.
        location = quote(raw, safe=_PRINTABLE)
        if location:
            text += f" to {public_location(location)}"
        if status == 400 and any(words in self._http.trailing_data[0] for words in _ASKS_FOR_TLS):
            text += ", because the port takes TLS; write wss:// instead of ws://"
        fault = Fault(FaultKind.UPGRADE_REJECTED, str(status), text)
        error = DialError(fault)
        if status in REDIRECTS:
            cookies = tuple(value.decode("latin-1") for name, value in response.headers if name == b"set-cookie")
            error = RedirectError(fault, location, cookies)
        elif self._listener is not None:
            self._refusal = response, error
            asyncio.get_running_loop().call_later(self._body_wait_s, self._end_refusal)
            self._read_body()
            return
        self.done.set_exception(error)

    def _check(self, response: h11.InformationalResponse) -> None:
        """Checks that a 101 is the one we asked for (RFC 6455, section 4.1, what the client validates)."""
        self._trace_response(response)
        headers: dict[str, list[str]] = {}
        for name, value in response.headers:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        self.headers = headers
        problem = self._problem_of(response, headers)
        if problem is not None:
            self._refuse(FaultKind.UPGRADE_INVALID, f"answered 101 {problem}")
            return
        extensions = headers.get("sec-websocket-extensions")
        missing = {
            "permessage-deflate": self._request.offer is not None and extensions is None,
            "subprotocol": bool(self._request.subprotocols) and "sec-websocket-protocol" not in headers,
        }
        self.not_granted = tuple(name for name, is_missing in missing.items() if is_missing)
        self._accept(None if extensions is None else ", ".join(extensions))

    def _problem_of(self, response: h11.InformationalResponse, headers: dict[str, list[str]]) -> str | None:
        """Returns why a 101 is not the one we asked for, as the rest of a sentence."""
        if response.http_version != b"1.1":
            return f"in HTTP/{response.http_version.decode()}, which has no upgrade (RFC 9110, section 7.8)"
        for name in _ONCE:
            if len(headers.get(name.lower(), ())) > 1:
                return f"with {len(headers[name.lower()])} headers {name} instead of one"
        tokens = {token.strip().lower() for line in headers.get("connection", ()) for token in line.split(",")}
        upgrade, accept, chosen = (headers.get(name.lower(), [None])[0] for name in _ONCE)
        if upgrade is None or upgrade.lower() != "websocket":
            return "without Upgrade: websocket" + (f", but with Upgrade: {sanitize(upgrade)[:40]}" if upgrade else "")
        if "upgrade" not in tokens:
            return "without Connection: Upgrade"
        if accept is None:
            return "without Sec-WebSocket-Accept"
        if accept != frames.accept_key(self._key):
            return f"with a wrong Sec-WebSocket-Accept{': our own key' if accept == self._key else ''}"
        if chosen is not None and chosen not in self._request.subprotocols:
            return f'with the subprotocol "{sanitize(chosen)[:40]}", which was not offered'
        length = headers.get("content-length", ["0"])[0].strip()
        if length.strip("0"):
            return f"with a body of {sanitize(length)[:20]} bytes, which no 1xx response has (RFC 9110, section 15.2)"
        return None

    def _accept(self, extensions: str | None) -> None:
        """Hands the transport over, unless the extensions are not what was offered."""
        offer, deflate = self._request.offer, None
        if extensions is not None and offer is None:
            name = sanitize(extension_names(extensions)[0])
            text = f'answered 101 with the extension "{name}", which was not offered'
            self._refuse(FaultKind.UPGRADE_INVALID, text)
            return
        if extensions is not None and offer is not None:
            try:
                deflate = PerMessageDeflate(offer.negotiate(extensions))
            except DeflateError as error:
                self._refuse(FaultKind.UPGRADE_INVALID, f"answered 101 with {sanitize(str(error))}")
                return
        self.done.set_result(monotonic_ns())
        self._take_over(self._transport, self._http.trailing_data[0], deflate)

    def _refuse(self, kind: FaultKind, text: str, detail: str = "") -> None:
        if self.done.done():
            return
        if self._listener is not None and self._traced:
            self._listener.body_received(self._traced, is_body=False)
        self.done.set_exception(DialError(Fault(kind, detail, text)))

    # --- Tracing ----------------------------------------------------------------------------------------------------

    def _trace_response(self, response: h11.Response | h11.InformationalResponse) -> None:
        if self._listener is not None:
            self._traced = b""
            self._listener.response_received(response)

    def _read_body(self) -> None:
        """Reads what there is of a traced refusal's body."""
        try:
            event = self._http.next_event()
            while isinstance(event, h11.Data):
                self._traced += bytes(event.data)
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            event = h11.EndOfMessage()
        if event is not h11.NEED_DATA or len(self._traced) >= LARGEST_TRACED_BYTES:
            self._end_refusal()

    def _end_refusal(self) -> None:
        """Ends the dial with a traced refusal, whose body has come or was waited for long enough."""
        if self._listener is None or self._refusal is None or self.done.done():
            return
        body, self._traced = self._traced, b""
        if body:
            self._listener.body_received(body, is_body=True)
        self.done.set_exception(self._refusal[1])


def request_bytes(http: h11.Connection, request: UpgradeRequest, key: str) -> bytes:
    """Returns a request as it leaves, with a key as its last header; the connection then expects the answer."""
    headers = [*request.headers, ("Sec-WebSocket-Key", key)]
    head = h11.Request(method="GET", target=request.endpoint.resource, headers=headers)
    return (http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b"")
