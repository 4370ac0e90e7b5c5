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
from ws_load_test.live.telemetry.snapshot import Consumer, LiveRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.live.telemetry.otlp_exporter import Pusher
    from ws_load_test.live.telemetry.prometheus import Endpoint
    from ws_load_test.live.telemetry.settings import Settings
    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan

_log = logging.getLogger("ws_load_test")


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
