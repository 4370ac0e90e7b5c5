"""Metric families: what is counted and timed, by name, without the format in which it travels.

The metrics file, the live endpoint and the pushes to a collector all render these, so they cannot disagree. A family's
name ends in its unit, and times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.hdr_buckets import bucket_of, lowest_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.tally import Tally

PREFIX = "ws_load_test_"
BOUNDS_NS = (*(digit * 10**power for power in range(4, 11) for digit in (1, 2, 5)), 10**11)
"""Upper bounds of buckets, from 10 µs to 100 s: the same everywhere, so that they can be added up."""
_MESSAGES = {
    "due": "Messages that should have left.",
    "sent": "Messages handed to the kernel.",
    "answered": "Messages whose reply was read.",
    "unanswered": "Messages that were sent and got no reply.",
    "dropped": "Messages that were due and never sent.",
    "pushed": "Messages that came and answered nothing.",
}
_CONNECTIONS = {
    "attempted": "Sessions that were dialled.",
    "opened": "Sessions that opened.",
    "failed": "Sessions that were dialled and never opened.",
    "lost": "Sessions that ended before the run wanted them to.",
    "reconnected": "Sessions that took the place of a lost one.",
    "recycled": "Sessions that took the place of one whose lifetime was over.",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family, told apart from the others by its labels."""

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
    """What it is, in a sentence."""
    points: Sequence[Sample] = ()
    times: Histogram | None = None
    """In ns; where it is a histogram."""
    unit: str = ""
    """``seconds``, ``bytes``, ``ratio``, or none."""
    things: str = ""
    """What a unit of a count is (``message``), where there is no other."""

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yields what Prometheus knows of it: a suffix of the name, labels, a value; times in seconds."""
        times = self.times
        if times is not None:
            for bound, count in cumulative_counts(times):
                yield "_bucket", {"le": repr(bound / 1e9)}, count
            yield "_bucket", {"le": "+Inf"}, times.count
            yield "_count", {}, times.count
            yield "_sum", {}, times.sum / 1e9
        suffix = "_total" if self.kind == "counter" else ""
        for point in self.points:
            yield suffix, point.labels, point.value


def gauge(name: str, text: str, value: float, unit: str = "") -> Family:
    """Returns a family of one value that goes up and down."""
    return Family(name, "gauge", text, (Sample({}, value),), unit=unit)


def counter(name: str, text: str, value: int, *, unit: str = "", things: str = "") -> Family:
    """Returns a family of one count."""
    return Family(name, "counter", text, (Sample({}, value),), unit=unit, things=things)


def counters(name: str, text: str, label: str, counts: Mapping[str, int], things: str) -> Family:
    """Returns a family of counts by a label, the highest first; what is the same once it is clean is one."""
    cleaned: dict[str, int] = {}
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count:
            cleaned[sanitize(key)] = cleaned.get(sanitize(key), 0) + count
    return Family(name, "counter", text, tuple(Sample({label: key}, n) for key, n in cleaned.items()), things=things)


def counter_families(tally: Tally) -> Iterator[Family]:
    """Yields what a tally counted."""
    for word, text in _MESSAGES.items():
        yield counter(f"messages_{word}", text, getattr(tally, word), things="message")
    for word, text in _CONNECTIONS.items():
        yield counter(f"connections_{word}", text, getattr(tally, word), things="connection")
    text = "Sessions that ended, by close code (RFC 6455)."
    yield counters("connections_closed", text, "code", tally.closed, "connection")
    yield counters("faults", "What the target did wrong.", "kind", tally.faults, "fault")
    yield counter("sent_bytes", "Bytes of WebSocket frames sent.", tally.bytes_sent, unit="bytes")
    yield counter("received_bytes", "Bytes of WebSocket frames received.", tally.bytes_received, unit="bytes")


def throughput(answered_per_s: float | None) -> Iterator[Family]:
    """Yields the throughput, where anything was measured."""
    if answered_per_s is not None:
        yield gauge("answered_per_second", "Replies read in the measured time, for each second of it.", answered_per_s)


def duration(measured_s: float) -> Family:
    """Returns the measured time."""
    return gauge("duration_seconds", "How long was measured.", measured_s, "seconds")


def histogram_families(tally: Tally, service_time_ns: Histogram) -> Iterator[Family]:
    """Yields what a tally timed so far; `service_time_ns` is the response times where messages are due when sent.

    Later times of the tally do not show, so that another thread may read what is returned.
    """
    text = "From when a message was due until its reply was read."
    yield _histogram("response_time_seconds", text, tally.response_time_ns)
    text = "From when a message was sent until its reply was read."
    yield _histogram("service_time_seconds", text, service_time_ns)
    yield _histogram("send_lag_seconds", "From when a message was due until it was sent.", tally.send_lag_ns)
    text = "From the start of a dial to the end of its upgrade."
    yield _histogram("connect_time_seconds", text, tally.connect_time_ns)


def workers(count: int) -> Family:
    """Returns the number of worker processes."""
    return gauge("generator_workers", "Worker processes.", count)


def _histogram(name: str, text: str, times: Histogram) -> Family:
    return Family(name, "histogram", text, times=times.copy(), unit="seconds")


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
