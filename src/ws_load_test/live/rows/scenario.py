"""Rows of the live view about a scenario: its sessions, its slowest steps in the last seconds, its reactions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.analysis.scenario import SessionCounts, failures_of
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.live.lines import NARROW, Line, Part, Viewport, label_text, row
from ws_load_test.metrics.scenario_metrics import split_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from ws_load_test.live.run_state import RunState
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.scenario_metrics import ReactionTally

MOST_STEPS = 6
"""Steps that are shown, the slowest first: with all the rest they fit 24 rows."""
MOST_REACTIONS = 3
"""Reactions that are shown, those with flaws first."""
_CELL = 12
"""Columns of a figure of a step."""


def session_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the sessions of a scenario so far: begun, completed, failed and where, dropped."""
    if not state.tally.roles:
        return []
    counts = SessionCounts.of(state.tally.roles)
    parts: list[Part] = [(f"{format_count(counts.begun)} begun", "")]
    parts.append((f"{format_count(counts.failed)} failed", "bold yellow" if counts.failed else ""))
    parts += [(f"{format_count(count)} at {sanitize(place)}", "yellow") for place, count in counts.failed_at.items()]
    if counts.dropped:
        parts.append((f"{format_count(counts.dropped)} dropped", "yellow"))
    parts.append((f"{format_count(counts.completed)} completed", ""))
    return [Line(1, row("sessions", parts, viewport))]


def step_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the slowest steps of the last seconds: how often a second, their times, and all their failures so far."""
    recent = state.recent_step_times()
    found = sorted(
        ((key, times) for key, times in recent.items() if times.count), key=lambda one: -(one[1].percentile(99) or 0)
    )
    if not found:
        return []
    shared = _shared_names(recent)
    heads = ["p50", "p99", "max", "failed"] if viewport.width >= NARROW else ["p99", "failed"]
    head = label_text("slowest steps", viewport, "bold").append(
        "".join(f"{one:>{_CELL}}" for one in heads), style="not bold dim"
    )
    lines = [Line(2, head)]
    for number, (key, times) in enumerate(found[:MOST_STEPS]):
        lines.append(Line(2 + number, _step(_name(key, shared), times, failures_of(state.tally.steps[key]), viewport)))
    return lines


def _step(name: str, times: Histogram, failures: int, viewport: Viewport) -> Text:
    text = label_text(f"  {name}"[: viewport.label - 1], viewport)
    p50, p99 = times.percentiles((50, 99))
    if viewport.width >= NARROW:
        text.append(f"{format_duration(p50):>{_CELL}}")
    text.append(f"{format_duration(p99):>{_CELL}}", style="bold")
    if viewport.width >= NARROW:
        text.append(f"{format_duration(times.max):>{_CELL}}")
    return text.append(f"{format_count(failures):>{_CELL}}", style="yellow" if failures else "")


def reaction_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the reactions with the rate of the last interval, those with flaws first."""
    found = sorted(state.tally.reactions.items(), key=lambda one: -_flaws(one[1]).total())
    shared = _shared_names(state.tally.reactions)
    lines = []
    for number, (key, counted) in enumerate(found[:MOST_REACTIONS]):
        last = state.last.reactions.get(key)
        per_s = last.seen_in_window * 1e9 / state.last_measured_ns if last and state.last_measured_ns else 0.0
        parts: list[Part] = [(_name(key, shared), "bold"), (format_rate(per_s), "")]
        parts += [(f"{format_count(count)} {word}", "yellow") for word, count in _flaws(counted).items() if count]
        lines.append(Line(3 + number, row("" if number else "on", parts, viewport)))
    return lines


def _flaws(counted: ReactionTally) -> Counter[str]:
    return Counter(
        {
            "gaps": counted.gaps,
            "repeats": counted.repeats,
            "out of order": counted.out_of_order,
            "silent": counted.stalls,
        }
    )


def _shared_names(keys: Iterable[str]) -> set[str]:
    """Returns the names that several roles have."""
    return {name for name, count in Counter(split_key(key)[1] for key in keys).items() if count > 1}


def _name(key: str, shared: set[str]) -> str:
    name = split_key(key)[1]
    return sanitize(key if name in shared else name)
