"""Variants of a comparison: one or several recordings of the same plan, cut into units for resampling.

A unit is a block of consecutive measured intervals of one recording, or a whole recording if a variant has enough of
them. Recordings that are the rounds of one experiment (`ws-load-test ab`) are paired by their numbers.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from ws_load_test.analysis.aggregate import Aggregate, counts_of, load_of
from ws_load_test.analysis.comparison.bootstrap import MAX_BLOCKS
from ws_load_test.analysis.condition_scope import errors_of
from ws_load_test.analysis.data_quality import pairing_is_doubted
from ws_load_test.analysis.findings import RunData, awaits_replies
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.scenario_metrics import names_part
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Interval, Recording

MIN_BLOCKS = 5
"""Blocks of intervals that each variant needs: from fewer, their variance cannot be estimated."""
MIN_REPEATS = 4
"""Recordings, or pairs of rounds, that each variant needs: fewer than blocks, since they are less dependent."""
MIN_INTERVAL_SHARE = 0.5
"""Share of the median length below which an interval is a fragment, and is merged with its neighbor."""
_DECODED_FIELDS = frozenset(
    {"response_time_ns", "connect_time_ns", "first_time_ns", "delivery_time_ns", "last_time_ns", "faults"}
)
"""Fields of a tally that are decoded although that takes time: the comparison needs no other histogram."""


@dataclass(slots=True)
class ResamplingUnit:
    """Measurements that are resampled as a whole."""

    response: Histogram = field(default_factory=Histogram)
    """Response times in ns."""
    connect: Histogram = field(default_factory=Histogram)
    """Connect times in ns."""
    answered_in_window: int = 0
    """Replies read within the measured time."""
    measured_ns: int = 0
    errors: int = 0
    """Messages and sessions that failed, as docs/thresholds.md defines the metric `errors`."""
    requested: int = 0
    """Messages due and sessions dialed."""
    first: Histogram = field(default_factory=Histogram)
    """Times to the first message that a message causes, in ns; empty but for streams and fan-outs."""

    delivery: Histogram = field(default_factory=Histogram)
    """Delivery times in ns; empty but for fan-outs."""
    last: Histogram = field(default_factory=Histogram)
    """Times to the last delivery of each publish, in ns; empty but for fan-outs."""
    missing: int = 0
    """Expected deliveries that did not come although the session was there."""
    expected: int = 0
    """Deliveries that had to come."""
    steps: dict[str, Histogram] = field(default_factory=dict)
    """Response times of each step of a scenario in ns, by its key."""

    @property
    def received(self) -> int:
        """Replies and timed deliveries."""
        return self.response.count + self.delivery.count

    def times_of_step(self, name: str) -> Histogram:
        """Returns the response times of a step, in all roles that have it."""
        times = Histogram()
        for key, one in self.steps.items():
            if names_part(name, key):
                times.merge(one)
        return times

    def merge(self, other: ResamplingUnit) -> None:
        """Adds another unit to this one, exactly."""
        for key, times in other.steps.items():
            self.steps.setdefault(key, Histogram()).merge(times)
        self.response.merge(other.response)
        self.connect.merge(other.connect)
        self.first.merge(other.first)
        self.delivery.merge(other.delivery)
        self.last.merge(other.last)
        self.missing += other.missing
        self.expected += other.expected
        self.answered_in_window += other.answered_in_window
        self.measured_ns += other.measured_ns
        self.errors += other.errors
        self.requested += other.requested


@dataclass(frozen=True, slots=True)
class Variant:
    """Measurements of one of the two versions that are compared."""

    name: str
    recordings: tuple[Recording, ...]
    units: tuple[ResamplingUnit, ...]
    unit_is_recording: bool
    """True if each unit is a whole recording, False if units are blocks of intervals."""
    outside_units: ResamplingUnit
    """Measurements before the measured time, which are in no block: sessions dialed, and those that failed."""
    total: ResamplingUnit
    """Sum of all units and `outside_units`."""

    @classmethod
    def of(cls, name: str, recordings: Sequence[Recording], *, whole: bool | None = None) -> Self:
        """Cuts recordings into units: whole recordings if there are enough, or if `whole` is True, else blocks.

        Raises:
            ValueError: No recording, or one whose tallies cannot be read.
        """
        if not recordings:
            raise ValueError("a variant needs at least one recording")
        if whole is None:
            whole = len(recordings) >= MIN_REPEATS
        units: list[ResamplingUnit] = []
        rest = ResamplingUnit()
        for recording in recordings:
            before, intervals = _read(recording)
            if whole:
                units.append(_merged([before, *intervals]))
                continue
            rest.merge(before)
            units += _blocks(intervals, max(1, MAX_BLOCKS // len(recordings)))
        return cls(name, tuple(recordings), tuple(units), whole, rest, _merged([rest, *units]))

    @property
    def kinds(self) -> set[str]:
        """Load models of the recordings, ``open`` or ``closed``."""
        return {str(load_of(recording).get("kind")) for recording in self.recordings}

    @property
    def has_fan_out(self) -> bool:
        """True if some recording is of a fan-out."""
        return any(recording.header.plan.get("fan_out") for recording in self.recordings)

    @property
    def pairing_is_doubted(self) -> bool:
        """True where replies are perhaps not those of their messages, so that their times may be wrong."""
        return pairing_is_doubted(RunData(self.recordings, Aggregate(counts_of(self.recordings), ())))

    @property
    def min_units(self) -> int:
        """Units that a comparison needs."""
        return MIN_REPEATS if self.unit_is_recording else MIN_BLOCKS


def pair_variants(
    names: Sequence[str], base: Sequence[Recording], new: Sequence[Recording]
) -> tuple[Variant, Variant] | None:
    """Returns two variants whose units are the rounds that both completed, in order.

    Returns None if the recordings are not of one experiment, or share no completed round.
    """
    round_ids = {recording.header.round for recording in (*base, *new)}
    if len({round_id.series for round_id in round_ids if round_id}) != 1 or not all(round_ids):
        return None
    rounds = [
        {recording.header.round: recording for recording in recordings if _is_complete(recording)}
        for recordings in (base, new)
    ]
    pairs = sorted(
        (round_id for round_id in rounds[0].keys() & rounds[1].keys() if round_id), key=lambda id_: id_.number
    )
    if not pairs:
        return None
    first, second = ([by_id[round_id] for round_id in pairs] for by_id in rounds)
    return Variant.of(names[0], first, whole=True), Variant.of(names[1], second, whole=True)


def _is_complete(recording: Recording) -> bool:
    """Returns True if a round ran to its end; an incomplete one cannot be paired with a complete one."""
    return recording.trailer is not None and not recording.trailer.interrupted


def _read(recording: Recording) -> tuple[ResamplingUnit, list[ResamplingUnit]]:
    """Returns one unit for the time before the measured intervals, and one for each of them.

    Intervals after the measured time are merged into the last unit.
    """
    awaited = awaits_replies([recording])
    before, measured = ResamplingUnit(), list[ResamplingUnit]()
    sent = settled = due = accounted = 0
    for interval in recording.intervals:
        tally = _tally(interval)
        sent, settled = sent + tally.sent, settled + tally.sent - tally.in_flight
        due, accounted = due + tally.due, accounted + tally.sent + tally.dropped
        unit = ResamplingUnit(
            tally.response_time_ns,
            tally.connect_time_ns,
            tally.answered_in_window,
            interval.measured_ns,
            errors_of(tally, awaits_replies=awaited),
            tally.due + tally.attempted,
            tally.first_time_ns,
            tally.delivery_time_ns,
            tally.last_time_ns,
            tally.deliveries_missing,
            tally.deliveries_expected,
            _step_times(interval),
        )
        if interval.phase == "measured":
            measured.append(unit)
        else:
            (measured[-1] if measured else before).merge(unit)
    if awaited:
        # Messages in flight when a run was killed got no reply.
        (measured[-1] if measured else before).errors += max(0, sent - settled)
    (measured[-1] if measured else before).errors += max(0, due - accounted)
    return before, _without_fragments(measured)


def _tally(interval: Interval) -> Tally:
    """Decodes an interval's tally, without the histograms that are not compared."""
    fields = {
        name: data
        for name, data in interval.encoded_tally.items()
        if name in _DECODED_FIELDS or not isinstance(data, dict)
    }
    return Tally.from_record(fields)


