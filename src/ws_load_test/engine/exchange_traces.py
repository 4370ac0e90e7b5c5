"""Traces of exchanges, for plans whose messages carry a trace context: which was slow, and which failed.

A conversation is wrapped: the trace context of each message is noted when it is made, and found again when its reply
comes. What it costs: about 1 µs a message. A plan without ``{traceparent}`` has no object of this module.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.messages.generator import PayloadStream
from ws_load_test.messages.trace_context import is_sampled, trace_id_of
from ws_load_test.metrics.trace_examples import TraceExamples

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.messages.generator import FrameEncoding
    from ws_load_test.messages.trace_context import TraceContexts
    from ws_load_test.plan.correlation import CorrelationId


MAX_PUBLISHES = 1 << 16
"""Publishes whose trace is known when one of their deliveries is found missing, of about 200 bytes each."""
MISSING = "missing"
"""Name under which missing deliveries stand beside the kinds of faults."""


class InFlight(NamedTuple):
    """A message in flight."""

    due_ns: int
    sent_ns: int
    traceparent: str
    """Value of its field; empty where the message has none."""


class TraceLog:
    """Slowest exchanges and faults of one worker since the last report."""

    def __init__(self, contexts: TraceContexts) -> None:
        """Takes what makes the values of ``{traceparent}``."""
        self.contexts = contexts
        self._found = TraceExamples()
        self.at_fault = ""
        """Value of the message about which a fault is counted now; empty: the fault is of a connection."""
        self._publishes: dict[tuple[int, int], str] = {}
        """Values of the latest publishes of this worker, by publisher and number."""
        self._of_steps: dict[int, str] = {}
        self._ended: dict[int, str] = {}
        """Value of the oldest message that was in flight on each connection that has just ended."""

    def answered(self, traceparent: str, took_ns: int) -> None:
        """Takes note of an exchange of the measured time, and its response time."""
        if traceparent:
            self._found.note(max(0, took_ns), trace_id_of(traceparent), sampled=is_sampled(traceparent))

    def published(self, publisher: int, number: int) -> None:
        """Takes note that a publish of this worker has left, whose message was the latest that was made."""
        traceparent, self.contexts.latest = self.contexts.latest, ""
        if traceparent:
            self._publishes[publisher, number] = traceparent
            if len(self._publishes) > MAX_PUBLISHES:
                del self._publishes[next(iter(self._publishes))]

    def missing(self, publisher: int, number: int) -> None:
        """Takes note of a publish that is missing somewhere; of another worker's, its trace is not known here."""
        traceparent = self._publishes.get((publisher, number), "")
        if traceparent:
            self._found.note_fault(MISSING, trace_id_of(traceparent), sampled=is_sampled(traceparent))

    def session_ended(self, connection: int, traceparent: str) -> None:
        """Takes note of the oldest message in flight on a connection that has ended."""
        self._ended[connection] = traceparent

    def sent_step(self, connection: int, traceparent: str) -> None:
        """Takes note of the message that a step of a session has sent."""
        self._of_steps[connection] = traceparent

    def of_step(self, connection: int) -> str:
        """Returns the value of the message that a session's present step has sent; empty without one."""
        return self._of_steps.get(connection, "")

    def forget(self, connection: int) -> None:
        """Forgets what was in flight on a connection: another session takes its place."""
        self._of_steps.pop(connection, None)
        self._ended.pop(connection, None)

    def fault_counted(self, kind: str, connection: int | None) -> None:
        """Takes note of a fault: of the message in question, else of the oldest in flight, else of the connection."""
        traceparent = self.at_fault
        if not traceparent and connection is not None:
            traceparent = self._ended.pop(connection, "") or self.contexts.of_connection(connection)
        if traceparent:
            self._found.note_fault(kind, trace_id_of(traceparent), sampled=is_sampled(traceparent))

    def take(self) -> TraceExamples:
        """Returns what was found since the last call."""
        found, self._found = self._found, TraceExamples()
        return found


