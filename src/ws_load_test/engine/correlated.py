"""Connections of either load on which replies may come in any order: each is told by the id in it.

A reply that does not come spoils nothing here: the message is given up, and the session goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.closed_loop import DynamicClosedLoopConnection
from ws_load_test.engine.in_flight import InFlightTable
from ws_load_test.engine.open_loop import OpenLoopConnection
from ws_load_test.metrics.sample_buffer import CAPACITY

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable

    from ws_load_test.engine.closed_loop import ClosedLoopRunner
    from ws_load_test.engine.connection import Connection
    from ws_load_test.engine.in_flight import RecentIds
    from ws_load_test.engine.open_loop import OpenLoopRunner
    from ws_load_test.engine.read_policy import ReadPolicy
    from ws_load_test.engine.session import SessionListener
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream
    from ws_load_test.plan.correlation import CorrelationId, IdExtractor

_LAST_ROW = CAPACITY - 1
DueSent = tuple[int, int]
"""When a message was due and when it was sent."""


class CorrelatedFrames:
    """Frames made when they leave, whose ids the ledger is told."""

    def __init__(
        self, payloads: PayloadStream, encoder: FrameEncoding, key: IdExtractor, ledger: InFlightTable
    ) -> None:
        self._next, self._frame, self._key, self._ledger = payloads.next, encoder.frame, key, ledger

    def __getitem__(self, count: int) -> bytes:
        """The next `count` messages."""
        payloads = [self._next() for _ in range(count)]
        self._ledger.about_to_send = list(map(self._key, payloads))
        return b"".join(map(self._frame, payloads))


class _SendTimeTable(InFlightTable):
    """Of a closed load, where a message is due when it is sent, and a row says how many left instead."""

    def append(self, instants: DueSent) -> None:
        super().append((instants[0], instants[0]))


class CorrelatedClosedLoopConnection(DynamicClosedLoopConnection):
    """A connection under a closed load."""

    def __init__(
        self, owner: SessionListener, flood: ClosedLoopRunner, reading: ReadPolicy, memory: RecentIds, number: int
    ) -> None:
        super().__init__(owner, flood, reading)
        self.ledger = _SendTimeTable(memory, number)
        # All that the load asks of its queue, a ledger can do.
        self.pending = cast("deque[tuple[int, int]]", self.ledger)
        self._paired: list[DueSent] = []

    def is_awaited(self, payload: bytes) -> bool:
        """Whether a message is surely a reply, and no greeting."""
        return _is_awaited(self, payload)

    def match_reply(self, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - what counts is when its message was due
        """A message has come that may be a reply; returns 1 if it is, else 0."""
        return _pair(self, self._paired, payload)

    def on_replies(self, count: int, at_ns: int) -> None:
        """Sends as many messages as were answered, then notes the times of those that were."""
        paired, self._paired = self._paired, []
        self.in_flight -= count
        self.send(count)
        _note(self, paired, at_ns)

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Gives up the messages sent before an instant, and sends others; the session goes on."""
        expired = self.ledger.expire(before_ns)
        if expired:
            _give_up(self, expired, timeout_ns)
            self.in_flight -= len(expired)
            self.send(len(expired))
        return _end_if_stuck(self, before_ns, timeout_ns)

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time that it has waited."""
        _count_unanswered(self, self.pending)
        self.pending.clear()
        self.in_flight = 0
        self.load.on_idle(self)


class CorrelatedOpenLoopConnection(OpenLoopConnection):
    """A connection under an open load."""

    def __init__(
        self, owner: SessionListener, paced: OpenLoopRunner, reading: ReadPolicy, memory: RecentIds, number: int
    ) -> None:
        super().__init__(owner, paced, reading)
        self.ledger = InFlightTable(memory, number)
        # As above.
        self.pending = cast("deque[tuple[int, int]]", self.ledger)
        self._paired: list[DueSent] = []

    def is_awaited(self, payload: bytes) -> bool:
        """Whether a message is surely a reply, and no greeting."""
        return _is_awaited(self, payload)

    def match_reply(self, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - what counts is when its message was due
        """A message has come that may be a reply; returns 1 if it is, else 0."""
        return _pair(self, self._paired, payload)

    def on_replies(self, count: int, at_ns: int) -> None:  # noqa: ARG002 - the pairs are at hand
        """Notes the times of the messages answered, and sends what waited for room."""
        paired, self._paired = self._paired, []
        _note(self, paired, at_ns)
        self.send_backlog()

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Gives up the messages sent before an instant, and drops those that wait since then; the session goes on."""
        self.drop_overdue(before_ns)
        expired = self.ledger.expire(before_ns)
        if expired:
            _give_up(self, expired, timeout_ns)
            self.send_backlog()
        return _end_if_stuck(self, before_ns, timeout_ns)


