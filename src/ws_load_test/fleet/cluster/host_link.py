"""A driver's connection with one host of a cluster: calls to it, and the commands of a run in their order."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.clock_model import WINDOW_NS, ClockComparison, ClockDrift, ClockModel, ClockOffset
from ws_load_test.fleet.cluster import host_agent
from ws_load_test.fleet.cluster.clock_offset import FIRST_SAMPLES, ClockSample, compare_clocks
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

LEASE_NS = 5 * NS_PER_S
"""Time after which workers without a word from their driver end; five renewals may be lost."""
RENEW_S = 1.0
"""Interval of renewing the lease."""
CALL_TIMEOUT_S = 2.5
"""Longest wait for a short call: less than the silence that makes a host lost."""
PROBE_TIMEOUT_S = 10.0
"""Longest wait for the first call to a host, which imports this package there."""
FAILURES = (OSError, TimeoutError, ValueError, KeyError)
"""Exceptions of a call whose host cannot be reached: Dask's own, one for almost each reason, are all of these kinds.
A KeyError is a host that the scheduler does not know any more."""


class ClusterHost:
    """One host of a cluster, for as long as this program is its driver: its address, its machine, and its clock."""

    def __init__(self, client: Client, address: str) -> None:
        self.address = address
        self.name = ""
        self.machine = ""
        self.facts: dict[str, Any] = {}
        self.cores = 1
        self.comparisons: list[ClockComparison] = []
        """Latest comparisons of its clock with ours, as far back as they say something of the next one."""
        self._compared_ns = 0
        """Instant of the latest of them, at which the offset and the drift are these."""
        self._offset = ClockOffset(0, 0)
        self._drift = ClockDrift(0.0, 0.0)
        self.shipments: set[str] = set()
        """Shipments of files that it has; see `shipped_files.shipment_name`."""
        self._client = client

    async def call(self, function: Callable[..., Any], *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Calls a function of `host_agent` on the host, once.

        Raises:
            OSError, TimeoutError, ValueError, KeyError: The host cannot be reached, or does not answer in time.
        """
        async with asyncio.timeout(timeout_s):
            results = await self._client.run(function, *arguments, workers=[self.address])
        return results[self.address]

    async def probe(self) -> None:
        """Fetches the facts of the machine.

        Raises:
            OSError, TimeoutError, ValueError, KeyError: See `call`.
        """
        info = await self.call(host_agent.machine_info, timeout_s=PROBE_TIMEOUT_S)
        self.name, self.machine, self.facts = info["name"], info["machine"], info["facts"]

    async def compare_clocks(self, samples: int = FIRST_SAMPLES) -> ClockComparison:
        """Compares the host's monotonic clock with ours.

        Raises:
            OSError, TimeoutError, ValueError, KeyError: See `call`.
        """
        taken = []
        for _ in range(samples):
            asked_ns = monotonic_ns()
            remote_ns = await self.call(host_agent.now_ns)
            taken.append(ClockSample(asked_ns, remote_ns, monotonic_ns()))
        found = compare_clocks(taken)
        self.comparisons = [one for one in self.comparisons if found.at_ns - one.at_ns <= WINDOW_NS]
        self.comparisons.append(found)
        model = ClockModel(self.comparisons)
        self._compared_ns = found.at_ns
        self._offset, self._drift = model.offset_at(found.at_ns), model.drift_at(found.at_ns)
        return found

    @property
    def clock(self) -> ClockOffset:
        """Offset of its clock now, by all comparisons so far."""
        passed_ns = monotonic_ns() - self._compared_ns
        offset_ns = self._offset.offset_ns + round(self._drift.rate * passed_ns)
        return ClockOffset(offset_ns, self._offset.error_ns + math.ceil(self._drift.error * passed_ns))


class HostLink:
    """One host's part in one run: which workers it has, and the commands for them in their order."""

    def __init__(self, host: ClusterHost, number: int, workers: range) -> None:
        """Takes the host, its index among the hosts of the run, and the numbers of its workers."""
        self.host = host
        self.number = number
        self.workers = workers
        self.prepared = False
        """True once it has accepted its assignment."""
        self.gone = False
        """True once the host is lost, and nothing more is expected of it."""
        self.events = 0
        """Number of its events that have arrived."""
        self.start_offset_ns: int | None = None
        """Offset of its clock by which it was given the start of the load; None before that."""
        self._commands: asyncio.Queue[Command] = asyncio.Queue()

    def send(self, command: Command) -> None:
        """Queues a command behind those before it; its instant is converted to the host's own clock."""
        if command.at_ns:
            clock = self.host.clock
            if command.kind == "start":
                self.start_offset_ns = clock.offset_ns
            command = msgspec.structs.replace(command, at_ns=clock.to_remote(command.at_ns))
        self._commands.put_nowait(command)

    async def keep_alive(self, run: str, on_reply: Callable[[HostLink], None]) -> str:
        """Sends the commands and renews the lease, until that fails for good; returns why it did."""
        while True:
            command = Command("renew")
            try:
                async with asyncio.timeout(RENEW_S):
                    command = await self._commands.get()
            except TimeoutError:
                pass
            try:
                known = await self.host.call(host_agent.send, run, msgspec.json.encode(command))
            except FAILURES as error:
                if command.kind != "renew":
                    # The call may have arrived, and a command must not arrive twice.
                    return f"the command {command.kind} could not be sent to its host ({type(error).__name__})"
                continue
            if not known and self.prepared:
                return "its host had heard nothing of the driver for so long that it gave up"
            on_reply(self)
