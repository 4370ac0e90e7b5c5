"""Aggregation of recordings: the sum of their intervals, and statistics of each measured interval.

Decoding an interval's histograms takes about a millisecond, so the summary, the diagnosis of the generator and the
report share one pass. A run aggregates its intervals as they end, so that nothing is left to decode at its own end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.nodes import NodeTracker, skew_of
from ws_load_test.analysis.waves import WaveTracker
from ws_load_test.analysis.whole_run import WholeRun
from ws_load_test.common.clock_model import ClockComparison, ClockModel
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.metric_set import rows_of
from ws_load_test.metrics.recording import Recording
from ws_load_test.metrics.tally import PARTS, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ws_load_test.analysis.waves import Wave
    from ws_load_test.metrics.metric_set import MetricSet
    from ws_load_test.metrics.recording import (
        CommandRun,
        Host,
        HostInterval,
        Interval,
        LostWorker,
        WorkerUsage,
    )


@dataclass(frozen=True, slots=True)
class IntervalStats:
    """Statistics of one measured interval; a percentile without values is None."""

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
    """Messages sent in it."""
    pushed: int = 0
    delivered: int = 0
    """Timed deliveries of a fan-out read in it."""

    @property
    def length_ns(self) -> int:
        """Duration in ns."""
        return self.to_ns - self.from_ns


@dataclass(frozen=True, slots=True)
class ConnectInterval:
    """Connect times of one interval, of any phase, in which sessions opened."""

    from_ns: int
    """Its start, from the start of the run."""
    to_ns: int
    opened: int
    connect_p50_ns: int | None
    connect_p99_ns: int | None


@dataclass(slots=True)
class RunAggregator:
    """Adds up the intervals of one recording."""

    hosts: tuple[Host, ...] = ()
    """Machines of the header, for a run on several."""
    tally: Tally = field(default_factory=Tally)
    intervals: list[IntervalStats] = field(default_factory=list)
    connect_intervals: list[ConnectInterval] = field(default_factory=list)
    storm_connect_ns: int | None = None
    """Longest connect time of the intervals in which sessions recovered from a reconnect storm."""
    per_host: dict[int, RunAggregator] = field(default_factory=dict)
    """Share of each machine, by its index in `hosts`."""
    clocks: dict[int, list[ClockComparison]] = field(default_factory=dict)
    """Comparisons of each machine's clock with the leader's, by its index in `hosts`."""
    began_ns: tuple[int, int] | None = None
    """Instants at which the first and the last worker of a machine began the load; None in the sum of all machines."""
    start_offset_ns: int | None = None
    """Offset of a machine's clock by which it was given the start of the load; None where that is not known."""
    waves: WaveTracker = field(default_factory=WaveTracker)
    """Finder of the sessions that the target ended together."""
    nodes: NodeTracker = field(default_factory=NodeTracker)
    """Counter of the open sessions of each node."""

    @property
    def whole_run(self) -> WholeRun:
        """Waves and nodes so far."""
        return WholeRun(self.waves.waves, skew_of(self.nodes.end, self.nodes.open))

    def add_interval(self, interval: Interval) -> None:
        """Decodes a recorded interval and adds it.

        Raises:
            ValueError: Its tally cannot be decoded.
        """
        self.add_event(IntervalEvent.decode(interval))

    def add_event(self, event: IntervalEvent) -> None:
        """Adds an interval whose tally is decoded already.

        Raises:
            ValueError: It names a host that the run does not have.
        """
        interval, tally = event.interval, event.tally
        self.tally.merge(tally)
        self.waves.add_interval(interval, tally.session_events, tally.dropped)
        self.nodes.add_interval(interval.phase, tally)
        # Those of a long run would fill the memory.
        self.tally.session_events.clear()
        self._add_connects(interval, tally)
        for reading in interval.clocks or ():
            comparison = ClockComparison.of(reading.at_ns, reading.offset_ns, reading.error_ns)
            self.clocks.setdefault(reading.host, []).append(comparison)
        for part, host_tally in zip(interval.hosts or (), event.host_tallies, strict=True):
            self._add_host_interval(interval, part, host_tally)
        if interval.phase != "measured":
            return
        response = tally.response_time_ns.percentiles((50, 90, 99))
        send_lag = tally.send_lag_ns.percentiles((50, 99))
        self.intervals.append(
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
                delivered=tally.delivery_time_ns.count,
            )
        )

    def _add_host_interval(self, interval: Interval, part: HostInterval, tally: Tally) -> None:
        """Adds the share of one machine to that machine's own aggregator."""
        if part.host >= len(self.hosts):
            raise ValueError(f"there is no host {part.host}")
        host, own = self.hosts[part.host], self.per_host.setdefault(part.host, RunAggregator())
        numbers = range(host.first_worker, host.first_worker + host.workers)
        if (began_ns := part.began_ns) is not msgspec.UNSET:
            first_ns, last_ns = own.began_ns or began_ns
            own.began_ns = min(first_ns, began_ns[0]), max(last_ns, began_ns[1])
        if part.start_offset_ns is not msgspec.UNSET:
            own.start_offset_ns = part.start_offset_ns
        alone = msgspec.structs.replace(
            interval,
            from_ns=part.from_ns,
            encoded_tally=part.record,
            workers=tuple(usage for usage in interval.workers if usage.worker in numbers),
            hosts=msgspec.UNSET,
            clocks=msgspec.UNSET,
        )
        own.add_event(IntervalEvent(alone, tally))

    def _add_connects(self, interval: Interval, tally: Tally) -> None:
        connect = tally.connect_time_ns
        if tally.opened:
            p50, p99 = connect.percentiles((50, 99))
            self.connect_intervals.append(ConnectInterval(interval.from_ns, interval.to_ns, tally.opened, p50, p99))
        if tally.storm_recovery_time_ns.count:
            self.storm_connect_ns = max_known(self.storm_connect_ns, connect.max)


