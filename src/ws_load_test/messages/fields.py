"""Kinds of message fields, such as ``{seq}``: one class each, with its name, parser, size and Python expression.

A new field is a class here and its line in `FIELD_KINDS`; templates, size estimates, the checks of a plan,
redaction and the tables of the help page and of the docs (`describe_fields`) follow.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from ws_load_test.messages.marker import MARKER_BYTES
from ws_load_test.messages.named_values import (
    CapturedValue,
    EnvironmentVariable,
    JsonCapturedValue,
    JsonEnvironmentVariable,
)
from ws_load_test.messages.padded_number import COUNTER_DIGITS, PaddedMessageNumber
from ws_load_test.messages.publication import PUBLICATION, Publication
from ws_load_test.messages.random_values import text_blocks, uuid_blocks
from ws_load_test.messages.template_field import FieldScope, FieldText, PlainField, TemplateField
from ws_load_test.messages.trace_context import Traceparent
from ws_load_test.messages.wall_clock import WallClockIso, WallClockS

MAX_RANDOM_SIZE = 1 << 20
"""Characters of the longest ``{random:N}``: beyond 1 MiB, ``--size`` makes contents at less cost."""
INT_END = 1 << 63
"""End of the integers that are made, -INT_END included and INT_END not: those of a signed 64-bit number."""
SCALED_INTS = 1 << 32
"""Size of the largest range of integers that is drawn by scaling a random fraction of 53 bits.

In so small a range, scaling favors no number by more than one in two million, and takes 0.1 µs, where
`Random.randint` takes 0.27 µs.
"""
MAX_ROOM_NAME_BYTES = 80
"""Bytes of the longest name of a room: as many as a line of a report has room for."""
_UUID_CHARACTERS = 36
_EPOCH_MS_DIGITS = 13
"""Digits of the milliseconds since 1970, until the year 2286."""
_INT_RANGE = re.compile(r"([+-]?\d{1,20})\.\.([+-]?\d{1,20})", re.ASCII)
_COLUMN_NAME = re.compile(r"[^\W\d_]+(?:[ _:.-]?[^\W\d_]+)*\d{0,3}")
"""Words with a short number at most: a column's name, and not a value such as a token."""


