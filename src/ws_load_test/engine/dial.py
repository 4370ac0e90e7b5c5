"""From an address to an open session: resolve, connect, TLS, upgrade; each step's failing has its own name."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from ws_load_test.clock import monotonic_ns
from ws_load_test.engine.sources import Route, bind, routes
from ws_load_test.engine.upgrade import DialError, Upgrade, request_headers
from ws_load_test.errors import Fault, FaultKind, UsageError, host_failing
from ws_load_test.units import show_duration

if TYPE_CHECKING:
    from ws_load_test.engine.connection import Connection
    from ws_load_test.plan import Plan, Target

_TIMED_OUT = {
    "connect": FaultKind.CONNECT_TIMEOUT,
    "tls": FaultKind.TLS,
    "upgrade": FaultKind.UPGRADE_TIMEOUT,
}


def tls_context(target: Target) -> ssl.SSLContext | None:
    """How the target's TLS is judged: verified unless the plan says otherwise; None for ``ws://``.

    Raises:
        UsageError: `cacert` holds no certificates.
    """
    if not target.secure:
        return None
    try:
        context = ssl.create_default_context(cafile=target.cacert)
    except ssl.SSLError:
        raise UsageError(f'--cacert: cannot use "{target.cacert}": it holds no PEM certificates') from None
    except OSError as error:
        raise UsageError(f'--cacert: cannot use "{target.cacert}": {error.strerror}') from None
    context.set_alpn_protocols(["http/1.1"])
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Dialler:
    """Opens sessions with one target."""

    def __init__(self, plan: Plan) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        self._plan = plan
        self._target = plan.target
        self._timeout_ns = plan.connect_timeout_ns
        self._tls = tls_context(plan.target)
        self._headers = request_headers(plan.target)
        self._routes: list[Route] = []

    async def resolve(self) -> None:
        """Looks the target's name up, once for all sessions.

        Raises:
            DialError: the name does not resolve, or to nothing that the plan's source addresses can reach.
        """
        loop = asyncio.get_running_loop()
        host, port = self._target.host, self._target.port
        try:
            async with asyncio.timeout(self._timeout_ns / 1e9):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            if isinstance(error, TimeoutError):
                reason = f" within {show_duration(self._timeout_ns)}"
            raise DialError(Fault(FaultKind.DNS, text=f'the name "{host}" does not resolve{reason}')) from None
        self._routes = routes(self._plan, [(family, address) for family, _, _, _, address in found])
        if not self._routes:
            raise DialError(
                Fault(FaultKind.UNREACHABLE, text=f'"{host}" has no address of the kind of those that --bind names')
            )

    async def dial(self, connection: Connection, number: int) -> int:
        """Opens session `number` of the run and hands it to `connection`; returns the ns that it took.

        Raises:
            DialError: through the target's fault.
            OSError: through ours, see `errors.host_failing`.
        """
        from_ns = monotonic_ns()
        phase = "connect"
        sock: socket.socket | None = None
        transport: asyncio.WriteTransport | None = None
        upgrade: Upgrade | None = None
        try:
            async with asyncio.timeout(self._timeout_ns / 1e9):
                sock = await self._connect(number)
                phase = "tls" if self._tls else "upgrade"
                transport, upgrade = await self._begin(sock, connection)
                phase = "upgrade"
                return await upgrade.done - from_ns
        except BaseException as error:
            if upgrade is not None and upgrade.granted:
                # The session opened as its time ran out, or as the run was stopped: it is the connection's by now.
                if isinstance(error, TimeoutError):
                    return upgrade.done.result() - from_ns
                raise
            if transport is not None:
                transport.abort()
            elif sock is not None:
                sock.close()
            fault = self._fault(phase, error)
            if fault is None:
                raise
            raise DialError(fault) from None

    async def _begin(self, sock: socket.socket, connection: Connection) -> tuple[asyncio.WriteTransport, Upgrade]:
        """TLS, if the target has it, and the upgrade request."""

        def take_over(transport: asyncio.Transport, early: bytes) -> None:
            transport.set_protocol(connection)
            connection.opened(transport, sock, secure=self._tls is not None, early=early)

        transport, upgrade = await asyncio.get_running_loop().create_connection(
            lambda: Upgrade(self._target, self._headers, take_over),
            sock=sock,
            ssl=self._tls,
            server_hostname=self._target.host if self._tls else None,
            # Our own timeout comes first and names the phase; this one only must not be shorter.
            ssl_handshake_timeout=2 * self._timeout_ns / 1e9 if self._tls else None,
        )
        return transport, upgrade

    async def _connect(self, number: int) -> socket.socket:
        """A TCP connection to the first of the target's addresses that takes one."""
        failure: OSError | None = None
        for family, address, sources in self._routes:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if sources:
                    bind(sock, sources[number % len(sources)])
                await asyncio.get_running_loop().sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        assert failure is not None
        raise failure

    def _fault(self, phase: str, error: BaseException) -> Fault | None:
        """What of the target's doing an error stands for; None where it is not the target's."""
        fault = None
        if isinstance(error, DialError):
            fault = error.fault
        elif isinstance(error, ssl.SSLError):
            fault = Fault(FaultKind.TLS, text=_tls_reason(error))
        elif isinstance(error, TimeoutError):
            waited = show_duration(self._timeout_ns)
            what = {
                "connect": "take the TCP connection",
                "tls": "finish the TLS handshake",
                "upgrade": "answer the upgrade",
            }
            fault = Fault(_TIMED_OUT[phase], text=f"did not {what[phase]} within {waited}")
        elif isinstance(error, ConnectionRefusedError):
            fault = Fault(
                FaultKind.CONNECT_REFUSED,
                text="refuses TCP connections: nothing listens there, or a firewall rejects them",
            )
        elif isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            kind = FaultKind.TLS if phase == "tls" else FaultKind.RESET
            fault = Fault(
                kind,
                text="broke the connection in the TLS handshake"
                if phase == "tls"
                else "reset the connection while it opened",
            )
        elif isinstance(error, OSError) and host_failing(error) is None:
            fault = Fault(FaultKind.UNREACHABLE, text=f"cannot be reached: {error.strerror or error}")
        return fault


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "--cacert names its authority, --insecure takes any"
        return f"has a certificate that is not trusted: {error.verify_message} ({remedy})"
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"}:
        return "does not speak TLS; is it ws:// instead of wss://?"
    return f"failed the TLS handshake: {(error.reason or 'connection closed').replace('_', ' ').lower()}"
