"""Names to addresses: one lookup for each name and worker, whatever comes of it, and what each took."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.connect.source_addresses import Route, routes
from ws_load_test.engine.connect.upgrade_request import DialError

if TYPE_CHECKING:
    from ws_load_test.plan.plan import Plan

    Found = list[tuple[int, tuple[Any, ...]]]
    """Families and addresses, the best first (RFC 6724)."""


class Resolver:
    """The addresses of the names that a worker's connections are made to."""

    def __init__(self, plan: Plan) -> None:
        self.lookup_ns: dict[str, int] = {}
        """Duration of the lookup of each name that was found; grows when a connection is the first to need a name."""
        self._plan = plan
        self._lookups: dict[str, asyncio.Task[Found | Fault]] = {}
        self._routes: dict[tuple[str, int], list[Route]] = {}

    async def routes(self, host: str, port: int) -> list[Route]:
        """The ways to a host, to be tried in order.

        Raises:
            DialError: the name does not resolve, or to nothing that the plan's source addresses can reach.
        """
        known = self._routes.get((host, port))
        if known is not None:
            return known
        found = await self.addresses(host)
        ways = routes(self._plan, [(family, (address[0], port, *address[2:])) for family, address in found])
        if not ways:
            raise DialError(
                Fault(FaultKind.UNREACHABLE, text=f'"{host}" has no address of the kind of those that --bind names')
            )
        self._routes[host, port] = ways
        return ways

    async def addresses(self, host: str) -> Found:
        """The addresses of a host, the best first.

        Raises:
            DialError: the name does not resolve.
        """
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.create_task(self._look_up(host))
        # Others may wait for the same name, so that it outlives the dial that was the first to ask.
        found = await asyncio.shield(lookup)
        if isinstance(found, Fault):
            raise DialError(found)
        return found

    async def _look_up(self, host: str) -> Found | Fault:
        from_ns, timeout_ns = monotonic_ns(), self._plan.connect_timeout_ns
        kind, reason = FaultKind.DNS, ""
        try:
            async with asyncio.timeout(timeout_ns / 1e9):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except TimeoutError:
            kind, reason = FaultKind.DNS_TIMEOUT, f" within {format_duration(timeout_ns)}"
        except OSError as error:
            reason = f": {error.strerror}" if error.strerror else ""
        except UnicodeError:
            pass
        else:
            if not is_address(host):
                self.lookup_ns[host] = monotonic_ns() - from_ns
            return [(family, address) for family, _, _, _, address in found]
        return Fault(kind, text=f'the name "{host}" does not resolve{reason}')


def is_address(host: str) -> bool:
    """Returns True if a host is written in numbers, so that there is nothing to look up."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
