"""The machines of a run on several: a row for each, and how well they kept together."""

from __future__ import annotations

from typing import Any

from ws_load_test.analysis.findings import percent
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.labelled import NO_VALUE

HEADINGS = ("hosts", "workers", "rate", "core", "send lag", "50 %", "path", "clock")
_GAP = 2


def cells(host: dict[str, Any]) -> tuple[str, ...]:
    """Returns what stands under `HEADINGS` of a machine."""
    times, lag, path = host["response_time_ns"], host["send_lag_ns"], host["path_time_ns"]
    left = host["workers"] - host["lost_workers"]
    return (
        sanitize(host["name"]),
        f"{left} of {host['workers']}" if host["lost_workers"] else format_count(host["workers"]),
        format_rate(host["throughput_per_s"] or host["sent_per_s"]),
        NO_VALUE if host["cpu_share"] is None else percent(host["cpu_share"]),
        NO_VALUE if lag is None else format_duration(lag["p99"]),
        NO_VALUE if times is None else format_duration(times["p50"]),
        NO_VALUE if path is None else format_duration(path),
        f"{clock_offset(host['clock_ahead_ns'])} ±{format_duration(host['clock_error_ns'])}",
    )


def clock_offset(ns: int) -> str:
    """How far a clock is before another one: monotonic clocks begin when a machine does, which may be long ago."""
    sign, minutes = "-" if ns < 0 else "+", abs(ns) / 60e9
    if minutes < 2:
        return f"{sign}{format_duration(abs(ns))}"
    return f"{sign}{minutes:.0f} min" if minutes < 120 else f"{sign}{minutes / 60:.0f} h"


def start_skew(summary: dict[str, Any]) -> str:
    """Returns how well the machines began together; nothing where that is not known."""
    spread_ns = summary.generator.start_spread_ns
    if spread_ns is None:
        return ""
    error_ns = max(host["clock_error_ns"] for host in summary.hosts)
    return f"all workers began within {format_duration(spread_ns)}, as clocks that agree to ±{format_duration(error_ns)} say"
