"""What any fleet is to a run, wherever its workers are: it musters them, runs the plan once, and can be stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.common.errors import WorkerError
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.worker.ipc import Command, IntervalReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.metrics.recording import Host, Interval
    from ws_load_test.plan.plan import Plan

START_AFTER_NS = 50 * NS_PER_MS
"""Time for the word to reach every worker of this machine."""
START_AFTER_NS_PER_CONNECTION = 20_000
"""Time for a worker to look through its memory once before the load, which grows with its connections."""
_decoder = msgspec.json.Decoder(IntervalReport)


class Fleet(ABC):
    """Carries out one plan, once: `muster`, `run`, `disband`.

    How workers are started and spoken to is the business of those who derive from it; what their reports mean, and
    when the load begins and ends, is decided here.
    """

    def __init__(self, plan: Plan, on_interval: Callable[[Interval], None], interval_ns: int = NS_PER_S) -> None:
        self.plan = plan
        """What is run; `muster` settles its number of workers."""
        self.hosts: tuple[Host, ...] = ()
        """The machines that take part, once mustered, where this is not the only one."""
        self.interrupted = False
        self.coordinator = Coordinator(plan.workers, monotonic_ns())
        self._on_interval = on_interval
        self._interval_ns = interval_ns
        self._commanded = False
        self._no_sessions_left = False

    @abstractmethod
    async def prepare(self) -> None:
        """Finds out where workers go and whether they can carry the plan, before anything of it is begun.

        Raises:
            HostError: a machine cannot carry its part.
            UsageError: what the user gave does not lead to machines that can be used.
        """

    @abstractmethod
    async def run(self) -> None:
        """From the first worker's start to the last one's end.

        Raises:
            WorkerError: a worker wrote something that is not a report.
        """

    @abstractmethod
    async def shutdown(self) -> None:
        """Leaves nothing behind, whatever has happened; harmless at any time."""

    def stop(self) -> None:
        """Nothing more is sent; replies are waited for, sessions closed, and the run counts as interrupted."""
        self.interrupted = True
        self._broadcast(Command("stop"))

    @abstractmethod
    def kill(self) -> None:
        """Ends every worker at once; what they had not reported is gone."""

    @abstractmethod
    def _broadcast(self, command: Command) -> None:
        """Tells every worker, in the order in which this is called; returns at once."""

    def _on_report(self, worker: int, line: bytes, ahead_ns: int = 0) -> None:
        """Takes a worker's line in; `ahead_ns` is how far its machine's monotonic clock is before this one's.

        Raises:
            WorkerError: it is not a report.
        """
        try:
            report = _decoder.decode(line)
            if ahead_ns:
                from_ns, to_ns = report.from_ns - ahead_ns, report.to_ns - ahead_ns
                began_ns = report.began_ns and report.began_ns - ahead_ns
                report = msgspec.structs.replace(report, from_ns=from_ns, to_ns=to_ns, began_ns=began_ns)
            intervals = self.coordinator.report(worker, report)
        except (msgspec.DecodeError, ValueError) as error:
            raise WorkerError(f"worker {worker} wrote something that is not a report: {error}") from None
        self._publish(intervals)
        self._advance()

    def _on_worker_lost(self, worker: int, reason: str) -> None:
        """A worker is gone; its part of the load is not done by anybody."""
        self._publish(self.coordinator.lose(worker, reason, monotonic_ns()))
        self._advance()

    def _advance(self) -> None:
        """Begins the load when every worker is ready, and ends it when nobody is connected any more."""
        if self._commanded:
            if self.coordinator.no_sessions_left and not self.plan.may_reopen_sessions and not self._no_sessions_left:
                self._no_sessions_left = True
                self._broadcast(Command("stop"))
            return
        if not self.coordinator.ready:
            return
        self._commanded = True
        # Where connections follow a shape, the first is dialled when the load begins.
        worthwhile = self.coordinator.opened or self.plan.connection_profile is not None
        if worthwhile and not self.interrupted:
            connections = self.plan.connections_in(Shard(0, self.plan.workers))
            wait_ns = self._start_after_ns() + connections * START_AFTER_NS_PER_CONNECTION
            self._broadcast(Command("start", monotonic_ns() + wait_ns))
        else:
            self._broadcast(Command("stop"))

    def _start_after_ns(self) -> int:
        """How long it may take until every worker has heard when to start."""
        return START_AFTER_NS

    def _publish(self, intervals: Iterable[Interval]) -> None:
        for interval in intervals:
            self._on_interval(interval)


FleetFactory = Callable[["Plan", Callable[["Interval"], None], int], Fleet]
"""Makes the fleet for a plan: what it is told of the intervals, and how long these are in ns."""
