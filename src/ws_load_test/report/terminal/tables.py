"""Tables of the report on a run."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.units import (
    format_count,
    format_duration,
)
from ws_load_test.report.content import nodes, traces, waves
from ws_load_test.report.content.hosts import HEADINGS, cells, host_notes
from ws_load_test.report.content.requested import requested_rows
from ws_load_test.report.content.sessions import phase_times
from ws_load_test.report.content.streams import NUMBER_HEADINGS, stream_notes, stream_numbers, stream_times
from ws_load_test.report.content.thresholds import describe_check
from ws_load_test.report.terminal.layout import LABEL, WIDTH, all_wrapped, dim_notes, hanging_indent, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.summary_types import Summary, ThresholdCheck
    from ws_load_test.report.results import Results


_GAP = 3
"""Spaces between columns."""
_HOST_GAP = 2
"""Spaces between columns of the host table, which has eight of them."""
_NARROWEST, _WIDEST = 16, 34
"""Columns of the terminal for the requested load; a rate of many stages takes several lines."""
_SHORTEST_NAME = 7
"""Columns of a host's name, however wide the figures beside it are."""


def requested_and_achieved(results: Results) -> list[Text]:
    """Returns the table of the requested and the achieved load, and what of the plans could not be read."""
    rows, connections = requested_rows(results), results.summary.connections
    room = WIDTH - LABEL - _GAP - max(len(achieved) for _, _, achieved in rows)
    most = min(_WIDEST, max(_NARROWEST, room))
    wrapped_rows = [
        (label, textwrap.wrap(requested, most, break_on_hyphens=False) or [""], achieved)
        for label, requested, achieved in rows
    ]
    width = max(len("requested"), *(len(line) for _, requested, _ in wrapped_rows for line in requested)) + _GAP
    lines = [Text(f"{'':{LABEL}}{'requested':{width}}achieved", style="bold")]
    for label, requested_lines, achieved in wrapped_rows:
        missed = label == "connections" and (connections.failed or connections.lost)
        for one, beside_it in itertools.zip_longest(requested_lines, [achieved], fillvalue=""):
            line = Text(f"{label:{LABEL}}{one:{width}}")
            lines.append(line.append(beside_it, style="yellow" if missed else ""))
            label = ""  # noqa: PLW2901 - on its first line only
    return [*lines, *(line for note in results.plans.notes for line in wrapped("warning", note, "yellow"))]


def host_table(summary: Summary) -> list[Text]:
    """Returns a table of the machines; nothing for one machine.

    The columns: replies per second, or messages sent where there are no replies, or deliveries where nothing is sent;
    the share of a core of the busiest worker; the 99th percentile of the send lag; the median response time; the
    shortest TCP handshake with the target; the offset of the clock from that of the leading machine.
    """
    hosts = summary.hosts
    if not hosts:
        return []
    table = [HEADINGS, *([f"  {name}", *figures] for name, *figures in map(cells, hosts))]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    # Names give way: all the rest are figures.
    widths[0] = max(_SHORTEST_NAME, min(widths[0], WIDTH - sum(width + _HOST_GAP for width in widths[1:])))
    lines = [_line(table[0], widths, "bold")]
    for row, host in zip(table[1:], hosts, strict=True):
        lines.append(_line(row, widths, "red" if host.lost_workers or host.saturated else ""))
    return lines + dim_notes(host_notes(summary))


def wave_table(summary: Summary) -> list[Text]:
    """Returns a table of the disconnect waves; nothing without any."""
    if not summary.waves:
        return []
    table = [waves.HEADINGS, *([f"  {when}", *figures] for when, *figures in map(waves.cells, summary.waves))]
    widths = [max(len(row[column]) for row in table) for column in range(len(waves.HEADINGS))]
    lines = [_line(table[0], widths, "bold")]
    lines += [
        _line(row, widths, "yellow" if wave.back_after_ns is None else "")
        for row, wave in zip(table[1:], summary.waves, strict=True)
    ]
    words = "closes and dials in their busiest second; fewest open; back: as many open again as before the first end;"
    return [*lines, *_notes(f"{words} p50, p99: from the loss of a session to its return")]


