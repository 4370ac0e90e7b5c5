"""Values of ``{marker}`` and ``{room}``: set before a message is rendered, since only its sender knows them."""

from __future__ import annotations

from ws_load_test.messages.marker import MarkerCodec

PUBLICATION = "publication"
"""Name of the `Publication` in the expressions of fields."""
SAMPLE_MARKER = MarkerCodec(b"000").encode(0, 0, 0, 0).decode()
"""Marker of a message that is only rendered to look at it."""
SAMPLE_ROOM = "0"
"""Room of such a message; the first of a plan that names none."""


class Publication:
    """Marker and room of the message that is rendered next; the same object for all messages of a worker."""

    __slots__ = ("marker", "room")

    def __init__(self, marker: str = SAMPLE_MARKER, room: str = SAMPLE_ROOM) -> None:
        self.marker = marker
        self.room = room
