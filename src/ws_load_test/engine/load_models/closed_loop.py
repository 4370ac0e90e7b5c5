"""The closed loop: every connection keeps K messages in flight. The hot path of sending and pairing.

What it costs. Per read that holds replies: one write of as many messages as there were replies, encoded ahead of
time; one row in the sample columns for each earlier write that the replies belong to. Replies of one read that belong
to one write share a row, so the cost per message falls with the number in flight.

Where replies come in order and messages are all the same, the instant at which a read's replies were read is also the
instant at which their successors are due and sent: the write is the next thing that happens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.conversations.in_order import InOrderConversation
from ws_load_test.engine.load_models.load_model import UNLIMITED, LoadSender, do_nothing, frames_vary
from ws_load_test.metrics.sample_buffer import LAST_ROW
from ws_load_test.plan.load import ClosedLoop
from ws_load_test.plan.load_sharing import LoadState, LoadSwitch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.plan.plan import Plan

START_BATCH = 32
"""Connections that send their first messages before the loop turns to replies again."""
LARGEST_COPIES_BYTES = 1 << 20
"""Memory for a copy of each batch of frames, one for each number in flight; above it batches are views of one copy."""


class ClosedLoopRunner:
    """Shared state of the connections of one worker: the frames, and how many messages may still leave."""

    due_when_sent: ClassVar[bool] = True

    def __init__(
        self,
        frames: memoryview,
        in_flight: int,
        on_idle: Callable[[Connection], None],
        *,
        worker: int = 0,
        messages: int | None = None,
        shared: bool = False,
        on_exhausted: Callable[[], None] = do_nothing,
    ) -> None:
        """Makes the load of one worker.

        Args:
            frames: `in_flight` equal frames; empty where each connection makes its own.
            in_flight: Messages in flight on each connection.
            on_idle: Called whenever a connection has nothing in flight and may send nothing.
            worker: The worker's number.
            messages: Messages that may be sent from `limit` on; None: any number.
            shared: Other workers send of the same messages, and have them dealt anew when one has no more.
            on_exhausted: Called once no worker may send any more.
        """
        frame_bytes = len(frames) // in_flight
        # Bytes where they are few, since they are cheaper to hand over; views of one copy where they are many.
        small = in_flight * len(frames) <= LARGEST_COPIES_BYTES
        views = (frames[: count * frame_bytes] for count in range(in_flight + 1))
        self.batches: list[bytes | memoryview] = [bytes(view) if small else view for view in views]
        self.frame_bytes = frame_bytes
        self.in_flight = in_flight
        self.remaining = UNLIMITED
        """Messages that may still be sent."""
        self.on_idle = on_idle
        """Called whenever a connection has nothing in flight and may send nothing."""
        self.sessions = 0
        self.on_change: Callable[[], None] = do_nothing
        self.held = False
        """True from `hold` until `switch`."""
        self._worker = worker
        self._limited = False
        """Messages are counted: the warm-up, if there is one, is over."""
        self._budget = UNLIMITED if messages is None else messages
        """Messages that may be sent once they are counted."""
        self._returned = 0
        """Messages that the latest hold has taken away."""
        self._last = not shared
        """There is nothing more to get once none may leave."""
        self._on_exhausted = on_exhausted
        self._waiting: dict[ClosedLoopSender, int] = {}
        """Connections that may not send now, and how many messages each would."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        share: Shard,
        owner: SessionListener,  # noqa: ARG003 - without a session no message is due
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> Self:
        """Returns the closed loop of a plan (`LoadModel.of`)."""
        assert isinstance(plan.load, ClosedLoop)
        frames = memoryview(b"") if frames_vary(plan) else plan.message.frames(plan.load.in_flight)
        shared = share.count > 1 and plan.messages is not None
        return cls(
            frames,
            plan.load.in_flight,
            on_idle,
            worker=share.index,
            # Several workers get theirs when the load begins.
            messages=0 if shared else plan.messages,
            shared=shared,
            on_exhausted=on_exhausted,
        )

    @property
    def exhausted(self) -> bool:
        """True once no message may leave any more."""
        return self._last and not self.remaining

    def sender(self, connection: Connection, conversation: Conversation) -> ClosedLoopSender:
        """Returns the part of the load that a new connection carries."""
        return ClosedLoopSender(self, connection, conversation)

    def prepare(self, start_ns: int, switch: LoadSwitch) -> None:  # noqa: ARG002 - it starts when it is called
        """Takes note of how many messages are this worker's at first."""
        self.switch(switch)

    def limit(self, count: int | None = None) -> None:
        """Ends the load after so many more messages; None: as many as this worker has, or gets."""
        self._limited = True
        self.remaining, self._budget = self._budget if count is None else count, 0

    def start(self, senders: Sequence[ClosedLoopSender], start_ns: int = 0, end_ns: int = UNLIMITED) -> None:
        """Each connection sends its first messages, a few connections between two turns of the loop."""
        for sender in senders[:START_BATCH]:
            self._take(sender)
            sender.send(self.in_flight)
        if senders[START_BATCH:]:
            asyncio.get_running_loop().call_soon(self.start, senders[START_BATCH:], start_ns, end_ns)

    def add(self, sender: ClosedLoopSender) -> None:
        """A connection that has opened later sends its first messages now."""
        self._take(sender)
        self.on_change()
        sender.send(self.in_flight)

    def _take(self, sender: ClosedLoopSender) -> None:
        sender.carries_load = True
        self.sessions += 1

    def no_longer_carries(self, sender: ClosedLoopSender) -> None:
        """Counts a session less, once."""
        self._waiting.pop(sender, None)
        if sender.carries_load:
            sender.carries_load = False
            self.sessions -= 1
            self.on_change()

    def end(self, now_ns: int = 0) -> int:  # noqa: ARG002 - nothing waits for its turn
        """Sends nothing more. Returns how many messages might have left."""
        if self.held:
            self.switch(LoadSwitch(withdrawn=True))
        unsent, self.remaining = self.remaining, 0
        self._last = True
        return unsent

    def give_up(self) -> None:
        """Does nothing: `end` has returned what a limit had left, and without a limit nothing is due."""

    # --- Sharing with other workers ---------------------------------------------------------------------------------

    def hold(self, until_ns: int, sessions: int) -> LoadState:  # noqa: ARG002 - nothing is due before it is sent
        """Gives back all messages that have not been sent."""
        if self._limited:
            self._returned, self.remaining = self._returned + self.remaining, 0
        else:
            self._returned, self._budget = self._returned + self._budget, 0
        self.held = True
        return msgspec.structs.replace(self.state(), sessions=sessions, unsent=self._returned)

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share."""
        granted = switch.messages[self._worker] if switch.messages else 0
        if switch.withdrawn:
            granted = self._returned
        self._returned, self.held, self._last = 0, False, self._last or switch.exhausted
        if self._limited:
            self.remaining += granted
        else:
            self._budget += granted
        waiting, self._waiting = self._waiting, {}
        for sender, count in waiting.items():
            sender.send(count)
        if switch.exhausted:
            self._on_exhausted()

    def state(self) -> LoadState:
        """Returns what may be sent, and what waits to be."""
        unsent = self.remaining if self._limited else self._budget
        return LoadState(self.sessions, unsent=unsent, waiting=sum(self._waiting.values()))

    def wait_for_more(self, sender: ClosedLoopSender, count: int) -> None:
        """Takes note that a connection would send so many messages more, if others have left some."""
        if not self._last:
            is_first = not self._waiting
            self._waiting[sender] = self._waiting.get(sender, 0) + count
            if is_first:
                # The fleet asks only if any waits, and how many when it deals: not each of thousands need be reported.
                self.on_change()


class ClosedLoopSender(LoadSender):
    """Sends a message for each reply."""

    def __init__(self, load: ClosedLoopRunner, connection: Connection, conversation: Conversation) -> None:
        super().__init__(connection, conversation, load.batches)
        self.load = load
        self.stopped = False
        """Nothing more leaves; what is in flight may still be answered."""
        self._due_at_read = False
        """Messages are at hand, so that they are due and sent at the instant of the read that makes room for them."""
        self.on_replies: Callable[[int, int], None] = self._on_replies
        if isinstance(conversation, InOrderConversation) and load.frame_bytes:
            self._due_at_read = True
            self._queue = conversation
            self.on_replies = self._on_replies_in_order

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply."""
        return self.conversation.in_flight

    def _on_replies_in_order(self, count: int, at_ns: int) -> None:
        """Sends as many equal messages as were answered in order, then records the times of those that were."""
        queue, load, connection = self._queue, self.load, self.connection
        pending = queue.pending
        all_at_once = len(pending) == 1 and queue.in_flight == count <= load.remaining
        if all_at_once and not (connection.closing or self.stopped):
            # All that was in flight left together, and was answered together: the write first, then the bookkeeping.
            batch = self.batches[count]
            try:
                written = connection.write(batch)
            except OSError as error:
                if not self._is_blocked(error):
                    queue.in_flight = 0
                    queue.record(count, at_ns)
                    return
                written = 0
            if written != len(batch):
                connection.write_buffered(batch[written:])
            sent_ns = pending[0][1]
            pending[0] = (at_ns, at_ns, count)
            load.remaining -= count
            owner = connection.owner
            tally, samples = owner.tally, owner.samples
            tally.sent += count
            tally.bytes_sent += len(batch)
            # Written out, because it is the hottest line of all; due and sent are one column.
            row = samples.length
            samples.sent[row] = sent_ns
            samples.done[row] = at_ns
            samples.count[row] = count
            samples.length = row + 1
            if row == LAST_ROW:
                samples.flush()
            return
        self._on_replies(count, at_ns)

    def _on_replies(self, count: int, at_ns: int) -> None:
        """Sends as many messages as were answered, then records the times of those that were."""
        conversation = self.conversation
        answered = conversation.answered(count)
        if answered:
            self.send(answered, at_ns if self._due_at_read else 0)
            conversation.record(answered, at_ns)

    def send(self, count: int, due_ns: int = 0) -> None:
        """Sends `count` messages, or as many as are left; they are due at `due_ns`, or once they have been made."""
        load, connection = self.load, self.connection
        if count > load.remaining and not (connection.closing or connection.ended or self.stopped):
            load.wait_for_more(self, count - load.remaining)
            count = load.remaining
        if connection.closing or connection.ended or self.stopped or not count:
            if not self.conversation.in_flight:
                load.on_idle(connection)
            return
        batch = self.batches[count]
        sent_ns = due_ns or monotonic_ns()
        try:
            written = connection.write(batch)
        except OSError as error:
            if not self._is_blocked(error):
                return
            written = 0
        if written != len(batch):
            connection.write_buffered(batch[written:])
        load.remaining -= count
        self.conversation.sent(count, sent_ns, sent_ns)
        tally = connection.owner.tally
        tally.sent += count
        tally.bytes_sent += len(batch)

    def send_due(self, due_ns: int) -> bool:  # noqa: ARG002 - due when it is sent
        """Sends one message. Returns True."""
        self.send(1)
        return True

    def refill(self, count: int) -> None:
        """Sends a message for each that is in flight no more."""
        self.send(count)

    def _is_blocked(self, error: OSError) -> bool:
        """True if the kernel's buffer is full, so that the transport must keep the bytes.

        Else the session is dead: nothing has left, so nothing is counted.
        """
        if isinstance(error, ConnectionResetError):
            self.connection.reset_by = error
        return isinstance(error, BlockingIOError)

    def drop_overdue(self, before_ns: int) -> None:
        """Does nothing: messages leave when there is room, and never wait for it."""

    def stop_sending(self) -> None:
        """Sends nothing more, for good."""
        self.stopped = True
        self.load.no_longer_carries(self)

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered."""
        self.load.no_longer_carries(self)
        self.conversation.on_ended()
        self.load.on_idle(self.connection)
