"""Texts with fields: read once, rendered for each message or each connection.

============== ====================================================================================================
``{seq}``        the number of the message, from 0, unique over the run; outside messages, that of the connection
``{connection}`` the number of the connection in the run, from 0
``{uuid}``       a random UUID (RFC 9562, version 4), another one in every run
``{now_ms}``     wall clock: milliseconds since 1970
``{random:8}``   8 random ASCII letters and digits; the same ones in every run with as many workers
``{int:1..100}`` a whole number, both ends included, all equally likely; the same ones in every run
``{feed.name}``  the value of the feed's column "name"
``{feed.name:json}`` the same as a JSON string, quotes included, whatever it holds
============== ====================================================================================================

Only a known field's name in braces is a field. Every other brace is text, so that JSON needs no escaping:
``{"id": {seq}}``. A space keeps a word in braces from being a field: ``{ uuid }``. A value is put in as it is: one
with quotes breaks the JSON around it unless ``:json`` is asked for.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from ws_load_test.messages.fields import _EXAMPLES, NAMES, Row, TemplateField, _int_field, _random_field

if TYPE_CHECKING:
    from ws_load_test.messages.field_values import FieldValues

Renderer: TypeAlias = Callable[[int, int, Row], str]
"""Takes the number of the message, the number of the connection and a row."""
PayloadRenderer: TypeAlias = Callable[[int, int, Row], bytes]
"""The same for a payload."""

_IN_BRACES = re.compile(r"\{(?:feed\.(?P<column>[^{}]+)|(?P<name>[A-Za-z_][\w.-]*)(?::(?P<argument>[^{}\s\"]*))?)\}")
_NAME = re.compile(r"[^\W\d_]+(?:[ _:.-]?[^\W\d_]+)*\d{0,3}")
"""What looks like the name of a column."""


@dataclass(frozen=True, slots=True)
class SuspectField:
    """Something that is sent as it is, although it looks as if a field had been meant."""

    written: str
    meant: str | None
    """The field that it might be."""

    def __str__(self) -> str:
        return f"{self.written} is sent as it is" + (f"; did you mean {self.meant}?" if self.meant else "")


class Template:
    """A text and the fields in it."""

    def __init__(self, text: str, columns: Collection[str] | None = None) -> None:
        """Reads a text; `columns` are those of the feed, None where there is no feed."""
        self.text = text
        self._columns = columns
        self.parts: list[str | TemplateField] = []
        """What is sent as it is, and what is filled, in order."""
        problems: dict[str, None] = {}
        suspicious: dict[SuspectField, None] = {}
        literal, at = "", 0
        for found in _IN_BRACES.finditer(text):
            literal += text[at : found.start()]
            at = found.end()
            try:
                part: TemplateField | SuspectField | None = self._field(found)
            except ValueError as error:
                problems[str(error)] = None
                part = None
            if isinstance(part, TemplateField):
                self.parts += [literal, part] if literal else [part]
                literal = ""
                continue
            literal += found[0]
            if part is not None:
                suspicious[part] = None
        literal += text[at:]
        if literal:
            self.parts.append(literal)
        self.problems = tuple(problems)
        """What is wrong with its fields, one sentence each."""
        self.suspicious = tuple(suspicious)
        """What is sent as it is, although it looks like a field."""
        self.fields = tuple(part for part in self.parts if isinstance(part, TemplateField))

    @property
    def varies(self) -> bool:
        """Whether it has fields at all."""
        return bool(self.fields)

    @property
    def longest_bytes(self) -> int | None:
        """The most that it can become in UTF-8; None where a feed decides."""
        total = 0
        for part in self.parts:
            length = len(part.encode()) if isinstance(part, str) else part.longest_bytes
            if length is None:
                return None
            total += length
        return total

    def compile(self, values: FieldValues) -> Renderer:
        """What renders it: a function made for this text, so that no loop over its parts is left."""
        return cast("Renderer", self._compile(values, "lambda number, connection, row: ''"))

    def compile_bytes(self, values: FieldValues) -> PayloadRenderer:
        """What renders it in UTF-8."""
        return cast("PayloadRenderer", self._compile(values, "lambda number, connection, row: ''.encode()"))

    def _compile(self, values: FieldValues, source: str) -> object:
        """A function with the text in place of its ``''``.

        The text never becomes source code: it is put into the syntax tree as constants.
        """
        pieces: list[ast.expr] = [
            ast.Constant(part)
            if isinstance(part, str)
            else ast.FormattedValue(ast.parse(values.expression(part), mode="eval").body, -1)
            for part in self.parts
        ]
        tree = _WithText(ast.JoinedStr(pieces)).visit(ast.parse(source, mode="eval"))
        code = compile(ast.fix_missing_locations(tree), "<template>", "eval")
        return eval(code, values.names)  # noqa: S307 - made of constants and of Values' expressions

    def render(self, values: FieldValues, connection: int = 0, row: Row = ()) -> str:
        """The text for one connection."""
        return self.compile(values)(connection, connection, row)

    def _field(self, found: re.Match[str]) -> TemplateField | SuspectField:
        """What stands in a pair of braces; raises ValueError with what to write instead."""
        written, name, argument, column = found[0], found["name"], found["argument"], found["column"]
        if column is not None:
            return self._feed_field(written, column)
        if name in _EXAMPLES:
            if argument is None:
                return SuspectField(written, f"{{{_EXAMPLES[name]}}}")
            return _random_field(written, argument) if name == "random" else _int_field(written, argument)
        if name in NAMES:
            if argument is not None:
                raise ValueError(f"{written}: {name} takes nothing behind a colon; write {{{name}}}")
            return TemplateField(name)
        return SuspectField(written, self._meant(name))

    def _feed_field(self, written: str, column: str) -> TemplateField:
        if self._columns is None:
            raise ValueError(f"{written} needs a feed; add --feed FILE")
        if column in self._columns:
            return TemplateField("feed", column=column)
        plain = column.removesuffix(":json")
        if plain != column and plain in self._columns:
            return TemplateField("feed", column=plain, as_json=True)
        near = difflib.get_close_matches(plain, self._columns, n=1)
        hint = f"did you mean {{feed.{near[0]}}}?" if near else self._names()
        raise ValueError(f"{written}: the feed has no such column; {hint}")

    def _names(self) -> str:
        # A file without a line of names has a row of values there, which may be secrets.
        if all(_NAME.fullmatch(column) for column in self._columns or ()):
            return f"it has {', '.join(self._columns or ())}"
        return "its first line must name the columns"

    def _meant(self, name: str) -> str | None:
        known = [*NAMES, *(f"feed.{column}" for column in self._columns or ())]
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        return f"{{{_EXAMPLES.get(near[0], near[0])}}}" if near else None


class _WithText(ast.NodeTransformer):
    """Puts a text in place of the empty one."""

    def __init__(self, text: ast.JoinedStr) -> None:
        self._text = text

    def visit_Constant(self, node: ast.Constant) -> ast.expr:  # noqa: ARG002
        return self._text
