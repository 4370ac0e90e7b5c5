"""Replies in any order: each carries the id of its message.

A reply that does not come spoils nothing here: the message is given up, and the session goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.conversations.in_flight import InFlightTable
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.engine.conversations.in_flight import RecentIds
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import FrameSource
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream
    from ws_load_test.plan.correlation import CorrelationId, IdExtractor

DueSent = tuple[int, int]
"""Instants at which a message was due and it was sent."""


class CorrelatedFrames:
    """Frames made when they leave, whose ids are noted in the table of messages in flight."""

    def __init__(
        self, payloads: PayloadStream, encoder: FrameEncoding, extract_id: IdExtractor, table: InFlightTable
    ) -> None:
        self._next, self._frame, self._extract_id, self._table = payloads.next, encoder.frame, extract_id, table

    def __getitem__(self, count: int) -> bytes:
        """The next `count` messages."""
        payloads = [self._next() for _ in range(count)]
        self._table.about_to_send = list(map(self._extract_id, payloads))
        return b"".join(map(self._frame, payloads))


class CorrelatedConversation:
    """Messages in flight in a table by their ids."""

    def __init__(self, connection: Connection, recent_ids: RecentIds) -> None:
        self.table = InFlightTable(recent_ids, connection.number)
        self._connection = connection
        self._answered: list[DueSent] = []
        """Messages that the present read has answered, in the order of their replies."""
        reading = connection.reading
        assert reading.extract_id is not None
        self._extract_id = reading.extract_id

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        return len(self.table)

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave, and whose ids are noted then."""
        extract_id = self._connection.reading.message_key
        assert extract_id is not None
        return CorrelatedFrames(payloads, encoder, extract_id, self.table)

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:  # noqa: ARG002 - the table knows their ids
        """Takes note of the messages whose frames were made last."""
        self.table.append((due_ns, sent_ns))

    def answered(self, count: int) -> int:
        """Returns `count`: only messages that complete one in flight were counted as replies."""
        return count

    def record(self, count: int, at_ns: int) -> None:  # noqa: ARG002 - they are at hand
        """Records the times of the messages that were answered in the read of `at_ns`."""
        answered, self._answered = self._answered, []
        samples = self._connection.owner.samples
        for due_ns, sent_ns in answered:
            samples.append(due_ns, sent_ns, at_ns, 1)

    def look(self) -> None:
        """Does nothing: with ids, a reply that is lost leaves no doubt about the others."""

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message has the id of one in flight."""
        return self._extract_id(payload) in self.table

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - its message's instants count
        """Takes a message. Returns 1 if it has the id of one in flight, else 0."""
        connection = self._connection
        if connection.reading.pongs != (opcode == frames.PONG):
            return connection.count_unsolicited(payload)
        key = self._extract_id(payload)
        if key is None:
            return connection.count_unsolicited(payload)
        owner = connection.owner
        instants = self.table.match(key, owner.tally)
        if instants is None:
            return self._count_unmatched(key, payload)
        self._answered.append(instants)
        if instants[0] >= owner.samples.measured_from_ns:
            connection.check_reply(payload)
        return 1

    def _count_unmatched(self, key: CorrelationId, payload: bytes) -> int:
        """Counts a message with an id that nothing in flight has: one reply too many, or none of ours."""
        tally, trace = self._connection.owner.tally, self._connection.trace
        fate = self.table.classify(key)
        if fate is not None:
            tally.late_replies += fate == "late"
            tally.duplicate_replies += fate == "duplicate"
            if trace is not None:
                trace.message_counted(fate)
            return 0
        # An echo that was never sent is a mere push; an id that was never given may be a mistake of either side.
        tally.unknown_id += not self._connection.reading.id_is_payload
        return self._connection.count_unsolicited(payload)

    def count_stray(self, payload: bytes) -> None:
        """Counts a message of an answer that nothing in flight awaits: a push, whose id may be none of ours."""
        key = self._extract_id(payload)
        self._connection.owner.tally.unknown_id += key is not None and not self.table.was_sent(key)
        self._connection.count_unsolicited(payload)

    def expire(self, before_ns: int, timeout_ns: int) -> int:
        """Gives up messages sent before an instant. Returns how many; the session goes on."""
        expired = self.table.expire(before_ns)
        owner = self._connection.owner
        if expired:
            text = f"did not answer a message within {format_duration(timeout_ns)}"
            fault = Fault(FaultKind.REPLY_TIMEOUT, text=text)
            for due_ns, _ in expired:
                if due_ns >= owner.samples.measured_from_ns:
                    owner.fault(fault)
            self._count_unanswered(expired)
        return len(expired)

    def why_stuck(self, before_ns: int, timeout_ns: int) -> Fault | None:
        """Returns a fault if the target has not even read what was sent before an instant."""
        if not self._connection.blocked_since(before_ns):
            return None
        return Fault(FaultKind.REPLY_TIMEOUT, text=f"did not read a message within {format_duration(timeout_ns)}")

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time that it has waited."""
        self._count_unanswered(self.table)
        self.table.clear()

    def _count_unanswered(self, messages: Iterable[DueSent]) -> None:
        owner, now_ns = self._connection.owner, monotonic_ns()
        for due_ns, sent_ns in messages:
            owner.samples.note_unanswered(due_ns, sent_ns, 1)
            if due_ns >= owner.samples.measured_from_ns:
                owner.tally.unanswered += 1
                owner.tally.unanswered_wait_ns.record(max(0, now_ns - due_ns))
