"""Time lines of single sessions on a run's page: steps as bars, waits before them, messages and faults as marks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import NS_PER_UNIT, format_count, format_duration
from ws_load_test.report.content import excerpts as content
from ws_load_test.report.html.document import Chart, Section, Table, Text
from ws_load_test.report.html.figures import figure, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.metrics.scenario_metrics import RoleTally
    from ws_load_test.metrics.session_excerpts import Entry, Excerpt, Reason
    from ws_load_test.report.html.axes import Axis
    from ws_load_test.report.html.document import Part
    from ws_load_test.report.html.figures import Trace

MOST_ROLES = 6
"""Roles whose sessions are shown: three charts of each are a long page."""
LANE_PX, FRAME_PX = 32, 120
"""Height of a line of a chart, and of its axis and legend, in CSS pixels."""
BAR = 0.46
"""Height of a bar, as a share of its line's."""
SEEN = 0.004
"""Least share of the axis that a late message has to show as a line of its own; shorter ones are in the table."""
MARGIN = 0.02
"""Share of the axis that is free behind the last entry."""


def section(roles: Mapping[str, RoleTally]) -> list[Section]:
    """Returns the section of the time lines; none where no session was followed."""
    known = {name: tally.excerpts for name, tally in roles.items() if tally.excerpts is not None}
    parts: list[Part] = []
    for number, (role, found) in enumerate(list(known.items())[:MOST_ROLES]):
        parts += [_chart(f"session-{number}-{reason}", role, reason, one) for reason, one in content.distinct(found)]
    if not parts:
        return []
    left_out = len(known) - MOST_ROLES
    more = f" The sessions of {format_count(left_out)} more roles are not shown." if left_out > 0 else ""
    return [Section("Sessions, step by step", [Text(content.HOW_TO_READ + more), *parts])]


def _chart(key: str, role: str, reason: Reason, one: Excerpt) -> Chart:
    lanes = content.lanes(one.entries)
    rows = {lane: place for place, lane in enumerate(lanes)}
    unit_ns, x = _time_axis(one)
    traces = list(_traces(one, rows, unit_ns, (x["range"][1] - x["range"][0]) * unit_ns))
    y: Axis = {
        "tickvals": list(rows.values()),
        "ticktext": [plain(name) for _, name in lanes],
        "range": [len(rows) - 0.5, -0.5],
        "zeroline": False,
        "fixedrange": True,
    }
    heads = content.HEADINGS_OF_PARTIAL if one.is_partial else content.HEADINGS
    table = Table(heads, [content.row(entry) for entry in one.entries])
    layout = figure(traces, x, y, barmode="overlay", **_marks(reason, one, rows, unit_ns))
    height = FRAME_PX + LANE_PX * len(rows)
    return Chart(key, content.title(role, reason, one), content.caption(one), layout, table, height, wide=True)


def _time_axis(one: Excerpt) -> tuple[float, Axis]:
    """Returns the length of an axis unit in ns, and the axis from the first entry to behind the last."""
    first_ns = min((entry.at_ns for entry in one.entries), default=0)
    last_ns = max((entry.end_ns for entry in one.entries), default=0)
    if not one.left_out:
        first_ns = min(0, first_ns)
    if one.ended_ns is not None:
        last_ns = max(last_ns, one.ended_ns)
    span_ns = max(1_000_000, last_ns - first_ns)
    units = (
        ("ms", "milliseconds", 2.0),
        ("s", "seconds", 180.0),
        ("m", "minutes", 180 * 60.0),
        ("h", "hours", math.inf),
    )
    unit, word = next((unit, word) for unit, word, longest in units if first_ns + span_ns <= longest * 1e9)
    unit_ns = float(NS_PER_UNIT[unit])
    begin = "when the step was due" if one.is_partial else "the opening of the session"
    low, high = first_ns - (MARGIN * span_ns if first_ns else 0), first_ns + span_ns * (1 + MARGIN)
    axis = {"title": {"text": f"{word} from {begin}"}, "range": [low / unit_ns, high / unit_ns]}
    return unit_ns, axis | {"hoverformat": ",.6~g", "tickformat": ",~r"}


