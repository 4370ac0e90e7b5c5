"""Messages of a capture with their contents and kinds, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.importing.kinds import Kinds
from ws_load_test.importing.secret_values import find_secrets
from ws_load_test.importing.values import Content

if TYPE_CHECKING:
    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.kinds import Kind
    from ws_load_test.importing.secret_values import Secrets


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


def read_events(capture: Capture) -> tuple[list[Event], Secrets]:
    """Returns the messages of a capture, and its secrets."""
    known: dict[tuple[bytes, bool], Content] = {}

    def content_of(payload: bytes, *, binary: bool) -> Content:
        if (payload, binary) not in known:
            known[payload, binary] = Content.of(payload, binary=binary)
        return known[payload, binary]

    contents = [content_of(one.payload, binary=one.binary) for one in capture.messages]
    pairs = list(zip(capture.messages, contents, strict=True))
    sent_first = [*(one for message, one in pairs if message.is_sent), *(one for m, one in pairs if not m.is_sent)]
    secrets = find_secrets(capture, sent_first)
    kinds = {
        direction: Kinds((one for message, one in pairs if message.direction == direction), secrets.occur_in)
        for direction in ("sent", "received")
    }
    events = [
        Event(index, message.at_ns, message.is_sent, message.binary, content, kinds[message.direction].of(content))
        for index, (message, content) in enumerate(pairs)
    ]
    return events, secrets
