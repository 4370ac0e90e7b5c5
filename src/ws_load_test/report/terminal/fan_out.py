"""Fan-out in the report at a terminal: its rows of the first screen, and the table of delivery times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.common.units import format_duration
from ws_load_test.metrics.histogram import PERCENTILES
from ws_load_test.report.content import fan_out as content
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText
from ws_load_test.report.terminal.layout import all_wrapped, dim_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.fan_out import FanOutSummary
    from ws_load_test.analysis.summary_types import Summary

BRIEF = ("p50", "p90", "p99", "p99.9", "max")
"""Statistics on the line of the delivery time."""
BRIEF_LAST = ("p50", "p99", "max")
"""Statistics on the line of the last delivery."""


def fan_out_rows(fan_out: FanOutSummary) -> Iterator[LabeledText]:
    """Yields the rows of the first screen."""
    stats, last = fan_out.delivery_time_ns, fan_out.last_time_ns
    if stats is None:
        yield LabeledText("delivery", f"{NO_VALUE}: no delivery came", "bold")
    else:
        text = ", ".join(f"{key} {format_duration(stats.value(key))}" for key in BRIEF)
        if (error_ns := fan_out.clock_error_ns) is not None:
            text += f"; between machines ±{format_duration(error_ns)}"
        yield LabeledText("delivery", text, "bold")
    if last is not None:
        text = ", ".join(f"{key} {format_duration(last.value(key))}" for key in BRIEF_LAST)
        yield LabeledText("to the last", text)
    yield LabeledText("fan-out", content.shape(fan_out))
    yield LabeledText("publishes", content.publishes(fan_out))
    tone = "yellow" if content.is_flawed(fan_out.deliveries) else ""
    yield LabeledText("deliveries", content.deliveries(fan_out), tone)
    yield LabeledText("reach", content.reach(fan_out), tone)


def fan_out_table(summary: Summary) -> list[Text]:
    """Returns the table of delivery times, and where they are long; nothing without a fan-out."""
    fan_out = summary.fanout
    if fan_out is None or fan_out.delivery_time_ns is None:
        return []
    columns = list(content.columns(fan_out, summary.response_time_ns))
    width = 12
    lines = [Text("delivery".ljust(10) + "".join(heading.rjust(width) for heading, _ in columns), style="bold")]
    for key in ("min", "mean", *(f"p{one}" for one in PERCENTILES), "max"):
        cells = []
        for _, stats in columns:
            few = key.startswith("p") and too_few_in_tail(key[1:], stats.count)
            cells.append(f"{format_duration(stats.value(key))}{'*' if few else ''}".rjust(width))
        lines.append(Text(f"  {key:8}" + "".join(cells)))
    notes = ["each: every delivery; first, last, spread: of each publish; from when it was due"]
    notes += content.notes(fan_out)
    lines += dim_notes(notes)
    return [*lines, *all_wrapped(content.skew(fan_out))]
