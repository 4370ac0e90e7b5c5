"""A run as it is now, drawn up as metric families after each interval, in a thread of its own.

A tally takes about a millisecond to decode and its families another, which the thread of the fleet need not wait for.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.metrics import metric_families
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.plan import ClosedLoad

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.live.telemetry.otlp_exporter import Pusher
    from ws_load_test.live.telemetry.prometheus import Endpoint
    from ws_load_test.live.telemetry.settings import Settings
    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan

PHASES = ("opening", "warmup", "measured", "closing")
_log = logging.getLogger("ws_load_test")


@dataclass(frozen=True, slots=True)
class About:
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


class Consumer(Protocol):
    """Who is handed each snapshot; it never waits and never raises."""

    def take(self, snapshot: Snapshot) -> None:
        """Called in the thread that draws."""

    def close(self) -> None:
        """Called once when the last snapshot was handed over; it does not wait either."""

    def linger(self) -> None:
        """Called when the results of the run have been told; may take some seconds."""


class LiveRun:
    """Adds the intervals of one run up."""

    def __init__(self, plan: Plan, version: str) -> None:
        self.about = About(version, plan.public().target.url, time.time_ns())
        self._workers = plan.workers
        self._floods = isinstance(plan.load, ClosedLoad)
        self._tally = Tally()
        self._measured_ns = self._open = 0
        self.latest = Snapshot(tuple(self._draw(None, Tally())), self.about.started_ns)
        """What is known now; replaced as a whole, so that any thread may read it."""

    def take(self, interval: Interval) -> Snapshot:
        """Adds an interval; returns what is known then.

        Raises:
            ValueError: Its tally cannot be read.
        """
        tally = interval.tally
        self._tally.merge(tally)
        self._measured_ns += interval.measured_ns
        self._open += interval.more_open
        self.latest = Snapshot(tuple(self._draw(interval, tally)), time.time_ns(), interval.to_ns)
        return self.latest

    def _draw(self, interval: Interval | None, latest: Tally) -> Iterator[metric_families.Family]:
        total, measured_ns = self._tally, self._measured_ns
        about = {"tool": f"ws-load-test {self.about.version}", "target": self.about.target}
        yield metric_families.Family("run_info", "gauge", "What is run.", (metric_families.Point(about, 1),))
        yield _phase(None if interval is None else interval.phase)
        text = "Sessions that are open now."
        yield metric_families.gauge("connections_open", text, max(0, self._open))
        yield from metric_families.counted(total)
        yield metric_families.duration(measured_ns / 1e9)
        yield from metric_families.throughput(total.answered_in_time * 1e9 / measured_ns if measured_ns else None)
        yield from _speed(interval, latest)
        # Where a message is due when it is sent, one histogram is kept for both times.
        both = self._floods and not total.service_time_ns.count
        yield from metric_families.timed(total, total.response_time_ns if both else total.service_time_ns)
        yield metric_families.workers(self._workers)


def _phase(now: str | None) -> metric_families.Family:
    """Returns a point for each phase, of which one is 1; none before the first interval."""
    points = tuple(metric_families.Point({"phase": phase}, int(phase == now)) for phase in PHASES)
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


def watch(plan: Plan, settings: Settings, version: str) -> LiveMetrics:
    """Returns what shows a run of this version as the settings say; the endpoint listens from now on.

    Raises:
        UsageError: An extra is not installed, nobody can listen there, or the environment has what cannot be used.
    """
    live = LiveRun(plan, version)
    endpoint: Endpoint | None = None
    consumers: list[Pusher] = []
    if settings.collector is not None:
        from ws_load_test.live.telemetry.otlp_exporter import Pusher  # noqa: PLC0415 - most runs have none

        consumers.append(Pusher(settings.collector, live.about))
    if settings.port is not None:
        from ws_load_test.live.telemetry.prometheus import Endpoint  # noqa: PLC0415 - as above

        try:
            endpoint = Endpoint(live, settings.host, settings.port, settings.linger_ns / NS_PER_S)
        except BaseException:
            for consumer in consumers:
                consumer.close()
                consumer.linger()
            raise
        if not settings.port:
            sys.stderr.write(f"metrics: {endpoint.url}\n")
            sys.stderr.flush()
    return LiveMetrics(live, consumers, endpoint)


class LiveMetrics:
    """Watches a run, and hands what is known after each interval to consumers. It never raises.

    Its intervals wait in a queue, so that whoever runs the fleet does not.
    """

    def __init__(self, live: LiveRun, consumers: Sequence[Consumer], endpoint: Endpoint | None = None) -> None:
        self._live = live
        self._consumers = consumers
        self._endpoint = endpoint
        self._intervals: SimpleQueue[Interval | None] = SimpleQueue()
        # A daemon: where the run ends by an exception, nobody may come to end it.
        self._thread = Thread(target=self._follow, name="metrics", daemon=True)
        self._thread.start()

    def __call__(self, interval: Interval) -> None:
        """Takes an interval in, in microseconds."""
        self._intervals.put(interval)

    def close(self) -> None:
        """Returns when all that was taken in has been handed over."""
        self._intervals.put(None)
        self._thread.join()
        for consumer in self._consumers:
            consumer.close()
        if self._endpoint is not None:
            self._endpoint.close()

    def linger(self) -> None:
        """Waits a little for those whom what is known at the end has not reached yet."""
        for consumer in self._consumers:
            consumer.linger()
        if self._endpoint is not None:
            self._endpoint.linger()

    def _follow(self) -> None:
        while (interval := self._intervals.get()) is not None:
            try:
                snapshot = self._live.take(interval)
            except ValueError as error:
                _log.debug("metrics: an interval is left out: %s", error)
                continue
            for consumer in self._consumers:
                consumer.take(snapshot)
