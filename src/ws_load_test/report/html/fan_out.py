"""Fan-out on a run's page: its tiles, and the section of its deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content import fan_out as content
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.html import fan_out_charts, time_charts
from ws_load_test.report.html.document import Chart, KeyValueRows, Section, Table, Text, Tile
from ws_load_test.report.html.figures import percentile_curves, percentile_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.fan_out import FanOutSummary
    from ws_load_test.analysis.summary_types import ThresholdCheck
    from ws_load_test.report.html.document import Part, Severity
    from ws_load_test.report.html.timeline import Timeline
    from ws_load_test.report.results import Results

_HOW = (
    "Delivery is every delivery, from when its message was due; first, last and spread are of each publish. Thin with"
    " hollow marks is the part on fewer than ten values, where chance decides."
)


def tiles(fan_out: FanOutSummary, duration_s: float) -> Iterator[Tile]:
    """Yields the tiles of the first screen but for that of the connections."""
    stats = fan_out.delivery_time_ns
    p50, p99, most = (None, None, None) if stats is None else (stats.p50, stats.p99, stats.max)
    yield Tile("delivery p50", format_duration(p50), content.shape(fan_out))
    yield Tile("delivery p99", format_duration(p99), f"max {format_duration(most)}" if stats else "no delivery came")
    counts = fan_out.deliveries
    absent = [(counts.missing, "missing"), (counts.cut_off, "cut off"), (counts.misdelivered, "misdelivered")]
    parts = [f"{format_count(count)} {word}" for count, word in absent if count]
    share = NO_VALUE if fan_out.reach is None else content.format_reach(fan_out.reach)
    tone: Severity = "doubt" if content.is_flawed(counts) or fan_out.reach is None else "plain"
    yield Tile("reach", share, ", ".join(parts) or "none missing", tone)
    publishes = format_rate(fan_out.publishes.sent / duration_s) if duration_s else NO_VALUE
    delivered = format_rate(counts.delivered / duration_s) if duration_s else NO_VALUE
    yield Tile("deliveries", delivered, f"{publishes} published")


def over_time(course: Timeline, checks: Sequence[ThresholdCheck]) -> list[Chart]:
    """Returns the chart of delivery times over the run, which the first screen shows."""
    title = "Delivery time over the run"
    return time_charts.percentiles(course, "delivery_time_ns", "delivery-over-time", title, "delivery time", checks)


def section(results: Results, course: Timeline | None) -> list[Section]:
    """Returns the section of deliveries; none without a fan-out."""
    fan_out = results.summary.fanout
    if fan_out is None:
        return []
    tally = results.aggregate.tally
    times = {
        "delivery": tally.delivery_time_ns,
        "first": tally.first_time_ns,
        "last": tally.last_time_ns,
        "spread": tally.spread_ns,
        "transit": tally.transit_time_ns,
        "read lag": tally.read_lag_ns,
    }
    filled = {name: one for name, one in times.items() if one.count}
    parts: list[Part] = []
    if filled:
        table = percentile_table(filled)
        # Read lag is no time of the target.
        shown = {name: one for name, one in filled.items() if name in {"delivery", "first", "last", "spread"}}
        curves = percentile_curves(shown, "time")
        parts.append(Chart("delivery-percentiles", "Delivery time by percentile", _HOW, curves, table))
    if course is not None:
        checks = results.summary.verdict.checks
        parts += fan_out_charts.publish_times(course, checks)
        parts += fan_out_charts.reach(course)
        parts += fan_out_charts.rooms(course, _noun(fan_out))
    lines = [("publishes", content.publishes(fan_out)), ("deliveries", content.deliveries(fan_out))]
    lines += [("reach", content.reach(fan_out)), *((one.label, one.text) for one in content.skew(fan_out))]
    parts.append(KeyValueRows(lines))
    parts += [Text(f"{one[:1].upper()}{one[1:]}.") for one in content.notes(fan_out)]
    return [Section("Deliveries", [*parts, *_worst(fan_out)])]


def _noun(fan_out: FanOutSummary) -> str:
    return "rooms" if fan_out.rooms > 1 else "subscribers"


def _worst(fan_out: FanOutSummary) -> Iterator[Table]:
    """Yields the tables of the slowest subscribers, and of the slowest rooms or groups of subscribers."""
    if fan_out.worst_subscribers:
        rows = [
            [
                format_count(one.subscriber),
                format_duration(one.mean_ns),
                format_count(one.expected),
                format_count(one.delivered),
            ]
            for one in fan_out.worst_subscribers
        ]
        yield Table(["subscriber", "mean", "expected", "delivered"], rows, "Subscribers with the longest mean times")
    if len(fan_out.worst_rooms) > 1:
        noun = _noun(fan_out)
        groups = [
            [sanitize(one.name), format_duration(one.mean_ns), format_count(one.deliveries)]
            for one in fan_out.worst_rooms
        ]
        caption = f"{noun.capitalize()} with the longest mean times"
        yield Table([noun, "mean", "deliveries"], groups, caption)
