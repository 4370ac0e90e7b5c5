"""Rows of the live view about what is wrong: conditions, faults, lost workers and the generator's own health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.analysis.findings import FindingKind, percent
from ws_load_test.analysis.thresholds import depends_on_pairing
from ws_load_test.common.faults import HOST_ERROR_REMEDIES
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.live.lines import Line, Part, Viewport, row, wrapped_rows
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labeled import NO_VALUE, count_of, sentence
from ws_load_test.report.content.thresholds import show_value

if TYPE_CHECKING:
    from ws_load_test.live.run_state import RunState

MAX_FAULT_KINDS = 12
"""Most kinds of faults that are listed: more would fill half of a usual terminal."""
MAX_FINDINGS = 3
"""Most findings about the generator that are shown; each takes up to `MAX_SENTENCE_LINES`."""
_REMEDIES = {str(kind): remedy for kind, remedy in HOST_ERROR_REMEDIES.items()}
_FINDING_LOOKS = {FindingKind.PAIRING: ("  pairing", "bold red", 1)}
"""Label, style and rank of findings that matter more than a warning."""


def condition_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the conditions of the run with the values so far, in red where they would fail it now."""
    found = []
    doubted = bool(state.pairing_findings())
    for requested, condition in state.conditions:
        tally, measured_ns = (
            (state.last, state.last_measured_ns)
            if condition.per_interval
            else (
                state.tally,
                state.measured_ns,
            )
        )
        value = ConditionScope(tally, measured_ns, state.awaits_replies, state.whole_run).value(condition)
        words = f"{requested.option.replace('-', ' ')} {condition.text}"
        if value is None:
            found.append((f"{words}: {NO_VALUE}", "dim"))
        elif doubted and depends_on_pairing(condition.metric):
            shown = show_value(float(value), float(condition.limit), condition.unit)
            found.append((f"{words}: in doubt ({shown})", "bold red"))
        else:
            shown = show_value(float(value), float(condition.limit), condition.unit)
            found.append((f"{words}: {shown}", "green" if requested.passes(condition, value) else "bold red"))
    return [
        Line(2 if style == "bold red" else 4, row("" if number else "conditions", [(words, style)], viewport))
        for number, (words, style) in enumerate(found)
    ]


def fault_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the kinds of faults, the most frequent first, with an example each."""
    faults, host_errors = state.faults, state.tally.host_errors
    lines = []
    if host_errors:
        for kind, count in host_errors.most_common():
            text = f"{format_count(count)} {sanitize(kind)}: {_REMEDIES.get(kind, 'of this machine')}"
            lines += wrapped_rows(1, "this machine", text, "bold red", viewport)
    if not faults:
        return [*lines, Line(0, row("faults", [("none", "dim")], viewport))]
    total = count_of(faults.total(), "fault")
    kinds = f"of {len(faults)} kinds" if len(faults) > 1 else ""
    new = state.last.faults.total()
    parts = [(" ".join(filter(None, (total, kinds))), "bold yellow")]
    parts += [(f"{format_count(new)} new", "yellow")] if new else []
    lines.append(Line(0, row("faults", parts, viewport)))
    digits = max(len(format_count(count)) for count in faults.values())
    for index, (kind, count) in enumerate(faults.most_common(MAX_FAULT_KINDS)):
        example = sentence(state.examples.get(kind) or fault_phrase(kind))
        # The commonest kind says more than any chart.
        rank = 3 if not index else 5 if index < 3 else 7
        lines.append(
            Line(
                rank,
                Text(f"  {format_count(count):>{digits}}  {sanitize(kind)}", "yellow").append(
                    f"  {example}", "default"
                ),
            )
        )
    return lines


def lost_worker_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns a sentence for each worker that was lost."""
    lines = []
    for lost in state.lost_workers:
        sessions = f", and {count_of(lost.open_sessions, 'session')} with it" if lost.open_sessions else ""
        when = format_duration(lost.at_ns)
        text = f"worker {lost.worker} after {when}{sessions}: {sentence(lost.reason)}"
        lines += wrapped_rows(0, "lost", text, "bold red", viewport)
    return lines


def generator_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the load of the generator, and the findings about it."""
    if state.load_from_ns is None or not state.worker_usages:
        return [Line(8, row("generator", [(NO_VALUE, "dim")], viewport))]
    shares = [usage.cpu_ns / usage.wall_ns for usage in state.worker_usages if usage.wall_ns]
    findings = state.findings()
    parts: list[Part] = []
    if not findings and state.tally.sent:
        parts.append(("keeps up", "green"))
    if shares:
        worker = "by its worker" if len(shares) == 1 else f"by the busiest of {len(shares)} workers"
        parts.append((f"{percent(max(shares))} of a core {worker}", ""))
    if state.last.loop_lag_ns.count:
        parts.append((f"loop lag p99 {format_duration(state.last.loop_lag_ns.percentile(99))}", ""))
    lines = [Line(1, row("generator", parts or [(NO_VALUE, "dim")], viewport))]
    for finding in findings[:MAX_FINDINGS]:
        label, style, rank = _FINDING_LOOKS.get(finding.kind, ("  warning", "yellow", 4))
        if finding.saturates:
            label, style, rank = "  saturated", "bold red", 1
        lines += wrapped_rows(rank, label, sentence(finding.text), style, viewport)
    return lines
