"""Messages of the client as templates: fields in place of secrets, of captured values, and of those made anew."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ws_load_test.importing.values import Content
from ws_load_test.messages.fields import FIELD
from ws_load_test.plan.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ws_load_test.importing.captured_values import CapturedValues
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.own_values import OwnValue
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.values import Value

_LIKE_FIELD = re.compile(rf"{FIELD.pattern}|\{{(?:env|my|feed)\.[^{{}}]*\}}|\{{traceparent\}}")
"""Text of a message that a plan file would take for a field."""
_JSON_BRACE = "\\u007b"


@dataclass
class Template:
    """Content of a message with its fields."""

    text: str | None
    """None for bytes that are no text, which are kept in a file."""
    payload: bytes = b""
    """Bytes of a message without text, with fields in place of secrets."""
    captured: list[tuple[str, int]] = field(default_factory=list)
    """Names of captured values, and the places of the messages that they come from."""
    fields: dict[int, str] = field(default_factory=dict)
    """Beginning of a value in the message -> the text that stands for it."""
    remarks: list[str] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    """Fields of the environment in it."""


class TemplateMaker:
    """Makes the template of each message of the client."""

    def __init__(self, secrets: Secrets, captured: CapturedValues, own_values: Mapping[int, list[OwnValue]]) -> None:
        """Takes what is known of the values of the capture."""
        self._secrets = secrets
        self._captured = captured
        self._own_values = own_values

    def make(self, event: Event) -> Template:
        """Returns the template of a message."""
        text = event.content.text
        if text is None:
            return self._of_bytes(event)
        found = Template("")
        spans = self._spans(event, found)
        parts: list[str] = []
        at = 0
        for start, end, replacement in spans:
            parts += [self._literal(text[at:start], event.content, found), replacement]
            at = end
        parts.append(self._literal(text[at:], event.content, found))
        found.text = "".join(parts)
        return found

    def _spans(self, event: Event, found: Template) -> list[tuple[int, int, str]]:
        """Returns the parts of a message that fields take the place of, in order."""
        spans: list[tuple[int, int, str]] = []
        own = {one.value.start: one for one in self._own_values.get(event.index, ())}
        for value in event.content.all_values:
            mine = own.get(value.start)
            if mine is not None:
                spans.append((mine.start, value.end, mine.field))
                head = value.text[: mine.start - value.start]
                found.fields[value.start] = head + mine.field
                continue
            source = self._captured.source(event, value)
            if source is not None:
                name = self._captured.name(event, source)
                found.captured.append((name, source.event.index))
                spans.append((value.start, value.end, f"{{my.{name}}}"))
                found.fields[value.start] = f"{{my.{name}}}"
            elif value.text in self._secrets.names or value.text == REDACTED:
                field = self._secrets.field_of(value.text, value.name or "SECRET", f'"{value.name}"')
                self._variable(field, found)
                spans.append(_quoted(value, field))
            else:
                for start, end, part in self._captured.parts(event, value):
                    name = self._captured.name(event, part)
                    found.captured.append((name, part.event.index))
                    spans.append((start, end, f"{{my.{name}}}"))
        spans += [
            (start, end, self._variable(variable, found))
            for start, end, variable in self._secrets.spans(event.content.text or "")
            if not any(start < other_end and other < end for other, other_end, _ in spans)
        ]
        return _apart(spans)

    def _variable(self, written: str, found: Template) -> str:
        found.variables.add(written)
        return written

    def _literal(self, text: str, content: Content, found: Template) -> str:
        """Returns text that no field is in, if it can be written so."""
        if not _LIKE_FIELD.search(text):
            return text
        if content.is_json:
            return _LIKE_FIELD.sub(lambda match: _JSON_BRACE + match[0][1:], text)
        found.remarks.append("the text in braces was sent as it is; here it is a field")
        return text

    def _of_bytes(self, event: Event) -> Template:
        """Returns the template of bytes, in which only secrets are replaced."""
        found = Template(None, event.content.payload)
        for secret in sorted(self._secrets.names, key=len, reverse=True):
            written = secret.encode()
            if len(written) >= 4 and written in found.payload:
                variable = self._variable(self._secrets.field(secret), found)
                found.payload = found.payload.replace(written, variable.encode())
                found.remarks.append("its secret is a field now; a length before it may have to change")
        return found


def _quoted(value: Value, field: str) -> tuple[int, int, str]:
    """Returns the place of a secret: with its quotes where it has escapes of JSON, which the field then writes."""
    if value.kind == "string" and "\\" in value.text and value.lead < value.start:
        return value.start - 1, value.end + 1, f"{field[:-1]}:json}}"
    return value.start, value.end, field


def _apart(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Returns spans in order, without those that begin inside another."""
    found: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda one: (one[0], -one[1])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
    return found
