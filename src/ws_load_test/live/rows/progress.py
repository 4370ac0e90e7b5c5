"""Rows of the live view about its progress: target, phase and remaining time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.live.lines import Line, Viewport
from ws_load_test.report.content.labeled import NO_VALUE, count_of
from ws_load_test.report.terminal.glyphs import bar, to_encodable

if TYPE_CHECKING:
    from ws_load_test.live.run_state import RunState

_PHASES = {"opening": "opening", "warmup": "warm-up", "measured": "measured", "closing": "closing"}


def head_rows(state: RunState, viewport: Viewport, now_ns: int) -> list[Line]:
    """Returns the title, and the bar of the progress below it."""
    position, progress = _position(state, now_ns), state.progress(now_ns)
    target = sanitize(state.plan.redacted().target.url)
    columns = viewport.width - len(position) - 2
    if len(target) > columns:
        target = f"{target[: columns - 1]}…" if columns > 1 else ""
    title = (
        Text(target, style="bold").append(" " * (viewport.width - len(target) - len(position))).append(position, "cyan")
    )
    return [Line(0, title), Line(2, _progress_bar(progress, _remaining(state, now_ns), viewport))]


def _progress_bar(progress: float | None, remaining: str, viewport: Viewport) -> Text:
    """Returns a bar over the width of the terminal, with what remains behind it."""
    width = max(0, viewport.width - len(remaining) - 2)
    text = Text(bar(progress or 0, width, viewport.encoding)[:width], style="cyan")
    rail = "·" if to_encodable("·", viewport.encoding) == "·" else "."
    text.append(rail * (width - text.cell_len), style="dim")
    return text.append(f"  {remaining}", style="default" if progress is not None else "dim")


def _position(state: RunState, now_ns: int) -> str:
    if state.phase is None:
        return "starting"
    phase, elapsed = _PHASES[state.phase], _clock(now_ns - state.phase_from_ns)
    if state.phase == "warmup":
        return f"{phase} {elapsed} of {format_duration(state.plan.warmup_ns)}"
    if state.phase == "measured" and state.plan.duration_ns is not None:
        return f"{phase} {elapsed} of {format_duration(state.plan.duration_ns)}"
    return f"{phase} {elapsed}"


def _remaining(state: RunState, now_ns: int) -> str:
    plan, remaining_ns = state.plan, state.remaining_ns(now_ns)
    if state.phase is None:
        return f"{count_of(plan.workers, 'worker')} to start"
    if state.phase == "opening":
        return f"{format_count(state.tally.opened + state.tally.failed)} of {format_count(plan.connections)}"
    if state.phase == "closing":
        if not state.awaits_replies:
            return "closing the connections"
        return f"waiting for the last replies, {format_duration(plan.timeout_ns)} at most"
    if remaining_ns is None:
        return NO_VALUE
    return f"{'about ' if plan.messages is not None else ''}{_clock(remaining_ns, up=True)} left"


def _clock(ns: int, *, up: bool = False) -> str:
    """Returns a time in whole seconds, rounded down or up: decimals would only flicker."""
    seconds = -(-ns // NS_PER_S) if up else ns // NS_PER_S
    return format_duration(seconds * NS_PER_S) if seconds > 0 else "0 s"
