"""Source addresses of a plan's connections, and the number of ports for each."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.plan.plan import Plan

LOOPBACK = ip_network("127.0.0.0/8")
LOOPBACK_SHARE = 8192
"""Connections for each source address on loopback: well below the number of ephemeral ports, whatever a run before
left in use."""
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
_BIND_ADDRESS_NO_PORT = 24
"""Linux's IP_BIND_ADDRESS_NO_PORT, which Python names from 3.12: the port is chosen when the target is known, so that
one port serves several targets."""


class Route(NamedTuple):
    """One address of the target, and the source addresses from which it is dialed in turn."""

    family: int
    address: tuple[Any, ...]
    sources: tuple[str, ...]
    """Empty: what the system chooses."""


def routes(plan: Plan, addresses: Iterable[tuple[int, tuple[Any, ...]]]) -> list[Route]:
    """The ways to a target's addresses; none to those of a family of which `--bind` names no address.

    On loopback the whole of 127.0.0.0/8 is this machine (RFC 1122, section 3.2.1.3), so many connections are spread
    over it without asking; few are not, so that a server's log shows the usual 127.0.0.1.
    """
    if plan.bind:
        bound = [(family, address, of_family(plan.bind, family)) for family, address in addresses]
        return [Route(*route) for route in bound if route[2]]
    share = loopback_share()
    spread = loopback_sources(plan.connections, share) if share and plan.connections > share else ()
    return [Route(family, address, spread if _on_loopback(address) else ()) for family, address in addresses]


def of_family(sources: tuple[str, ...], family: int) -> tuple[str, ...]:
    """The addresses that belong to an address family."""
    return tuple(source for source in sources if family_of(source) == family)


def family_of(source: str) -> int:
    """The family of an address that is written in numbers."""
    return socket.AF_INET6 if ":" in source else socket.AF_INET


def loopback_share() -> int:
    """Number of connections that one source address has on loopback; 0 where the system has but one such address."""
    # macOS gives its loopback device 127.0.0.1 alone.
    if sys.platform != "linux":
        return 0
    ports = ephemeral_ports()
    return LOOPBACK_SHARE if ports is None else max(1, min(LOOPBACK_SHARE, ports // 2))


def loopback_sources(connections: int, share: int = LOOPBACK_SHARE) -> tuple[str, ...]:
    """Returns as many addresses of 127.0.0.0/8 as that many connections take."""
    first = int(LOOPBACK.network_address) + 256
    return tuple(str(ip_address(first + number)) for number in range(-(-connections // share)))


def ephemeral_ports() -> int | None:
    """Returns the number of ports that Linux chooses from when it connects; None where that cannot be read.

    Linux, Documentation/networking/ip-sysctl.rst: ip_local_port_range, both ends included, for IPv6 as well, without
    ip_local_reserved_ports.
    """
    try:
        first, last = map(int, _PORT_RANGE.read_text().split())
        return last - first + 1 - _reserved(_RESERVED_PORTS.read_text(), first, last)
    except (OSError, ValueError):
        return None


def reserved_ports(first: int, last: int) -> int:
    """Returns the number of ports of a range that Linux never chooses; 0 where that cannot be read."""
    try:
        return _reserved(_RESERVED_PORTS.read_text(), first, last)
    except (OSError, ValueError):
        return 0


def bind(sock: socket.socket, source: str) -> None:
    """Gives a socket its source address; the port is chosen when it connects.

    Raises:
        OSError: it is not an address of this machine.
    """
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))


def _reserved(text: str, first: int, last: int) -> int:
    """Returns how many of the ports written as ``80,8000-8010`` lie in a range."""
    count = 0
    for part in text.strip().split(",") if text.strip() else ():
        low, _, high = part.partition("-")
        count += max(0, min(int(high or low), last) - max(int(low), first) + 1)
    return count


def _on_loopback(address: tuple[Any, ...]) -> bool:
    # The scope of a link-local IPv6 address is no part of what is compared.
    return ip_address(address[0].partition("%")[0]) in LOOPBACK
