"""Layout of text: wrapping, hanging indents, columns."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.report.content.labeled import LabeledText, unbroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


WIDTH = 80
"""Columns of every report: the width of a terminal without a setting, and of most log viewers."""
LABEL = 14
"""Columns of the labels at the left."""
_NARROWEST = 20
"""Columns of the text beside a label, however long the label is."""


def all_wrapped(texts: Iterable[LabeledText]) -> list[Text]:
    """Returns several labelled texts, each on as many lines as it needs."""
    return [line for one in texts for line in wrapped(*one)]


def wrapped(label: str, text: str, style: str = "") -> list[Text]:
    """Returns a labelled text on as many lines as it needs."""
    return hanging_indent(f"{label:{LABEL}}", text, style)


def hanging_indent(head: str, text: str, style: str) -> list[Text]:
    """Returns a label and the text beside it, on as many lines as it needs; the style is the label's."""
    parts: Iterable[str] = textwrap.wrap(
        unbroken(text), max(_NARROWEST, WIDTH - len(head)), break_on_hyphens=False
    ) or [""]
    return [
        Text(" " * len(head) if number else head, style="" if number else style).append(
            part.replace("\N{NO-BREAK SPACE}", " "), style="default"
        )
        for number, part in enumerate(parts)
    ]


def dim_notes(notes: Iterable[str]) -> list[Text]:
    """Returns notes under a table, each on as many lines as it needs."""
    indent = " " * 2
    return [
        Text(line, style="dim")
        for note in notes
        for line in textwrap.wrap(note, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    ]


def two_columns(title: str, rows: Sequence[tuple[str, str, str]]) -> list[Text]:
    """Returns rows of label, value and style under a title."""
    labels = max(len(label) for label, _, _ in rows) + 3
    values = max(len(value) for _, value, _ in rows)
    lines = [Text(title, style="bold")]
    lines += [Text(f"  {label:{labels}}{value:>{values}}", style=style) for label, value, style in rows]
    return lines


def side_by_side(left: list[Text], right: list[Text], gap: int = 3) -> list[Text]:
    """Returns two blocks of lines next to each other."""
    width = max((line.cell_len for line in left), default=0) + gap
    lines = []
    for one, other in itertools.zip_longest(left, right):
        line = Text()
        if one is not None:
            line.append_text(one)
        if other is not None:
            line.append(" " * (width - line.cell_len))
            line.append_text(other)
        lines.append(line)
    return lines
