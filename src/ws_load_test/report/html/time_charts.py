"""Charts of a run over time."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.analysis.findings import percent
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.metrics.hdr_buckets import bucket_of
from ws_load_test.report.html.axes import amount_axis, duration_axis, tick_step, time_axis
from ws_load_test.report.html.document import Chart, Table
from ws_load_test.report.html.figures import Trace, band, bars, cells, figure, line
from ws_load_test.report.html.marks import limit_lines, limits
from ws_load_test.report.html.over_time import layout_of, middles, note, shade, texts_of, when
from ws_load_test.report.html.timeline import (
    FEWEST,
    TimeBucket,
    Timeline,
    all_of,
    edges_ns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.analysis.summary_types import ThresholdCheck
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.schedule import LoadProfile

ROWS = 48
"""Rows of the heat map, at most: a few pixels each."""
MOST_KINDS = 7
"""Kinds of faults, and workers, with a series of their own; the colors of lines are eight."""
_CONDITION_NAMES = {
    "response_time_ns": ("response",),
    "send_lag_ns": ("send_lag",),
    "first_time_ns": ("first",),
    "gap_ns": ("gap",),
    "delivery_time_ns": ("delivery", "delivery.all"),
}
"""Names in conditions of the times that charts show."""
_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
"""Lines of the charts of times, by label."""


# --- Response times -------------------------------------------------------------------------------------------


def heat_map(course: Timeline) -> list[Chart]:
    """Returns the heat map of response times, if there are enough columns."""
    columns = [column for column in course.columns if column.phase in ("measured", "closing") and column.length_ns]
    total = all_of(columns, "response_time_ns")
    # Where it is drawn, so are the percentiles: its table names theirs.
    if len(_with_percentiles(columns, course, "response_time_ns")) < FEWEST or total.min is None:
        return []
    edges = _edges(total)
    labels = [f"{format_duration(low)} to {format_duration(high)}" for low, high in itertools.pairwise(edges)]
    unit_ns, x = time_axis(course.end_ns)
    trace = cells(
        x=[(column.from_ns / unit_ns, column.to_ns / unit_ns) for column in columns],
        y=[max(1, edge) for edge in edges],
        counts=[column.response_time_ns.merge_buckets(edges) for column in columns],
        seconds=[column.length_ns / 1e9 for column in columns],
        rows=labels,
        columns=[when(column) for column in columns],
        noun="answers",
    )
    y = duration_axis(edges[0], edges[-1], "response time")
    marked = layout_of(course, unit_ns)
    counts = total.merge_buckets(edges)
    shares = [f"{100 * count / total.count:.2f} %" for count in counts]
    rows = [[label, format_count(count), share] for label, count, share in zip(labels, counts, shares, strict=True)]
    text = (
        "Each cell is how many answers a second took how long; the scale of its colors is logarithmic, and an empty "
        f"cell had none.{note(course)}"
    )
    table = Table(["response time", "answers", "share"], rows, "Of the whole run; over time see the next table")
    return [
        Chart(
            "heat-map", "Response time over time, all answers", text, figure([trace], x, y, **marked), table, height=400
        )
    ]


def _edges(total: Histogram) -> list[int]:
    """Returns rising edges at equal ratios, none inside a bucket of the histogram."""
    assert total.min is not None
    assert total.max is not None
    found = [total.min]
    for edge in np.geomspace(max(1, total.min), max(2, total.max), ROWS + 1)[1:-1]:
        if bucket_of(int(edge)) > bucket_of(found[-1]):
            found.append(int(edge))
    while len(found) > 1 and bucket_of(found[-1]) >= bucket_of(total.max):
        found.pop()
    return [*found, max(total.max, found[-1] + 1)]


def _with_percentiles(columns: Sequence[TimeBucket], course: Timeline, name: str) -> list[TimeBucket]:
    """Returns the columns with enough time for percentiles: the last moments of a run hold a handful of values."""
    long = [one for one in columns if one.phase != "closing" or one.length_ns * 2 >= course.width_ns]
    return [column for column in long if getattr(column, name).count]


def percentiles(  # noqa: PLR0917 - the names of one chart
    course: Timeline, metric: str, key: str, title: str, what: str, checks: Sequence[ThresholdCheck] = ()
) -> list[Chart]:
    """Returns the percentiles of one histogram over time, if there are enough columns with a value.

    Limits of `checks` on it are lines across the chart.
    """
    columns = _with_percentiles(course.columns, course, metric)
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    found = [getattr(column, metric).percentiles(list(_PERCENTILES.values())) for column in columns]
    at = middles(columns, unit_ns)
    traces = [band(0, [one or 0 for one in at], [max(1, row[0]) for row in found], [max(1, row[2]) for row in found])]
    for number, name in enumerate(_PERCENTILES):
        values = [row[number] for row in found]
        texts = texts_of(columns, [format_duration(value) for value in values])
        traces.append(line(number, name, at, [max(1, value) for value in values], text=texts))
    limited = limits(checks, *_CONDITION_NAMES.get(metric, ()))
    traces += limit_lines(limited, len(_PERCENTILES), 0, course.end_ns / unit_ns)
    bounds = [float(one.limit) for one in limited]
    low, high = min(max(1, row[0]) for row in found), max([row[-1] for row in found] + bounds)
    y = duration_axis(min([low, *bounds]), high, what)
    rows = [
        [when(column), format_count(getattr(column, metric).count), *map(format_duration, row)]
        for column, row in zip(columns, found, strict=True)
    ]
    text = (
        f"Half of the values were up to the lowest line, nine in ten up to the second; the area reaches from p50 to "
        f"p99. Percentiles are those of all values of a column, never averages.{note(course)}"
    )
    table = Table(["from the start", "count", *_PERCENTILES], rows)
    return [Chart(key, title, text, figure(traces, x, y, **layout_of(course, unit_ns)), table)]


# --- Rates ----------------------------------------------------------------------------------------------------


def rates(course: Timeline, plan: Plan | None, *, awaited: bool, checks: Sequence[ThresholdCheck] = ()) -> list[Chart]:
    """Returns the chart of messages requested, sent and answered per second, with the limits of `checks`."""
    columns = course.whole
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    at = middles(columns, unit_ns)
    names = ["sent", "answered"] if awaited else ["sent"]
    names += [name for name in ("pushed", "dropped") if any(column.counts[name] for column in columns)]
    traces = []
    requested = _requested(course, plan, unit_ns)
    if requested:
        traces.append(
            line(
                6, "requested", *requested, mode="lines", line={"color": "var(--series-7)", "width": 4, "dash": "solid"}
            )
        )
    for number, name in enumerate(names):
        values = [column.per_s(name) for column in columns]
        texts = texts_of(columns, list(map(format_rate, values)))
        traces.append(line(number, name, at, [float(f"{value:.6g}") for value in values], text=texts))
    traces += limit_lines(limits(checks, "rate", "sent_rate"), len(names), 0, course.end_ns / unit_ns)
    rows = [[when(column), *(format_rate(column.per_s(name)) for name in names)] for column in columns]
    words = " The grey line is the schedule." if requested else ""
    text = f"Messages a second, warm-up and all connections included.{words}{note(course)}"
    layout = figure(traces, x, amount_axis("messages a second"), **layout_of(course, unit_ns))
    return [Chart("rates", "Rate over time", text, layout, Table(["from the start", *names], rows))]


def _requested(
    course: Timeline, plan: Plan | None, unit_ns: float
) -> tuple[list[float | None], list[float | None]] | None:
    """Returns the schedule's corners, from the start of the load to its end; None without a schedule."""
    start_ns = course.start_ns("warmup", "measured")
    rate = None if plan is None else plan.load.requested_rate
    if rate is None or not rate.peak or start_ns is None:
        return None
    return corners(rate, start_ns, max(column.to_ns for column in course.load), unit_ns)


