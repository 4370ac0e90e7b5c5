"""Report of a capacity search for people at a terminal, made from its summary."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from msgspec import UNSET
from rich.text import Text

from ws_load_test.analysis.findings import join_and, percent
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_count,
    format_duration,
    format_rate,
    format_share,
)
from ws_load_test.report.content.generator_size import GeneratorSize, describe_sizes, sizes_of
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.content.labeled import sentence as one_line
from ws_load_test.report.content.thresholds import describe_value
from ws_load_test.report.terminal.glyphs import bar, to_encodable
from ws_load_test.report.terminal.layout import LABEL, WIDTH, hanging_indent, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from ws_load_test.analysis.capacity_types import CapacityAnswer, CapacitySummary, ObjectiveCheck, StepSummary

OUTCOMES = {
    "met": "met",
    "missed": "missed",
    "generator-bound": "generator-bound",
    "nothing-opened": "nothing opened",
    "nothing-measured": "nothing measured",
    "not-judged": "not judged",
    "interrupted": "interrupted",
}
HEADS = ("step", "requested", "achieved", "p50", "p99", "errors", "generator", "objectives")
_STYLES = {"met": "green", **dict.fromkeys(("missed", "nothing-opened", "nothing-measured", "not-judged"), "red")}
_ENDINGS = {
    **dict.fromkeys(("found", "all-met"), "green"),
    **dict.fromkeys(("none-met", "nothing-opened", "nothing-measured", "not-judged", "target-gone"), "red"),
}
_LONGEST_BAR = 34
"""Letters of the longest bar: the label and the value beside it take the rest of 80 columns."""
_SHORTEST_SHARE = 0.02
"""Length of the shortest bar, as a share of the longest: the lowest value of a logarithmic scale is not 0."""


def print_capacity(summary: CapacitySummary, *, console: Console) -> None:
    """Prints the report."""
    for line in capacity_lines(summary, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def capacity_lines(summary: CapacitySummary, *, encoding: str = "utf-8") -> list[Text]:
    """Returns the report's lines, no wider than 80 columns but for a long URL."""
    sections = [_heading(summary), _table(summary), _why(summary), _chart(summary, encoding)]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    for line in lines:
        line.plain = to_encodable(line.plain, encoding)
        line.rstrip()
    return lines


def step_line(step: StepSummary, find: str) -> str:
    """Returns a line about one step, shown while the search goes on."""
    times = step.times
    parts = [f"{step.number:>3}  {show_amount(step.amount, find):>10}  {OUTCOMES[step.outcome]}"]
    if times is not None:
        parts.append(f"p50 {format_duration(times.p50)}, p99 {format_duration(times.p99)}")
    missed = failures(step)
    return "  ".join([*parts, *([one_line(missed[0])] if missed else [])])


def show_amount(amount: float, find: str) -> str:
    """Returns an amount of the searched load: ``1,200/s``, or ``1,200``."""
    return format_rate(amount) if find == "rate" else format_count(amount)


def failures(step: StepSummary) -> list[str]:
    """Returns the reasons why a step did not meet the objectives, as sentence parts."""
    if step.outcome == "met":
        return []
    reasons = [f"{one.objective}: {describe_value(_as_check(one))}" for one in step.objectives if not one.met]
    return [*reasons, *step.behind, *step.generator.reasons]


def _as_check(one: ObjectiveCheck) -> ThresholdCheck:
    return ThresholdCheck(
        check=one.objective,
        passed=one.met,
        value=one.value,
        limit=one.limit,
        unit=one.unit,
        why=one.why,
        judged=one.judged,
    )


# --- The answer -----------------------------------------------------------------------------------------------------


def sentence(summary: CapacitySummary) -> str:
    """Returns the answer and its certainty, as a sentence without a full stop."""
    answer = summary.answer
    error = sanitize(answer.error or NO_VALUE)
    ways: dict[str, Callable[[CapacitySummary], str]] = {
        "found": _between,
        "all-met": _all_met,
        "none-met": _none_met,
        "generator-bound": _generator_saturated,
        "nothing-opened": _nothing_opened,
        "nothing-measured": _nothing_measured,
        "not-judged": _not_judged,
        "target-gone": lambda summary: f"the target accepted no more connections; {_so_far(summary)}",
        "unsettled": _unsettled,
        "interrupted": lambda summary: f"interrupted; {_so_far(summary)}",
        "broken-off": lambda summary: f"broken off, because of an error: {error}; {_so_far(summary)}",
    }
    words = ways[answer.ending](summary)
    ways_of = {True: "met the objectives and missed them", False: "cannot be judged, because the generator was late"}
    for contradicted, why in ways_of.items():
        unsure = [one for one in answer.unsure if (one in answer.contradicted) is contradicted]
        if unsure:
            words += f"; {join_and([_amount(one, summary) for one in unsure])} {why}"
    return words + (", so the limit is no sharper than that" if answer.unsure else "")


