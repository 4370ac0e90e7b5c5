"""Deliveries: values of one session's messages that come to others, as a broadcast has them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.importing.captured_values import is_telling
from ws_load_test.importing.own_values import OwnValue, is_id_name, slot_of
from ws_load_test.messages.fields import PublishMarker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.importing.events import Event
    from ws_load_test.importing.rooms import Rooms
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.values import Value

MARKER = PublishMarker.example
LONGEST_DELIVERY_NS = 10 * NS_PER_S
"""Time in which a message is a delivery; it is the time-out of a run."""
LONGEST_OVERTAKEN_NS = NS_PER_S
"""The same once the sender has sent another message, which may be what it is of."""
NEVER_NS = 1 << 62
"""An instant after any capture."""
SKEW_NS = NS_PER_S // 100
"""Time (10 ms) by which a browser may write down a delivery before the message that it is of."""
FEWEST_LETTERS = 3
"""Characters of a text that is recognized elsewhere; shorter ones come by chance."""
_CONTENTS = re.compile(r"(?i)(?:text|message|msg|body|content|contents|data|payload|comment|caption|value|html|title)")
"""Names of what people write."""

Kind: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """A message of one session that came to others."""

    session: int
    event: Event
    value: Value
    """Value by which it is found there."""
    at_ns: int
    """Instant, on the clock of all sessions."""
    next_ns: int
    """Instant of the next message of the session."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that a session received."""

    at_ns: int
    session: int
    event: Event

    def may_be_of(self, publish: Publish) -> bool:
        """Returns True if it came soon after a message was sent, or before the sender's next one."""
        took_ns = self.at_ns - publish.at_ns
        longest_ns = LONGEST_DELIVERY_NS if self.at_ns < publish.next_ns else LONGEST_OVERTAKEN_NS
        return -SKEW_NS <= took_ns <= longest_ns


@dataclass
class Broadcast:
    """Messages of a kind of which a value comes to other sessions."""

    kind: Kind
    slot: str
    """Name of the value."""
    publishes: list[Publish]
    received: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """Sessions to which each of them came, and the place of the message there, by its own place in the list."""

    def deliveries_to(self, session: int) -> Iterator[int]:
        """Yields the places of the messages that a session received of others."""
        for place, one in enumerate(self.publishes):
            if one.session != session and session in self.received[place]:
                yield self.received[place][session]

    def values(self) -> Iterator[tuple[int, int, OwnValue]]:
        """Yields session, message, and the value that a marker takes the place of."""
        for one in self.publishes:
            yield one.session, one.event.index, OwnValue(one.value, one.value.start, MARKER)


@dataclass(frozen=True, slots=True)
class Presence:
    """Time in which a session receives what others send."""

    from_ns: int
    until_ns: int


def find_broadcasts(
    sessions: Sequence[Sequence[Event]], starts_ns: Sequence[int | None], rooms: Rooms, secrets: Secrets
) -> list[Broadcast]:
    """Returns the messages that come to other sessions, by their kinds.

    Args:
        sessions: Messages of each session.
        starts_ns: Wall clock at the beginning of each; None where it is not known.
        rooms: Rooms of the sessions, whose names are in many messages.
        secrets: Secrets of the capture, in whose place nothing else can stand.
    """
    if len(sessions) < 2 or any(one is None for one in starts_ns):
        return []
    every = [
        (zero_ns + event.at_ns, number, event)
        for number, (zero_ns, events) in enumerate(zip(starts_ns, sessions, strict=True))
        if zero_ns is not None
        for event in events
    ]
    receipts: dict[str, list[Receipt]] = defaultdict(list)
    slots: dict[tuple[Kind, str], list[Publish]] = defaultdict(list)
    next_ns = _next_sent(every)
    for at_ns, number, event in sorted(every, key=lambda one: one[0]):
        if not event.is_sent:
            for text in {value.text for value in event.content.all_values}:
                receipts[text].append(Receipt(at_ns, number, event))
            continue
        for value in event.content.values:
            if _can_be_marker(value, event, rooms, secrets):
                publish = Publish(number, event, value, at_ns, next_ns[number, event.index])
                slots[event.kind.key, slot_of(value)].append(publish)
    by_kind: dict[Kind, list[Broadcast]] = defaultdict(list)
    for (kind, slot), publishes in slots.items():
        found = Broadcast(kind, slot, publishes)
        _match(found, receipts)
        if any(numbers.keys() - {found.publishes[place].session} for place, numbers in found.received.items()):
            by_kind[kind].append(found)
    return [max(choices, key=_fitness) for choices in by_kind.values()]


