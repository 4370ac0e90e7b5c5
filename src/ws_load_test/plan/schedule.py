"""Send schedule: each worker computes the due times of its own messages; there is no central pacer.

Worker i of n takes the connections i, i + n, i + 2n, …, and the messages whose turn it is on these; together the shares
are everything, and no two overlap.

A *load profile* is an amount (messages per second, connections) over time: straight lines between points, or steps.
The number of messages due by an instant is the integral of the rate, which for straight lines is a quadratic, so that
the instant of message k has a closed form and no worker needs to count its way there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.sharding import Shard
from ws_load_test.common.units import format_duration
from ws_load_test.plan.ranges import MOST_STAGES, Amount, PositiveDuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

BLOCK_SIZE = 1024
"""Messages of the whole run whose instants are computed together."""
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
        """From instant 0 to the end."""
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
        return round_half_down(float(self._integrals[-1]))

    def blocks(
        self, shard: Shard, messages: int | None = None, *, warmup_ns: int = 0, connections: int | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """Yields the due times of a shard's messages in ns from the start, in order, in arrays.

        Args:
            shard: The shard whose messages are due.
            messages: How many there are in all, those due before `warmup_ns` apart; None: all that fall due before the
                profile's end.
            warmup_ns: From when on `messages` are counted.
            connections: Message k is that of connection k modulo this many, and so of the worker that owns it; None:
                each worker has as many as any other.
        """
        import numpy as np  # noqa: PLC0415

        end_ns = self.rate.duration_ns
        random = np.random.Generator(np.random.PCG64(self.seed)) if self.arrivals == "poisson" else None
        turns = connections or shard.count
        reached, first = 0.0, 0
        # The number of the first message that is one too many, as soon as that is known.
        behind = messages if not warmup_ns else None
        while behind is None or first < behind:
            if random is None:
                integral = np.arange(first, first + BLOCK_SIZE, dtype=np.float64) + 0.5
            else:
                integral = reached + np.cumsum(random.standard_exponential(BLOCK_SIZE))
                reached = float(integral[-1])
            within = int(np.searchsorted(integral, self._integrals[-1], side="left"))
            if messages is not None and behind is None:
                early = int(np.searchsorted(self.due_ns(integral[:within]), warmup_ns, side="left"))
                behind = first + early + messages if early < within else None
            if behind is not None:
                within = min(within, behind - first)
            numbers = np.arange(first, first + within)
            due = self.due_ns(integral[:within][numbers % turns % shard.count == shard.index])
            # An instant that rounding has put on the end belongs to no message any more.
            yield np.minimum(due, end_ns - 1)
            if within < BLOCK_SIZE:
                return
            first += BLOCK_SIZE


def round_half_down(value: float) -> int:
    """The number of k >= 0 with k + 1/2 below `value`."""
    import math  # noqa: PLC0415

    return max(0, math.ceil(value - 0.5))
