"""The sides of a comparison: one recording, or several of the same thing, cut into units that vary on their own.

A unit is a block of consecutive measured intervals of one recording, or a whole recording where a side has enough of
them. Recordings that say that they are the rounds of one series (`ws-load-test ab`) are paired by their numbers.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from ws_load_test.analysis.aggregate import load_of
from ws_load_test.analysis.comparison.bootstrap import MOST_BLOCKS
from ws_load_test.analysis.findings import awaits_nothing
from ws_load_test.analysis.thresholds import errors_of
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Interval, Recording

FEWEST_BLOCKS = 5
"""Blocks of intervals on each side: fewer tell next to nothing of how much they vary."""
FEWEST_REPEATS = 4
"""Recordings on each side, or pairs of rounds: they are further apart than blocks, and depend less on each other."""
WHOLE = 0.5
"""Of the usual length: an interval that is shorter is a beginning or an end, and belongs to its neighbour."""
_ROOMS = frozenset({"response_time_ns", "connect_time_ns", "faults"})


@dataclass(slots=True)
class ResamplingUnit:
    """What is drawn as a whole."""

    response: Histogram = field(default_factory=Histogram)
    """Response times in ns."""
    connect: Histogram = field(default_factory=Histogram)
    """Connect times in ns."""
    in_time: int = 0
    """Replies read within the measured time."""
    measured_ns: int = 0
    errors: int = 0
    """As docs/thresholds.md has it: messages and sessions that did not come about."""
    asked: int = 0
    """Messages due and sessions dialled."""

    def merge(self, other: ResamplingUnit) -> None:
        """Adds another unit to this one, exactly."""
        self.response.merge(other.response)
        self.connect.merge(other.connect)
        self.in_time += other.in_time
        self.measured_ns += other.measured_ns
        self.errors += other.errors
        self.asked += other.asked


@dataclass(frozen=True, slots=True)
class Variant:
    """One side of a comparison."""

    name: str
    recordings: tuple[Recording, ...]
    units: tuple[ResamplingUnit, ...]
    unit_is_recording: bool
    """Whether each unit is a whole recording; else they are blocks of intervals."""
    outside_units: ResamplingUnit
    """What came before the measured time, and is in no block: sessions dialled, and those that failed."""
    total: ResamplingUnit
    """Everything."""

    @classmethod
    def of(cls, name: str, recordings: Sequence[Recording], *, whole: bool | None = None) -> Self:
        """Cuts recordings into units: whole ones where there are enough, or where that is asked for.

        Raises:
            ValueError: No recording, or one whose tallies cannot be read.
        """
        if not recordings:
            raise ValueError("a side needs at least one recording")
        if whole is None:
            whole = len(recordings) >= FEWEST_REPEATS
        units: list[ResamplingUnit] = []
        rest = ResamplingUnit()
        for recording in recordings:
            before, intervals = _read(recording)
            if whole:
                units.append(_merged([before, *intervals]))
                continue
            rest.merge(before)
            units += _blocks(intervals, max(1, MOST_BLOCKS // len(recordings)))
        return cls(name, tuple(recordings), tuple(units), whole, rest, _merged([rest, *units]))

    @property
    def kinds(self) -> set[str]:
        """The kinds of its loads, ``open`` or ``closed``."""
        return {str(load_of(recording).get("kind")) for recording in self.recordings}

    @property
    def min_units(self) -> int:
        """Units that it takes to say anything."""
        return FEWEST_REPEATS if self.unit_is_recording else FEWEST_BLOCKS


def pair_variants(
    names: Sequence[str], base: Sequence[Recording], new: Sequence[Recording]
) -> tuple[Variant, Variant] | None:
    """Returns two sides whose units are the rounds that both have ended, in order.

    None where they are not of one series, or have no such round.
    """
    marks = {recording.header.round for recording in (*base, *new)}
    if len({mark.series for mark in marks if mark}) != 1 or not all(marks):
        return None
    rounds = [{recording.header.round: recording for recording in side if _ended(recording)} for side in (base, new)]
    both = sorted((mark for mark in rounds[0].keys() & rounds[1].keys() if mark), key=lambda mark: mark.number)
    if not both:
        return None
    first, second = ([side[mark] for mark in both] for side in rounds)
    return Variant.of(names[0], first, whole=True), Variant.of(names[1], second, whole=True)


def _ended(recording: Recording) -> bool:
    """Returns whether a round came to its end: what is left of another is no match for its partner."""
    return recording.trailer is not None and not recording.trailer.interrupted


def _read(recording: Recording) -> tuple[ResamplingUnit, list[ResamplingUnit]]:
    """Returns what came before the measured time, and each measured interval; what came after is in the last one."""
    awaited = not awaits_nothing([recording])
    before, measured = ResamplingUnit(), list[ResamplingUnit]()
    sent = settled = due = left = 0
    for interval in recording.intervals:
        tally = _tally(interval)
        sent, settled = sent + tally.sent, settled + tally.answered + tally.unanswered
        due, left = due + tally.due, left + tally.sent + tally.dropped
        unit = ResamplingUnit(
            tally.response_time_ns,
            tally.connect_time_ns,
            tally.answered_in_window,
            interval.measured_ns,
            errors_of(tally, awaited=awaited),
            tally.due + tally.attempted,
        )
        if interval.phase == "measured":
            measured.append(unit)
        else:
            (measured[-1] if measured else before).merge(unit)
    if awaited:
        # What was in flight when a run was killed got no answer.
        (measured[-1] if measured else before).errors += max(0, sent - settled)
    (measured[-1] if measured else before).errors += max(0, due - left)
    return before, _whole(measured)


def _tally(interval: Interval) -> Tally:
    """Returns an interval's tally, of which only the histograms that are compared are decoded."""
    rooms = {
        room: data for room, data in interval.encoded_tally.items() if room in _ROOMS or not isinstance(data, dict)
    }
    return Tally.from_record(rooms)


def _whole(intervals: list[ResamplingUnit]) -> list[ResamplingUnit]:
    """Returns the intervals, the short ones among them added to those before them."""
    usual_ns = statistics.median(unit.measured_ns for unit in intervals) if intervals else 0
    found: list[ResamplingUnit] = []
    for unit in intervals:
        if found and min(unit.measured_ns, found[-1].measured_ns) < WHOLE * usual_ns:
            found[-1].merge(unit)
        else:
            found.append(unit)
    return found


def _blocks(intervals: Sequence[ResamplingUnit], most: int) -> list[ResamplingUnit]:
    """Returns blocks of consecutive intervals, which differ in length by one interval at most."""
    parts = np.array_split(np.arange(len(intervals)), min(len(intervals), most)) if intervals else []
    return [_merged([intervals[place] for place in part]) for part in parts]


def _merged(units: Sequence[ResamplingUnit]) -> ResamplingUnit:
    total = ResamplingUnit()
    for unit in units:
        total.merge(unit)
    return total
