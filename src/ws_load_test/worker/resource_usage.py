"""How the worker itself fares: its processor time, what kept it from having more, and its pauses."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import msgspec

from ws_load_test.common.clock import monotonic_ns

_SCHEDSTAT = Path("/proc/self/schedstat")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


class ResourceUsage(msgspec.Struct, frozen=True):
    """What a worker used, and what held it up, in one interval."""

    cpu_ns: int = 0
    """Processor time, user and system."""
    run_delay_ns: int = 0
    """Time in which it could have run and other processes had the core; 0 where the system does not tell."""
    throttled_ns: int = 0
    """Time in which its control group had used up its processor quota."""
    gc_ns: int = 0
    """Time in which the garbage collector held it up."""


class ResourceMonitor:
    """Reads the counters, and tells what each interval added."""

    def __init__(self) -> None:
        self._gc_ns = 0
        self._gc_from_ns = 0
        self._throttling = _cpu_stat()
        self._last = self._read()
        gc.callbacks.append(self._on_gc)

    def sample(self) -> ResourceUsage:
        """What has come since the last lap."""
        last, self._last = self._last, self._read()
        return ResourceUsage(*(max(0, now - before) for now, before in zip(self._last, last, strict=True)))

    def close(self) -> None:
        """Hears of garbage collections no more."""
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
    """The file in which control groups, version 2, count this process's throttling."""
    try:
        lines = _CGROUP.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        number, _, path = line.split(":", 2)
        if number == "0":
            return _CGROUPS / path.lstrip("/") / "cpu.stat"
    return None


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
