"""Base class of every fleet, wherever its workers are: prepares, runs a plan once, and can be stopped."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.common.errors import WorkerError
from ws_load_test.common.sharding import largest_size
from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.fleet.load_balancer import LEAD_NS, LoadBalancer
from ws_load_test.fleet.published import FollowedPublishes, PublishedCounts
from ws_load_test.messages.marker import new_tag
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
from ws_load_test.worker.ipc import Command, Published, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.metrics.recording import Host
    from ws_load_test.plan.plan import Plan

START_AFTER_NS = 50 * NS_PER_MS
"""Time for the start command to reach every worker of this machine."""
START_AFTER_NS_PER_CONNECTION = 20_000
"""Time for a worker's last full garbage collection before the load, which grows with its connections."""
_decoder: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class Fleet(ABC):
    """Carries out one plan, once: `prepare`, `run`, `shutdown`.

    Subclasses decide how workers are started and reached; what their reports mean, and when the load begins and ends,
    is decided here.
    """

    def __init__(self, plan: Plan, on_interval: Callable[[IntervalEvent], None], interval_ns: int = NS_PER_S) -> None:
        """Takes what is called with each complete interval, in the thread of the fleet, and their length."""
        self.plan = plan
        """The plan that is run; `prepare` settles its number of workers."""
        self.hosts: tuple[Host, ...] = ()
        """The hosts of the run once prepared; empty when all workers are on this machine."""
        self.interrupted = False
        self.on_load_start: Callable[[int], None] | None = None
        """Called with the monotonic instant at which the load will begin; None: nothing waits for it."""
        self.tag = new_tag().decode()
        """Tag of the markers of the run, where it has a fan-out."""
        self._published: PublishedCounts
        self.coordinator = self._new_coordinator(plan.workers)
        self._on_interval = on_interval
        self._interval_ns = interval_ns
        self._started = False
        """True once the workers have received the command to start, or to stop instead."""
        self._balancer: LoadBalancer | None = None
        self._next_check: asyncio.TimerHandle | None = None

    def _new_coordinator(self, workers: int, hosts: Sequence[int] = ()) -> Coordinator:
        """Returns a coordinator of the plan's workers, on these hosts if there are several."""
        fan_out, timeout_ns = self.plan.fan_out, self.plan.timeout_ns
        self._published = PublishedCounts(workers)
        followed = None if fan_out is None else FollowedPublishes(fan_out, timeout_ns)
        return Coordinator(workers, monotonic_ns(), hosts, followed)

    @abstractmethod
    async def prepare(self) -> None:
        """Finds out where workers go and checks that they can carry the plan, before any of it is begun.

        Raises:
            HostError: A machine cannot carry its part.
            UsageError: The options do not lead to machines that can be used.
        """

    @abstractmethod
    async def run(self) -> None:
        """Runs the plan, from the start of the first worker to the end of the last one.

        Raises:
            WorkerError: A worker wrote something that is not a report.
        """

    @abstractmethod
    async def shutdown(self) -> None:
        """Ends every process that is left; harmless at any time, and when called again."""

    def stop(self) -> None:
        """Has workers send nothing more, wait for replies and close; the run counts as interrupted."""
        self.interrupted = True
        self._broadcast(Command("stop"))

    @abstractmethod
    def kill(self) -> None:
        """Ends every worker at once; what they have not reported is lost, and the run counts as interrupted."""

    @abstractmethod
    def _broadcast(self, command: Command) -> None:
        """Sends a command to every worker, in the order of the calls; returns at once. For subclasses to define."""

    def _on_report(self, worker: int, line: bytes, clock_offset_ns: int = 0) -> None:
        """Adds a worker's line to the run. For subclasses: to be called with each line of a worker's stdout.

        Args:
            worker: The worker's number.
            line: What it wrote.
            clock_offset_ns: How far the monotonic clock of its machine is ahead of this one's.

        Raises:
            WorkerError: The line is not a report.
        """
        try:
            report = _decoder.decode(line)
            if isinstance(report, LoadState):
                self._on_load_state(worker, report)
                return
            if isinstance(report, Published):
                self._published.add(worker, report.counts)
                self._announce_published()
                return
            if clock_offset_ns:
                from_ns, to_ns = report.from_ns - clock_offset_ns, report.to_ns - clock_offset_ns
                began_ns = report.began_ns and report.began_ns - clock_offset_ns
                report = msgspec.structs.replace(report, from_ns=from_ns, to_ns=to_ns, began_ns=began_ns)
            events = self.coordinator.report(worker, report, clock_offset_ns)
        except (msgspec.DecodeError, ValueError) as error:
            raise WorkerError(f"worker {worker} wrote something that is not a report: {error}") from None
        self._publish(events)
        if self._balancer is not None and report.done:
            self._broadcast_all(self._balancer.on_gone(worker, monotonic_ns(), lost=False))
        self._advance()

    def _announce_published(self) -> None:
        """Sends each worker how much all publishers have sent, once it is known."""
        counts = self._published.take()
        if counts is not None:
            self._broadcast(Command("published", published=counts))

    def _on_load_state(self, worker: int, state: LoadState) -> None:
        """Shares the load anew where a worker's sessions demand it."""
        balancer = self._load_balancer()
        if balancer is not None:
            self._broadcast_all(balancer.on_state(worker, state, monotonic_ns()))

    def _load_balancer(self) -> LoadBalancer | None:
        """Returns what shares the load among the workers; None where each has a load of its own."""
        if self._balancer is None and LoadBalancer.is_needed(self.plan):
            self._balancer = LoadBalancer(self.plan, LEAD_NS + 2 * self._start_after_ns())
        return self._balancer

    def _check_load(self) -> None:
        self._next_check = None
        if self._balancer is not None:
            self._broadcast_all(self._balancer.check(monotonic_ns()))

    def _broadcast_all(self, commands: Iterable[Command]) -> None:
        """Sends the commands of the balancer, and has it check again when it wants to."""
        for command in commands:
            self._broadcast(command)
        if self._next_check is not None:
            self._next_check.cancel()
            self._next_check = None
        check_ns = None if self._balancer is None else self._balancer.check_ns
        if check_ns is not None:
            delay_s = max(0, check_ns - monotonic_ns()) / NS_PER_S
            self._next_check = asyncio.get_running_loop().call_later(delay_s, self._check_load)

    def _on_worker_lost(self, worker: int, reason: str) -> None:
        """Records that a worker is gone; its part of the load is not given to others. For subclasses to call."""
        self._publish(self.coordinator.lose(worker, reason, monotonic_ns()))
        self._published.lose(worker)
        self._announce_published()
        balancer = self._load_balancer()
        if balancer is not None:
            self._broadcast_all(balancer.on_gone(worker, monotonic_ns(), lost=True))
        self._advance()

    def _advance(self) -> None:
        """Starts the load once every worker is ready.

        For subclasses: to be called when a worker's state has changed in another way than by `_on_report` or
        `_on_worker_lost`.
        """
        if self._started:
            return
        if not self.coordinator.ready:
            return
        self._started = True
        # Where the number of connections follows a profile, or all arrive, the first is dialed when the load begins.
        has_load = self.coordinator.opened or self.plan.dials_under_load
        if has_load and not self.interrupted:
            connections = largest_size(self.plan.connections, self.plan.workers)
            wait_ns = self._start_after_ns() + connections * START_AFTER_NS_PER_CONNECTION
            switch = LoadSwitch() if self._balancer is None else self._balancer.start()
            start_ns = monotonic_ns() + wait_ns
            self._broadcast(Command("start", start_ns, switch=switch))
            if self.on_load_start is not None:
                self.on_load_start(start_ns)
            if self._balancer is not None:
                self._broadcast_all(self._balancer.check(monotonic_ns()))
        else:
            self._broadcast(Command("stop"))

    def _start_after_ns(self) -> int:
        """Returns how long the start command may take to every worker. For subclasses to override."""
        return START_AFTER_NS

    def _publish(self, events: Iterable[IntervalEvent]) -> None:
        for event in events:
            self._on_interval(event)


FleetFactory = Callable[["Plan", Callable[[IntervalEvent], None], int], Fleet]
"""Makes the fleet of a plan from the plan, the consumer of its intervals, and their length in ns."""
