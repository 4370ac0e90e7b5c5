"""Snapshots of a run as metric families, made after each interval."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ws_load_test.metrics import metric_families
from ws_load_test.metrics.recording import PHASES
from ws_load_test.metrics.scenario_families import scenario_families
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Facts of a run that its metrics are labelled with."""

    version: str
    """Version of this program."""
    target: str
    """URL without secrets."""
    started_ns: int
    """Instant from which counts count, in ns since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All families at one instant."""

    families: Sequence[metric_families.Family]
    at_ns: int
    """Instant at which it was made, in ns since 1970-01-01 UTC."""
    elapsed_ns: int = 0
    """End of the last interval in it, from the start of the run."""


class MetricsExporter(Protocol):
    """Exports the snapshots of a run; it never waits and never raises."""

    def export(self, snapshot: Snapshot) -> None:
        """Called with each snapshot, in the thread that makes them."""

    def close(self) -> None:
        """Called once after the last snapshot; it does not wait either."""

    def flush(self) -> None:
        """Called when the results of the run have been printed; may take some seconds."""


class RunMetrics:
    """Metrics of one run, added up from its intervals."""

    def __init__(self, plan: Plan, version: str) -> None:
        """Takes the plan that is run, and the version of this program."""
        self.info = RunInfo(version, plan.redacted().target.url, time.time_ns())
        self._workers = plan.workers
        self._tally = Tally()
        self._measured_ns = self._open = 0
        self.latest = Snapshot(tuple(self._families(None, Tally())), self.info.started_ns)
        """The latest snapshot; replaced as a whole, so that any thread may read it."""

    def add_interval(self, event: IntervalEvent) -> Snapshot:
        """Adds an interval; returns a snapshot with it."""
        interval, tally = event.interval, event.tally
        self._tally.merge(tally)
        # Not published; those of a long run would fill the memory.
        self._tally.session_events.clear()
        self._measured_ns += interval.measured_ns
        self._open += interval.open_delta
        self.latest = Snapshot(tuple(self._families(interval, tally)), time.time_ns(), interval.to_ns)
        return self.latest

    def _families(self, interval: Interval | None, latest: Tally) -> Iterator[metric_families.Family]:
        total, measured_ns = self._tally, self._measured_ns
        labels = {"tool": f"ws-load-test {self.info.version}", "target": self.info.target}
        yield metric_families.Family("run_info", "gauge", "What is run.", (metric_families.Sample(labels, 1),))
        yield _phase(None if interval is None else interval.phase)
        text = "Sessions that are open now."
        yield metric_families.gauge("connections_open", text, max(0, self._open))
        yield from metric_families.counter_families(total)
        yield metric_families.duration(measured_ns / 1e9)
        yield from metric_families.throughput(total.answered_in_window * 1e9 / measured_ns if measured_ns else None)
        yield from _interval_rates(interval, latest)
        yield from metric_families.histogram_families(total)
        yield from scenario_families(total)
        yield metric_families.workers(self._workers)


def _phase(current: str | None) -> metric_families.Family:
    """Returns a sample for each phase: 1 for the current one, else 0; all are 0 before the first interval."""
    samples = tuple(metric_families.Sample({"phase": phase}, int(phase == current)) for phase in PHASES)
    return metric_families.Family("phase", "gauge", "Whether the run is in this phase.", samples)


def _interval_rates(interval: Interval | None, tally: Tally) -> Iterator[metric_families.Family]:
    """Yields the rates of the last interval, warm-up included, and how busy the generator was."""
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
