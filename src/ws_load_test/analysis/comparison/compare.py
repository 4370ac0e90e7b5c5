"""Comparison of two variants: the difference of each metric, its confidence interval, and a verdict.

Ratios are compared as logarithms, shares as differences. The standard error is that of a block bootstrap over each
variant's units (or over pairs of units), and is increased if neighboring blocks are correlated. The interval uses
Student's t, because a few units give only a rough estimate of their variance. If no metric differs, the probability
that any is reported as different is at most 1 - confidence: the metrics share that error (Holm 1979).
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
    INFORMAL,
    METRICS,
    ComparedMetric,
    Difference,
    Verdict,
    step_metrics,
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
"""Default probability that no metric is reported as different if none is."""
RESOLUTION = 2**-10
"""Smallest relative difference that counts, 0.1 %: a histogram does not resolve smaller ones."""
MAX_DF = 10_000
"""Degrees of freedom from which on Student's t is practically the normal distribution."""
MAX_HALF_WIDTH = math.log(1000)
"""Half-width, as a logarithm, from which on no interval is reported: it spans from 1/1000 to 1000 times the base."""
_SEEDS = (20_260_301, 20_260_302)
"""Seeds of the variants' draws, fixed so that the same recordings always give the same intervals."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of a new variant from a base."""

    base: Variant
    new: Variant
    paired: bool
    """True if unit k of one variant belongs to unit k of the other."""
    confidence: float
    """Probability that no metric is reported as different if none is."""
    differences: tuple[Difference, ...]
    left_out: tuple[tuple[ComparedMetric, str], ...]
    """Metrics that are not compared, each with the reason, a clause."""
    inconclusive_reason: str | None
    """Reason why nothing can be concluded, a sentence without a full stop; None if something can."""
    doubted_times: str | None = None
    """Reason why the times of replies are not compared, a clause: they are perhaps those of other messages."""

    @property
    def unanswered_variant(self) -> Variant | None:
        """The only variant without a reply; None if both or neither got replies."""
        counts = [variant.total.received for variant in (self.base, self.new)]
        if all(counts) or not any(counts):
            return None
        return self.base if not counts[0] else self.new

    @property
    def unit(self) -> str:
        """Name of the new variant's units: rounds, recordings, or blocks of intervals."""
        return "rounds" if self.paired else "recordings" if self.new.unit_is_recording else "blocks of intervals"

    @property
    def unanswered_recordings(self) -> int:
        """Recordings of the new variant without a reply; 0 if there are such recordings of the base too."""
        silent = [sum(not unit.received for unit in variant.units) for variant in (self.base, self.new)]
        return silent[1] if self.new.unit_is_recording and not silent[0] else 0

    @property
    def deciding(self) -> tuple[Difference, ...]:
        """Differences on which the verdict over all rests: all but that of `INFORMAL`, unless it is the only one."""
        return tuple(one for one in self.differences if one.metric.name != INFORMAL) or self.differences

    @property
    def overall(self) -> Verdict:
        """The verdict over all metrics: worse if any is worse, else better if any is better."""
        verdicts = {difference.verdict for difference in self.deciding}
        order = (Verdict.WORSE, Verdict.BETTER, Verdict.NO_DIFFERENCE)
        if self.unanswered_variant is not None:
            return Verdict.WORSE if self.unanswered_variant is self.new else Verdict.BETTER
        return next((verdict for verdict in order if verdict in verdicts), Verdict.UNKNOWN)

    def failing(self, limit: float) -> str | None:
        """Returns why the new variant fails, a clause: worse by more than `limit`, a share of the base. None if not.

        An inconclusive comparison fails too: a run that is too short must not pass a check for regressions.
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
        if self.inconclusive_reason is not None:
            return f"nothing can be concluded: {self.inconclusive_reason}"
        return None if self.doubted_times is None else f"times were not judged: {self.doubted_times}"

    def regressions(self, limit: float) -> list[Difference]:
        """Returns the metrics that are worse by more than `limit`, a share of the base."""
        return [difference for difference in self.differences if difference.is_regression(limit)]


def compare(
    base: Variant,
    new: Variant,
    *,
    confidence: float = CONFIDENCE,
    paired: bool = False,
    metrics: Sequence[ComparedMetric] = METRICS,
) -> Comparison:
    """Compares a new variant with a base.

    Args:
        base: Variant to compare with.
        new: Variant whose changes are reported.
        confidence: Probability that no metric is reported as different if none is; between 0.5 and 1.
        paired: True if unit k of one variant was measured right before or after unit k of the other.
        metrics: Metrics to compare; the fewer they are, the narrower their intervals at the same confidence. All of
            them are compared with those of each step of a scenario.
    """
    if metrics == METRICS:
        metrics = (*METRICS, *step_metrics(base.total, new.total))
    compared, left_out = [], []
    doubted = [variant.name for variant in (base, new) if variant.pairing_is_doubted]
    doubt = f"replies of {join_and(doubted)} are perhaps not those of their messages" if doubted else None
    for metric in metrics:
        reason = _why_left_out(metric, base, new)
        if reason is None and metric.unit == "ns" and metric.of in {"response", "first"}:
            reason = doubt
        if reason is None:
            compared.append(metric)
        elif reason:
            left_out.append((metric, reason))
    inconclusive = _why_inconclusive(base, new, paired=paired)
    if inconclusive is None and not compared:
        inconclusive = "there is no metric that both sides have measured"
    if inconclusive is None:
        comparer = _Comparer(base, new, compared, paired=paired)
        differences = tuple(_differences([comparer.estimate(metric) for metric in compared], 1 - confidence))
    else:
        differences = tuple(_inconclusive_difference(metric, base, new) for metric in compared)
    return Comparison(base, new, paired, confidence, differences, tuple(left_out), inconclusive, doubt)


_NO_TIMES = {
    "response": "nothing was answered",
    "connect": "no connection opened",
    "first": "{} has no times of first messages",
    "delivery": "{} has no deliveries",
    "last": "{} has no publish whose last delivery was followed",
    "step": "{} has no times of step {}",
}
"""Reasons why there are no times, by what they are of."""
_SLOWER = {"delivery": "deliveries", "last": "publishes"}
"""Nouns of what is timed, where they are not replies."""


def _inconclusive_difference(metric: ComparedMetric, base: Variant, new: Variant) -> Difference:
    """Returns a difference without an interval."""
    values = _point_estimate(metric, base.total), _point_estimate(metric, new.total)
    estimate = _Estimate(metric, *values, _difference(metric, *values), math.inf, 1.0)
    return estimate.to_difference(math.inf, Verdict.UNKNOWN)


def _why_left_out(metric: ComparedMetric, base: Variant, new: Variant) -> str | None:
    """Returns why a metric is not compared, a clause; "" if a report need not mention it, None if it is compared."""
    totals = (base.total, new.total)
    if metric.of == "connect" and not (base.unit_is_recording and new.unit_is_recording):
        # Each recording opened its connections once, so the variation of connect times is unknown.
        return ""
    if metric.of == "step" and any(_is_mostly_outside(metric, variant) for variant in (base, new)):
        # Most of a step that a session takes once comes before the load, in no block.
        return ""
    if metric.is_optional and not any(metric.times(total).count for total in totals):
        # An answer is one message on both sides, or nothing was answered, which other metrics report.
        return ""
    if metric.unit == "share":
        return None if all(metric.share(total)[1] for total in totals) else "no message was due"
    if (metric.name == "rate" or metric.of == "response") and all(
        total.delivery.count and not total.response.count for total in totals
    ):
        # No acknowledgement was awaited in either fan-out.
        return ""
    if metric.name == "rate":
        return None if all(total.answered_in_window for total in totals) else "nothing was answered"
    for variant in (base, new):
        count = metric.times(variant.total).count
        if not count:
            return _NO_TIMES[metric.of].format(variant.name, metric.step)
        if metric.percentile and too_few_in_tail(metric.percentile, count):
            return "" if metric.of == "connect" else f"too few {_SLOWER.get(metric.of, 'replies')} were slower"
    return None


def _is_mostly_outside(metric: ComparedMetric, variant: Variant) -> bool:
    """Returns True if a variant that is cut into blocks has more than half of the times in none of them."""
    return metric.times(variant.outside_units).count * 2 > metric.times(variant.total).count


def _why_inconclusive(base: Variant, new: Variant, *, paired: bool) -> str | None:
    """Returns why no metric of these variants can be compared, a clause; None if some can."""
    if all(variant.total.errors >= variant.total.requested for variant in (base, new)):
        return "nothing succeeded on either side"
    for variant in (base, new):
        units, needed = len(variant.units), variant.min_units
        if units >= needed:
            continue
        if paired:
            pairs = "is 1 pair" if units == 1 else f"are {units} pairs"
            return f"there {pairs} of rounds, and it takes {needed} to tell a difference from chance"
        plural = "s" * (units != 1)
        if variant.unit_is_recording:
            return (
                f"{variant.name} has {units} recording{plural}, and it takes {needed} repeats to tell a difference from"
                " chance"
            )
        return (
            f"{variant.name} was measured for {units} interval{plural}, and it takes {needed} to tell a"
            " difference from chance: run longer, or compare directories of repeats"
        )
    return None


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Difference of a metric between the variants, with its variance."""

    metric: ComparedMetric
    base: float
    new: float
    difference: float
    """Difference of logarithms, or of shares."""
    variance: float
    """Variance of `difference`."""
    df: float
    """Degrees of freedom of `variance`."""

    def half_width(self, error: float) -> float:
        """Returns half the width of the interval that misses the true difference with probability `error`."""
        if not math.isfinite(self.variance):
            return math.inf
        return student_t(1 - error / 2, min(self.df, MAX_DF)) * math.sqrt(self.variance)

    def to_difference(self, half_width: float, verdict: Verdict | None = None) -> Difference:
        """Returns the difference with its interval, and with its verdict unless one is given."""
        verdict = verdict or _verdict(self.metric, self.difference, half_width)
        change = self._change(self.difference)
        low = high = None
        if half_width < MAX_HALF_WIDTH:
            low, high = self._change(self.difference - half_width), self._change(self.difference + half_width)
        return Difference(self.metric, self.base, self.new, change, low, high, verdict)

    def _change(self, difference: float) -> float:
        return min(max(difference, -1.0), 1.0) if self.metric.unit == "share" else math.expm1(difference)


