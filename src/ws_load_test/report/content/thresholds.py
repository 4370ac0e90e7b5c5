"""Conditions of a run and the values found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    format_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.analysis.summary_types import Summary, ThresholdCheck


CLOSE = 0.01
"""Part of the limit: values within it are shown with all of their digits, or they would look like the limit."""
_SHOWN: dict[str, Callable[[float], str]] = {
    "ns": format_duration,
    "count": format_count,
    "share": format_share,
    "per_s": format_rate,
    "bytes": format_bytes,
    "number": lambda value: f"{value:.3g}",
}
_EXACT: dict[str, Callable[[float], str]] = {
    "ns": lambda value: f"{value / 1e6:.6f}".rstrip("0").rstrip(".") + " ms",
    "share": lambda value: f"{100 * value:.7g} %",
    "per_s": lambda value: f"{value:,.3f}/s",
    "bytes": lambda value: f"{value:,} B",
    "number": lambda value: f"{value:.7g}",
}


def stopped_by(summary: Summary) -> list[str]:
    """Returns the conditions that stopped the run before its end."""
    return [sanitize(check.check) for check in summary.verdict.checks if check.stopped_run]


def describe_condition(check: ThresholdCheck) -> str:
    """Returns the condition with its option: ``fail if p99 > 50ms``."""
    return sanitize(f"{check.option.replace('-', ' ')} {check.check}".strip())


def describe_value(check: ThresholdCheck) -> str:
    """Returns the value found, or the reason why there is none; "" where the check has neither."""
    unit = None if check.unit is UNSET else check.unit
    if check.is_doubted and unit in _SHOWN and check.value is not None and check.limit is not UNSET:
        return f"not judged ({show_value(check.value, check.limit, unit)}), because {check.why}"
    if check.why is not UNSET:
        return f"no value, {check.why}" if unit else check.why
    if unit not in _SHOWN or check.value is None or check.limit is UNSET:
        return ""
    shown = show_value(check.value, check.limit, unit)
    if check.aborted_at_ns is not UNSET:
        return f"{shown}, so the run was stopped {format_duration(check.aborted_at_ns)} after its start"
    if check.intervals is UNSET or check.failed_intervals is UNSET:
        return shown
    count, failed = check.intervals, check.failed_intervals
    if not failed:
        return f"at worst {shown}, over {format_count(count)} interval{'s' * (count != 1)}"
    when = "" if check.from_ns is UNSET else f" from {format_duration(check.from_ns)} after the start on,"
    return f"{shown}{when} and so in {format_count(failed)} of {format_count(count)} intervals"


def describe_check(check: ThresholdCheck) -> str:
    """Returns the condition and the value found: ``fail if p99 > 50ms: 61.2 ms``."""
    condition, value = describe_condition(check), sanitize(describe_value(check))
    return f"{condition}: {value}" if value else condition


def show_value(value: float, limit: float, unit: str) -> str:
    """Returns a value in its unit, exact where it is close to the limit.

    Raises:
        KeyError: There is no such unit.
    """
    near = value != limit and abs(value - limit) <= CLOSE * abs(limit)
    return (_EXACT if near and unit in _EXACT else _SHOWN)[unit](value)
