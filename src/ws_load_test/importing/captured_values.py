"""Values that the target sent and the client used later: where they come from, and their names."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.importing.own_values import is_id_name, slot_of
from ws_load_test.importing.places import place_of
from ws_load_test.importing.values import is_uuid
from ws_load_test.plan.redaction import looks_like_token

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ws_load_test.importing.events import Event
    from ws_load_test.importing.own_values import OwnValue
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.values import Value

SHORTEST_TEXT = 3
"""Characters of the shortest text that is an identifier, if its name is that of one."""
SHORTEST_MIXED = 6
"""Characters of letters and digits that are an identifier, whatever their name."""
SHORTEST_NUMBER = 4
"""Digits of a number that is an identifier: shorter ones come by chance."""
SHORTEST_PART = 8
"""Characters of an identifier that is found inside a longer text."""
_TELLING = re.compile(r"(?i)(?:token|sid|session|key|cursor|ticket|hash|handle|etag|uuid|guid|ref|secret|code)")
_PART = re.compile(r"[A-Za-z0-9_.-]{8,}")
_PLAIN = re.compile(r"[^\"\\\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A value in a message of the target."""

    event: Event
    value: Value
    place: str


def is_telling(value: Value) -> bool:
    """Returns True for a value that is hardly the same by chance: an identifier, a token, a long number."""
    text = value.text
    if value.kind == "literal" or not _PLAIN.fullmatch(text):
        return False
    named = is_id_name(value.name) or _TELLING.search(value.name) is not None
    if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
        digits = len(text.lstrip("-"))
        if "." in text:
            # Prices are numbers as well; some servers name their sockets so, in quotes.
            return named and value.kind != "number" and digits >= SHORTEST_MIXED
        return digits >= (SHORTEST_NUMBER - named)
    if is_uuid(text) or looks_like_token(text):
        return True
    if named and len(text) >= SHORTEST_TEXT:
        return True
    mixed = re.search(r"\d", text) and re.search(r"[A-Za-z]", text)
    return bool(mixed) and len(text) >= SHORTEST_MIXED and " " not in text


class CapturedValues:
    """Finds the source of a value, and names it."""

    def __init__(
        self, events: list[Event], own_values: Mapping[int, list[OwnValue]], secrets: Secrets, given: Collection[str]
    ) -> None:
        """Takes the texts that the client had beforehand: parts of the URL, subprotocols."""
        self._given = given
        self._secrets = secrets
        self._received: dict[str, list[tuple[Event, Value]]] = defaultdict(list)
        self._by_identity: dict[tuple[object, ...], list[tuple[Event, Value]]] = defaultdict(list)
        self._first_sent: dict[str, int] = {}
        self._sent: dict[tuple[str, str], list[Event]] = defaultdict(list)
        """Messages of the client by the slot and the text of each value."""
        self._owner: dict[tuple[str, str], int] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._places: dict[str, str] = {}
        self.replies: set[int] = set()
        """Places of messages that complete a step: values are taken out of them before others."""
        self.ignored: set[int] = set()
        """Places of messages that no value is taken out of."""
        self.captures: dict[int, dict[str, str]] = defaultdict(dict)
        """Message of the target, by its place -> names of the values that are taken out of it, and their places."""
        for event in events:
            for value in event.content.all_values:
                if event.is_sent:
                    self._first_sent.setdefault(value.text, event.index)
                    self._sent[slot_of(value), value.text].append(event)
                else:
                    self._received[value.text].append((event, value))
                    self._by_identity[self._identity(event, value)].append((event, value))
        for index, found in own_values.items():
            for own in found:
                if own.is_id:
                    self._owner.setdefault((slot_of(own.value), own.value.text), index)

    def source(self, event: Event, value: Value) -> Source | None:
        """Returns where a value that the client sends comes from; None if it is the client's own, or a constant."""
        owner = self._owner.get((slot_of(value), value.text))
        after = -1
        if owner is not None and owner < event.index:
            after = owner
        elif value.text in self._given or not (is_telling(value) or value.text in self._secrets.names):
            return None
        found = [one for one in self._received.get(value.text, ()) if after < one[0].index < event.index]
        found = [one for one in found if one[0].index not in self.ignored]
        if not found or (after < 0 and self._first_sent.get(value.text, event.index) < found[0][0].index):
            return None
        for source_event, source_value in sorted(found, key=lambda one: one[0].index not in self.replies):
            place = place_of(source_event.content, source_value)
            if place is not None:
                return Source(source_event, source_value, place)
        return None

    def parts(self, event: Event, value: Value) -> list[tuple[int, int, Source]]:
        """Returns the identifiers inside a longer text, with their places in the message."""
        if value.kind not in {"string", "word"} or len(value.text) <= SHORTEST_PART:
            return []
        found = []
        for match in _PART.finditer(value.text):
            text = match[0]
            if text == value.text or not (is_uuid(text) or looks_like_token(text) or text in self._secrets.names):
                continue
            start = value.start + match.start()
            part = type(value)(start, start + len(text), text, "", None, start, "word")
            source = self.source(event, part)
            if source is not None:
                found.append((part.start, part.end, source))
        return found

    def name(self, event: Event, source: Source) -> str:
        """Returns the name under which a source is captured, and notes that it is."""
        identity = self._identity(source.event, source.value)
        latest = [one for one in self._by_identity[identity] if one[0].index < event.index]
        if latest and latest[-1][1].text != source.value.text:
            # By the time of its use, a later message of the kind has had another value.
            identity = (*identity, source.event.index)
        name = self._names.get(identity)
        if name is None:
            wanted = re.sub(r"[^a-z0-9]+", "_", source.value.name.lower()).strip("_")
            wanted = wanted if wanted[:1].isalpha() and not self._secrets.occur_in(source.value.name) else "value"
            name, number = wanted, 2
            while name in self._places:
                name, number = f"{wanted}_{number}", number + 1
            self._names[identity], self._places[name] = name, source.place
        self.captures[source.event.index][name] = source.place
        return name

    def is_lasting(self, own: OwnValue, index: int) -> bool:
        """Returns True if the client sends a value of its own again that no reply has in between."""
        again = (one for one in self._sent[slot_of(own.value), own.value.text] if one.index > index)
        event = next(again, None)
        source = None if event is None else self.source(event, own.value)
        return event is not None and (source is None or source.event.index not in self.replies)

    def keep(self, own: OwnValue) -> None:
        """Takes a value of the client for a constant: where it is sent again, it comes from no message."""
        self._owner.pop((slot_of(own.value), own.value.text), None)

    def _identity(self, event: Event, value: Value) -> tuple[object, ...]:
        return (event.kind.key, value.path or value.name)
