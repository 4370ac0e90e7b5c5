"""Recordings read once: their intervals added up, and what each second of the measured time was like.

Decoding an interval's histograms takes about a millisecond, so the summary, the judgement of the generator and the
report share one pass. A run takes its intervals in as they end, and has nothing left to decode at its own end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.metrics.recording import Recording
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.metrics.recording import (
        Host,
        HostInterval,
        Interval,
        LostWorker,
        WorkerUsage,
    )


@dataclass(frozen=True, slots=True)
class IntervalStats:
    """One interval of the measured time without its histograms; a percentile of nothing is None."""

    from_ns: int
    """Its start, from the start of the run."""
    to_ns: int
    answered: int
    """Replies read in it."""
    faults: int
    response_p50_ns: int | None
    response_p90_ns: int | None
    response_p99_ns: int | None
    send_lag_p50_ns: int | None
    send_lag_p99_ns: int | None
    loop_lag_p90_ns: int | None
    workers: tuple[WorkerUsage, ...]
    sent: int = 0
    """Messages that left in it."""
    pushed: int = 0

    @property
    def length_ns(self) -> int:
        """How long it was."""
        return self.to_ns - self.from_ns


@dataclass(frozen=True, slots=True)
class ConnectInterval:
    """One interval of any phase in which sessions opened."""

    from_ns: int
    """Its start, from the start of the run."""
    to_ns: int
    opened: int
    connect_p50_ns: int | None
    connect_p99_ns: int | None


@dataclass(slots=True)
class RunAggregator:
    """What the intervals of one recording come to."""

    hosts: tuple[Host, ...] = ()
    """The machines of the header, of a run on several."""
    tally: Tally = field(default_factory=Tally)
    stretches: list[IntervalStats] = field(default_factory=list)
    openings: list[ConnectInterval] = field(default_factory=list)
    storm_connect_ns: int | None = None
    """The slowest dial of the intervals in which sessions came back from a storm."""
    parts: dict[int, RunAggregator] = field(default_factory=dict)
    """What each machine had of them, by its place among the hosts."""
    began_ns: tuple[int, int] | None = None
    """Of a part: when the first and the last of the machine's workers began the load."""

    def add_interval(self, interval: Interval) -> Tally:
        """Adds an interval; returns its tally, which need not be decoded again.

        Raises:
            ValueError: It cannot be read.
        """
        tally = interval.tally
        self.tally.merge(tally)
        self._note_opening(interval, tally)
        for part in interval.hosts or ():
            self._take_part(interval, part)
        if interval.phase != "measured":
            return tally
        response = tally.response_time_ns.percentiles((50, 90, 99))
        send_lag = tally.send_lag_ns.percentiles((50, 99))
        self.stretches.append(
            IntervalStats(
                from_ns=interval.from_ns,
                to_ns=interval.to_ns,
                answered=tally.answered_in_window,
                faults=tally.faults.total(),
                response_p50_ns=response[0],
                response_p90_ns=response[1],
                response_p99_ns=response[2],
                send_lag_p50_ns=send_lag[0],
                send_lag_p99_ns=send_lag[1],
                loop_lag_p90_ns=tally.loop_lag_ns.percentile(90),
                workers=interval.workers,
                sent=tally.sent,
                pushed=tally.pushed,
            )
        )
        return tally

    def _take_part(self, interval: Interval, part: HostInterval) -> None:
        """Adds to a machine what it had of an interval, as if that were all."""
        if part.host >= len(self.hosts):
            raise ValueError(f"there is no host {part.host}")
        host, mine = self.hosts[part.host], self.parts.setdefault(part.host, RunAggregator())
        numbers = range(host.first_worker, host.first_worker + host.workers)
        if (began_ns := part.began_ns) is not msgspec.UNSET:
            first_ns, last_ns = mine.began_ns or began_ns
            mine.began_ns = min(first_ns, began_ns[0]), max(last_ns, began_ns[1])
        mine.add_interval(
            msgspec.structs.replace(
                interval,
                from_ns=part.from_ns,
                encoded_tally=part.record,
                workers=tuple(load for load in interval.workers if load.worker in numbers),
                hosts=msgspec.UNSET,
            )
        )

    def _note_opening(self, interval: Interval, tally: Tally) -> None:
        connect = tally.connect_time_ns
        if tally.opened:
            middle, late = connect.percentiles((50, 99))
            self.openings.append(ConnectInterval(interval.from_ns, interval.to_ns, tally.opened, middle, late))
        if tally.storm_recovery_time_ns.count:
            self.storm_connect_ns = max_known(self.storm_connect_ns, connect.max)


