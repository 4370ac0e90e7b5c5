"""The machines of a run on several: a row for each, and how well they kept together."""

from __future__ import annotations

from typing import Any

from ws_load_test.analysis.findings import percent
from ws_load_test.common.sanitize import clean
from ws_load_test.common.units import show_count, show_duration, show_rate
from ws_load_test.report.content.labelled import NOTHING

HEADINGS = ("hosts", "workers", "rate", "core", "send lag", "50 %", "path", "clock")
_GAP = 2


def cells(host: dict[str, Any]) -> tuple[str, ...]:
    """Returns what stands under `HEADINGS` of a machine."""
    times, lag, path = host["response_time_ns"], host["send_lag_ns"], host["path_time_ns"]
    left = host["workers"] - host["lost_workers"]
    return (
        clean(host["name"]),
        f"{left} of {host['workers']}" if host["lost_workers"] else show_count(host["workers"]),
        show_rate(host["throughput_per_s"] or host["sent_per_s"]),
        NOTHING if host["cpu_share"] is None else percent(host["cpu_share"]),
        NOTHING if lag is None else show_duration(lag["p99"]),
        NOTHING if times is None else show_duration(times["p50"]),
        NOTHING if path is None else show_duration(path),
        f"{_ahead(host['clock_ahead_ns'])} ±{show_duration(host['clock_error_ns'])}",
    )


def _ahead(ns: int) -> str:
    """How far a clock is before another one: monotonic clocks begin when a machine does, which may be long ago."""
    sign, minutes = "-" if ns < 0 else "+", abs(ns) / 60e9
    if minutes < 2:
        return f"{sign}{show_duration(abs(ns))}"
    return f"{sign}{minutes:.0f} min" if minutes < 120 else f"{sign}{minutes / 60:.0f} h"


def together(summary: dict[str, Any]) -> str:
    """Returns how well the machines began together; nothing where that is not known."""
    spread_ns = summary["generator"]["start_spread_ns"]
    if spread_ns is None:
        return ""
    error_ns = max(host["clock_error_ns"] for host in summary["hosts"])
    return (
        f"all workers began within {show_duration(spread_ns)}, as clocks that agree to ±{show_duration(error_ns)} say"
    )
