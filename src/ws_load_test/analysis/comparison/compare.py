"""Two sides compared: for each metric by how much they differ, how sure that is, and in what words.

Ratios are looked at as logarithms, shares as differences. Their standard error comes from a block bootstrap of each
side's units (or of pairs of units), widened where neighbouring blocks resemble each other; the interval is Student's,
because a few units tell their own spread only roughly. If nothing differs, the chance that any metric is called
different is at most one less the confidence asked for: the metrics share that error among them (Holm 1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.analysis.comparison.bootstrap import (
    Autocorrelation,
    BucketMatrix,
    resample,
    student_t,
    variance,
    welch_df,
)
from ws_load_test.analysis.comparison.metrics import (
    METRICS,
    ComparedMetric,
    Difference,
    Verdict,
)
from ws_load_test.analysis.comparison.samples import ResamplingUnit, Variant
from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.analysis.findings import join_and
from ws_load_test.common.units import format_share
from ws_load_test.metrics.hdr_buckets import bucket_of, highest_in, lowest_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESOLUTION = 2**-10
"""What a histogram cannot tell apart; smaller differences of anything are not worth a word either."""
MOST_DF = 10_000
"""Degrees of freedom: beyond them Student's t is the normal distribution."""
WIDEST = math.log(1000)
"""Half the length of an interval, as a logarithm: one from a thousandth to a thousandfold is none."""
_SEEDS = (20_260_301, 20_260_302)
"""Of either side's draws: the same recordings give the same intervals, at any time and place."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One side against another."""

    base: Variant
    new: Variant
    paired: bool
    """Whether the units of both sides are pairs."""
    confidence: float
    """How sure it is that no metric is called different, if none is."""
    differences: tuple[Difference, ...]
    left_out: tuple[tuple[ComparedMetric, str], ...]
    """What is not compared, and why."""
    inconclusive_reason: str | None
    """Why nothing can be concluded, in a sentence without a full stop; None where something can."""

    @property
    def unanswered_variant(self) -> Variant | None:
        """The side that got no answer while the other did; None where there is no such side."""
        counts = [side.total.response.count for side in (self.base, self.new)]
        if all(counts) or not any(counts):
            return None
        return self.base if not counts[0] else self.new

    @property
    def unit(self) -> str:
        """What the new side's units are: rounds, recordings, or blocks of intervals."""
        return "rounds" if self.paired else "recordings" if self.new.unit_is_recording else "blocks of intervals"

    @property
    def unanswered_recordings(self) -> int:
        """How many whole recordings of the new side got no answer at all, where all of the base did."""
        silent = [sum(not unit.response.count for unit in side.units) for side in (self.base, self.new)]
        return silent[1] if self.new.unit_is_recording and not silent[0] else 0

    @property
    def overall(self) -> Verdict:
        """The verdict in one word: worse if anything is worse, better if something is and nothing worse."""
        found = {difference.verdict for difference in self.differences}
        order = (Verdict.WORSE, Verdict.BETTER, Verdict.NO_DIFFERENCE)
        if self.unanswered_variant is not None:
            return Verdict.WORSE if self.unanswered_variant is self.new else Verdict.BETTER
        return next((one for one in order if one in found), Verdict.UNKNOWN)

    def failing(self, limit: float) -> str | None:
        """Returns why the new side has regressed by more than a part of the base; None where it has not.

        Where nothing can be concluded that is no pass: whoever asks does not mean that a look too short is as good.
        """
        if self.unanswered_variant is self.new:
            return "it got no answer at all"
        if self.unanswered_variant is self.base:
            return f"nothing can be concluded: {self.base.name} got no answer at all"
        if self.unanswered_recordings:
            return f"it got no answer at all in {self.unanswered_recordings} of {len(self.new.units)} {self.unit}"
        worse = [difference.metric.word for difference in self.regressions(limit)]
        if worse:
            return f"{join_and(worse)} {'is' if len(worse) == 1 else 'are'} worse by more than {format_share(limit)}"
        return None if self.inconclusive_reason is None else f"nothing can be concluded: {self.inconclusive_reason}"

    def regressions(self, limit: float) -> list[Difference]:
        """Returns what is worse by more than a part of the base."""
        return [difference for difference in self.differences if difference.is_regression(limit)]


def compare(base: Variant, new: Variant, *, confidence: float = CONFIDENCE, paired: bool = False) -> Comparison:
    """Compares a side with the one that it is measured against.

    Args:
        base: What is known.
        new: What is asked about.
        confidence: How sure it is that no metric is called different if none is; between 0.5 and 1.
        paired: Whether unit k of one side was measured beside unit k of the other.
    """
    compared, left_out = [], []
    for metric in METRICS:
        why = _lack(metric, base, new)
        if why is None:
            compared.append(metric)
        elif why:
            left_out.append((metric, why))
    cannot = _cannot(base, new, paired=paired)
    if cannot is None and not compared:
        cannot = "there is nothing that both sides have measured"
    if cannot is None:
        judge = _Comparer(base, new, compared, paired=paired)
        differences = tuple(_judged([judge.finding(metric) for metric in compared], 1 - confidence))
    else:
        differences = tuple(_unjudged(metric, base, new) for metric in compared)
    return Comparison(base, new, paired, confidence, differences, tuple(left_out), cannot)


