"""Resource usage of the worker process: CPU time, run-queue delay, cgroup throttling, garbage-collection pauses."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.machine import control_group
from ws_load_test.metrics.recording import WorkerUsage

_SCHEDSTAT = Path("/proc/self/schedstat")


class ResourceMonitor:
    """Reads the counters, and returns what each interval added."""

    def __init__(self, worker: int = 0, engine: str | msgspec.UnsetType = msgspec.UNSET) -> None:
        """Takes the number of the worker, and the name of its engine."""
        self._worker = worker
        self._engine = engine
        self._gc_ns = 0
        self._gc_from_ns = 0
        self._throttling = _cpu_stat()
        self._last = self._read()
        gc.callbacks.append(self._on_gc)

    def sample(self, wall_ns: int = 0) -> WorkerUsage:
        """Returns what the worker used since the last sample, in an interval of `wall_ns`."""
        last, self._last = self._last, self._read()
        cpu_ns, run_delay_ns, throttled_ns, gc_ns = (
            max(0, now - before) for now, before in zip(self._last, last, strict=True)
        )
        return WorkerUsage(self._worker, cpu_ns, wall_ns, run_delay_ns, throttled_ns, gc_ns, self._engine)

    def close(self) -> None:
        """Stops timing garbage collections."""
        gc.callbacks.remove(self._on_gc)

    def _read(self) -> tuple[int, int, int, int]:
        return time.process_time_ns(), _run_delay_ns(), _throttled_ns(self._throttling), self._gc_ns

    def _on_gc(self, phase: str, _: dict[str, Any]) -> None:
        now_ns = monotonic_ns()
        if phase == "start":
            self._gc_from_ns = now_ns
        else:
            self._gc_ns += now_ns - self._gc_from_ns


def _run_delay_ns() -> int:
    """Linux, Documentation/scheduler/sched-stats.rst: the second number is the time spent waiting on a run queue."""
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _cpu_stat() -> Path | None:
    """Returns the file in which the control group, version 2, counts this process's throttling."""
    group = control_group()
    return None if group is None else group / "cpu.stat"


def _throttled_ns(stat: Path | None) -> int:
    if stat is None:
        return 0
    try:
        text = stat.read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("throttled_usec "):
            return int(line.split()[1]) * 1000
    return 0
