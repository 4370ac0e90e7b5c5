"""Names to addresses: looked up once for all that need a name at the time, and again when that is long ago."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeVar

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.connect.source_addresses import Route, routes
from ws_load_test.engine.connect.upgrade_request import DialError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ws_load_test.plan.plan import Plan

    Found = list[tuple[int, tuple[Any, ...]]]
    """Families and addresses, the best first (RFC 6724)."""

Key = TypeVar("Key")
Value = TypeVar("Value")
LINK_LOCAL = ip_network("fe80::/10")
MAX_NAMES = 4096
"""Names that are kept: a target can redirect to as many as it likes. The first to be looked up is forgotten first."""
MAX_FAILURE_AGE_NS = NS_PER_S
"""Time for which a name that did not resolve is not looked up again, at most."""


class _Lookup:
    """One look-up of a name, under way or done."""

    def __init__(self, looking_up: Coroutine[Any, Any, Found | Fault]) -> None:
        self.task = asyncio.create_task(self._run(looking_up))
        self._done_ns = 0

    async def _run(self, looking_up: Coroutine[Any, Any, Found | Fault]) -> Found | Fault:
        found = await looking_up
        self._done_ns = monotonic_ns()
        return found

    def is_usable(self, ttl_ns: int) -> bool:
        """True while it is under way, and for the time to live of what it found."""
        if not self.task.done():
            return True
        if self.task.cancelled() or isinstance(self.task.result(), Fault):
            ttl_ns = min(ttl_ns, MAX_FAILURE_AGE_NS)
        return monotonic_ns() - self._done_ns < ttl_ns


class Resolver:
    """The addresses of the names that a worker's connections are made to."""

    def __init__(self, plan: Plan) -> None:
        self.lookup_ns: dict[str, int] = {}
        """Duration of the latest look-up of each name that was found."""
        self._times_ns: list[int] = []
        self._plan = plan
        self._fixed = fixed_addresses(plan.target.resolve)
        self._lookups: dict[str, _Lookup] = {}
        self._routes: dict[tuple[str, int], tuple[Found, list[Route]]] = {}

    def take_times(self) -> list[int]:
        """Returns the durations, in ns, of the look-ups since the last call."""
        times, self._times_ns = self._times_ns, []
        return times

    async def routes(self, host: str, port: int) -> list[Route]:
        """Returns the ways to a host, the best first.

        Raises:
            DialError: The name does not resolve, or to nothing that the plan's source addresses can reach.
        """
        found = await self.addresses(host, port)
        known = self._routes.get((host, port))
        if known is not None and known[0] is found:
            return known[1]
        ways = routes(self._plan, [(family, (address[0], port, *address[2:])) for family, address in found])
        if not ways:
            raise DialError(
                Fault(FaultKind.UNREACHABLE, text=f'"{host}" has no address of the kind of those that --bind names')
            )
        _keep(self._routes, (host, port), (found, ways))
        return ways

    def known_routes(self, host: str, port: int) -> list[Route] | None:
        """Returns the ways to a host where `routes` would not have to wait for them; else None."""
        known = self._routes.get((host, port))
        found = _fixed_for(self._fixed, host, port)
        if found is None:
            lookup = self._lookups.get(host)
            if lookup is None or not lookup.task.done() or lookup.task.cancelled():
                return None
            if not (lookup.is_usable(self._plan.target.dns_ttl_ns) or is_address(host)):
                return None
            result = lookup.task.result()
            found = None if isinstance(result, Fault) else result
        return known[1] if known is not None and known[0] is found else None

    async def addresses(self, host: str, port: int) -> Found:
        """Returns the addresses of a host, the best first; the port matters only to `--resolve`.

        Raises:
            DialError: The name does not resolve.
        """
        fixed = _fixed_for(self._fixed, host, port)
        if fixed is not None:
            return fixed
        lookup = self._lookups.get(host)
        if lookup is None or not (is_address(host) or lookup.is_usable(self._plan.target.dns_ttl_ns)):
            _keep(self._lookups, host, lookup := _Lookup(self._look_up(host)))
        # Others may wait for the same name, so that it outlives the dial that was the first to ask.
        found = await asyncio.shield(lookup.task)
        if isinstance(found, Fault):
            raise DialError(found)
        return found

    async def _look_up(self, host: str) -> Found | Fault:
        if "%" in host:
            return _with_zone(host)
        if _is_link_local(host):
            text = f"cannot be reached at {host}: a link-local address needs its zone, for example [{host}%eth0]"
            return Fault(FaultKind.UNREACHABLE, text=text)
        from_ns, timeout_ns = monotonic_ns(), self._plan.connect_timeout_ns
        kind, reason = FaultKind.DNS, ""
        try:
            async with asyncio.timeout(timeout_ns / 1e9):
                found = await _found_for(host)
        except TimeoutError:
            kind, reason = FaultKind.DNS_TIMEOUT, f" within {format_duration(timeout_ns)}"
        except OSError as error:
            reason = f": {error.strerror}" if error.strerror else ""
        except UnicodeError:
            pass
        else:
            if not is_address(host):
                took_ns = monotonic_ns() - from_ns
                _keep(self.lookup_ns, host, took_ns)
                self._times_ns.append(took_ns)
            # A hosts file can have an address twice.
            return list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        return Fault(kind, text=f'the name "{host}" does not resolve{reason}')


