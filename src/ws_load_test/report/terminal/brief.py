"""First screen of a report at a terminal: what most people ask, in about eleven rows of 80 columns."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.commands import command_lines
from ws_load_test.report.content.generator import generator
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, count_of
from ws_load_test.report.content.outcome import faults, headline, lost_workers
from ws_load_test.report.content.streams import stream_line
from ws_load_test.report.content.traces import trace_line
from ws_load_test.report.content.waves import wave_lines
from ws_load_test.report.terminal.fan_out import fan_out_rows
from ws_load_test.report.terminal.layout import WIDTH, all_wrapped, wrapped
from ws_load_test.report.terminal.scenario import scenario_rows
from ws_load_test.report.terminal.tables import threshold_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.report.results import Results

PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")
"""Statistics on the line of the response time."""
MOST_FAULTS = 2
"""Kinds of faults that are named; the full report has them all."""


def brief_lines(results: Results, next_steps: Sequence[str] = ()) -> list[Text]:
    """Returns verdict, response times, messages, connections, faults, health of the generator, and what to do next."""
    lines = _heading(results)
    lines += all_wrapped(lost_workers(results.recordings))
    # Not shortened: the words are ours, and the remedy stands at their end.
    lines += [line for one in results.pairing_findings for line in wrapped("pairing", sanitize(one.text), "bold red")]
    health, figures = all_wrapped(generator(results, brief=True)), all_wrapped(_figures(results))
    # Where the generator was the bottleneck, that comes before all other numbers.
    lines += [Text(), *health, *figures] if results.summary.generator.saturated else [Text(), *figures, *health]
    lines += all_wrapped(LabeledText("" if number else "next", step, "dim") for number, step in enumerate(next_steps))
    return lines


def _heading(results: Results) -> list[Text]:
    words, style = headline(results)
    summary = results.summary
    started = datetime.fromisoformat(summary.started_at)
    facts = [sanitize(summary.tool), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(results.recordings) > 1:
        facts.append(f"{len(results.recordings)} recordings together")
    return [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        *([Text(sanitize(summary.name), style="bold")] if summary.name else []),
        Text(sanitize(summary.target)),
        Text(", ".join(facts), style="dim"),
        *threshold_lines(summary.verdict.checks),
    ]


def _figures(results: Results) -> Iterator[LabeledText]:
    summary = results.summary
    if summary.fanout is not None:
        yield from fan_out_rows(summary.fanout)
    if summary.fanout is None or results.awaits_replies:
        yield _times(results)
    yield from stream_line(summary)
    yield from scenario_rows(summary)
    if summary.messages.due or summary.messages.sent:
        if summary.fanout is None or summary.messages.dropped:
            yield LabeledText("messages", _messages(results), _tone(bool(summary.messages.dropped)))
        yield LabeledText("rate", _rate(results))
    connections = summary.connections
    yield LabeledText("connections", _connections(results), _tone(bool(connections.failed or connections.lost)))
    yield from command_lines(results.recordings)
    yield from wave_lines(summary.waves)
    yield from trace_line(summary.traces)
    found = faults(results)
    for number, (kind, count, example) in enumerate(found[:MOST_FAULTS]):
        more = len(found) - MOST_FAULTS if number + 1 == MOST_FAULTS else 0
        rest = f"; {count_of(more, 'other kind')}" if more > 0 else ""
        yield LabeledText("faults" if not number else "", f"{format_count(count)} {kind}: {example}{rest}", "yellow")


def _tone(is_bad: bool) -> str:  # noqa: FBT001 - the only question
    return "yellow" if is_bad else ""


def _times(results: Results) -> LabeledText:
    summary = results.summary
    label = "response time" if summary.fanout is None else "ack"
    stats = summary.response_time_ns
    if stats is None and not (summary.messages.due or summary.messages.sent):
        label, stats = "connect time", summary.connect_time_ns
    elif not results.awaits_replies:
        label, stats = "send lag", summary.generator.send_lag_ns
    if stats is None:
        lacks_replies = results.awaits_replies and summary.messages.sent
        return LabeledText(label, f"{NO_VALUE}: no message was answered" if lacks_replies else NO_VALUE)
    return LabeledText(label, ", ".join(_statistics(stats)), "bold")


def _statistics(stats: TimeStats) -> Iterator[str]:
    for key in PERCENTILES:
        yield f"{key} {format_duration(stats.value(key))}"


def _messages(results: Results) -> str:
    messages = results.summary.messages
    parts = [f"{format_count(messages.sent)} sent"]
    if results.awaits_replies:
        parts += [f"{format_count(messages.answered)} answered", f"{format_count(messages.unanswered)} unanswered"]
    if messages.unawaited:
        parts.append(f"{format_count(messages.unawaited)} unawaited")
    if messages.dropped:
        parts.append(f"{format_count(messages.dropped)} of {format_count(messages.due)} due dropped")
    if messages.pushed:
        parts.append(f"{format_count(messages.pushed)} pushed")
    return ", ".join(parts)


def _rate(results: Results) -> str:
    summary = results.summary
    achieved = f"{format_rate(summary.throughput_per_s)} answered" if results.awaits_replies else _sent(summary)
    plan = results.plans.only
    if plan is None:
        return achieved
    if plan.scenario is not None:
        return f"{_sent(summary)}, {achieved}, as the roles have it"
    rate = plan.load.requested_rate
    if rate is None:
        return f"{achieved}, as fast as replies came with {plan.load.usual_in_flight} in flight on each connection"
    if not rate.peak:
        return achieved
    requested = format_rate(rate.peak) if len(rate.stages) == 1 else f"up to {format_rate(rate.peak)}"
    return (
        f"{requested} requested, {_sent(summary)}, {achieved}"
        if results.awaits_replies
        else f"{requested} requested, {achieved}"
    )


def _sent(summary: Summary) -> str:
    seconds = summary.duration_s
    return f"{format_rate(summary.messages.sent / seconds if seconds else None)} sent"


def _connections(results: Results) -> str:
    counts, plan = results.summary.connections, results.plans.only
    first = max(0, counts.opened - counts.reconnected - counts.recycled)
    opened = f"{format_count(first)} opened"
    # Sessions that arrive are more than there are at the same time.
    arrive = plan is not None and plan.scenario is not None and any(one.arrive_per_s for one in plan.scenario.roles)
    if plan is not None and plan.connection_profile is None and not arrive:
        opened = f"{format_count(first)} of {format_count(plan.connections)} opened"
    rare = [(counts.reconnected, "reconnected"), (counts.recycled, "recycled"), (counts.failed, "failed")]
    rare += [(counts.lost, "lost"), (counts.cancelled, "cancelled")]
    return ", ".join([opened, *(f"{format_count(count)} {word}" for count, word in rare if count)])
