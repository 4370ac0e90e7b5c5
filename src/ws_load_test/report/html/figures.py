"""Figures of Plotly as plain dictionaries: lines that differ in more than color, and curves of percentiles.

Instants are ns from the start of a run, durations ns. Colors are the names of the page's style sheet
(``var(--series-1)``). Names can be foreign text: Plotly would take some of it for markup, so they are escaped here.
"""

from __future__ import annotations

import html
import itertools
import math
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.data_quality import MIN_TAIL_SAMPLES
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.percentile_steps import steps
from ws_load_test.report.html.axes import Axis, axis_position, duration_axis, percentile_axis
from ws_load_test.report.html.document import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.metrics.histogram import Histogram

Figure = dict[str, Any]
"""``{"data": [...], "layout": {...}}``."""
Trace = dict[str, Any]

SERIES = 8
"""Line colors of the style sheet; further lines start again with other marks."""
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down", "star")
_PATTERNS = ("", "/", "x", "-", "\\", "|", "+", ".")
_MOST_MARKS = 15
"""Marks on a line, at most: more would hide its dashes."""
_PERCENTILES = ("50", "90", "99", "99.9", "99.99")


def figure(data: Sequence[Trace], x: Axis, y: Axis, **layout: Any) -> Figure:
    """Returns a figure with one pair of axes."""
    return {"data": list(data), "layout": {"xaxis": x, "yaxis": y, "hovermode": "closest", **layout}}


# --- Lines ----------------------------------------------------------------------------------------------------


def line(
    number: int,
    name: str,
    x: Sequence[float | None],
    y: Sequence[float | None],
    *,
    text: Sequence[str] | None = None,
    **more: Any,
) -> Trace:
    """Returns a line that differs from others in its dashes and marks, too.

    Args:
        number: Which line of its chart it is, from 0: the same number looks the same in every chart.
        name: For the legend.
        x: Places; None is a gap.
        y: Heights; None is a gap.
        text: What is shown of each point beneath the pointer; the default are its numbers.
        more: Whatever else Plotly knows of a scatter trace.
    """
    color = f"var(--series-{number % SERIES + 1})"
    trace: Trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": color, "width": 2, "dash": _DASHES[number % len(_DASHES)]},
        "marker": {"color": color, "size": 6, "symbol": _MARKS[number % len(_MARKS)], "maxdisplayed": _MOST_MARKS},
    }
    if text is not None:
        trace |= {"text": list(text), "hovertemplate": "%{text}<extra>%{fullData.name}</extra>"}
    return trace | more


def band(number: int, x: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]) -> Trace:
    """Returns the area between two lines in the color of line `number`; it has gaps where either is None."""
    around_x: list[float | None] = []
    around_y: list[float | None] = []
    points = zip(x, low, high, strict=True)
    for known, run in itertools.groupby(points, key=lambda point: None not in point[1:]):
        if not known:
            continue
        part = list(run)
        there, back = part, part[::-1]
        around_x += [*(one[0] for one in there), *(one[0] for one in back), None]
        around_y += [*(one[2] for one in there), *(one[1] for one in back), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": around_x,
        "y": around_y,
        "fill": "toself",
        "fillcolor": f"var(--band-{number % 5 + 1})",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def bars(  # noqa: PLR0917 - as `line`
    number: int,
    name: str,
    x: Sequence[float | None],
    y: Sequence[float],
    widths: Sequence[float],
    text: Sequence[str],
) -> Trace:
    """Returns bars that differ from others in their patterns, too; `text` is shown at the pointer."""
    color = f"var(--series-{number % SERIES + 1})"
    return {
        "type": "bar",
        "name": plain(name),
        "x": list(x),
        "y": list(y),
        "width": list(widths),
        "text": list(text),
        "textposition": "none",
        "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
        "marker": {
            "color": color,
            "line": {"color": color, "width": 1},
            "pattern": {
                "shape": _PATTERNS[number % len(_PATTERNS)],
                # Without it, all that is not the pattern would be transparent.
                "fillmode": "overlay",
                "fgcolor": "var(--paper)",
                "size": 6,
            },
        },
        "showlegend": True,
    }


def cells(
    *,
    x: Sequence[tuple[float, float]],
    y: Sequence[float],
    counts: Sequence[Sequence[int]],
    seconds: Sequence[float],
    rows: Sequence[str],
    columns: Sequence[str],
    noun: str,
) -> Trace:
    """Returns a heat map of how many there are a second, on a logarithmic scale of colors; 0 is an empty cell.

    Args:
        x: Start and end of each column; between two that do not touch there is nothing.
        y: Edges of the rows, one more than there are rows.
        counts: Of each column, its rows from the lowest.
        seconds: How long each column was.
        rows: What each row is, in words.
        columns: What each column is, in words.
        noun: What is counted.
    """
    rates = [
        count / length for column, length in zip(counts, seconds, strict=True) for count in column if count and length
    ]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    high = max(high, low + 1)
    edges, shown, kept = _joined(x, counts, columns, seconds)
    return {
        "type": "heatmap",
        "x": edges,
        "y": list(y),
        # The page's script makes heights and texts of these: written out, they would be the larger part of the page.
        "customdata": [list(row) for row in zip(*shown, strict=True)],
        "meta": {
            "rows": list(rows),
            "columns": [one[0] for one in kept],
            "seconds": [one[1] for one in kept],
            "noun": noun,
        },
        "zmin": low,
        "zmax": high,
        "colorscale": "Cividis",
        "colorbar": color_bar(f"{noun} a second", {power: f"{10.0**power:,g}" for power in range(low, high + 1)}),
        "hovertemplate": "%{text}<extra></extra>",
    }


def color_bar(title: str, ticks: Mapping[float, str]) -> dict[str, Any]:
    """Returns the legend of a heat map's colors, above the chart at its left."""
    return {
        "title": {"text": title, "side": "top"},
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1.01,
        "yanchor": "bottom",
        "lenmode": "pixels",
        "len": 260,
        "thickness": 10,
        "outlinewidth": 0,
    }


def _joined(
    x: Sequence[tuple[float, float]],
    counts: Sequence[Sequence[int]],
    columns: Sequence[str],
    seconds: Sequence[float],
) -> tuple[list[float], list[Sequence[int]], list[tuple[str, float]]]:
    """Returns edges that touch, with empty columns where there was nothing."""
    edges: list[float] = []
    shown: list[Sequence[int]] = []
    kept: list[tuple[str, float]] = []
    for (start, end), column, words, length in zip(x, counts, columns, seconds, strict=True):
        if length <= 0 or _rounded(end) <= _rounded(start):
            continue
        if edges and _rounded(start) > edges[-1]:
            shown.append([0] * len(column))
            kept.append(("", 1.0))
            edges.append(_rounded(start))
        edges += [] if edges else [_rounded(start)]
        edges.append(_rounded(end))
        shown.append(column)
        kept.append((words, _rounded(length)))
    return edges, shown, kept


def phase_marks(start: float, end: float, last: float) -> dict[str, Any]:
    """Returns the layout that shades what is not measured: before `start`, and from `end` to `last`."""
    edges = [(0.0, start), (end, last)]
    shapes = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": low,
            "x1": high,
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"width": 0},
            "fillcolor": "var(--shade)",
        }
        for low, high in edges
        if high - low > last * 0.002
    ]
    return {"shapes": shapes} if shapes else {}


