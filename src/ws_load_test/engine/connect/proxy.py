"""Through a proxy: a tunnel asked of it on a connected socket, with HTTP's CONNECT or SOCKS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import h11

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.response_head import MOST_INFORMATIONAL
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.plan.target import basic_credentials, proxy_address

if TYPE_CHECKING:
    import socket
    import ssl

LARGEST_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: of a plan, which has read the environment if it was to, so that a worker's own has no say."""

    kind: str
    """The scheme of its URL."""
    host: str
    port: int
    user_info: str | None

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Returns the proxy of a URL."""
        parts = urlsplit(url)
        user_info, at, _ = parts.netloc.rpartition("@")
        return cls(parts.scheme.lower(), *proxy_address(url), user_info if at else None)

    @property
    def secure(self) -> bool:
        """True if the proxy is spoken to under TLS."""
        return self.kind == "https"

    @property
    def resolves(self) -> bool:
        """True if the proxy looks names up, rather than we."""
        return self.kind not in {"socks4", "socks5"}

    async def open(self, sock: socket.socket, host: str, port: int) -> None:
        """Asks for a tunnel to a host on a non-blocking socket that is connected with the proxy, not under TLS.

        Raises:
            DialError: The proxy refuses, or is none; the fault's detail is its status.
            OSError: The connection with it broke.
        """
        if self.kind == "http":
            loop = asyncio.get_running_loop()
            exchange = ConnectExchange(self, host, port)
            await loop.sock_sendall(sock, exchange.request)
            while not exchange.receive(await loop.sock_recv(sock, 1 << 14)):
                pass
        else:
            await self._socks(sock, host, port)

    async def open_under_tls(
        self, sock: socket.socket, host: str, port: int, context: ssl.SSLContext, timeout_s: float
    ) -> asyncio.Transport:
        """Asks for a tunnel under TLS, and returns the transport that is the tunnel; its protocol is to be replaced.

        Args:
            sock: A non-blocking socket that is connected with the proxy.
            host: Host of the target.
            port: Its port.
            context: The context for the proxy, not for the target.
            timeout_s: Longest time for the TLS handshake, where the dial's own does not come first.

        Raises:
            DialError: The proxy refuses, or is none.
            OSError: The connection with it broke, or its certificate is not trusted.
        """
        transport, tunnel = await asyncio.get_running_loop().create_connection(
            lambda: _TunnelRequest(ConnectExchange(self, host, port)),
            sock=sock,
            ssl=context,
            server_hostname=self.host.partition("%")[0].removesuffix("."),
            ssl_handshake_timeout=timeout_s,
        )
        try:
            await tunnel.opened
        except BaseException:
            transport.abort()
            raise
        return transport

    async def _socks(self, sock: socket.socket, host: str, port: int) -> None:
        """SOCKS 4, 4a or 5 (RFC 1928, RFC 1929)."""
        from python_socks import ProxyError, ProxyType  # noqa: PLC0415 - few runs have a proxy
        from python_socks.async_.asyncio import Proxy as Socks  # noqa: PLC0415

        user, _, password = (self.user_info or "").partition(":")
        socks = Socks(
            ProxyType.SOCKS5 if self.kind.startswith("socks5") else ProxyType.SOCKS4,
            self.host,
            self.port,
            unquote(user) or None,
            unquote(password) or None,
            # Where we look names up, it is given numbers only.
            rdns=True,
            forward=PreconnectedSocket(sock),  # type: ignore[arg-type]
        )
        try:
            # The dial's own timeout comes first.
            await socks.connect(host, port, timeout=1e6)
        except ProxyError as error:
            status = "" if error.error_code is None else str(error.error_code)
            raise _refused(status, f"refused: {str(error).rstrip('.')}") from None


class ConnectExchange:
    """HTTP's CONNECT (RFC 9110, section 9.3.6), without I/O."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = [("Host", authority)]
        if proxy.user_info is not None:
            headers.append(("Proxy-Authorization", f"Basic {basic_credentials(unquote_to_bytes(proxy.user_info))}"))
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
        self._informational = 0
        request = self._http.send(h11.Request(method="CONNECT", target=authority, headers=headers)) or b""
        self.request = request + (self._http.send(h11.EndOfMessage()) or b"")
        """Bytes to send."""

    def receive(self, data: bytes) -> bool:
        """Takes what the proxy has sent, nothing at its end; returns True once the tunnel is open.

        Raises:
            DialError: The proxy refuses, or is none.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                self._informational += 1
                if self._informational > MOST_INFORMATIONAL:
                    raise _refused("", f"answered CONNECT with more than {MOST_INFORMATIONAL} informational responses")
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            raise _refused("", "does not answer CONNECT with HTTP") from None
        if not isinstance(event, h11.Response):
            return False
        if event.status_code // 100 != 2:
            words = f"{event.status_code} {event.reason.decode('latin-1')}".rstrip()
            hint = "; write its user and password into its URL" if event.status_code == 407 else ""
            raise _refused(str(event.status_code), f"answered CONNECT with {words}{hint}")
        if self._http.trailing_data[0]:
            # Neither TLS nor HTTP lets a server speak first.
            raise _refused("", "sent something of its own into the tunnel")
        return True


class _TunnelRequest(asyncio.Protocol):
    """CONNECT on a transport under TLS."""

    def __init__(self, exchange: ConnectExchange) -> None:
        self._exchange = exchange
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A refusal that comes after the dial has timed out is no error that asyncio should log.
        self.opened.add_done_callback(lambda done: done.cancelled() or done.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the request."""
        cast("asyncio.Transport", transport).write(self._exchange.request)

    def data_received(self, data: bytes) -> None:
        """Reads on until the head of the answer is whole."""
        if self.opened.done():
            return
        try:
            if self._exchange.receive(data):
                self.opened.set_result(None)
        except DialError as error:
            self.opened.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy went away instead of an answer."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the proxy closed the connection"))


class PreconnectedSocket:
    """Stands for a proxy before the proxy, so that we make the connection: source addresses, timeouts, options."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> socket.socket:  # noqa: ASYNC109, ARG002 - its signature
        """Returns the socket, as a library of proxies asks for it; it is connected already."""
        return self._sock


def _refused(status: str, text: str) -> DialError:
    return DialError(Fault(FaultKind.PROXY, status, f"the proxy {text}"))
