"""Kinds of messages: by the value that names a message's type, or by its form; and the checks that recognize them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.importing.values import Content, Value

TYPE_NAMES = ("type", "op", "event", "action", "method", "kind", "cmd", "command", "opcode", "t", "target", "e")
"""Keys whose value names the type of a message, the most telling first."""
WEAK_TYPE_NAMES = ("msg", "topic", "channel", "stream", "status", "name")
"""Keys that do so in some protocols, and hold contents in others: their values must come again and again."""
NUMBERED = frozenset({"op", "type", "opcode", "t", "cmd", "kind"})
"""Keys of types that can be numbers."""
MOST_SECOND_VALUES = 12
"""Values of a second key that tell messages of one type apart; more are contents."""
LONGEST_LABEL = 40
_TYPE_VALUE = re.compile(r"[A-Za-z_$@][\w:./ $@-]{0,59}")
_ELEMENT = re.compile(r"[A-Za-z_][\w-]{0,59}")
_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")
_FIRST_WORD = re.compile(r"[A-Za-z_][\w-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_HEARTBEAT = re.compile(r"(?i)(?:^|[\W_])(?:ping|pong|heart-?_?beats?|hb|keep-?_?alive|alive)(?:$|[\W_])")
_UNNAMED = "message"


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a message."""

    key: tuple[str, ...]
    """The same for two messages of one kind."""
    checks: tuple[str, ...]
    """Checks that messages of the kind satisfy, as a plan file has them; without fields."""
    label: str
    """Name for steps and reactions of this kind."""


def escaped(text: str) -> str:
    """Returns a regular expression of a text, on one line and without escapes that are not needed."""
    special = _SPECIAL.sub(lambda found: "\\" + found[0], text)
    return "".join(one if one.isprintable() else _escape(one) for one in special)


def _escape(letter: str) -> str:
    names = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    # Letters of more than a byte are looked for as they are: patterns are matched against UTF-8.
    return names.get(letter) or (f"\\x{ord(letter):02x}" if ord(letter) < 128 else letter)


def label_of(text: str) -> str:
    """Returns a name of letters, digits, hyphens and underscores."""
    label = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_")[:LONGEST_LABEL]
    return (label.lower() if label.isupper() else label) or _UNNAMED


def is_heartbeat(content: Content) -> bool:
    """Returns True for a message that only keeps a session alive, as far as its words show it."""
    if content.text is None:
        return False
    text = content.text.strip()
    if len(text) <= 1:
        return not text or text.isdigit()
    if content.is_json or content.values:
        names = {*TYPE_NAMES, "", "msg"}
        words = [one.text for one in content.values if one.name in names or one.name.startswith("[")]
        return any(len(word) <= LONGEST_LABEL and _HEARTBEAT.search(word) for word in words)
    return False