def _unjudged(metric: ComparedMetric, base: Variant, new: Variant) -> Difference:
    """Returns a difference of which nobody knows what it means."""
    was, now = _estimate(metric, base.total), _estimate(metric, new.total)
    finding = _Estimate(metric, was, now, _apart(metric, was, now), math.inf, 1.0)
    return finding.to_difference(math.inf, Verdict.UNKNOWN)


def _lack(metric: ComparedMetric, base: Variant, new: Variant) -> str | None:
    """Returns why a metric is not compared; "" where nobody would miss it, None where it is."""
    totals = (base.total, new.total)
    if metric.connect and not (base.unit_is_recording and new.unit_is_recording):
        # Each recording opened its connections once, so nobody knows how much that varies.
        return ""
    if metric.unit == "share":
        return None if all(total.asked for total in totals) else "nothing was asked for"
    if metric.name == "rate":
        return None if all(total.in_time for total in totals) else "nothing was answered"
    for side in (base, new):
        count = metric.times(side.total).count
        if not count:
            return "nothing was answered" if not metric.connect else "no connection opened"
        if metric.percentile and too_few_in_tail(metric.percentile, count):
            return "" if metric.connect else "too few answers lie beyond it"
    return None


def _cannot(base: Variant, new: Variant, *, paired: bool) -> str | None:
    if all(side.total.errors >= side.total.asked for side in (base, new)):
        return "nothing came about on either side"
    for side in (base, new):
        units, fewest = len(side.units), side.min_units
        if units >= fewest:
            continue
        if paired:
            pairs = "is 1 pair" if units == 1 else f"are {units} pairs"
            return f"there {pairs} of rounds, and it takes {fewest} to tell a difference from chance"
        plural = "s" * (units != 1)
        if side.unit_is_recording:
            return (
                f"{side.name} has {units} recording{plural}, and it takes {fewest} repeats to tell a difference from"
                " chance"
            )
        return (
            f"{side.name} was measured for {units} interval{plural}, and it takes {fewest} to tell a"
            " difference from chance: run longer, or compare directories of repeats"
        )
    return None


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What a metric came to, before it is judged."""

    metric: ComparedMetric
    base: float
    new: float
    difference: float
    """The difference of logarithms, or of shares."""
    squared: float
    """Its variance."""
    df: float
    """The degrees of freedom of that."""

    def half_width(self, allowed: float) -> float:
        """Returns half the length of the interval that is wrong with a chance of `allowed`."""
        if not math.isfinite(self.squared):
            return math.inf
        return student_t(1 - allowed / 2, min(self.df, MOST_DF)) * math.sqrt(self.squared)

    def to_difference(self, reach: float, verdict: Verdict | None = None) -> Difference:
        """Returns the difference with its interval and, where it is not given, its verdict."""
        found = verdict or _verdict(self.metric, self.difference, reach)
        change = self._change(self.difference)
        low = high = None
        if reach < WIDEST:
            low, high = self._change(self.difference - reach), self._change(self.difference + reach)
        return Difference(self.metric, self.base, self.new, change, low, high, found)

    def _change(self, apart: float) -> float:
        return min(max(apart, -1.0), 1.0) if self.metric.unit == "share" else math.expm1(apart)


def _judged(findings: Sequence[_Estimate], error: float) -> Iterator[Difference]:
    """Yields the differences; that any is called one by chance has a probability of at most `error` (Holm 1979).

    As long as metrics are found to differ, those that are left share the error among fewer.
    """
    reaches: dict[int, float] = {}
    while True:
        left = [place for place in range(len(findings)) if place not in reaches]
        tried = {place: findings[place].half_width(error / len(left)) for place in left}
        differ = {place: reach for place, reach in tried.items() if abs(findings[place].difference) > reach}
        reaches |= differ
        if not differ or len(differ) == len(left):
            break
    reaches = tried | reaches
    yield from (finding.to_difference(reaches[place]) for place, finding in enumerate(findings))


class _Comparer:
    """Finds how far two sides are apart, metric by metric."""

    def __init__(self, base: Variant, new: Variant, metrics: Sequence[ComparedMetric], *, paired: bool) -> None:
        self.sides = (base, new)
        self.paired = paired
        self._counts: dict[bool, list[BucketMatrix]] = {}
        self._correlations: dict[str, Autocorrelation] = {}
        self._cut = [place for place, side in enumerate(self.sides) if not side.unit_is_recording]
        """The sides that are made of blocks: only these have neighbours that resemble each other."""
        if self._cut:
            for metric in metrics:
                correlation = Autocorrelation.of([self._deviations(metric, place) for place in self._cut])
                if correlation is not None:
                    self._correlations[metric.name] = correlation
        found = self._correlations
        times = [found[one.name].raw for one in metrics if one.unit == "ns" and one.name in found]
        self._usual = sum(times) / len(times) if times else 0.0

    def finding(self, metric: ComparedMetric) -> _Estimate:
        """Returns what a metric came to."""
        base, new = (_estimate(metric, side.total) for side in self.sides)
        return _Estimate(metric, base, new, _apart(metric, base, new), *self._spread(metric))

    def _spread(self, metric: ComparedMetric) -> tuple[float, float]:
        """Returns the variance of the difference as it is looked at, and its degrees of freedom."""
        sizes = [len(side.units) for side in self.sides]
        replicates = [
            self._replicates(metric, place, _draws(size, _SEEDS[0 if self.paired else place]))
            for place, size in enumerate(sizes)
        ]
        if self.paired:
            squared, df = variance(replicates[1] - replicates[0], sizes[0]), sizes[0] - 1.0
        else:
            parts = [variance(one, size) for one, size in zip(replicates, sizes, strict=True)]
            if metric.name in self._correlations:
                for place in self._cut:
                    parts[place] *= self._correlations[metric.name].inflation(self._usual)
            df = welch_df(parts, [size - 1.0 for size in sizes])
            squared = sum(parts)
        return squared + sum(_least(metric, side) for side in self.sides), df

    def _replicates(self, metric: ComparedMetric, place: int, weights: Floats) -> Floats:
        """Returns a side's replicates: logarithms, but for shares."""
        side = self.sides[place]
        if metric.percentile:
            return self._counts_of(metric)[place].log_quantiles(weights, float(metric.percentile) / 100)
        over, under = _parts(metric, side.units)
        if metric.unit == "share":
            return (weights @ over + side.outside_units.errors) / np.maximum(
                1.0, weights @ under + side.outside_units.asked
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            logs: Floats = np.log((weights @ over) / (weights @ under))
        return logs

    def _deviations(self, metric: ComparedMetric, place: int) -> Floats:
        """Returns how far each unit is from what would be its part of the whole."""
        side = self.sides[place]
        if metric.percentile:
            quantile = math.log(max(1.0, _estimate(metric, side.total)))
            return self._counts_of(metric)[place].excess(quantile)
        over, under = _parts(metric, side.units)
        deviations: Floats = over - under * (over.sum() / max(1.0, under.sum()))
        return deviations

    def _counts_of(self, metric: ComparedMetric) -> list[BucketMatrix]:
        if metric.connect not in self._counts:
            self._counts[metric.connect] = [
                BucketMatrix([metric.times(unit) for unit in side.units]) for side in self.sides
            ]
        return self._counts[metric.connect]


@lru_cache(maxsize=64)
def _draws(units: int, seed: int) -> Floats:
    return resample(units, seed)


def _estimate(metric: ComparedMetric, total: ResamplingUnit) -> float:
    """Returns a metric of a whole side: what its report says."""
    if metric.unit == "share":
        return total.errors / total.asked
    if metric.name == "rate":
        return total.in_time * 1e9 / total.measured_ns
    times = metric.times(total)
    value = times.percentiles((metric.percentile,))[0] if metric.percentile else times.mean()
    return max(1.0, float(value or 0))


def _apart(metric: ComparedMetric, base: float, new: float) -> float:
    return new - base if metric.unit == "share" else math.log(new / base)


def _parts(metric: ComparedMetric, units: Sequence[ResamplingUnit]) -> tuple[Floats, Floats]:
    """Returns what is divided by what, for each unit."""
    pairs: Iterator[tuple[float, float]]
    if metric.unit == "share":
        pairs = ((unit.errors, unit.asked) for unit in units)
    elif metric.name == "rate":
        pairs = ((unit.in_time, unit.measured_ns / 1e9) for unit in units)
    else:
        pairs = ((float(unit.response.sum), unit.response.count) for unit in units)
    over, under = zip(*pairs, strict=True)
    return np.array(over, dtype=np.float64), np.array(under, dtype=np.float64)


def _least(metric: ComparedMetric, side: Variant) -> float:
    """Returns the variance that a side has in any case: of the resolution, of errors that come singly."""
    if metric.unit == "share":
        errors, asked = side.total.errors, side.total.asked
        return max(1, errors) / asked**2
    width = RESOLUTION
    if metric.percentile:
        bucket = bucket_of(int(_estimate(metric, side.total)))
        width = max(width, 1 - lowest_in(bucket) / (highest_in(bucket) + 1))
    # Of a value that may lie anywhere within the width.
    return width**2 / 12


def _verdict(metric: ComparedMetric, apart: float, reach: float) -> Verdict:
    if abs(apart) <= reach:
        return Verdict.NO_DIFFERENCE
    return Verdict.BETTER if (apart > 0) == metric.more_is_better else Verdict.WORSE
