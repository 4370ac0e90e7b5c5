"""Values in the text of a message, with the places where they stand: JSON, JSON behind a prefix, headers, words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

DEEPEST_JSON = 60
"""Levels of JSON that are looked into: no application nests deeper, and Python's stack has room for many more."""
RECORD_END = "\x1e"
"""End of a record of SignalR, behind its JSON."""
_SCALAR = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')
_SPACE = re.compile(r"[ \t\r\n]*")
_KEY_IN_PATH = re.compile(r"[^.\[\]\"\\\x00-\x1f={}]+")
"""Keys that a path can have, and that no field or ``=`` is in."""
_PREFIX = re.compile(r"[^\[{\"\n]{1,64}(?=[\[{])")
"""Text before JSON, as Socket.IO has it: ``42/chat,17["join"]``."""
_ACKNOWLEDGED = re.compile(r"(?P<type>4[0-6])(?P<namespace>/[^,]*,)?(?P<ack>\d+)")
"""Packet of Socket.IO with the number of its acknowledgement."""
_PAIR = re.compile(r"(?:(?<=[\s,;&?\x00])|^)(?P<name>[A-Za-z_][\w.-]{0,40})(?P<mark>:[ \t]?|=)(?P<value>[^\s,;&\x00]+)")
_LINE = re.compile(r"(?m)^(?P<name>[A-Za-z][\w-]{0,40}):[ \t]?(?P<value>[^\r\n\x00]+)$")
"""Line of a header, as STOMP has it."""
_WORD = re.compile(r"[^\s,;:=\"'(){}\[\]<>|\x00]+")

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

