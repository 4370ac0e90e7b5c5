"""Recordings read once: their intervals added up, and what each second of the measured time was like.

Decoding an interval's histograms takes about a millisecond, so the summary, the judgement of the generator and the
report share one pass. A run takes its intervals in as they end, and has nothing left to decode at its own end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ws_load_test.measure.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.measure.recording import Interval, Recording, WorkerLoad


@dataclass(frozen=True, slots=True)
class Stretch:
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
    workers: tuple[WorkerLoad, ...]
    sent: int = 0
    """Messages that left in it."""
    pushed: int = 0

    @property
    def length_ns(self) -> int:
        """How long it was."""
        return self.to_ns - self.from_ns


@dataclass(frozen=True, slots=True)
class Opening:
    """One interval of any phase in which sessions opened."""

    from_ns: int
    """Its start, from the start of the run."""
    to_ns: int
    opened: int
    connect_p50_ns: int | None
    connect_p99_ns: int | None


@dataclass(slots=True)
class Gathering:
    """What the intervals of one recording come to."""

    tally: Tally = field(default_factory=Tally)
    stretches: list[Stretch] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    storm_connect_ns: int | None = None
    """The slowest dial of the intervals in which sessions came back from a storm."""

    def take(self, interval: Interval) -> Tally:
        """Adds an interval; returns its tally, which need not be decoded again.

        Raises:
            ValueError: It cannot be read.
        """
        tally = interval.tally
        self.tally.merge(tally)
        self._note_opening(interval, tally)
        if interval.phase != "measured":
            return tally
        response = tally.response_time_ns.percentiles((50, 90, 99))
        send_lag = tally.send_lag_ns.percentiles((50, 99))
        self.stretches.append(
            Stretch(
                from_ns=interval.from_ns,
                to_ns=interval.to_ns,
                answered=tally.answered_in_time,
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

    def _note_opening(self, interval: Interval, tally: Tally) -> None:
        connect = tally.connect_time_ns
        if tally.opened:
            middle, late = connect.percentiles((50, 99))
            self.openings.append(Opening(interval.from_ns, interval.to_ns, tally.opened, middle, late))
        if tally.storm_back_time_ns.count:
            self.storm_connect_ns = slowest(self.storm_connect_ns, connect.max)


@dataclass(frozen=True, slots=True)
class Digest:
    """Several recordings taken together."""

    tally: Tally
    """Everything, and no message forgotten."""
    parts: tuple[tuple[Stretch, ...], ...]
    """The measured time of each recording."""
    openings: tuple[tuple[Opening, ...], ...] = ()
    """Of each recording: when sessions opened."""
    storm_connect_ns: int | None = None
    """The slowest dial of the intervals in which sessions came back from a storm."""

    def worker_loads(self) -> list[list[WorkerLoad]]:
        """The measured intervals of each worker that measured at all, by recording and number."""
        workers: dict[tuple[int, int], list[WorkerLoad]] = {}
        for number, stretches in enumerate(self.parts):
            for stretch in stretches:
                for load in stretch.workers:
                    workers.setdefault((number, load.worker), []).append(load)
        return [loads for _, loads in sorted(workers.items()) if any(load.wall_ns for load in loads)]

    def cpu_shares(self) -> list[float]:
        """The share of a core that each worker used while it was measured, by recording and number."""
        return [
            sum(load.cpu_ns for load in loads) / sum(load.wall_ns for load in loads) for loads in self.worker_loads()
        ]


def digest(recordings: Sequence[Recording], gathered: Iterable[Gathering] | None = None) -> Digest:
    """Returns the digest of recordings; `gathered` are their gatherings, where there are any already.

    Raises:
        ValueError: A tally cannot be read.
    """
    total = Tally()
    parts, openings, storm_connect_ns = [], [], None
    if gathered is None:
        gathered = map(_gather, recordings)
    for recording, gathering in zip(recordings, gathered, strict=True):
        total.merge(_balanced(recording, gathering.tally))
        parts.append(tuple(gathering.stretches))
        openings.append(tuple(gathering.openings))
        storm_connect_ns = slowest(storm_connect_ns, gathering.storm_connect_ns)
    return Digest(total, tuple(parts), tuple(openings), storm_connect_ns)


def slowest(*times_ns: int | None) -> int | None:
    """Returns the longest of times of which some may be unknown; None where all are."""
    return max((time_ns for time_ns in times_ns if time_ns is not None), default=None)


def load_of(recording: Recording) -> dict[str, Any]:
    """Returns the load that was asked for; nothing where another version wrote something else there."""
    load = recording.header.plan.get("load")
    return load if isinstance(load, dict) else {}


def _gather(recording: Recording) -> Gathering:
    gathering = Gathering()
    for interval in recording.intervals:
        gathering.take(interval)
    return gathering


def _balanced(recording: Recording, tally: Tally) -> Tally:
    """Returns a recording's tally with what a killed run or a lost worker could not tell."""
    total = Tally()
    total.merge(tally)
    floods = load_of(recording).get("kind") == "closed"
    for one in filter(None, (total, total.unkind)):
        # What was in flight then got no answer, or was not sent.
        one.unanswered += max(0, one.sent - one.answered - one.unanswered)
        one.dropped += max(0, one.due - one.sent - one.dropped)
        if floods and not one.service_time_ns.count:
            # A message is due when it is sent there, so one histogram is kept for both times.
            one.service_time_ns = one.response_time_ns.copy()
    return total
