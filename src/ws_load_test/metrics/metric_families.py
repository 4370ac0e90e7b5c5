"""Metric families: what is counted and timed, by name, without the format in which it travels.

The metrics file, the live endpoint and the pushes to a collector all render these, so they cannot disagree. A family's
name ends in its unit, and times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.catalog import METRICS
from ws_load_test.metrics.hdr_buckets import bucket_of, lowest_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.metric_spec import MetricSpec
    from ws_load_test.metrics.tally import Tally

PREFIX = "ws_load_test_"
BOUNDS_NS = (*(digit * 10**power for power in range(4, 11) for digit in (1, 2, 5)), 10**11)
"""Upper bounds of buckets, from 10 µs to 100 s: the same everywhere, so that they can be added up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family, distinguished from the others by its labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: points, or the times of a histogram."""

    name: str
    """Without the prefix, with the unit."""
    kind: str
    """``counter``, ``gauge`` or ``histogram``."""
    text: str
    """Meaning, in a sentence."""
    points: Sequence[Sample] = ()
    times: Histogram | None = None
    """In ns; where it is a histogram without labels."""
    series: Sequence[tuple[Mapping[str, str], Histogram]] = ()
    """Labels and times in ns; where it is a histogram for each of several labels."""
    unit: str = ""
    """``seconds``, ``bytes``, ``ratio``, or none."""
    unit_name: str = ""
    """Noun for one of what is counted (``message``), where there is no unit."""

    def histograms(self) -> Sequence[tuple[Mapping[str, str], Histogram]]:
        """Returns the histograms with their labels; none where it is no histogram."""
        return self.series if self.times is None else (({}, self.times),)

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yields what Prometheus knows of it: a suffix of the name, labels, a value; times in seconds."""
        for labels, times in self.histograms():
            for bound, count in cumulative_counts(times):
                yield "_bucket", {**labels, "le": repr(bound / 1e9)}, count
            yield "_bucket", {**labels, "le": "+Inf"}, times.count
            yield "_count", labels, times.count
            yield "_sum", labels, times.sum / 1e9
        suffix = "_total" if self.kind == "counter" else ""
        for point in self.points:
            yield suffix, point.labels, point.value


def gauge(name: str, text: str, value: float, unit: str = "") -> Family:
    """Returns a family of one value that goes up and down."""
    return Family(name, "gauge", text, (Sample({}, value),), unit=unit)


def counter(name: str, text: str, value: int, *, unit: str = "", unit_name: str = "") -> Family:
    """Returns a family of one count."""
    return Family(name, "counter", text, (Sample({}, value),), unit=unit, unit_name=unit_name)


def counters(name: str, text: str, label: str, counts: Mapping[str, int], unit_name: str) -> Family:
    """Returns a family of counts by a label, the highest first; what is the same once it is clean is one."""
    cleaned: dict[str, int] = {}
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count:
            cleaned[sanitize(key)] = cleaned.get(sanitize(key), 0) + count
    return Family(
        name, "counter", text, tuple(Sample({label: key}, n) for key, n in cleaned.items()), unit_name=unit_name
    )


def counter_families(tally: Tally) -> Iterator[Family]:
    """Yields the counts of a tally."""
    for name, spec in METRICS.items():
        if not spec.family or spec.kind == "time" or not _is_of(tally, spec):
            continue
        value = getattr(tally, name)
        if spec.kind == "labeled":
            yield counters(spec.family, spec.help, spec.label, value, spec.unit_name)
        else:
            unit = "bytes" if spec.kind == "size" else ""
            yield counter(spec.family, spec.help, value, unit=unit, unit_name=spec.unit_name)


def _is_of(tally: Tally, spec: MetricSpec) -> bool:
    """Returns False for what only streams, fan-outs or scenarios have, where there were none."""
    fan_out = bool(tally.deliveries_expected or tally.delivery_time_ns.count)
    return spec.is_of(streams=bool(tally.streamed), fan_out=fan_out, scenario=bool(tally.roles))


def throughput(answered_per_s: float | None) -> Iterator[Family]:
    """Yields the throughput, where anything was measured."""
    if answered_per_s is not None:
        yield gauge("answered_per_second", "Replies read in the measured time, for each second of it.", answered_per_s)


def duration(measured_s: float) -> Family:
    """Returns the measured time."""
    return gauge("duration_seconds", "How long was measured.", measured_s, "seconds")


def histogram_families(tally: Tally) -> Iterator[Family]:
    """Yields the times of a tally so far, as copies, so that another thread can read them."""
    for name, spec in METRICS.items():
        if spec.family and spec.kind == "time" and _is_of(tally, spec):
            times = tally.service_times_ns if name == "service_time_ns" else getattr(tally, name)
            yield Family(spec.family, "histogram", spec.help, times=times.copy(), unit="seconds")


def workers(count: int) -> Family:
    """Returns the number of worker processes."""
    return gauge("generator_workers", "Worker processes.", count)


def cumulative_counts(times: Histogram) -> Iterator[tuple[int, int]]:
    """Yields each bound in ns and how many times do not pass it.

    A time counts as the highest of its bucket, never above the exact maximum, as in the percentiles: so one within
    a thousandth below a bound may count as above it.
    """
    for bound in BOUNDS_NS:
        if (times.max or 0) <= bound:
            yield bound, times.count
        else:
            # The bucket of what is just above the bound is the first that has values above it.
            yield bound, times.count_between(0, lowest_in(bucket_of(bound + 1)) - 1)