class ExchangeTraces:
    """A conversation that passes everything on, and knows the trace context of each message in flight."""

    def __init__(self, connection: Connection, conversation: Conversation, log: TraceLog) -> None:
        self._connection = connection
        self._conversation = conversation
        self._log = log
        log.forget(connection.number)
        self._made: deque[tuple[str, CorrelationId | None]] = deque()
        """Trace context and id of each message that has been made and has not left."""
        self._by_id = connection.reading.extract_id is not None
        self._in_order: deque[InFlight] = deque()
        """Messages in flight where replies come in order, the oldest first."""
        self._of_ids: dict[CorrelationId | None, deque[InFlight]] = {}
        """Messages in flight by their ids, of each the oldest first."""
        self._replied = 0
        """Replies of this read whose messages have not been recorded."""
        # Straight to the conversation, which these concern alone.
        self.answered = conversation.answered
        self.look = conversation.look
        self.is_awaited = conversation.is_awaited
        self.why_stuck = conversation.why_stuck

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        return self._conversation.in_flight

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave, and whose trace contexts are noted then."""
        render_next, contexts, made = payloads.next, self._log.contexts, self._made
        message_key = self._connection.reading.message_key

        def noted() -> bytes:
            contexts.latest = ""
            payload = render_next()
            made.append((contexts.latest, None if message_key is None else message_key(payload)))
            return payload

        return self._conversation.new_frames(PayloadStream(noted, payloads.opcode), encoder)

    def sent(self, count: int, due_ns: int, sent_ns: int) -> None:
        """Takes note of `count` messages that were handed to the kernel together."""
        self._conversation.sent(count, due_ns, sent_ns)
        for _ in range(count):
            traceparent, key = self._made.popleft()
            message = InFlight(due_ns, sent_ns, traceparent)
            if self._by_id:
                self._of_ids.setdefault(key, deque()).append(message)
            else:
                self._in_order.append(message)

    def record(self, count: int, at_ns: int) -> None:
        """Records the times of `count` messages, and notes those that were answered in order."""
        self._conversation.record(count, at_ns)
        self._replied = 0
        if not self._by_id:
            for _ in range(count):
                self._note(self._in_order.popleft(), at_ns)

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read whole at `at_ns`. Returns the replies that it is, 0 or 1."""
        log = self._log
        key, waiting = None, self._in_order
        if self._by_id:
            extract_id = self._connection.reading.extract_id
            assert extract_id is not None
            key = extract_id(payload)
            waiting = self._of_ids.get(key) or deque()
        place = 0 if self._by_id else self._replied
        log.at_fault = waiting[place].traceparent if place < len(waiting) else ""
        replies = self._conversation.on_message(opcode, payload, at_ns)
        log.at_fault = ""
        if replies and self._by_id:
            if waiting:
                self._note(waiting.popleft(), at_ns)
            if not waiting:
                self._of_ids.pop(key, None)
        else:
            self._replied += replies
        return replies

    def expire(self, before_ns: int, timeout_ns: int) -> int:
        """Gives up messages sent before an instant. Returns how many."""
        overdue: list[InFlight] = []
        for key, waiting in list(self._of_ids.items()):
            while waiting and waiting[0].sent_ns < before_ns:
                overdue.append(waiting.popleft())
            if not waiting:
                del self._of_ids[key]
        return self._attributed(min(overdue, default=None), lambda: self._conversation.expire(before_ns, timeout_ns))

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, and forgets it."""
        waiting = [*self._in_order, *(one for messages in self._of_ids.values() for one in messages)]
        if waiting:
            self._log.session_ended(self._connection.number, min(waiting).traceparent)
        self._in_order.clear()
        self._of_ids.clear()
        self._made.clear()
        self._replied = 0
        self._conversation.on_ended()

    def _attributed(self, message: InFlight | None, act: Callable[[], int]) -> int:
        """Calls `act`, whose faults are those of a message."""
        self._log.at_fault = "" if message is None else message.traceparent
        count = act()
        self._log.at_fault = ""
        return count

    def _note(self, message: InFlight, at_ns: int) -> None:
        if message.due_ns >= self._connection.owner.samples.measured_from_ns:
            self._log.answered(message.traceparent, at_ns - message.due_ns)
