"""Statistics of whole numbers and rates, such as the messages of each answer; those of times are `TimeStats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from ws_load_test.metrics.histogram import Histogram

_PERCENTILES = ("5", "50", "95", "99")


class NumberStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a histogram of numbers. A percentile is the highest value of its HdrHistogram bucket."""

    count: Annotated[int, Meta(description="How many values there are.")]
    min: Annotated[float, Meta(description="Lowest value.")]
    mean: Annotated[float, Meta(description="Arithmetic mean.")]
    max: Annotated[float, Meta(description="Highest value.")]
    p5: Annotated[float, Meta(description="5th percentile.")]
    p50: Annotated[float, Meta(description="Median.")]
    p95: Annotated[float, Meta(description="95th percentile.")]
    p99: Annotated[float, Meta(description="99th percentile.")]

    @classmethod
    def of(cls, histogram: Histogram, *, per: int = 1) -> Self | None:
        """Returns the statistics of a histogram, each divided by `per`; None for an empty one."""
        low, high, mean = histogram.min, histogram.max, histogram.mean()
        if low is None or high is None or mean is None:
            return None
        found = {
            f"p{percentile}": (value or 0) / per
            for percentile, value in zip(_PERCENTILES, histogram.percentiles(_PERCENTILES), strict=True)
        }
        return cls(count=histogram.count, min=low / per, mean=mean / per, max=high / per, **found)
