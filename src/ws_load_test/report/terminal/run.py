"""Report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.aggregate import Aggregate, aggregate
from ws_load_test.analysis.data_quality import MIN_TAIL_SAMPLES, PERCENTILES, too_few_in_tail
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.generator import generator
from ws_load_test.report.content.labeled import NO_VALUE, summarize_times
from ws_load_test.report.content.outcome import (
    faults,
    headline,
    lost_workers,
    requests,
    traffic,
    unanswered,
)
from ws_load_test.report.content.sessions import misbehaving, opening_notes, reconnects
from ws_load_test.report.results import Results
from ws_load_test.report.terminal.glyphs import to_encodable
from ws_load_test.report.terminal.latency_histogram import histogram_bars, percentile_table
from ws_load_test.report.terminal.layout import WIDTH, all_wrapped, hanging_indent, side_by_side, two_columns, wrapped
from ws_load_test.report.terminal.sparklines import opened_over_time, over_time
from ws_load_test.report.terminal.tables import connect_phases, host_table, requested_and_achieved, threshold_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.metrics.recording import Recording


def print_report(
    recordings: Sequence[Recording], summary: Summary, aggregated: Aggregate | None = None, *, console: Console
) -> None:
    """Prints the report of one recording, or of several taken together.

    Args:
        recordings: The recordings, at least one.
        summary: Summary of the same recordings.
        aggregated: Their aggregate, if there is one already.
        console: Destination; its encoding decides between blocks and ``#``, colors are its own decision.
    """
    for line in report_lines(recordings, summary, aggregated, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def report_lines(
    recordings: Sequence[Recording],
    summary: Summary,
    aggregated: Aggregate | None = None,
    *,
    encoding: str = "utf-8",
) -> list[Text]:
    """Returns the report's lines, no wider than 80 columns except for a long URL and counts beyond reason."""
    results = Results(recordings, summary, aggregate(recordings) if aggregated is None else aggregated)
    awaited = results.awaits_replies
    health = all_wrapped(generator(results))
    # Where the generator was the bottleneck, that comes before all other numbers.
    first, last = (health, []) if summary.generator.saturated else ([], health)
    sections = [
        _heading(results),
        all_wrapped(lost_workers(recordings)),
        # Not shortened: the words are ours, and the remedy stands at their end.
        [line for one in results.pairing_findings for line in wrapped("pairing", sanitize(one.text), "bold red")],
        first,
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
        _response_times(results, encoding) if awaited else _send_lag(summary),
        over_time(results.aggregate, encoding, awaited=awaited),
        all_wrapped(misbehaving(summary)),
        host_table(summary),
        all_wrapped(traffic(results)) + last,
    ]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    for line in lines:
        # Of the same length, so that the styles stay in their places.
        line.plain = to_encodable(line.plain, encoding)
        line.rstrip()
    return lines


# --- Heading ------------------------------------------------------------------------------------------------


def _heading(results: Results) -> list[Text]:
    words, style = headline(results)
    summary = results.summary
    started = datetime.fromisoformat(summary.started_at)
    facts = [sanitize(summary.tool), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(results.recordings) > 1:
        facts.append(f"{len(results.recordings)} recordings together")
    return [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        Text(sanitize(summary.target)),
        Text(", ".join(facts), style="dim"),
        *threshold_lines(summary.verdict.checks),
    ]


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


def _response_times(results: Results, encoding: str) -> list[Text]:
    summary = results.summary
    stats, service = summary.response_time_ns, summary.service_time_ns
    if stats is None:
        nothing = f"  min {NO_VALUE}, mean {NO_VALUE}, max {NO_VALUE}: no message was answered"
        return [Text("response time", style="bold"), Text(nothing), *all_wrapped(unanswered(summary))]
    left = percentile_table(stats, service)
    width = WIDTH - max(line.cell_len for line in left) - 3
    lines = side_by_side(left, histogram_bars(results.aggregate.tally.response_time_ns, width, encoding))
    notes = []
    if service not in (None, stats):
        notes.append("response: from when a message was due; service: from when it was sent")
    if any(too_few_in_tail(percentile, stats.count) for percentile in PERCENTILES):
        notes.append(f"* few samples: fewer than {MIN_TAIL_SAMPLES} answers lie beyond it, so chance decides")
    lines += [Text(f"  {note}", style="dim") for note in notes]
    return lines + all_wrapped(unanswered(summary))


def _send_lag(summary: Summary) -> list[Text]:
    """Returns the lines that stand in place of response times where no reply was awaited."""
    lines = [Text("response time", style="bold"), Text("  none: replies were not awaited, each message is a push")]
    lag = summary.generator.send_lag_ns
    return lines if lag is None else [*lines, Text(f"  sent after being due: {summarize_times(lag)}")]


# --- Faults -------------------------------------------------------------------------------------------------


def _faults(results: Results) -> list[Text]:
    found = faults(results)
    if not found:
        return []
    counts = [format_count(count) for _, count, _ in found]
    digits, names = max(map(len, counts)), max(len(kind) for kind, _, _ in found)
    lines = [Text("what the target did wrong", style="bold")]
    for (kind, _, example), count in zip(found, counts, strict=True):
        lines += hanging_indent(f"  {count:>{digits}}  {kind:{names}}  ", example, style="yellow")
    return lines
