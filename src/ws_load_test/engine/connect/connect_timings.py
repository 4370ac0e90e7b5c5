"""Durations of the opening of a session, and a dial on its way from one dialer to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ws_load_test.engine.connect.source_addresses import Route
    from ws_load_test.engine.connect.tcp import Attempts
    from ws_load_test.engine.connect.upgrade_request import UpgradeRequest
    from ws_load_test.metrics.tally import Tally


@dataclass(frozen=True, slots=True)
class ConnectTimings:
    """Durations of the opening of a session and of its phases; where redirects led to it, those of the last request."""

    tcp_ns: int
    """The TCP connection: to the target, or to its proxy."""
    proxy_ns: int | None
    """Time from there until the proxy has opened the way; None without one."""
    tls_ns: int | None
    """Time from there to the end of the TLS handshake; None without TLS."""
    upgrade_ns: int
    """Time from the request to the answer that accepts it."""
    total_ns: int
    """All of it: the lookup of a name that no connection had needed before, waiting, and redirects included."""
    tls_resumed: bool
    """The handshake took up an earlier session (RFC 8446, section 2.2)."""
    not_granted: tuple[str, ...] = ()
    """Names of things that were asked for in vain: ``permessage-deflate``, ``subprotocol``, ``tls-resumption``,
    ``tls-ticket``."""

    def record_in(self, tally: Tally) -> None:
        """Records them in the histograms of a tally."""
        tally.connect_time_ns.record(self.total_ns)
        tally.tcp_time_ns.record(self.tcp_ns)
        if self.proxy_ns is not None:
            tally.proxy_time_ns.record(self.proxy_ns)
        if self.tls_ns is not None:
            tally.tls_time_ns.record(self.tls_ns)
            tally.tls_resumed += self.tls_resumed
        tally.upgrade_time_ns.record(self.upgrade_ns)
        tally.not_granted.update(self.not_granted)


@dataclass(frozen=True, slots=True)
class BegunDial:
    """A dial that another dialer goes on with: its request has left, or it is still connecting."""

    request: UpgradeRequest
    sock: socket.socket
    from_ns: int
    """Beginning of the dial."""
    attempts: Attempts
    """The addresses that it has tried."""
    routes: Sequence[Route]
    """The way that it goes, and those that it has not tried."""
    connected_ns: int
    """Instant of the TCP connection; 0 while it is connecting."""
    asked_ns: int
    """Instant of the request."""
    key: str
    """The request's key."""
    answer: bytes
    """Bytes of the answer that have come."""
    error: int
    """Errno of the stream's failure; 0 while it goes on, -1 after its end."""
