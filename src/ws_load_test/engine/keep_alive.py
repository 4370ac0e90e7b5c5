"""Keep-alive pings (RFC 6455, section 5.5.2) on every connection, spread over each period."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.engine.sessions.connection import Connection


async def keep_alive(connections: Iterable[Connection], period_ns: int | None) -> None:
    """Pings every connection once in a period until it is cancelled; returns at once where there is no period.

    Args:
        connections: Connections that are open; looked at anew in each period.
        period_ns: Time between two pings on a connection.
    """
    if period_ns is None:
        return
    round_ns = monotonic_ns()
    while True:
        present = list(connections)
        for number, connection in enumerate(present):
            due_ns = round_ns + period_ns * number // len(present)
            if due_ns > monotonic_ns():
                await asyncio.sleep((due_ns - monotonic_ns()) / NS_PER_S)
            connection.ping()
        round_ns += period_ns
        await asyncio.sleep(max(0, round_ns - monotonic_ns()) / NS_PER_S)
