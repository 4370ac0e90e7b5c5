"""Seam between a session and the load that it carries: where incoming messages go, and who sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream


class FrameSource(Protocol):
    """At each number, that many messages as frames in a row: a list made ahead of time, or what makes them."""

    def __getitem__(self, count: int, /) -> bytes | memoryview:
        """The next `count` messages."""
        ...


class MessageReceiver(Protocol):
    """Receiver of a session's whole messages. A session has one at a time: first its setup, then its load."""

    @property
    def blocks_load(self) -> bool:
        """True while the load must not begin on the session."""
        ...

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read at `at_ns`. Returns the replies of the load that it completes, 0 or 1."""
        ...

    def on_ended(self) -> None:
        """Takes note that the session has ended; what was in flight stays unanswered."""
        ...


@runtime_checkable
class SettingUp(Protocol):
    """A receiver that sets its session up before the load."""

    async def until_ready(self, timeout_ns: int) -> None:
        """Waits until the load may begin, or the session has ended; closes one of which a step takes too long."""
        ...


class Conversation(Protocol):
    """The messages in flight on one session, and the rule by which a reply completes one of them.

    It knows nothing of the load: `sent` and `record` have the instants, whatever decided them.
    """

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        ...

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave, for messages that differ."""
        ...

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:
        """Takes note of `count` messages that were handed to the kernel together."""
        ...

    def answered(self, count: int) -> int:
        """Takes `count` replies of one read. Returns how many messages they complete, which are in flight no more."""
        ...

    def record(self, count: int, at_ns: int) -> None:
        """Records the times of the `count` messages that `answered` returned; their replies were read at `at_ns`."""
        ...

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message is surely a reply, and no greeting."""
        ...

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read whole at `at_ns`. Returns the replies that it is, 0 or 1."""
        ...

    def look(self) -> None:
        """Looks whether replies may be paired with the wrong messages; called now and then, at random instants."""
        ...

    def expire(self, before_ns: int, timeout_ns: int) -> int:
        """Gives up messages sent before an instant, where the session can go on. Returns how many."""
        ...

    def why_stuck(self, before_ns: int, timeout_ns: int) -> Fault | None:
        """Returns the fault for which the session cannot go on, if there is one."""
        ...

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time that it has waited, and forgets it."""
        ...


class Sender(MessageReceiver, Protocol):
    """One session's part of a load: sends when the load model calls, and knows what is in flight."""

    batches: FrameSource
    """The messages of the session, as frames."""
    carries_load: bool
    """It is one of the sessions among which the load is shared."""

    @property
    def conversation(self) -> Conversation:
        """The messages in flight, and the rule by which replies complete them."""
        ...

    @property
    def sends_load(self) -> bool:
        """True if it sends part of the load; False for a session that only receives."""
        ...

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply or, on a schedule, for their turn to leave."""
        ...

    def on_replies(self, count: int, at_ns: int) -> None:
        """Takes note of `count` replies, read together at `at_ns`, and sends what they make room for."""
        ...

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message is surely a reply, and no greeting."""
        ...

    def send_due(self, due_ns: int) -> bool:
        """Sends a message that is due at an instant, or keeps it until there is room. Returns True if it has left."""
        ...

    def stop_sending(self) -> None:
        """Sends nothing more, for good; what is in flight may still be answered."""
        ...

    def drop_overdue(self, before_ns: int) -> None:
        """Drops messages that have waited to leave since before an instant."""
        ...

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Gives up the messages sent before `before_ns`. Returns True if that ended the session."""
        ...
