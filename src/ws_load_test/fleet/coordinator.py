"""State machine of a run's workers, without any I/O: their reports in, complete intervals and decisions out.

Every fleet, of this machine's processes or of other machines', feeds one coordinator: each report of its workers, and
each worker that was lost.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.metrics.catalog import PER_HOST_FIELDS
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import (
    PHASES,
    ClockReading,
    CommandRun,
    HostInterval,
    Interval,
    LostWorker,
    WorkerUsage,
)
from ws_load_test.metrics.session_events import in_run_slots
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.common.clock_model import ClockComparison
    from ws_load_test.fleet.published import FollowedPublishes
    from ws_load_test.metrics.fan_out_report import SlowSubscriber
    from ws_load_test.worker.ipc import IntervalReport

PhasePosition = tuple[int, int]
"""A phase's number and an interval's index in it: how far a worker is in its run."""
NOT_STARTED: PhasePosition = (-1, -1)
FINISHED: PhasePosition = (len(PHASES), 0)


@dataclass(slots=True)
class _HostPart:
    """One host's part of an interval while its reports come in."""

    tally: Tally = field(default_factory=Tally)
    from_ns: int = 2**63
    began_ns: list[int] = field(default_factory=list)
    """Instants at which its workers began the load; empty in all intervals but the first of the load."""


@dataclass(slots=True)
class _PartialInterval:
    """One interval while its reports come in."""

    tally: Tally = field(default_factory=Tally)
    from_ns: int = 2**63
    to_ns: int = 0
    workers: list[WorkerUsage] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    hosts: dict[int, _HostPart] = field(default_factory=lambda: defaultdict(_HostPart))

    def add(self, report: IntervalReport, tally: Tally) -> None:
        """Adds one worker's report, whose tally has been decoded."""
        self.tally.merge(tally)
        self.from_ns = min(self.from_ns, report.from_ns)
        self.to_ns = max(self.to_ns, report.to_ns)
        self.workers.append(report.usage)
        for key, text in report.examples.items():
            self.examples.setdefault(key, text)

    def add_to_host(self, host: int, report: IntervalReport, tally: Tally) -> None:
        """Adds the same report to the host's own part."""
        part = self.hosts[host]
        part.tally.merge(tally.subset(PER_HOST_FIELDS))
        part.from_ns = min(part.from_ns, report.from_ns)
        if report.began_ns:
            part.began_ns.append(report.began_ns)


