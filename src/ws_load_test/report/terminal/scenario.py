"""Scenario in the report at a terminal: its rows of the first screen, and the tables of steps and reactions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.sanitize import sanitize
from ws_load_test.report.content import scenario as content
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.terminal.layout import WIDTH, hanging_indent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.report.content.labeled import LabeledText

_GAP = 2
"""Spaces between columns."""
_SHORTEST_NAME = 10
"""Columns of a name, however wide the figures beside it are."""


def scenario_rows(summary: Summary) -> Iterator[LabeledText]:
    """Yields the rows of the first screen: the slowest steps, those that failed, the sessions, the reactions."""
    yield from content.slowest_steps(summary)
    yield from content.failed_steps(summary)
    yield from content.session_line(summary)
    yield from content.reaction_lines(summary)


def step_tables(summary: Summary) -> list[Text]:
    """Returns the table of the steps of each role, and what its sessions came to; nothing without a scenario."""
    if not summary.roles:
        return []
    roles = [
        (role, list(content.step_rows(role, steps)), list(content.role_notes(role, steps)))
        for role, steps in content.roles_with_steps(summary)
    ]
    cells = [row for _, rows, _ in roles for row, _ in rows]
    widths = _widths([content.STEP_HEADINGS, *((f"  {name}", *figures) for name, *figures in cells)])
    lines = [_line(content.STEP_HEADINGS, widths, "bold")]
    for role, rows, notes in roles:
        lines.append(Text(sanitize(role.name), style="bold"))
        lines += [_line((f"  {row[0]}", *row[1:]), widths, "yellow" if failed else "") for row, failed in rows]
        for words, is_bad in notes:
            lines += hanging_indent("  ", words, "") if not is_bad else _yellow(words)
    return lines


def reaction_table(summary: Summary) -> list[Text]:
    """Returns the table of reactions, and what is known of the clock by which ages are counted; nothing without any."""
    if not summary.on:
        return []
    rows = [content.reaction_cells(one, summary) for one in summary.on]
    # Columns in which no reaction has a value only take room.
    kept = [
        place
        for place in range(len(content.REACTION_HEADINGS))
        if place < content.ALWAYS_SHOWN or any(row[place] != NO_VALUE for row in rows)
    ]
    table = [[row[place] for place in kept] for row in (content.REACTION_HEADINGS, *rows)]
    table[1:] = [[f"  {name}", *figures] for name, *figures in table[1:]]
    widths = _widths(table)
    lines = [_line(table[0], widths, "bold")]
    for row, one in zip(table[1:], summary.on, strict=True):
        lines.append(_line(row, widths, "yellow" if content.reaction_troubles(one) else ""))
    notes = [line for note in content.reaction_notes(summary) for line in textwrap.wrap(note, WIDTH - 2)]
    return [*lines, *(Text(f"  {line}", style="dim") for line in notes)]


def _yellow(words: str) -> list[Text]:
    return [Text(f"  {line}", style="yellow") for line in textwrap.wrap(words, WIDTH - 2, break_on_hyphens=False)]


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    # Names give way: all the rest are figures.
    widths[0] = max(_SHORTEST_NAME, min(widths[0], WIDTH - sum(width + _GAP for width in widths[1:])))
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    name, *figures = cells
    if len(name) > widths[0]:
        name = f"{name[: widths[0] - 1]}…"
    text = f"{name:{widths[0]}}" + "".join(
        f"{figure:>{width + _GAP}}" for figure, width in zip(figures, widths[1:], strict=True)
    )
    return Text(text, style=style)
