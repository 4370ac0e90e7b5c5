"""The report of a run for people at a terminal: 80 columns, made from recordings and their summary alone."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.analysis.aggregate import Aggregate, aggregate
from ws_load_test.analysis.data_quality import MIN_TAIL_SAMPLES, PERCENTILES, too_few_in_tail
from ws_load_test.analysis.findings import Finding, awaits_nothing
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.generator import generator
from ws_load_test.report.content.labelled import NO_VALUE, summarize_times
from ws_load_test.report.content.outcome import (
    faults,
    lost_workers,
    pairing_findings,
    requests,
    traffic,
    unanswered,
    verdict,
)
from ws_load_test.report.content.sessions import misbehaving, reconnects
from ws_load_test.report.terminal.glyphs import to_encodable
from ws_load_test.report.terminal.latency_histogram import histogram_bars, percentile_table
from ws_load_test.report.terminal.layout import WIDTH, all_wrapped, hanging_indent, side_by_side, two_columns, wrapped
from ws_load_test.report.terminal.sparklines import opened_over_time, over_time
from ws_load_test.report.terminal.tables import connect_phases, host_table, requested_and_achieved, threshold_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ws_load_test.metrics.recording import Recording


def print_report(
    recordings: Sequence[Recording], summary: dict[str, Any], digested: Aggregate | None = None, *, console: Console
) -> None:
    """Prints the report of one recording, or of several taken together.

    Args:
        recordings: What was recorded, at least one.
        summary: What `summarise` says of the same recordings.
        digested: Their digest, where there is one already.
        console: Where to; its encoding decides between blocks and ``#``, its colours are its own affair.
    """
    for line in report_lines(recordings, summary, digested, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def report_lines(
    recordings: Sequence[Recording],
    summary: dict[str, Any],
    digested: Aggregate | None = None,
    *,
    encoding: str = "utf-8",
) -> list[Text]:
    """Returns the report's lines: no wider than 80 columns, but for a long URL and counts beyond reason."""
    if digested is None:
        digested = aggregate(recordings)
    reasons = diagnose(recordings, digested)
    doubted = pairing_findings(reasons)
    awaited = not awaits_nothing(recordings)
    health = all_wrapped(generator(recordings, digested, reasons))
    # Where the generator was the bottleneck, all other numbers are to be read with that in mind.
    first, last = (health, []) if summary.generator.saturated else ([], health)
    sections = [
        _heading(recordings, summary, reasons, awaited=awaited),
        all_wrapped(lost_workers(recordings)),
        # Its words are ours, and none of them may be cut.
        [line for reason in doubted for line in wrapped("pairing", sanitize(reason.text), "bold red")],
        first,
        requested_and_achieved(recordings, summary),
        _faults(recordings, summary),
        side_by_side(two_columns("requests", requests(summary, awaited=awaited)), _connect_times(summary), gap=6),
        connect_phases(summary),
        opened_over_time(digested, encoding),
        all_wrapped(reconnects(recordings, summary)),
        _response_times(summary, digested, encoding) if awaited else _send_lag(summary),
        over_time(digested, encoding, awaited=awaited),
        all_wrapped(misbehaving(summary)),
        host_table(summary),
        all_wrapped(traffic(recordings, summary)) + last,
    ]
    lines: list[Text] = []
    for section in filter(None, sections):
        lines += [Text(), *section] if lines else section
    for line in lines:
        # Of the same length, so that the styles stay where they are.
        line.plain = to_encodable(line.plain, encoding)
        line.rstrip()
    return lines


# --- What the run came to -----------------------------------------------------------------------------------


def _heading(
    recordings: Sequence[Recording], summary: dict[str, Any], reasons: Sequence[Finding], *, awaited: bool
) -> list[Text]:
    words, style = verdict(recordings, summary, reasons, awaited=awaited)
    started = datetime.fromisoformat(summary.started_at)
    facts = [sanitize(summary.tool), f"started {started:%Y-%m-%d %H:%M:%S %Z}"]
    if len(recordings) > 1:
        facts.append(f"{len(recordings)} recordings together")
    return [
        *(Text(line, style=f"bold {style}") for line in textwrap.wrap(words, WIDTH)),
        Text(sanitize(summary.target)),
        Text(", ".join(facts), style="dim"),
        *threshold_lines(summary),
    ]


# --- Messages and connections -------------------------------------------------------------------------------


def _connect_times(summary: dict[str, Any]) -> list[Text]:
    stats = summary.connect_time_ns
    if stats is None:
        return two_columns("connect time", [("fastest", NO_VALUE, ""), ("slowest", NO_VALUE, "")])
    keys = {"fastest": "min", "50 %": "p50", "95 %": "p95", "99 %": "p99", "slowest": "max"}
    rows = [("opened", format_count(stats["count"]), "")]
    return two_columns("connect time", rows + [(label, format_duration(stats[key]), "") for label, key in keys.items()])


# --- Response times -----------------------------------------------------------------------------------------


def _response_times(summary: dict[str, Any], digested: Aggregate, encoding: str) -> list[Text]:
    stats, service = summary.response_time_ns, summary.service_time_ns
    if stats is None:
        nothing = f"  fastest {NO_VALUE}, average {NO_VALUE}, slowest {NO_VALUE}: no message was answered"
        return [Text("response time", style="bold"), Text(nothing), *all_wrapped(unanswered(summary))]
    left = percentile_table(stats, service)
    width = WIDTH - max(line.cell_len for line in left) - 3
    lines = side_by_side(left, histogram_bars(digested.tally.response_time_ns, width, encoding))
    notes = []
    if service not in (None, stats):
        notes.append("response: from when a message was due; service: from when it was sent")
    if any(too_few_in_tail(percentile, stats["count"]) for percentile in PERCENTILES):
        notes.append(f"* few samples: fewer than {MIN_TAIL_SAMPLES} answers lie beyond it, so chance decides")
    lines += [Text(f"  {note}", style="dim") for note in notes]
    return lines + all_wrapped(unanswered(summary))


def _send_lag(summary: dict[str, Any]) -> list[Text]:
    """Returns what stands in the place of response times where none was awaited."""
    lines = [Text("response time", style="bold"), Text("  none: replies were not awaited, whatever came is a push")]
    lag = summary.generator.send_lag_ns
    return lines if lag is None else [*lines, Text(f"  sent after being due: {summarize_times(lag)}")]


# --- Faults -------------------------------------------------------------------------------------------------


def _faults(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    found = faults(recordings, summary)
    if not found:
        return []
    counts = [format_count(count) for _, count, _ in found]
    digits, names = max(map(len, counts)), max(len(kind) for kind in summary.faults)
    lines = [Text("what the target did wrong", style="bold")]
    for (kind, _, example), count in zip(found, counts, strict=True):
        lines += hanging_indent(f"  {count:>{digits}}  {kind:{names}}  ", example, style="yellow")
    return lines