@dataclass(frozen=True, slots=True)
class HostAggregate:
    """Share of one machine of a run on several."""

    host: Host
    recording: Recording
    """The run's recording without intervals, its header as if this machine had run alone."""
    aggregate: Aggregate
    """Only of the metrics that are recorded for each machine."""
    began_ns: tuple[int, int] | None
    """Instants at which its first and its last worker began the load, from the start of the run."""
    lost_workers: tuple[LostWorker, ...]
    clock: ClockModel
    """Its monotonic clock against the leader's; instants count from the start of the run."""
    start_offset_ns: int | None = None
    """Offset of its clock by which it was given the start of the load; None where the recording does not say."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Several recordings taken together."""

    tally: Tally
    """Sum of everything, messages of killed workers included."""
    recordings: tuple[tuple[IntervalStats, ...], ...]
    """Measured intervals of each recording."""
    connect_intervals: tuple[tuple[ConnectInterval, ...], ...] = ()
    """Intervals of each recording in which sessions opened."""
    storm_connect_ns: int | None = None
    """Longest connect time of the intervals in which sessions recovered from a reconnect storm."""
    hosts: tuple[HostAggregate, ...] = ()
    """Machines of all recordings of runs on several."""
    waves: tuple[Wave, ...] = ()
    """Disconnect waves of all recordings."""
    sessions_at_start: Counter[str] = field(default_factory=Counter)
    """Open sessions when the load began, by node."""
    sessions_at_end: Counter[str] = field(default_factory=Counter)
    """Open sessions when the load ended, by node."""

    @property
    def whole_run(self) -> WholeRun:
        """Values of waves and nodes that conditions compare."""
        return WholeRun(self.waves, skew_of(self.sessions_at_end, self.tally.nodes))

    def worker_loads(self) -> list[list[WorkerUsage]]:
        """Returns the usage in the measured intervals of each worker that measured, by recording and worker number."""
        workers: dict[tuple[int, int], list[WorkerUsage]] = {}
        for number, intervals in enumerate(self.recordings):
            for interval in intervals:
                for usage in interval.workers:
                    workers.setdefault((number, usage.worker), []).append(usage)
        return [usages for _, usages in sorted(workers.items()) if any(usage.wall_ns for usage in usages)]

    def engines(self) -> list[str]:
        """Returns the names of the engines that workers ran, by name."""
        return sorted(
            {usage.engine for usages in self.worker_loads() for usage in usages if isinstance(usage.engine, str)}
        )

    def cpu_shares(self) -> list[float]:
        """Returns the share of a core that each worker used while measured, by recording and worker number."""
        return [
            sum(usage.cpu_ns for usage in usages) / sum(usage.wall_ns for usage in usages)
            for usages in self.worker_loads()
        ]