def node_table(summary: Summary) -> list[Text]:
    """Returns a table of the target's nodes; nothing where none is known."""
    if summary.nodes is None:
        return []
    table = [nodes.HEADINGS, *([f"  {name}", *figures] for name, *figures in nodes.rows(summary.nodes))]
    widths = [max(len(row[column]) for row in table) for column in range(len(nodes.HEADINGS))]
    widths[0] = max(_SHORTEST_NAME, min(widths[0], WIDTH - sum(width + _HOST_GAP for width in widths[1:])))
    lines = [_line(row, widths, "" if number else "bold") for number, row in enumerate(table)]
    return [*lines, *_notes(nodes.skew_words(summary.nodes))]


def trace_table(summary: Summary) -> list[Text]:
    """Returns a table of the traces of the slowest exchanges, and of each kind of fault; nothing without any."""
    if summary.traces is None:
        return []
    table = [traces.HEADINGS, *([f"  {of}", *cells] for of, *cells in traces.rows(summary.traces))]
    if len(table) == 1:
        return []
    widths = [max(len(row[column]) for row in table) for column in range(len(traces.HEADINGS))]
    return [_line(row, widths, "" if number else "bold") for number, row in enumerate(table)]


def _notes(words: str) -> list[Text]:
    return [Text(f"  {line}", style="dim") for line in textwrap.wrap(words, WIDTH - 2)]


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    name, *figures = cells
    if len(name) > widths[0]:
        # The end of a long name distinguishes it from others.
        name = f"  …{name[len(name) - widths[0] + 3 :]}"
    text = f"{name:{widths[0]}}" + "".join(
        f"{figure:>{width + _HOST_GAP}}" for figure, width in zip(figures, widths[1:], strict=True)
    )
    return Text(text, style=style)


_ALWAYS = {"TCP", "upgrade"}
"""Phases that every opening has; the connect time is enough where there are no others."""
_COLUMNS = ("p50", "p99", "max")
"""Statistics of each phase."""


def connect_phases(summary: Summary) -> list[Text]:
    """Returns the table of the phases of opening, where there is more to it than a TCP connection and an upgrade."""
    found = phase_times(summary.opening)
    if found.keys() <= _ALWAYS:
        return []
    head = f"{'opening':{LABEL}}{'count':>9}" + "".join(f"{key:>12}" for key in _COLUMNS)
    lines = [Text(head, style="bold")]
    resumed = summary.connections.tls_resumed
    for label, stats in found.items():
        times = "".join(f"{format_duration(stats.value(key)):>12}" for key in _COLUMNS)
        note = f"   {format_count(resumed)} resumed" if label == "TLS" and resumed else ""
        lines.append(Text(f"  {label:{LABEL - 2}}{format_count(stats.count):>9}{times}{note}"))
    return lines


_STREAM_COLUMNS = ("min", "p50", "p90", "p99", "max")
"""Statistics of the times of answers."""


def stream_tables(summary: Summary) -> list[Text]:
    """Returns the tables of answers of many messages: their times, and what each came to."""
    if summary.streams is None:
        return []
    lines: list[Text] = []
    if times := stream_times(summary):
        lines.append(_table_line(["streams", *_STREAM_COLUMNS, "count"], "bold"))
        for label, stats in times.items():
            cells = [format_duration(stats.value(key)) for key in _STREAM_COLUMNS]
            lines.append(_table_line([f"  {label}", *cells, format_count(stats.count)]))
    if rows := stream_numbers(summary.streams):
        lines.append(_table_line(NUMBER_HEADINGS, "bold"))
        lines += [_table_line([f"  {label}", *cells]) for label, *cells in rows]
    return lines + all_wrapped(stream_notes(summary))


def _table_line(cells: Sequence[str], style: str = "") -> Text:
    label, *figures = cells
    return Text(f"{label:{LABEL}}" + "".join(f"{figure:>11}" for figure in figures), style=style)


def threshold_lines(checks: Sequence[ThresholdCheck]) -> list[Text]:
    """Returns the lines of checks: passed or failed, the condition, and the value found."""
    lines: list[Text] = []
    for check in checks:
        head = f"  {'passed' if check.passed else 'failed'}  "
        lines += hanging_indent(head, describe_check(check), style="green" if check.passed else "red")
    return lines
