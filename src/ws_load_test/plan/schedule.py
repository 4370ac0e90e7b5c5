"""Send schedule: each worker computes the due times of its own messages; there is no central pacer.

`load_sharing` decides which messages are a worker's.

A *load profile* is an amount (messages per second, connections) over time: straight lines between points, or steps.
The number of messages due by an instant is the integral of the rate, which for straight lines is a quadratic, so that
the instant of message k has a closed form and no worker needs to count its way there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.units import format_duration
from ws_load_test.plan.ranges import MOST_STAGES, Amount, PositiveDuration

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

RANDOM_BLOCK_SIZE = 8192
"""Messages of the whole run whose random instants are drawn together."""
RANDOM_BLOCKS_KEPT = 4
"""Blocks of random instants that are remembered."""
Arrivals = Literal["constant", "poisson"]


def evenly_spaced_ns(number: int, per_s: float) -> int:
    """Returns when event `number` is due, in ns from the start, of evenly spaced events at `per_s`, the first at 0."""
    return round(number * 1e9 / per_s)


class Stage(msgspec.Struct, frozen=True):
    """Part of a profile: from one amount to another along a straight line."""

    duration_ns: PositiveDuration
    """Length of the part."""
    start: Amount
    """Amount at its start: messages per second, or connections."""
    end: Amount
    """Amount at its end."""


class LoadProfile(msgspec.Struct, frozen=True):
    """Amount over time, from instant 0 to the end of the last stage."""

    stages: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=1, max_length=MOST_STAGES)]
    """Parts, one after the other."""

    @classmethod
    def constant(cls, amount: float, duration_ns: int) -> LoadProfile:
        """The same amount all the time."""
        return cls((Stage(duration_ns, amount, amount),))

    @property
    def duration_ns(self) -> int:
        """Length from instant 0 to the end."""
        return sum(stage.duration_ns for stage in self.stages)

    @property
    def peak(self) -> float:
        """The largest amount."""
        return max(max(stage.start, stage.end) for stage in self.stages)

    def describe(self, show: Callable[[float], str]) -> str:
        """Returns the profile in words, amounts formatted by `show`."""
        parts, amount = [], 0.0
        for number, stage in enumerate(self.stages):
            length = format_duration(stage.duration_ns)
            if stage.start == stage.end:
                parts.append(show(stage.end) if len(self.stages) == 1 else f"{show(stage.end)} for {length}")
            else:
                begin = f"from {show(stage.start)} " if not number or stage.start != amount else ""
                parts.append(f"{begin}to {show(stage.end)} in {length}")
            amount = stage.end
        return ", then ".join(parts)

    def value_at(self, at_ns: int) -> float:
        """Returns the amount at an instant; after the end, that of the end."""
        for stage in self.stages:
            if at_ns < stage.duration_ns:
                return stage.start + (stage.end - stage.start) * at_ns / stage.duration_ns
            at_ns -= stage.duration_ns
        return self.stages[-1].end

    def cumulative(self, until_ns: int) -> float:
        """Amount times seconds from 0 to an instant: the number of messages due by then, if the amount is a rate."""
        total = 0.0
        for stage in self.stages:
            if until_ns <= 0:
                break
            part_ns = min(until_ns, stage.duration_ns)
            reached = stage.start + (stage.end - stage.start) * part_ns / stage.duration_ns
            total += (stage.start + reached) / 2 * part_ns / NS_PER_S
            until_ns -= stage.duration_ns
        return total


class ArrivalSchedule:
    """Due times of the messages of a run, from a rate that follows a profile.

    With constant arrivals, message k is due when the integral of the rate reaches k + 1/2: evenly spaced where the
    rate is constant, half a space from the start and from the end, so that a duration holds as many messages as its
    integral, rounded. With Poisson arrivals the integral between two messages is a random number with an
    exponential distribution of mean 1 (the time change that turns any rate into the unit Poisson process), drawn from
    the seed alone: the same on any number of workers.
    """

    def __init__(self, rate: LoadProfile, arrivals: Arrivals = "constant", seed: int = 0) -> None:
        """Takes a rate in messages a second."""
        import numpy as np  # noqa: PLC0415 - plans are read without it

        self.rate = rate
        self.arrivals = arrivals
        self.seed = seed
        integrals, instants, start_ns = [0.0], [0], 0
        for stage in rate.stages:
            start_ns += stage.duration_ns
            integrals.append(integrals[-1] + (stage.start + stage.end) / 2 * stage.duration_ns / NS_PER_S)
            instants.append(start_ns)
        self._integrals = np.array(integrals)
        self.total: float = integrals[-1]
        """Integral of the rate over the whole profile."""
        self._is_steady = len(rate.stages) == 1 and rate.stages[0].start == rate.stages[0].end > 0
        self._instants_ns = np.array(instants, dtype=np.int64)
        self._starts = np.array([stage.start for stage in rate.stages])
        self._slopes = np.array([(stage.end - stage.start) / stage.duration_ns * NS_PER_S for stage in rate.stages])

    def due_ns(self, integral: NDArray[np.float64]) -> NDArray[np.int64]:
        """The instants, in ns from the start, at which the integral of the rate reaches these values.

        Solves start * x + slope * x² / 2 = rest for x in the stage that holds it, in the form of the quadratic's root
        that does not cancel: x = 2 * rest / (start + sqrt(start² + 2 * slope * rest)). Values beyond the end of the
        profile give instants at its end.
        """
        import numpy as np  # noqa: PLC0415

        if self._is_steady:
            # The same to the last bit with a third of the steps, each of which costs microseconds in a cold cache.
            at_ns = np.rint(np.minimum(integral, self.total) / self.rate.stages[0].start * NS_PER_S)
            return np.minimum(at_ns.astype(np.int64), self.rate.duration_ns)
        stage = np.clip(np.searchsorted(self._integrals, integral, side="left") - 1, 0, len(self._starts) - 1)
        rest = np.minimum(integral, self._integrals[-1]) - self._integrals[stage]
        start, slope = self._starts[stage], self._slopes[stage]
        root = start + np.sqrt(np.maximum(start * start + 2 * slope * rest, 0))
        seconds = np.divide(2 * rest, root, out=np.zeros_like(rest), where=root > 0)
        due = self._instants_ns[stage] + np.rint(seconds * NS_PER_S).astype(np.int64)
        latest: NDArray[np.int64] = np.minimum(due, self._instants_ns[stage + 1])
        return latest

    def count(self) -> int:
        """Returns the number of messages due over the whole profile, for constant arrivals."""
        return round_half_down(self.total)


class DueInstants:
    """Due instants of the messages of a run by their numbers, in ns from the start.

    They are computed when they are asked for, again where that must be, so any worker can find those of any message.
    """

    def __init__(self, schedule: ArrivalSchedule, messages: int | None = None, *, warmup_ns: int = 0) -> None:
        """Takes the schedule and how many messages there are in all, those due before `warmup_ns` apart.

        None: all that fall due before the profile's end.
        """
        self._schedule = schedule
        self._reached = [0.0]
        """Integral of the rate at the beginning of each block of random arrivals."""
        self._blocks: dict[int, NDArray[np.float64]] = {}
        """The latest of these blocks."""
        self._limit = None if messages is None else messages + (self.before(warmup_ns) if warmup_ns else 0)

    def of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the instants of messages, whose numbers rise; without those for which the schedule has no place."""
        import numpy as np  # noqa: PLC0415

        schedule = self._schedule
        if self._limit is not None:
            numbers = numbers[: int(np.searchsorted(numbers, self._limit))]
        integral = self._integral(numbers)
        within = int(np.searchsorted(integral, schedule.total, side="left"))
        # An instant that rounding has put on the end belongs to no message any more.
        due: NDArray[np.int64] = np.minimum(schedule.due_ns(integral[:within]), schedule.rate.duration_ns - 1)
        return due

    def before(self, at_ns: int, limit: int | None = None) -> int:
        """Returns how many messages the schedule has before an instant, or the limit if there are more."""
        import numpy as np  # noqa: PLC0415

        if at_ns <= 0:
            return 0
        total, due_ns = self._schedule.total, self._schedule.due_ns
        if self._schedule.arrivals == "constant":
            low, high = 0, self._schedule.count() if limit is None else min(limit, self._schedule.count())
            while low < high:
                middle = (low + high) // 2
                if due_ns(np.array([middle + 0.5]))[0] < at_ns:
                    low = middle + 1
                else:
                    high = middle
            return low
        found, early = 0, RANDOM_BLOCK_SIZE
        while early == RANDOM_BLOCK_SIZE and (limit is None or found < limit):
            integral = self._random_block(found // RANDOM_BLOCK_SIZE)
            integral = integral[: int(np.searchsorted(integral, total, side="left"))]
            early = int(np.searchsorted(due_ns(integral), at_ns, side="left"))
            found += early
        return found if limit is None else min(found, limit)

    def count(self) -> int:
        """Returns the number of messages in all."""
        return self.before(self._schedule.rate.duration_ns + 1, self._limit)

    def _integral(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the integral of the rate at which messages are due."""
        import numpy as np  # noqa: PLC0415

        if self._schedule.arrivals == "constant":
            return numbers.astype(np.float64) + 0.5
        integral = np.zeros(len(numbers))
        blocks = numbers // RANDOM_BLOCK_SIZE
        for block in np.unique(blocks).tolist():
            chosen = blocks == block
            integral[chosen] = self._random_block(block)[numbers[chosen] - block * RANDOM_BLOCK_SIZE]
        return integral

    def _random_block(self, number: int) -> NDArray[np.float64]:
        """Returns the integrals of one block of random arrivals."""
        import numpy as np  # noqa: PLC0415

        while len(self._reached) <= number:
            # Computes the one before, and with it where this one begins.
            self._random_block(len(self._reached) - 1)
        block = self._blocks.get(number)
        if block is None:
            # A generator for each block, so that any block can be computed again.
            random = np.random.Generator(np.random.PCG64((self._schedule.seed, number)))
            block = self._reached[number] + np.cumsum(random.standard_exponential(RANDOM_BLOCK_SIZE))
            self._blocks[number] = block
            while len(self._blocks) > RANDOM_BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            if len(self._reached) == number + 1:
                self._reached.append(float(block[-1]))
        return block


def round_half_down(value: float) -> int:
    """The number of k >= 0 with k + 1/2 below `value`."""
    import math  # noqa: PLC0415

    return max(0, math.ceil(value - 0.5))
