"""Rows of the live view about times: percentiles of the last seconds and of the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.units import format_count, format_duration
from ws_load_test.live.lines import NARROW, Line, Viewport, chart_texts, label_text, row
from ws_load_test.report.terminal.latency_histogram import ROWS, histogram_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.live.run_state import RunState
    from ws_load_test.metrics.histogram import Histogram

HISTOGRAM_HEAD = 3
"""Lines above the bars of a histogram: a blank one, its title and its heads."""
MIN_BARS = 5
"""Fewest bars that show the shape of a distribution."""
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}


def time_rows(state: RunState, viewport: Viewport) -> list[Line]:
    """Returns the percentiles of deliveries, replies and lateness, as far as the plan has them."""
    # Three percentiles where there is room for them, else the two that say most.
    keys = [*_PERCENTILES] if viewport.content_width >= 4 * 10 else ["p50", "p99"]
    recent, whole_run = state.recent_response_ns, state.tally.response_time_ns
    lines = []
    if state.has_fan_out:
        lines = _delivery_times(state, keys, viewport)
    if state.awaits_replies:
        p99s = [point.response_p99_ns for point in state.history]
        lines += [
            Line(1, _heads("ack" if state.has_fan_out else "response", keys, viewport)),
            Line(0, _figures("  last 5 s", recent, keys, viewport, "bold")),
            Line(1, _figures("  whole run", whole_run, keys, viewport)),
            *(Line(5, line) for line in chart_texts("  p99", p99s, format_duration, viewport)),
            *_streams(state, keys, viewport),
        ]
    if state.schedule is not None and state.schedule.peak:
        # Without response times above it, this row needs heads of its own.
        if not lines:
            lines.append(Line(1, _heads("sent late", keys, viewport)))
            lines.append(Line(1, _figures("  whole run", state.tally.send_lag_ns, keys, viewport)))
        label = "  sent late" if state.awaits_replies else "  last 5 s"
        lines.append(Line(3, _figures(label, state.recent_lag_ns, keys, viewport)))
    return lines


def _delivery_times(state: RunState, keys: Sequence[str], viewport: Viewport) -> list[Line]:
    """Returns the delivery times of the last seconds and of the whole run, and the times to the last delivery."""
    p99s = [point.delivery_p99_ns for point in state.history]
    return [
        Line(1, _heads("delivery", keys, viewport)),
        Line(0, _figures("  last 5 s", state.recent_delivery_ns, keys, viewport, "bold")),
        Line(1, _figures("  whole run", state.tally.delivery_time_ns, keys, viewport)),
        Line(3, _figures("  to the last", state.recent_last_ns, keys, viewport)),
        *(Line(5, line) for line in chart_texts("  p99", p99s, format_duration, viewport)),
    ]


def _streams(state: RunState, keys: Sequence[str], viewport: Viewport) -> list[Line]:
    """Returns the times within answers of many messages, of the last seconds, and what went wrong with them."""
    if not state.has_streams:
        return []
    troubles = [("stalls", state.tally.stalls), ("broken off", state.tally.broken_off)]
    parts = [(f"{format_count(count)} {word}", "yellow") for word, count in troubles if count]
    return [
        Line(3, _figures("  first", state.recent_first_ns, keys, viewport)),
        Line(3, _figures("  gap", state.recent_gap_ns, keys, viewport)),
        *([Line(3, row("  streams", parts, viewport))] if parts else []),
    ]


def _cell(keys: Sequence[str], viewport: Viewport) -> int:
    return min(12, viewport.content_width // (len(keys) + 1))


def _heads(label: str, keys: Sequence[str], viewport: Viewport) -> Text:
    cell = _cell(keys, viewport)
    return label_text(label, viewport, "bold").append(
        "".join(f"{key:>{cell}}" for key in [*keys, "max"]), style="not bold dim"
    )


def _figures(label: str, times: Histogram, keys: Sequence[str], viewport: Viewport, style: str = "") -> Text:
    cell = _cell(keys, viewport)
    values = [*times.percentiles([_PERCENTILES[key] for key in keys]), times.max]
    text = label_text(label, viewport)
    for value in values:
        text.append(f"{format_duration(value):>{cell}}", style=style)
    return text


def histogram_rows(state: RunState, viewport: Viewport, spare: int) -> list[Line]:
    """Returns all response times so far as bars, in `spare` lines at most; nothing where that is too little."""
    times, rows = state.tally.response_time_ns, min(ROWS, spare - HISTOGRAM_HEAD)
    if not times.count or viewport.width < NARROW or rows < MIN_BARS:
        return []
    title = Text("all response times", style="bold")
    bars = histogram_bars(times, viewport.width - 2, viewport.encoding, rows)
    return [Line(11, Text()), Line(11, title), *(Line(11, line) for line in bars)]