def _pair(
    connection: CorrelatedClosedLoopConnection | CorrelatedOpenLoopConnection, paired: list[DueSent], payload: bytes
) -> int:
    key = connection.reading.extract_id(payload) if connection.reading.extract_id is not None else None
    if key is None:
        return connection.count_unsolicited(payload)
    owner, ledger = connection.owner, connection.ledger
    instants = ledger.match(key, owner.tally)
    if instants is None:
        return _stray(connection, ledger, key, payload)
    paired.append(instants)
    if instants[0] >= owner.samples.measured_from_ns:
        connection.check_reply(payload)
    return 1


def _is_awaited(connection: CorrelatedClosedLoopConnection | CorrelatedOpenLoopConnection, payload: bytes) -> bool:
    key = connection.reading.extract_id(payload) if connection.reading.extract_id is not None else None
    return key in connection.ledger


def _stray(connection: Connection, ledger: InFlightTable, key: CorrelationId, payload: bytes) -> int:
    """A message with an id that nothing in flight has: one reply too many, or none of ours."""
    tally = connection.owner.tally
    fate = ledger.classify(key)
    if fate == "late":
        tally.late_replies += 1
        return 0
    if fate == "duplicate":
        tally.duplicate_replies += 1
        return 0
    # An echo that was never sent is a mere push; an id that was never given may be a mistake of either side.
    tally.unknown_id += not connection.reading.id_is_payload
    return connection.count_unsolicited(payload)


def _note(connection: Connection, paired: Iterable[DueSent], at_ns: int) -> None:
    samples = connection.owner.samples
    for due_ns, sent_ns in paired:
        row = samples.length
        # Under a closed load both columns are the same.
        samples.due[row] = due_ns
        samples.sent[row] = sent_ns
        samples.done[row] = at_ns
        samples.count[row] = 1
        samples.length = row + 1
        if row == _LAST_ROW:
            samples.flush()


def _give_up(connection: Connection, expired: list[DueSent], timeout_ns: int) -> None:
    fault = Fault(FaultKind.REPLY_TIMEOUT, text=f"did not answer a message within {format_duration(timeout_ns)}")
    for due_ns, _ in expired:
        if due_ns >= connection.owner.samples.measured_from_ns:
            connection.owner.fault(fault)
    _count_unanswered(connection, expired)


def _end_if_stuck(
    connection: CorrelatedClosedLoopConnection | CorrelatedOpenLoopConnection, before_ns: int, timeout_ns: int
) -> bool:
    """Ends a session whose target does not even read any more; returns whether it did."""
    if connection.closing or not connection.blocked_since(before_ns):
        return False
    connection.close(
        Fault(FaultKind.REPLY_TIMEOUT, text=f"did not read a message within {format_duration(timeout_ns)}")
    )
    connection.on_ended()
    return True


def _count_unanswered(connection: Connection, messages: Iterable[DueSent]) -> None:
    tally, measured_from_ns, now_ns = connection.owner.tally, connection.owner.samples.measured_from_ns, monotonic_ns()
    for due_ns, _ in messages:
        if due_ns >= measured_from_ns:
            tally.unanswered += 1
            tally.unanswered_wait_ns.record(max(0, now_ns - due_ns))
