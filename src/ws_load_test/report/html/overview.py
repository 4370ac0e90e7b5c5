"""First screen of a run's page: conditions with their limits, five or six figures, and the times over the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.condition_scope import errors_of
from ws_load_test.common.units import format_count, format_duration, format_rate, format_share
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.content.requested import requested_rows
from ws_load_test.report.content.thresholds import describe_condition, describe_value
from ws_load_test.report.html import fan_out, scenario
from ws_load_test.report.html.document import Conditions, Tile, Tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.report.html.document import Part, Severity
    from ws_load_test.report.results import Results


def overview(results: Results) -> list[Part]:
    """Returns the conditions, failed ones first, and the tiles."""
    checks = sorted(results.summary.verdict.checks, key=lambda check: check.passed)
    parts: list[Part] = []
    if checks:
        rows = [(check.passed, describe_condition(check), describe_value(check)) for check in checks]
        parts.append(Conditions(rows))
    return [*parts, Tiles(list(_tiles(results)))]


def _tiles(results: Results) -> Iterator[Tile]:
    summary, tally = results.summary, results.aggregate.tally
    if summary.fanout is not None:
        yield from fan_out.tiles(summary.fanout, summary.duration_s)
        yield _connections(results)
        return
    if results.awaits_replies or not tally.sent:
        what, times = "response time", tally.response_time_ns
    else:
        what, times = "send lag", tally.send_lag_ns
    if not times.count and not summary.messages.due:
        what, times = "connect time", tally.connect_time_ns
    if summary.sessions is not None:
        yield from scenario.tiles(summary)
        yield _times("response", times)
    elif summary.streams is not None:
        yield from (_times(name, one) for name, one in (("first", tally.first_time_ns), ("gap", tally.gap_ns)))
        yield _times("response", times)
    else:
        p50, p99 = times.percentiles(("50", "99"))
        yield Tile("p50", format_duration(p50), what)
        yield Tile("p99", format_duration(p99), f"max {format_duration(times.max)}" if times.count else what)
    yield _rate(results)
    yield _errors(results)
    yield _connections(results)


def _times(name: str, times: Histogram) -> Tile:
    """Returns the tile of one of several times: its median, and p99 in the note."""
    p50, p99 = times.percentiles(("50", "99"))
    return Tile(name, format_duration(p50), f"p50; p99 {format_duration(p99)}")


def _rate(results: Results) -> Tile:
    summary = results.summary
    sent_per_s = summary.messages.sent / summary.duration_s if summary.duration_s else None
    achieved = summary.throughput_per_s if results.awaits_replies else sent_per_s
    word = "answered" if results.awaits_replies else "sent"
    plan = results.plans.only
    rate = None if plan is None else plan.load.requested_rate
    if rate is None:
        return Tile("rate", format_rate(achieved), word)
    requested = format_rate(rate.peak) if len(rate.stages) == 1 else f"up to {format_rate(rate.peak)}"
    return Tile("rate", format_rate(achieved), f"{word}; {requested} requested")


def _errors(results: Results) -> Tile:
    tally, messages = results.aggregate.tally, results.summary.messages
    errors = errors_of(tally, awaits_replies=results.awaits_replies)
    whole = tally.due + tally.attempted
    counted = [(messages.unanswered, "unanswered")] if results.awaits_replies else []
    counted += [(messages.dropped, "dropped"), (tally.failed, "failed to open"), (tally.lost, "sessions lost")]
    parts = [f"{format_count(count)} {word}" for count, word in counted if count]
    tone: Severity = "doubt" if errors else "plain"
    share = format_share(errors / whole) if whole else NO_VALUE
    return Tile("errors", share, ", ".join(parts) or "none", tone)


def _connections(results: Results) -> Tile:
    counts = results.summary.connections
    first = counts.opened - counts.reconnected - counts.recycled
    requested = requested_rows(results)[0][1]
    note = f"opened; {requested} requested"
    more = [(counts.reconnected, "reconnected"), (counts.recycled, "recycled")]
    note = "; ".join([note, *(f"{format_count(count)} {word}" for count, word in more if count)])
    return Tile("connections", format_count(max(0, first)), note)