class Coordinator:
    """Follows the workers of one run."""

    def __init__(
        self, workers: int, started_ns: int, hosts: Sequence[int] = (), followed: FollowedPublishes | None = None
    ) -> None:
        """Takes the monotonic instant from which the recording counts, and the host number of each worker.

        Without host numbers all workers are on one machine, and intervals have no parts by host. `followed` puts
        together what the workers of a fan-out report of single publishes.
        """
        self.started_ns = started_ns
        self._followed = followed
        self._hosts = hosts
        self._unpublished_losses: list[LostWorker] = []
        """Lost workers that no interval has named yet."""
        self._unpublished_commands: list[CommandRun] = []
        """Commands that began or ended, which no interval has named yet."""
        self._unpublished_clocks: list[ClockReading] = []
        """Comparisons of clocks that no interval has yet."""
        self._start_offsets_ns: dict[int, int] = {}
        """Offset of each host's clock by which it was given the start of the load."""
        self.lost: list[LostWorker] = []
        self.opened = 0
        """Sessions that have opened so far."""
        self._open: Counter[int] = Counter()
        """Open sessions of each worker."""
        self._positions: dict[int, PhasePosition] = dict.fromkeys(range(workers), NOT_STARTED)
        self._unready = set(range(workers))
        self._partial: dict[PhasePosition, _PartialInterval] = defaultdict(_PartialInterval)
        self._measured_ns: Counter[int] = Counter()
        """Time that each worker has measured so far."""

    @property
    def ready(self) -> bool:
        """True once every worker that is alive has opened what it could."""
        return not self._unready

    @property
    def finished(self) -> bool:
        """True once every worker has sent its last report or is lost."""
        return all(position == FINISHED for position in self._positions.values())

    def is_done(self, worker: int) -> bool:
        """Returns True once a worker has sent its last report or is lost."""
        return self._positions[worker] == FINISHED

    def report(self, worker: int, report: IntervalReport, clock_offset_ns: int = 0) -> list[IntervalEvent]:
        """Adds a worker's report; returns the intervals that it completes.

        Args:
            worker: Number of the worker.
            report: Its report, whose instants are those of this machine's clock.
            clock_offset_ns: Time by which the clock of the worker's machine, to which session events refer, is ahead.

        Raises:
            ValueError: The report holds no valid tally.
        """
        position = (PHASES.index(report.phase), report.index)
        tally = Tally.from_wire(report.tally)
        if tally.session_events:
            tally.session_events = in_run_slots(tally.session_events, self.started_ns + clock_offset_ns)
        partial = self._partial[position]
        partial.add(report, tally)
        if self._hosts:
            partial.add_to_host(self._hosts[worker], report, tally)
        if self._followed is not None:
            self._followed.add(report.followed)
            self._followed.add_slowest(report.slowest)
        self.opened += tally.opened
        self._open[worker] += tally.opened - tally.ended
        if report.ready:
            self._unready.discard(worker)
        self._positions[worker] = FINISHED if report.done else position
        return list(self._complete())

    def lose(self, worker: int, reason: str, at_ns: int) -> list[IntervalEvent]:
        """Records the loss of a worker; returns the intervals that only waited for it."""
        if self.is_done(worker):
            return []
        self.lost.append(LostWorker(worker, reason, at_ns - self.started_ns, self._open.pop(worker, 0)))
        self._unpublished_losses.append(self.lost[-1])
        self._unready.discard(worker)
        self._positions[worker] = FINISHED
        return list(self._complete())

    def on_command(self, run: CommandRun) -> None:
        """Records that a command began or ended."""
        self._unpublished_commands.append(run)

    def add_clock(self, host: int, comparison: ClockComparison) -> None:
        """Records a comparison of a host's clock with ours; the next interval carries it."""
        at_ns = comparison.at_ns - self.started_ns
        self._unpublished_clocks.append(ClockReading(host, at_ns, *comparison.offset))

    def add_start(self, host: int, offset_ns: int) -> None:
        """Records the offset of a host's clock by which it was given the start of the load."""
        self._start_offsets_ns[host] = offset_ns

    def on_worker_stopped(self, worker: int) -> None:
        """Records that a worker was ended by the fleet, without a last report; it does not count as lost."""
        self._unready.discard(worker)
        self._positions[worker] = FINISHED

    def _complete(self) -> Iterator[IntervalEvent]:
        """Yields the intervals that every worker has passed, in order."""
        passed = min(self._positions.values())
        for position in sorted(position for position in self._partial if position <= passed):
            partial = self._partial.pop(position)
            slowest: tuple[SlowSubscriber, ...] = ()
            if self._followed is not None:
                is_last = self.finished and not self._partial
                self._followed.count_into(partial.tally, final=is_last)
                slowest = self._followed.slowest if is_last else ()
            phase = PHASES[position[0]]
            lost, self._unpublished_losses = self._unpublished_losses, []
            commands, self._unpublished_commands = self._unpublished_commands, []
            clocks, self._unpublished_clocks = self._unpublished_clocks, []
            hosts = sorted(partial.hosts.items())
            interval = Interval.of(
                partial.tally,
                index=position[1],
                phase=phase,
                from_ns=partial.from_ns - self.started_ns,
                to_ns=partial.to_ns - self.started_ns,
                measured_ns=self._add_measured_ns(partial.workers) if phase == "measured" else 0,
                workers=sorted(partial.workers, key=lambda usage: usage.worker),
                fault_examples=partial.examples,
                hosts=[self._host_interval(host, part) for host, part in hosts],
                lost_workers=lost,
                commands=commands,
                clocks=clocks,
                slowest=slowest,
            )
            # Nothing here refers to these tallies any more, so consumers may keep them.
            yield IntervalEvent(interval, partial.tally, tuple(part.tally for _, part in hosts))

    def _host_interval(self, host: int, part: _HostPart) -> HostInterval:
        began_ns = [at_ns - self.started_ns for at_ns in part.began_ns]
        return HostInterval(
            host=host,
            from_ns=part.from_ns - self.started_ns,
            record=part.tally.to_record(),
            began_ns=(min(began_ns), max(began_ns)) if began_ns else msgspec.UNSET,
            start_offset_ns=self._start_offsets_ns.get(host, msgspec.UNSET) if began_ns else msgspec.UNSET,
        )

    def _add_measured_ns(self, usages: list[WorkerUsage]) -> int:
        """Returns how much an interval adds to the run's measured time: that of the worker that measured longest.

        Intervals of several workers never end at quite the same instant, so the sum of each one's longest would be
        too much.
        """
        before_ns = max(self._measured_ns.values(), default=0)
        for usage in usages:
            self._measured_ns[usage.worker] += usage.wall_ns
        return max(self._measured_ns.values()) - before_ns
