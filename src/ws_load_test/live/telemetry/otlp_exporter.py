"""Exporter of ``--otlp``: pushes the metrics of a run to an OpenTelemetry collector while it goes on.

A collector that is down, slow or refuses costs the run nothing: pushes are made in a thread of their own, and one that
still waits is replaced by the next, which has all that it had.
"""

from __future__ import annotations

import contextlib
import logging
import os
from enum import Enum
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S
from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

    from ws_load_test.live.telemetry.settings import OtlpTarget
    from ws_load_test.live.telemetry.snapshot import RunInfo, Snapshot

PUSH_INTERVAL_NS = 5 * NS_PER_S
"""Time from one push to the next, unless OTEL_METRIC_EXPORT_INTERVAL sets another."""
LAST_PUSH_TIMEOUT_S = 5.0
"""Longest wait for the collector at the end of a run."""
_LIBRARIES = ("opentelemetry", "urllib3")
_log = logging.getLogger(__name__)


class OtlpExporter:
    """Pushes snapshots of one run at regular intervals and at its end."""

    def __init__(self, collector: OtlpTarget, info: RunInfo) -> None:
        """Starts the thread that pushes; no connection is made yet.

        Raises:
            UsageError: OpenTelemetry is not installed, or its variables of the environment cannot be used.
        """
        self._collector = collector
        self._interval_ns = _push_interval_ns(os.environ)
        self._log_filter = _OtelLogFilter()
        try:
            self._exporter = _exporter(collector, self._log_filter)
            self._translate = _translator(info)
        except BaseException:
            self._log_filter.remove()
            raise
        self._changed = Condition()
        self._waiting: Snapshot | None = None
        self._pushed: Snapshot | None = None
        """The last one that the thread began to push."""
        self._last_delivered: Snapshot | None = None
        """The last one that the collector accepted."""
        self._latest: Snapshot | None = None
        self._due_ns = 0
        self._closing = self._warned = False
        self._offered = self._delivered = 0
        self._thread = Thread(target=self._push_all, name="otlp", daemon=True)
        self._thread.start()

    def export(self, snapshot: Snapshot) -> None:
        """Queues the snapshot if a push is due, in place of one that still waits."""
        self._latest = snapshot
        if snapshot.elapsed_ns >= self._due_ns:
            self._due_ns = snapshot.elapsed_ns + self._interval_ns
            self._offer(snapshot)

    def close(self) -> None:
        """Queues the last snapshot, after which nothing is pushed."""
        if self._latest not in (self._waiting, self._pushed):
            self._offer(self._latest)
        with self._changed:
            self._closing = True
            self._changed.notify()

    def flush(self) -> None:
        """Waits for the last push, for some seconds at most, and logs how many pushes were not delivered."""
        try:
            self._thread.join(LAST_PUSH_TIMEOUT_S)
        finally:
            self._end()

    def _end(self) -> None:
        # Before the shutdown of the exporter, which makes it give up a push and log another reason.
        why = self._log_filter.why or (f"no answer for {LAST_PUSH_TIMEOUT_S:g} s" if self._thread.is_alive() else "")
        self._exporter.shutdown()
        self._thread.join(1)
        self._log_filter.remove()
        if self._delivered < self._offered:
            _log.warning("--otlp: %s", self._shortfall(why))

    def _offer(self, snapshot: Snapshot | None) -> None:
        with self._changed:
            # A snapshot that is replaced while it waits is never pushed, so it cannot fail.
            self._offered += self._waiting is None
            self._waiting = snapshot
            self._changed.notify()

    def _push_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closing)
                snapshot, self._waiting = self._waiting, None
                if snapshot is None:
                    return
                self._pushed = snapshot
            self._push(snapshot)

    def _push(self, snapshot: Snapshot) -> None:
        delivered = False
        try:
            delivered = self._exporter.export(self._translate(snapshot)).name == "SUCCESS"
        except Exception:  # noqa: BLE001 - an exception of a library must not end this thread, and all pushes with it
            _log.debug("a push failed", exc_info=True)
        if delivered:
            self._delivered += 1
            self._last_delivered = snapshot
        elif not self._warned and not self._closing:
            self._warned = True
            why = _in_brackets(self._log_filter.why)
            _log.warning("--otlp: %s does not take the metrics%s; the run goes on", self._destination(), why)

    def _shortfall(self, why: str) -> str:
        missing = self._offered - self._delivered
        text = f"{missing} of {self._offered} pushes did not reach {self._destination()}{_in_brackets(why)}; "
        if self._last_delivered is self._latest:
            return text + "the last one did, and it has all counts"
        return text + "the last one is among them, so the counts there are not those of the whole run"

    def _destination(self) -> str:
        return f"the collector at {self._collector.label}"


