"""Axes of Plotly as plain dictionaries, labelled in the unit that fits; durations are ns."""

from __future__ import annotations

import math
from typing import Any

from ws_load_test.common.units import NS_PER_UNIT, format_duration

Axis = dict[str, Any]
_FEW_COUNTS = 5
"""Largest count of an axis whose ticks must be whole numbers; a longer axis has them by itself."""
_NARROW_RATIO = 5
"""Ratio between the ends of a logarithmic axis below which its ticks are at equal steps."""
_LEAST_RATIO = 3.2
"""Least ratio between the ends of a logarithmic axis: with less it can be without a tick (1, 2, 5, 10)."""


def percentile_axis(count: int) -> Axis:
    """Returns the axis of percentiles of `count` values: at ``place`` of each, logarithmic towards 100 %."""
    decades = max(1, math.ceil(math.log10(max(count, 2))))
    places = [1.0, 2.0, *(10.0**decade for decade in range(1, decades + 1))]
    return {
        "type": "log",
        "title": {"text": "percentile"},
        "range": [0, max(math.log10(max(count, 2)), math.log10(2)) + 0.05],
        "tickvals": places,
        "ticktext": [_percentile_at(at) for at in places],
        "tickangle": 0,
    }


def axis_position(percentile: float) -> float:
    """Returns the position of a percentile below 100 on its axis: 1 / (1 - p), as in HdrHistogram's plots."""
    return 1 / (1 - percentile / 100)


def _percentile_at(at: float) -> str:
    nines = round(math.log10(at))
    if at in (1.0, 2.0):
        return "min" if at == 1.0 else "p50"
    return f"p{100 - 100 / at:.{max(0, nines - 2)}f}"


def duration_axis(low_ns: float, high_ns: float, title: str = "") -> Axis:
    """Returns a logarithmic axis of durations in ns; 0 has no place on it, so callers draw it at 1 ns."""
    low, high = max(1.0, low_ns) / 1.12, max(1.0, high_ns) * 1.12
    if high / low < _LEAST_RATIO:
        wider = math.sqrt(_LEAST_RATIO / (high / low))
        low, high = low / wider, high * wider
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps_of_ten = (1, 2, 5) if math.log10(high / low) <= 3.5 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps_of_ten]
    return {
        "type": "log",
        "title": {"text": f"{title} (log)" if title else ""},
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [format_duration(tick) for tick in ticks],
    }


def load_axis(low: float, high: float, title: str) -> Axis:
    """Returns a logarithmic axis of amounts, with ticks at round ones."""
    low, high = low / 1.08, high * 1.08
    if high / low < _NARROW_RATIO:
        # Equal steps, as on a linear axis, from which so short a part of a logarithmic one hardly differs.
        step = tick_step(high - low)
        shown = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps_of_ten = (1, 2, 5) if high / low < 10**2.5 else (1, 3) if high / low < 10**4 else (1,)
        ticks = [step * 10.0**decade for decade in decades for step in steps_of_ten]
        shown = [tick for tick in ticks if low <= tick <= high]
    return {
        "type": "log",
        "title": {"text": f"{title} (log)"},
        "range": [math.log10(low), math.log10(high)],
        "tickvals": shown,
        "ticktext": [f"{tick:,.10g}" for tick in shown],
    }


def time_axis(length_ns: int, title: str = "from the start of the run") -> tuple[float, Axis]:
    """Returns the length of an axis unit in ns, and the axis: seconds, minutes or hours."""
    units = (("s", "seconds", 180.0), ("m", "minutes", 180 * 60.0), ("h", "hours", math.inf))
    unit, word = next((unit, word) for unit, word, longest in units if length_ns <= longest * 1e9)
    axis = {"title": {"text": f"{word} {title}"}, "range": [0, length_ns / NS_PER_UNIT[unit]], "hoverformat": ",.6~g"}
    return float(NS_PER_UNIT[unit]), axis


def tick_step(length: float) -> float:
    """Returns a round distance between ticks, of which at most ten fit on an axis."""
    decade = 10.0 ** math.floor(math.log10(length))
    return next(step for step in (decade / 10, decade / 5, decade / 2, decade) if length <= 10 * step)


def amount_axis(title: str = "", most: float | None = None) -> Axis:
    """Returns an axis of rates, or of counts of at most `most`, from 0; there is no half of a count."""
    axis: Axis = {"title": {"text": title}, "rangemode": "tozero", "tickformat": ",~r", "hoverformat": ",.6~g"}
    return axis if most is None or most > _FEW_COUNTS else axis | {"dtick": 1}