class MessageNumber(PlainField):
    """``{seq}``."""

    __slots__ = ()

    name = "seq"
    example = "{seq}"
    help = "number of the message, from 0, unique in the run; in a URL or header, number of the connection"

    @property
    def max_bytes(self) -> int:
        """Digits of the largest number."""
        return COUNTER_DIGITS

    def expression(self, scope: FieldScope) -> str:  # noqa: ARG002
        """The number that the renderer gets."""
        return "number"

    @classmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Reads the number of digits, if there is one. Raises ValueError if it is none from 1 to 19."""
        return cls() if text.argument is None else PaddedMessageNumber.parse(text)


class ConnectionNumber(PlainField):
    """``{connection}``."""

    __slots__ = ()

    name = "connection"
    example = "{connection}"
    help = "number of the connection in the run, from 0"
    per_connection = True

    @property
    def max_bytes(self) -> int:
        """Digits of the largest number."""
        return COUNTER_DIGITS

    def expression(self, scope: FieldScope) -> str:  # noqa: ARG002
        """The number that the renderer gets."""
        return "connection"


class RandomUuid(PlainField):
    """``{uuid}``."""

    __slots__ = ()

    name = "uuid"
    example = "{uuid}"
    help = "random UUID (RFC 9562, version 4), different in every run"

    @property
    def max_bytes(self) -> int:
        """Characters of a UUID with its hyphens."""
        return _UUID_CHARACTERS

    def expression(self, scope: FieldScope) -> str:
        """A call that returns the next UUID."""
        return scope.bind("next_uuid", lambda: chain.from_iterable(uuid_blocks()).__next__) + "()"


class WallClockMs(PlainField):
    """``{now_ms}``."""

    __slots__ = ()

    name = "now_ms"
    example = "{now_ms}"
    help = "wall clock: milliseconds since 1970"

    @property
    def max_bytes(self) -> int:
        """Digits of the milliseconds since 1970."""
        return _EPOCH_MS_DIGITS

    def expression(self, scope: FieldScope) -> str:
        """A reading of the clock."""
        return scope.bind("time_ns", lambda: time.time_ns) + "() // 1_000_000"


@dataclass(frozen=True, slots=True)
class RandomText(TemplateField):
    """``{random:8}``."""

    size: int
    """Characters."""

    name = "random"
    example = "{random:8}"
    help = "8 random ASCII letters and digits, the same in every run with as many workers"
    needs_argument = True
    argument_pattern = r":\d+"

    @classmethod
    def parse(cls, text: FieldText) -> RandomText:
        """Reads the number of characters. Raises ValueError if it is not a number from 1 to `MAX_RANDOM_SIZE`."""
        size = text.argument or ""
        if not (size.isascii() and size.isdigit() and len(size) < 9 and 1 <= int(size) <= MAX_RANDOM_SIZE):
            raise ValueError(
                f"{text.written}: write a number of letters from 1 to {MAX_RANDOM_SIZE}, for example {cls.example}"
            )
        return cls(int(size))

    @property
    def max_bytes(self) -> int:
        """Every character takes a byte."""
        return self.size

    def expression(self, scope: FieldScope) -> str:
        """A call that returns the next text of this size."""
        random, size = scope.random, self.size
        return scope.bind(f"next_text_{size}", lambda: chain.from_iterable(text_blocks(random, size)).__next__) + "()"


@dataclass(frozen=True, slots=True)
class RandomInt(TemplateField):
    """``{int:1..100}``."""

    low: int
    """The smallest value."""
    high: int
    """The largest value."""

    name = "int"
    example = "{int:1..100}"
    help = "random integer from 1 to 100, all equally likely, the same in every run with as many workers"
    needs_argument = True
    argument_pattern = r":[+-]?\d+\.\.[+-]?\d+"

    @classmethod
    def parse(cls, text: FieldText) -> RandomInt:
        """Reads both ends. Raises ValueError if they are not integers of 64 bits in order."""
        ends = _INT_RANGE.fullmatch(text.argument or "")
        if not ends:
            raise ValueError(f"{text.written}: write the smallest and the largest number, for example {cls.example}")
        low, high = int(ends[1]), int(ends[2])
        if low > high:
            raise ValueError(f"{text.written}: the smaller number comes first; write {{int:{high}..{low}}}")
        if low < -INT_END or high >= INT_END:
            raise ValueError(f"{text.written}: numbers of more than 64 bits are not made")
        return cls(low, high)

    @property
    def max_bytes(self) -> int:
        """Characters of the longer end, its sign included."""
        return max(len(str(self.low)), len(str(self.high)))

    def expression(self, scope: FieldScope) -> str:
        """A draw: a scaled fraction where that is uniform enough, `Random.randint` otherwise."""
        random, count = scope.random, self.high - self.low + 1
        if count <= SCALED_INTS:
            return f"{self.low} + int({scope.bind('random', lambda: random.random)}() * {count})"
        return f"{scope.bind('randint', lambda: random.randint)}({self.low}, {self.high})"


@dataclass(frozen=True, slots=True)
class FeedColumn(TemplateField):
    """``{feed.COLUMN}``."""

    column_name: str

    name = "feed.COLUMN"
    example = "{feed.COLUMN}"
    help = "value of the feed's column COLUMN, as it is in the file"
    needs_argument = True

    @classmethod
    def pattern(cls) -> str:
        """Returns a regular expression of any column's field."""
        return r"feed\.[^{}]+"

    @classmethod
    def parse(cls, text: FieldText) -> TemplateField:
        """Finds the column; a ``:json`` that is no part of a column's name makes a `JsonFeedColumn`.

        Raises ValueError if there is no feed or no such column.
        """
        column, columns = text.argument or "", text.columns
        if columns is None:
            raise ValueError(f"{text.written} needs a feed; add --feed FILE")
        if column in columns:
            return FeedColumn(column)
        plain = column.removesuffix(":json")
        if plain != column and plain in columns:
            return JsonFeedColumn(plain)
        near = difflib.get_close_matches(plain, columns, n=1)
        hint = f"did you mean {{feed.{near[0]}}}?" if near else _describe_columns(columns)
        raise ValueError(f"{text.written}: the feed has no such column; {hint}")

    @property
    def label(self) -> str:
        """``feed.token``."""
        return f"feed.{self.column_name}"

    @property
    def column(self) -> str:
        """The column's name."""
        return self.column_name

    @property
    def max_bytes(self) -> None:
        """The feed decides."""
        return

    def expression(self, scope: FieldScope) -> str:
        """The column's text."""
        return f"row[{scope.column_index(self.column_name)}]"


