"""The closed load: every connection keeps K messages in flight. The hot path of sending and pairing.

What it costs. Per read that holds replies: one write of as many messages as there were replies, encoded ahead of
time; one row in the sample columns for each earlier write that the replies belong to. Replies of one read that belong
to one write share a row, so the cost per message falls with the number in flight.

Replies are paired with messages in order. The instant at which a read's replies were read is also the instant at
which their successors are due and sent: the write is the next thing that happens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.units import format_duration
from ws_load_test.engine.connection import Connection
from ws_load_test.engine.session import READ_COUNTED, SessionListener
from ws_load_test.metrics.sample_buffer import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.read_policy import ReadPolicy
    from ws_load_test.engine.session import FrameSource

UNLIMITED = 1 << 62
START_BATCH = 32
"""Connections that send their first messages before the loop turns to replies again."""
LARGEST_COPIES_BYTES = 1 << 20
_LAST_ROW = CAPACITY - 1


class ClosedLoopRunner:
    """What the connections of one worker share: the frames, and how many messages may still leave."""

    def __init__(self, frames: memoryview, in_flight: int, on_idle: Callable[[ClosedLoopConnection], None]) -> None:
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

    @property
    def exhausted(self) -> bool:
        """Whether no message may leave any more."""
        return not self.remaining

    def start(self, connections: list[ClosedLoopConnection]) -> None:
        """Each connection sends its first messages, a few connections between two turns of the loop."""
        for connection in connections[:START_BATCH]:
            connection.send(self.in_flight)
        if connections[START_BATCH:]:
            asyncio.get_running_loop().call_soon(self.start, connections[START_BATCH:])

    def add(self, connection: ClosedLoopConnection) -> None:
        """A connection that has opened later sends its first messages now."""
        connection.send(self.in_flight)

    def end(self) -> int:
        """Nothing more leaves; returns how many messages might have."""
        unsent, self.remaining = self.remaining, 0
        return unsent


class ClosedLoopConnection(Connection):
    """A connection under a closed load whose messages are all the same."""

    def __init__(self, owner: SessionListener, flood: ClosedLoopRunner, reading: ReadPolicy = READ_COUNTED) -> None:
        super().__init__(owner, reading)
        self.load = flood
        self.batches: FrameSource = flood.batches
        """At each number, that many messages as frames."""
        self.stopped = False
        """Nothing more leaves; what is in flight may still be answered."""
        self.in_flight = 0
        self.pending: deque[tuple[int, int]] = deque()
        """What is in flight, oldest first: when it was sent, and how many messages left together."""

    def on_replies(self, count: int, at_ns: int) -> None:
        """Sends as many messages as were answered, then notes the times of those that were."""
        pending, flood = self.pending, self.load
        if len(pending) == 1 and self.in_flight == count <= flood.remaining and not (self.closing or self.stopped):
            # All that was in flight left together, and was answered together: the write first, then the bookkeeping.
            batch = self.batches[count]
            try:
                written = self.write(batch)
            except OSError as error:
                if not self._refused(error):
                    self.in_flight = 0
                    self._record(count, at_ns)
                    return
                written = 0
            if written != len(batch):
                self.write_buffered(batch[written:])
            sent_ns = pending[0][0]
            pending[0] = (at_ns, count)
            flood.remaining -= count
            tally = self.owner.tally
            tally.sent += count
            tally.bytes_sent += len(batch)
            samples = self.owner.samples
            row = samples.length
            samples.sent[row] = sent_ns
            samples.done[row] = at_ns
            samples.count[row] = count
            samples.length = row + 1
            if row == _LAST_ROW:
                samples.flush()
            return
        answered = self.clamp_to_in_flight(count)
        if answered:
            self.in_flight -= answered
            self.send(answered, at_ns)
            self._record(answered, at_ns)

    def clamp_to_in_flight(self, count: int) -> int:
        """How many of so many replies anybody waits for; the others are pushes."""
        if count <= self.in_flight:
            return count
        # A reply that came too late to count is still not one that nobody asked for.
        if self.close_fault is None:
            self.owner.tally.pushed += count - self.in_flight
            self.owner.tally.surplus_replies += count - self.in_flight
        return self.in_flight

    def _record(self, count: int, at_ns: int) -> None:
        """Notes the times of the `count` oldest messages, which were answered at `at_ns`."""
        samples, pending = self.owner.samples, self.pending
        while count:
            sent_ns, together = pending[0]
            if together <= count:
                pending.popleft()
            else:
                pending[0] = (sent_ns, together - count)
                together = count
            count -= together
            row = samples.length
            samples.sent[row] = sent_ns
            samples.done[row] = at_ns
            samples.count[row] = together
            samples.length = row + 1
            if row == _LAST_ROW:
                samples.flush()

    def send(self, count: int, due_ns: int = 0) -> None:
        """Sends `count` messages, or as many as are left; they are due at `due_ns`, or once they have been made."""
        flood = self.load
        count = min(count, flood.remaining)
        if self.closing or self.ended or self.stopped or not count:
            if not self.in_flight:
                flood.on_idle(self)
            return
        batch = self.batches[count]
        sent_ns = due_ns or monotonic_ns()
        try:
            written = self.write(batch)
        except OSError as error:
            if not self._refused(error):
                return
            written = 0
        if written != len(batch):
            self.write_buffered(batch[written:])
        flood.remaining -= count
        self.in_flight += count
        self.pending.append((sent_ns, count))
        tally = self.owner.tally
        tally.sent += count
        tally.bytes_sent += len(batch)

    def _refused(self, error: OSError) -> bool:
        """Whether the kernel's buffer is full, so that the transport must keep the bytes.

        Else the session is dead: nothing has left, so nothing is counted.
        """
        if isinstance(error, ConnectionResetError):
            self.reset_by = error
        return isinstance(error, BlockingIOError)

    def drop_overdue(self, before_ns: int) -> None:
        """Nothing waits here: a flood sends when there is room."""

    def stop_sending(self) -> None:
        """Sends nothing more, for good."""
        self.stopped = True

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Closes the session if a message sent before `before_ns` has no reply yet; returns whether it did.

        A reply that still came would be taken for the answer to a later message, so the session cannot go on.
        """
        if not self.pending or self.pending[0][0] >= before_ns or self.closing:
            return False
        self.close(
            Fault(FaultKind.REPLY_TIMEOUT, text=f"did not answer a message within {format_duration(timeout_ns)}")
        )
        self.on_ended()
        return True

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time that it has waited."""
        tally, measured_from_ns, now_ns = self.owner.tally, self.owner.samples.measured_from_ns, monotonic_ns()
        for sent_ns, count in self.pending:
            if sent_ns >= measured_from_ns:
                tally.unanswered += count
                tally.unanswered_wait_ns.record(max(0, now_ns - sent_ns), count)
        self.pending.clear()
        self.in_flight = 0
        self.load.on_idle(self)


class DynamicClosedLoopConnection(ClosedLoopConnection):
    """A connection under a closed load whose messages are made when they leave: they are due once they are made."""

    def on_replies(self, count: int, at_ns: int) -> None:
        """Sends as many messages as were answered, then notes the times of those that were."""
        answered = self.clamp_to_in_flight(count)
        if answered:
            self.in_flight -= answered
            self.send(answered)
            self._record(answered, at_ns)
