"""Places of values in messages of the target, as captures and checks name them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ws_load_test.importing.kinds import escaped
from ws_load_test.plan.codecs.json_path import json_extractor
from ws_load_test.plan.correlation import regex_extractor

if TYPE_CHECKING:
    from ws_load_test.importing.values import Content, Value

LONGEST_CONTEXT = 24
"""Characters before a value by which a pattern finds it."""


def place_of(content: Content, value: Value) -> str | None:
    """Returns the place of a value: ``json:PATH`` or a pattern with a group; None if neither finds it."""
    if value.path:
        try:
            read = json_extractor(value.path)
        except ValueError:
            return None
        return f"json:{value.path}" if read(content.payload) == value.text else None
    if content.text is None:
        return None
    pattern = before(content, value) + _group(content.text, value)
    try:
        found = regex_extractor(pattern)(content.payload)
    except ValueError:
        return None
    return f"regex:{pattern}" if found == value.text.encode() else None


def has_place(content: Content, place: str) -> bool:
    """Returns True if a message has a value at a place."""
    kind, _, rule = place.partition(":")
    read = json_extractor(rule) if kind == "json" else regex_extractor(rule)
    return read(content.payload) is not None


def check_of(content: Content, value: Value, wanted: str) -> str:
    """Returns the check that a value is `wanted`, which may have a field."""
    if value.path:
        return f"json:{value.path}={wanted}"
    text = content.text or ""
    following = text[value.end : value.end + 1]
    return f"regex:{before(content, value)}{wanted}{escaped(following) if following else '$'}"


def before(content: Content, value: Value) -> str:
    """Returns a pattern of the text that leads to a value."""
    text = content.text or ""
    lead = value.lead if value.lead < value.start else max(0, value.start - LONGEST_CONTEXT)
    lead = max(lead, value.start - 3 * LONGEST_CONTEXT)
    start = "^" if lead == 0 else "\\n" if value.kind == "word" and text[lead - 1] == "\n" else ""
    return start + escaped(text[lead : value.start])


def _group(text: str, value: Value) -> str:
    if re.fullmatch(r"-?\d+", value.text):
        return "(\\d+)" if value.text.isdigit() else "(-?\\d+)"
    following = text[value.end : value.end + 1]
    if value.kind == "string" or following in {'"', "\\", "'"}:
        return '([^"\\\\]+)'
    return "([^\\n\\x00]+)" if " " in value.text else "([^\\s,;\\x00]+)"