def _keep(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Keeps a value under a key, of the last `MAX_NAMES`."""
    known[key] = value
    if len(known) > MAX_NAMES:
        del known[next(iter(known))]


async def _found_for(host: str) -> list[Any]:
    """Returns what the system finds; a name that ends with a dot without it at last, since hosts files have none.

    Raises:
        OSError: It finds nothing.
    """
    loop = asyncio.get_running_loop()
    try:
        return await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        if not host.endswith("."):
            raise
        return await loop.getaddrinfo(host.removesuffix("."), None, type=socket.SOCK_STREAM)


def _is_link_local(host: str) -> bool:
    """Returns True for an address that means another machine on each link (RFC 4291, section 2.5.6)."""
    try:
        return ip_address(host) in LINK_LOCAL
    except ValueError:
        return False


def _with_zone(host: str) -> Found | Fault:
    """Returns a link-local IPv6 address with the number of its interface (RFC 4007, section 11)."""
    address, _, zone = host.partition("%")
    try:
        scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError:
        return Fault(FaultKind.UNREACHABLE, text=f'cannot be reached at {host}: no interface here is named "{zone}"')
    return [(socket.AF_INET6, (address, 0, 0, scope))]


def fixed_addresses(texts: tuple[str, ...]) -> dict[tuple[str, str], Found]:
    """Returns the addresses that `--resolve` gives, by host and port; the port may be ``*``."""
    fixed: dict[tuple[str, str], Found] = {}
    for text in texts:
        host, port, addresses = text.split(":", 2)
        found = fixed.setdefault((host, port), [])
        for address in addresses.split(","):
            infos = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            found += [(int(family), sockaddr) for family, _, _, _, sockaddr in infos]
    return fixed


def _fixed_for(fixed: dict[tuple[str, str], Found], host: str, port: int) -> Found | None:
    if not fixed:
        return None
    name = host.removesuffix(".")
    return fixed.get((name, str(port))) or fixed.get((name, "*"))


def addresses_now(target_resolve: tuple[str, ...], host: str, port: int) -> Found:
    """Returns the addresses of a host as a dial would use them, looked up here and now; empty if there are none."""
    fixed = _fixed_for(fixed_addresses(target_resolve), host, port)
    if fixed is not None:
        return [(family, (address[0], port, *address[2:])) for family, address in fixed]
    try:
        found = socket.getaddrinfo(host.removesuffix("."), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]


def is_address(host: str) -> bool:
    """Returns True if a host is written in numbers, so that there is nothing to look up."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
