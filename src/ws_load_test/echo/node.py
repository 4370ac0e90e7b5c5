"""A server as one of several nodes: its name, and how it goes away when it is stopped.

With `?node` in the URL the upgrade response names the node: `X-Node: NAME`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from picows import WSListener, WSUpgradeResponse, WSUpgradeResponseWithListener

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.errors import UsageError
from ws_load_test.echo.plain_echo import close_frame
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Collection

    Answer = WSListener | WSUpgradeResponseWithListener

HEADER = "X-Node"
_REASON = "the server is stopping"


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Behavior of a server as a node."""

    name: str = ""
    """Name in the upgrade response; empty: its port."""
    close_code: int = frames.GOING_AWAY
    """Close code of its sessions when it is stopped; 1006 closes their TCP connections without a close frame."""
    drain_ns: int = 0
    """Time over which these closes are spread evenly; 0: all at once."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            UsageError: The code cannot be sent.
        """
        if self.close_code != frames.ABNORMAL_CLOSURE and not frames.close_code_is_valid(self.close_code):
            why = f"close code {self.close_code} cannot be sent: it {frames.why_invalid(self.close_code)}"
            raise UsageError(f"{why}; write for example 1001 or 1012, or 1006 for no close frame at all")

    def answer(self, path: bytes, port: int, chosen: Answer) -> Answer:
        """Returns the answer to an upgrade request, with the name of the node if the query asks for it."""
        if isinstance(chosen, WSUpgradeResponseWithListener):
            return chosen
        query = parse_qsl(urlsplit(path.decode("latin-1")).query, keep_blank_values=True)
        if all(name != "node" for name, _ in query):
            return chosen
        headers = {HEADER: self.name or str(port)}
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), chosen)

    async def close_sessions(self, transports: Collection[asyncio.Transport]) -> None:
        """Closes sessions with the code, spread over the time; those that end meanwhile are left out."""
        sessions = list(transports)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for number, transport in enumerate(sessions):
            if self.drain_ns and number:
                due_s = start_s + self.drain_ns / NS_PER_S * number / len(sessions)
                await asyncio.sleep(max(0.0, due_s - loop.time()))
            if transport.is_closing():
                continue
            if self.close_code != frames.ABNORMAL_CLOSURE:
                transport.write(close_frame(self.close_code, _REASON))
            transport.close()
