"""What was asked of a run, beside what it achieved."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from ws_load_test.plan import OpenLoad, Plan
from ws_load_test.report.lines import LABEL, NOTHING, WIDTH
from ws_load_test.units import show_bytes, show_count, show_duration, show_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.measure.recording import Recording

_NARROWEST, _WIDEST = 16, 34
"""Columns of what was asked; a rate of many stages takes several lines."""
_GAP = 3


def asked_and_achieved(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    """Returns the table; what several recordings asked for differently is ``several``."""
    plans = _plans(recordings)
    connections, messages, sizes = summary["connections"], summary["messages"], summary["bytes"]
    nothing_sent = not (sizes["sent"] or sizes["received"])
    rows = [("connections", _each(plans, _connections), _achieved_connections(connections))]
    if any(plan.messages is not None for plan in plans):
        asked = _each(plans, lambda plan: NOTHING if plan.messages is None else show_count(plan.messages))
        rows.append(("requests", asked, f"{show_count(messages['answered'])} answered"))
    rows += [
        ("total time", _each(plans, _time), show_duration(summary["duration_s"] * 1e9 or None)),
        ("load", _asked(plans, _load), ""),
    ]
    if any(isinstance(plan.load, OpenLoad) and plan.load.rate.peak for plan in plans):
        seconds = summary["duration_s"]
        sent = f"{show_rate(messages['sent'] / seconds)} sent" if seconds else NOTHING
        rows.append(("rate", _each(plans, _rate), sent))
    rows += [
        (
            "message",
            _asked(plans, lambda plan: f"{plan.message.kind}, {show_bytes(plan.message.size_bytes)}"),
            NOTHING if nothing_sent else f"{show_bytes(sizes['sent'])} sent, {show_bytes(sizes['received'])} received",
        ),
        ("throughput", _asked(plans, _throughput), show_rate(summary["throughput_per_s"])),
    ]
    room = WIDTH - LABEL - _GAP - max(len(achieved) for _, _, achieved in rows)
    most = min(_WIDEST, max(_NARROWEST, room))
    cells = [(label, textwrap.wrap(asked, most) or [""], achieved) for label, asked, achieved in rows]
    width = max(len(line) for _, asked, _ in cells for line in asked) + _GAP
    lines = [Text(f"{'':{LABEL}}{'asked':{width}}achieved", style="bold")]
    for label, asked_lines, achieved in cells:
        missed = label == "connections" and (connections["failed"] or connections["lost"])
        for one, beside_it in itertools.zip_longest(asked_lines, [achieved], fillvalue=""):
            line = Text(f"{label:{LABEL}}{one:{width}}")
            lines.append(line.append(beside_it, style="yellow" if missed else ""))
            label = ""  # noqa: PLW2901 - on its first line only
    return lines


def _plans(recordings: Sequence[Recording]) -> list[Plan]:
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
    return shown[0] if len(shown) == 1 else "several" if shown else NOTHING


def _each(plans: Sequence[Plan], show: Callable[[Plan], str]) -> str:
    """Returns what was asked of each of several runs, where the achieved amounts are their sums."""
    shown = _asked(plans, show)
    return f"{shown} each" if len(plans) > 1 and shown not in ("several", NOTHING) else shown


def _connections(plan: Plan) -> str:
    if plan.connection_shape is not None:
        return plan.connection_shape.describe(show_count)
    connections = show_count(plan.connections)
    return connections if plan.connect_rate_per_s is None else f"{connections}, at {show_rate(plan.connect_rate_per_s)}"


def _time(plan: Plan) -> str:
    length = "until all are answered" if plan.duration_ns is None else show_duration(plan.duration_ns)
    return f"{length}, warm-up {show_duration(plan.warmup_ns)}" if plan.warmup_ns else length


def _load(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoad):
        return f"{show_count(plan.load.in_flight)} in flight each"
    if not plan.load.rate.peak:
        return "none, held open"
    most = plan.load.max_in_flight
    arrivals = plan.load.arrivals
    return f"{arrivals} arrivals" if most is None else f"{arrivals}, at most {show_count(most)} in flight each"


def _rate(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoad) or not plan.load.rate.peak:
        return NOTHING
    return plan.load.rate.describe(show_rate)


def _throughput(plan: Plan) -> str:
    if not isinstance(plan.load, OpenLoad):
        return "as fast as it answers"
    return "what is sent" if plan.load.rate.peak else NOTHING


def _achieved_connections(connections: dict[str, Any]) -> str:
    # A run that was killed while it dialled knows nothing of the rest.
    waiting = connections["attempted"] - connections["opened"] - connections["failed"]
    parts = [f"{show_count(connections[word])} {word}" for word in ("opened", "failed", "lost")]
    return ", ".join([*parts, f"{show_count(waiting)} unknown"] if waiting > 0 else parts)