@dataclass(frozen=True, slots=True)
class HostAggregate:
    """What one machine had of a run on several."""

    host: Host
    recording: Recording
    """The run's, with a header as if this machine had been alone, and without intervals."""
    digest: Aggregate
    """Of what is recorded for each machine, which is not everything."""
    began_ns: tuple[int, int] | None
    """When the first and the last of its workers began the load, from the start of the run."""
    lost_workers: tuple[LostWorker, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Several recordings taken together."""

    tally: Tally
    """Everything, and no message forgotten."""
    recordings: tuple[tuple[IntervalStats, ...], ...]
    """The measured time of each recording."""
    openings: tuple[tuple[ConnectInterval, ...], ...] = ()
    """Of each recording: when sessions opened."""
    storm_connect_ns: int | None = None
    """The slowest dial of the intervals in which sessions came back from a storm."""
    hosts: tuple[HostAggregate, ...] = ()
    """Of all recordings of runs on several machines."""

    def worker_loads(self) -> list[list[WorkerUsage]]:
        """The measured intervals of each worker that measured at all, by recording and number."""
        workers: dict[tuple[int, int], list[WorkerUsage]] = {}
        for number, stretches in enumerate(self.recordings):
            for stretch in stretches:
                for load in stretch.workers:
                    workers.setdefault((number, load.worker), []).append(load)
        return [loads for _, loads in sorted(workers.items()) if any(load.wall_ns for load in loads)]

    def cpu_shares(self) -> list[float]:
        """The share of a core that each worker used while it was measured, by recording and number."""
        return [
            sum(load.cpu_ns for load in loads) / sum(load.wall_ns for load in loads) for loads in self.worker_loads()
        ]


def aggregate(recordings: Sequence[Recording], gathered: Iterable[RunAggregator] | None = None) -> Aggregate:
    """Returns the digest of recordings; `gathered` are their gatherings, where there are any already.

    Raises:
        ValueError: A tally cannot be read.
    """
    total = Tally()
    parts, openings, storm_connect_ns = [], [], None
    hosts: list[HostAggregate] = []
    if gathered is None:
        gathered = map(_gather, recordings)
    for recording, gathering in zip(recordings, gathered, strict=True):
        total.merge(_completed(gathering.tally))
        parts.append(tuple(gathering.stretches))
        openings.append(tuple(gathering.openings))
        hosts += _of_hosts(recording, gathering)
        storm_connect_ns = max_known(storm_connect_ns, gathering.storm_connect_ns)
    return Aggregate(total, tuple(parts), tuple(openings), storm_connect_ns, tuple(hosts))


def lost_workers(recording: Recording) -> tuple[LostWorker, ...]:
    """Returns all whose loss is known; of a run that was killed, those that its intervals tell of."""
    if recording.trailer is not None:
        return recording.trailer.lost_workers
    return tuple(lost for interval in recording.intervals for lost in interval.lost_workers or ())


def max_known(*times_ns: int | None) -> int | None:
    """Returns the longest of times of which some may be unknown; None where all are."""
    return max((time_ns for time_ns in times_ns if time_ns is not None), default=None)


def load_of(recording: Recording) -> dict[str, Any]:
    """Returns the load that was asked for; nothing where another version wrote something else there."""
    load = recording.header.plan.get("load")
    return load if isinstance(load, dict) else {}


def _of_hosts(recording: Recording, gathering: RunAggregator) -> list[HostAggregate]:
    """Returns what each machine had, those included that had nothing."""
    found, lost = [], lost_workers(recording)
    for place, host in enumerate(recording.header.hosts or ()):
        mine = gathering.parts.get(place, RunAggregator())
        header = msgspec.structs.replace(recording.header, host=host.facts, workers=host.workers, hosts=msgspec.UNSET)
        alone = Recording(header, ())
        numbers = range(host.first_worker, host.first_worker + host.workers)
        found.append(
            HostAggregate(
                host=host,
                recording=alone,
                digest=Aggregate(_completed(mine.tally), (tuple(mine.stretches),)),
                began_ns=mine.began_ns,
                lost_workers=tuple(one for one in lost if one.worker in numbers),
            )
        )
    return found


def _gather(recording: Recording) -> RunAggregator:
    gathering = RunAggregator(recording.header.hosts or ())
    for interval in recording.intervals:
        gathering.add_interval(interval)
    return gathering


def _completed(tally: Tally) -> Tally:
    """Returns a run's tally with the messages of killed workers accounted for, and with both times of all others."""
    total = Tally()
    total.merge(tally)
    total.complete_run()
    total.separate_times()
    return total
