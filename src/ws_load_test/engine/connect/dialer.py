"""Opening of sessions: resolve, connect, proxy, TLS, upgrade; each phase has its time and its faults."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.connect.connect_timings import ConnectTimings
from ws_load_test.engine.connect.dial_faults import fault_of, proxy_tls_fault
from ws_load_test.engine.connect.dns import Resolver, is_address
from ws_load_test.engine.connect.handshake import OpeningHandshake
from ws_load_test.engine.connect.proxy import Proxy
from ws_load_test.engine.connect.redirects import RedirectChain
from ws_load_test.engine.connect.socket_transport import SocketTransport
from ws_load_test.engine.connect.tcp import Attempts, TcpConnector, open_socket
from ws_load_test.engine.connect.tls import handshakes
from ws_load_test.engine.connect.tls_contexts import TlsContexts
from ws_load_test.engine.connect.tls_faults import tls_fault
from ws_load_test.engine.connect.tls_reader import TlsReadBuffer, TlsReader
from ws_load_test.engine.connect.upgrade_request import (
    DialError,
    RedirectError,
    UpgradeRequestFactory,
)
from ws_load_test.plan.host_names import host_and_port

if TYPE_CHECKING:
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.connect.connect_timings import BegunDial
    from ws_load_test.engine.connect.dialed_session import DialedSession
    from ws_load_test.engine.connect.tls import ResumableContext
    from ws_load_test.engine.connect.trace import TraceListener
    from ws_load_test.engine.connect.upgrade_request import Render, UpgradeRequest
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.target import Endpoint, Target
    from ws_load_test.websocket.deflate import PerMessageDeflate


class Dialer:
    """Opens sessions with one target."""

    def __init__(self, plan: Plan, share: Shard | None = None, *, listener: TraceListener | None = None) -> None:
        """Takes the share whose connections are dialed, if this machine does not dial them all.

        Raises:
            UsageError: the plan's certificates cannot be used.
        """
        self.plan = plan
        self._share = share
        self._turns: dict[int, int] = {}
        self._dialed_by_way: Counter[int] = Counter()
        self.target = plan.target
        self.timeout_ns = plan.connect_timeout_ns
        self.names = Resolver(plan)
        self._proxies = {url: Proxy.of(url) for url in plan.target.proxies}
        self.requests = UpgradeRequestFactory(plan.target)
        self.listener = listener
        self.left_out: Counter[str] = Counter()
        """Dials that redirects led to another origin, by what did not go along, since the last `take_notes`."""
        self.tcp = TcpConnector(self.trace, rotates=plan.target.rotate_addresses)
        self.has_opened = False
        """A session has opened."""
        self.tls = TlsContexts(plan.target)
        self.tls_buffer = TlsReadBuffer()

    @property
    def ways(self) -> int:
        """Number of ways that connections go in turn: each URL with each address that is given."""
        return len(self.target.urls) * max(1, len(self.target.addresses))

    def rotation_index(self, number: int) -> int:
        """A connection's place among those that go the same way; it chooses the source address.

        Of connections dialed by several machines, this one has not every number: its worker counts its own, beginning
        with another address than the worker before it.
        """
        ways = self.ways
        if self._share is None:
            return number // ways
        if number not in self._turns:
            self._turns[number] = self._share.index + self._dialed_by_way[number % ways]
            self._dialed_by_way[number % ways] += 1
        return self._turns[number]

    @property
    def resolved_ns(self) -> dict[str, int]:
        """Duration of the latest look-up of each name, in ns; addresses in numbers have none.

        It grows with the names that fields and redirects bring, when a connection is the first to need one.
        """
        return self.names.lookup_ns

    def take_notes(self, tally: Tally) -> None:
        """Moves the notes on dials into a tally, those that opened and those that did not: look-ups of names, too."""
        tally.left_out_by_redirects.update(self.left_out)
        tally.failed_addresses.update(self.tcp.failed)
        self.left_out.clear()
        self.tcp.failed.clear()
        for took_ns in self.names.take_times():
            tally.resolve_time_ns.record(took_ns)

    def proxy_for(self, endpoint: Endpoint) -> Proxy | None:
        """Returns the proxy through which an endpoint is reached."""
        url = self.target.proxy_for(endpoint)
        return None if url is None else self._proxies[url]

    async def resolve(self) -> None:
        """Looks up the names that are known beforehand, once for all sessions.

        Raises:
            DialError: none of them resolves to what the plan's source addresses can reach. One of several that does
                not is a fault of the sessions that need it.
        """
        names = self.target.connect_addresses
        if not names:
            return
        found = await asyncio.gather(*(self.names.routes(*name) for name in names), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException) and not isinstance(result, DialError):
                raise result
        if all(isinstance(result, DialError) for result in found):
            raise cast("DialError", found[0])

    def goal(self, request: UpgradeRequest, number: int) -> tuple[str, int]:
        """Returns the host and the port that connection `number` is to reach."""
        addresses = self.target.addresses
        if not addresses or request.moved:
            return request.endpoint.host, request.endpoint.port
        # Each URL in turn with each address.
        turn = number // len(self.target.urls)
        host, port = host_and_port(addresses[turn % len(addresses)], bare_ipv6=True)
        return host, port or request.endpoint.port

    def trace(self, phase: str, result: Any) -> None:
        """Reports a phase that a dial has passed to the listener, if there is one."""
        if self.listener is not None:
            self.listener.phase_done(phase, result)

    async def dial(
        self, connection: DialedSession, number: int, fill: Render | None = None, begun: BegunDial | None = None
    ) -> ConnectTimings:
        """Opens session `number` of the run and hands it to `connection`.

        Args:
            connection: Takes the session over.
            number: Chooses the URL, the address and the source address, each in turn.
            fill: Fills a text's fields for this connection; not called where the target has none.
            begun: What the dial has come to elsewhere.

        Raises:
            DialError: through the target's fault.
            UsageError: what a field gives cannot be a part of the request; the value is not told.
            OSError: through ours, see `errors.host_failing`.
        """
        opening = _Dial(self, connection, number)
        request = self.requests.of(number, fill) if begun is None else begun.request
        left_ns = self.timeout_ns if begun is None else max(0, begun.from_ns + self.timeout_ns - monotonic_ns())
        try:
            async with asyncio.timeout(left_ns / 1e9):
                return await opening.open(request, begun)
        except BaseException as error:
            if opening.upgraded:
                # The session opened as its time ran out, or as the run was stopped: it is the connection's by now.
                if isinstance(error, TimeoutError):
                    return opening.timings()
                raise
            if opening.answer_begun and isinstance(error, TimeoutError):
                opening.phase = "answer"
            opening.abort()
            fault = self._fault(opening, error)
            if fault is None:
                raise
            raise DialError(fault) from None

    def _fault(self, opening: _Dial, error: BaseException) -> Fault | None:
        """Returns the target's fault that an error stands for; None if it is not the target's."""
        if isinstance(error, ssl.SSLError):
            if opening.phase == "proxy":
                return proxy_tls_fault(tls_fault(error, self.target))
            return tls_fault(error, opening.target, opening.tls_begun)
        if not isinstance(error, DialError):
            # What has opened a session under TLS takes TLS.
            hint = "; is it ws:// instead of wss://?" if opening.phase == "tls" and not self.has_opened else ""
            through_proxy = opening.proxy is not None
            return fault_of(
                opening.phase,
                error,
                opening.attempts,
                timeout_ns=self.timeout_ns,
                through_proxy=through_proxy,
                hint=hint,
            )
        fault = error.fault
        if isinstance(error, RedirectError) and not self.target.follow_redirects:
            fault = Fault(fault.kind, fault.detail, f"{fault.text}; --follow-redirects goes there")
        return fault


class _Dial:
    """One session on its way: the phase that it is in, the instants it has passed, and what to close if it fails."""

    __slots__ = (
        "_connected_ns",
        "_connection",
        "_dialer",
        "_dialing_ns",
        "_from_ns",
        "_lacks_ticket",
        "_number",
        "_offered_session",
        "_ready_ns",
        "_request",
        "_sock",
        "_tls_object",
        "_transport",
        "_upgrade",
        "attempts",
        "phase",
        "proxy",
        "tls_begun",
    )

    def __init__(self, dialer: Dialer, connection: DialedSession, number: int) -> None:
        self.phase = "dns"
        self.attempts = Attempts()
        self.proxy: Proxy | None = None
        self._dialer = dialer
        self._connection = connection
        self._number = number
        self._from_ns = self._dialing_ns = self._connected_ns = self._ready_ns = monotonic_ns()
        self._sock: socket.socket | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._upgrade: OpeningHandshake | None = None
        self._tls_object: ssl.SSLObject | None = None
        self._request: UpgradeRequest | None = None
        self._offered_session = self._lacks_ticket = False
        self.tls_begun: ssl.SSLObject | None = None
        """The TLS connection, whose handshake may have failed."""

    @property
    def target(self) -> Target:
        """The target as this dial shows itself: another origin gets no client certificate."""
        target = self._dialer.target
        moved = self._request is not None and self._request.moved
        return msgspec.structs.replace(target, cert=None, key=None) if moved else target

    @property
    def upgraded(self) -> bool:
        """The connection has the session."""
        return self._upgrade is not None and self._upgrade.accepted

    def _tls_not_granted(self) -> tuple[str, ...]:
        """Returns what TLS was asked for in vain: an earlier session to be resumed, or a ticket for the next one."""
        tls = self._tls_object
        if tls is None or tls.session_reused:
            return ()
        return ("tls-resumption",) * self._offered_session + ("tls-ticket",) * self._lacks_ticket

    @property
    def answer_begun(self) -> bool:
        """A part of the answer to the upgrade has come."""
        return self._upgrade is not None and self._upgrade.answer_begun

    def abort(self) -> None:
        """Closes what is open."""
        if self._transport is not None:
            self._transport.abort()
        elif self._sock is not None:
            self._sock.close()
        self._transport = self._sock = self._upgrade = None

    def timings(self) -> ConnectTimings:
        """Returns the durations of a dial whose session is open."""
        upgrade = self._upgrade
        assert upgrade is not None
        done_ns = upgrade.done.result()
        tls = self._tls_object
        return ConnectTimings(
            tcp_ns=self._connected_ns - self._dialing_ns,
            proxy_ns=None if self.proxy is None else self._ready_ns - self._connected_ns,
            tls_ns=None if tls is None else upgrade.asked_ns - self._ready_ns,
            upgrade_ns=done_ns - upgrade.asked_ns,
            total_ns=done_ns - self._from_ns,
            tls_resumed=bool(tls is not None and tls.session_reused),
            not_granted=upgrade.not_granted + self._tls_not_granted(),
        )

    async def open(self, request: UpgradeRequest, begun: BegunDial | None = None) -> ConnectTimings:
        """Follows the redirects, if it is to."""
        target = self._dialer.target
        trail = RedirectChain(request, target) if target.follow_redirects else None
        while True:
            try:
                if begun is None:
                    return await self._try(request)
                goes_on, begun = self._go_on(begun), None
                return await goes_on
            except RedirectError as moved:
                if trail is None:
                    raise
                self.abort()
                was_moved, request = request.moved, trail.follow(moved)
                if request.moved and not was_moved:
                    self._dialer.left_out.update(request.left_out)
                self._dialer.trace("redirect", request)

    async def _try(self, request: UpgradeRequest, begun: BegunDial | None = None) -> ConnectTimings:
        """One request: to its answer."""
        dialer, endpoint = self._dialer, request.endpoint
        self.phase = "dns"
        if dialer.target.unix_socket is not None and not request.moved:
            self.phase, self._dialing_ns = "connect", monotonic_ns()
            self._sock = await open_socket(socket.AF_UNIX, dialer.target.unix_socket)
            self._connected_ns = monotonic_ns()
            dialer.trace("connect", dialer.target.unix_socket)
        else:
            host, port = dialer.goal(request, self._number)
            proxy = self.proxy = dialer.proxy_for(endpoint)
            if begun is not None:
                self.phase, self._from_ns, self._dialing_ns = "connect", begun.from_ns, begun.from_ns
                self._sock = await dialer.tcp.race(
                    begun.routes, dialer.rotation_index(self._number), self.attempts, begun.sock
                )
                self._connected_ns = monotonic_ns()
            elif proxy is None:
                await self._connect_to(host, port)
            else:
                await self._go_through(proxy, host, port)
        self._ready_ns = monotonic_ns()
        self.phase = "tls" if endpoint.secure else "upgrade"
        upgrade = await self._begin(request)
        self.phase = "upgrade"
        await upgrade.done
        return self.timings()

    async def _go_on(self, begun: BegunDial) -> ConnectTimings:
        """Goes on with a dial that another has begun: it is still connecting, or its request has left."""
        self.attempts = begun.attempts
        if not begun.connected_ns:
            return await self._try(begun.request, begun)
        self.phase, self._request, self._sock = "upgrade", begun.request, begun.sock
        self._from_ns = self._dialing_ns = begun.from_ns
        self._connected_ns = self._ready_ns = begun.connected_ns
        upgrade = self._handshake(begun.request, begun.sock)
        transport = self._transport = SocketTransport(asyncio.get_running_loop(), begun.sock, upgrade)
        upgrade.resume(transport, begun.key, begun.asked_ns)
        if begun.answer:
            upgrade.data_received(begun.answer)
        if not begun.error:
            transport.resume_reading()
        elif not upgrade.done.done():
            upgrade.connection_lost(None if begun.error < 0 else OSError(begun.error, os.strerror(begun.error)))
        await upgrade.done
        return self.timings()

    async def _connect_to(self, host: str, port: int) -> None:
        """A TCP connection to the first of a host's addresses that takes one."""
        routes = await self._dialer.names.routes(host, port)
        self._dialer.trace("resolve", (host, routes))
        self.phase = "connect"
        self._dialing_ns, self.attempts = monotonic_ns(), Attempts()
        # Among those that go the same way, source addresses take turns.
        turn = self._dialer.rotation_index(self._number)
        self._sock = await self._dialer.tcp.connect(routes, turn, self.attempts)
        self._connected_ns = monotonic_ns()

    async def _go_through(self, proxy: Proxy, host: str, port: int) -> None:
        """Opens the way through the proxy; of a name that we look up, to the first address that it reaches."""
        hosts = [host]
        if not proxy.resolves and not is_address(host):
            found = await self._dialer.names.addresses(host, port)
            hosts = [address[0] for family, address in found if family == socket.AF_INET or proxy.kind == "socks5"]
        if not hosts:
            raise DialError(Fault(FaultKind.PROXY, text=f'the proxy takes IPv4 only, and "{host}" has no such address'))
        for number, one in enumerate(hosts, 1):
            await self._connect_to(proxy.host, proxy.port)
            try:
                await self._tunnel(proxy, one, port)
            except DialError as error:
                if number == len(hosts):
                    raise
                self._dialer.trace("try", ((one, port), OSError(error.fault.text)))
                # A proxy takes one request on a connection.
                self.abort()
            else:
                return

    async def _tunnel(self, proxy: Proxy, host: str, port: int) -> None:
        """The way through the proxy."""
        assert self._sock is not None
        self.phase = "proxy"
        if proxy.secure:
            timeout_s = 2 * self._dialer.timeout_ns / 1e9
            context = self._dialer.tls.for_proxies()
            self._transport = await proxy.open_under_tls(self._sock, host, port, context, timeout_s)
        else:
            await proxy.open(self._sock, host, port)
        self._dialer.trace("proxy", (host, port))

    def _handshake(
        self,
        request: UpgradeRequest,
        sock: socket.socket,
        context: ResumableContext | None = None,
        *,
        tunnel: bool = False,
    ) -> OpeningHandshake:
        """Returns the upgrade, which hands an accepted session over; under TLS with a context, or behind a tunnel."""
        dialer, connection = self._dialer, self._connection
        # What a session writes goes past no TLS, be it that of the proxy.
        under_tls = context is not None or tunnel

        def take_over(transport: asyncio.Transport, early: bytes, deflate: PerMessageDeflate | None) -> None:
            dialer.has_opened = True
            if dialer.plan.node is not None and self._upgrade is not None:
                connection.node = dialer.plan.node.of_headers(self._upgrade.headers)
            if context is not None:
                tls = self._tls_object = transport.get_extra_info("ssl_object")
                context.keep_session(tls)
                self._lacks_ticket = context.lacks_session(tls.server_hostname)
            if dialer.listener is not None:
                dialer.listener.session_upgraded(
                    connection, transport, sock, secure=under_tls, early=early, deflate=deflate
                )
                return
            transport.set_protocol(TlsReader(connection, dialer.tls_buffer) if under_tls else connection)
            connection.attach(transport, sock, secure=under_tls, early=early, deflate=deflate)

        self._upgrade = OpeningHandshake(
            request,
            take_over,
            listener=dialer.listener,
            timeout_ns=dialer.timeout_ns,
            left_hint="" if dialer.has_opened else _left_hint(request, self.target),
        )
        return self._upgrade

    async def _begin(self, request: UpgradeRequest) -> OpeningHandshake:
        """TLS, if the URL has it, and the upgrade request."""
        sock, secure = self._sock, request.endpoint.secure
        assert sock is not None
        dialer = self._dialer
        context = dialer.tls.for_request(request) if secure else None
        self._request = request
        tunnel = cast("asyncio.Transport | None", self._transport)

        def upgrade() -> OpeningHandshake:
            return self._handshake(request, sock, context, tunnel=tunnel is not None)

        loop = asyncio.get_running_loop()
        name = request.endpoint.server_name
        if not request.moved and dialer.target.sni is not None:
            name = dialer.target.sni
        # Our own timeout comes first and names the phase; this one only must not be shorter.
        timeout_s = 2 * dialer.timeout_ns / 1e9 if secure else None
        begun: list[tuple[ssl.SSLObject, bool]] = []
        if secure:
            handshakes.set(begun)
        try:
            if tunnel is None:
                create = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
                self._transport, _ = await create(
                    upgrade,
                    sock=sock,
                    ssl=context,
                    server_hostname=name if secure else None,
                    ssl_handshake_timeout=timeout_s,
                )
            else:
                protocol = upgrade()
                if context is None:
                    tunnel.set_protocol(protocol)
                else:
                    inner = await loop.start_tls(
                        tunnel, protocol, context, server_hostname=name, ssl_handshake_timeout=timeout_s
                    )
                    assert inner is not None
                    self._transport = tunnel = inner
                protocol.connection_made(tunnel)
        finally:
            self.tls_begun, self._offered_session = begun[0] if begun else (None, False)
        assert self._upgrade is not None
        return self._upgrade


def _left_hint(request: UpgradeRequest, target: Target) -> str:
    """Returns why a target may go away instead of answering the upgrade, where nothing is known of it."""
    if not request.endpoint.secure:
        return "; a port that takes TLS may do that: is it wss:// instead of ws://?"
    return "" if target.cert is not None else "; a target that wants a client certificate may do that: --cert FILE"
