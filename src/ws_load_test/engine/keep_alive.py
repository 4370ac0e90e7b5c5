"""Keep-alive pings (RFC 6455, section 5.5.2) on every connection, spread over each period."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_S, monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Pinged(Protocol):
    """A connection, as far as pings need it."""

    def ping(self) -> None:
        """Sends a ping whose pong is timed, unless one is still on its way."""
        ...


async def keep_alive(connections: Callable[[], Sequence[Pinged]], period_ns: int | None) -> None:
    """Pings every connection once in a period until it is cancelled; returns at once where there is no period.

    Args:
        connections: Returns the connections that are open; called in each period.
        period_ns: Time between two pings on a connection.
    """
    if period_ns is None:
        return
    round_ns = monotonic_ns()
    while True:
        present = connections()
        for number, connection in enumerate(present):
            due_ns = round_ns + period_ns * number // len(present)
            if due_ns > monotonic_ns():
                await asyncio.sleep((due_ns - monotonic_ns()) / NS_PER_S)
            connection.ping()
        round_ns += period_ns
        await asyncio.sleep(max(0, round_ns - monotonic_ns()) / NS_PER_S)