class JsonFeedColumn(FeedColumn):
    """``{feed.COLUMN:json}``."""

    __slots__ = ()

    name = "feed.COLUMN:json"
    example = "{feed.COLUMN:json}"
    help = "the same as a JSON string, quotes included"

    def expression(self, scope: FieldScope) -> str:
        """The column's text, quoted and escaped."""
        return f"{scope.bind('to_json', lambda: json.dumps)}(row[{scope.column_index(self.column_name)}])"


class RoomName(PlainField):
    """``{room}``."""

    __slots__ = ()

    name = "room"
    example = "{room}"
    help = "room of a fan-out: that of the message in -m, that of the connection elsewhere"
    per_connection = True

    @property
    def max_bytes(self) -> int:
        """Bytes of the longest name that --rooms takes."""
        return MAX_ROOM_NAME_BYTES

    def expression(self, scope: FieldScope) -> str:
        """The room of the message that is rendered."""
        return scope.bind(PUBLICATION, Publication) + ".room"


class PublishMarker(PlainField):
    """``{marker}``."""

    __slots__ = ()

    name = "marker"
    example = "{marker}"
    help = "29 letters and digits by which a fan-out recognizes the deliveries of a message; in -m alone"

    @property
    def max_bytes(self) -> int:
        """Bytes of every marker."""
        return MARKER_BYTES

    def expression(self, scope: FieldScope) -> str:
        """The marker of the message that is rendered."""
        return scope.bind(PUBLICATION, Publication) + ".marker"


FIELD_KINDS: tuple[type[TemplateField], ...] = (
    MessageNumber,
    PaddedMessageNumber,
    ConnectionNumber,
    RandomUuid,
    WallClockMs,
    WallClockS,
    WallClockIso,
    RandomText,
    RandomInt,
    FeedColumn,
    JsonFeedColumn,
    RoomName,
    PublishMarker,
    Traceparent,
    EnvironmentVariable,
    JsonEnvironmentVariable,
    CapturedValue,
    JsonCapturedValue,
)
"""Every kind of field, in the order of the help page."""
FIELD = re.compile(rf"\{{(?:{'|'.join(dict.fromkeys(kind.pattern() for kind in FIELD_KINDS))})\}}")
"""A field in its braces, wherever text may have some. Its name is no secret, even if its value is."""


def field_kind(name: str) -> type[TemplateField] | None:
    """The kind with this name, or whose prefix a name begins with; None for an unknown name."""
    return next(
        (kind for kind in FIELD_KINDS if kind.name == name or (kind.prefix and name.startswith(kind.prefix))), None
    )


def closest_field(name: str, columns: Collection[str]) -> str | None:
    """The field, with its braces, whose name is most like an unknown name; None if none is like it."""
    examples = {kind.name: kind.example for kind in FIELD_KINDS if not (kind.prefix or issubclass(kind, FeedColumn))}
    examples |= {f"feed.{column}": f"{{feed.{column}}}" for column in columns}
    near = difflib.get_close_matches(name.lower(), examples, n=1, cutoff=0.5)
    return examples[near[0]] if near else None


def describe_fields() -> list[tuple[str, str]]:
    """Rows of the table of fields: each field as users write it, and its value in a few words."""
    return [(kind.example, kind.help) for kind in FIELD_KINDS]


def _describe_columns(columns: Collection[str]) -> str:
    # A file without a header has a row of values there, which may be secrets.
    if all(_COLUMN_NAME.fullmatch(column) for column in columns):
        return f"it has {', '.join(columns)}"
    return "its first line must name the columns"
