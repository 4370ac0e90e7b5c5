"""Conversations: the rules by which replies are paired with messages.

A rule is one module, and one line of `new_conversation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.conversations.correlated import CorrelatedConversation
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.conversations.send_only import SendOnlyConversation

if TYPE_CHECKING:
    from ws_load_test.engine.conversations.in_flight import RecentIds
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation


def new_conversation(connection: Connection, recent_ids: RecentIds) -> Conversation:
    """Returns the conversation that a connection's read policy asks for."""
    if connection.reading.extract_id is not None:
        return CorrelatedConversation(connection, recent_ids)
    if connection.reading.send_only:
        return SendOnlyConversation(connection)
    return InOrderConversation(connection)
