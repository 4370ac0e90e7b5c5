"""Echo server of one process: listens, chooses the behavior of each connection, counts, and stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Self

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener, ws_create_server

from ws_load_test.common.errors import UsageError
from ws_load_test.common.event_loop import keep_resource_warnings_harmless
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.echo.fault_injection import faulty_listener, problem, refused
from ws_load_test.echo.fault_options import InjectedFaults, faulty
from ws_load_test.echo.http_requests import FirstRequest
from ws_load_test.echo.node import NodeOptions
from ws_load_test.echo.plain_echo import MAX_MESSAGE_BYTES, PlainEcho
from ws_load_test.echo.room_bus import RoomBus
from ws_load_test.echo.room_options import query_of, room_options
from ws_load_test.echo.room_session import RoomEcho
from ws_load_test.echo.rooms import Rooms

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from types import TracebackType

    from picows import WSListener

    from ws_load_test.common.certificates import Certificate
    from ws_load_test.echo.room_counts import RoomsReport
    from ws_load_test.echo.room_options import RoomOptions
    from ws_load_test.echo.service_limit import ServiceLimit

ONE_NODE = NodeOptions()
"""A server that closes its sessions at once, as going away."""
_BACKLOG = 8192
"""Connections that can wait to be accepted: a load generator opens thousands at once."""
_READ_BUFFER_BYTES = 2048
"""Initial bytes of a read buffer, the minimum of picows; it grows for connections that need more."""
_UPGRADE_TIMEOUT_S = 60.0
"""Seconds until a connection without a complete upgrade request is closed."""
_CLOSE_GRACE_S = 0.25
"""Seconds that clients have to read the close frame, before their connections are aborted."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # protocol errors of a client are for the client to report