class Kinds:
    """Kinds of the messages of one direction."""

    def __init__(self, contents: Iterable[Content], hides: Callable[[str], bool]) -> None:
        """Takes all messages, and a function that is True for a text with a secret in it."""
        self._hides = hides
        self._contents = list(contents)
        self._key_counts = Counter(key for one in self._contents for key in set(one.keys))
        self._weak = self._recurring_names()
        self._elements = self._type_elements()
        self._seconds: dict[tuple[str, str], str] = {}
        self._seconds = self._second_names()
        self._known: dict[bytes, Kind] = {}

    def of(self, content: Content) -> Kind:
        """Returns the kind of a message."""
        known = self._known.get(content.payload)
        if known is None:
            known = self._known[content.payload] = self._new_kind(content)
        return known

    # --- Counting over all messages ----------------------------------------------------------------------------------

    def _recurring_names(self) -> frozenset[str]:
        """Returns those of `WEAK_TYPE_NAMES` with fewer values than messages."""
        found = set()
        for name in WEAK_TYPE_NAMES:
            values = [one.text for content in self._contents for one in content.named(name) if one.path == name]
            if len(values) >= 2 and len(set(values)) <= len(values) / 2:
                found.add(name)
        return frozenset(found)

    def _type_elements(self) -> dict[int, str]:
        """Returns, for arrays of a length, the path of the element that names their type."""
        arrays = defaultdict(list)
        for content in self._contents:
            elements = [one for one in content.values if one.is_top and one.name.startswith("[")]
            if elements and content.is_json and not content.keys:
                arrays[len(elements)].append({one.name: one for one in elements})
        found = {}
        for length, rows in arrays.items():
            common = [name for name in rows[0] if all(name in row and row[name].kind != "literal" for row in rows)]
            words = [name for name in common if all(_ELEMENT.fullmatch(row[name].text) for row in rows)]
            texts = [name for name in common if all(row[name].kind == "string" for row in rows)]
            chosen = words or texts or common
            if chosen:
                # Of several, the one with the most values that are not all different.
                counts = {name: len({row[name].text for row in rows}) for name in chosen}
                usable = [name for name in chosen if len(rows) == 1 or counts[name] < len(rows)] or chosen
                found[length] = max(usable, key=lambda name: counts[name])
        return found

    def _second_names(self) -> dict[tuple[str, str], str]:
        """Returns the second key of messages that differ although their first key has the same value."""
        groups = defaultdict(list)
        for content in self._contents:
            first = self._type_value(content)
            if first is not None:
                groups[first.name, first.text].append(content)
        found = {}
        for (name, text), group in groups.items():
            for second in (*TYPE_NAMES, *sorted(self._weak)):
                values = {one.text for content in group if (one := self._type_value(content, (second,))) is not None}
                if second != name and 1 < len(values) <= min(MOST_SECOND_VALUES, len(group)):
                    found[name, text] = second
                    break
        return found

    # --- One message -------------------------------------------------------------------------------------------------

    def _type_value(self, content: Content, names: tuple[str, ...] = ()) -> Value | None:
        """Returns the value that names the type of an object."""
        for name in names or (*TYPE_NAMES, *(one for one in WEAK_TYPE_NAMES if one in self._weak)):
            for value in content.named(name):
                top = value.path == name or (value.path is None and not content.is_json and value.kind != "word")
                if not top or self._hides(value.text):
                    continue
                if (value.kind == "string" and _TYPE_VALUE.fullmatch(value.text)) or (
                    value.kind == "number" and name in NUMBERED and value.text.isdigit()
                ):
                    return value
        return None

    def _new_kind(self, content: Content) -> Kind:
        if content.text is None:
            return self._of_bytes(content.payload)
        first = self._type_value(content)
        if first is not None and (content.is_json or first.path is None):
            values = [first]
            second = self._seconds.get((first.name, first.text))
            if second is not None and (other := self._type_value(content, (second,))) is not None:
                values.append(other)
            return self._of_values(content, values)
        if content.is_json:
            return self._of_shape(content)
        return self._of_text(content)

    def _of_values(self, content: Content, values: list[Value]) -> Kind:
        checks = tuple(self._check(content, value) for value in values)
        key = ("type", *(part for value in values for part in (value.name, value.text)))
        words = [value.text for value in values if value.kind == "string"] or [f"type-{values[0].text}"]
        return Kind(key, checks, label_of("-".join(words)))

    def _check(self, content: Content, value: Value) -> str:
        if value.path is not None:
            return f"json:{value.path}={value.text}"
        text = content.text or ""
        end = '"' if value.kind == "string" else "\\b"
        return f"regex:{escaped(text[value.lead : value.end])}{end}"

    def _of_shape(self, content: Content) -> Kind:
        """Returns the kind of JSON whose type no key names."""
        keys = sorted(content.keys)
        named = [key for key in keys if self._is_path(key) and not self._is_null(content, key)]
        if named:
            # A key of its own is more telling than one that every message has.
            rarest = min(named, key=lambda key: (self._key_counts[key], key))
            return Kind(("keys", *keys), (f"json:{rarest}",), label_of(rarest))
        elements = [one for one in content.values if one.is_top]
        path = self._elements.get(len(elements))
        element = content.value_at(path) if path is not None else None
        if (
            element is not None
            and element.kind != "literal"
            and _TYPE_VALUE.fullmatch(element.text)
            and not self._hides(element.text)
        ):
            check = f"json:{element.path}={element.text}"
            return Kind(("element", str(element.path), element.text), (check,), label_of(element.text))
        start = (content.text or "").lstrip()[:1]
        return Kind(("json", start, str(len(elements))), (f"regex:^\\s*{escaped(start)}",), _UNNAMED)

    def _is_null(self, content: Content, key: str) -> bool:
        # A check that something is there does not take null for it.
        value = content.value_at(key)
        return value is not None and value.kind == "literal" and value.text == "null"

    def _is_path(self, key: str) -> bool:
        return re.fullmatch(r"[^.\[\]\"\\\x00-\x1f={}]+", key) is not None

    def _of_text(self, content: Content) -> Kind:
        """Returns the kind of a text that is no JSON."""
        text = content.text or ""
        if not text.strip() or len(text) <= 2:
            label = "heart-beat" if not text.strip() else f"{_UNNAMED}-{label_of(text)}"
            return Kind(("exact", text), (f"regex:^{escaped(text)}$",), label)
        if _NUMBER.fullmatch(text):
            return Kind(("number",), ("regex:^-?\\d",), "number")
        if text[0].isdigit() and content.values and content.values[0].kind != "word":
            return self._of_packet(content)
        word = _FIRST_WORD.match(text)
        if word is None or self._hides(word[0]):
            head = escaped(text[0])
            return Kind(("begins", text[0]), (f"regex:^{head}",), _UNNAMED)
        end = "$" if word.end() == len(text) else "\\b"
        return Kind(("word", word[0]), (f"regex:^{escaped(word[0])}{end}",), label_of(word[0]))

    def _of_packet(self, content: Content) -> Kind:
        """Returns the kind of JSON behind digits, as Socket.IO has it: ``42["join"]``, ``4317["ok"]``, ``0{…}``."""
        text = content.text or ""
        acknowledged = content.values[0] if content.values[0].name == "ack" else None
        opening = re.search(r"[\[{]", text)
        end = acknowledged.start if acknowledged else opening.start() if opening else len(text)
        pattern = escaped(text[:end]) + ("\\d+" if acknowledged else "")
        element = next((one for one in content.values if one.name == "[0]" and one.kind == "string"), None)
        if (
            element is not None
            and element.kind != "literal"
            and _TYPE_VALUE.fullmatch(element.text)
            and text[:2] == "42"
        ):
            check = f'regex:^{pattern}\\["{escaped(element.text)}"'
            return Kind(("packet", text[:end], element.text), (check,), label_of(element.text))
        label = {"0": "open", "40": "connect", "43": "ack", "44": "error"}.get(text[:end].split("/")[0], _UNNAMED)
        return Kind(("packet", text[:end]), (f"regex:^{pattern}{escaped(opening[0]) if opening else ''}",), label)

    def _of_bytes(self, payload: bytes) -> Kind:
        if not payload:
            return Kind(("empty",), ("regex:^$",), "empty")
        first = payload[0]
        head = escaped(chr(first)) if 32 <= first < 127 else f"\\x{first:02x}"
        return Kind(("binary", str(first)), (f"regex:^{head}",), "binary")
