"""Deliveries to the sessions of one worker: from the bytes of a read to a row of their publish. The hot path.

What it costs. A broadcast is mostly the same bytes for every subscriber, and mostly one read is one message. So the
bytes of a read are looked up first, and where they are known, a delivery takes a clock reading, the look-up, and two
appends: less than a message that is only counted. What is not known goes the ordinary way of frames, is read whole, and
is looked up by its payload; only the first message of a publish is searched for its marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.fan_out.read_turns import ReadTurns
from ws_load_test.engine.sessions.connection import Connection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ws_load_test.engine.fan_out.accounting import Accounting
    from ws_load_test.engine.fan_out.membership import RoomMembers
    from ws_load_test.engine.fan_out.publish import Publish
    from ws_load_test.engine.fan_out.recognition import Recognizer
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.messages.marker import Marker
    from ws_load_test.metrics.tally import Tally

MAX_KNOWN = 4096
"""Reads, and payloads, that are known at most: more than there are publishes on their way at once."""
NO_ROOM = -1
"""Room of a session that only publishes."""
MAX_KNOWN_BYTES = 4096
"""Bytes of the longest read that is remembered, so that all take 32 MiB at most."""


class SessionColumns(NamedTuple):
    """Sessions that a publish has come to: the room and the slot of each, and when its delivery was read."""

    rooms: NDArray[np.int64]
    slots: NDArray[np.int64]
    times: NDArray[np.int64]


class Deliveries:
    """Publishes by the bytes that deliver them, for all sessions of a worker."""

    def __init__(self, accounting: Accounting) -> None:
        self.accounting = accounting
        self.recognizer: Recognizer | None = None
        """Rule by which messages are deliveries; None until the load begins."""
        self.turns = ReadTurns()
        self.reads: dict[bytes, Publish] = {}
        """Publish of each read that was one message."""
        self.payloads: dict[bytes, Publish] = {}
        """Publish of each payload."""
        self.messages = 0
        """Messages of the present read so far."""
        self.latest: Publish | None = None
        """Publish that the latest message delivers, if it delivers one alone."""
        accounting.on_retired = self._forget

    def count_foreign(self, count: int, tally: Tally) -> None:
        """Counts messages that have the marker of another run."""
        tally.deliveries_foreign += count

    def take_many(self, marker: Marker, sessions: SessionColumns, members: RoomMembers, tally: Tally) -> None:
        """Takes deliveries of one publish, as `Recipient` takes each; `members` are those of its room."""
        accounting, (rooms, slots, times) = self.accounting, sessions
        if not accounting.is_possible(marker):
            self.count_foreign(len(rooms), tally)
            return
        right = rooms == members.room
        if not right.all():
            publishers = int(np.count_nonzero(rooms == NO_ROOM))
            tally.deliveries_to_publisher += publishers
            if accounting.is_measured(marker):
                tally.deliveries_misdelivered += int(np.count_nonzero(~right)) - publishers
            slots, times = slots[right], times[right]
            if not len(slots):
                return
        publish = accounting.publish_of(marker)
        if publish is not None:
            publish.slots.frombytes(slots.tobytes())
            publish.times.frombytes(times.tobytes())
        elif accounting.is_measured(marker):
            # As in `Recipient`: it is retired.
            was_there = members.joining_ns[slots - members.first_slot] <= accounting.sent_ns(marker)
            tally.deliveries_late += int(np.count_nonzero(was_there))
            tally.deliveries_replayed += int(np.count_nonzero(~was_there))

    def know_read(self, data: bytes, publish: Publish) -> None:
        """Remembers the bytes of a read that was one message."""
        self._know(self.reads, data, publish)

    def know_payload(self, payload: bytes, publish: Publish) -> None:
        """Remembers a message."""
        self._know(self.payloads, payload, publish)

    @staticmethod
    def _know(known: dict[bytes, Publish], data: bytes, publish: Publish) -> None:
        if len(data) > MAX_KNOWN_BYTES:
            return
        if len(known) >= MAX_KNOWN:
            known.clear()
        known[data] = publish
        publish.keys.append(data)

    def _forget(self, publish: Publish) -> None:
        for key in publish.keys:
            for known in (self.reads, self.payloads):
                if known.get(key) is publish:
                    del known[key]


class Recipient:
    """One session as deliveries reach it."""

    __slots__ = ("connection", "deliveries", "reads", "room", "slot")

    def __init__(self, connection: Connection, deliveries: Deliveries, room: RoomMembers | None, slot: int) -> None:
        """Takes the session's room and slot; a session that only publishes has no room."""
        self.connection = connection
        self.deliveries = deliveries
        self.reads = deliveries.reads
        """Publishes by reads that need not be looked at."""
        self.room = room
        self.slot = slot

    def take(self, payload: bytes, at_ns: int) -> bool:
        """Takes a message that was read at an instant. Returns True if it is a delivery, which is counted."""
        deliveries = self.deliveries
        # Messages of one read share its instant; a nanosecond each keeps their order.
        at_ns += deliveries.messages
        deliveries.messages += 1
        publish = deliveries.payloads.get(payload)
        if publish is not None and publish.room is self.room:
            deliveries.latest = publish
            publish.add_slot(self.slot)
            publish.add_time(at_ns)
            return True
        deliveries.latest = None
        if deliveries.recognizer is None:
            return False
        markers, is_foreign = deliveries.recognizer.recognize(payload)
        tally = self.connection.owner.tally
        tally.deliveries_foreign += is_foreign
        if not markers:
            return False
        found = [self._deliver(marker, at_ns) for marker in markers]
        if len(found) == 1 and (publish := found[0]) is not None:
            deliveries.latest = publish
            deliveries.know_payload(payload, publish)
        return True

    def is_delivery(self, payload: bytes) -> bool:
        """Returns True for a message that is a delivery; it is not counted."""
        deliveries = self.deliveries
        if payload in deliveries.payloads:
            return True
        recognizer = deliveries.recognizer
        return recognizer is not None and bool(recognizer.recognize(payload).markers)

    def _deliver(self, marker: Marker, at_ns: int) -> Publish | None:
        """Counts a delivery. Returns the publish if it was for this session's room."""
        accounting, tally = self.deliveries.accounting, self.connection.owner.tally
        if not accounting.is_possible(marker):
            tally.deliveries_foreign += 1
            return None
        if self.room is None:
            tally.deliveries_to_publisher += 1
            return None
        if accounting.room_of(marker) != self.room.room:
            tally.deliveries_misdelivered += accounting.is_measured(marker)
            return None
        publish = accounting.publish_of(marker)
        if publish is None:
            # It is retired, and not known any more whether it has come before.
            if accounting.is_measured(marker):
                was_there = self.room.joining_ns[self.slot - self.room.first_slot] <= accounting.sent_ns(marker)
                tally.deliveries_late += int(was_there)
                tally.deliveries_replayed += int(not was_there)
            return None
        publish.add_slot(self.slot)
        publish.add_time(at_ns)
        return publish


