"""What was asked of a run, beside what it achieved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.findings import MISBEHAVIOR_NAMES, awaits_nothing, misbehaving_counts
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
)
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.plan import Plan
from ws_load_test.report.content.labelled import NO_VALUE, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


def requested_rows(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns rows of label, asked and achieved; what several recordings asked for differently is ``several``."""
    plans = plans_of(recordings)
    connections, messages, sizes = summary["connections"], summary["messages"], summary["bytes"]
    nothing_sent = not (sizes["sent"] or sizes["received"])
    rows = [("connections", _each(plans, _connections), _achieved_connections(connections))]
    if any(plan.messages is not None for plan in plans):
        asked = _each(plans, lambda plan: NO_VALUE if plan.messages is None else format_count(plan.messages))
        rows.append(("requests", asked, f"{format_count(messages['answered'])} answered"))
    rows += [
        ("total time", _each(plans, _time), format_duration(summary["duration_s"] * 1e9 or None)),
        ("load", _asked(plans, _load), ""),
    ]
    if any(isinstance(plan.load, OpenLoop) and plan.load.rate.peak for plan in plans):
        rows.append(("rate", _each(plans, _rate), _achieved_rate(summary)))
    rows.append(
        (
            "message",
            _asked(plans, _message),
            NO_VALUE
            if nothing_sent
            else f"{format_bytes(sizes['sent'])} sent, {format_bytes(sizes['received'])} received",
        )
    )
    rows += [(label, _asked(plans, show), "") for label, show in _OPTIONAL_ROWS.items() if any(map(show, plans))]
    throughput = None if awaits_nothing(recordings) else summary["throughput_per_s"]
    rows.append(("throughput", _asked(plans, _throughput), format_rate(throughput)))
    return rows


def plans_of(recordings: Sequence[Recording]) -> list[Plan]:
    """Returns the plans, or none where one has options that this version does not know."""
    plans = []
    for recording in recordings:
        try:
            plans.append(msgspec.convert(recording.header.plan, Plan))
        except msgspec.ValidationError:
            return []
    return plans


def _asked(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    shown = list(dict.fromkeys(show(plan) for plan in plans))
    return shown[0] if len(shown) == 1 else "several" if shown else NO_VALUE


def _each(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    """Returns what was asked of each of several runs, where the achieved amounts are their sums."""
    shown = _asked(plans, show)
    return f"{shown} each" if len(plans) > 1 and shown not in ("several", NO_VALUE) else shown


def _connections(plan: Plan) -> str:
    if plan.connection_profile is not None:
        return plan.connection_profile.describe(format_count)
    words = format_count(plan.connections)
    if plan.connect_rate_per_s is not None:
        words += f", at {format_rate(plan.connect_rate_per_s)}"
    kinds = misbehaving_counts({"connections": plan.connections, "misbehaving": msgspec.to_builtins(plan.misbehaving)})
    return (
        f"{words}, of which {', '.join(f'{format_count(n)} {MISBEHAVIOR_NAMES[kind]}' for kind, n in kinds.items())}"
        if kinds
        else words
    )


def _time(plan: Plan) -> str:
    length = "until all are answered" if plan.duration_ns is None else format_duration(plan.duration_ns)
    return f"{length}, warm-up {format_duration(plan.warmup_ns)}" if plan.warmup_ns else length


def _load(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoop):
        return f"{format_count(plan.load.in_flight)} in flight each"
    if not plan.load.rate.peak:
        return "none, held open"
    most = plan.load.max_in_flight
    arrivals = plan.load.arrivals
    return f"{arrivals} arrivals" if most is None else f"{arrivals}, at most {format_count(most)} in flight each"


def _rate(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoop) or not plan.load.rate.peak:
        return NO_VALUE
    return plan.load.rate.describe(format_rate)


def _achieved_rate(summary: dict[str, Any]) -> str:
    """Returns what was sent of the schedule: what fell to unkind connections was due like the rest."""
    seconds, kind = summary["duration_s"], summary["messages"]["sent"]
    if not seconds:
        return NO_VALUE
    unkind = summary["misbehaving"]["messages"]["sent"] if summary["misbehaving"] is not None else 0
    words = f"{format_rate((kind + unkind) / seconds)} sent"
    return f"{words}, {format_rate(unkind / seconds)} by unkind ones" if unkind else words


def _message(plan: Plan) -> str:
    message = plan.message
    return message.describe() if message.is_dynamic else f"{message.kind}, {format_bytes(message.size_bytes)}"


def _matching(plan: Plan) -> str:
    """Returns how replies are found, where it is not just in order."""
    matching = plan.correlation
    rule = f"{matching.rule}:{matching.selector}" if matching.selector else matching.rule
    words = {"order": "", "ping": "", "none": "not awaited"}.get(rule, f"by {rule}")
    parts = [words] if words else []
    if matching.greetings:
        parts.append(f"skipping {count_of(matching.greetings, 'greeting')}")
    parts += [f"{word} {' or '.join(map(str, checks))}" for word, checks in _checks(plan).items() if checks]
    return sanitize(", ".join(parts))


def _checks(plan: Plan) -> dict[str, tuple[object, ...]]:
    return {"must satisfy": plan.correlation.expect, "ignored": plan.correlation.ignore}


_OPTIONAL_ROWS: dict[str, Callable[[Plan], str]] = {
    "replies": _matching,
    "address": lambda plan: sanitize(plan.target.unix_socket or ", ".join(plan.target.addresses)),
    "proxy": lambda plan: sanitize(plan.target.proxy or ""),
}
"""Rows that only some plans have."""


def _throughput(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoop):
        return "as fast as it answers"
    if plan.correlation.rule == "none":
        return NO_VALUE
    return "what is sent" if plan.load.rate.peak else NO_VALUE


def _achieved_connections(connections: dict[str, Any]) -> str:
    # A run that was killed while it dialled knows nothing of the rest.
    known = sum(connections[word] for word in ("opened", "failed", "cancelled"))
    waiting = connections["attempted"] - known
    parts = [f"{format_count(connections[word])} {word}" for word in ("opened", "failed", "lost")]
    if connections["cancelled"]:
        parts.append(f"{format_count(connections['cancelled'])} called off")
    again = connections["reconnected"] + connections["recycled"]
    if again:
        parts[0] += f" ({format_count(again)} again)"
    return ", ".join([*parts, f"{format_count(waiting)} unknown"] if waiting > 0 else parts)
