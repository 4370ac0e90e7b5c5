"""Rows of the requested and the achieved load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.findings import MISBEHAVIOR_NAMES, misbehaving_counts
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
)
from ws_load_test.report.content.labeled import NO_VALUE, count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.analysis.summary_types import Connections, Summary
    from ws_load_test.plan.plan import Plan
    from ws_load_test.report.results import Results

_DIFFERENT = "several"
"""Stands for the requested load of recordings that requested different ones."""


def requested_rows(results: Results) -> list[tuple[str, str, str]]:
    """Returns rows of label, requested and achieved."""
    plans, summary = results.plans.plans, results.summary
    nothing_sent = not (summary.bytes.sent or summary.bytes.received)
    rows = [("connections", _each(plans, _connections), _achieved_connections(summary.connections))]
    if any(plan.messages is not None for plan in plans):
        requested = _each(plans, lambda plan: NO_VALUE if plan.messages is None else format_count(plan.messages))
        rows.append(("requests", requested, f"{format_count(summary.messages.answered)} answered"))
    rows += [
        ("total time", _each(plans, _time), format_duration(summary.duration_s * 1e9 or None)),
        ("load", _common(plans, lambda plan: plan.load.describe_briefly()), ""),
    ]
    if any(plan.load.peak_per_s for plan in plans):
        rows.append(("rate", _each(plans, _rate), _achieved_rate(summary)))
    traffic = f"{format_bytes(summary.bytes.sent)} sent, {format_bytes(summary.bytes.received)} received"
    rows.append(("message", _common(plans, _message), NO_VALUE if nothing_sent else traffic))
    rows += [(label, _common(plans, show), "") for label, show in _OPTIONAL_ROWS.items() if any(map(show, plans))]
    throughput = summary.throughput_per_s if results.awaits_replies else None
    rows.append(("throughput", _common(plans, _throughput), format_rate(throughput)))
    return rows


def _common(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    shown = list(dict.fromkeys(show(plan) for plan in plans))
    return shown[0] if len(shown) == 1 else _DIFFERENT if shown else NO_VALUE


def _each(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    """Returns the request of each of several runs, where the achieved amounts are their sums."""
    shown = _common(plans, show)
    return f"{shown} each" if len(plans) > 1 and shown not in (_DIFFERENT, NO_VALUE) else shown


def _connections(plan: Plan) -> str:
    if plan.connection_profile is not None:
        return plan.connection_profile.describe(format_count)
    words = format_count(plan.connections)
    if plan.connect_rate_per_s is not None:
        words += f", at {format_rate(plan.connect_rate_per_s)}"
    counts = misbehaving_counts({"connections": plan.connections, "misbehaving": msgspec.to_builtins(plan.misbehaving)})
    kinds = [f"{format_count(count)} {MISBEHAVIOR_NAMES[kind]}" for kind, count in counts.items()]
    return f"{words}, of which {', '.join(kinds)}" if kinds else words


def _time(plan: Plan) -> str:
    length = "until all are answered" if plan.duration_ns is None else format_duration(plan.duration_ns)
    return f"{length}, warm-up {format_duration(plan.warmup_ns)}" if plan.warmup_ns else length


def _rate(plan: Plan) -> str:
    rate = plan.load.requested_rate
    return NO_VALUE if rate is None or not rate.peak else rate.describe(format_rate)


def _achieved_rate(summary: Summary) -> str:
    """Returns the rate of all messages sent: the schedule includes those of misbehaving clients."""
    if not summary.duration_s:
        return NO_VALUE
    apart = summary.misbehaving.messages.sent if summary.misbehaving is not None else 0
    words = f"{format_rate((summary.messages.sent + apart) / summary.duration_s)} sent"
    return f"{words}, {format_rate(apart / summary.duration_s)} by misbehaving ones" if apart else words


def _message(plan: Plan) -> str:
    if plan.scenario is not None:
        return "of the steps"
    message = plan.message
    return message.describe() if message.is_dynamic else f"{message.kind}, {format_bytes(message.size_bytes)}"


def _correlation(plan: Plan) -> str:
    """Returns the rule that finds replies, and the checks on them; "" for replies in order without checks."""
    correlation = plan.correlation
    rule = f"{correlation.rule}:{correlation.selector}" if correlation.selector else correlation.rule
    words = {"order": "", "ping": "", "none": "not awaited"}.get(rule, f"by {rule}")
    parts = [words] if words else []
    if correlation.greetings:
        parts.append(f"skipping {count_of(correlation.greetings, 'greeting')}")
    checks = (("must satisfy", correlation.expect), ("ignored", correlation.ignore))
    parts += [f"{label} {' or '.join(map(str, found))}" for label, found in checks if found]
    return sanitize(", ".join(parts))


_OPTIONAL_ROWS: dict[str, Callable[[Plan], str]] = {
    "replies": _correlation,
    "address": lambda plan: sanitize(plan.target.unix_socket or ", ".join(plan.target.addresses)),
    "proxy": lambda plan: sanitize(plan.target.describe_proxy()),
}
"""Rows that only some plans have."""


def _throughput(plan: Plan) -> str:
    if plan.load.due_when_sent:
        return "as fast as it answers"
    return "what is sent" if plan.load.sends_messages and plan.correlation.rule != "none" else NO_VALUE


def _achieved_connections(connections: Connections) -> str:
    # A run that was killed while it dialed has sessions of unknown outcome.
    unknown = connections.attempted - connections.opened - connections.failed - connections.cancelled
    again = connections.reconnected + connections.recycled
    parts = [
        f"{format_count(connections.opened)} opened" + (f" ({format_count(again)} again)" if again else ""),
        f"{format_count(connections.failed)} failed",
        f"{format_count(connections.lost)} lost",
    ]
    if connections.cancelled:
        parts.append(f"{format_count(connections.cancelled)} cancelled")
    return ", ".join([*parts, f"{format_count(unknown)} unknown"] if unknown > 0 else parts)
