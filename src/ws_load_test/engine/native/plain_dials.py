"""Dials of plain sessions for the compiled loop: what they need is prepared here, once for many.

A session is plain if it needs no TLS, no proxy and no Unix socket, and the addresses of its host are known. All others
are dialed by the portable code (`connect/dialer.py`). That also judges each answer that is not an ordinary one, and
tries further addresses beside one that does not answer (RFC 8305), so that faults have one place and the same words.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import h11

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.engine.connect.connect_timings import BegunDial
from ws_load_test.engine.connect.dial_faults import fault_of
from ws_load_test.engine.connect.handshake import request_bytes
from ws_load_test.engine.connect.tcp import ATTEMPT_DELAY_S, MAX_KNOWN_ADDRESSES, Attempts, address_text
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.engine.native.dialing import Dialing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.engine.connect.dialer import Dialer
    from ws_load_test.engine.connect.source_addresses import Route
    from ws_load_test.engine.connect.upgrade_request import Render, UpgradeRequest

OPEN, ODD, NOT_CONNECTED, LATE, SLOW = 2, 3, 4, 5, 6
"""States in which a dial ends (`Dialing.run`)."""
ATTEMPT_DELAY_NS = int(ATTEMPT_DELAY_S * NS_PER_S)
_NO_KEY = "A" * 24
"""Stands for the key of a request that is prepared."""
_KEY_AND_END = f"{_NO_KEY}\r\n\r\n".encode()


@dataclass(slots=True)
class PlainDial:
    """A dial in the compiled loop."""

    number: int
    request: UpgradeRequest
    routes: Sequence[Route]
    """The way that it goes, and those that it has not tried."""
    from_ns: int
    attempts: Attempts | None = None
    """Addresses that have failed, or None."""
    slot: int = -1


class Ended(NamedTuple):
    """The end of a dial in the compiled loop (`Dialing.run`)."""

    slot: int
    state: int
    descriptor: int
    connected_ns: int
    asked_ns: int
    done_ns: int
    error: int
    key: bytes
    answer: bytes
    chose: bool


class PlainDials:
    """The plain dials of one dialer."""

    def __init__(self, dialer: Dialer) -> None:
        target = dialer.target
        self.loop = Dialing()
        self.are_possible = not (target.secure or target.proxies or target.deflate is not None or target.unix_socket)
        """Some sessions may be plain."""
        self._dialer = dialer
        self._keeps_requests = not target.is_templated
        self._requests: dict[int, tuple[UpgradeRequest, bytes, bytes]] = {}
        """For each prepared request, by its identity, its bytes and the subprotocols that it offers."""
        self._addresses: dict[tuple[Any, ...] | str, bytes] = {}

    def prepare(self, number: int, fill: Render | None) -> PlainDial | None:
        """Returns the dial of a connection; None if the portable code must dial it.

        Raises:
            UsageError: What a field gives cannot be a part of the request.
        """
        dialer = self._dialer
        request = dialer.requests.of(number, fill)
        known = dialer.names.known_routes(*dialer.goal(request, number))
        if known is None:
            return None
        routes = known if len(known) == 1 else dialer.tcp.ordered(known, dialer.rotation_index(number))
        return PlainDial(number, request, routes, monotonic_ns())

    def begin(self, dial: PlainDial) -> None:
        """Begins a dial, or goes on with the next address.

        Raises:
            DialError: No address takes a connection.
            OSError: The same, for a reason of this machine.
        """
        while True:
            try:
                self._begin(dial)
            except OSError as error:
                self.next_address(dial, error)
            else:
                return

    def _begin(self, dial: PlainDial) -> None:
        data, offered = self._bytes_of(dial.request)
        family, address, sources = dial.routes[0]
        source = b""
        if sources:
            source = self._packed(family, sources[self._dialer.rotation_index(dial.number) % len(sources)])
        deadline_ns = dial.from_ns + self._dialer.timeout_ns
        patience_ns = deadline_ns if len(dial.routes) == 1 else min(deadline_ns, monotonic_ns() + ATTEMPT_DELAY_NS)
        dial.slot = self.loop.begin(self._packed(family, address), source, data, offered, patience_ns, deadline_ns)

    def _packed(self, family: int, address: tuple[Any, ...] | str) -> bytes:
        """Returns the target's address, or a source address, as C has it."""
        if address not in self._addresses:
            if len(self._addresses) >= MAX_KNOWN_ADDRESSES:
                self._addresses.clear()
            found: tuple[Any, ...]
            if isinstance(address, str):
                infos = socket.getaddrinfo(address, 0, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
                found = infos[0][4]
            else:
                found = address
            self._addresses[address] = packed_address(family, found)
        return self._addresses[address]

    def _bytes_of(self, request: UpgradeRequest) -> tuple[bytes, bytes]:
        known = self._requests.get(id(request))
        if known is not None:
            return known[1], known[2]
        data = request_bytes(h11.Connection(h11.CLIENT), request, _NO_KEY)
        assert data.endswith(_KEY_AND_END)
        offered = ",".join(request.subprotocols).encode("latin-1")
        if self._keeps_requests:
            self._requests[id(request)] = request, data, offered
        return data, offered

    def begun(self, dial: PlainDial, ended: Ended) -> BegunDial:
        """Returns a dial whose answer is odd, for the portable code."""
        return BegunDial(
            dial.request,
            new_socket(dial.routes[0].family, ended.descriptor),
            dial.from_ns,
            self._attempts(dial),
            dial.routes,
            ended.connected_ns,
            ended.asked_ns,
            ended.key.decode(),
            ended.answer,
            ended.error,
        )

    def next_address(self, dial: PlainDial, error: OSError) -> None:
        """Takes an address for failed, so that the next one is tried.

        Raises:
            DialError: There is no other.
            OSError: The same, for a reason of this machine.
        """
        attempts = dial.attempts = self._attempts(dial)
        self._dialer.tcp.note_failure(dial.routes[0], error, attempts)
        if len(dial.routes) > 1:
            dial.routes = dial.routes[1:]
            return
        error = attempts.error()
        fault = fault_of("connect", error, attempts, timeout_ns=self._dialer.timeout_ns, through_proxy=False)
        raise error if fault is None else DialError(fault)

    def lateness(self, dial: PlainDial, ended: Ended) -> DialError:
        """Returns the fault of a dial that has timed out."""
        phase = "connect" if not ended.connected_ns else "answer" if ended.answer else "upgrade"
        timeout_ns = self._dialer.timeout_ns
        fault = fault_of(phase, TimeoutError(), self._attempts(dial), timeout_ns=timeout_ns, through_proxy=False)
        assert fault is not None
        return DialError(fault)

    def _attempts(self, dial: PlainDial) -> Attempts:
        """Returns the addresses that a dial has tried, with the one that it tries."""
        attempts = dial.attempts or Attempts()
        attempts.tried.append(address_text(dial.routes[0].address))
        return attempts


def new_socket(family: int, descriptor: int) -> socket.socket:
    """Returns the socket of a descriptor that the compiled loop has opened; it does not block."""
    sock = socket.socket(family, socket.SOCK_STREAM, 0, descriptor)
    # Python would make it wait otherwise, by its own account of time-outs.
    sock.setblocking(False)
    return sock


def connect_error(number: int) -> OSError:
    """Returns the error of a connection that was not made."""
    return OSError(number, os.strerror(number))


def packed_address(family: int, address: tuple[Any, ...]) -> bytes:
    """Returns an address as `struct sockaddr_in` or `sockaddr_in6` of Linux (ip(7), ipv6(7))."""
    host, port, *more = address
    packed = socket.inet_pton(family, host.partition("%")[0])
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H", port) + packed + bytes(8)
    flow, scope = more or (0, 0)
    return struct.pack("=H", family) + struct.pack("!HI", port, flow) + packed + struct.pack("=I", scope)