def plain(text: str) -> str:
    """Returns a foreign text escaped for Plotly, which interprets some tags and knows no other escape."""
    return html.escape(sanitize(text), quote=False)


# --- Percentiles ----------------------------------------------------------------------------------------------


def percentile_curves(histograms: Mapping[str, Histogram], title: str = "response time") -> Figure:
    """Returns the curves of several histograms of durations over one axis of percentiles; empty ones are left out.

    The thin end of a curve, with hollow marks, is the part on fewer than `MIN_TAIL_SAMPLES` values.
    """
    filled = {name: one for name, one in histograms.items() if one.count}
    traces: list[Trace] = []
    for number, (name, one) in enumerate(filled.items()):
        traces += _curve(number, name, one)
    low = min((max(1, one.min or 0) for one in filled.values()), default=1_000)
    high = max((max(1, one.max or 0) for one in filled.values()), default=1_000_000)
    count = max((one.count for one in filled.values()), default=1)
    return figure(traces, percentile_axis(count), duration_axis(low, high, title))


def _curve(number: int, name: str, histogram: Histogram) -> list[Trace]:
    # The last, at 100 %, would be infinitely far; the maximum is reached before it.
    points = [(value, percentile) for value, percentile, _ in steps(histogram) if percentile < 100]
    # A curve of a single point would be none.
    points += [(histogram.max or 0, 50.0)] if len(points) == 1 else []
    sure = [point for point in points if axis_position(point[1]) * MIN_TAIL_SAMPLES <= histogram.count]
    unsure = [*sure[-1:], *points[len(sure) :]]
    parts = [part for part in (sure, unsure) if len(part) > 1]
    traces = []
    for part in parts:
        few = part is unsure
        texts = [
            f"{_exact_percentile(percentile)}: {format_duration(value)}{', few values beyond' if few else ''}"
            for value, percentile in part
        ]
        trace = line(
            number,
            name,
            [_rounded(axis_position(percentile)) for _, percentile in part],
            [max(1, value) for value, _ in part],
            text=texts,
            legendgroup=f"curve-{number}",
        )
        if few:
            trace["line"] |= {"width": 1}
            trace["marker"] |= {"symbol": f"{trace['marker']['symbol']}-open"}
            trace["showlegend"] = len(parts) == 1
        traces.append(trace)
    return traces


def _exact_percentile(percentile: float) -> str:
    nines = math.ceil(-math.log10(1 - percentile / 100)) if percentile > 90 else 1
    return f"p{percentile:.{max(0, nines)}f}"


def percentile_table(histograms: Mapping[str, Histogram]) -> Table:
    """Returns the percentiles of histograms, a row each; those on fewer than `MIN_TAIL_SAMPLES` values have a star."""
    rows = []
    for name, one in histograms.items():
        values = one.percentiles(_PERCENTILES)
        few = [one.count * (1 - float(percentile) / 100) < MIN_TAIL_SAMPLES for percentile in _PERCENTILES]
        cells = [
            f"{format_duration(value)}{' *' if less and one.count else ''}"
            for value, less in zip(values, few, strict=True)
        ]
        rows.append([name, format_count(one.count), format_duration(one.min), *cells, format_duration(one.max)])
    heads = ["", "count", "min", *(f"p{percentile}" for percentile in _PERCENTILES), "max"]
    return Table(heads, rows, "* fewer than ten values lie beyond it, so chance decides")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
