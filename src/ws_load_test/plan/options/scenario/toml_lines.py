"""Lines of a TOML document: where each key and each element stands, for errors that name the line.

The reader of the standard library keeps no places. This scanner takes a document that it has read, so it only finds
places: headers, keys, and the ends of values. It decides nothing about their contents but the names of keys.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Names of keys and numbers of elements from the top: ``("role", "writer", "steps", 2, "await")``."""
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
"""Spaces, line ends and comments, which may stand between the elements of an array."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|(?!""").)*"""(?:"{1,2}(?!"))?'
    r"|'''(?:(?!''').)*'''(?:'{1,2}(?!'))?"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
"""A string of any of the four kinds (TOML 1.0, section String); one of several lines may end with quotation marks."""
_SCALAR = re.compile(r"[^,\]}#\n]*")


def lines_of(document: str) -> dict[Path, int]:
    """Returns the line, from 1, of every table, key and element of a document that is valid TOML.

    Of a key that is written in several places, as a table may be, the first counts.
    """
    scanner = _Scanner(document)
    scanner.scan()
    return scanner.lines


class _Scanner:
    """One pass over a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.lines: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}
        """Number of the last element of each array of tables."""
        self._seen_to, self._line = 0, 1

    def scan(self) -> None:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> Path:
        """Reads ``[a.b]`` or ``[[a.b]]``; returns the place of the table, with the number of each element."""
        line = self._line_number()
        self._at += brackets
        names = self._key()
        self._skip(_SPACE)
        self._at += brackets
        table: Path = ()
        for number, name in enumerate(names, 1):
            table = (*table, name)
            self._note(table, line)
            if brackets == 2 and number == len(names):
                self._elements[table] = self._elements.get(table, -1) + 1
            if table in self._elements:
                table = (*table, self._elements[table])
                self._note(table, line)
        return table

    def _pair(self, table: Path) -> None:
        """Reads ``key = value``."""
        line = self._line_number()
        place = table
        for name in self._key():
            place = (*place, name)
            self._note(place, line)
        self._skip(_SPACE)
        self._at += 1
        self._skip(_SPACE)
        self._value(place)

    def _key(self) -> list[str]:
        """Reads the names of a key, which dots separate."""
        import tomllib  # noqa: PLC0415 - of a file with problems alone

        names = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                found = self._skip(_STRING)
                names.append(next(iter(tomllib.loads(f"{found} = 0"))))
            else:
                names.append(self._skip(_BARE))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, place: Path) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._array(place)
        elif first == "{":
            self._inline_table(place)
        else:
            self._skip(_SCALAR)

    def _array(self, place: Path) -> None:
        self._at += 1
        number = 0
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "]":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._note((*place, number), self._line_number())
            self._value((*place, number))
            number += 1

    def _inline_table(self, place: Path) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(place)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, f"no {pattern.pattern} at {self._at}"
        self._at = found.end()
        return found[0]

    def _note(self, place: Path, line: int) -> None:
        self.lines.setdefault(place, line)

    def _line_number(self) -> int:
        self._line += self._text.count("\n", self._seen_to, self._at)
        self._seen_to = self._at
        return self._line
