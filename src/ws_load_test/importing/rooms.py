"""Rooms: names that several sessions of a capture send, and share with some of the others."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ws_load_test.importing.own_values import OwnValue
from ws_load_test.messages.fields import RoomName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.importing.events import Event
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.values import Value

ROOM = RoomName.example
_WORDS = r"room|channel|topic|lobby|table|match|group|board|project|conversation|chat|thread|document|doc|space"
_ROOM_NAME = re.compile(rf"(?i)(?:{_WORDS})(?:_?-?(?:id|name|key|slug))?")
"""Names of values that say which room a message is for."""
_JOINS = re.compile(r"(?i)(?:^|[\W_])(?:join|enter|join-?room|subscribe)(?:$|[\W_])")
"""Labels of messages whose only text is the room that a session enters."""
_WITH_WORD = re.compile(rf"(?i)(?P<word>(?:{_WORDS})[:/._-])(?P<name>[\w.-]+)")
"""Text that names its kind: ``room:lobby``."""
_PLAIN = re.compile(r"[\w.:/ -]{1,60}")
"""Names that the option `rooms` takes, and that need no escapes wherever they stand."""


@dataclass
class Rooms:
    """Rooms of a capture."""

    names: tuple[str, ...] = ()
    """Names, in the order in which they are first sent; empty: there are none."""
    of_session: dict[int, str] = field(default_factory=dict)
    """Name of the room of each session that has one."""
    values: dict[int, dict[int, list[OwnValue]]] = field(default_factory=dict)
    """Values that are the room of their session, by session and by message."""


def find_rooms(sessions: Sequence[Sequence[Event]], secrets: Secrets) -> Rooms:
    """Returns the rooms: each session that has one sends a single name, and at least two share theirs."""
    if len(sessions) < 2:
        return Rooms()
    found = {}
    for number, events in enumerate(sessions):
        names = {name for event in events if event.is_sent for name, _ in _named_rooms(event, secrets)}
        if len(names) == 1 and not _was_received_first(events, *names):
            found[number] = names.pop()
        elif names:
            # A session in several rooms, or one that gets its room from the target, leaves none certain.
            return Rooms()
    shared = defaultdict(list)
    for number, name in found.items():
        shared[name].append(number)
    if not any(len(numbers) > 1 for numbers in shared.values()):
        return Rooms()
    rooms = Rooms(tuple(shared), found)
    for number, name in found.items():
        rooms.values[number] = {
            event.index: [one for _, one in _named_rooms(event, secrets)]
            for event in sessions[number]
            if event.is_sent and any(room == name for room, _ in _named_rooms(event, secrets))
        }
    return rooms


def _named_rooms(event: Event, secrets: Secrets) -> Iterator[tuple[str, OwnValue]]:
    """Yields the names of rooms in a message of the client, with their places."""
    joins = _JOINS.search(event.kind.label) is not None
    texts = [one for one in event.content.values if one.kind in {"string", "word"} and one.text not in event.kind.key]
    for value in event.content.values:
        if value.kind == "literal" or secrets.occur_in(value.text):
            continue
        with_word = _WITH_WORD.fullmatch(value.text)
        if with_word is not None:
            yield with_word["name"], OwnValue(value, value.start + with_word.start("name"), ROOM)
        elif (_ROOM_NAME.fullmatch(value.name) or _is_all(value, texts, joins=joins)) and _PLAIN.fullmatch(value.text):
            yield value.text, OwnValue(value, value.start, ROOM)


def _is_all(value: Value, texts: list[Value], *, joins: bool) -> bool:
    """Returns True for the only text of a message by which a session enters a room."""
    return joins and texts == [value] and value.name.startswith("[")


def _was_received_first(events: Sequence[Event], name: str) -> bool:
    first = next((one.index for one in events if one.is_sent and any(v.text == name for v in one.content.values)), 0)
    return any(not one.is_sent and any(v.text == name for v in one.content.values) for one in events[:first])
