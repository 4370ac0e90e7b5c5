"""Messages of a capture with their contents and kinds, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.importing.kinds import Kinds
from ws_load_test.importing.secret_values import Secrets, add_secrets
from ws_load_test.importing.values import Content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.kinds import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A message of the capture."""

    index: int
    """Its place in the capture."""
    at_ns: int
    is_sent: bool
    binary: bool
    content: Content
    kind: Kind


def read_events(captures: Sequence[Capture]) -> tuple[list[list[Event]], Secrets]:
    """Returns the messages of each session, of kinds that are the same in all of them, and the secrets of all."""
    known: dict[tuple[bytes, bool], Content] = {}

    def content_of(payload: bytes, *, binary: bool) -> Content:
        if (payload, binary) not in known:
            known[payload, binary] = Content.of(payload, binary=binary)
        return known[payload, binary]

    sessions = [
        [(message, content_of(message.payload, binary=message.binary)) for message in capture.messages]
        for capture in captures
    ]
    secrets = Secrets()
    for capture, pairs in zip(captures, sessions, strict=True):
        sent_first = [*(one for message, one in pairs if message.is_sent), *(one for m, one in pairs if not m.is_sent)]
        add_secrets(capture, sent_first, secrets)
    every = [pair for pairs in sessions for pair in pairs]
    kinds = {
        direction: Kinds((one for message, one in every if message.direction == direction), secrets.occur_in)
        for direction in ("sent", "received")
    }
    events = [
        [
            Event(index, message.at_ns, message.is_sent, message.binary, content, kinds[message.direction].of(content))
            for index, (message, content) in enumerate(pairs)
        ]
        for pairs in sessions
    ]
    return events, secrets
