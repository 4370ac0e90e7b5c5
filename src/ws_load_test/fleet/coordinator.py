"""What a fleet knows and decides, without doing anything: reports in, intervals and commands out.

Every fleet, of this machine's processes or of other machines', feeds one conductor: what its workers report, and
which of them died.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.metrics.catalog import PER_HOST_FIELDS
from ws_load_test.metrics.recording import (
    HostInterval,
    Interval,
    LostWorker,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.worker.ipc import PHASES, IntervalReport, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PhasePosition = tuple[int, int]
"""A phase's number and an interval's index in it: where a worker is in its run."""
NOT_STARTED: PhasePosition = (-1, -1)
FINISHED: PhasePosition = (len(PHASES), 0)


@dataclass(slots=True)
class _HostPart:
    """One machine's part of an interval while its reports come in."""

    tally: Tally = field(default_factory=Tally)
    from_ns: int = 2**63
    began_ns: list[int] = field(default_factory=list)
    """When its workers began the load, if this is when they tell."""


@dataclass(slots=True)
class _PartialInterval:
    """One interval while its reports come in."""

    tally: Tally = field(default_factory=Tally)
    from_ns: int = 2**63
    to_ns: int = 0
    workers: list[WorkerUsage] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    parts: dict[int, _HostPart] = field(default_factory=lambda: defaultdict(_HostPart))


class Coordinator:
    """Follows the workers of one run."""

    def __init__(self, workers: int, started_ns: int, hosts: Sequence[int] = ()) -> None:
        """Takes the monotonic instant from which the recording counts, and of each worker the number of its machine.

        Without numbers all are on one machine, and nobody asks which.
        """
        self.started_ns = started_ns
        self._hosts = hosts
        self._untold: list[LostWorker] = []
        """Lost workers that no interval has told of yet."""
        self.lost: list[LostWorker] = []
        self.opened = 0
        """Sessions that have opened so far."""
        self._open: Counter[int] = Counter()
        """Sessions of each worker that are open."""
        self._places: dict[int, PhasePosition] = dict.fromkeys(range(workers), NOT_STARTED)
        self._unready = set(range(workers))
        self._gathering: dict[PhasePosition, _PartialInterval] = defaultdict(_PartialInterval)
        self._measured_ns: Counter[int] = Counter()
        """How long each worker has measured so far."""

    @property
    def ready(self) -> bool:
        """Whether every worker that lives has opened what it could."""
        return not self._unready

    @property
    def no_sessions_left(self) -> bool:
        """Whether sessions have opened, and none is open any more."""
        return self.opened > 0 and not any(self._open.values())

    @property
    def finished(self) -> bool:
        """Whether every worker has said its last word, or is lost."""
        return all(place == FINISHED for place in self._places.values())

    def is_done(self, worker: int) -> bool:
        """Whether a worker has said its last word."""
        return self._places[worker] == FINISHED

    def report(self, worker: int, report: IntervalReport) -> list[Interval]:
        """Takes a worker's report in; returns the intervals that are complete by it."""
        place = (PHASES.index(report.phase), report.index)
        gathering = self._gathering[place]
        tally = Tally.from_wire(report.tally)
        gathering.tally.merge(tally)
        gathering.from_ns = min(gathering.from_ns, report.from_ns)
        gathering.to_ns = max(gathering.to_ns, report.to_ns)
        length_ns = report.to_ns - report.from_ns
        gathering.workers.append(
            WorkerUsage(
                worker, report.lap.cpu_ns, length_ns, report.lap.run_delay_ns, report.lap.throttled_ns, report.lap.gc_ns
            )
        )
        for key, text in report.examples.items():
            gathering.examples.setdefault(key, text)
        if self._hosts:
            part = gathering.parts[self._hosts[worker]]
            part.tally.merge(tally.subset(PER_HOST_FIELDS))
            part.from_ns = min(part.from_ns, report.from_ns)
            if report.began_ns:
                part.began_ns.append(report.began_ns)
        self.opened += tally.opened
        self._open[worker] += tally.opened - tally.ended
        if report.ready:
            self._unready.discard(worker)
        self._places[worker] = FINISHED if report.done else place
        return list(self._complete())

    def lose(self, worker: int, reason: str, at_ns: int) -> list[Interval]:
        """A worker has died; returns the intervals that waited for it alone."""
        if self.is_done(worker):
            return []
        self.lost.append(LostWorker(worker, reason, at_ns - self.started_ns, self._open.pop(worker, 0)))
        self._untold.append(self.lost[-1])
        self._unready.discard(worker)
        self._places[worker] = FINISHED
        return list(self._complete())

    def on_worker_stopped(self, worker: int) -> None:
        """A worker has ended because it was told to, without a last word."""
        self._unready.discard(worker)
        self._places[worker] = FINISHED

    def _complete(self) -> Iterator[Interval]:
        """The intervals that every worker has passed, in order."""
        passed = min(self._places.values())
        for place in sorted(place for place in self._gathering if place <= passed):
            gathering = self._gathering.pop(place)
            phase: Phase = PHASES[place[0]]
            lost, self._untold = self._untold, []
            yield Interval.of(
                gathering.tally,
                index=place[1],
                phase=phase,
                from_ns=gathering.from_ns - self.started_ns,
                to_ns=gathering.to_ns - self.started_ns,
                measured_ns=self._measure(gathering.workers) if phase == "measured" else 0,
                workers=sorted(gathering.workers, key=lambda load: load.worker),
                fault_examples=gathering.examples,
                hosts=[self._part(host, part) for host, part in sorted(gathering.parts.items())],
                lost_workers=lost,
            )

    def _part(self, host: int, part: _HostPart) -> HostInterval:
        began_ns = [at_ns - self.started_ns for at_ns in part.began_ns]
        return HostInterval(
            host=host,
            from_ns=part.from_ns - self.started_ns,
            record=part.tally.to_record(),
            began_ns=(min(began_ns), max(began_ns)) if began_ns else msgspec.UNSET,
        )

    def _measure(self, loads: list[WorkerUsage]) -> int:
        """What an interval adds to the run's measured time, which is that of the worker that has measured longest.

        Intervals of several workers never have quite the same ends, so the longest of each would add up to too much.
        """
        before = max(self._measured_ns.values(), default=0)
        for load in loads:
            self._measured_ns[load.worker] += load.wall_ns
        return max(self._measured_ns.values()) - before