def _step_times(interval: Interval) -> dict[str, Histogram]:
    """Returns the response times of each step that was answered; nothing else of steps is decoded."""
    steps = interval.encoded_tally.get("steps", {})
    return {
        key: Histogram.from_record(step["response_time_ns"])
        for key, step in steps.items()
        if "response_time_ns" in step
    }


def _without_fragments(intervals: list[ResamplingUnit]) -> list[ResamplingUnit]:
    """Returns the intervals, with short ones merged into the ones before them."""
    usual_ns = statistics.median(unit.measured_ns for unit in intervals) if intervals else 0
    merged: list[ResamplingUnit] = []
    for unit in intervals:
        if merged and min(unit.measured_ns, merged[-1].measured_ns) < MIN_INTERVAL_SHARE * usual_ns:
            merged[-1].merge(unit)
        else:
            merged.append(unit)
    return merged


def _blocks(intervals: Sequence[ResamplingUnit], max_blocks: int) -> list[ResamplingUnit]:
    """Returns blocks of consecutive intervals, which differ in length by one interval at most."""
    blocks = np.array_split(np.arange(len(intervals)), min(len(intervals), max_blocks)) if intervals else []
    return [_merged([intervals[index] for index in block]) for block in blocks]


def _merged(units: Sequence[ResamplingUnit]) -> ResamplingUnit:
    total = ResamplingUnit()
    for unit in units:
        total.merge(unit)
    return total
