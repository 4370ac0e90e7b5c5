"""Values in MessagePack messages: ``msgpack:data.items[0].id``."""

from __future__ import annotations

from typing import Any

import msgspec

from ws_load_test.plan.codecs.codec import Codec, ValueReader, value_text
from ws_load_test.plan.codecs.names_and_places import follow, leading_names, nested_type, parse_path

_NO_VALUE = (msgspec.DecodeError, UnicodeDecodeError, AttributeError, LookupError, TypeError, RecursionError)
"""Errors of reading a payload that has no value at the path; too deep a nesting is one."""


def msgpack_extractor(path: str) -> ValueReader:
    """Returns what finds the value at a path of names and places, as text.

    A name finds a text key of a map; one of digits finds a key that is a number as well. Numbers are written as JSON
    writes them, binary data as text where it is UTF-8, else as hexadecimal digits. What is beside the path is skipped,
    unless the maps have keys that are no texts: then the message is decoded whole.

    Raises:
        ValueError: It is no path.
    """
    steps = parse_path(path, "msgpack")
    names = leading_names(steps)
    decode = msgspec.msgpack.Decoder(nested_type(names)).decode
    decode_all = msgspec.msgpack.Decoder().decode
    depth, rest = len(names), steps[len(names) :]
    by_number = any(_is_number(step) for step in steps)

    def value_of(payload: bytes) -> Any:
        if by_number:
            return _follow(decode_all(payload), steps)
        try:
            value = decode(payload)
        except msgspec.ValidationError:
            # A key on the way is no text, or a value no map.
            return _follow(decode_all(payload), steps)
        for _ in range(depth):
            value = value.value
        return follow(value, rest) if rest else value

    def read(payload: bytes) -> str | None:
        try:
            value = value_of(payload)
        except _NO_VALUE:
            return None
        return value if type(value) is str else value_text(value)

    return read


def _is_number(step: str | int) -> bool:
    return isinstance(step, str) and step.isdecimal() and step.isascii()


def _follow(value: Any, steps: list[str | int]) -> Any:
    """Returns what the steps lead to, where maps may have numbers for keys.

    Raises:
        LookupError: They lead nowhere.
        TypeError: A value on the way has no names, or no places.
    """
    for step in steps:
        by_number = _is_number(step) and type(value) is dict and step not in value
        value = value[int(step)] if by_number else follow(value, [step])
    return value


CODEC = Codec(place="PATH", reader=msgpack_extractor, example="")
