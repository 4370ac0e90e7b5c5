"""Whether a plan's connections find a port each: source addresses × target addresses × ephemeral ports."""

from __future__ import annotations

import errno
import socket
import sys
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import UsageError
from ws_load_test.common.units import format_count
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

WIDEST = (1024, 65535)
"""The ports that need no privilege."""
_FAMILIES: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def check_ports(plan: Plan) -> Shortage | None:
    """What is missing, as far as it can be told before anything is opened; None where nothing is.

    A name is looked up only where its addresses make a difference, since that can take long. One that does not
    resolve is left to the run, which tells of it as of any fault of the target.

    Raises:
        UsageError: `--bind` names an address that this machine does not have, or none that reaches the target.
    """
    _check_sources(plan)
    ports = ephemeral_ports()
    if not plan.bind and (ports is None or plan.connections <= ports):
        return None
    # Connections take the hosts in turn; one that is named several times, as for several paths, has as many turns.
    turns = plan.target.connect_addresses
    hosts = {name: _routes(plan, *name) for name in dict.fromkeys(turns)}
    if ports is None or not turns or not all(hosts.values()):
        return None
    pairs = min(Fraction(_pairs(ways) * len(turns), turns.count(name)) for name, ways in hosts.items())
    if plan.connections <= int(pairs * ports):
        return None
    targets = min(Fraction(len(ways) * len(turns), turns.count(name)) for name, ways in hosts.items())
    return _shortage(plan, [way for ways in hosts.values() for way in ways], ports, pairs, targets)


def _routes(plan: Plan, host: str, port: int) -> list[Route]:
    """The ways to a host; none where its name does not resolve.

    Raises:
        UsageError: the name resolves, and to nothing that `--bind` reaches.
    """
    addresses = _resolve(host, port)
    ways = routes(plan, addresses)
    if addresses and not ways:
        kind, theirs = (_FAMILIES[family_of(one)] for one in (plan.bind[0], addresses[0][1][0]))
        raise UsageError(
            f"--bind: {plan.bind[0]} is an {kind} address, and {host} has only {theirs} ones "
            f"({addresses[0][1][0]}); name source addresses of that kind"
        )
    return ways


def _pairs(ways: list[Route]) -> int:
    """How many pairs of a source address and a target address there are."""
    return sum(max(1, len(way.sources)) for way in ways)


def _shortage(plan: Plan, ways: list[Route], ports: int, pairs: Fraction, targets: Fraction) -> Shortage:
    """In words; `pairs` and `targets` are those that count, which are fewer where hosts are not used evenly."""
    wide = WIDEST[1] - WIDEST[0] + 1 - reserved_ports(*WIDEST)
    remedies = []
    if plan.connections <= int(pairs * wide):
        setting = f'net.ipv4.ip_local_port_range="{WIDEST[0]} {WIDEST[1]}"'
        remedies.append(
            f"widen the range with `sysctl -w {setting}` as root, which allows {format_count(int(pairs * wide))}"
        )
    wanted = ceil(plan.connections / (ports * targets))
    remedies.append(f"name {wanted} source addresses of this machine with --bind")
    sources = len({source for way in ways for source in way.sources}) or 1
    text = (
        f"{format_count(plan.connections)} connections need a port each, and {_several(sources, 'source address')}, "
        f"{_several(len(ways), 'target address')} and {format_count(ports)} ephemeral ports make "
        f"{format_count(int(pairs * ports))}"
    )
    return Shortage(text, tuple(remedies), int(pairs * ports))


def _several(count: int, what: str) -> str:
    return f"{format_count(count)} {what}{'es' * (count != 1)}"


def _check_sources(plan: Plan) -> None:
    """Tries every source address that a connection will take."""
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


def _resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]
