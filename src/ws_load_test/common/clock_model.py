"""Offset and drift of another machine's monotonic clock against ours, and how exactly they are known: pure arithmetic.

A comparison bounds the offset at one instant. A clock that runs evenly is a line of offsets over time, so the offset
at any instant is bounded by all lines that pass between the bounds of the comparisons around it (Zhang, Liu and Xia,
*Clock synchronization algorithms for network measurements*, INFOCOM 2002).

Offsets are "theirs minus ours": an instant of their clock is one of ours plus the offset. All instants and offsets are
ns of monotonic clocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

from ws_load_test.common.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_DRIFT = 100e-6
"""Largest difference of the rates of two clocks, as a share of time: oscillators of computers are specified to 50 ppm.
(Only while NTP corrects a wrong wall clock can it be more, up to 500 ppm for each: adjtimex(2).)"""
MAX_WANDER = 0.1e-6
"""Largest change of that difference within `WINDOW_NS`, as a rate: what is known of oscillators of ordinary computers
(Veitch, Ridoux and Korada, *Robust synchronization of absolute and difference clocks over networks*, IEEE/ACM
Transactions on Networking 17(2), 2009)."""
WINDOW_NS = 60 * NS_PER_S
"""Longest distance in ns of a comparison from an instant whose offset it bounds: over longer times, temperature bends
the line."""


class ClockOffset(NamedTuple):
    """Time by which another clock is ahead of ours, and how exactly that is known."""

    offset_ns: int
    error_ns: int
    """Greatest possible error of the offset."""

    def to_remote(self, local_ns: int) -> int:
        """Returns the other clock's time at an instant of ours."""
        return local_ns + self.offset_ns

    @classmethod
    def within(cls, lowest_ns: float, highest_ns: float) -> Self:
        """Returns the middle of two bounds, with an error that reaches both."""
        low, high = math.floor(lowest_ns), math.ceil(highest_ns)
        return cls((low + high) // 2, (high - low + 1) // 2)


class ClockComparison(NamedTuple):
    """Bounds of an offset at one instant."""

    at_ns: int
    """Instant by our clock."""
    lowest_ns: int
    highest_ns: int

    @property
    def offset(self) -> ClockOffset:
        """The offset in the middle of the bounds."""
        return ClockOffset.within(self.lowest_ns, self.highest_ns)

    @classmethod
    def of(cls, at_ns: int, offset_ns: int, error_ns: int) -> Self:
        """Returns the comparison that found an offset with a greatest possible error."""
        return cls(at_ns, offset_ns - error_ns, offset_ns + error_ns)


class ClockDrift(NamedTuple):
    """Rate at which another clock gains on ours, as a share of time, and how exactly that is known."""

    rate: float
    error: float
    """Greatest possible error of the rate."""


class ClockModel:
    """Clock of another machine, by the comparisons with it."""

    def __init__(self, comparisons: Iterable[ClockComparison]) -> None:
        """Takes the comparisons in any order.

        Raises:
            ValueError: There are none.
        """
        self.comparisons = tuple(sorted(comparisons))
        if not self.comparisons:
            raise ValueError("a clock without a comparison is not known")

    def offset_at(self, at_ns: int) -> ClockOffset:
        """Returns the offset at an instant of our clock.

        The true offset is within the error as long as the clock drifts and wanders by no more than `MAX_DRIFT` and
        `MAX_WANDER`. Far from all comparisons the error grows by what drift can do.
        """
        near = self._around(at_ns)
        # Relative to one of them, so that floats are exact to less than 1 ns on clocks days apart.
        base_ns = near[0].lowest_ns
        highs = [(one.at_ns - at_ns, one.highest_ns - base_ns) for one in near]
        lows = [(one.at_ns - at_ns, one.lowest_ns - base_ns) for one in near]
        highest, lowest = _highest(highs, lows), -_highest(_negated(lows), _negated(highs))
        if lowest > highest:
            # No line: something bent it more than it may bend. Then each comparison holds by itself.
            highest = min(high + MAX_DRIFT * abs(since) for since, high in highs)
            lowest = max(low - MAX_DRIFT * abs(since) for since, low in lows)
        # Where these contradict each other as well, the clock was set: everything between them is possible.
        lowest, highest = min(lowest, highest), max(lowest, highest)
        # 1 ns more, for what floats round.
        return ClockOffset.within(base_ns + math.floor(lowest) - 1, base_ns + math.ceil(highest) + 1)

    def drift_at(self, at_ns: int) -> ClockDrift:
        """Returns the drift around an instant of our clock; its error is `MAX_DRIFT` where one comparison is near."""
        highest, lowest = MAX_DRIFT, -MAX_DRIFT
        near = self._around(at_ns)
        for index, first in enumerate(near):
            for last in near[index + 1 :]:
                if (passed_ns := last.at_ns - first.at_ns) > 0:
                    highest = min(highest, (last.highest_ns - first.lowest_ns) / passed_ns + MAX_WANDER)
                    lowest = max(lowest, (last.lowest_ns - first.highest_ns) / passed_ns - MAX_WANDER)
        return ClockDrift((lowest + highest) / 2, abs(highest - lowest) / 2)

    def _around(self, at_ns: int) -> Sequence[ClockComparison]:
        """Returns the comparisons within the window around an instant; the nearest one where there is none."""
        near = [one for one in self.comparisons if abs(one.at_ns - at_ns) <= WINDOW_NS]
        return near or [min(self.comparisons, key=lambda one: abs(one.at_ns - at_ns))]


def _negated(points: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(since_ns, -offset_ns) for since_ns, offset_ns in points]


def _highest(highs: Sequence[tuple[int, int]], lows: Sequence[tuple[int, int]]) -> float:
    """Returns the highest value at 0 of all lines below every high point, above every low one, and not too steep.

    A line is bounded there by two points at most (Fourier-Motzkin elimination of its slope): by one high point and the
    steepest slope, by a high point on each side of 0, or on one side by a high point and a low one beyond it. A point
    at a distance is less exact by what the clock can wander in the meantime.
    """
    highest = min(high + MAX_DRIFT * abs(since) for since, high in highs)
    for side in (1, -1):
        near = [(side * since, high + MAX_WANDER * abs(since)) for since, high in highs if side * since >= 0]
        far = [(side * since, low - MAX_WANDER * abs(since)) for since, low in lows if side * since > 0]
        for distance, high in near:
            for beyond, low in far:
                if beyond > distance:
                    highest = min(highest, high + (high - low) * distance / (beyond - distance))
    before = [(-since, high + MAX_WANDER * abs(since)) for since, high in highs if since < 0]
    after = [(since, high + MAX_WANDER * abs(since)) for since, high in highs if since > 0]
    for past, past_high in before:
        for future, future_high in after:
            highest = min(highest, (future * past_high + past * future_high) / (past + future))
    return highest
