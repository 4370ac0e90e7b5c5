"""The conditions of a run and what was found, a line or two for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    format_share,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


CLOSE = 0.01
"""Of the limit: values nearer to it are shown with all their digits, or they would look like it."""
_SHOWN: dict[str, Callable[[float], str]] = {
    "ns": format_duration,
    "count": format_count,
    "share": format_share,
    "per_s": format_rate,
    "bytes": format_bytes,
}
_EXACT: dict[str, Callable[[float], str]] = {
    "ns": lambda value: f"{value / 1e6:.6f}".rstrip("0").rstrip(".") + " ms",
    "share": lambda value: f"{100 * value:.7g} %",
    "per_s": lambda value: f"{value:,.3f}/s",
    "bytes": lambda value: f"{value:,} B",
}


def stopped_by(summary: dict[str, Any]) -> Sequence[str]:
    """Returns the conditions that stopped the run before its end."""
    return [sanitize(check["check"]) for check in summary.verdict.checks if "aborted_at_ns" in check]


def describe_condition(check: dict[str, Any]) -> str:
    """Returns what was asked: ``fail if p99 > 50ms``."""
    condition = sanitize(str(check["check"]))
    option = sanitize(str(check.get("option", ""))).replace("-", " ")
    return f"{option} {condition}".strip()


def describe_value(check: dict[str, Any]) -> str:
    """Returns what was found, or why nothing was; "" where a version wrote down neither."""
    unit, value = check.get("unit"), check.get("value")
    if "why" in check:
        return f"no value, {check['why']}" if unit else str(check["why"])
    if unit not in _SHOWN or value is None:
        return ""
    shown = _show(value, check["limit"], unit)
    if "aborted_at_ns" in check:
        return f"{shown}, so the run was stopped {format_duration(check['aborted_at_ns'])} after its start"
    if "intervals" not in check:
        return shown
    count, failed = check["intervals"], check["failed_intervals"]
    if not failed:
        return f"at worst {shown}, over {format_count(count)} interval{'s' * (count != 1)}"
    when = format_duration(check["from_ns"])
    return (
        f"{shown} from {when} after the start on, and so in {format_count(failed)} of {format_count(count)} intervals"
    )


def _show(value: float, limit: float, unit: str) -> str:
    near = value != limit and abs(value - limit) <= CLOSE * abs(limit)
    return (_EXACT if near and unit in _EXACT else _SHOWN)[unit](value)
