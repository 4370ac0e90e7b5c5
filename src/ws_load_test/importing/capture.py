"""Model of a capture: one WebSocket session with its messages in both directions."""

from __future__ import annotations

from typing import Literal

import msgspec

Direction = Literal["sent", "received"]


class CapturedMessage(msgspec.Struct, frozen=True):
    """One data message of a session."""

    at_ns: int
    """Instant, from the beginning of the capture."""
    direction: Direction
    """Sent by the client, or received by it."""
    payload: bytes
    binary: bool = False

    @property
    def is_sent(self) -> bool:
        """True if the client sent it."""
        return self.direction == "sent"


class Capture(msgspec.Struct, frozen=True):
    """One session."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the upgrade request."""
    subprotocols: tuple[str, ...] = ()
    """Subprotocols that the client offered."""
    started_ns: int | None = None
    """Wall clock at the beginning, in ns since 1970; None where it is not known."""
    messages: tuple[CapturedMessage, ...] = ()
    """Messages in the order in which the client sent and received them."""
    label: str = ""
    """Name that the file has for the session; empty for none."""

    @property
    def sent(self) -> int:
        """Number of messages that the client sent."""
        return sum(one.is_sent for one in self.messages)
