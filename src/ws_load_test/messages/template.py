"""Texts with fields: read once, rendered for each message or each connection.

Only the name of a known field (`fields.FIELD_KINDS`) in braces is a field. Every other brace is text, so that JSON
needs no escaping: ``{"id": {seq}}``. A space keeps a word in braces from being a field: ``{ uuid }``. A value is put in
as it is: one with quotes breaks the JSON around it unless ``:json`` follows the name of its column.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from ws_load_test.messages.fields import FeedColumn, closest_field, field_kind
from ws_load_test.messages.template_field import FieldText, Row, TemplateField

if TYPE_CHECKING:
    from ws_load_test.messages.field_values import FieldValues

Renderer: TypeAlias = Callable[[int, int, Row], str]
"""Takes the number of the message, the number of the connection and a row."""
PayloadRenderer: TypeAlias = Callable[[int, int, Row], bytes]
"""The same for a payload."""

BYTES_IN_TEXT = "surrogateescape"
"""Error handler of decoding and encoding (PEP 383): of a binary file with fields, each byte that is no UTF-8 becomes a
character that no text has, and the same byte again."""
_BYTE = re.compile("[\udc80-\udcff]")
_IN_BRACES = re.compile(r"\{(?:feed\.(?P<column>[^{}]+)|(?P<name>[A-Za-z_][\w.-]*)(?::(?P<argument>[^{}\s\"]*))?)\}")


@dataclass(frozen=True, slots=True)
class SuspectField:
    """A word in braces that is sent as it is, although it looks like a misspelled field."""

    written: str
    """With its braces."""
    meant: str | None
    """The most similar field; None if none is similar."""

    def __str__(self) -> str:
        return f"{self.written} is sent as it is" + (f"; did you mean {self.meant}?" if self.meant else "")


def template_text(payload: bytes) -> str:
    """Returns the text of a template; bytes that are no UTF-8 stand in it as `BYTES_IN_TEXT` has them."""
    return payload.decode(errors=BYTES_IN_TEXT)


class Template:
    """A text and the fields in it."""

    def __init__(self, text: str, columns: Collection[str] | None = None) -> None:
        """Reads a text; `columns` are those of the feed, None without a feed."""
        self.text = text
        self._columns = columns
        self.parts: list[str | TemplateField] = []
        """Literal texts and fields, in order."""
        problems: dict[str, None] = {}
        suspicious: dict[SuspectField, None] = {}
        literal, end = "", 0
        for braces in _IN_BRACES.finditer(text):
            literal += text[end : braces.start()]
            end = braces.end()
            try:
                part: TemplateField | SuspectField | None = self._field(braces)
            except ValueError as error:
                problems[str(error)] = None
                part = None
            if isinstance(part, TemplateField):
                self.parts += [literal, part] if literal else [part]
                literal = ""
                continue
            literal += braces[0]
            if part is not None:
                suspicious[part] = None
        literal += text[end:]
        if literal:
            self.parts.append(literal)
        self.problems = tuple(problems)
        """Errors in its fields, one sentence each."""
        self.suspicious = tuple(suspicious)
        """Words in braces that look like misspelled fields."""
        self.fields = tuple(part for part in self.parts if isinstance(part, TemplateField))

    @property
    def varies(self) -> bool:
        """True if it has fields."""
        return bool(self.fields)

    @property
    def max_bytes(self) -> int | None:
        """Bytes of the longest text in UTF-8; None if a feed decides."""
        total = 0
        for part in self.parts:
            length = len(part.encode(errors=BYTES_IN_TEXT)) if isinstance(part, str) else part.max_bytes
            if length is None:
                return None
            total += length
        return total

    def compile(self, values: FieldValues) -> Renderer:
        """Makes the function that renders it: one expression, without a loop over its parts."""
        return cast("Renderer", self._compile(values, "lambda number, connection, row: ''"))

    def compile_bytes(self, values: FieldValues) -> PayloadRenderer:
        """Makes the function that renders it in UTF-8, and bytes that are none as they were."""
        # Text alone is encoded without the handler, which takes 20 ns more for each message.
        errors = f"errors={BYTES_IN_TEXT!r}" if _BYTE.search(self.text) else ""
        return cast("PayloadRenderer", self._compile(values, f"lambda number, connection, row: ''.encode({errors})"))

    def _compile(self, values: FieldValues, source: str) -> object:
        """Makes a function from `source`, with the template in place of its ``''``.

        The literal texts never become source code: they enter the syntax tree as constants.
        """
        values_of_parts: list[ast.expr] = [
            ast.Constant(part)
            if isinstance(part, str)
            else ast.FormattedValue(ast.parse(values.expression(part), mode="eval").body, -1)
            for part in self.parts
        ]
        tree = _WithText(ast.JoinedStr(values_of_parts)).visit(ast.parse(source, mode="eval"))
        code = compile(ast.fix_missing_locations(tree), "<template>", "eval")
        return eval(code, values.names)  # noqa: S307 - made of constants and of the fields' expressions

    def render(self, values: FieldValues, connection: int = 0, row: Row = ()) -> str:
        """Renders the text for one connection."""
        return self.compile(values)(connection, connection, row)

    def _field(self, match: re.Match[str]) -> TemplateField | SuspectField:
        """Reads the content of a pair of braces. Raises ValueError with a sentence on what to write instead."""
        written, name, column = match[0], match["name"], match["column"]
        if column is not None:
            return FeedColumn.parse(FieldText(written, column, self._columns))
        kind = field_kind(name)
        if kind is None:
            return SuspectField(written, closest_field(name, self._columns or ()))
        if kind.prefix:
            return kind.parse(FieldText(written, written[1 + len(kind.prefix) : -1], self._columns))
        if kind.needs_argument and match["argument"] is None:
            return SuspectField(written, kind.example)
        return kind.parse(FieldText(written, match["argument"], self._columns))


class _WithText(ast.NodeTransformer):
    """Replaces the empty constant of a syntax tree by the template."""

    def __init__(self, text: ast.JoinedStr) -> None:
        self._text = text

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return node if node.value else self._text
