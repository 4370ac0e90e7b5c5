"""Messages that await no reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.conversations.in_order import InOrderConversation

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.connection import Connection


class SendOnlyConversation(InOrderConversation):
    """A queue that stays empty: a message is unanswered once it has left, and whatever comes is a push."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._owner = connection.owner

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:
        """Counts messages that have left as unanswered."""
        if due_ns >= self._owner.samples.measured_from_ns:
            tally = self._owner.tally
            tally.unanswered += count
            # No reply will bring it to the samples.
            tally.send_lag_ns.record(max(0, sent_ns - due_ns), count)

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - all are the same
        """Counts a push."""
        return self._connection.count_unsolicited(payload)
