"""Scenario on a run's page: its tiles, its steps over the run, and tables of steps, roles and reactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content import scenario as content
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.html.axes import amount_axis, duration_axis, tick_step, time_axis
from ws_load_test.report.html.document import Chart, KeyValueRows, Section, Table, Text, Tile
from ws_load_test.report.html.figures import bars, figure, line, percentile_curves, percentile_table
from ws_load_test.report.html.marks import limit_lines, limits
from ws_load_test.report.html.over_time import layout_of, middles, note, shade, texts_of, when
from ws_load_test.report.html.timeline import FEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.scenario import StepSummary
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.report.html.document import Part, Severity
    from ws_load_test.report.html.figures import Trace
    from ws_load_test.report.html.timeline import TimeBucket, Timeline
    from ws_load_test.report.results import Results

MOST_STEPS = 6
"""Steps with a line of their own, the slowest: with the limits of conditions about as many as there are line colors."""
_SURE = "Thin with hollow marks is the part on fewer than ten values, where chance decides."


def tiles(summary: Summary) -> Iterator[Tile]:
    """Yields the tiles of the first screen that are a scenario's: the slowest step, and where sessions failed."""
    slowest = _slowest(summary)
    if slowest:
        step, times = slowest[0], slowest[0].response_time_ns
        words = NO_VALUE if times is None else f"p99 {format_duration(times.p99)}"
        yield Tile("slowest step", content.step_name(step, summary), words)
    counts = summary.sessions
    if counts is not None:
        tone: Severity = "doubt" if counts.failed or counts.dropped else "plain"
        places = content.failed_at(counts)
        dropped = f"{format_count(counts.dropped)} dropped" if counts.dropped else ""
        known = [words for words in (places, dropped) if words]
        yield Tile(
            "sessions failed", format_count(counts.failed), ", ".join(known) or f"of {format_count(counts.begun)}", tone
        )


def _slowest(summary: Summary) -> list[StepSummary]:
    """Returns the steps that have times, the slowest first."""
    found = [(step, step.response_time_ns) for step in summary.steps]
    known = [(step, times) for step, times in found if times is not None]
    return [step for step, _ in sorted(known, key=lambda one: -one[1].p99)]


def over_time(results: Results, course: Timeline) -> list[Chart]:
    """Returns the chart of the p99 of the slowest steps over the run, with the limits of conditions on steps."""
    summary, checks = results.summary, results.summary.verdict.checks
    shown = {content.step_name(step, summary): step.key for step in _slowest(summary)[:MOST_STEPS]}
    columns = [column for column in course.columns if any(key in column.step_times_ns for key in shown.values())]
    if len(columns) < FEWEST:
        return []
    unit_ns, x = time_axis(course.end_ns)
    at = middles(columns, unit_ns)
    found = {name: [_p99(column, key) for column in columns] for name, key in shown.items()}
    traces: list[Trace] = []
    for number, (name, values) in enumerate(found.items()):
        heights: list[float | None] = [None if value is None else max(1, value) for value in values]
        texts = texts_of(columns, list(map(format_duration, values)))
        traces.append(line(number, name, at, heights, text=texts, connectgaps=True))
    limited = limits(checks, "steps.NAME.response")
    traces += limit_lines(limited, len(found), 0, course.end_ns / unit_ns)
    known = [value for values in found.values() for value in values if value is not None]
    bounds = [float(one.limit) for one in limited]
    y = duration_axis(min([max(1, min(known)), *bounds]), max([*known, *bounds]), "p99")
    rows = [
        [when(column), *map(format_duration, values)] for column, *values in zip(columns, *found.values(), strict=True)
    ]
    left_out = len(_slowest(summary)) - len(shown)
    more = f" {format_count(left_out)} faster ones are left out." if left_out > 0 else ""
    text = f"The p99 of each step, from when it was due until it was complete, the slowest first.{more}{note(course)}"
    layout = figure(traces, x, y, **layout_of(course, unit_ns))
    table = Table(["from the start", *shown], rows)
    return [Chart("steps-over-time", "Response time of each step over the run", text, layout, table)]