def corners(
    shape: LoadProfile, start_ns: int, end_ns: int, unit_ns: float
) -> tuple[list[float | None], list[float | None]]:
    """Returns the ends of a shape's stages, as places and heights; the last is cut off at `end_ns`."""
    x: list[float | None] = []
    y: list[float | None] = []
    at_ns = start_ns
    for stage in shape.stages:
        until_ns = min(end_ns, at_ns + stage.duration_ns)
        if until_ns <= at_ns:
            break
        part = (until_ns - at_ns) / stage.duration_ns
        x += [round(at_ns / unit_ns, 4), round(until_ns / unit_ns, 4)]
        y += [stage.start, stage.start + (stage.end - stage.start) * part]
        at_ns = until_ns
    return x, y


# --- Connections and faults -----------------------------------------------------------------------------------


def connections(course: Timeline, plan: Plan | None) -> list[Chart]:
    """Returns the number of open sessions, and those that opened, failed and were lost."""
    columns = course.columns
    if len(columns) < FEWEST or not any(column.counts["opened"] or column.counts["failed"] for column in columns):
        return []
    unit_ns, x = time_axis(course.end_ns)
    traces: list[Trace] = []
    start_ns = course.start_ns("warmup", "measured")
    if plan is not None and plan.connection_profile is not None and start_ns is not None:
        requested = corners(plan.connection_profile, start_ns, course.end_ns, unit_ns)
        traces.append(
            line(
                6, "requested", *requested, mode="lines", line={"color": "var(--series-7)", "width": 4, "dash": "solid"}
            )
        )
    texts = [f"{format_count(column.open)} open after {format_duration(column.to_ns)}" for column in columns]
    # At the end they are closed by us, which is no event of the run.
    kept = [column for column in columns if column.phase != "closing"]
    edges: list[float | None] = [round(edge / unit_ns, 4) for edge in edges_ns(kept)]
    traces.append(_steps(0, "open", edges, [column.open for column in kept], texts[: len(kept)]))
    before = [0, *(column.open for column in kept)]
    if any(column.lowest_open < min(column.open, prior) for column, prior in zip(kept, before, strict=False)):
        lowest = [column.lowest_open for column in kept]
        texts = texts_of(kept, [f"{format_count(count)} at the fewest" for count in lowest])
        traces.append(_steps(4, "fewest within", edges, lowest, texts))
    words = {"opened": 1, "failed": 2, "lost": 3}
    shown = [word for word in words if any(column.counts[word] for column in columns)]
    at = middles(columns, unit_ns)
    for word in shown:
        texts = texts_of(columns, [f"{format_count(column.counts[word])} {word}" for column in columns])
        traces.append(line(words[word], word, at, [column.counts[word] for column in columns], text=texts))
    rows = [
        [
            when(column),
            format_count(column.open),
            format_count(column.lowest_open),
            *(format_count(column.counts[word]) for word in shown),
        ]
        for column in columns
    ]
    each = format_duration(course.width_ns)
    text = (
        f"Open at the end of each column ({each}), and the fewest that were open within it where that is fewer; the"
        f" other lines count what happened within it.{shade(course)}"
    )
    # Of all lines: where few are open, many may have failed.
    most = max(height for trace in traces for height in trace["y"] if height is not None)
    layout = figure(traces, x, amount_axis("connections", most), **layout_of(course, unit_ns))
    return [
        Chart(
            "connections",
            "Connections over time",
            text,
            layout,
            Table(["from the start", "open", "fewest open", *shown], rows),
        )
    ]


