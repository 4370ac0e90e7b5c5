"""A run as it is now, drawn up as metric families after each interval, in a thread of its own.

A tally takes about a millisecond to decode and its families another, which the thread of the fleet need not wait for.
"""

from __future__ import annotations

import logging
import sys
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.live.telemetry.snapshot import MetricsExporter, RunMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.live.telemetry.otlp_exporter import OtlpExporter
    from ws_load_test.live.telemetry.prometheus import PrometheusEndpoint
    from ws_load_test.live.telemetry.settings import TelemetrySettings
    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan

_log = logging.getLogger("ws_load_test")


def start_publishing(plan: Plan, settings: TelemetrySettings, version: str) -> MetricsPublisher:
    """Returns what shows a run of this version as the settings say; the endpoint listens from now on.

    Raises:
        UsageError: An extra is not installed, nobody can listen there, or the environment has what cannot be used.
    """
    live = RunMetrics(plan, version)
    endpoint: PrometheusEndpoint | None = None
    consumers: list[OtlpExporter] = []
    if settings.collector is not None:
        from ws_load_test.live.telemetry.otlp_exporter import OtlpExporter  # noqa: PLC0415 - most runs have none

        consumers.append(OtlpExporter(settings.collector, live.about))
    if settings.port is not None:
        from ws_load_test.live.telemetry.prometheus import PrometheusEndpoint  # noqa: PLC0415 - as above

        try:
            endpoint = PrometheusEndpoint(live, settings.host, settings.port, settings.linger_ns / NS_PER_S)
        except BaseException:
            for consumer in consumers:
                consumer.close()
                consumer.wait_for_last_scrape()
            raise
        if not settings.port:
            sys.stderr.write(f"metrics: {endpoint.url}\n")
            sys.stderr.flush()
    return MetricsPublisher(live, consumers, endpoint)


class MetricsPublisher:
    """Watches a run, and hands what is known after each interval to consumers. It never raises.

    Its intervals wait in a queue, so that whoever runs the fleet does not.
    """

    def __init__(
        self, live: RunMetrics, consumers: Sequence[MetricsExporter], endpoint: PrometheusEndpoint | None = None
    ) -> None:
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

    def wait_for_last_scrape(self) -> None:
        """Waits a little for those whom what is known at the end has not reached yet."""
        for consumer in self._consumers:
            consumer.wait_for_last_scrape()
        if self._endpoint is not None:
            self._endpoint.wait_for_last_scrape()

    def _follow(self) -> None:
        while (interval := self._intervals.get()) is not None:
            try:
                snapshot = self._live.add_interval(interval)
            except ValueError as error:
                _log.debug("metrics: an interval is left out: %s", error)
                continue
            for consumer in self._consumers:
                consumer.export(snapshot)