def aggregate(recordings: Sequence[Recording], aggregators: Iterable[RunAggregator] | None = None) -> Aggregate:
    """Returns the aggregate of recordings; `aggregators` hold their intervals, where these were added already.

    Raises:
        ValueError: A tally cannot be read.
    """
    total = Tally()
    measured, connects, storm_connect_ns = [], [], None
    hosts: list[HostAggregate] = []
    waves: list[Wave] = []
    start: Counter[str] = Counter()
    end: Counter[str] = Counter()
    if aggregators is None:
        aggregators = map(_aggregator_of, recordings)
    for recording, aggregator in zip(recordings, aggregators, strict=True):
        total.merge(_completed(aggregator.tally))
        measured.append(tuple(aggregator.intervals))
        connects.append(tuple(aggregator.connect_intervals))
        hosts += _host_aggregates(recording, aggregator)
        waves += aggregator.waves.finish()
        start.update(aggregator.nodes.start)
        end.update(aggregator.nodes.end)
        storm_connect_ns = max_known(storm_connect_ns, aggregator.storm_connect_ns)
    return Aggregate(total, tuple(measured), tuple(connects), storm_connect_ns, tuple(hosts), tuple(waves), start, end)


def counts_of(recordings: Iterable[Recording]) -> Tally:
    """Returns the counts of recordings alone, summed: their histograms, which take long to decode, stay as they are.

    Raises:
        ValueError: A count cannot be read.
    """
    total = Tally()
    for recording in recordings:
        for interval in recording.intervals:
            plain = _counts(interval.encoded_tally, Tally)
            for name, kind in PARTS.items():
                if isinstance(parts := interval.encoded_tally.get(name), dict):
                    plain[name] = {key: _counts(part, kind) for key, part in parts.items()}
            total.merge(Tally.from_record(plain))
    total.complete_run()
    return total


def _counts(encoded: Mapping[str, Any], kind: type[MetricSet]) -> dict[str, Any]:
    """Returns what an encoded set has besides histograms and sets within it."""
    labeled = {name for name, spec in rows_of(kind).items() if spec.kind == "labeled"}
    return {name: data for name, data in encoded.items() if isinstance(data, int) or name in labeled}


def lost_workers(recording: Recording) -> tuple[LostWorker, ...]:
    """Returns the workers that are known to be lost; for a killed run, those that its intervals name."""
    if recording.trailer is not None:
        return recording.trailer.lost_workers
    return tuple(lost for interval in recording.intervals for lost in interval.lost_workers or ())


def load_start_ns(recording: Recording) -> int | None:
    """Returns the start of the load, warm-up included, from the start of the run; None where it did not begin."""
    under_load = (interval.from_ns for interval in recording.intervals if interval.phase in ("warmup", "measured"))
    return min(under_load, default=None)


def commands_of(recording: Recording) -> tuple[CommandRun, ...]:
    """Returns the commands that a run carried out, as far as they are known, in the order of their number."""
    if recording.trailer is not None:
        return recording.trailer.commands or ()
    known = {run.number: run for interval in recording.intervals for run in interval.commands or ()}
    return tuple(known[number] for number in sorted(known))


def max_known(*times_ns: int | None) -> int | None:
    """Returns the longest of the known times; None where all are unknown."""
    return max((time_ns for time_ns in times_ns if time_ns is not None), default=None)


def load_of(recording: Recording) -> dict[str, Any]:
    """Returns the requested load; empty where another version wrote something else there."""
    load = recording.header.plan.get("load")
    return load if isinstance(load, dict) else {}


def _host_aggregates(recording: Recording, aggregator: RunAggregator) -> list[HostAggregate]:
    """Returns the share of each machine, also of those that did nothing."""
    aggregates, lost = [], lost_workers(recording)
    for index, host in enumerate(recording.header.hosts or ()):
        own = aggregator.per_host.get(index, RunAggregator())
        header = msgspec.structs.replace(recording.header, host=host.facts, workers=host.workers, hosts=msgspec.UNSET)
        alone = Recording(header, ())
        numbers = range(host.first_worker, host.first_worker + host.workers)
        aggregates.append(
            HostAggregate(
                host=host,
                recording=alone,
                aggregate=Aggregate(_completed(own.tally), (tuple(own.intervals),)),
                began_ns=own.began_ns,
                lost_workers=tuple(worker for worker in lost if worker.worker in numbers),
                # Recordings of earlier versions have one comparison, made just before.
                clock=ClockModel(
                    aggregator.clocks.get(index) or [ClockComparison.of(0, host.clock_ahead_ns, host.clock_error_ns)]
                ),
                start_offset_ns=own.start_offset_ns,
            )
        )
    return aggregates


def _aggregator_of(recording: Recording) -> RunAggregator:
    aggregator = RunAggregator(recording.header.hosts or ())
    for interval in recording.intervals:
        aggregator.add_interval(interval)
    return aggregator


def _completed(tally: Tally) -> Tally:
    """Returns a run's tally with the messages of killed workers accounted for, and with both times of all others."""
    total = Tally()
    total.merge(tally)
    total.complete_run()
    total.separate_times()
    return total
