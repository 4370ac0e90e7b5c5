"""TCP connections to the addresses of a host, raced as RFC 8305 has it, and what is known of each address since."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import HostErrorKind, classify_host_error
from ws_load_test.engine.connect.source_addresses import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.engine.connect.source_addresses import Route

ATTEMPT_DELAY_S = 0.25
"""Time until the next address is tried beside one that has not answered (RFC 8305, sections 5 and 8)."""
PASSED_OVER_NS = 10 * NS_PER_S
"""Time for which an address that failed is tried after those that did not: what a client remembers of addresses that it
has used (RFC 8305, section 4). Else each dial to a host with a dead first address would wait for it anew."""
MAX_KNOWN_ADDRESSES = 4096
"""Addresses that failed and are remembered; a target can redirect to as many as it likes."""
MAX_FAILED_ADDRESSES = 32
"""Addresses, each with a fault, that are counted by themselves between two reports."""


class Attempts:
    """Addresses that one dial has tried, for the words of its fault."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.failures: list[tuple[str, OSError]] = []

    def error(self) -> OSError:
        """Returns the error that stands for all: this machine's own before the target's."""
        errors = [error for _, error in self.failures]
        kinds = [classify_host_error(error) for error in errors]
        for error, kind in zip(errors, kinds, strict=True):
            # An IPv6 address that this machine has no way to fails with the error that it gives for want of ports.
            if kind is not None and kind is not HostErrorKind.OUT_OF_PORTS:
                return error
        ours = [error for error, kind in zip(errors, kinds, strict=True) if kind is not None]
        theirs = [error for error, kind in zip(errors, kinds, strict=True) if kind is None]
        has_ipv4_ports_error = any(
            not address.startswith("[") for (address, _), kind in zip(self.failures, kinds, strict=True) if kind
        )
        return ours[0] if ours and (not theirs or has_ipv4_ports_error) else theirs[0]