def _next_sent(every: Sequence[tuple[int, int, Event]]) -> dict[tuple[int, int], int]:
    """Returns the instant of the next message that a session sent, for each by session and place."""
    found: dict[tuple[int, int], int] = {}
    later: dict[int, int] = {}
    for at_ns, number, event in reversed(every):
        if event.is_sent:
            found[number, event.index] = later.get(number, NEVER_NS)
            later[number] = at_ns
    return found


def _can_be_marker(value: Value, event: Event, rooms: Rooms, secrets: Secrets) -> bool:
    """Returns True for a text that a marker can take the place of: none that is its type or its room."""
    return (
        value.kind in {"string", "word"}
        and len(value.text) >= FEWEST_LETTERS
        and value.text not in event.kind.key
        and value.text not in rooms.names
        and not any(value.text.endswith(name) and slot_of(value).startswith("[") for name in rooms.names)
        and not secrets.occur_in(value.text)
    )


def _match(found: Broadcast, receipts: Mapping[str, list[Receipt]]) -> None:
    """Notes to which sessions each message came: those that received its text afterwards, each receipt for one."""
    used: set[tuple[int, int]] = set()
    # The kind of messages that bring it to others; the sender may get it back in its acknowledgement as well.
    kinds = {
        receipt.event.kind.key
        for one in found.publishes
        for receipt in receipts.get(one.value.text, ())
        if receipt.session != one.session and receipt.may_be_of(one)
    }
    for place, one in enumerate(found.publishes):
        for receipt in receipts.get(one.value.text, ()):
            key = (receipt.session, receipt.event.index)
            fits = receipt.may_be_of(one) and receipt.event.kind.key in kinds
            if fits and key not in used and receipt.session not in found.received[place]:
                used.add(key)
                found.received[place][receipt.session] = receipt.event.index


def _fitness(found: Broadcast) -> tuple[bool, float, bool, int]:
    """Returns how well a marker stands in the place of a value: of contents, that differ, and no reply is found by."""
    texts = {one.value.text for one in found.publishes}
    return (
        _CONTENTS.fullmatch(found.slot.rpartition(".")[2]) is not None,
        len(texts) / len(found.publishes),
        not is_id_name(found.slot),
        max(map(len, texts)),
    )


def is_evident(found: Broadcast) -> bool:
    """Returns True if the value is what a user wrote, or is another in each message: a name comes with each as well."""
    texts = [one.value.text for one in found.publishes]
    if _CONTENTS.fullmatch(found.slot.rpartition(".")[2]):
        return True
    differs = len(set(texts)) == len(texts)
    telling = all(" " in one.value.text or is_telling(one.value) for one in found.publishes)
    return differs and (telling or len(texts) > 2)


def receivers(found: Broadcast, members: Mapping[int, Presence], rooms: Rooms) -> tuple[int, int]:
    """Returns how many deliveries came to sessions, and how many were to come to those that were there.

    Args:
        found: The messages.
        members: Sessions, and when they were there.
        rooms: Rooms: who is in another one receives nothing.
    """
    came = due = 0
    for place, one in enumerate(found.publishes):
        for number, presence in members.items():
            same_room = rooms.of_session.get(number) == rooms.of_session.get(one.session)
            if number != one.session and same_room and presence.from_ns <= one.at_ns < presence.until_ns:
                due += 1
                came += number in found.received[place]
    return came, due


def to_itself(found: Broadcast) -> tuple[int, int]:
    """Returns how many of the messages came back to the session that sent them, and how many there are."""
    return sum(one.session in found.received[place] for place, one in enumerate(found.publishes)), len(found.publishes)
