"""Lines of the live view: a label and its parts, a wrapped sentence, a chart, each no wider than the terminal."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.terminal.glyphs import spark, to_encodable
from ws_load_test.report.terminal.layout import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


NARROW = 60
"""Columns below which labels and gaps are short."""
MAX_SENTENCE_LINES = 3
"""Most lines of one sentence; the rest is cut off."""
Part = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page."""

    rank: int
    """Lines of the highest rank are left out first."""
    text: Text


@dataclass(frozen=True, slots=True)
class Viewport:
    """Size and encoding of the terminal."""

    width: int = 80
    height: int = 24
    encoding: str = "utf-8"
    chart_rows: int = 1
    """Rows of each chart over time."""

    @property
    def label(self) -> int:
        """Columns of the labels at the left."""
        return LABEL if self.width >= NARROW else LABEL - 2

    @property
    def gap(self) -> str:
        """Blanks between the parts of a line."""
        return "   " if self.width >= NARROW else " "

    @property
    def content_width(self) -> int:
        """Columns beside the label."""
        return self.width - self.label


def label_text(label: str, viewport: Viewport, style: str = "") -> Text:
    """Returns a label, padded to the columns that labels have."""
    return Text(f"{label:{viewport.label}}", style=style)


def row(label: str, parts: Sequence[Part], viewport: Viewport) -> Text:
    """Returns a label and as many of the parts as fit; the first one always, cut if need be."""
    text = Text().append(f"{label:{viewport.label}}", style="bold" if not label.startswith(" ") else "")
    for index, (part, style) in enumerate(parts):
        gap = viewport.gap if index else ""
        if index and text.cell_len + len(gap) + len(part) > viewport.width:
            break
        text.append(gap).append(part, style=style or "default")
    return text


def wrapped_rows(rank: int, label: str, words: str, style: str, viewport: Viewport) -> list[Line]:
    """Returns a label and a sentence beside it, on several lines, of which the first one matters most."""
    width = viewport.content_width
    parts = textwrap.wrap(words, width, max_lines=MAX_SENTENCE_LINES, placeholder="…", break_on_hyphens=False) or [""]
    return [
        Line(rank + 6 if index else rank, row("" if index else label, [(part, style)], viewport))
        for index, part in enumerate(parts)
    ]


def chart_texts(
    label: str, values: Iterable[float | None], show: Callable[[Any], str], viewport: Viewport
) -> list[Text]:
    """Returns the last values as columns in proportion to the highest of them, which is written behind them.

    The columns are as many rows high as the viewport has for a chart.
    """
    known = [*values]
    note, shown, highest = "", known, None
    # A shorter note leaves room for more columns, whose highest may need a longer note again: the first fit is taken.
    for start in range(max(0, len(known) - viewport.content_width), len(known) + 1):
        shown = known[start:]
        highest = max((value for value in shown if value is not None), default=None)
        note = f"  to {NO_VALUE if highest is None else show(highest)}"
        if len(shown) + len(note) <= viewport.content_width:
            break
    lines = []
    for row in reversed(range(viewport.chart_rows)):
        is_top = row + 1 == viewport.chart_rows
        text = label_text(label if is_top else "", viewport)
        for value in shown:
            height = value / highest * viewport.chart_rows - row if value and highest else None
            # A value above zero is never drawn as nothing, by its lowest row.
            is_drawn = height is not None and (height > 0 or not row)
            text.append(spark(min(1.0, height) if height is not None and is_drawn else None, viewport.encoding), "cyan")
        lines.append(text.append(note, style="dim") if shown and is_top else text)
    return lines


def cut(text: Text, viewport: Viewport) -> Text:
    """Returns a text in characters that the terminal can show, and no wider than it."""
    if text.cell_len > viewport.width:
        text.truncate(viewport.width - 1)
        text.append("…", style="dim")
    # The replacement has the same length, so the styles stay in place.
    text.plain = to_encodable(text.plain, viewport.encoding)
    text.no_wrap = True
    return text
