"""Block bootstrap of an estimate's variance, and quantiles of Student's t.

A *unit* is resampled as a whole: a block of intervals, a whole recording, a pair of rounds. Messages within a unit stay
together, since messages that are close in time are not independent of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.metrics.hdr_buckets import highest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ws_load_test.metrics.histogram import Histogram

    Floats = NDArray[np.float64]

REPLICATES = 1_000
"""Bootstrap draws: a standard error is then within 5 % of the limit of infinitely many, 19 times in 20."""
MAX_BLOCKS = 12
"""Blocks that the intervals of a variant are cut into, at most.

More and shorter blocks would hardly improve the estimate of the variance (Schmeiser 1982: 10 to 30 are enough), and
would be less independent of each other.
"""
MAX_CORRELATION = 0.8
"""Largest correlation of neighboring blocks that is corrected for: beyond it there is hardly more than one value."""
MIN_DEFINED_SHARE = 0.95
"""Share of the replicates that must have a value; the others drew only units without a reply."""
_ANGLE_TOLERANCE = 1e-12
"""Radians at which Newton's method stops, close to the precision of a double."""
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)


def resample(units: int, seed: int) -> Floats:
    """Returns the count of each unit in each replicate: `REPLICATES` rows, each of `units` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / units), size=REPLICATES).astype(np.float64)


class BucketMatrix:
    """Cumulative counts of the buckets of several units' histograms, so that a replicate is a matrix product."""

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        contents = [histogram.buckets() for histogram in histograms]
        self.buckets = np.unique(np.concatenate([buckets for buckets, _ in contents]))
        rows = np.zeros((len(contents), len(self.buckets)), dtype=np.int64)
        for row, (buckets, counts) in zip(rows, contents, strict=True):
            row[np.searchsorted(self.buckets, buckets)] = counts
        # One row for each bucket: a replicate reads single buckets, each with all its units.
        self._up_to: Floats = np.ascontiguousarray(rows.cumsum(axis=1).T, dtype=np.float64)
        self._log_highest: Floats = np.log(np.maximum(1, highest_of(self.buckets)))

    def log_quantiles(self, weights: Floats, share: float) -> Floats:
        """Returns the logarithm of each replicate's quantile in ns: the end of the bucket that holds its rank.

        It is NaN for a replicate without values.
        """
        totals = weights @ self._up_to[-1]
        ranks = np.maximum(1.0, np.ceil(share * totals - 1e-6))
        low = np.zeros(len(weights), dtype=np.int64)
        high = np.full(len(weights), len(self.buckets) - 1, dtype=np.int64)
        while (low < high).any():
            middle = (low + high) // 2
            reached = np.einsum("ru,ru->r", weights, self._up_to[middle]) >= ranks
            high = np.where(reached, middle, high)
            # In a replicate without values, no rank is ever reached.
            low = np.where(reached, low, np.minimum(middle + 1, high))
        return np.where(totals > 0, self._log_highest[low], np.nan)

    def excess(self, log_quantile: float) -> Floats:
        """Returns, for each unit, its values up to a quantile of all units, less its proportional share of these."""
        index = min(int(np.searchsorted(self._log_highest, log_quantile - 1e-9)), len(self.buckets) - 1)
        up_to, totals = self._up_to[index], self._up_to[-1]
        excess: Floats = up_to - totals * (up_to.sum() / totals.sum())
        return excess


def variance(replicates: Floats, units: int) -> float:
    """Returns the variance of an estimate from its replicates; infinite if fewer than `MIN_DEFINED_SHARE` have a value.

    Draws from m units have (m - 1) / m of the variance that an unbiased estimate has; this is corrected.
    """
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < MIN_DEFINED_SHARE * len(replicates):
        return math.inf
    return float(defined.var()) * units / (units - 1)


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """Correlation of neighboring units."""

    raw: float
    """Correlation of the deviations of neighbors, before the correction of its bias."""
    units: float
    """Number of units it was estimated from, averaged over the variants."""

    @classmethod
    def of(cls, series: Sequence[Floats]) -> Autocorrelation | None:
        """Estimates it from the units' deviations, a series for each variant; returns None if nothing varies."""
        squares = [(deviations, float(deviations @ deviations)) for deviations in series]
        estimates = [
            (len(deviations), float(deviations[1:] @ deviations[:-1]) / square)
            for deviations, square in squares
            if square > 0
        ]
        if not estimates:
            return None
        units = sum(size for size, _ in estimates)
        return cls(sum(size * r for size, r in estimates) / units, units / len(estimates))

    def inflation(self, average: float) -> float:
        """Returns the variance of a mean relative to that of independent units: (1 + r) / (1 - r).

        This holds if each unit depends on the one before it (AR(1)). In m values, r is estimated as r - (1 + 3 r) / m
        (Kendall 1954; Marriott and Pope 1954), which is corrected; a negative r counts as 0.

        Args:
            average: Raw correlation averaged over several metrics. A cause that makes one second like the one before
                mostly shows in all of them, so the mean of both values varies less than the metric's own.
        """
        r = (self.units * (self.raw + average) / 2 + 1) / (self.units - 3) if self.units > 3 else MAX_CORRELATION
        r = min(max(r, 0.0), MAX_CORRELATION)
        return (1 + r) / (1 - r)


def welch_df(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Returns the degrees of freedom of a sum of independent variances (Welch 1947, Satterthwaite 1946)."""
    total = sum(variances)
    if total <= 0 or not math.isfinite(total):
        return min(dfs)
    return total**2 / sum(part**2 / df for part, df in zip(variances, dfs, strict=True))


@lru_cache(maxsize=256)
def student_t(p: float, df: float) -> float:
    """Returns the quantile of Student's t distribution for 0.5 <= p < 1 and any degrees of freedom from 1 on.

    Solves F(t) = p, where F(t) - 1/2 is the integral of cos(a) ** (df - 1) from 0 to arctan(t / sqrt(df)), over
    B(1/2, df/2): the density (Abramowitz and Stegun 26.7.1) under t = sqrt(df) tan(a), which is smooth enough for 64
    nodes of Gauss and Legendre.
    """
    beta = math.exp(math.lgamma(0.5) + math.lgamma(df / 2) - math.lgamma((df + 1) / 2))
    angle, step = 0.0, 1.0
    # Newton's method, over the angle, so that no tail is too long. F is concave, so no step overshoots.
    while step > _ANGLE_TOLERANCE:
        inside = np.cos(angle * (_NODES + 1) / 2) ** (df - 1)
        area = angle / 2 * float(_NODE_WEIGHTS @ inside) / beta
        step = (p - 0.5 - area) * beta / math.cos(angle) ** (df - 1)
        angle += step
    return math.sqrt(df) * math.tan(angle)