class _OtelLogFilter(logging.Handler):
    """Keeps the libraries' log messages off the terminal, and remembers why a push failed.

    Only codes and kinds of errors are remembered: a collector's own text may repeat a token that it was sent.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.why = ""
        """Reason of the last push that failed, in a word."""
        self.complaints = 0
        """Number of messages so far."""
        self._before = [(logging.getLogger(name), logging.getLogger(name).propagate) for name in _LIBRARIES]
        for logger, _ in self._before:
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Remembers the reason that a library's message gives."""
        self.complaints += 1
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Enum):
                self.why = argument.name
            elif type(argument) is int and 100 <= argument < 600:
                self.why = f"HTTP {argument}"
            elif isinstance(argument, BaseException):
                self.why = type(argument).__name__
            else:
                continue
            return

    def remove(self) -> None:
        """Has the libraries log as before."""
        for logger, propagate in self._before:
            logger.removeHandler(self)
            logger.propagate = propagate


def _in_brackets(why: str) -> str:
    return f" ({why})" if why else ""


def _exporter(collector: OtlpTarget, log_filter: _OtelLogFilter) -> MetricExporter:
    more: dict[str, Any] = {}
    try:
        if collector.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

            # By the URL alone: the library would ask OTEL_EXPORTER_OTLP_INSECURE before it.
            more["insecure"] = collector.url.lower().startswith("http:")
        else:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # type: ignore[assignment] # noqa: PLC0415
                OTLPMetricExporter,
            )
    except ImportError:
        raise UsageError("--otlp: needs OpenTelemetry; install it with pip install 'ws-load-test[otlp]'") from None
    exporter: MetricExporter | None = None
    # The library reports some problems with the environment in its log, and others by an exception.
    with contextlib.suppress(Exception), _without_empty(os.environ):
        exporter = OTLPMetricExporter(endpoint=collector.url, **more)
    if exporter is None or log_filter.complaints:
        if exporter is not None:
            exporter.shutdown()
        # Not repeated: headers are among them.
        raise UsageError(
            "--otlp: OpenTelemetry cannot use a variable of the environment that begins with OTEL_EXPORTER_OTLP_; "
            "look at its headers (name=value,name=value), files, timeout and compression"
        )
    return exporter


@contextlib.contextmanager
def _without_empty(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Removes OpenTelemetry's empty variables from the environment within the block.

    They must mean the same as unset ones (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables),
    but its library does not always treat them so.
    """
    empty = {name: value for name, value in environ.items() if name.startswith("OTEL_") and not value.strip()}
    for name in empty:
        del environ[name]
    try:
        yield
    finally:
        environ.update(empty)


def _translator(info: RunInfo) -> Callable[[Snapshot], MetricsData]:
    from ws_load_test.live.telemetry.otlp_encoding import OtlpEncoder  # noqa: PLC0415 - imports OpenTelemetry

    return OtlpEncoder(info).translate


def _push_interval_ns(environ: Mapping[str, str]) -> int:
    """Returns the time from one push to the next in ns; the variable of the environment is in ms.

    Raises:
        UsageError: The variable is no number of milliseconds.
    """
    text = environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    if not text:
        return PUSH_INTERVAL_NS
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UsageError("--otlp: OTEL_METRIC_EXPORT_INTERVAL is no number of milliseconds")
    return int(text) * NS_PER_MS