def _steps(
    number: int, name: str, edges: Sequence[float | None], heights: Sequence[float], texts: Sequence[str]
) -> Trace:
    """Returns a line that stays at the height of a column until the next one begins."""
    # The last height once more, at the end of its column.
    steps = line(number, name, edges, [*heights, *heights[-1:]], text=[*texts, *texts[-1:]], mode="lines")
    steps["line"] |= {"shape": "hv"}
    return steps


def faults(course: Timeline) -> list[Chart]:
    """Returns the faults of each column by kind, if there are any and enough columns."""
    columns = course.columns
    total: Counter[str] = sum((column.faults for column in columns), Counter())
    if len(columns) < FEWEST or not total:
        return []
    kinds = [kind for kind, _ in total.most_common(MOST_KINDS)]
    unit_ns, x = time_axis(course.end_ns)
    of: dict[str, Callable[[TimeBucket], int]] = {sanitize(kind): _count_of(kind) for kind in kinds}
    if len(total) > len(kinds):
        of["all others"] = lambda column: sum(count for kind, count in column.faults.items() if kind not in kinds)
    affected = [column for column in columns if column.faults]
    traces = []
    for number, (name, count) in enumerate(of.items()):
        texts = texts_of(affected, [format_count(count(column)) for column in affected])
        widths = [column.length_ns / unit_ns for column in affected]
        traces.append(
            bars(number, name, middles(affected, unit_ns), [count(column) for column in affected], widths, texts)
        )
    rows = [[when(column), *(format_count(count(column)) for count in of.values())] for column in affected]
    width = format_duration(course.width_ns)
    text = f"What the target did wrong, by kind, each bar the faults of {width}.{shade(course)}"
    # Left to itself, an axis of bars would have its ticks at the middles of these.
    x |= {"tickmode": "linear", "tick0": 0, "dtick": tick_step(course.end_ns / unit_ns)}
    y = amount_axis("faults", max(column.faults.total() for column in columns))
    layout = figure(traces, x, y, barmode="stack", **layout_of(course, unit_ns))
    return [Chart("faults", "Faults over time", text, layout, Table(["from the start", *of], rows), height=280)]


