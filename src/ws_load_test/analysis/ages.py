"""Ages of messages by the target's time stamps: times that are below 0 where the target's clock is ahead of ours."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Self

from msgspec import Meta

from ws_load_test.analysis.summary_times import Statistics

if TYPE_CHECKING:
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.scenario_metrics import ReactionTally


class AgeStats(Statistics, frozen=True, kw_only=True):
    """Statistics of ages in ns: from the target's time stamp to the reading, by two clocks whose offset is unknown."""

    count: Annotated[int, Meta(description="Number of values.")]
    negative: Annotated[int, Meta(description="Of these, those below 0: the target's clock was ahead.")]
    min: Annotated[int, Meta(description="Lowest value, exact, in ns.")]
    mean: Annotated[int, Meta(description="Arithmetic mean of the exact values, in ns.")]
    max: Annotated[int, Meta(description="Highest value, exact, in ns.")]
    p50: Annotated[int, Meta(description="Median in ns.")]
    p90: Annotated[int, Meta(description="90th percentile in ns.")]
    p95: Annotated[int, Meta(description="95th percentile in ns.")]
    p99: Annotated[int, Meta(description="99th percentile in ns.")]

    @classmethod
    def of(cls, reaction: ReactionTally) -> Self | None:
        """Returns the statistics of a reaction's messages; None where none had a time stamp."""
        names = ("min", "mean", "max", "50", "90", "95", "99")
        found = {name: age_statistic(reaction, name) for name in names}
        if any(value is None for value in found.values()):
            return None
        values = {f"p{name}" if name.isdigit() else name: round(value or 0) for name, value in found.items()}
        return cls(count=reaction.ages, negative=reaction.age_ahead_ns.count, **values)


def age_statistic(reaction: ReactionTally, name: str) -> Fraction | None:
    """Returns a statistic or percentile (``mean``, ``99.9``) of ages in whole ns; None without values.

    A percentile is that of `Histogram.percentile`: the value of rank ``max(1, ceil(p / 100 * count))``, of all ages in
    their order, those below 0 first. One below 0 is the lowest value of its bucket.
    """
    later, ahead = reaction.age_ns, reaction.age_ahead_ns
    count = later.count + ahead.count
    if not count:
        return None
    if name == "mean":
        return Fraction(round(Fraction(later.sum - ahead.sum, count)))
    if name == "min":
        value = later.min if ahead.max is None else -ahead.max
    elif name == "max":
        value = later.max if later.count else -(ahead.min or 0)
    elif name == "stdev":
        value = _stdev(reaction)
    else:
        rank = max(1, math.ceil(Fraction(name) / 100 * count))
        value = _of_rank(reaction, rank)
    return None if value is None else Fraction(value)


def _of_rank(reaction: ReactionTally, rank: int) -> int | None:
    """Returns the age of a rank from 1, the lowest first."""
    later, ahead = reaction.age_ns, reaction.age_ahead_ns
    if rank > ahead.count:
        return later.percentiles((str(Fraction(100 * (rank - ahead.count), later.count)),))[0]
    # The lowest age has the stamp that is furthest ahead.
    before = ahead.percentiles((str(Fraction(100 * (ahead.count - rank + 1), ahead.count)),))[0]
    return None if before is None else -before


def _stdev(reaction: ReactionTally) -> int:
    """Returns the population's standard deviation of all ages, from those of the two halves."""
    halves = [(one.count, sign * (one.mean() or 0.0), one.stdev() or 0.0) for one, sign in _signed(reaction)]
    count = sum(number for number, _, _ in halves)
    mean = sum(number * middle for number, middle, _ in halves) / count
    spread = sum(number * (deviation**2 + (middle - mean) ** 2) for number, middle, deviation in halves)
    return round(math.sqrt(spread / count))


def _signed(reaction: ReactionTally) -> tuple[tuple[Histogram, int], ...]:
    return (reaction.age_ns, 1), (reaction.age_ahead_ns, -1)
