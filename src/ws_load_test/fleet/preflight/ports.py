"""Check that there is a port for each connection: source addresses × target addresses × ephemeral ports."""

from __future__ import annotations

import errno
import socket
import sys
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError
from ws_load_test.common.units import format_count
from ws_load_test.engine.connect.dns import addresses_now
from ws_load_test.engine.connect.source_addresses import (
    Route,
    bind,
    ephemeral_ports,
    family_of,
    reserved_ports,
    routes,
)
from ws_load_test.fleet.preflight.shortage import Shortage

if TYPE_CHECKING:
    from ws_load_test.plan.plan import Plan

UNPRIVILEGED_PORTS = (1024, 65535)
"""Widest range of ephemeral ports: those that need no privilege."""
_FAMILIES: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def check_ports(plan: Plan) -> Shortage | None:
    """Returns the lack of ports; None when there is none, or it cannot be known before anything is opened.

    A name is looked up only where its addresses make a difference, since that can take long. One that does not
    resolve is left to the run, which counts that like any fault of the target.

    Raises:
        UsageError: ``--bind`` names an address that this machine does not have, or none that reaches the target.
    """
    _check_sources(plan)
    ports = ephemeral_ports()
    if not plan.bind and (ports is None or plan.connections <= ports):
        return None
    # Connections use the addresses in rotation; a host that is named several times, as for several paths, occurs in it
    # as often.
    rotation = plan.target.connect_addresses
    hosts = {address: _routes(plan, *address) for address in dict.fromkeys(rotation)}
    if ports is None or not rotation or not all(hosts.values()):
        return None
    # A host is full first where it has few pairs for its part of the rotation.
    pairs = min(
        Fraction(_pairs(host_routes) * len(rotation), rotation.count(address)) for address, host_routes in hosts.items()
    )
    if plan.connections <= int(pairs * ports):
        return None
    targets = min(
        Fraction(len(host_routes) * len(rotation), rotation.count(address)) for address, host_routes in hosts.items()
    )
    return _shortage(plan, [route for host_routes in hosts.values() for route in host_routes], ports, pairs, targets)


def _routes(plan: Plan, host: str, port: int) -> list[Route]:
    """Returns the routes to a host; none where its name does not resolve.

    Raises:
        UsageError: The name resolves, but to no address that ``--bind`` reaches.
    """
    addresses = addresses_now(plan.target.resolve, host, port)
    host_routes = routes(plan, addresses)
    if addresses and not host_routes:
        kind, target_kind = (_FAMILIES[family_of(address)] for address in (plan.bind[0], addresses[0][1][0]))
        raise UsageError(
            f"--bind: {plan.bind[0]} is an {kind} address, and {host} has only {target_kind} ones "
            f"({addresses[0][1][0]}); name source addresses of that kind"
        )
    return host_routes


def _pairs(host_routes: list[Route]) -> int:
    """Returns the number of pairs of a source address and a target address."""
    return sum(max(1, len(route.sources)) for route in host_routes)


def _shortage(plan: Plan, all_routes: list[Route], ports: int, pairs: Fraction, targets: Fraction) -> Shortage:
    """Describes the lack of ports.

    Args:
        plan: The plan.
        all_routes: The routes to all hosts.
        ports: Number of ephemeral ports.
        pairs: Pairs of addresses that can be used, fewer than there are where hosts are not used evenly.
        targets: Target addresses that can be used, likewise.
    """
    widest = UNPRIVILEGED_PORTS[1] - UNPRIVILEGED_PORTS[0] + 1 - reserved_ports(*UNPRIVILEGED_PORTS)
    remedies = []
    if plan.connections <= int(pairs * widest):
        setting = f'net.ipv4.ip_local_port_range="{UNPRIVILEGED_PORTS[0]} {UNPRIVILEGED_PORTS[1]}"'
        remedies.append(
            f"widen the range with `sysctl -w {setting}` as root, which allows {format_count(int(pairs * widest))}"
        )
    needed = ceil(plan.connections / (ports * targets))
    remedies.append(f"name {needed} source addresses of this machine with --bind")
    sources = len({source for route in all_routes for source in route.sources}) or 1
    text = (
        f"{format_count(plan.connections)} connections need a port each, and {_counted(sources, 'source address')}, "
        f"{_counted(len(all_routes), 'target address')} and {format_count(ports)} ephemeral ports make "
        f"{format_count(int(pairs * ports))}"
    )
    return Shortage(text, tuple(remedies), int(pairs * ports))


def _counted(count: int, what: str) -> str:
    return f"{format_count(count)} {what}{'es' * (count != 1)}"


def _check_sources(plan: Plan) -> None:
    """Binds a socket to every source address that a connection will use.

    Raises:
        UsageError: A source address cannot be used.
    """
    missing: list[str] = []
    for source in plan.bind[: plan.connections]:
        try:
            with socket.socket(family_of(source), socket.SOCK_STREAM) as sock:
                bind(sock, source)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT}:
                raise UsageError(f"--bind: {source} cannot be used: {error.strerror}") from None
            missing.append(source)
    if not missing:
        return
    more = f", nor are {len(missing) - 1} more of those named" if missing[1:] else ""
    hint = "; `ip address` lists those it has, `ip address add` gives it one more" if sys.platform == "linux" else ""
    raise UsageError(f"--bind: {missing[0]} is not an address of this machine{more}{hint}")
