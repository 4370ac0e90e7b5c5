"""How far a number might have come out otherwise: the block bootstrap, and the quantiles of Student's t.

A *unit* is what is drawn as a whole: a block of seconds, a whole recording, a pair of rounds. What happened within a
unit stays together, so nothing is assumed of single messages, which are anything but independent of each other.
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
"""Draws: a standard error is then within 5 % of what infinitely many would give, 19 times in 20."""
MOST_BLOCKS = 12
"""More and shorter blocks would tell little more of the spread (Schmeiser 1982: 10 to 30 are enough), and stay less
independent of each other."""
MOST_CORRELATION = 0.8
"""Of neighbouring blocks: beyond it there is hardly more than one value to look at."""
MOST_WITH_VALUE = 0.95
"""Of the replicates; the others drew nothing but units without a single reply."""
_NEAR = 1e-12
"""Radians."""
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)


def resample(units: int, seed: int) -> Floats:
    """Returns how often each unit is in each replicate: `REPLICATES` rows, each of `units` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / units), size=REPLICATES).astype(np.float64)


class BucketMatrix:
    """The buckets of several units' histograms, added up from the lowest, so that a replicate is a matrix product."""

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        found = [histogram.buckets() for histogram in histograms]
        self.buckets = np.unique(np.concatenate([buckets for buckets, _ in found]))
        rows = np.zeros((len(found), len(self.buckets)), dtype=np.int64)
        for row, (buckets, counts) in zip(rows, found, strict=True):
            row[np.searchsorted(self.buckets, buckets)] = counts
        # One row for each bucket: a replicate looks up single buckets, each with all its units.
        self._up_to: Floats = np.ascontiguousarray(rows.cumsum(axis=1).T, dtype=np.float64)
        self._log_highest: Floats = np.log(np.maximum(1, highest_of(self.buckets)))

    def log_quantiles(self, weights: Floats, share: float) -> Floats:
        """Returns the logarithm of each replicate's quantile in ns: the end of the bucket that holds its rank.

        NaN where a replicate has no value at all.
        """
        totals = weights @ self._up_to[-1]
        ranks = np.maximum(1.0, np.ceil(share * totals - 1e-6))
        low = np.zeros(len(weights), dtype=np.int64)
        high = np.full(len(weights), len(self.buckets) - 1, dtype=np.int64)
        while (low < high).any():
            middle = (low + high) // 2
            reached = np.einsum("ru,ru->r", weights, self._up_to[middle]) >= ranks
            high = np.where(reached, middle, high)
            # Where nothing at all was drawn, no rank is ever reached.
            low = np.where(reached, low, np.minimum(middle + 1, high))
        return np.where(totals > 0, self._log_highest[low], np.nan)

    def excess(self, log_quantile: float) -> Floats:
        """Returns how many more values of each unit than their share lie up to a quantile of them all."""
        place = min(int(np.searchsorted(self._log_highest, log_quantile - 1e-9)), len(self.buckets) - 1)
        up_to, totals = self._up_to[place], self._up_to[-1]
        excess: Floats = up_to - totals * (up_to.sum() / totals.sum())
        return excess


def variance(replicates: Floats, units: int) -> float:
    """Returns the variance of an estimate from its replicates, infinite where more than a few of them have no value.

    Draws from m units vary by (m - 1) / m of what the units' own spread says, which is put right here.
    """
    found = replicates[np.isfinite(replicates)]
    if len(found) < MOST_WITH_VALUE * len(replicates):
        return math.inf
    return float(found.var()) * units / (units - 1)


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How much neighbouring units resemble each other."""

    raw: float
    """The correlation of neighbours' deviations, as it comes out."""
    units: float
    """Of how many it was found, on average of the sides."""

    @classmethod
    def of(cls, sides: Sequence[Floats]) -> Autocorrelation | None:
        """Returns that of the units' deviations over all sides; None where nothing varies."""
        spread = [(side, float(side @ side)) for side in sides]
        found = [(len(side), float(side[1:] @ side[:-1]) / square) for side, square in spread if square > 0]
        if not found:
            return None
        units = sum(size for size, _ in found)
        return cls(sum(size * r for size, r in found) / units, units / len(found))

    def inflation(self, usual: float) -> float:
        """Returns by how much the variance of a mean exceeds that of independent units: (1 + r) / (1 - r).

        So it is where each unit depends on the one before it (AR(1)). In m values r comes out at r - (1 + 3 r) / m
        (Kendall 1954; Marriott and Pope 1954), which is put right; negative ones count as none.

        Args:
            usual: The correlation as it comes out on average of several metrics: what makes one second like the one
                before mostly shows in all of them, and taking half of it leaves less to chance.
        """
        r = (self.units * (self.raw + usual) / 2 + 1) / (self.units - 3) if self.units > 3 else MOST_CORRELATION
        r = min(max(r, 0.0), MOST_CORRELATION)
        return (1 + r) / (1 - r)


def welch_df(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Returns the degrees of freedom of a sum of independent variances (Welch 1947, Satterthwaite 1946)."""
    total = sum(variances)
    if total <= 0 or not math.isfinite(total):
        return min(dfs)
    return total**2 / sum(one**2 / df for one, df in zip(variances, dfs, strict=True))


@lru_cache(maxsize=256)
def student_t(p: float, df: float) -> float:
    """Returns the quantile of Student's t distribution for 0.5 <= p < 1 and any degrees of freedom from 1 on.

    Solves F(t) = p, where F(t) - 1/2 is the integral of cos(a) ** (df - 1) from 0 to arctan(t / sqrt(df)), over
    B(1/2, df/2): the density (Abramowitz and Stegun 26.7.1) under t = sqrt(df) tan(a), which is smooth enough for 64
    nodes of Gauss and Legendre.
    """
    beta = math.exp(math.lgamma(0.5) + math.lgamma(df / 2) - math.lgamma((df + 1) / 2))
    angle, step = 0.0, 1.0
    # Newton's method, over the angle, so that no tail is too long. F bends downwards, so it never steps too far.
    while step > _NEAR:
        inside = np.cos(angle * (_NODES + 1) / 2) ** (df - 1)
        area = angle / 2 * float(_NODE_WEIGHTS @ inside) / beta
        step = (p - 0.5 - area) * beta / math.cos(angle) ** (df - 1)
        angle += step
    return math.sqrt(df) * math.tan(angle)