class TcpConnector:
    """Connects with hosts that may have several addresses."""

    def __init__(self, trace: Callable[[str, Any], None], *, rotates: bool = False) -> None:
        """Makes a connector that knows nothing of any address yet.

        Args:
            trace: Called with ``try`` and an address with its error, and with ``connect`` and an address.
            rotates: Dials begin with each address of a host in turn, not with the best.
        """
        self.failed: Counter[str] = Counter()
        """Addresses that took no connection, each with its fault; the caller takes them out."""
        self._trace = trace
        self._rotates = rotates
        self._failed_ns: dict[tuple[Any, ...], int] = {}

    async def connect(self, routes: Sequence[Route], turn: int, attempts: Attempts) -> socket.socket:
        """Returns a connected socket.

        Args:
            routes: The ways to the host, at least one, the best first.
            turn: Place of the dial among those that go the same way: chooses the source address.
            attempts: Takes down what was tried, also where the dial is canceled.

        Raises:
            OSError: No address took the connection.
        """
        ordered = self.ordered(routes, turn)
        if len(ordered) > 1:
            return await self.race(ordered, turn, attempts)
        try:
            return await self._attempt(ordered[0], turn, attempts)
        except OSError as error:
            self.note_failure(ordered[0], error, attempts)
            raise

    def ordered(self, routes: Sequence[Route], turn: int) -> Sequence[Route]:
        """Returns the routes in the order in which they are tried: families in turn, those that failed last."""
        if len(routes) == 1:
            return routes
        ordered = interleaved(routes)
        if self._rotates:
            start = turn % len(ordered)
            ordered = ordered[start:] + ordered[:start]
        if not self._failed_ns:
            return ordered
        since_ns = monotonic_ns() - PASSED_OVER_NS
        return sorted(ordered, key=lambda route: self._failed_ns.get(route.address, 0) > since_ns)

    async def race(
        self, routes: Sequence[Route], turn: int, attempts: Attempts, begun: socket.socket | None = None
    ) -> socket.socket:
        """Tries addresses one after another, each beside those that have not answered yet; the first to answer wins.

        Args:
            routes: The ways to the host in the order in which they are tried.
            turn: As for `connect`.
            attempts: As for `connect`.
            begun: A socket that has been connecting with the first of them, without an answer for its time.

        Raises:
            OSError: No address took the connection.
        """
        waiting, running = list(routes), dict[asyncio.Task[socket.socket], "Route"]()
        if begun is not None:
            running[asyncio.create_task(self._await(waiting[0], begun))] = waiting.pop(0)
        try:
            while waiting or running:
                if waiting:
                    route = waiting.pop(0)
                    running[asyncio.create_task(self._attempt(route, turn, attempts))] = route
                delay_s = ATTEMPT_DELAY_S if waiting else None
                done, _ = await asyncio.wait(running, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    route = running.pop(task)
                    error = task.exception()
                    if error is None:
                        for overtaken in running.values():
                            self._note(overtaken, "overtaken")
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    self.note_failure(route, error, attempts)
            raise attempts.error()
        finally:
            for task in running:
                task.add_done_callback(_close_result)
                task.cancel()

    async def _attempt(self, route: Route, turn: int, attempts: Attempts) -> socket.socket:
        attempts.tried.append(address_text(route.address))
        source = route.sources[turn % len(route.sources)] if route.sources else None
        sock = await open_socket(route.family, route.address, source)
        self.note_success(route)
        return sock

    async def _await(self, route: Route, sock: socket.socket) -> socket.socket:
        """Waits for a connection that has been begun."""
        try:
            await _connected(sock)
        except BaseException:
            sock.close()
            raise
        self.note_success(route)
        return sock

    def note_success(self, route: Route) -> None:
        """Takes down that an address took a connection."""
        self._failed_ns.pop(route.address, None)
        self._trace("connect", route.address)

    def note_failure(self, route: Route, error: OSError, attempts: Attempts) -> None:
        """Takes down that an address took no connection."""
        attempts.failures.append((address_text(route.address), error))
        self._trace("try", (route.address, error))
        if classify_host_error(error) is None:
            self._note(route, "connect-refused" if isinstance(error, ConnectionRefusedError) else "unreachable")

    def _note(self, route: Route, fault: str) -> None:
        if len(self._failed_ns) >= MAX_KNOWN_ADDRESSES:
            self._failed_ns.clear()
        self._failed_ns[route.address] = monotonic_ns()
        key = f"{address_text(route.address)} {fault}"
        self.failed[key if key in self.failed or len(self.failed) < MAX_FAILED_ADDRESSES else "(others)"] += 1


def interleaved(routes: Sequence[Route]) -> list[Route]:
    """Returns the routes with the families of their addresses in turn, each in its order (RFC 8305, section 4)."""
    families: dict[int, list[Route]] = {}
    for route in routes:
        families.setdefault(route.family, []).append(route)
    columns = list(families.values())
    longest = max(map(len, columns), default=0)
    return [column[place] for place in range(longest) for column in columns if place < len(column)]


async def open_socket(family: int, address: tuple[Any, ...] | str, source: str | None = None) -> socket.socket:
    """Returns a non-blocking socket that is connected with an address, from a source address if there is one.

    Raises:
        OSError: It did not connect.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            bind(sock, source)
        await _connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(sock: socket.socket, address: tuple[Any, ...] | str) -> None:
    """Connects a socket with an address in numbers.

    uvloop's `sock_connect` looks the address up once more, in a pool of threads. That takes longer than the connection,
    and in a process with threads every system call on a socket costs more from then on (the kernel counts references).

    Raises:
        OSError: It did not connect.
    """
    loop = asyncio.get_running_loop()
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sys.platform == "win32":
        await loop.sock_connect(sock, address)
        return
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        await _connected(sock)
    elif error:
        raise OSError(error, os.strerror(error))


async def _connected(sock: socket.socket) -> None:
    """Waits until a socket is connected.

    Raises:
        OSError: It did not connect.
    """
    loop, connected = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(sock, connected.set)
    try:
        await connected.wait()
    finally:
        loop.remove_writer(sock)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def address_text(address: Any) -> str:
    """Returns a socket's address as ``HOST:PORT``, with its zone if it has one, or the path of a Unix socket."""
    if isinstance(address, str):
        return address
    host, port, *more = address
    if more and more[1]:
        host += f"%{_zone_name(more[1])}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _zone_name(scope: int) -> str:
    """Returns the name of an interface, or its number where it has gone."""
    try:
        return socket.if_indextoname(scope)
    except OSError:
        return str(scope)


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    """Closes the socket of an attempt that was overtaken as it ended."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
