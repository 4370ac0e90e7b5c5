"""``--hgrm``: the percentiles of the response times, laid out as HdrHistogram's outputPercentileDistribution does it.

Its steps halve the distance to 100 % again and again, five to each half, and end at the maximum: how far the tail
is resolved depends on the number of replies and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.report.content.percentile_steps import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.report.results import Results

_SUB_BUCKETS = 2_048
_HOUR_NS = 3_600_000_000_000
_MS = 1e6


def lines(results: Results) -> Iterator[str]:
    """Yields the distribution in ms, with six places, because the times of a near target are a few hundredths."""
    times = results.aggregate.tally.response_time_ns
    yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n\n"
    for value_ns, percentile, count in steps(times):
        head = f"{value_ns / _MS:12.6f} {percentile / 100:2.12f} {count:10d}"
        yield f"{head}\n" if percentile >= 100 else f"{head} {1 / (1 - percentile / 100):14.2f}\n"
    mean, stdev = (times.mean() or 0.0) / _MS, (times.stdev() or 0.0) / _MS
    yield f"#[Mean    = {mean:12.6f}, StdDeviation   = {stdev:12.6f}]\n"
    yield f"#[Max     = {(times.max or 0) / _MS:12.6f}, Total count    = {times.count:12d}]\n"
    yield f"#[Buckets = {_buckets(times):12d}, SubBuckets     = {_SUB_BUCKETS:12d}]\n"
    yield "#[Unit    =           ms, of response times]\n"
    yield f"#[Target  = {sanitize(results.summary.target)}]\n"


def _buckets(histogram: Histogram) -> int:
    """Returns how many buckets of `_SUB_BUCKETS` reach an hour, or all of 63 bits where a value is beyond it."""
    highest_ns = LARGEST if histogram.max is not None and histogram.max > _HOUR_NS else _HOUR_NS
    return 1 + max(0, highest_ns.bit_length() - _SUB_BUCKETS.bit_length() + 1)
