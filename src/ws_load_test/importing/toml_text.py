"""TOML as people write it: JSON in literal strings, several lines in several lines, escapes only where they must be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST_LINE = 118
"""Characters of a line of a list, above which it takes one line for each item."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NOT_LITERAL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f']")
_NOT_LITERAL_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|'''|'$")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_ESCAPED = re.compile(r"[\"\\\x00-\x1f\x7f]")


def string(text: str) -> str:
    """Returns a string: literal if it can be, over several lines if it has some, else with escapes."""
    if not _NOT_LITERAL.search(text):
        return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
    if "\n" in text.strip("\n") and not _NOT_LITERAL_LINES.search(text):
        # A line end behind the opening quotes is no part of the string.
        return f"'''\n{text}'''"
    return _basic(text)


def _basic(text: str) -> str:
    def escape(found: re.Match[str]) -> str:
        return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"

    return f'"{_ESCAPED.sub(escape, text)}"'


def key(name: str) -> str:
    """Returns a key, in quotes if it must be."""
    return name if _BARE_KEY.fullmatch(name) else _basic(name)


def value(item: str | float | bool | Sequence[str] | Mapping[str, str]) -> str:  # noqa: FBT001 - a value of TOML
    """Returns a string, a number, a list of strings, or a table of strings on one line."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return f"{item:g}" if isinstance(item, float) else str(item)
    if isinstance(item, str):
        return string(item)
    if isinstance(item, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {string(one)}" for name, one in item.items()) + " }"
    items = [string(one) for one in item]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= LONGEST_LINE else "[\n" + "".join(f"  {one},\n" for one in items) + "]"


def comment(text: str) -> str:
    """Returns a comment on one line."""
    return "# " + re.sub(r"[\x00-\x1f\x7f\s]+", " ", text).strip()
