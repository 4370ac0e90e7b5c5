"""Statistics of durations, as summaries have them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Self

import msgspec
from msgspec import Meta, field

from ws_load_test.metrics.histogram import Histogram


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics that are found by their keys in JSON."""

    def value(self, key: str) -> int:
        """Returns a statistic by its key in JSON (``p99.9``, ``max``).

        Raises:
            KeyError: There is no such statistic.
        """
        return int(getattr(self, _attributes(type(self))[key]))


@cache
def _attributes(statistics: type[Statistics]) -> dict[str, str]:
    return {one.encode_name: one.name for one in msgspec.structs.fields(statistics)}


class TimeStats(Statistics, frozen=True, kw_only=True):
    """Statistics of a histogram of durations in ns. A percentile is the highest value of its HdrHistogram bucket."""

    count: Annotated[int, Meta(description="Number of values.")]
    min: Annotated[int, Meta(description="Lowest value, exact, in ns.")]
    mean: Annotated[int, Meta(description="Arithmetic mean of the exact values, in ns.")]
    stdev: Annotated[int, Meta(description="Standard deviation in ns, from the buckets; 0 for a single value.")]
    max: Annotated[int, Meta(description="Highest value, exact, in ns.")]
    p5: Annotated[int, Meta(description="5th percentile in ns.")]
    p10: Annotated[int, Meta(description="10th percentile in ns.")]
    p50: Annotated[int, Meta(description="Median in ns.")]
    p75: Annotated[int, Meta(description="75th percentile in ns.")]
    p90: Annotated[int, Meta(description="90th percentile in ns.")]
    p95: Annotated[int, Meta(description="95th percentile in ns.")]
    p99: Annotated[int, Meta(description="99th percentile in ns.")]
    p99_9: Annotated[int, Meta(description="99.9th percentile in ns.")] = field(name="p99.9")
    p99_99: Annotated[int, Meta(description="99.99th percentile in ns.")] = field(name="p99.99")

    @classmethod
    def of(cls, histogram: Histogram) -> Self | None:
        """Returns the statistics of a histogram; None for an empty one."""
        return msgspec.convert(histogram.stats(), cls | None)
