"""Encoding of metric families in OpenTelemetry's data model: its SDK's data classes, filled from our histograms.

The SDK's instruments are not used: everything is counted already, and counts, sums and extremes are exact. Names are
those of the other formats, as OpenTelemetry translates them: ``ws_load_test.response_time`` in ``s`` is
``ws_load_test_response_time_seconds``. https://opentelemetry.io/docs/specs/otel/metrics/data-model
"""

from __future__ import annotations

import math
import os
import socket
import uuid
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as ExplicitHistogram
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ws_load_test.metrics.metric_families import BOUNDS_NS, cumulative_counts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.live.telemetry.snapshot import RunInfo, Snapshot
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.metric_families import Family

SCOPE = "ws_load_test"
EXPONENTIAL = "base2_exponential_bucket_histogram"
MAX_SCALE = 5
"""Finest scale: buckets 2.2 % wide, twenty of ours; finer ones would show the edges of our buckets."""
MAX_BUCKETS = 160
"""Most buckets of an exponential histogram: as many as the SDK's own have."""
_UCUM = {"seconds": "s", "bytes": "By", "ratio": "1"}
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class OtlpEncoder:
    """Translates the snapshots of one run."""

    def __init__(self, info: RunInfo) -> None:
        attributes = {
            "service.name": "ws-load-test",
            "service.version": info.version,
            # Without it, two generators that push to one collector look like one that counts backwards.
            "service.instance.id": str(uuid.uuid4()),
            "host.name": socket.gethostname(),
            f"{SCOPE}.target": info.target,
        }
        # The environment (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) takes precedence.
        self._resource = Resource(attributes).merge(OTELResourceDetector().detect())
        self._started_ns = info.started_ns
        self._scope = InstrumentationScope(SCOPE, info.version)
        kind = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "")
        self._exponential = kind.strip().lower() == EXPONENTIAL

    def translate(self, snapshot: Snapshot) -> MetricsData:
        """Returns a snapshot as the data of one push."""
        metrics = [
            self._metric(family, snapshot.at_ns)
            for family in snapshot.families
            # Its labels are in the resource.
            if family.name != "run_info" and (family.points or family.histograms())
        ]
        scope = ScopeMetrics(self._scope, metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _metric(self, family: Family, at_ns: int) -> Metric:
        name = f"{SCOPE}.{family.name.removesuffix(f'_{family.unit}')}"
        unit = _UCUM.get(family.unit, f"{{{family.unit_name}}}" if family.unit_name else "")
        return Metric(name, family.text, unit, self._data(family, at_ns))

    def _data(self, family: Family, at_ns: int) -> Any:
        instants: dict[str, Any] = {"start_time_unix_nano": self._started_ns, "time_unix_nano": at_ns}
        if family.kind == "histogram":
            parts = [
                (times, {"attributes": dict(labels), "count": times.count, **_seconds(times), **instants})
                for labels, times in family.histograms()
            ]
            if self._exponential:
                return ExponentialHistogram([_exponential(*part) for part in parts], _CUMULATIVE)
            return ExplicitHistogram([_explicit(*part) for part in parts], _CUMULATIVE)
        points = [NumberDataPoint(dict(point.labels), value=point.value, **instants) for point in family.points]
        return Gauge(points) if family.kind == "gauge" else Sum(points, _CUMULATIVE, is_monotonic=True)


def _seconds(times: Histogram) -> dict[str, float | None]:
    """Returns the exact sum and extremes in seconds; an empty histogram has no extremes, which the protocol allows."""
    low, high = (None if ns is None else ns / 1e9 for ns in (times.min, times.max))
    return {"sum": times.sum / 1e9, "min": low, "max": high}


def _explicit(times: Histogram, fields: dict[str, Any]) -> HistogramDataPoint:
    reached = [count for _, count in cumulative_counts(times)]
    counts = [later - earlier for earlier, later in zip([0, *reached], [*reached, times.count], strict=True)]
    bounds = [bound / 1e9 for bound in BOUNDS_NS]
    return HistogramDataPoint(bucket_counts=counts, explicit_bounds=bounds, **{"attributes": {}, **fields})


def _exponential(times: Histogram, fields: dict[str, Any]) -> ExponentialHistogramDataPoint:
    """Returns a histogram whose buckets are a constant factor wide, at the finest scale at which they are few enough.

    A time counts as the highest of its own bucket, never above the exact maximum, so a time within a thousandth below
    the end of a bucket may be in the next one.
    """
    values = [(min(high, times.max or 0), count) for _, high, count in times.iter_buckets()]
    scale = MAX_SCALE
    counts = _bucket_counts(values, scale)
    while counts and max(counts) - min(counts) >= MAX_BUCKETS:
        scale -= 1
        counts = _bucket_counts(values, scale)
    first, last = (min(counts), max(counts)) if counts else (0, -1)
    return ExponentialHistogramDataPoint(
        scale=scale,
        zero_count=sum(count for ns, count in values if ns == 0),
        positive=Buckets(first, [counts.get(index, 0) for index in range(first, last + 1)]),
        negative=Buckets(0, []),
        flags=0,
        **{"attributes": {}, **fields},
    )


def _bucket_counts(values: Iterable[tuple[int, int]], scale: int) -> dict[int, int]:
    """Returns the count of each bucket; bucket i holds times in seconds above 2^(i / 2^scale), up to those of i + 1.

    See https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram.
    """
    counts: dict[int, int] = {}
    for ns, count in values:
        if ns:
            index = math.ceil(math.log2(ns / 1e9) * 2.0**scale) - 1
            counts[index] = counts.get(index, 0) + count
    return counts