def _traces(one: Excerpt, rows: Mapping[tuple[bool, str], int], unit_ns: float, span_ns: float) -> Iterator[Trace]:
    def at(time_ns: float) -> float:
        return float(f"{time_ns / unit_ns:.7g}")

    def row(entry: Entry) -> int:
        return rows[entry.is_step, content.lane(entry)]

    steps = [entry for entry in one.entries if entry.is_step]
    ready_ns = None if one.left_out else one.ready_ns
    waits = [(at(from_ns), at(entry.at_ns), row(entry)) for from_ns, entry in _waits(steps, ready_ns)]
    yield from _lines("wait", waits, "var(--soft)", 1.5, "dot")
    late = [(entry, entry.sent_ns) for entry in steps if entry.sent_ns and entry.sent_ns - entry.at_ns > SEEN * span_ns]
    places = [(at(entry.at_ns), at(sent_ns), row(entry)) for entry, sent_ns in late]
    yield from _lines("due, not sent", places, "var(--doubt)", 4, "solid")
    last_ns = max((entry.end_ns for entry in one.entries), default=0)
    for name, fates, color, pattern in (
        ("step", {"completed"}, "var(--series-1)", ""),
        ("step, not completed", {"unanswered", "not-sent"}, "var(--bad)", "x"),
        ("step, still awaited", {""}, "var(--series-7)", "/"),
    ):
        found = [entry for entry in steps if entry.fate in fates]
        if found:
            starts = [entry.at_ns if entry.sent_ns is None else entry.sent_ns for entry in found]
            ends = [last_ns if entry.until_ns is None else entry.until_ns for entry in found]
            yield {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "base": list(map(at, starts)),
                "x": [at(max(0, end - start)) for start, end in zip(starts, ends, strict=True)],
                "y": list(map(row, found)),
                "width": BAR,
                # A step of a millisecond on an axis of minutes is still a stroke.
                "marker": {
                    "color": color,
                    "line": {"color": color, "width": 2},
                    "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "var(--paper)", "size": 6},
                },
                "text": [plain(content.tip(entry)) for entry in found],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
                "showlegend": True,
            }
    sent = [entry for entry in steps if entry.fate == "sent"]
    yield from _points("message that awaits no other", sent, "triangle-right", "var(--series-1)", row, at)
    came = [entry for entry in one.entries if not entry.is_step and entry.kind != "fault"]
    runs = [(at(entry.at_ns), at(entry.until_ns), row(entry)) for entry in came if entry.until_ns is not None]
    yield from _lines("several messages", runs, "var(--series-3)", 2, "solid")
    yield from _points("message", came, "diamond", "var(--series-3)", row, at)
    faults = [entry for entry in one.entries if entry.kind == "fault"]
    yield from _points("fault", faults, "x", "var(--bad)", row, at)


def _waits(steps: Sequence[Entry], ready_ns: int | None) -> Iterator[tuple[int, Entry]]:
    """Yields each step of an iteration that was due later than the one before was over, and when that was.

    Before the first one, it is the wait from when the session was ready.
    """
    own = [entry for entry in steps if entry.kind != "timer"]
    ends = [ready_ns, *(entry.until_ns for entry in own)]
    for from_ns, entry in zip(ends, own, strict=False):
        if from_ns is not None and entry.at_ns > from_ns and entry.kind == "step":
            yield from_ns, entry


def _lines(
    name: str, places: Sequence[tuple[float, float, int]], color: str, width: float, dash: str
) -> Iterator[Trace]:
    """Yields the trace of horizontal lines, from one place to another in a row; none without any."""
    if places:
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": [value for low, high, _ in places for value in (low, high, None)],
            "y": [value for _, _, row in places for value in (row, row, None)],
            "line": {"color": color, "width": width, "dash": dash},
            "hoverinfo": "skip",
        }


def _points(  # noqa: PLR0917 - a row of a table
    name: str, entries: Sequence[Entry], symbol: str, color: str, row: Any, at: Any
) -> Iterator[Trace]:
    """Yields the trace of marks, where entries begin and where those of several messages end; none without any."""
    if entries:
        marks = [(entry, at_ns) for entry in entries for at_ns in {entry.at_ns, _end_of_run(entry)}]
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [at(at_ns) for _, at_ns in marks],
            "y": [row(entry) for entry, _ in marks],
            "marker": {"symbol": symbol, "size": 10, "color": color, "line": {"color": "var(--paper)", "width": 1}},
            "text": [plain(content.tip(entry)) for entry, _ in marks],
            "hovertemplate": "%{text}<extra></extra>",
        }


def _end_of_run(entry: Entry) -> int:
    return entry.at_ns if entry.is_step or entry.until_ns is None else entry.until_ns


def _marks(reason: Reason, one: Excerpt, rows: Mapping[tuple[bool, str], int], unit_ns: float) -> dict[str, Any]:
    """Returns the layout of the lines at which the session was ready and ended, and of the slowest step's time."""
    events: list[tuple[int, str, str]] = []
    if one.ready_ns is not None and not one.left_out:
        events.append((one.ready_ns, "ready", "left"))
    if one.ended_ns is not None:
        events.append((one.ended_ns, "failed" if one.fault else "ended", "right"))
    shapes = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": at_ns / unit_ns,
            "x1": at_ns / unit_ns,
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"color": "var(--bad)" if text == "failed" else "var(--soft)", "width": 1, "dash": "dot"},
        }
        for at_ns, text, _ in events
    ]
    font = {"size": 11, "color": "var(--soft)"}
    notes = [
        {"x": at_ns / unit_ns, "xanchor": side, "y": 0, "yref": "paper", "yanchor": "bottom", "text": text}
        for at_ns, text, side in events
    ]
    if reason == "slowest":
        for entry in one.entries:
            if entry.is_step and entry.until_ns is not None and entry.until_ns - entry.at_ns == one.took_ns:
                at, row = (entry.at_ns + one.took_ns / 2) / unit_ns, rows[True, content.lane(entry)] - BAR / 2
                notes.append({"x": at, "y": row, "yanchor": "bottom", "text": format_duration(one.took_ns)})
    shown = [{**one, "showarrow": False, "font": font} for one in notes]
    return {"shapes": shapes, "annotations": shown}