def _differences(estimates: Sequence[_Estimate], error: float) -> Iterator[Difference]:
    """Yields the differences; the probability that any is reported by chance is at most `error` (Holm 1979).

    Whenever metrics are found to differ, the remaining ones share the error among fewer.
    """
    half_widths: dict[int, float] = {}
    while True:
        remaining = [index for index in range(len(estimates)) if index not in half_widths]
        candidates = {index: estimates[index].half_width(error / len(remaining)) for index in remaining}
        different = {
            index: half_width
            for index, half_width in candidates.items()
            if abs(estimates[index].difference) > half_width
        }
        half_widths |= different
        if not different or len(different) == len(remaining):
            break
    half_widths = candidates | half_widths
    yield from (estimate.to_difference(half_widths[index]) for index, estimate in enumerate(estimates))


class _Comparer:
    """Estimates the differences of two variants, metric by metric."""

    def __init__(self, base: Variant, new: Variant, metrics: Sequence[ComparedMetric], *, paired: bool) -> None:
        self.variants = (base, new)
        self.paired = paired
        self._matrices: dict[str, list[BucketMatrix]] = {}
        """Matrices of times, by what they are of."""
        self._correlations: dict[str, Autocorrelation] = {}
        self._cut = [index for index, variant in enumerate(self.variants) if not variant.unit_is_recording]
        """Indices of the variants whose units are blocks: only blocks have correlated neighbors."""
        if self._cut:
            for metric in metrics:
                correlation = Autocorrelation.of([self._deviations(metric, index) for index in self._cut])
                if correlation is not None:
                    self._correlations[metric.name] = correlation
        correlations = [
            self._correlations[metric.name].raw
            for metric in metrics
            if metric.unit == "ns" and metric.name in self._correlations
        ]
        self._average_correlation = sum(correlations) / len(correlations) if correlations else 0.0

    def estimate(self, metric: ComparedMetric) -> _Estimate:
        """Returns a metric's difference and the variance of it."""
        base, new = (_point_estimate(metric, variant.total) for variant in self.variants)
        return _Estimate(metric, base, new, _difference(metric, base, new), *self._variance(metric))

    def _variance(self, metric: ComparedMetric) -> tuple[float, float]:
        """Returns the variance of the difference of logarithms or shares, and its degrees of freedom."""
        sizes = [len(variant.units) for variant in self.variants]
        replicates = [
            self._replicates(metric, index, _draws(size, _SEEDS[0 if self.paired else index]))
            for index, size in enumerate(sizes)
        ]
        if self.paired:
            total, df = variance(replicates[1] - replicates[0], sizes[0]), sizes[0] - 1.0
        else:
            parts = [variance(values, size) for values, size in zip(replicates, sizes, strict=True)]
            if metric.name in self._correlations:
                for index in self._cut:
                    parts[index] *= self._correlations[metric.name].inflation(self._average_correlation)
            df = welch_df(parts, [size - 1.0 for size in sizes])
            total = sum(parts)
        return total + sum(_min_variance(metric, variant) for variant in self.variants), df

    def _replicates(self, metric: ComparedMetric, index: int, weights: Floats) -> Floats:
        """Returns a variant's replicates: shares, or logarithms of all other metrics."""
        variant = self.variants[index]
        if metric.percentile:
            return self._matrices_of(metric)[index].log_quantiles(weights, float(metric.percentile) / 100)
        numerators, denominators = _ratio_parts(metric, variant.units)
        if metric.unit == "share":
            count, whole = metric.share(variant.outside_units)
            return (weights @ numerators + count) / np.maximum(1.0, weights @ denominators + whole)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs: Floats = np.log((weights @ numerators) / (weights @ denominators))
        return logs

    def _deviations(self, metric: ComparedMetric, index: int) -> Floats:
        """Returns each unit's deviation from its proportional share of the whole."""
        variant = self.variants[index]
        if metric.percentile:
            quantile = math.log(max(1.0, _point_estimate(metric, variant.total)))
            return self._matrices_of(metric)[index].excess(quantile)
        numerators, denominators = _ratio_parts(metric, variant.units)
        deviations: Floats = numerators - denominators * (numerators.sum() / max(1.0, denominators.sum()))
        return deviations

    def _matrices_of(self, metric: ComparedMetric) -> list[BucketMatrix]:
        key = metric.source
        if key not in self._matrices:
            self._matrices[key] = [
                BucketMatrix([metric.times(unit) for unit in variant.units]) for variant in self.variants
            ]
        return self._matrices[key]


