"""Senders of a fan-out: publishers, and sessions that only receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.load_models.open_loop import OpenLoopSender
from ws_load_test.messages.marker import MAX_DUE_NS, Marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.conversations.send_only import SendOnlyConversation
    from ws_load_test.engine.fan_out.deliveries import Subscriber
    from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.messages.marker import MarkerCodec
    from ws_load_test.messages.publication import Publication


class Publisher:
    """One publisher's numbers: contiguous, whatever session carries them."""

    __slots__ = ("_codec", "_on_sent", "_publication", "_room_name", "_start_ns", "marker", "next_number", "number")

    def __init__(
        self,
        number: int,
        codec: MarkerCodec,
        publication: Publication,
        *,
        start_ns: int,
        room_name: Callable[[int, int], str],
        on_sent: Callable[[Marker], None],
    ) -> None:
        """Takes its number, and what writes markers.

        Args:
            number: Number of the publisher.
            codec: Writes the markers of the run.
            publication: Values of the fields ``{marker}`` and ``{room}`` of the next message.
            start_ns: Start of the load.
            room_name: Returns the name of the room of a publish, by publisher and number.
            on_sent: Called with each publish that has left.
        """
        self.number = number
        self.next_number = 0
        """Number of its next publish, and how many have left."""
        self.marker = Marker(number, 0, 0, 0)
        """The publish that is about to leave."""
        self._codec = codec
        self._publication = publication
        self._start_ns = start_ns
        self._room_name = room_name
        self._on_sent = on_sent

    def prepare(self, due_ns: int) -> None:
        """Sets the fields of the message that is due at an instant, which leaves next."""
        number, publication = self.next_number, self._publication
        lag_ns = max(0, monotonic_ns() - due_ns)
        since_ns = min(max(0, due_ns - self._start_ns), MAX_DUE_NS)
        self.marker = Marker(self.number, number, since_ns, since_ns + lag_ns)
        publication.marker = self._codec.encode(self.number, number, since_ns, lag_ns).decode()
        publication.room = self._room_name(self.number, number)

    def confirm(self) -> None:
        """Takes note that the message has left; the number of one that has not is used again."""
        self.next_number += 1
        self._on_sent(self.marker)


class PublishingSender(OpenLoopSender):
    """Sends on the schedule, each message with a number and instants of its own."""

    def __init__(
        self,
        load: OpenLoopRunner,
        connection: Connection,
        conversation: Conversation,
        subscriber: Subscriber,
        *,
        publisher: Callable[[], Publisher],
    ) -> None:
        """Takes the session, its receiver of deliveries, and what returns its publisher once the load has begun."""
        super().__init__(load, connection, conversation)
        self.subscriber = subscriber
        self._publisher = publisher
        self.on_message = subscriber.on_message
        self.is_awaited = subscriber.is_awaited

    def send_due(self, due_ns: int) -> bool:
        """Publishes a message that is due, or keeps it until there is room. Returns True if it has left."""
        publisher = self._publisher()
        publisher.prepare(due_ns)
        has_left = super().send_due(due_ns)
        if has_left:
            publisher.confirm()
        return has_left


class ReceivingSender:
    """Stands for the sender of a session that only receives."""

    __slots__ = ("batches", "connection", "conversation", "is_awaited", "on_message", "subscriber")

    blocks_load = False
    carries_load = False
    sends_load = False
    in_flight = 0

    def __init__(self, connection: Connection, conversation: SendOnlyConversation, subscriber: Subscriber) -> None:
        """Takes the session, what counts its pushes, and its receiver of deliveries."""
        self.connection = connection
        self.conversation: Conversation = conversation
        self.subscriber = subscriber
        self.batches: FrameSource = (b"",)
        self.on_message = subscriber.on_message
        self.is_awaited = subscriber.is_awaited

    def on_replies(self, count: int, at_ns: int) -> None:
        """Does nothing: a subscriber awaits no reply."""

    def send_due(self, due_ns: int) -> bool:  # noqa: ARG002 - nothing is ever due
        """Returns False: it sends nothing."""
        return False

    def stop_sending(self) -> None:
        """Does nothing: it sends nothing."""

    def drop_overdue(self, before_ns: int) -> None:
        """Does nothing: nothing waits to leave."""

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:  # noqa: ARG002 - nothing is in flight
        """Returns False: nothing is in flight."""
        return False

    def on_ended(self) -> None:
        """Does nothing: nothing is in flight."""
