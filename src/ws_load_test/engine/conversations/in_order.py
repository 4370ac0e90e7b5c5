"""Replies in the order of their messages: the first reply answers the oldest message in flight."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.conversations.queue_looks import QueueLooks
from ws_load_test.messages.generator import FrameBatches
from ws_load_test.metrics.sample_buffer import LAST_ROW
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import FrameSource
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream


class InOrderConversation:
    """Messages in flight in a queue. Messages that left together are one entry, so their replies can share a row."""

    def __init__(self, connection: Connection) -> None:
        self.in_flight = 0
        self.pending: deque[tuple[int, int, int]] = deque()
        """In flight, oldest first: when it was due, when it was sent, and how many messages left together."""
        self._connection = connection
        self.looks = QueueLooks()
        """Looks at the queue."""

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave."""
        return FrameBatches(payloads, encoder)

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:
        """Takes note of `count` messages that left together."""
        self.pending.append((due_ns, sent_ns, count))
        self.in_flight += count

    def answered(self, count: int) -> int:
        """Takes `count` replies. Returns how many messages they complete; further replies are pushes."""
        surplus = count - self.in_flight
        if surplus > 0:
            # A reply to a message that was given up came too late to count, but it is not unsolicited.
            if self._connection.close_fault is None:
                tally = self._connection.owner.tally
                tally.pushed += surplus
                tally.surplus_replies += surplus
                if self._connection.trace is not None:
                    self._connection.trace.message_counted("push")
            count = self.in_flight
        self.in_flight -= count
        return count

    def record(self, count: int, at_ns: int) -> None:
        """Records the times of the `count` oldest messages, whose replies were read at `at_ns`."""
        samples, pending = self._connection.owner.samples, self.pending
        while count:
            due_ns, sent_ns, together = pending[0]
            if together <= count:
                pending.popleft()
            else:
                pending[0] = (due_ns, sent_ns, together - count)
                together = count
            count -= together
            # Written out, because every reply on a schedule comes here (`SampleBuffer.append` costs a call).
            row = samples.length
            samples.due[row] = due_ns
            samples.sent[row] = sent_ns
            samples.done[row] = at_ns
            samples.count[row] = together
            samples.length = row + 1
            if row == LAST_ROW:
                samples.flush()

    def instants_at(self, place: int) -> tuple[int, int] | None:
        """Returns when the message was due and sent before which `place` others are in flight; None without one."""
        for due_ns, sent_ns, together in self.pending:
            if place < together:
                return due_ns, sent_ns
            place -= together
        return None

    def look(self) -> None:
        """Looks whether anything is in flight: a session on which a reply was lost is never without a message again."""
        self._note_look(self.pending[0][1] if self.pending else 0)

    def _note_look(self, oldest_ns: int) -> None:
        """Counts a look that found the oldest message in flight sent at an instant, 0 without one."""
        change = self.looks.add(oldest_ns)
        if change > 0:
            self._connection.owner.tally.pairing_suspected += 1
        elif change < 0:
            self._connection.owner.tally.pairing_cleared += 1

    def is_awaited(self, payload: bytes) -> bool:  # noqa: ARG002 - the content says nothing about the order
        """Returns False: any message could be a greeting."""
        return False

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read whole. Returns 1, since every message is a reply, unless only pongs are."""
        connection = self._connection
        if connection.reading.pongs != (opcode == frames.PONG):
            return connection.count_unsolicited(payload)
        if at_ns >= connection.owner.samples.measured_from_ns:
            connection.check_reply(payload)
        return 1

    def expire(self, before_ns: int, timeout_ns: int) -> int:  # noqa: ARG002 - as `why_stuck` says
        """Returns 0: a session with an overdue reply cannot go on."""
        return 0

    def why_stuck(self, before_ns: int, timeout_ns: int) -> Fault | None:
        """Returns a fault if the oldest message was sent before an instant.

        A reply that still came would be taken for the answer to a later message, so the session must end.
        """
        if not self.pending or self.pending[0][1] >= before_ns:
            return None
        return Fault(FaultKind.REPLY_TIMEOUT, text=f"did not answer a message within {format_duration(timeout_ns)}")

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time that it has waited."""
        owner, now_ns = self._connection.owner, monotonic_ns()
        for due_ns, sent_ns, count in self.pending:
            owner.samples.note_unanswered(due_ns, sent_ns, count)
            if due_ns >= owner.samples.measured_from_ns:
                owner.tally.unanswered += count
                owner.tally.unanswered_wait_ns.record(max(0, now_ns - due_ns), count)
        self.pending.clear()
        self.in_flight = 0
        # What is left without a reply is counted now, and says more than a suspicion.
        self.look()