@lru_cache(maxsize=64)
def _draws(units: int, seed: int) -> Floats:
    return resample(units, seed)


def _point_estimate(metric: ComparedMetric, total: ResamplingUnit) -> float:
    """Returns a metric of a whole variant, the value in its report."""
    if metric.unit == "share":
        count, whole = metric.share(total)
        return count / whole
    if metric.name == "rate":
        return total.answered_in_window * 1e9 / total.measured_ns
    times = metric.times(total)
    value = times.percentiles((metric.percentile,))[0] if metric.percentile else times.mean()
    return max(1.0, float(value or 0))


def _difference(metric: ComparedMetric, base: float, new: float) -> float:
    return new - base if metric.unit == "share" else math.log(new / base)


def _ratio_parts(metric: ComparedMetric, units: Sequence[ResamplingUnit]) -> tuple[Floats, Floats]:
    """Returns numerator and denominator of the metric for each unit."""
    pairs: Iterator[tuple[float, float]]
    if metric.unit == "share":
        pairs = (metric.share(unit) for unit in units)
    elif metric.name == "rate":
        pairs = ((unit.answered_in_window, unit.measured_ns / 1e9) for unit in units)
    else:
        pairs = ((float(unit.response.sum), unit.response.count) for unit in units)
    numerators, denominators = zip(*pairs, strict=True)
    return np.array(numerators, dtype=np.float64), np.array(denominators, dtype=np.float64)


def _min_variance(metric: ComparedMetric, variant: Variant) -> float:
    """Returns the variance that does not depend on the units: of the resolution, and of single errors (Poisson)."""
    if metric.unit == "share":
        count, whole = metric.share(variant.total)
        return max(1, count) / whole**2
    width = RESOLUTION
    if metric.percentile:
        bucket = bucket_of(int(_point_estimate(metric, variant.total)))
        width = max(width, 1 - lowest_in(bucket) / (highest_in(bucket) + 1))
    # Variance of the uniform distribution over the width.
    return width**2 / 12


def _verdict(metric: ComparedMetric, difference: float, half_width: float) -> Verdict:
    if abs(difference) <= half_width:
        return Verdict.NO_DIFFERENCE
    return Verdict.BETTER if (difference > 0) == metric.more_is_better else Verdict.WORSE