def _p99(column: TimeBucket, key: str) -> int | None:
    times = column.step_times_ns.get(key)
    return None if times is None else times.percentile(99)


def _failures(results: Results, course: Timeline) -> list[Chart]:
    """Returns the sessions that failed over time, by the step at which they did."""
    columns = [column for column in course.columns if column.sessions_failed]
    if not columns or len(course.columns) < FEWEST:
        return []
    places = list(results.summary.sessions.failed_at if results.summary.sessions is not None else ())[:MOST_STEPS]
    roles = {one.name for one in results.summary.roles}
    unit_ns, x = time_axis(course.end_ns)
    widths = [column.length_ns / unit_ns for column in columns]
    traces = []
    cells: list[list[int]] = []
    for number, place in enumerate(places):
        key = place if len(roles) > 1 else f"{next(iter(roles), '')}/{place}"
        counts = [column.sessions_failed[key] for column in columns]
        cells.append(counts)
        texts = texts_of(columns, [format_count(count) for count in counts])
        traces.append(bars(number, place, middles(columns, unit_ns), counts, widths, texts))
    rows = [[when(column), *map(format_count, counts)] for column, *counts in zip(columns, *cells, strict=True)]
    x |= {"tickmode": "linear", "tick0": 0, "dtick": tick_step(course.end_ns / unit_ns)}
    y = amount_axis("sessions", max(column.sessions_failed.total() for column in columns))
    text = f"Sessions that failed, by the step at which they did.{shade(course)}"
    layout = figure(traces, x, y, barmode="stack", **layout_of(course, unit_ns))
    table = Table(["from the start", *map(sanitize, places)], rows)
    return [Chart("sessions-failed", "Failed sessions over time", text, layout, table, height=280)]


def section(results: Results, course: Timeline | None) -> list[Section]:
    """Returns the section of steps and that of reactions; none without a scenario."""
    summary, tally = results.summary, results.aggregate.tally
    if summary.sessions is None:
        return []
    parts: list[Part] = []
    steps = {content.step_name(one, summary): tally.steps[one.key].response_time_ns for one in _slowest(summary)}
    if steps:
        shown = dict(list(steps.items())[:MOST_STEPS])
        how = f"From when a step was due until it was complete. {_SURE}"
        parts.append(
            Chart("steps", "Steps by percentile", how, percentile_curves(shown, "time"), percentile_table(steps))
        )
    if course is not None:
        parts += _failures(results, course)
    parts += [_step_table(summary), _role_table(summary), *_notes(summary)]
    sections = [Section("Steps and sessions", parts)]
    if summary.on:
        cells = [content.reaction_cells(one, summary) for one in summary.on]
        notes = [Text(f"{one[:1].upper()}{one[1:]}.") for one in content.reaction_notes(summary)]
        table = Table(content.REACTION_HEADINGS, cells, "Messages that completed no step and were expected")
        sections.append(Section("Reactions", [table, *notes]))
    return sections


def _step_table(summary: Summary) -> Table:
    rows = [
        [sanitize(role.name), name.strip(), *figures]
        for role, steps in content.roles_with_steps(summary)
        for (name, *figures), _ in content.step_rows(role, steps)
    ]
    return Table(["role", "step", *content.STEP_HEADINGS[1:]], rows, "Steps of each role, in its order")


def _role_table(summary: Summary) -> Table:
    rows = []
    for role in summary.roles:
        counts = role.sessions
        numbers = (counts.due, counts.begun, counts.completed, counts.failed, counts.dropped)
        where = content.failed_at(counts) or NO_VALUE
        rows.append([sanitize(role.name), *map(format_count, numbers), where])
    heads = ["role", "due", "begun", "completed", "failed", "dropped", "failed at"]
    return Table(heads, rows, "Sessions of each role")


def _notes(summary: Summary) -> Sequence[Part]:
    """Returns what the tables do not show: iterations, and failures by what they are."""
    rows = [
        (sanitize(role.name) if not number else "", words)
        for role, steps in content.roles_with_steps(summary)
        for number, (words, _) in enumerate(list(content.role_notes(role, steps))[1:])
    ]
    return [KeyValueRows(rows)] if rows else []
