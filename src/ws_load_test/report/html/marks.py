"""Events and limits that charts of a run show: stages, disconnects, lost workers, and the limits of conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.aggregate import commands_of, lost_workers
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate, format_share
from ws_load_test.plan.thresholds import parse_condition
from ws_load_test.report.content.commands import short
from ws_load_test.report.html.figures import Trace, line, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.summary_types import ThresholdCheck
    from ws_load_test.analysis.wave_types import WaveSummary
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.thresholds import Condition
    from ws_load_test.report.html.timeline import Timeline

MOST_STAGES = 12
"""Stages whose beginnings are marked, at most: more lines than that hide the chart."""
MOST_LOST = 4
"""Lost workers that are marked one by one, at most."""
MOST_COMMANDS = 12
"""Commands of ``--run-at`` that are marked, at most."""
LONGEST_MARK = 30
"""Characters of a command in a mark: more would hide the chart."""
MOST_WAVES = 8
"""Disconnect waves that are marked, at most."""
LATE = 2 / 3
"""Share of the run from which on a text stands left of its line; right of it, it would be cut off."""
STEP = 0.07
"""Distance between the lines of texts, as a share of the chart's height."""


def with_events(
    course: Timeline, recording: Recording, plan: Plan | None, waves: Sequence[WaveSummary] = ()
) -> Timeline:
    """Returns a timeline with the events of its recording, in order of time, and its disconnect waves as bands."""
    marked = waves[:MOST_WAVES]
    events = sorted([*_events(course, recording, plan), *((wave.from_ns, _wave(wave)) for wave in marked)])
    inside = [(at_ns, text) for at_ns, text in events if 0 <= at_ns <= course.end_ns]
    return course.with_events(inside, [_band(wave, course.end_ns) for wave in marked])


def _wave(wave: WaveSummary) -> str:
    return f"wave: {format_count(wave.sessions)} ended"


def _band(wave: WaveSummary, end_ns: int) -> tuple[int, int]:
    """Returns the time from the first end until the sessions are back, or the end of the run."""
    until_ns = end_ns if wave.back_after_ns is None else wave.from_ns + wave.back_after_ns
    return wave.from_ns, min(end_ns, max(until_ns, wave.to_ns))


def _events(course: Timeline, recording: Recording, plan: Plan | None) -> Iterator[tuple[int, str]]:
    for number, lost in enumerate(lost_workers(recording)):
        if number < MOST_LOST:
            yield lost.at_ns, f"worker {lost.worker} lost"
    for run in commands_of(recording)[:MOST_COMMANDS]:
        yield run.at_ns, short(run.command, LONGEST_MARK)
    if plan is None:
        return
    measured_ns = course.start_ns("measured")
    if plan.disconnect_storm is not None and measured_ns is not None:
        share = format_share(plan.disconnect_storm.share)
        yield measured_ns + plan.disconnect_storm.at_ns, f"{share} disconnected"
    start_ns = course.start_ns("warmup", "measured")
    rate = plan.load.requested_rate
    if rate is None or start_ns is None or len(rate.stages) > MOST_STAGES:
        return
    at_ns = start_ns
    for stage in rate.stages[:-1]:
        at_ns += stage.duration_ns
        yield at_ns, format_rate(stage.end)


def event_marks(course: Timeline, unit_ns: float) -> dict[str, Any]:
    """Returns the layout of dotted lines at events, their texts at the foot."""
    shapes = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": from_ns / unit_ns,
            "x1": to_ns / unit_ns,
            "y0": 0,
            "y1": 1,
            "fillcolor": "var(--bad)",
            "opacity": 0.1,
            "line": {"width": 0},
            "layer": "below",
        }
        for from_ns, to_ns in course.bands
    ]
    shapes += [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": at_ns / unit_ns,
            "x1": at_ns / unit_ns,
            "y0": 0,
            "y1": 1,
            "line": {"color": "var(--soft)", "width": 1, "dash": "dot"},
        }
        for at_ns, _ in course.events
    ]
    annotations = [
        {
            "x": at_ns / unit_ns,
            # At the foot, away from limits and legend; two that are close to each other are on different lines.
            "y": STEP * (number % 3),
            "yref": "paper",
            "xanchor": "right" if at_ns > LATE * course.end_ns else "left",
            "yanchor": "bottom",
            "text": plain(text),
            "showarrow": False,
            "font": {"size": 11, "color": "var(--soft)"},
            # Readable where a line passes behind it.
            "bgcolor": "var(--paper)",
        }
        for number, (at_ns, text) in enumerate(course.events)
    ]
    return {"shapes": shapes, "annotations": annotations} if shapes else {}


def limits(checks: Sequence[ThresholdCheck], *metrics: str) -> list[Condition]:
    """Returns the conditions on one of `metrics` that have a limit a chart over time can show."""
    found = []
    for check in checks:
        try:
            condition = parse_condition(check.check)
        except ValueError:
            continue
        if condition.metric.name in metrics and condition.unit in ("ns", "per_s"):
            found.append(condition)
    return found


def limit_lines(conditions: Sequence[Condition], first: int, from_x: float, to_x: float) -> list[Trace]:
    """Returns a horizontal line for each limit, as series number `first` on."""
    traces = []
    for number, condition in enumerate(conditions, first):
        value = float(condition.limit)
        shown = format_duration(value) if condition.unit == "ns" else format_rate(value)
        name = f"limit of {sanitize(condition.label)}: {shown}"
        trace = line(number, name, [from_x, to_x], [max(1.0, value)] * 2, text=[name] * 2, mode="lines")
        trace["line"] = {"color": "var(--bad)", "width": 1.5, "dash": "dash"}
        traces.append(trace)
    return traces