def _count_of(kind: str) -> Callable[[TimeBucket], int]:
    return lambda column: column.faults[kind]


# --- The generator --------------------------------------------------------------------------------------------


def processor(course: Timeline) -> list[Chart]:
    """Returns the share of a core that each worker used; of many only the busiest and the idlest."""
    columns = [column for column in course.whole if any(column.wall_ns.values())]
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    workers = sorted({worker for column in columns for worker, wall in column.wall_ns.items() if wall})
    of: dict[str, Callable[[TimeBucket], float | None]]
    if len(workers) <= MOST_KINDS:
        of = {f"worker {worker}": _share_of(worker) for worker in workers}
    else:
        of = {"busiest": lambda column: max(_shares(column)), "idlest": lambda column: min(_shares(column))}
    at = middles(columns, unit_ns)
    traces, cells_of = [], []
    for number, (name, share) in enumerate(of.items()):
        values = [share(column) for column in columns]
        shown = ["–" if value is None else percent(value) for value in values]
        heights = [None if value is None else round(100 * value, 2) for value in values]
        traces.append(line(number, name, at, heights, text=texts_of(columns, shown)))
        cells_of.append(shown)
    rows = [[when(column), *cells] for column, *cells in zip(columns, *cells_of, strict=True)]
    text = f"Of one core for each worker: near 100 % the generator is the limit, not the target.{note(course)}"
    y = amount_axis("% of a core") | {"range": [0, 105], "tickformat": ""}
    layout = figure(traces, x, y, **layout_of(course, unit_ns))
    return [Chart("processor", "Processor share of the workers", text, layout, Table(["from the start", *of], rows))]


def _shares(column: TimeBucket) -> list[float]:
    return [column.cpu_ns[worker] / wall for worker, wall in column.wall_ns.items() if wall]


def _share_of(worker: int) -> Callable[[TimeBucket], float | None]:
    return lambda column: column.cpu_ns[worker] / column.wall_ns[worker] if column.wall_ns[worker] else None
