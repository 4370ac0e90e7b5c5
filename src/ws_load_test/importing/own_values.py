"""Values that the client made for its messages: counters, UUIDs and times, which a field makes anew."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from ws_load_test.importing.values import is_uuid
from ws_load_test.messages.fields import MessageNumber, RandomUuid, WallClockMs
from ws_load_test.messages.wall_clock import WallClockIso, WallClockS

if TYPE_CHECKING:
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.values import Value

MOST_SKEW_MS = 600_000
"""Difference from the capture's clock (10 min) up to which a number is a time: clocks of browsers are seldom worse."""
SEQ, UUID, NOW = MessageNumber.example, RandomUuid.example, WallClockMs.example
"""Fields of counters, UUIDs and times."""
TIMES = (NOW, WallClockS.example, WallClockIso.example)
"""Fields of times in ms, in s and as text."""
_DIGITS = {13: (1, NOW), 10: (1000, WallClockS.example)}
"""Digits of a time since 1970 -> its unit in ms, and its field."""
_ISO = re.compile(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z")
"""Times as browsers write them (`Date.toISOString`)."""
_COUNTED = re.compile(r"(?P<head>[A-Za-z_:./#-]{0,40})(?P<number>0|[1-9]\d{0,14})")
_ID_NAME = re.compile(
    r"(?i)(?:^|_|-|[a-z](?=[A-Z]))(?:id|ids|seq|ref|rid|cid|nonce|receipt|ack|reqid|msgid|invocationid|requestid"
    r"|correlationid|messageid)$|(?:request|message|correlation|invocation|transaction|client)-?_?id$"
)


@dataclass(frozen=True, slots=True)
class OwnValue:
    """A value that the client made."""

    value: Value
    start: int
    """Beginning of what the field replaces; before it stands what all values of this place have in common."""
    field: str
    """Field in place of it: `SEQ`, `UUID`, one of `TIMES`, a room or a marker."""

    @property
    def is_id(self) -> bool:
        """True if a reply can repeat it."""
        return self.field in {SEQ, UUID}


def is_id_name(name: str) -> bool:
    """Returns True for the name of an identifier."""
    return _ID_NAME.search(name) is not None


def slot_of(value: Value) -> str:
    """Returns the name under which values of the same meaning stand in different messages."""
    return value.name if value.name and not value.name.startswith("[") else (value.path or value.name)


def find_own_values(events: list[Event], secrets: Secrets, started_ns: int | None) -> dict[int, list[OwnValue]]:
    """Returns the values that the client made, by the place of their message."""
    found: dict[int, list[OwnValue]] = defaultdict(list)
    seen: set[str] = set()
    for event in events:
        for value in event.content.values:
            if event.is_sent and not secrets.occur_in(value.text):
                if is_uuid(value.text) and value.text not in seen:
                    found[event.index].append(OwnValue(value, value.start, UUID))
                elif started_ns is not None and (field := time_field(value.text, started_ns + event.at_ns)):
                    found[event.index].append(OwnValue(value, value.start, field))
            seen.add(value.text)
    for index, own in _counters(events, secrets):
        found[index].append(own)
    return found


def time_field(text: str, now_ns: int) -> str:
    """Returns the field for a time near an instant, in ns since 1970; empty for other texts."""
    if _ISO.fullmatch(text):
        try:
            ms, field = round(datetime.fromisoformat(text).timestamp() * 1000), WallClockIso.example
        except ValueError:
            return ""
    elif text.isdigit() and len(text) in _DIGITS:
        unit, field = _DIGITS[len(text)]
        ms = int(text) * unit
    else:
        return ""
    return field if abs(ms - now_ns // 1_000_000) <= MOST_SKEW_MS else ""


def _counters(events: list[Event], secrets: Secrets) -> list[tuple[int, OwnValue]]:
    """Returns the first occurrence of each number of each counter."""
    slots: dict[tuple[str, str], dict[int, tuple[Event, Value]]] = defaultdict(dict)
    received: set[str] = set()
    """Texts that the target sent first; short numbers among them come by chance."""
    for event in events:
        if not event.is_sent:
            received.update(one.text for one in event.content.values if not one.text.isdigit())
            continue
        for value in event.content.values:
            match = None if value.kind == "literal" else _COUNTED.fullmatch(value.text)
            if (
                match is None
                or (match["head"] and value.kind == "number")
                or value.text in received
                or secrets.occur_in(value.text)
            ):
                continue
            # The first message with a number has it as its own, later ones refer to it.
            slots[slot_of(value), match["head"]].setdefault(int(match["number"]), (event, value))
    found = []
    for (slot, head), numbers in slots.items():
        if (head and not is_id_name(slot) and slot[:1] != "[") or not (slot or head):
            # Rooms have numbers as well: room-1, room-2. And a number that is the whole text may be contents.
            continue
        if len({event.index for event, _ in numbers.values()}) < len(numbers):
            # Two numbers of one message are none of a counter of messages.
            continue
        in_order = list(numbers)
        if not (_grows_by_one(in_order) or _is_echoed_id(slot, numbers, events)):
            continue
        for event, value in numbers.values():
            found.append((event.index, OwnValue(value, value.start + len(head), SEQ)))
    return found


def _grows_by_one(numbers: list[int]) -> bool:
    return len(numbers) >= 2 and all(later == earlier + 1 for earlier, later in pairwise(numbers))


def _is_echoed_id(slot: str, numbers: dict[int, tuple[Event, Value]], events: list[Event]) -> bool:
    """Returns True for an identifier of growing numbers, all of which come back in a later message."""
    if not is_id_name(slot) or list(numbers) != sorted(numbers):
        return False
    return all(
        any(
            not event.is_sent and any(slot_of(one) == slot and one.text == value.text for one in event.content.values)
            for event in events[own.index + 1 :]
        )
        for own, value in numbers.values()
    )
