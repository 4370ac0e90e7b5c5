"""``--openmetrics``: counters and histograms as OpenMetrics text, version 1.0, for Prometheus and its relatives.

A family's name ends in its unit, times are seconds, and a counter's sample ends in ``_total``. Nothing has a time
stamp, and what Prometheus' older text format does not know is left out, so that a text file collector takes the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.report.exports.results import name_of
from ws_load_test.report.letters import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.measure.histogram import Histogram
    from ws_load_test.report.exports.results import Results

PREFIX = "ws_load_test_"
BOUNDS_NS = (*(digit * 10**power for power in range(4, 11) for digit in (1, 2, 5)), 10**11)
"""Upper bounds of buckets, from 10 µs to 100 s: the same in all files, so that they can be added up."""
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
    "reopened": "Sessions that took the place of a lost one.",
    "renewed": "Sessions that took the place of one whose lifetime was over.",
}
_TIMES = {
    "response_time": ("response_time_ns", "From when a message was due until its reply was read."),
    "service_time": ("service_time_ns", "From when a message was sent until its reply was read."),
    "send_lag": ("send_lag_ns", "From when a message was due until it was sent."),
    "connect_time": ("connect_time_ns", "From the start of a dial to the end of its upgrade."),
}

Sample = tuple[str, "Mapping[str, str]", str]
"""A suffix of the family's name, labels, and a value."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family."""

    name: str
    """Without the prefix."""
    kind: str
    text: str
    samples: Sequence[Sample]
    unit: str = ""

    def lines(self) -> Iterator[str]:
        """Yields the family's descriptors and its samples."""
        name = PREFIX + self.name
        yield f"# TYPE {name} {self.kind}\n"
        if self.unit:
            yield f"# UNIT {name} {self.unit}\n"
        yield f"# HELP {name} {self.text}\n"
        for suffix, labels, value in self.samples:
            inner = ",".join(f'{label}="{_escaped(said)}"' for label, said in labels.items())
            yield f"{name}{suffix}{f'{{{inner}}}' if inner else ''} {value}\n"


def lines(results: Results) -> Iterator[str]:
    """Yields all families, and the end mark without which a reader takes the text for a torn one."""
    for family in _families(results):
        yield from family.lines()
    yield "# EOF\n"


def _families(results: Results) -> Iterator[Family]:
    summary, tally = results.summary, results.digest.tally
    about = {name: str(summary[name]) for name in ("tool", "target", "started_at")}
    # Not of the type info, which readers of Prometheus' older text format would refuse the whole file for.
    yield Family("run_info", "gauge", "What was run, and when.", [("", about, "1")])
    yield _gauge("duration_seconds", "How long was measured.", summary["duration_s"], "seconds")
    yield _gauge("passed", "Whether the run passed, and its thresholds with it.", int(results.passed))
    thresholds: dict[str, bool] = {}
    for check in summary["verdict"]["checks"]:
        thresholds[name_of(check)] = check["passed"] and thresholds.get(name_of(check), True)
    if thresholds:
        kept: list[Sample] = [("", {"check": name}, str(int(passed))) for name, passed in thresholds.items()]
        yield Family("threshold_passed", "gauge", "Whether a threshold was kept.", kept)
    for word, text in _MESSAGES.items():
        yield _counter(f"messages_{word}", text, summary["messages"][word])
    for word, text in _CONNECTIONS.items():
        yield _counter(f"connections_{word}", text, summary["connections"][word])
    closed = summary["connections"]["closed"]
    yield _counters("connections_closed", "Sessions that ended, by close code (RFC 6455).", "code", closed)
    yield _counters("faults", "What the target did wrong.", "kind", summary["faults"])
    for way in ("sent", "received"):
        text = f"Bytes of WebSocket frames {way}."
        yield Family(f"{way}_bytes", "counter", text, [("_total", {}, str(summary["bytes"][way]))], "bytes")
    if summary["throughput_per_s"] is not None:
        text = "Replies read in the measured time, for each second of it."
        yield _gauge("answered_per_second", text, summary["throughput_per_s"])
    for name, (room, text) in _TIMES.items():
        yield _histogram(f"{name}_seconds", text, getattr(tally, room))
    generator = summary["generator"]
    yield _gauge("generator_workers", "Worker processes.", generator["workers"])
    if generator["cpu_share"] is not None:
        text = "The part of a core that the busiest worker used."
        yield _gauge("generator_cpu_ratio", text, generator["cpu_share"], "ratio")
    yield _gauge("generator_bound", "Whether the generator itself was the bottleneck.", int(generator["bound"]))


def _gauge(name: str, text: str, value: float, unit: str = "") -> Family:
    return Family(name, "gauge", text, [("", {}, repr(value))], unit)


def _counter(name: str, text: str, value: int) -> Family:
    return Family(name, "counter", text, [("_total", {}, str(value))])


def _counters(name: str, text: str, label: str, counts: Mapping[str, int]) -> Family:
    """Returns a family of counts by a label; labels that are the same once they are clean are one."""
    cleaned: dict[str, int] = {}
    for key, count in counts.items():
        cleaned[clean(key)] = cleaned.get(clean(key), 0) + count
    return Family(name, "counter", text, [("_total", {label: key}, str(count)) for key, count in cleaned.items()])


def _histogram(name: str, text: str, times: Histogram) -> Family:
    samples: list[Sample] = [("_bucket", {"le": repr(bound / 1e9)}, str(count)) for bound, count in up_to(times)]
    samples.append(("_bucket", {"le": "+Inf"}, str(times.count)))
    samples.append(("_count", {}, str(times.count)))
    samples.append(("_sum", {}, repr(times.sum / 1e9)))
    return Family(name, "histogram", text, samples, "seconds")


def up_to(times: Histogram) -> Iterator[tuple[int, int]]:
    """Yields each bound in ns and how many times do not pass it.

    A time counts as the highest of its bucket, never above the exact maximum, as in the percentiles: so one within
    a thousandth below a bound may count as above it.
    """
    spans, reached = times.spans(), 0
    span = next(spans, None)
    for bound in BOUNDS_NS:
        while span is not None and min(span[1], times.max or 0) <= bound:
            reached += span[2]
            span = next(spans, None)
        yield bound, reached


def _escaped(text: str) -> str:
    """Returns a label's value with its backslashes and quotes escaped; line feeds are none of its letters."""
    return clean(text).replace("\\", r"\\").replace('"', r"\"")
