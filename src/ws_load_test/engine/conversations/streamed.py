"""Answers of many messages: all that answers a message, up to and including an end mark.

Stands beside a conversation that pairs replies in order or by id, which sees only the end marks, so that response times
and counts of answers are its own. Here the messages before them are added up: how long the first one took from when the
message was due, the gaps between them, and what a whole answer came to.

What it costs: 1 to 2 µs for each message of an answer besides reading it whole (benchmarks/streams.py). A plan without
``--until`` has no object of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.engine.conversations.correlated import CorrelatedConversation
    from ws_load_test.engine.conversations.in_order import InOrderConversation
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageKind
    from ws_load_test.engine.sessions.read_policy import StreamRules
    from ws_load_test.engine.sessions.sender import FrameSource
    from ws_load_test.messages.generator import FrameEncoding, PayloadStream
    from ws_load_test.metrics.sample_buffer import SampleBuffer
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.correlation import CorrelationId, NumberReader

PER_KILOSECOND_NS = 10**12
"""Nanoseconds of 1,000 s: rates of answers are kept per 1,000 s, as whole numbers with three decimals of a second's."""


class Answer:
    """An answer of which a message has come, and the end mark has not."""

    __slots__ = ("due_ns", "has_begun", "key", "last_ns", "messages", "sent_ns", "size_bytes")

    def __init__(self, due_ns: int, sent_ns: int, key: CorrelationId | None = None) -> None:
        self.due_ns = due_ns
        """Instant at which the message that it answers was due."""
        self.sent_ns = sent_ns
        self.key = key
        """Id of that message; None where answers come in order."""
        self.has_begun = False
        """The message that counts as the first has come."""
        self.last_ns = 0
        """Instant at which the latest message from the first on was read."""
        self.messages = 0
        self.size_bytes = 0
        """Payload of its messages."""


class Recorder(Protocol):
    """Owner of the counts and times of messages."""

    tally: Tally

    @property
    def samples(self) -> SampleBuffer:
        """Its times that have not been counted yet."""
        ...


class OpenAnswers(Protocol):
    """Answers of one session that have not ended, found by their messages."""

    def find(self, payload: bytes) -> Answer | None:
        """Returns the answer that a message is a part of; None where nothing in flight is answered by it."""
        ...

    def end(self, answer: Answer) -> None:
        """Takes note that the end mark of an answer has come."""
        ...

    def all_recorded(self) -> None:
        """Takes note that the answers that have ended are in flight no more."""
        ...

    def count_stray(self, payload: bytes) -> None:
        """Counts a message that is no end mark and answers nothing in flight."""
        ...

    def expire(self, before_ns: int) -> Iterable[Answer]:
        """Takes out the answers to messages sent before an instant, where the session goes on without them."""
        ...

    def clear(self) -> Iterable[Answer]:
        """Takes out all answers."""
        ...

    def resume(self, answers: Iterable[Answer]) -> None:
        """Goes on with answers that have begun elsewhere."""
        ...


class AnswersInOrder:
    """The one answer that has begun, where they come in the order of their messages."""

    def __init__(self, connection: Connection, conversation: InOrderConversation) -> None:
        self._connection = connection
        self._conversation = conversation
        self._open: Answer | None = None
        self._ended = 0
        """Answers that have ended in this read; the conversation takes their messages for in flight until its end."""

    def find(self, payload: bytes) -> Answer | None:  # noqa: ARG002 - the order decides
        """Returns the answer to the oldest message whose answer has not ended."""
        if self._open is None:
            instants = self._conversation.instants_at(self._ended)
            if instants is not None:
                self._open = Answer(*instants)
        return self._open

    def end(self, answer: Answer) -> None:  # noqa: ARG002 - there is one
        """Takes note that the end mark has come."""
        self._open = None
        self._ended += 1

    def all_recorded(self) -> None:
        """Takes note that the answers that have ended are in flight no more."""
        self._ended = 0

    def count_stray(self, payload: bytes) -> None:
        """Counts a push; but what still comes of an answer that was given up is none."""
        if self._connection.close_fault is None:
            self._connection.count_unsolicited(payload)

    def expire(self, before_ns: int) -> Iterable[Answer]:  # noqa: ARG002 - as InOrderConversation.expire
        """Returns none: a session with an overdue answer ends."""
        return ()

    def clear(self) -> Iterable[Answer]:
        """Takes out the answer that has begun."""
        answer, self._open, self._ended = self._open, None, 0
        return () if answer is None else (answer,)

    def resume(self, answers: Iterable[Answer]) -> None:
        """Goes on with the answer that has begun elsewhere, if one has."""
        for answer in answers:
            self._open = answer


class AnswersById:
    """Answers whose messages all carry the id of the message that they answer."""

    def __init__(self, connection: Connection, conversation: CorrelatedConversation) -> None:
        self._conversation = conversation
        extract_id = connection.reading.extract_id
        assert extract_id is not None
        self._extract_id = extract_id
        self._open: dict[CorrelationId, Answer] = {}

    def find(self, payload: bytes) -> Answer | None:
        """Returns the answer to the oldest message in flight with the id of this one."""
        key = self._extract_id(payload)
        if key is None:
            return None
        answer = self._open.get(key)
        if answer is None:
            instants = self._conversation.table.oldest(key)
            if instants is None:
                return None
            answer = self._open[key] = Answer(*instants, key)
        return answer

    def end(self, answer: Answer) -> None:
        """Takes note that the end mark of an answer has come."""
        assert answer.key is not None
        del self._open[answer.key]

    def all_recorded(self) -> None:
        """Does nothing: the table has them no more as soon as they end."""

    def count_stray(self, payload: bytes) -> None:
        """Counts a push, and an id that no message had."""
        self._conversation.count_stray(payload)

    def expire(self, before_ns: int) -> Iterable[Answer]:
        """Takes out the answers to messages sent before an instant."""
        expired = [answer for answer in self._open.values() if answer.sent_ns < before_ns]
        for answer in expired:
            self.end(answer)
        return expired

    def clear(self) -> Iterable[Answer]:
        """Takes out all answers."""
        answers = list(self._open.values())
        self._open.clear()
        return answers

    def resume(self, answers: Iterable[Answer]) -> None:
        """Goes on with answers that have begun elsewhere."""
        self._open |= {answer.key: answer for answer in answers if answer.key is not None}


