"""Rows of the live view about what goes to the target and comes back: connections, messages and deliveries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ws_load_test.analysis.wave_types import WaveSummary
from ws_load_test.common.units import format_count, format_rate
from ws_load_test.live.lines import Line, Part, Viewport, chart_texts, row
from ws_load_test.report.content.commands import describe_command
from ws_load_test.report.content.fan_out import format_reach
from ws_load_test.report.content.labeled import NO_VALUE, count_of
from ws_load_test.report.content.waves import back_words, codes_of, costs

if TYPE_CHECKING:
    from ws_load_test.live.run_state import RunState

MAX_COMMANDS = 3
"""Most commands of the run that are shown, the last ones."""
ENOUGH = 0.95
"""Share of the requested rate below which the achieved one is marked."""


def connection_rows(state: RunState, viewport: Viewport, now_ns: int) -> list[Line]:
    """Returns the number of open connections, what became of the others, and their chart."""
    tally = state.tally
    parts = [(f"{format_count(state.open)} open of {format_count(state.requested_open(now_ns))}", "bold")]
    counts = [
        ("failed", tally.failed, "yellow"),
        ("lost", tally.lost, "yellow"),
        ("cut off", tally.storm_disconnected, "yellow"),
        ("reconnected", tally.reconnected, ""),
        ("recycled", tally.recycled, ""),
    ]
    parts += [(f"{format_count(count)} {word}", style) for word, count, style in counts if count]
    chart = chart_texts("", state.open_history, format_count, replace(viewport, chart_rows=1))
    return [Line(0, row("connections", parts, viewport)), *(Line(6, line) for line in chart)]


def wave_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns a line while a disconnect wave is on, and a fainter one about the last of those that are over."""
    waves, current = state.waves.waves, state.waves.current
    if not waves:
        return []
    summary = WaveSummary.of(current or waves[-1])
    if current is None:
        words = f"{count_of(len(waves), 'wave')}, the last of {count_of(summary.sessions, 'session')}"
        return [Line(5, row("  wave", [(words, ""), (back_words(summary), "green")], viewport))]
    missing = max(0, summary.open_before - state.open)
    parts = [(f"{format_count(summary.sessions)} ended", "bold yellow"), (f"{format_count(missing)} missing", "yellow")]
    parts += [(codes_of(summary), ""), (", ".join(costs(summary)), "")]
    return [Line(1, row("  wave", [part for part in parts if part[0]], viewport))]


def command_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns a line for each of the commands that began last; those that failed matter more."""
    runs = [state.commands[number] for number in sorted(state.commands)][-MAX_COMMANDS:]
    return [
        Line(
            1 if run.failed else 5,
            row("" if number else "  ran", [(describe_command(run), "yellow" if run.failed else "")], viewport),
        )
        for number, run in enumerate(runs)
    ]


def message_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the rates of messages, their chart, and their counts so far."""
    last = state.history[-1] if state.history else None
    rates = [point.answered_per_s if state.awaits_replies else point.sent_per_s for point in state.history]
    parts: list[Part] = []
    if last is not None and last.requested_per_s is not None:
        parts.append((f"requested {format_rate(last.requested_per_s)}", ""))
    for word, rate in _achieved(state):
        requested = None if last is None or word == "pushed" else last.requested_per_s
        short = requested is not None and rate < ENOUGH * requested
        parts.append((f"{word} {format_rate(rate)}", "bold yellow" if short else "bold"))
    if state.schedule is None and parts:
        parts.append(("as fast as answered" if state.plan.scenario is None else "as the roles have it", "dim"))
    chart = chart_texts("", rates, format_rate, viewport)
    return [
        Line(0, row("messages", parts or [("none yet", "dim")], viewport)),
        *(Line(4, line) for line in chart),
        Line(3, row("  in all", _totals(state), viewport)),
    ]


def _achieved(state: RunState) -> list[tuple[str, float]]:
    if not state.history:
        return []
    last = state.history[-1]
    if not state.awaits_replies:
        return [("sent", last.sent_per_s), ("pushed", last.pushed_per_s)]
    return [("answered", last.answered_per_s), ("sent", last.sent_per_s)]


def _totals(state: RunState) -> list[Part]:
    tally = state.tally
    if state.phase == "warmup":
        return [(f"{format_count(tally.warmup_sent)} sent", ""), ("warming up: these do not count", "dim")]
    counts = [("sent", tally.sent, "")]
    if state.awaits_replies:
        counts += [("answered", tally.answered, ""), ("in flight", state.in_flight, "")]
        counts += [("unanswered", tally.unanswered, "yellow" if tally.unanswered else "")]
    counts += [("unawaited", tally.unawaited, "")]
    counts += [("dropped", tally.dropped, "yellow" if tally.dropped else ""), ("pushed", tally.pushed, "")]
    always = {"sent", "answered", "unanswered"}
    return [(f"{format_count(count)} {word}", style) for word, count, style in counts if count or word in always]


def delivery_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the deliveries of a fan-out: their rate, the reach so far, and those that are not as they should be."""
    if not state.has_fan_out:
        return []
    tally, last = state.tally, state.history[-1] if state.history else None
    if last is None:
        return [Line(0, row("deliveries", [("none yet", "dim")], viewport))]
    flaws = [
        ("missing", tally.deliveries_missing),
        ("cut off", tally.deliveries_cut_off),
        ("misdelivered", tally.deliveries_misdelivered),
        ("duplicate", tally.deliveries_duplicate),
    ]
    parts: list[Part] = [(format_rate(last.deliveries_per_s), "bold")]
    parts.append((f"reach {NO_VALUE if state.reach is None else format_reach(state.reach)}", ""))
    parts += [(f"{format_count(count)} {word}", "yellow") for word, count in flaws if count or word == "missing"]
    if not tally.deliveries_missing:
        parts[2] = (parts[2][0], "")
    return [Line(0, row("deliveries", parts, viewport))]
