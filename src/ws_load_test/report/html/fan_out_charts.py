"""Charts of a fan-out over time: first, last and spread of publishes, reach, and delivery times by room."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.fan_out import format_reach
from ws_load_test.report.html.axes import amount_axis, duration_axis, time_axis
from ws_load_test.report.html.document import Chart, Table
from ws_load_test.report.html.figures import color_bar, figure, line, plain
from ws_load_test.report.html.marks import limit_lines, limits
from ws_load_test.report.html.over_time import layout_of, middles, note, texts_of, when
from ws_load_test.report.html.timeline import FEWEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.summary_types import ThresholdCheck
    from ws_load_test.report.html.figures import Trace
    from ws_load_test.report.html.timeline import TimeBucket, Timeline

PUBLISH_TIMES = {"first": "first_time_ns", "last": "last_time_ns", "spread": "spread_ns"}
"""Times of each publish, by label."""
ROW_HEIGHT = 22
"""CSS pixels of a row of the heat map: its name fits."""


def publish_times(course: Timeline, checks: Sequence[ThresholdCheck] = ()) -> list[Chart]:
    """Returns the medians and p99 of first, last and spread over time, with the limits of `checks` on them."""
    columns = [one for one in course.columns if one.last_time_ns.count]
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    at = middles(columns, unit_ns)
    shown: dict[str, list[float | None]] = {}
    for label, name in PUBLISH_TIMES.items():
        found = [getattr(column, name).percentiles((50, 99)) for column in columns]
        shown[f"{label} p50"] = [row[0] for row in found]
        if label == "last":
            shown[f"{label} p99"] = [row[1] for row in found]
    traces: list[Trace] = []
    for number, (label, values) in enumerate(shown.items()):
        heights = [None if value is None else max(1, value) for value in values]
        traces.append(line(number, label, at, heights, text=texts_of(columns, list(map(format_duration, values)))))
    limited = limits(checks, *PUBLISH_TIMES)
    traces += limit_lines(limited, len(traces), 0, course.end_ns / unit_ns)
    known = [value for values in shown.values() for value in values if value is not None]
    y = duration_axis(*_ends([*known, *(float(one.limit) for one in limited)]), "time")
    rows = [
        [when(column), format_count(column.last_time_ns.count), *map(format_duration, values)]
        for column, *values in zip(columns, *shown.values(), strict=True)
    ]
    text = (
        "First and last are from when a message was due to its first and to its last delivery, and spread is between"
        f" these two. A publish counts once it is settled.{note(course)}"
    )
    layout = figure(traces, x, y, **layout_of(course, unit_ns))
    table = Table(["from the start", "publishes", *shown], rows)
    return [Chart("publish-times", "First, last and spread over the run", text, layout, table)]


def reach(course: Timeline) -> list[Chart]:
    """Returns the share of expected deliveries that came, over time."""
    columns = [one for one in course.columns if one.counts["deliveries_expected"]]
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    shares = [one.counts["deliveries"] / one.counts["deliveries_expected"] for one in columns]
    words = [format_reach(share) for share in shares]
    # Digits of what is missing: 99.9996 % would else be drawn as 100 %.
    heights: list[float | None] = [float(f"{100 * share:.9g}") for share in shares]
    trace = line(0, "reach", middles(columns, unit_ns), heights, text=texts_of(columns, words))
    rows = [
        [when(column), format_count(column.counts["deliveries_expected"]), format_count(column.counts["deliveries"]), w]
        for column, w in zip(columns, words, strict=True)
    ]
    lowest = 100 * min(shares)
    y = amount_axis("% of the expected deliveries") | {
        "rangemode": "normal",
        "range": [lowest - max(0.001, (100 - lowest) * 0.1), 100 + max(0.001, (100 - lowest) * 0.1)],
        "tickformat": "",
    }
    text = (
        "Deliveries that came within the time-out, of those expected. A publish counts in the second in which it is"
        f" settled, up to the time-out after it was sent.{note(course)}"
    )
    table = Table(["from the start", "expected", "delivered", "reach"], rows)
    return [Chart("reach", "Reach over time", text, figure([trace], x, y, **layout_of(course, unit_ns)), table)]


def rooms(course: Timeline, noun: str) -> list[Chart]:
    """Returns the heat map of mean delivery times by room, or by group of subscribers.

    Args:
        course: Course of the run.
        noun: Noun of the rows: ``rooms`` or ``subscribers``.
    """
    columns = [one for one in course.columns if one.delivery_groups.total()]
    total, time_us = Counter[str](), Counter[str]()
    for column in columns:
        total.update(column.delivery_groups)
        time_us.update(column.delivery_group_time_us)
    names = sorted(total, key=_in_order)
    if len(columns) < FEWEST or len(names) < 2:
        return []
    unit_ns, x = time_axis(course.end_ns)
    means = [[_mean_ns(column, name) for column in columns] for name in names]
    low, high = _ends([mean for row in means for mean in row if mean is not None])
    bar = duration_axis(low, high)
    ticks = {
        math.log10(tick): words
        for tick, words in zip(bar["tickvals"], bar["ticktext"], strict=True)
        if low / 2 <= tick <= 2 * high
    }
    edges, parts = _edges(columns, unit_ns)
    trace: Trace = {
        "type": "heatmap",
        "x": edges,
        "y": list(range(len(names))),
        "z": [[None if i is None else _height(row[i]) for i in parts] for row in means],
        "text": [
            ["" if i is None else _words(name, row[i], columns[i]) for i in parts]
            for name, row in zip(names, means, strict=True)
        ],
        "colorscale": "Cividis",
        "colorbar": color_bar("mean delivery time", ticks),
        "hovertemplate": "%{text}<extra></extra>",
    }
    y = {
        "title": {"text": noun},
        "tickvals": list(range(len(names))),
        "ticktext": [plain(name) for name in names],
        "autorange": "reversed",
    }
    rows = [
        [sanitize(name), format_count(total[name]), format_duration(round(1000 * time_us[name] / total[name]))]
        for name in names
    ]
    text = (
        f"Each cell is the mean delivery time to the {noun} of a row: a row that stands out is slow by itself, and a"
        f" column that stands out was slow for all.{note(course)}"
    )
    table = Table([noun, "deliveries", "mean"], rows, "Of the whole run")
    layout = figure([trace], x, y, **layout_of(course, unit_ns))
    height = max(260, 160 + ROW_HEIGHT * len(names))
    return [Chart("delivery-groups", f"Delivery time by {noun} over the run", text, layout, table, height=height)]


def _height(mean_ns: float | None) -> float | None:
    return None if mean_ns is None else round(math.log10(max(1, mean_ns)), 3)


def _words(name: str, mean_ns: float | None, column: TimeBucket) -> str:
    return "" if mean_ns is None else f"{plain(name)}: mean {format_duration(mean_ns)}<br>{when(column)}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return max(1, min(values)), max(1, *values)


def _mean_ns(column: TimeBucket, name: str) -> float | None:
    count = column.delivery_groups[name]
    return 1000 * column.delivery_group_time_us[name] / count if count else None


def _edges(columns: Sequence[TimeBucket], unit_ns: float) -> tuple[list[float], list[int | None]]:
    """Returns edges that touch, and the number of the column between each two; None where there was none."""
    edges: list[float] = []
    parts: list[int | None] = []
    for number, column in enumerate(columns):
        start, end = (float(f"{at / unit_ns:.6g}") for at in (column.from_ns, column.to_ns))
        if end <= start:
            continue
        if edges and start > edges[-1]:
            parts.append(None)
            edges.append(start)
        edges += [] if edges else [start]
        edges.append(end)
        parts.append(number)
    return edges, parts


def _in_order(name: str) -> list[str | int]:
    """Returns the key by which names with numbers are sorted as people do: 2 before 10."""
    # Texts and numbers take turns, so the same places are compared.
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]
