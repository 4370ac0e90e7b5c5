"""Lines of a report: labels, the text beside them, and blocks of rows, all within 80 columns."""

from __future__ import annotations

import itertools
import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from ws_load_test.common.units import show_count, show_duration
from ws_load_test.report.terminal.glyphs import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 80
LABEL = 14
"""Columns of the labels at the left."""
NOTHING = "\N{EN DASH}"
_LONGEST_SENTENCE = 300
_SPREAD = {"50 %": "p50", "99 %": "p99", "slowest": "max"}


_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[nµm]?s|[kMGT]?B|%)(?!\w))")


class Labelled(NamedTuple):
    """Something that is said, under a label, which is empty where it belongs to the one before; both already clean."""

    label: str
    text: str
    style: str = ""
    """The label's, as rich has it: ``red``, ``yellow``."""


def count_of(count: int, noun: str) -> str:
    """Returns a count and its noun: ``1 fault``, ``1,200 faults``."""
    return f"{show_count(count)} {noun}" if count == 1 else f"{show_count(count)} {noun}s"


def spread_of(stats: dict[str, Any]) -> str:
    """Returns times in a few words: ``50 % 1.20 ms, 99 % 3 ms, slowest 4 ms``."""
    return ", ".join(f"{word} {show_duration(stats[key])}" for word, key in _SPREAD.items())


def sentence(text: str) -> str:
    """Returns somebody else's words as one line of reasonable length."""
    text = clean(" ".join(text.split()))
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[: _LONGEST_SENTENCE - 1]}…"


def all_wrapped(said: Iterable[Labelled]) -> list[Text]:
    """Returns several labelled texts, each on as many lines as it needs."""
    return [line for one in said for line in wrapped(*one)]


def wrapped(label: str, text: str, style: str = "") -> list[Text]:
    """Returns a labelled text on as many lines as it needs."""
    return hanging(f"{label:{LABEL}}", text, style)


def unbroken(text: str) -> str:
    """Returns a text in which a number and its unit stay on one line."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)


def hanging(head: str, text: str, style: str) -> list[Text]:
    """Returns a label and the text beside it, on as many lines as it needs; the style is the label's."""
    parts: Iterable[str] = textwrap.wrap(unbroken(text), max(20, WIDTH - len(head)), break_on_hyphens=False) or [""]
    return [
        Text(" " * len(head) if number else head, style="" if number else style).append(
            part.replace("\N{NO-BREAK SPACE}", " "), style="default"
        )
        for number, part in enumerate(parts)
    ]


def pairs(title: str, rows: Sequence[tuple[str, str, str]]) -> list[Text]:
    """Returns rows of label, value and style under a title."""
    labels = max(len(label) for label, _, _ in rows) + 3
    values = max(len(value) for _, value, _ in rows)
    lines = [Text(title, style="bold")]
    lines += [Text(f"  {label:{labels}}{value:>{values}}", style=style) for label, value, style in rows]
    return lines


def beside(left: list[Text], right: list[Text], gap: int = 3) -> list[Text]:
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