class EchoServer:
    """An echo server inside the running event loop; an async context manager.

    Attributes:
        url: URL of the server, once entered; `ws://` or `wss://`.
        ca_pem: Certificate that clients must trust, as PEM; None without TLS.
        connections: Connections upgraded so far.
        open: Connections open now.
        messages: Messages received, pushes not included.
        bytes: Payload bytes of these messages.
        pongs: Pong frames received.
        queued_bytes: Memory of the messages that wait for their replies.
        rooms: Rooms, with their members and counts.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: bool = False,
        certificate: Certificate | None = None,
        share_port: bool = False,
        node: NodeOptions = ONE_NODE,
        bus: Sequence[int] = (),
    ) -> None:
        """Prepares a server, which listens once entered.

        Args:
            host: Address or name to listen on.
            port: Port to listen on; 0 for any free one.
            tls: Serve TLS.
            certificate: Certificate for TLS; None for a new self-signed one.
            share_port: Let other processes listen on the same port, each for its part of the connections.
            node: Name of the server, and how it goes away.
            bus: Descriptors of sockets to these other processes, which share their rooms.

        Raises:
            UsageError: There is no such port, or no such close code.
        """
        check_port(port)
        node.check()
        self._node = node
        self._host = host
        self._port = port
        self._tls = tls
        self._certificate = certificate
        self._share_port = share_port
        self._server: asyncio.Server | None = None
        self.url = ""
        self.ca_pem: bytes | None = None
        self.connections = 0
        self.open = 0
        self.messages = 0
        self.bytes = 0
        self.pongs = 0
        self.transports: set[asyncio.Transport] = set()
        self.limits: dict[float, ServiceLimit] = {}
        self.queued_bytes = 0
        self.loop_turns = LoopTurns()
        self.rooms = Rooms(self.loop_turns)
        self._bus = RoomBus(self.rooms)
        self._bus_descriptors = bus
        self.http_transports: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        context = self._tls_context() if self._tls else None
        try:
            self._server = await ws_create_server(
                self._listener,
                self._host,
                self._port,
                ssl=context,
                backlog=_BACKLOG,
                reuse_port=self._share_port or None,
                enable_auto_pong=False,  # pongs join the replies of their read
                max_frame_size=MAX_MESSAGE_BYTES,
                read_buffer_init_size=_READ_BUFFER_BYTES,
                websocket_handshake_timeout=_UPGRADE_TIMEOUT_S,
                logger_name=_log,
                start_serving=False,
            )
            self._answer_http(self._server)
            if self._bus_descriptors:
                await self._bus.open(self._bus_descriptors)
                self.rooms.bus = self._bus
            await self._server.start_serving()
        except (OSError, UnicodeError) as error:
            raise UsageError(_why_not(self._host, self._port, error)) from error
        self.url = _url_of(self._server.sockets[0], tls=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        self.rooms.close()
        self._bus.close()
        for transport in tuple(self.http_transports):
            transport.abort()
        await self._node.close_sessions(self.transports)
        for _ in range(5):  # closing takes a few iterations of the loop if nothing is left to send
            await asyncio.sleep(0)
        if self.transports:
            await asyncio.sleep(_CLOSE_GRACE_S)
        for transport in tuple(self.transports):
            transport.abort()
        await self._server.wait_closed()
        self._server = None
        for limit in self.limits.values():
            limit.close()
        self.limits.clear()

    def _listener(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """Answers an upgrade request."""
        chosen = self._chosen(request)
        return self._node.answer(request.path, self._port, chosen) if b"node" in request.path else chosen

    def _chosen(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """Chooses the connection's class at the upgrade, so that plain echoes pay nothing for injected faults."""
        tokens = request.headers.get("Connection", "").lower().split(",")
        if any(token.strip() == "upgrade" for token in tokens):
            request.headers["Connection"] = "upgrade"  # picows wants this one token, browsers send a list
        if b"?" not in request.path:
            return PlainEcho(self)
        try:
            options = faulty(request.path)
            in_rooms = room_options(query_of(request.path))
            if in_rooms is not None:
                return self._member(in_rooms, options)
        except ValueError as error:
            return problem(str(error))
        if options is None:
            return PlainEcho(self)
        return refused(options.status) if options.status else faulty_listener(self, options)

    def _member(
        self, options: RoomOptions, faults: InjectedFaults | None
    ) -> WSListener | WSUpgradeResponseWithListener:
        """Makes a connection that is in rooms. Raises ValueError for faults of replies, which it has none of."""
        others = sorted(faults.requested - {"status"}) if faults is not None else []
        if others:
            raise ValueError(f"{others[0]} is about replies, of which a session in rooms has none; leave it out")
        if faults is not None and faults.status:
            return refused(faults.status)
        return RoomEcho(self, options, self.rooms)

    def collect_rooms(self, done: Callable[[RoomsReport], None], *, reset: bool) -> None:
        """Calls back with the counts of the rooms of all processes, and starts them anew if asked to."""
        self._bus.collect(done, reset=reset)

    def _answer_http(self, server: asyncio.Server) -> None:
        """Has a `FirstRequest` in front of each connection: picows refuses all requests but upgrades.

        picows makes the protocol of a connection inside `ws_create_server`, which takes no other in its place.
        """
        upgrade = getattr(server, "_protocol_factory", None)
        if upgrade is not None:  # of aiofastnet and asyncio; with any other, requests beside upgrades are refused
            server._protocol_factory = lambda: FirstRequest(self, upgrade())  # type: ignore[attr-defined] # noqa: SLF001

    def _tls_context(self) -> ssl.SSLContext:
        certificate = self._certificate or own_certificate()
        self.ca_pem = certificate.certificate_pem
        return certificate.server_context()


