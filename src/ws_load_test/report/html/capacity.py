"""``capacity --html``: page of a search: response times over load with the limit marked, and every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_duration, format_rate
from ws_load_test.plan.thresholds import parse_condition
from ws_load_test.report.html.axes import Axis, amount_axis, duration_axis, load_axis
from ws_load_test.report.html.document import (
    Chart,
    Head,
    KeyValueRows,
    Section,
    Severity,
    Table,
    Text,
    document,
)
from ws_load_test.report.html.figures import Figure, Trace, figure, line
from ws_load_test.report.html.marks import limit_lines
from ws_load_test.report.terminal.capacity import (
    HEADS,
    generator_of,
    notes_of,
    sentence,
    show_amount,
    table_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.capacity_types import CapacitySummary, StepSummary

_TONES: dict[str, Severity] = {
    "found": "good",
    "all-met": "good",
    "none-met": "bad",
    "nothing-opened": "bad",
    "nothing-measured": "bad",
    "not-judged": "bad",
    "target-gone": "bad",
}
_PERCENTILES = ("p50", "p90", "p99", "p99.9")


def lines(summary: CapacitySummary) -> Iterator[str]:
    """Yields the page.

    Raises:
        OutputError: The library that draws the charts is not installed.
    """
    answer = sentence(summary)
    head = Head(
        answer[:1].upper() + answer[1:],
        _TONES.get(summary.answer.ending, "doubt"),
        [summary.target, f"{summary.tool}, started {summary.started_at}"],
    )
    objectives = [("objective", one) for one in summary.objectives]
    generator = [("generator", words)] if (words := generator_of(summary)) else []
    requested = KeyValueRows([*objectives, ("besides", "the target keeps up with the load"), *generator])
    notes = [Text(f"Step {step.number}: {'; '.join(found)}") for step in summary.steps if (found := notes_of(step))]
    table = [Table(HEADS, table_rows(summary))] if summary.steps else []
    sections = [
        Section("Requested", [requested]),
        Section("Load and response", _charts(summary)),
        Section("Steps", [*table, *notes]),
    ]
    return document(f"Capacity of {summary.target}", head, sections)


def _charts(summary: CapacitySummary) -> list[Chart]:
    steps = sorted((one for one in summary.steps if one.times is not None), key=lambda one: one.amount)
    if len(steps) < 2:
        return []
    what = "rate" if summary.find == "rate" else "number of connections"
    return [
        Chart(
            "latency",
            f"Response times by {what}",
            f"Percentiles of each step against the {what} that was requested, both logarithmic. {_marked(summary)}",
            _latency(summary, steps),
        ),
        Chart(
            "throughput",
            f"Achieved by {what}",
            f"Replies a second within each step against the {what} that was requested. {_marked(summary)}",
            _throughput(summary, steps),
        ),
    ]


def _marked(summary: CapacitySummary) -> str:
    answer = summary.answer
    if answer.lower is not None and answer.upper is not None:
        return "The limit lies in the strip between the two upright lines."
    return "The upright line is the end of what is known." if _marks(summary)["shapes"] else ""


def _latency(summary: CapacitySummary, steps: list[StepSummary]) -> Figure:
    x = [step.amount for step in steps]
    measured = [step.times for step in steps if step.times is not None]
    traces: list[Trace] = []
    for number, name in enumerate(_PERCENTILES):
        values = [max(1, one.value(name)) for one in measured]
        texts = [
            f"{_shown(step, summary)}: {format_duration(value)}" for step, value in zip(steps, values, strict=True)
        ]
        traces.append(line(number, name, x, values, text=texts))
    limited = [one for one in map(parse_condition, summary.objectives) if one.metric.name == "response"]
    traces += limit_lines(limited, len(_PERCENTILES), min(x), max(x))
    times: list[float] = [one.value(name) for one in measured for name in _PERCENTILES]
    times += [float(one.limit) for one in limited]
    y = duration_axis(min(times), max(times), "response time")
    return figure(traces, _load_axis(summary, x), y, **_marks(summary))


def _throughput(summary: CapacitySummary, steps: list[StepSummary]) -> Figure:
    x = [step.amount for step in steps]
    values = [step.achieved_per_s for step in steps]
    texts = [f"{_shown(step, summary)}: {format_rate(step.achieved_per_s)} answered" for step in steps]
    traces = [line(0, "answered", x, values, text=texts)]
    return figure(traces, _load_axis(summary, x), amount_axis("replies a second"), **_marks(summary))


def _shown(step: StepSummary, summary: CapacitySummary) -> str:
    return f"step {step.number}, {show_amount(step.amount, summary.find)}, {step.outcome}"


def _load_axis(summary: CapacitySummary, amounts: list[float]) -> Axis:
    """Returns the axis of the requested load."""
    return load_axis(min(amounts), max(amounts), "messages a second" if summary.find == "rate" else summary.find)


def _marks(summary: CapacitySummary) -> dict[str, Any]:
    """Returns the ends of the bracket as upright lines, and the strip between them."""
    answer = summary.answer
    ends = [one for one in (answer.lower, answer.upper or answer.generator_saturated_at) if one is not None]
    # Shapes and lines on a logarithmic axis: the former take amounts, not their logarithms.
    shapes: list[dict[str, Any]] = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": end,
            "x1": end,
            "y0": 0,
            "y1": 1,
            "line": {"color": "var(--soft)", "width": 1, "dash": "dash"},
        }
        for end in ends
    ]
    if len(ends) == 2:
        strip = {"type": "rect", "xref": "x", "yref": "paper", "x0": ends[0], "x1": ends[1], "y0": 0, "y1": 1}
        shapes.append({**strip, "line": {"width": 0}, "fillcolor": "var(--band-1)"})
    return {"shapes": shapes}
