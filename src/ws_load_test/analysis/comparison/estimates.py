"""Estimates of how much each metric of two variants differs, and how sure that is.

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
from ws_load_test.analysis.comparison.metrics import ComparedMetric, Difference, Verdict
from ws_load_test.analysis.comparison.samples import ResamplingUnit, Variant
from ws_load_test.metrics.hdr_buckets import bucket_of, highest_in, lowest_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESOLUTION = 2**-10
"""Smallest relative difference that counts, 0.1 %: a histogram does not resolve smaller ones."""
MAX_DF = 10_000
"""Degrees of freedom from which on Student's t is practically the normal distribution."""
MAX_HALF_WIDTH = math.log(1000)
"""Half-width, as a logarithm, from which on no interval is reported: it spans from 1/1000 to 1000 times the base."""
_SEEDS = (20_260_301, 20_260_302)
"""Seeds of the variants' draws, fixed so that the same recordings always give the same intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
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


def differences_of(estimates: Sequence[Estimate], error: float) -> Iterator[Difference]:
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


class Estimator:
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

    def estimate(self, metric: ComparedMetric) -> Estimate:
        """Returns a metric's difference and the variance of it."""
        base, new = (point_estimate(metric, variant.total) for variant in self.variants)
        return Estimate(metric, base, new, difference_of(metric, base, new), *self._variance(metric))

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
            quantile = math.log(max(1.0, point_estimate(metric, variant.total)))
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


def point_estimate(metric: ComparedMetric, total: ResamplingUnit) -> float:
    """Returns a metric of a whole variant, the value in its report."""
    if metric.unit == "share":
        count, whole = metric.share(total)
        return count / whole
    if metric.name == "rate":
        return total.answered_in_window * 1e9 / total.measured_ns
    times = metric.times(total)
    value = times.percentiles((metric.percentile,))[0] if metric.percentile else times.mean()
    return max(1.0, float(value or 0))


def difference_of(metric: ComparedMetric, base: float, new: float) -> float:
    """Returns the difference of two shares, or of the logarithms of two other values."""
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
        bucket = bucket_of(int(point_estimate(metric, variant.total)))
        width = max(width, 1 - lowest_in(bucket) / (highest_in(bucket) + 1))
    # Variance of the uniform distribution over the width.
    return width**2 / 12


def _verdict(metric: ComparedMetric, difference: float, half_width: float) -> Verdict:
    if abs(difference) <= half_width:
        return Verdict.NO_DIFFERENCE
    return Verdict.BETTER if (difference > 0) == metric.more_is_better else Verdict.WORSE
