"""The audience of one worker: its subscribers by room, its publishers, and the accounting between them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.sharding import shard_of
from ws_load_test.engine.conversations import new_conversation
from ws_load_test.engine.conversations.in_flight import RecentIds
from ws_load_test.engine.conversations.send_only import SendOnlyConversation
from ws_load_test.engine.fan_out.accounting import Accounting
from ws_load_test.engine.fan_out.deliveries import Deliveries, Recipient, Subscriber, SubscriberConnection
from ws_load_test.engine.fan_out.groups import delivery_groups
from ws_load_test.engine.fan_out.membership import MemberColumns, RoomMembers
from ws_load_test.engine.fan_out.publish import NO_SLOT
from ws_load_test.engine.fan_out.recognition import IdRecognizer, MarkerRecognizer
from ws_load_test.engine.fan_out.senders import Publisher, PublishingSender, ReceivingSender
from ws_load_test.messages.generator import PayloadStream
from ws_load_test.messages.marker import MarkerCodec
from ws_load_test.metrics.fan_out_report import SlowSubscriber
from ws_load_test.plan.correlation import Correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.engine import LoadWindow
    from ws_load_test.engine.exchange_traces import TraceLog
    from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.read_policy import ReadPolicy
    from ws_load_test.engine.sessions.sender import FrameSource
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.messages.generator import FrameEncoding
    from ws_load_test.messages.marker import Marker
    from ws_load_test.messages.publication import Publication
    from ws_load_test.metrics.fan_out_report import FollowedPublish
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

MAX_FOLLOWED_PER_S = 1_000
"""Publishes a second that are followed over all workers at most: each is a row of some 40 bytes in the reports."""
UNKNOWN_PER_S = 10_000
"""Publishes a second, over all workers, that are taken for the rate where each follows the reply to the one before."""
DRAIN_CHECK_S = 0.02
"""Time between two looks whether all deliveries have come, at the end of the load."""
SLOWEST = 10
"""Subscribers that are named because their deliveries took longest."""


class TallyOwner(Protocol):
    """Owner of counts, which are other ones after each collection."""

    @property
    def tally(self) -> Tally:
        """Counts since they were last collected."""
        ...


class Audience:
    """Subscribers and publishers of one share of a plan."""

    connection_type: ClassVar[type[SubscriberConnection]] = SubscriberConnection
    """Class of its sessions."""

    def __init__(self, plan: Plan, share: Shard, publication: Publication) -> None:
        """Takes the values of ``{marker}`` and ``{room}`` that the worker's messages are rendered with."""
        fan_out = plan.fan_out
        assert fan_out is not None
        self._plan = plan
        self._fan_out = fan_out
        self._publication = publication
        self._publishers: dict[int, Publisher] = {}
        self._payload = b""
        self._recent_ids = RecentIds()
        self._start_ns = 0
        self._codec = MarkerCodec(b"000")
        self._rooms: list[RoomMembers] = []
        self._places: dict[int, tuple[RoomMembers, int]] = {}
        """Room and place of each subscriber of this worker, by the number of its connection."""
        self._workers = share.count
        self._columns = self._assign_places(share)
        per_s = plan.peak_publishes_per_s
        self._accounting = Accounting(
            fan_out,
            self._rooms,
            self._columns,
            plan.timeout_ns,
            slot_of=self._slot_of_publisher,
            follow_every=max(1, -(-round(UNKNOWN_PER_S if per_s is None else per_s) // MAX_FOLLOWED_PER_S)),
        )
        self._accounting.group_by(*delivery_groups(fan_out, self._rooms))
        self.deliveries = Deliveries(self._accounting)
        self._slowest: list[SlowSubscriber] = []
        self._traces: TraceLog | None = None

    def trace_through(self, log: TraceLog) -> None:
        """Notes the trace contexts of publishes, and of those that are missing somewhere."""
        self._traces, self._accounting.on_missing = log, log.missing

    def _assign_places(self, share: Shard) -> MemberColumns:
        fan_out, by_room = self._fan_out, [list[int]() for _ in self._fan_out.rooms]
        for position in range(share.size(fan_out.sessions)):
            number = share.global_index(position)
            subscriber = fan_out.subscriber_of(number)
            if subscriber is not None:
                by_room[subscriber % len(by_room)].append(subscriber)
        columns = MemberColumns([fan_out.is_timed(one) for subscribers in by_room for one in subscribers])
        first_slot = 0
        for number, subscribers in enumerate(by_room):
            room = RoomMembers(number, subscribers, columns, first_slot)
            self._rooms.append(room)
            for place, subscriber in enumerate(subscribers):
                self._places[fan_out.connection_of(subscriber)] = room, place
            first_slot += len(subscribers)
        return columns

    def _slot_of_publisher(self, publisher: int) -> int:
        connection = self._fan_out.connection_of_publisher(publisher)
        return NO_SLOT if connection is None else self._place(connection)[1]

    def _place(self, number: int) -> tuple[RoomMembers | None, int]:
        """Returns the room and the slot of a connection; neither for one that only publishes."""
        room, place = self._places.get(number, (None, 0))
        return (None, NO_SLOT) if room is None else (room, room.first_slot + place)

    # --- Sessions ---------------------------------------------------------------------------------------------------

    def connection(
        self, owner: SessionListener, reading: ReadPolicy, number: int, load: OpenLoopRunner
    ) -> SubscriberConnection:
        """Returns connection `number` of the run, with its part of the fan-out, about to be dialed."""
        connection = self.connection_type(owner, reading)
        connection.number = number
        room, slot = self._place(number)
        publisher = self._fan_out.publisher_of(number)
        if publisher is None:
            conversation = SendOnlyConversation(connection)
            connection.subscriber = Subscriber(connection, conversation, self.deliveries, room, slot)
            connection.carry(ReceivingSender(connection, conversation, connection.subscriber))
        else:
            acknowledgments = new_conversation(connection, self._recent_ids)
            connection.subscriber = Subscriber(connection, acknowledgments, self.deliveries, room, slot)
            get_publisher = partial(self.publisher, publisher)
            connection.carry(
                PublishingSender(load, connection, acknowledgments, connection.subscriber, publisher=get_publisher)
            )
        return connection

    def recipient(self, connection: SubscriberConnection) -> Recipient:
        """Returns a session of a scenario as deliveries reach it."""
        connection.subscriber = Recipient(connection, self.deliveries, *self._place(connection.number))
        return connection.subscriber

    def publisher_on(self, number: int) -> Publisher:
        """Returns the publisher that a connection is."""
        publisher = self._fan_out.publisher_of(number)
        assert publisher is not None
        return self.publisher(publisher)

    def frames(self, connection: Connection, payloads: PayloadStream, encoder: FrameEncoding) -> FrameSource:
        """Returns the frames of a publisher, as its conversation makes them."""
        return connection.sender.conversation.new_frames(self.noted(payloads), encoder)

    def noted(self, payloads: PayloadStream) -> PayloadStream:
        """Returns the payloads of a publisher, of which the one that leaves can be recognized by its id."""
        return PayloadStream(partial(self._next_payload, payloads.next), payloads.opcode)

    def _next_payload(self, render_next: Callable[[], bytes]) -> bytes:
        self._payload = payload = render_next()
        return payload

    def dialing(self, number: int) -> None:
        """Takes note of the start of a dial."""
        if number in self._places:
            room, place = self._places[number]
            room.joining(place, monotonic_ns())

    def joined(self, number: int) -> None:
        """Takes note of the end of a session's set-up."""
        if number in self._places:
            room, place = self._places[number]
            room.joined(place, monotonic_ns())

    def left(self, number: int, *, by_target: bool) -> None:
        """Takes note of the end of a session, or of our close."""
        if number in self._places:
            room, place = self._places[number]
            room.left(place, monotonic_ns(), by_target=by_target)

    # --- The load ---------------------------------------------------------------------------------------------------

    def start(self, window: LoadWindow) -> None:
        """Begins: markers have the tag of the run and count from its start."""
        self._start_ns = window.start_ns
        self._codec = MarkerCodec(window.tag)
        self._accounting.start_ns = window.start_ns
        self._accounting.measured_from_ns = window.measure_from_ns
        first, count = window.host_workers
        if 0 < count < self._workers:
            own = range(first, first + count)
            self._accounting.is_on_this_host = lambda publisher: shard_of(publisher, self._workers) in own
        rule = self._fan_out.marker
        if rule.kind == "marker":
            self.deliveries.recognizer = MarkerRecognizer(self._codec)
        else:
            ids = Correlation(rule=rule.kind, selector=rule.pattern)
            self.deliveries.recognizer = IdRecognizer(ids.message_id_extractor(), ids.reply_id_extractor())

    def publisher(self, number: int) -> Publisher:
        """Returns a publisher, whose numbers go on whatever session carries them."""
        publisher = self._publishers.get(number)
        if publisher is None:
            fan_out = self._fan_out
            publisher = self._publishers[number] = Publisher(
                number,
                self._codec,
                self._publication,
                start_ns=self._start_ns,
                room_name=lambda publisher, n: fan_out.rooms[fan_out.room_of_publish(publisher, n)],
                on_sent=self._on_sent,
            )
        return publisher

    def _on_sent(self, marker: Marker) -> None:
        recognizer = self.deliveries.recognizer
        assert recognizer is not None
        recognizer.sent(self._payload, marker)
        if self._traces is not None:
            self._traces.published(marker.publisher, marker.number)
        self._accounting.publish_of(marker)

    @property
    def counts(self) -> dict[int, int]:
        """Publishes that have left, of each publisher of this worker."""
        return {number: publisher.next_number for number, publisher in self._publishers.items()}

    # --- Counting ---------------------------------------------------------------------------------------------------

    def collect_into(self, tally: Tally) -> None:
        """Counts what has come, and settles what can be."""
        self._accounting.flush(tally, self.deliveries.turns)
        self.deliveries.turns.forget()
        self._accounting.settle(monotonic_ns(), tally)

    def take_followed(self) -> list[FollowedPublish]:
        """Returns the followed publishes that were settled since the last call."""
        return self._accounting.take_followed()

    def take_slowest(self) -> list[SlowSubscriber]:
        """Returns the subscribers whose deliveries took longest on average, once they are known."""
        slowest, self._slowest = self._slowest, []
        return slowest

    async def drain(self, published: Mapping[int, int], counts: TallyOwner) -> None:
        """Waits for the deliveries that are still to come, and settles everything.

        Args:
            published: Publishes of each publisher of the run, as far as they are known.
            counts: Owner of the worker's counts since they were last collected.
        """
        # What other workers have sent last may be known by its number alone.
        self._accounting.expect(published)
        deadline_ns = monotonic_ns() + self._plan.timeout_ns
        self.collect_into(counts.tally)
        while not self._accounting.can_end() and monotonic_ns() < deadline_ns:
            await asyncio.sleep(min(DRAIN_CHECK_S, max(0, deadline_ns - monotonic_ns()) / NS_PER_S))
            self.collect_into(counts.tally)
        self._accounting.finish(monotonic_ns(), published, counts.tally)
        self._finish_subscribers(counts.tally)

    def _finish_subscribers(self, tally: Tally) -> None:
        """Counts the mean time of each subscriber, and finds the slowest."""
        columns = self._columns
        timed = np.flatnonzero(columns.delivery_count)
        if not len(timed):
            return
        means = (columns.delivery_sum_ns[timed] / columns.delivery_count[timed]).astype(np.int64)
        tally.subscriber_mean_time_ns.record_block(means)
        subscribers = [one for room in self._rooms for one in room.subscribers]
        self._slowest = [
            SlowSubscriber(
                subscriber=subscribers[slot],
                mean_ns=int(mean_ns),
                expected=int(columns.expected[slot]),
                delivered=int(columns.delivered[slot]),
            )
            for slot, mean_ns in sorted(zip(timed, means, strict=True), key=lambda one: -one[1])[:SLOWEST]
        ]
