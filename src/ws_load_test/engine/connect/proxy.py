"""Through a proxy: a tunnel asked of it on a connected socket, with HTTP's CONNECT or SOCKS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import h11

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.plan.target import basic_credentials

if TYPE_CHECKING:
    import socket

    from ws_load_test.plan.target import Target

LARGEST_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; no environment variable has a say in which."""

    kind: str
    """The scheme of its URL."""
    host: str
    port: int
    user_info: str | None

    @classmethod
    def of(cls, target: Target) -> Proxy | None:
        """The target's proxy, if it has one."""
        if target.proxy is None:
            return None
        parts = urlsplit(target.proxy)
        user_info, at, _ = parts.netloc.rpartition("@")
        return cls(parts.scheme.lower(), *target.proxy_address, user_info if at else None)

    @property
    def resolves(self) -> bool:
        """True if the proxy looks names up, rather than we."""
        return self.kind not in {"socks4", "socks5"}

    async def open(self, sock: socket.socket, host: str, port: int) -> None:
        """Asks for a tunnel to a host on a non-blocking socket that is connected with the proxy.

        Raises:
            DialError: the proxy refuses, or is none; the fault's detail is its status.
            OSError: the connection with it broke.
        """
        if self.kind == "http":
            await self._connect(sock, host, port)
        else:
            await self._socks(sock, host, port)

    async def _connect(self, sock: socket.socket, host: str, port: int) -> None:
        """HTTP's CONNECT (RFC 9110, section 9.3.6)."""
        loop = asyncio.get_running_loop()
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = [("Host", authority)]
        if self.user_info is not None:
            headers.append(("Proxy-Authorization", f"Basic {basic_credentials(unquote_to_bytes(self.user_info))}"))
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
        request = http.send(h11.Request(method="CONNECT", target=authority, headers=headers)) or b""
        await loop.sock_sendall(sock, request + (http.send(h11.EndOfMessage()) or b""))
        try:
            event = http.next_event()
            while not isinstance(event, h11.Response):
                if event is h11.NEED_DATA:
                    http.receive_data(await loop.sock_recv(sock, 1 << 14))
                event = http.next_event()
        except h11.RemoteProtocolError:
            raise _refused("", "does not answer CONNECT with HTTP") from None
        if event.status_code // 100 != 2:
            words = f"{event.status_code} {event.reason.decode('latin-1')}".rstrip()
            hint = "; write its user and password into its URL" if event.status_code == 407 else ""
            raise _refused(str(event.status_code), f"answered CONNECT with {words}{hint}")
        if http.trailing_data[0]:
            # Neither TLS nor HTTP lets a server speak first.
            raise _refused("", "sent something of its own into the tunnel")

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


class PreconnectedSocket:
    """Stands for a proxy before the proxy, so that we make the connection: source addresses, timeouts, options."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> socket.socket:  # noqa: ASYNC109, ARG002 - its signature
        """Returns the socket, as a library of proxies asks for it; it is connected already."""
        return self._sock


def _refused(status: str, text: str) -> DialError:
    return DialError(Fault(FaultKind.PROXY, status, f"the proxy {text}"))
