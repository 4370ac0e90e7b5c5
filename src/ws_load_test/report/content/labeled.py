"""Lines of a report: labels and the text beside them, within 80 columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration

if TYPE_CHECKING:
    from ws_load_test.analysis.summary_times import TimeStats

NO_VALUE = "\N{EN DASH}"
"""Stands for a value that there is none of: an empty histogram's percentile, an unknown rate."""
_LONGEST_SENTENCE = 300
"""Letters of a foreign text that a report shows, about four lines of a terminal."""
_BRIEF = ("p50", "p99", "max")
"""Statistics of a histogram that is described in one line."""
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[nµm]?s|[kMGT]?B|%)(?!\w))")


class LabeledText(NamedTuple):
    """A text and its label, both without control characters; an empty label continues the one before."""

    label: str
    text: str
    style: str = ""
    """Style of the label, as rich names it: ``red``, ``yellow``."""


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Returns a count and its noun: ``1 fault``, ``1,200 faults``."""
    return f"{format_count(count)} {noun if count == 1 else plural or f'{noun}s'}"


def summarize_times(stats: TimeStats) -> str:
    """Returns times in a few words: ``p50 1.20 ms, p99 3 ms, max 4 ms``."""
    return ", ".join(f"{key} {format_duration(stats.value(key))}" for key in _BRIEF)


def sentence(text: str) -> str:
    """Returns a foreign text as one line of at most `_LONGEST_SENTENCE` letters, without control characters."""
    text = sanitize(" ".join(text.split()))
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[: _LONGEST_SENTENCE - 1]}…"


def unbroken(text: str) -> str:
    """Returns a text in which a number and its unit stay on one line."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)
