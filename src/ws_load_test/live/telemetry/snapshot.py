"""A snapshot of a run as metric families, made after each interval."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ws_load_test.metrics import metric_families
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan


PHASES = ("opening", "warmup", "measured", "closing")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is run."""

    version: str
    """Of this program."""
    target: str
    """Without secrets."""
    started_ns: int
    """From when the counts count, in ns since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All families at one instant."""

    families: Sequence[metric_families.Family]
    at_ns: int
    """When it was drawn, in ns since 1970-01-01 UTC."""
    reached_ns: int = 0
    """How far the run was, from its start."""


class MetricsExporter(Protocol):
    """Who is handed each snapshot; it never waits and never raises."""

    def export(self, snapshot: Snapshot) -> None:
        """Called in the thread that draws."""

    def close(self) -> None:
        """Called once when the last snapshot was handed over; it does not wait either."""

    def wait_for_last_scrape(self) -> None:
        """Called when the results of the run have been told; may take some seconds."""


class RunMetrics:
    """Adds the intervals of one run up."""

    def __init__(self, plan: Plan, version: str) -> None:
        self.about = RunInfo(version, plan.redacted().target.url, time.time_ns())
        self._workers = plan.workers
        self._tally = Tally()
        self._measured_ns = self._open = 0
        self.latest = Snapshot(tuple(self._draw(None, Tally())), self.about.started_ns)
        """What is known now; replaced as a whole, so that any thread may read it."""

    def add_interval(self, interval: Interval) -> Snapshot:
        """Adds an interval; returns what is known then.

        Raises:
            ValueError: Its tally cannot be read.
        """
        tally = interval.tally
        self._tally.merge(tally)
        self._measured_ns += interval.measured_ns
        self._open += interval.open_delta
        self.latest = Snapshot(tuple(self._draw(interval, tally)), time.time_ns(), interval.to_ns)
        return self.latest

    def _draw(self, interval: Interval | None, latest: Tally) -> Iterator[metric_families.Family]:
        total, measured_ns = self._tally, self._measured_ns
        about = {"tool": f"ws-load-test {self.about.version}", "target": self.about.target}
        yield metric_families.Family("run_info", "gauge", "What is run.", (metric_families.Sample(about, 1),))
        yield _phase(None if interval is None else interval.phase)
        text = "Sessions that are open now."
        yield metric_families.gauge("connections_open", text, max(0, self._open))
        yield from metric_families.counter_families(total)
        yield metric_families.duration(measured_ns / 1e9)
        yield from metric_families.throughput(total.answered_in_window * 1e9 / measured_ns if measured_ns else None)
        yield from _speed(interval, latest)
        yield from metric_families.histogram_families(total)
        yield metric_families.workers(self._workers)


def _phase(now: str | None) -> metric_families.Family:
    """Returns a point for each phase, of which one is 1; none before the first interval."""
    points = tuple(metric_families.Sample({"phase": phase}, int(phase == now)) for phase in PHASES)
    return metric_families.Family("phase", "gauge", "Whether the run is in this phase.", points)


def _speed(interval: Interval | None, tally: Tally) -> Iterator[metric_families.Family]:
    """Yields how fast the last interval was, warm-up and all, and how busy the generator."""
    length_ns = 0 if interval is None else interval.to_ns - interval.from_ns
    for word in ("sent", "answered"):
        count = getattr(tally, word) + getattr(tally, f"warmup_{word}")
        text = f"Messages {word} in the last interval, for each second of it."
        yield metric_families.gauge(
            f"interval_{word}_per_second", text, count * 1e9 / length_ns if length_ns > 0 else 0.0
        )
    share = None if interval is None else interval.cpu_share
    text = "The part of a core that the busiest worker used in the last interval."
    yield metric_families.gauge("interval_generator_cpu_ratio", text, share or 0.0, "ratio")