def _between(summary: CapacitySummary) -> str:
    answer = summary.answer
    ends = f"between {_amount(answer.lower, summary)} and {_amount(answer.upper, summary)}"
    return f"{ends}: {_met(summary)}, {_missed(summary)}"


def _all_met(summary: CapacitySummary) -> str:
    return f"at least {_amount(summary.answer.lower, summary)}, the most that was to be tried: {_met(summary)}"


def _none_met(summary: CapacitySummary) -> str:
    if summary.answer.upper is None:
        return "nothing that was to be tried met the objectives each time"
    return f"less than {_amount(summary.answer.upper, summary)}: {_missed(summary)}; begin lower with --from"


def _generator_saturated(summary: CapacitySummary) -> str:
    answer = summary.answer
    bound = answer.generator_saturated_at
    why = _why_bound(summary, bound)
    if answer.lower is None:
        return f"no answer: at {_amount(bound, summary)} the generator itself was the limit, and not the target: {why}"
    return (
        f"at least {_amount(answer.lower, summary)}: {_met(summary)}; the limit of the target is not known, because at"
        f" {_amount(bound, summary)} the generator itself was the limit: {why}"
    )


def _nothing_opened(summary: CapacitySummary) -> str:
    faults = summary.steps[0].faults
    why = f" ({', '.join(faults)})" if faults else ""
    return f"no answer: not a single connection could be opened{sanitize(why)}"


def _nothing_measured(summary: CapacitySummary) -> str:
    step = summary.steps[0]
    why = f" ({', '.join(step.faults)})" if step.faults else ""
    gone = step.connections is not None and step.connections.lost >= step.connections.opened
    what = "every session was lost" if gone else "no message got a right answer"
    return f"no answer: at {_amount(step.amount, summary)} {what}{sanitize(why)}"


def _not_judged(summary: CapacitySummary) -> str:
    step = summary.steps[-1]
    why = next(one.why for one in step.objectives if one.judged is not UNSET)
    at = _amount(step.amount, summary)
    return f"no answer: at {at} times could not be judged, because {why}; {_so_far(summary)}"


def _unsettled(summary: CapacitySummary) -> str:
    answer, most = summary.answer, summary.range.max
    if answer.lower is None or most not in answer.unsure:
        return f"the steps contradict each other, so there is no answer; {_so_far(summary)}"
    return (
        f"at least {_amount(answer.lower, summary)}: {_met(summary)}; whether {_amount(most, summary)}, the most that"
        " was to be tried, does as well is not settled"
    )


def _so_far(summary: CapacitySummary) -> str:
    answer = summary.answer
    known = [_met(summary)] if answer.lower is not None else []
    known += [_missed(summary)] if answer.upper is not None else []
    return join_and(known) if known else "nothing is known"


def _met(summary: CapacitySummary) -> str:
    answer = summary.answer
    return f"{_amount(answer.lower, summary)} met all objectives {_times(answer.lower_times)}"


def _missed(summary: CapacitySummary) -> str:
    answer = summary.answer
    steps = [step for step in summary.steps if step.amount == answer.upper]
    failed = dict.fromkeys(check.objective for step in steps for check in step.objectives if not check.met)
    what = f"missed {join_and(list(failed))}" if failed else "was not kept up with"
    return f"{_amount(answer.upper, summary)} {what} {_times(answer.upper_times)}"


def _why_bound(summary: CapacitySummary, amount: float | None) -> str:
    reasons = [
        reason
        for step in summary.steps
        if step.amount == amount and step.outcome == "generator-bound"
        for reason in step.generator.reasons
    ]
    return sanitize(reasons[0]) if reasons else "for reasons that are not known"


def _amount(amount: float | None, summary: CapacitySummary) -> str:
    if amount is None:
        return NO_VALUE
    shown = show_amount(amount, summary.find)
    return shown if summary.find == "rate" else f"{shown} {summary.find}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


# --- Lines ----------------------------------------------------------------------------------------------------------


