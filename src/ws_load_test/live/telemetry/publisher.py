"""Publishes the metrics of a run after each interval, in a thread of its own.

Making the metric families of an interval takes about a millisecond, which the thread of the fleet need not wait for.
"""

from __future__ import annotations

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
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan


def start_publishing(plan: Plan, settings: TelemetrySettings, version: str) -> MetricsPublisher:
    """Returns a publisher of a run's metrics, with the exporters of the settings; the endpoint listens from now on.

    Raises:
        UsageError: An extra is not installed, the address cannot be listened on, or a variable of the environment
            cannot be used.
    """
    metrics = RunMetrics(plan, version)
    endpoint: PrometheusEndpoint | None = None
    exporters: list[OtlpExporter] = []
    if settings.collector is not None:
        from ws_load_test.live.telemetry.otlp_exporter import OtlpExporter  # noqa: PLC0415 - most runs have none

        exporters.append(OtlpExporter(settings.collector, metrics.info))
    if settings.port is not None:
        from ws_load_test.live.telemetry.prometheus import PrometheusEndpoint  # noqa: PLC0415 - as above

        try:
            endpoint = PrometheusEndpoint(
                metrics, settings.host, settings.port, settings.linger_ns / NS_PER_S, settings.allowed
            )
        except BaseException:
            for exporter in exporters:
                exporter.close()
                exporter.flush()
            raise
        if not settings.port:
            sys.stderr.write(f"metrics: {endpoint.url}\n")
            sys.stderr.flush()
    return MetricsPublisher(metrics, exporters, endpoint)


class MetricsPublisher:
    """Makes a snapshot of a run after each interval and hands it to exporters, as an `IntervalObserver`.

    Intervals wait in a queue, so that the thread of the fleet does not. It never raises.
    """

    def __init__(
        self, metrics: RunMetrics, exporters: Sequence[MetricsExporter], endpoint: PrometheusEndpoint | None = None
    ) -> None:
        self._metrics = metrics
        self._exporters = exporters
        self._endpoint = endpoint
        self._intervals: SimpleQueue[IntervalEvent | None] = SimpleQueue()
        # A daemon: where the run ends by an exception, `close` may never be called.
        self._thread = Thread(target=self._follow, name="metrics", daemon=True)
        self._thread.start()

    def __call__(self, event: IntervalEvent) -> None:
        """Queues an interval, which takes microseconds."""
        self._intervals.put(event)

    def close(self) -> None:
        """Returns when every queued interval has been handed to the exporters, and closes them."""
        self._intervals.put(None)
        self._thread.join()
        for exporter in self._exporters:
            exporter.close()
        if self._endpoint is not None:
            self._endpoint.close()

    def flush(self) -> None:
        """Waits some seconds until the last snapshot has been pushed, and scraped."""
        for exporter in self._exporters:
            exporter.flush()
        if self._endpoint is not None:
            self._endpoint.wait_for_last_scrape()

    def _follow(self) -> None:
        while (event := self._intervals.get()) is not None:
            snapshot = self._metrics.add_interval(event)
            for exporter in self._exporters:
                exporter.export(snapshot)