async def serve(
    host: str,
    port: int,
    *,
    tls: bool = False,
    certificate: Certificate | None = None,
    share_port: bool = False,
    node: NodeOptions = ONE_NODE,
    ready: Callable[[str], None],
    write_ca: Path | None = None,
    counts: Callable[[EchoServer], None] | None = None,
    bus: Sequence[int] = (),
) -> None:
    """Serves echoes until cancelled.

    Args:
        host: Address or name to listen on.
        port: Port to listen on; 0 for any free one.
        tls: Serve TLS.
        certificate: Certificate for TLS; None for a new self-signed one.
        share_port: Let other processes listen on the same port, each for its part of the connections.
        node: Name of the server, and how it goes away.
        ready: Called once with the URL.
        write_ca: File to write the certificate to, for clients to trust.
        counts: Called once with the running server, to read its counters from.
        bus: Descriptors of sockets to other processes with the same port, which share their rooms.

    Raises:
        UsageError: The server cannot listen on the address.
    """
    raise_open_files_limit()
    async with EchoServer(
        host, port, tls=tls, certificate=certificate, share_port=share_port, node=node, bus=bus
    ) as server:
        if write_ca is not None:
            write_certificate(server.ca_pem, write_ca)
        if counts is not None:
            counts(server)
        ready(server.url)
        await asyncio.get_running_loop().create_future()


def run_until_stopped(main: Coroutine[None, None, None]) -> None:
    """Runs `main` on the fastest loop of this platform until it ends, or SIGINT or SIGTERM cancels it."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - no Windows wheels

        loop_factory = uvloop.new_event_loop
        keep_resource_warnings_harmless()

    async def stoppable() -> None:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotImplementedError):  # Windows: the runner turns Ctrl-C into a cancel
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        gc.collect()
        gc.freeze()  # a full collection over everything imported shows up in the clients' p99.9
        with contextlib.suppress(asyncio.CancelledError):
            await main

    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=loop_factory) as runner,
    ):
        runner.run(stoppable())


def raise_open_files_limit() -> None:
    """Raises the soft limit on open files to the hard one: each connection is an open file."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses infinity
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def own_certificate() -> Certificate:
    """Makes a certificate for clients on this machine.

    Raises:
        UsageError: The library that makes it is not installed.
    """
    from ws_load_test.common.certificates import self_signed  # noqa: PLC0415 - cryptography is slow to import

    try:
        return self_signed("localhost", "127.0.0.1", "::1")
    except ModuleNotFoundError:
        raise UsageError(
            "--tls: cryptography makes the certificate, and is not installed; install it with"
            " pip install 'ws-load-test[tls]'"
        ) from None


def unused_port(host: str, port: int) -> int:
    """Returns a port without a listener: `port` itself, or any free one for 0.

    Raises:
        UsageError: The server cannot listen on the address, or this system cannot share a port among processes.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("this system cannot share a port among processes; leave --processes out")
    check_port(port)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family) as probe:
            return int(probe.getsockname()[1])
    except (OSError, UnicodeError) as error:
        raise UsageError(_why_not(host, port, error)) from error


def check_port(port: int) -> None:
    """Raises UsageError if there is no such port."""
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} does not exist; choose 1 to 65535, or 0 for any free port")


def write_certificate(pem: bytes | None, path: Path) -> None:
    """Writes the certificate that clients must trust.

    Raises:
        UsageError: The file cannot be written, or there is no certificate.
    """
    if pem is None:
        raise UsageError("there is no certificate to write without TLS; leave out --write-ca or add --tls")
    try:
        path.write_bytes(pem)
    except OSError as error:
        raise UsageError(f"cannot write the certificate to {path}: {error.strerror}") from error


def _url_of(listening: socket.socket, *, tls: bool) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - named for a client to reach, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"{'wss' if tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}/"


def _why_not(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Returns a sentence: the server cannot listen on `host` and `port`, the reason, and a remedy."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use; choose another one, or 0 for any free port"
    if number in (errno.EACCES, errno.EPERM):
        return f"listening on port {port} of {host} is not permitted; choose a port above 1023"
    if number == errno.EADDRNOTAVAIL or "could not bind on any address" in str(error):  # asyncio's, no errno
        return f"{host} is not an address of this machine; listen on 127.0.0.1, or on 0.0.0.0 for all"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the name {host} does not resolve; listen on 127.0.0.1, or on 0.0.0.0 for all"
    return f"cannot listen on port {port} of {host}: {error}"
