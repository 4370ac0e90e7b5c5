"""Lines of a report: labels, the text beside them, and blocks of rows, all within 80 columns."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration

NO_VALUE = "\N{EN DASH}"
_LONGEST_SENTENCE = 300
_SPREAD = {"50 %": "p50", "99 %": "p99", "slowest": "max"}


_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[nµm]?s|[kMGT]?B|%)(?!\w))")


class LabelledText(NamedTuple):
    """Something that is said, under a label, which is empty where it belongs to the one before; both already clean."""

    label: str
    text: str
    style: str = ""
    """The label's, as rich has it: ``red``, ``yellow``."""


def count_of(count: int, noun: str) -> str:
    """Returns a count and its noun: ``1 fault``, ``1,200 faults``."""
    return f"{format_count(count)} {noun}" if count == 1 else f"{format_count(count)} {noun}s"


def summarize_times(stats: dict[str, Any]) -> str:
    """Returns times in a few words: ``50 % 1.20 ms, 99 % 3 ms, slowest 4 ms``."""
    return ", ".join(f"{word} {format_duration(stats[key])}" for word, key in _SPREAD.items())


def sentence(text: str) -> str:
    """Returns somebody else's words as one line of reasonable length."""
    text = sanitize(" ".join(text.split()))
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[: _LONGEST_SENTENCE - 1]}…"


def unbroken(text: str) -> str:
    """Returns a text in which a number and its unit stay on one line."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)