def _heading(summary: CapacitySummary) -> list[Text]:
    words = sentence(summary)
    style = _ENDINGS.get(summary.answer.ending, "yellow")
    lines = [Text(line, style=f"bold {style}") for line in textwrap.wrap(words[:1].upper() + words[1:] + ".", WIDTH)]
    lines.append(Text(sanitize(summary.target)))
    objectives = [sanitize(one) for one in summary.objectives]
    lines += wrapped("objectives", f"{', '.join(objectives)}, and the target keeps up")
    return [*lines, *(wrapped("generator", words) if (words := generator_of(summary)) else [])]


def generator_of(summary: CapacitySummary) -> str:
    """Returns a phrase about the hosts and workers of a search on a cluster; "" for a search on one machine."""
    runs = [
        GeneratorSize(step.number, step.generator.workers, step.generator.hosts)
        for step in summary.steps
        if step.generator.workers is not None and step.generator.hosts is not UNSET
    ]
    return describe_sizes(sizes_of(runs), "step")


def _table(summary: CapacitySummary) -> list[Text]:
    rows = table_rows(summary)
    if not rows:
        return []
    widths = [max(map(len, cells)) for cells in zip(HEADS, *rows, strict=True)]
    heads = [f"{head:>{width}}" for head, width in zip(HEADS[:-1], widths[:-1], strict=True)]
    lines = [Text("  ".join([*heads, HEADS[-1]]), style="bold")]
    for step, row in zip(summary.steps, rows, strict=True):
        *cells, outcome = row
        line = Text("".join(f"{cell:>{width}}  " for cell, width in zip(cells, widths[:-1], strict=True)))
        lines.append(line.append(outcome, style=_STYLES.get(step.outcome, "yellow")))
    return lines


def table_rows(summary: CapacitySummary) -> list[list[str]]:
    """Returns a row of text for each step, under `HEADS`."""
    return [
        [
            str(step.number),
            show_amount(step.amount, summary.find),
            format_rate(step.achieved_per_s),
            *(_time(step, name) for name in ("p50", "p99")),
            NO_VALUE if step.errors is None else format_share(step.errors),
            NO_VALUE if step.generator.cpu_share is None else percent(step.generator.cpu_share),
            OUTCOMES[step.outcome],
        ]
        for step in summary.steps
    ]


def _time(step: StepSummary, name: str) -> str:
    times = step.times
    return format_duration(None if times is None else times.value(name))


def _why(summary: CapacitySummary) -> list[Text]:
    lines: list[Text] = []
    for step in summary.steps:
        if notes := notes_of(step):
            head = f"step {step.number}"
            text = "; ".join(map(one_line, notes))
            lines += hanging_indent(f"{head:{LABEL}}", text, _STYLES.get(step.outcome, "yellow"))
    return lines


def notes_of(step: StepSummary) -> list[str]:
    """Returns the reasons why a step failed, and the objectives that rest on few values, as sentence parts."""
    few = [(one.objective, one.few) for one in step.objectives if one.few is not UNSET]
    chance = [f"{objective} rests on {format_count(count)} values, so chance decides" for objective, count in few]
    return [*failures(step), *chance]


def _chart(summary: CapacitySummary, encoding: str) -> list[Text]:
    """Returns the 99th percentile of each step, by amount: logarithmic, because it leaps where a queue starts."""
    steps = sorted(
        ((step, step.times) for step in summary.steps if step.times is not None),
        key=lambda pair: (pair[0].amount, pair[0].number),
    )
    if len(steps) < 2:
        return []
    values = [max(1, times.p99) for _, times in steps if times is not None]
    low, high = min(values), max(values)
    spread = math.log(high / low) or 1.0
    labels = [show_amount(step.amount, summary.find) for step, _ in steps]
    width = max(map(len, labels))
    lines = [Text("p99", style="bold").append(" of each step, on a logarithmic scale", style="not bold dim")]
    for (step, _), label, value in zip(steps, labels, values, strict=True):
        share = _SHORTEST_SHARE + (1 - _SHORTEST_SHARE) * math.log(value / low) / spread
        line = Text(f"{label:>{width}}  ")
        style = _STYLES.get(step.outcome, "yellow")
        line.append(f"{bar(share, _LONGEST_BAR, encoding):{_LONGEST_BAR}}", style=style)
        lines.append(line.append(f"  {format_duration(value):>8}  {_mark(step, summary.answer)}"))
    return lines


def _mark(step: StepSummary, answer: CapacityAnswer) -> str:
    ends = (
        (answer.lower, "highest met"),
        (answer.upper, "lowest missed"),
        (answer.generator_saturated_at, "generator's limit"),
    )
    return next((words for end, words in ends if step.amount == end), "")
