"""Report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from ws_load_test.analysis.aggregate import Aggregate, aggregate
from ws_load_test.analysis.data_quality import MIN_TAIL_SAMPLES, too_few_in_tail
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.metrics.histogram import PERCENTILES
from ws_load_test.report.content.generator import facts
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, summarize_times
from ws_load_test.report.content.outcome import faults, requests, traffic, unanswered
from ws_load_test.report.content.repeat import repeat_note
from ws_load_test.report.content.sessions import misbehaving, opening_notes, reconnects
from ws_load_test.report.results import Results
from ws_load_test.report.terminal.brief import MOST_FAULTS, brief_lines
from ws_load_test.report.terminal.fan_out import fan_out_table
from ws_load_test.report.terminal.glyphs import to_encodable
from ws_load_test.report.terminal.latency_histogram import histogram_bars, percentile_table
from ws_load_test.report.terminal.layout import WIDTH, all_wrapped, hanging_indent, side_by_side, two_columns
from ws_load_test.report.terminal.scenario import reaction_table, step_tables
from ws_load_test.report.terminal.sparklines import opened_over_time, over_time
from ws_load_test.report.terminal.tables import (
    connect_phases,
    host_table,
    node_table,
    requested_and_achieved,
    stream_tables,
    trace_table,
    wave_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.metrics.recording import Recording

_CONTINUED = 7
"""Columns that the indent of a continued command line, its space and its backslash take."""
Detail = Literal["full", "compact"]


def print_report(
    recordings: Sequence[Recording],
    summary: Summary,
    aggregated: Aggregate | None = None,
    *,
    console: Console,
    detail: Detail | None = None,
    next_steps: Sequence[str] = (),
    with_command: bool = False,
) -> None:
    """Prints the report of one recording, or of several taken together.

    Args:
        recordings: The recordings, at least one.
        summary: Summary of the same recordings.
        aggregated: Their aggregate, if there is one already.
        console: Destination; its encoding decides between blocks and ``#``, colors are its own decision.
        detail: Full or compact; None is full, unless the console is a terminal with fewer rows than that takes.
        next_steps: Hints on what to do next, for the end of the first screen.
        with_command: True: the full report ends with the command line that repeats the run.
    """
    results = Results(recordings, summary, aggregate(recordings) if aggregated is None else aggregated)
    lines = [] if detail == "compact" else full_report(results, console.encoding, next_steps, with_command=with_command)
    if detail == "compact" or (detail is None and console.is_terminal and len(lines) >= console.height):
        hint = [] if detail else ["--summary full shows the whole report"]
        lines = finished(brief_lines(results, [*hint, *next_steps]), console.encoding)
    for line in lines:
        console.print(line, soft_wrap=True)


def report_lines(
    recordings: Sequence[Recording],
    summary: Summary,
    aggregated: Aggregate | None = None,
    *,
    encoding: str = "utf-8",
) -> list[Text]:
    """Returns the full report's lines, no wider than 80 columns except for a long URL and counts beyond reason."""
    return full_report(
        Results(recordings, summary, aggregate(recordings) if aggregated is None else aggregated), encoding
    )


def full_report(
    results: Results, encoding: str, next_steps: Sequence[str] = (), *, with_command: bool = False
) -> list[Text]:
    """Returns the lines of the full report: the first screen, then the tables."""
    summary, awaited = results.summary, results.awaits_replies
    sections = [
        brief_lines(results, next_steps),
        step_tables(summary),
        reaction_table(summary),
        fan_out_table(summary),
        *(_response_times(results, encoding) if awaited else [] if summary.fanout else [_send_lag(summary)]),
        stream_tables(summary),
        requested_and_achieved(results),
        _faults(results),
        side_by_side(
            two_columns("requests", [(one.label, one.text, one.style) for one in requests(results)]),
            _connect_times(summary),
            gap=6,
        ),
        connect_phases(summary),
        opened_over_time(results.aggregate, encoding),
        all_wrapped([*opening_notes(results), *reconnects(results)]),
        wave_table(summary),
        node_table(summary),
        trace_table(summary),
        over_time(results.aggregate, encoding, awaited=awaited),
        all_wrapped(misbehaving(summary)),
        host_table(summary),
        all_wrapped([*traffic(results), LabeledText("generator", facts(results.aggregate))]),
        _repeat(results) if with_command else [],
    ]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    return finished(lines, encoding)


