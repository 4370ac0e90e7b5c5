"""Tables of the report on a run."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.common.units import (
    format_count,
    format_duration,
)
from ws_load_test.report.content.hosts import HEADINGS, cells, start_skew
from ws_load_test.report.content.requested import requested_rows
from ws_load_test.report.content.sessions import PHASES
from ws_load_test.report.content.thresholds import describe_condition, describe_value
from ws_load_test.report.terminal.layout import LABEL, WIDTH, hanging_indent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


_GAP = 3
_HOST_GAP = 2
_NARROWEST, _WIDEST = 16, 34
"""Columns of what was asked; a rate of many stages takes several lines."""


def requested_and_achieved(recordings: Sequence[Recording], summary: dict[str, Any]) -> list[Text]:
    """Returns these rows as a table."""
    rows, connections = requested_rows(recordings, summary), summary["connections"]
    room = WIDTH - LABEL - _GAP - max(len(achieved) for _, _, achieved in rows)
    most = min(_WIDEST, max(_NARROWEST, room))
    cells = [(label, textwrap.wrap(asked, most) or [""], achieved) for label, asked, achieved in rows]
    width = max(len("asked"), *(len(line) for _, asked, _ in cells for line in asked)) + _GAP
    lines = [Text(f"{'':{LABEL}}{'asked':{width}}achieved", style="bold")]
    for label, asked_lines, achieved in cells:
        missed = label == "connections" and (connections["failed"] or connections["lost"])
        for one, beside_it in itertools.zip_longest(asked_lines, [achieved], fillvalue=""):
            line = Text(f"{label:{LABEL}}{one:{width}}")
            lines.append(line.append(beside_it, style="yellow" if missed else ""))
            label = ""  # noqa: PLW2901 - on its first line only
    return lines


def host_table(summary: dict[str, Any]) -> list[Text]:
    """Returns a table of the machines; nothing where there was one.

    The columns: answers a second, or where there are none messages sent; the share of a core of the busiest worker;
    the 99th percentile of the send lag; the median response time; the fastest TCP handshake with the target; how far
    the clock was before that of the machine that led.
    """
    hosts: Sequence[dict[str, Any]] = summary["hosts"]
    if not hosts:
        return []
    table = [HEADINGS, *([f"  {name}", *figures] for name, *figures in map(cells, hosts))]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    # Names give way: all the rest are figures.
    widths[0] = max(7, min(widths[0], WIDTH - sum(width + _HOST_GAP for width in widths[1:])))
    lines = [_line(table[0], widths, "bold")]
    for row, host in zip(table[1:], hosts, strict=True):
        lines.append(_line(row, widths, "red" if host["lost_workers"] or host["saturated"] else ""))
    words = start_skew(summary)
    return [*lines, Text(f"  {words}", style="dim")] if words else lines


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    name, *figures = cells
    if len(name) > widths[0]:
        # Of a long name it is the end that tells it from others.
        name = f"  …{name[len(name) - widths[0] + 3 :]}"
    text = f"{name:{widths[0]}}" + "".join(
        f"{figure:>{width + _HOST_GAP}}" for figure, width in zip(figures, widths[1:], strict=True)
    )
    return Text(text, style=style)


_EVERYWHERE = {"TCP", "upgrade"}
"""Phases that every opening has; of these alone the connect time tells enough."""


_COLUMNS = {"50 %": "p50", "99 %": "p99", "slowest": "max"}


def connect_phases(summary: dict[str, Any]) -> list[Text]:
    """Returns the table of the phases of opening, where there is more to it than a TCP connection and an upgrade."""
    found = {label: summary["opening"][key] for label, key in PHASES.items() if summary["opening"][key] is not None}
    if found.keys() <= _EVERYWHERE:
        return []
    head = f"{'opening':{LABEL}}{'count':>9}" + "".join(f"{label:>12}" for label in _COLUMNS)
    lines = [Text(head, style="bold")]
    resumed = summary["connections"]["tls_resumed"]
    for label, stats in found.items():
        times = "".join(f"{format_duration(stats[key]):>12}" for key in _COLUMNS.values())
        note = f"   {format_count(resumed)} resumed" if label == "TLS" and resumed else ""
        lines.append(Text(f"  {label:{LABEL - 2}}{format_count(stats['count']):>9}{times}{note}"))
    return lines


def threshold_lines(summary: dict[str, Any]) -> list[Text]:
    """Returns the lines: whether each check passed, its condition, and the value that was found."""
    lines: list[Text] = []
    for check in summary["verdict"]["checks"]:
        passed = check["passed"]
        asked, found = describe_condition(check), describe_value(check)
        words = f"{asked}: {found}" if found else asked
        head = f"  {'passed' if passed else 'failed'}  "
        lines += hanging_indent(head, words, style="green" if passed else "red")
    return lines