class Subscriber(Recipient):
    """Receiver of one session's deliveries; what is none goes to the session's conversation."""

    __slots__ = ("conversation",)

    blocks_load = False

    def __init__(
        self,
        connection: Connection,
        conversation: Conversation,
        deliveries: Deliveries,
        room: RoomMembers | None,
        slot: int,
    ) -> None:
        """Takes what `Recipient` takes, and the session's conversation."""
        super().__init__(connection, deliveries, room, slot)
        self.conversation = conversation

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Takes a message. Returns the replies of the load that it is: a delivery is none."""
        return 0 if self.take(payload, at_ns) else self.conversation.on_message(opcode, payload, at_ns)

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message is a delivery, or surely a reply, and no greeting."""
        return self.is_delivery(payload) or self.conversation.is_awaited(payload)


class SubscriberConnection(Connection):
    """A session that receives deliveries."""

    subscriber: Recipient

    def data_received(self, data: bytes) -> None:
        """Counts a delivery if the bytes are known to be one; else reads frames. The hot path."""
        subscriber = self.subscriber
        publish = subscriber.reads.get(data)
        if (
            publish is not None
            and publish.room is subscriber.room
            and not self._partial
            and self._fragmented_bytes < 0
            and self._unread is None
            and self._pending_end is None
            and self.deflate is None
        ):
            at_ns = monotonic_ns()
            self.owner.tally.bytes_received += len(data)
            publish.add_slot(subscriber.slot)
            publish.add_time(at_ns)
            turns = subscriber.deliveries.turns
            if not turns.is_open:
                turns.begin(at_ns)
            return
        deliveries = subscriber.deliveries
        if not deliveries.turns.is_open:
            deliveries.turns.begin(monotonic_ns())
        deliveries.messages, deliveries.latest = 0, None
        at_rest = not self._partial and self._fragmented_bytes < 0 and self.deflate is None
        super().data_received(data)
        latest: Publish | None = deliveries.latest
        # One message and nothing else: a frame is longer than its payload by 2, 4 or 10 bytes.
        if latest is not None and at_rest and deliveries.messages == 1 and self._is_one_frame(data):
            deliveries.know_read(data, latest)

    def _is_one_frame(self, data: bytes) -> bool:
        """Returns True if what was read is one whole frame, and nothing is left of it."""
        is_at_end = not self._partial and self._unread is None and self._pending_end is None
        return is_at_end and self._frame_end(data) == len(data)

    def _frame_end(self, data: bytes) -> int:
        length = data[1]
        return 2 + length if length < 126 else self._end_of_long(data, 0)
