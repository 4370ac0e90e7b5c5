"""A conversation whose replies are reported, whichever rule pairs them; for sessions with a `MessageTrace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageTrace
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream


class TracedConversation:
    """Passes everything on, and reports each message that was completed."""

    def __init__(self, connection: Connection, conversation: Conversation, trace: MessageTrace) -> None:
        self._connection = connection
        self._conversation = conversation
        self._trace = trace

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        return self._conversation.in_flight

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave, for messages that differ."""
        return self._conversation.new_frames(payloads, encoder)

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:
        """Takes note of `count` messages that were handed to the kernel together."""
        self._conversation.sent(count, due_ns, sent_ns)

    def answered(self, count: int) -> int:
        """Takes `count` replies of one read. Returns how many messages they complete."""
        return self._conversation.answered(count)

    def record(self, count: int, at_ns: int) -> None:
        """Records the times of `count` messages, and reports them."""
        self._conversation.record(count, at_ns)
        samples = self._connection.owner.samples
        for _ in range(count):
            self._trace.message_counted("reply", at_ns - samples.sent[samples.length - 1])

    def look(self) -> None:
        """Looks as the conversation does."""
        self._conversation.look()

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message is surely a reply, and no greeting."""
        return self._conversation.is_awaited(payload)

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read whole at `at_ns`. Returns the replies that it is, 0 or 1."""
        return self._conversation.on_message(opcode, payload, at_ns)

    def expire(self, before_ns: int, timeout_ns: int) -> int:
        """Gives up messages sent before an instant. Returns how many."""
        return self._conversation.expire(before_ns, timeout_ns)

    def why_stuck(self, before_ns: int, timeout_ns: int) -> Fault | None:
        """Returns the fault for which the session cannot go on, if there is one."""
        return self._conversation.why_stuck(before_ns, timeout_ns)

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, and forgets it."""
        self._conversation.on_ended()