def finished(lines: list[Text], encoding: str) -> list[Text]:
    """Returns the lines in letters that an encoding can show."""
    for line in lines:
        # Of the same length, so that the styles stay in their places.
        line.plain = to_encodable(line.plain, encoding)
        line.rstrip()
    return lines


def _repeat(results: Results) -> list[Text]:
    """Returns the command line that repeats the run, on as many lines as a shell takes together."""
    line = sanitize(results.summary.command)
    if not line:
        return []
    lines = [""]
    for word in map(shlex.quote, shlex.split(line)):
        if lines[-1] and len(lines[-1]) + len(word) > WIDTH - _CONTINUED:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    shown = [Text("the same run again", style="bold")]
    for number, part in enumerate(lines):
        indent, more = "    " if number else "  ", " \\" if number < len(lines) - 1 else ""
        shown.append(Text(f"{indent}{part}{more}"))
    return shown + (hanging_indent("  ", note, "dim") if (note := repeat_note(results)) else [])


# --- Messages and connections -------------------------------------------------------------------------------

_CONNECT = ("min", "p50", "p95", "p99", "max")
"""Statistics of the connect time."""


def _connect_times(summary: Summary) -> list[Text]:
    stats = summary.connect_time_ns
    if stats is None:
        return two_columns("connect time", [("min", NO_VALUE, ""), ("max", NO_VALUE, "")])
    rows = [("opened", format_count(stats.count), "")]
    return two_columns("connect time", rows + [(key, format_duration(stats.value(key)), "") for key in _CONNECT])


# --- Response times -----------------------------------------------------------------------------------------


def _response_times(results: Results, encoding: str) -> list[list[Text]]:
    """Returns the table of statistics and the histogram, each a block of its own."""
    summary = results.summary
    stats, service = summary.response_time_ns, summary.service_time_ns
    if stats is None:
        return [all_wrapped(unanswered(results))]
    notes = []
    if service not in (None, stats):
        notes.append("response: from when a message was due; service: from when it was sent")
    if any(too_few_in_tail(percentile, stats.count) for percentile in PERCENTILES):
        notes.append(f"* few samples: fewer than {MIN_TAIL_SAMPLES} answers lie beyond it, so chance decides")
    table = percentile_table(stats, service) + [Text(f"  {note}", style="dim") for note in notes]
    bars = histogram_bars(results.aggregate.tally.response_time_ns, WIDTH - 2, encoding)
    return [table + all_wrapped(unanswered(results)), [Text("all response times", style="bold"), *bars]]


def _send_lag(summary: Summary) -> list[Text]:
    """Returns the lines that stand in place of response times where no reply was awaited."""
    lines = [Text("response time", style="bold"), Text("  none: replies were not awaited, each message is a push")]
    lag = summary.generator.send_lag_ns
    return lines if lag is None else [*lines, Text(f"  sent after being due: {summarize_times(lag)}")]


# --- Faults -------------------------------------------------------------------------------------------------


def _faults(results: Results) -> list[Text]:
    found = faults(results)
    if len(found) <= MOST_FAULTS:
        # The first screen has them.
        return []
    counts = [format_count(count) for _, count, _ in found]
    digits, names = max(map(len, counts)), max(len(kind) for kind, _, _ in found)
    lines = [Text("what the target did wrong", style="bold")]
    for (kind, _, example), count in zip(found, counts, strict=True):
        lines += hanging_indent(f"  {count:>{digits}}  {kind:{names}}  ", example, style="yellow")
    return lines
