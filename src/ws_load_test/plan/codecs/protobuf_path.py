"""Values in Protocol Buffers messages by field numbers: ``protobuf:1.3``, without a schema.

The wire format is that of protobuf.dev, "Encoding": a message is a row of fields, each a tag (number << 3 | wire type)
and its content. A field that comes several times has its last value; nested messages that do are merged. The types are
in the schema alone, so a varint and a fixed number are read as unsigned, and bytes as text where they are UTF-8.
"""

from __future__ import annotations

import re

from ws_load_test.plan.codecs.codec import Codec, ValueReader, bytes_text

LARGEST_FIELD_NUMBER = (1 << 29) - 1
"""Largest number of a field, as the protocol has it."""
_LONGEST_VARINT_BYTES = 10
"""Bytes of the longest varint: 64 bits, of which each byte has 7."""
_LAST_BYTE = 0x7F
"""Largest byte that ends a varint: greater ones have another behind them."""
_UINT64 = (1 << 64) - 1
_LARGEST_DEPTH = 100
"""Groups within groups that are skipped, as parsers of the protocol bound them by default."""
_VARINT, _FIXED64, _LENGTH_DELIMITED, _GROUP, _END_OF_GROUP, _FIXED32 = range(6)
_STEP = re.compile(r"([1-9]\d{0,8})(?:\[(\d{1,9})\])?")


class _MalformedError(Exception):
    """A payload that is no message of the protocol."""


def protobuf_extractor(path: str) -> ValueReader:
    """Returns what finds the value at field numbers: ``1.3`` is field 3 of the message in field 1, as text.

    ``4[0]`` is the first of a repeated field 4; a number alone means the last one, as for a field that is set twice.

    Raises:
        ValueError: It is no path.
    """
    steps = _parse(path)
    *way, (last, place) = steps

    def read(payload: bytes) -> str | None:
        try:
            for number, at in way:
                parts = [part for part in _occurrences(payload, number) if type(part) is bytes]
                payload = b"".join(parts) if at is None else parts[at]
            values = _occurrences(payload, last)
            value = values[-1 if place is None else place]
        except (_MalformedError, IndexError):
            return None
        return bytes_text(value) if type(value) is bytes else str(value)

    return read


def _parse(path: str) -> list[tuple[int, int | None]]:
    """Returns field numbers, and the place in a repeated field or None."""
    found = [_STEP.fullmatch(step) for step in path.split(".")]
    steps = [(int(one[1]), None if one[2] is None else int(one[2])) for one in found if one is not None]
    if len(steps) < len(found) or any(number > LARGEST_FIELD_NUMBER for number, _ in steps):
        raise ValueError(f'"{path}" is no path of field numbers; write for example protobuf:1 or protobuf:1.3')
    return steps


def _occurrences(message: bytes, wanted: int) -> list[int | bytes]:
    """Returns all contents of a field of a message, in order.

    Raises:
        _MalformedError: The message is none.
        IndexError: It is cut off.
    """
    found: list[int | bytes] = []
    open_groups: list[int] = []
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= LARGEST_FIELD_NUMBER:
            raise _MalformedError
        value: int | bytes
        if wire_type == _VARINT:
            value, at = _varint(message, at)
        elif wire_type == _LENGTH_DELIMITED:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
            value, at = int.from_bytes(message[at : at + size], "little"), at + size
        else:
            _turn_group(open_groups, number, wire_type)
            continue
        if at > end:
            raise _MalformedError
        if number == wanted and not open_groups:
            found.append(value)
    if open_groups:
        raise _MalformedError
    return found


def _turn_group(open_groups: list[int], number: int, wire_type: int) -> None:
    """Opens or closes a group, the former kind of nested message, whose fields are not those of the message.

    Raises:
        _MalformedError: It is the end of another group, a group too deep, or no wire type.
    """
    if wire_type == _GROUP and len(open_groups) < _LARGEST_DEPTH:
        open_groups.append(number)
    elif wire_type == _END_OF_GROUP and open_groups and open_groups[-1] == number:
        open_groups.pop()
    else:
        raise _MalformedError


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Returns the varint at a place, of 64 bits, and the place behind it.

    Raises:
        _MalformedError: It is cut off, or too long.
        IndexError: Nothing is there.
    """
    first = message[at]
    if first <= _LAST_BYTE:
        # Most are of one byte.
        return first, at + 1
    value = shift = 0
    for byte in message[at : at + _LONGEST_VARINT_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte <= _LAST_BYTE:
            return value & _UINT64, at
        shift += 7
    raise _MalformedError


CODEC = Codec(place="NUMBERS", reader=protobuf_extractor, example="")
