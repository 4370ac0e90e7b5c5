"""Percentiles at which a distribution is sampled: closer and closer together towards the maximum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.metrics.histogram import Histogram

TICKS = 5
"""Steps per halving of the distance to 100 %: the default of HdrHistogram's Java library."""


def steps(histogram: Histogram) -> Iterator[tuple[int, float, int]]:
    """Yields (value in ns, percentile, values up to it), the last at 100; as PercentileIterator of HdrHistogram steps.

    A value is the highest of its bucket, but never above the exact maximum, as in all of our reports.
    """
    if histogram.max is None:
        return
    level, reached = 0.0, 0
    for _, highest, count in histogram.iter_buckets():
        reached += count
        while level < 100 and 100 * reached / histogram.count >= level:
            yield min(highest, histogram.max), level, reached
            if reached == histogram.count:
                break
            ticks = TICKS * 2 ** (int(math.log(100 / (100 - level)) / math.log(2)) + 1)
            level += 100 / ticks
    yield histogram.max, 100.0, histogram.count
