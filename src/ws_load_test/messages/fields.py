"""Fields in braces, such as ``{seq}``: names, parsing, longest value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Row: TypeAlias = Sequence[str]
"""A row of a feed: one text for each of its columns."""


NAMES = ("seq", "connection", "uuid", "now_ms", "random", "int")


_EXAMPLES = {"random": "random:8", "int": "int:1..100"}


LONGEST_RANDOM = 1 << 20


LARGEST_INT = 1 << 63


_DIGITS_OF_A_NUMBER = 19
"""Of the largest number that 63 bits hold."""


_LENGTHS = {"seq": _DIGITS_OF_A_NUMBER, "connection": _DIGITS_OF_A_NUMBER, "uuid": 36, "now_ms": 13}


_RANGE = re.compile(r"([+-]?\d{1,20})\.\.([+-]?\d{1,20})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TemplateField:
    """A place in a text that is filled anew each time."""

    name: str
    """One of `NAMES`, or ``feed``."""
    size: int = 0
    """Of ``random``: letters."""
    low: int = 0
    """Of ``int``: the smallest value."""
    high: int = 0
    """Of ``int``: the largest value."""
    column: str = ""
    """Of ``feed``."""
    as_json: bool = False
    """Of ``feed``: quoted as a JSON string."""

    @property
    def label(self) -> str:
        """The field's name as a plan tells it: ``seq``, ``feed.token``."""
        return f"feed.{self.column}" if self.name == "feed" else self.name

    @property
    def longest_bytes(self) -> int | None:
        """The most that it can become; None where a feed decides."""
        if self.name == "random":
            return self.size
        if self.name == "int":
            return max(len(str(self.low)), len(str(self.high)))
        return _LENGTHS.get(self.name)


def _random_field(written: str, argument: str) -> TemplateField:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 9 and 1 <= int(argument) <= LONGEST_RANDOM):
        raise ValueError(f"{written}: write a number of letters from 1 to {LONGEST_RANDOM}, for example {{random:8}}")
    return TemplateField("random", size=int(argument))


def _int_field(written: str, argument: str) -> TemplateField:
    found = _RANGE.fullmatch(argument)
    if not found:
        raise ValueError(f"{written}: write the smallest and the largest number, for example {{int:1..100}}")
    low, high = int(found[1]), int(found[2])
    if low > high:
        raise ValueError(f"{written}: the smaller number comes first; write {{int:{high}..{low}}}")
    if low < -LARGEST_INT or high >= LARGEST_INT:
        raise ValueError(f"{written}: numbers of more than 64 bits are not made")
    return TemplateField("int", low=low, high=high)
