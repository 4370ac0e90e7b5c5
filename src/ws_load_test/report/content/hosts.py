"""Machines of a run on several: a row for each, and the spread of their starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import percent
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.labeled import NO_VALUE

if TYPE_CHECKING:
    from ws_load_test.analysis.summary_types import HostSummary, Summary

HEADINGS = ("hosts", "workers", "rate", "core", "send lag", "p50", "path", "clock")


def cells(host: HostSummary) -> tuple[str, ...]:
    """Returns the cells of a machine's row, under `HEADINGS`."""
    times, lag, path = host.response_time_ns, host.send_lag_ns, host.path_time_ns
    left = host.workers - host.lost_workers
    return (
        sanitize(host.name),
        f"{left} of {host.workers}" if host.lost_workers else format_count(host.workers),
        _rate(host),
        NO_VALUE if host.cpu_share is None else percent(host.cpu_share),
        NO_VALUE if lag is None else format_duration(lag.p99),
        NO_VALUE if times is None else format_duration(times.p50),
        NO_VALUE if path is None else format_duration(path),
        f"{clock_offset(host.clock_ahead_ns)} ±{format_duration(host.clock_error_ns)}",
    )


def _rate(host: HostSummary) -> str:
    """Returns the rate of what a machine did: replies, messages sent where there are none, or deliveries, marked."""
    own = host.throughput_per_s or host.sent_per_s
    return format_rate(own) if own or not host.deliveries_per_s else f"{format_rate(host.deliveries_per_s)}*"


def clock_offset(ns: int) -> str:
    """Returns the offset of a clock with its sign; monotonic clocks start with their machine, so it can be days."""
    sign, minutes = "-" if ns < 0 else "+", abs(ns) / 60e9
    if minutes < 2:
        return f"{sign}{format_duration(abs(ns))}"
    return f"{sign}{minutes:.0f} min" if minutes < 120 else f"{sign}{minutes / 60:.0f} h"


def host_notes(summary: Summary) -> list[str]:
    """Returns what to know about the rows of the machines."""
    marked = any(_rate(host).endswith("*") for host in summary.hosts)
    notes = [start_skew(summary), "* deliveries: this machine has no publishers" if marked else ""]
    return [note for note in notes if note]


def start_skew(summary: Summary) -> str:
    """Returns a sentence about the spread of the machines' starts; "" where it is not known."""
    spread_ns = summary.generator.start_spread_ns
    if spread_ns is None:
        return ""
    error_ns = max(host.clock_error_ns for host in summary.hosts)
    return f"all workers began within {format_duration(spread_ns)}; the clocks agree to ±{format_duration(error_ns)}"
