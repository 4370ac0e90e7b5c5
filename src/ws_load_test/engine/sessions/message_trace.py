"""Trace hook of an open session: what its listener is called with as messages are counted.

Normal runs have no listener. Replies are reported by `conversations.traced`, so that the hot path has no hook at all.
"""

from __future__ import annotations

from typing import Literal, Protocol

MessageKind = Literal["reply", "first", "part", "first-reply", "greeting", "late", "duplicate", "push"]
"""Decision on a message: completes one of ours; counts as the first of an answer that has not ended, or is another
part of it; answers a first message; is a greeting; answers a message that was given up, or one that has its answer; is
unsolicited."""


class MessageTrace(Protocol):
    """Observer of the engine's decision on each message."""

    def message_counted(self, kind: MessageKind, took_ns: int | None = None) -> None:
        """A message was counted; `took_ns` is the time since the message that it answers was sent, if it does."""
        ...
