"""A driver's connection with one host of a cluster: calls to it, and commands in their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.fleet.cluster import host_agent
from ws_load_test.fleet.cluster.clock_offset import (
    PINGS,
    ClockOffset,
    ClockSample,
    estimate_offset,
)
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

LEASE_NS = 5 * NS_PER_S
"""How long workers go on that hear nothing of their driver."""
RENEW_S = 1.0
"""How often they hear of it."""
CALL_TIMEOUT_S = 2.5
"""How long a short call may take: less than the silence that makes a host lost."""
FAILURES = (OSError, TimeoutError, ValueError, KeyError)
"""What a call raises when its host cannot be reached: Dask has a kind of its own for most reasons, all of them these.
A KeyError is a host that the scheduler does not know any more."""


class HostLink:
    """One host: where it is, how its clock goes, and which workers it has."""

    def __init__(self, client: Client, address: str) -> None:
        self.address = address
        self.name = ""
        self.machine = ""
        self.facts: dict[str, Any] = {}
        self.cores = 1
        self.clock = ClockOffset(0, 0)
        self.number = 0
        """Its place among the hosts of the run."""
        self.workers = range(0)
        self.settled = False
        """Whether it has taken its order."""
        self.gone = False
        """Whether nothing is expected of it any more."""
        self.events = 0
        """How many of its events have come."""
        self._client = client
        self._commands: asyncio.Queue[Command] = asyncio.Queue()

    async def call(self, function: Callable[..., Any], *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Calls a function of `remote` there, once.

        Raises:
            OSError, TimeoutError, ValueError, KeyError: it cannot be reached, or does not answer.
        """
        async with asyncio.timeout(timeout_s):
            found = await self._client.run(function, *arguments, workers=[self.address])
        return found[self.address]

    async def probe(self) -> None:
        """Learns what there is to know of the machine, and compares the clocks."""
        seen = await self.call(host_agent.machine_info, timeout_s=10)
        self.name, self.machine, self.facts = seen["name"], seen["machine"], seen["facts"]
        pings = []
        for _ in range(PINGS):
            asked_ns = monotonic_ns()
            told_ns = await self.call(host_agent.now_ns)
            pings.append(ClockSample(asked_ns, told_ns, monotonic_ns()))
        self.clock = estimate_offset(pings)

    def send(self, command: Command) -> None:
        """Has a command sent when those before it have been; instants are told by the host's own clock."""
        if command.kind == "start":
            command = Command("start", self.clock.to_remote(command.at_ns))
        self._commands.put_nowait(command)

    async def keep_alive(self, run: str, heard: Callable[[HostLink], None]) -> str:
        """Sends the commands and renews the lease, until that fails for good; returns why it did."""
        while True:
            command = Command("renew")
            try:
                async with asyncio.timeout(RENEW_S):
                    command = await self._commands.get()
            except TimeoutError:
                pass
            try:
                known = await self.call(host_agent.tell, run, command.kind, command.at_ns)
            except FAILURES as error:
                if command.kind != "renew":
                    # A second try might be the second time that it is heard.
                    return f"its host could not be told to {command.kind} ({type(error).__name__})"
                continue
            if not known and self.settled:
                return "its host had heard nothing of the driver for so long that it gave up"
            heard(self)