class StreamedConversation:
    """A conversation whose answers are everything up to an end mark."""

    def __init__(
        self,
        connection: Connection,
        conversation: InOrderConversation | CorrelatedConversation,
        answers: OpenAnswers,
        rules: StreamRules,
    ) -> None:
        self._connection = connection
        self.inner = conversation
        """Messages in flight, which end marks complete."""
        self._conversation = conversation
        self._answers = answers
        self.resume = answers.resume
        self._is_last, self._is_first = rules.is_last, rules.is_first
        self._stall_ns, self._read_count = rules.stall_ns, rules.read_count
        # Straight to the conversation, which these concern alone.
        self.sent = conversation.sent
        self.record = conversation.record
        self.look = conversation.look
        self.is_awaited = conversation.is_awaited
        self.why_stuck = conversation.why_stuck

    @property
    def in_flight(self) -> int:
        """Messages whose answer has not ended."""
        return self._conversation.in_flight

    def new_frames(self, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns frames that are made when they leave, for messages that differ."""
        return self._conversation.new_frames(payloads, encoder)

    def answered(self, count: int) -> int:
        """Takes `count` end marks of one read. Returns how many messages they complete."""
        self._answers.all_recorded()
        return self._conversation.answered(count)

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message read whole at `at_ns`. Returns 1 if it is the end mark of an answer, else 0."""
        answer = self._answers.find(payload)
        is_last = self._is_last(payload)
        if answer is None:
            return self._on_stray(opcode, payload, at_ns, is_last=is_last)
        owner = self._connection.owner
        is_measured = answer.due_ns >= owner.samples.measured_from_ns
        kind: MessageKind = "part"
        answer.messages += 1
        answer.size_bytes += len(payload)
        if answer.has_begun:
            if is_measured:
                record_gap(owner, at_ns - answer.last_ns, self._stall_ns)
            answer.last_ns = at_ns
        elif self._is_first is None or self._is_first(payload):
            answer.has_begun, answer.last_ns, kind = True, at_ns, "first"
            if is_measured:
                owner.tally.first_time_ns.record(max(0, at_ns - answer.due_ns))
        if is_measured:
            owner.tally.streamed += 1
            if is_last:
                record_answer(owner, answer, payload, at_ns, self._read_count)
        if is_last:
            self._answers.end(answer)
            return self._conversation.on_message(opcode, payload, at_ns)
        if self._connection.trace is not None:
            self._connection.trace.message_counted(kind, at_ns - answer.sent_ns)
        return 0

    def _on_stray(self, opcode: int, payload: bytes, at_ns: int, *, is_last: bool) -> int:
        """Takes a message that answers nothing in flight. Returns the replies that it is, 0 or 1."""
        if is_last:
            # One answer too many, or the end of one that was given up.
            return self._conversation.on_message(opcode, payload, at_ns)
        self._answers.count_stray(payload)
        return 0

    def expire(self, before_ns: int, timeout_ns: int) -> int:
        """Gives up messages sent before an instant, however much of their answers has come. Returns how many."""
        self._count_broken_off(self._answers.expire(before_ns))
        return self._conversation.expire(before_ns, timeout_ns)

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, and the answers that had begun as broken off."""
        self._count_broken_off(self._answers.clear())
        self._conversation.on_ended()

    def _count_broken_off(self, answers: Iterable[Answer]) -> None:
        owner = self._connection.owner
        for answer in answers:
            owner.tally.broken_off += answer.due_ns >= owner.samples.measured_from_ns


def record_gap(owner: Recorder, gap_ns: int, stall_ns: int) -> None:
    """Records a gap between two messages of an answer; one longer than `stall_ns` is a stall."""
    owner.samples.note_gap(gap_ns)
    if gap_ns > stall_ns:
        owner.tally.stalls += 1
    elif gap_ns <= 0:
        owner.tally.came_together += 1


def record_answer(owner: Recorder, answer: Answer, payload: bytes, at_ns: int, read_count: NumberReader | None) -> None:
    """Records the size and the rates of an answer whose end mark, `payload`, was read at `at_ns`."""
    tally = owner.tally
    tally.without_first += not answer.has_begun
    took_ns = max(1, at_ns - answer.due_ns)
    tally.answer_messages.record(answer.messages)
    tally.answer_bytes.record(answer.size_bytes)
    tally.answer_messages_per_ks.record(answer.messages * PER_KILOSECOND_NS // took_ns)
    tally.answer_bytes_per_ks.record(answer.size_bytes * PER_KILOSECOND_NS // took_ns)
    if read_count is None:
        return
    count = read_count(payload)
    if count is None:
        tally.without_count += 1
        return
    tally.answer_count.record(count)
    tally.answer_count_per_ks.record(count * PER_KILOSECOND_NS // took_ns)