Kind = Literal["string", "number", "literal", "word"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a text."""

    start: int
    end: int
    """Its place, without quotes."""
    text: str
    """Text between them, with the escapes of JSON that it has there."""
    name: str
    """Key, name of a header, or the number of its place in an array (``[3]``); empty for none."""
    path: str | None
    """Path to it, for ``json:PATH``; None if the message as a whole is no JSON or no path can name it."""
    lead: int
    """Beginning of the text that leads to it: of its key, its header's name, or the message."""
    kind: Kind

    @property
    def is_top(self) -> bool:
        """True if it stands at the top of an object or an array."""
        return self.path is not None and "." not in self.path and "[" not in self.path[1:]


@dataclass(frozen=True)
class Content:
    """Text of a message, and what stands in it."""

    text: str | None
    """None if it is binary, or not UTF-8."""
    payload: bytes

    @classmethod
    def of(cls, payload: bytes, *, binary: bool) -> Content:
        """Returns the content of a message."""
        try:
            return cls(None if binary else payload.decode(), payload)
        except UnicodeDecodeError:
            return cls(None, payload)

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Its values, in the order in which they stand."""
        return () if self.text is None else tuple(values_of(self.text))

    @cached_property
    def all_values(self) -> tuple[Value, ...]:
        """Its values, and behind each string those of JSON that stands in it."""
        found: list[Value] = []
        for value in self.values:
            found.append(value)
            if value.kind == "string" and ("{" in value.text or "[" in value.text):
                found += nested_values(value)
        return tuple(found)

    @cached_property
    def is_json(self) -> bool:
        """True if the text as a whole is an object or an array."""
        return self.text is not None and _whole_json(self.text) is not None

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of its members, if it is an object."""
        if not self.is_json or self.text is None or self.text.lstrip()[:1] != "{":
            return ()
        try:
            return tuple(json.loads(self.text))
        except (ValueError, RecursionError):
            return ()

    def value_at(self, path: str) -> Value | None:
        """Returns the value at a path; None if there is none."""
        return next((one for one in self.values if one.path == path), None)

    def named(self, name: str) -> list[Value]:
        """Returns the values of a name."""
        return [one for one in self.values if one.name == name]


def is_uuid(text: str) -> bool:
    """Returns True for a UUID in its common form."""
    return _UUID.fullmatch(text) is not None


def values_of(text: str) -> list[Value]:
    """Returns the values of a text, in the order in which they stand."""
    found = _whole_json(text)
    if found is None:
        found = _json_within(text)
    if found is None:
        found = _words(text)
    return sorted(found, key=lambda one: one.start)


def nested_values(value: Value) -> list[Value]:
    """Returns the values of JSON that stands in a string, with places in the outer text where that is possible."""
    try:
        inner = json.loads(f'"{value.text}"') if value.kind == "string" else value.text
    except ValueError:
        return []
    if inner.lstrip()[:1] not in {"{", "["} or (found := _whole_json(inner)) is None:
        return []
    placed, at = [], 0
    for one in sorted(found, key=lambda one: one.start):
        written = json.dumps(one.text, ensure_ascii=False)[1:-1]
        at = value.text.find(written, at)
        if at < 0:
            return []
        start = value.start + at
        placed.append(Value(start, start + len(written), written, one.name, None, start, one.kind))
        at += len(written)
    return placed


# --- JSON ------------------------------------------------------------------------------------------------------------


class _Scanner:
    """Finds the scalars of one JSON document, with their places."""

    def __init__(self, text: str, *, has_paths: bool) -> None:
        self.text = text
        self.found: list[Value] = []
        self._has_paths = has_paths

    def scan(self, at: int, path: str | None, name: str, lead: int, depth: int = 0) -> int:
        """Reads a value; returns its end. Raises ValueError if there is none."""
        at = self._skip(at)
        opening = self.text[at : at + 1]
        if depth > DEEPEST_JSON:
            raise ValueError("too deep")
        if opening == "{":
            return self._object(at + 1, path, depth)
        if opening == "[":
            return self._array(at + 1, path, depth)
        match = _SCALAR.match(self.text, at)
        if match is None:
            raise ValueError("no JSON")
        quote = opening == '"'
        start, end = match.start() + quote, match.end() - quote
        kind: Kind = "string" if quote else "literal" if opening in "tfn" else "number"
        self.found.append(Value(start, end, self.text[start:end], name, path, lead, kind))
        return match.end()

    def _object(self, at: int, path: str | None, depth: int) -> int:
        at = self._skip(at)
        if self.text[at : at + 1] == "}":
            return at + 1
        while True:
            at = self._skip(at)
            match = _SCALAR.match(self.text, at)
            if match is None or match[0][:1] != '"':
                raise ValueError("no key")
            key = match[0][1:-1]
            end = self._skip(match.end())
            if self.text[end : end + 1] != ":":
                raise ValueError("no colon")
            inner = self._below(path, key) if _KEY_IN_PATH.fullmatch(key) else None
            end = self._skip(self.scan(end + 1, inner, key, at, depth + 1))
            mark = self.text[end : end + 1]
            if mark == "}":
                return end + 1
            if mark != ",":
                raise ValueError("no end")
            at = end + 1

    def _array(self, at: int, path: str | None, depth: int) -> int:
        start = at - 1
        at = self._skip(at)
        if self.text[at : at + 1] == "]":
            return at + 1
        for place in range(len(self.text)):
            name = f"[{place}]"
            inner = None if path is None or not self._has_paths else path + name
            at = self._skip(self.scan(at, inner, name, start, depth + 1))
            mark = self.text[at : at + 1]
            if mark == "]":
                return at + 1
            if mark != ",":
                break
            start = at
            at += 1
        raise ValueError("no end")

    def _below(self, path: str | None, key: str) -> str | None:
        if path is None or not self._has_paths:
            return None
        return f"{path}.{key}" if path else key

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return at if match is None else match.end()


def _whole_json(text: str) -> list[Value] | None:
    """Returns the values of a text that is one JSON object or array; None if it is not."""
    at = len(text) - len(text.lstrip(" \t\r\n"))
    if text[at : at + 1] not in {"{", "["}:
        return None
    scanner = _Scanner(text, has_paths=True)
    try:
        end = scanner.scan(at, "", "", 0)
    except ValueError:
        return None
    return None if text[end:].strip(" \t\r\n") else scanner.found


def _json_within(text: str) -> list[Value] | None:
    """Returns the values of JSON behind a prefix, and of records that end with `RECORD_END`; None if there is none."""
    prefix = _PREFIX.match(text)
    found: list[Value] = []
    at = 0
    if prefix is not None:
        acknowledged = _ACKNOWLEDGED.fullmatch(prefix[0])
        if acknowledged is not None:
            start, end = acknowledged.span("ack")
            found.append(Value(start, end, acknowledged["ack"], "ack", None, 0, "number"))
        at = prefix.end()
    scanner = _Scanner(text, has_paths=False)
    while at < len(text):
        try:
            at = scanner.scan(at, None, "", at)
        except ValueError:
            return None
        while text[at : at + 1] in {RECORD_END, "\n", "\r"}:
            at += 1
        if at < len(text) and text[at] not in "{[":
            return None
    return [*found, *scanner.found] if scanner.found or found else None


def _words(text: str) -> list[Value]:
    """Returns the values of a text that is no JSON: of headers, of pairs such as ``id=7``, and single words."""
    found: list[Value] = []
    taken = [False] * len(text)

    def take(start: int, end: int, name: str, lead: int) -> None:
        if start < end and not any(taken[start:end]):
            found.append(Value(start, end, text[start:end], name, None, lead, "word"))
            taken[lead:end] = [True] * (end - lead)

    for pattern in (_LINE, _PAIR):
        for match in pattern.finditer(text):
            take(*match.span("value"), match["name"], match.start("name"))
    for match in _WORD.finditer(text):
        take(*match.span(), "", match.start())
    return found
