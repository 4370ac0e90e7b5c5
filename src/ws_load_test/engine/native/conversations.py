"""Conversations of sessions that can be lent: what is in flight is known to the compiled loop, or here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.conversations.correlated import CorrelatedConversation
from ws_load_test.engine.conversations.in_flight import InFlightTable, RecentIds
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.conversations.send_only import SendOnlyConversation
from ws_load_test.engine.conversations.streamed import Answer, AnswersById, AnswersInOrder, StreamedConversation
from ws_load_test.engine.native.lending import NOT_LENT, NativeConnection

if TYPE_CHECKING:
    from ws_load_test.engine.conversations.in_flight import Fate
    from ws_load_test.engine.native.reactor import Loan, OpenAnswer, Reactor
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.plan.correlation import CorrelationId

FATES: tuple[Fate | None, ...] = (None, "duplicate", "late")
"""Fates of ids, by the compiled loop's numbers (`ids.h`)."""


def native_conversation(connection: NativeConnection, recent_ids: RecentIds, *, id_is_text: bool) -> Conversation:
    """Returns the conversation that a connection's read policy asks for; ids are texts, or else bytes."""
    reading = connection.reading
    if reading.extract_id is not None:
        by_id = NativeCorrelatedConversation(connection, recent_ids, id_is_text=id_is_text)
        if reading.stream is None:
            return by_id
        return StreamedConversation(connection, by_id, AnswersById(connection, by_id), reading.stream)
    if reading.send_only:
        return SendOnlyConversation(connection)
    in_order = NativeConversation(connection)
    if reading.stream is None:
        return in_order
    return StreamedConversation(connection, in_order, AnswersInOrder(connection, in_order), reading.stream)


def take_over(conversation: Conversation, loan: Loan) -> None:
    """Goes on with what has ids, and with the answers of which messages have come, while a session was lent."""
    if isinstance(conversation, StreamedConversation):
        inner = conversation.inner
        take_over(inner, loan)
        key_of = inner.key_of if isinstance(inner, NativeCorrelatedConversation) else lambda key: key
        conversation.resume([_answer(one, key_of(one.key)) for one in loan.answers])
    elif isinstance(conversation, NativeCorrelatedConversation):
        conversation.take_over(loan)


def _answer(begun: OpenAnswer, key: CorrelationId | None) -> Answer:
    answer = Answer(begun.due_ns, begun.sent_ns, key)
    answer.has_begun, answer.last_ns = begun.has_begun, begun.last_ns
    answer.messages, answer.size_bytes = begun.messages, begun.size_bytes
    return answer


class NativeConversation(InOrderConversation):
    """Messages in flight, in order, of a session that can be lent."""

    def __init__(self, connection: NativeConnection) -> None:
        super().__init__(connection)
        self._session = connection

    def look(self) -> None:
        """Looks whether anything is in flight, wherever that is known."""
        if self._session.slot == NOT_LENT:
            super().look()
        else:
            self._note_look(self._session.lender.reactor.oldest_sent(self._session.slot))


class NativeRecentIds(RecentIds):
    """Fates of ids that the compiled loop remembers, for the sessions that came back as well."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        self._reactor = reactor

    def note(self, connection: int, key: CorrelationId, fate: Fate) -> None:
        """Remembers that a message was answered or given up."""
        self._reactor.note_fate(connection, _as_bytes(key), fate == "late")

    def classify(self, connection: int, key: CorrelationId) -> Fate | None:
        """Returns the kind of another reply to a message; None if nothing is known of it."""
        return FATES[self._reactor.classify(connection, _as_bytes(key))]

    def knows(self, connection: int, key: CorrelationId) -> bool:
        """True if a message with this id was answered or given up, and is not forgotten."""
        return self._reactor.knows(connection, _as_bytes(key))


class LentTable(InFlightTable):
    """Messages in flight by their ids, of a session that can be lent."""

    def __init__(self, memory: RecentIds, connection: NativeConnection) -> None:
        super().__init__(memory, connection.number)
        self._session = connection

    def expire(self, before_ns: int) -> list[tuple[int, int]]:
        """Takes out what was sent before an instant, wherever it is in flight: when each was due and sent."""
        if self._session.slot == NOT_LENT:
            return super().expire(before_ns)
        return self._session.lender.reactor.expire(self._session.slot, before_ns)


class NativeCorrelatedConversation(CorrelatedConversation):
    """Messages in flight by their ids, of a session that can be lent."""

    def __init__(self, connection: NativeConnection, recent_ids: RecentIds, *, id_is_text: bool) -> None:
        """Makes a conversation; ids are texts, or else bytes."""
        super().__init__(connection, recent_ids)
        self.table = LentTable(recent_ids, connection)
        self._id_is_text = id_is_text

    def take_over(self, loan: Loan) -> None:
        """Goes on with the messages that were in flight while the session was lent."""
        rows = ((self.key_of(key), due_ns, sent_ns, number) for key, due_ns, sent_ns, number in loan.by_id)
        self.table.take_over(rows, loan.sent_by_id, loan.latest_answered)

    def key_of(self, key: bytes | None) -> CorrelationId | None:
        """Returns an id of the compiled loop as Python finds it."""
        return key.decode() if key is not None and self._id_is_text else key


def _as_bytes(key: CorrelationId) -> bytes:
    return key.encode() if isinstance(key, str) else key
