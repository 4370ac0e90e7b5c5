"""Conversations: the rules by which replies are paired with messages.

A rule is one module, and one line of `new_conversation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.conversations.correlated import CorrelatedConversation
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.conversations.send_only import SendOnlyConversation
from ws_load_test.engine.conversations.streamed import AnswersById, AnswersInOrder, StreamedConversation

if TYPE_CHECKING:
    from ws_load_test.engine.conversations.in_flight import RecentIds
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation


def new_conversation(connection: Connection, recent_ids: RecentIds) -> Conversation:
    """Returns the conversation that a connection's read policy asks for."""
    reading = connection.reading
    if reading.extract_id is not None:
        by_id = CorrelatedConversation(connection, recent_ids)
        if reading.stream is None:
            return by_id
        return StreamedConversation(connection, by_id, AnswersById(connection, by_id), reading.stream)
    if reading.send_only:
        return SendOnlyConversation(connection)
    in_order = InOrderConversation(connection)
    if reading.stream is None:
        return in_order
    return StreamedConversation(connection, in_order, AnswersInOrder(connection, in_order), reading.stream)
