"""The open load: messages fall due on a schedule, whatever the target does. The hot path of sending on time.

What it costs. An alarm wakes the loop when the next message is due; every message that is due by then leaves, each
with one clock reading right before its write. A wake-up costs a turn of the loop and one system call to set the alarm
again, so the cost per message falls when the rate rises. Messages go round the open connections in turn; replies are
paired in order on each.

A connection may hold back: when `max_in_flight` messages wait for replies on it, the next ones wait for their turn,
and what has waited longer than the reply's time-out is dropped, which is counted. Their due instants stay what they
were.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.common.timer import new_timer
from ws_load_test.common.units import format_duration
from ws_load_test.engine.connection import Connection
from ws_load_test.engine.session import READ_COUNTED, SessionListener
from ws_load_test.metrics.sample_buffer import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ws_load_test.common.clock import Timer
    from ws_load_test.engine.read_policy import ReadPolicy
    from ws_load_test.engine.session import FrameSource

MAX_SENDS_PER_WAKEUP = 128
"""Messages that leave in one wake-up at most, so that an overloaded worker still reads its replies."""
MAX_LATE_SEND_NS = 50_000_000
"""How late, at the end of the schedule, a message may still leave; what is later is dropped."""
MOST_QUEUED_BYTES = 1 << 20
"""Of one connection: a schedule goes on although its target does not read, and memory must not."""
UNLIMITED = 1 << 62
_LAST_ROW = CAPACITY - 1
_ASAP = 1


class OpenLoopRunner:
    """What the connections of one worker share: the schedule, the frame, and whose turn it is."""

    def __init__(
        self,
        owner: SessionListener,
        batches: FrameSource,
        blocks: Iterator[NDArray[np.int64]],
        *,
        max_in_flight: int | None,
        on_spent: Callable[[], None],
        on_idle: Callable[[OpenLoopConnection], None],
    ) -> None:
        self.batches = batches
        """At 1, a message as a frame."""
        self.max_in_flight = max_in_flight or UNLIMITED
        self.on_idle = on_idle
        """Called when a connection has nothing in flight and nothing that waits."""
        self.exhausted = False
        """No message will fall due any more."""
        self._owner = owner
        self._blocks = blocks
        self._on_spent = on_spent
        self._due: list[int] = []
        self._next = 0
        self._start_ns = 0
        self._end_ns = UNLIMITED
        self._rotation: list[OpenLoopConnection] = []
        self._next_index = 0
        self._timer: Timer | None = None

    def start(self, connections: Iterable[OpenLoopConnection], start_ns: int, end_ns: int = UNLIMITED) -> None:
        """The schedule's instant 0 is `start_ns`; what is due at `end_ns` or later is not sent."""
        self._rotation.extend(connections)
        self._start_ns, self._end_ns = start_ns, end_ns
        self._timer = new_timer(self._wake)
        self._wake()

    def add(self, connection: OpenLoopConnection) -> None:
        """A connection that has opened later takes its turns from now on."""
        self._rotation.append(connection)

    def leave(self, connection: OpenLoopConnection) -> None:
        """A connection takes no more turns."""
        if connection in self._rotation:
            place = self._rotation.index(connection)
            del self._rotation[place]
            # Nobody's turn is skipped because of one who has left.
            self._next_index -= place <= self._next_index

    def end(self, now_ns: int) -> None:
        """Nothing more leaves, but for what fell due by `now_ns` a moment ago; what is later than that is dropped."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        until_ns = min(now_ns, self._end_ns)
        while self._more() and (due_ns := self._due[self._next]) < until_ns:
            self._next += 1
            if monotonic_ns() - due_ns <= MAX_LATE_SEND_NS:
                self._dispatch(due_ns)
            else:
                self._drop(due_ns)
        self.exhausted = True

    def _wake(self) -> None:
        """Sends what is due, and sets the alarm for what is due next."""
        if self.exhausted or self._timer is None:
            return
        room = MAX_SENDS_PER_WAKEUP
        while self._more():
            due_ns = self._due[self._next]
            if due_ns >= self._end_ns:
                break
            if due_ns > monotonic_ns():
                self._timer.arm(due_ns)
                return
            if not room:
                self._timer.arm(_ASAP)
                return
            room -= 1
            self._next += 1
            self._dispatch(due_ns)
        self.exhausted = True
        self._on_spent()

    def _more(self) -> bool:
        """Whether another message will fall due."""
        while self._next >= len(self._due):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._due, self._next = (block + self._start_ns).tolist(), 0
        return True

    def _dispatch(self, due_ns: int) -> None:
        """Gives a message that is due to the connection whose turn it is."""
        ring = self._rotation
        while ring:
            self._next_index += 1
            if self._next_index >= len(ring):
                self._next_index = 0
            connection = ring[self._next_index]
            if connection.closing:
                ring.pop(self._next_index)
                self._next_index -= 1
                continue
            if due_ns >= self._owner.samples.measured_from_ns:
                connection.owner.tally.due += 1
            connection.send_due(due_ns)
            return
        self._drop(due_ns)

    def _drop(self, due_ns: int) -> None:
        if due_ns >= self._owner.samples.measured_from_ns:
            self._owner.tally.due += 1
            self._owner.tally.dropped += 1


class OpenLoopConnection(Connection):
    """A connection under an open load."""

    most_queued_bytes = MOST_QUEUED_BYTES

    def __init__(self, owner: SessionListener, paced: OpenLoopRunner, reading: ReadPolicy = READ_COUNTED) -> None:
        super().__init__(owner, reading)
        self.load = paced
        self.batches: FrameSource = paced.batches
        self.pending: deque[tuple[int, int]] = deque()
        """What is in flight, oldest first: when it was due, and when it was sent."""
        self.backlog: deque[int] = deque()
        """When the messages were due that may not leave yet, because too many are in flight."""

    @property
    def in_flight(self) -> int:
        """Messages that are on their way, or wait to be sent."""
        return len(self.pending) + len(self.backlog)

    def send_due(self, due_ns: int) -> None:
        """Sends a message that is due, or keeps it until there is room."""
        pending = self.pending
        if len(pending) >= self.load.max_in_flight:
            self.backlog.append(due_ns)
            return
        frame = self.batches[1]
        samples, tally = self.owner.samples, self.owner.tally
        sent_ns = monotonic_ns()
        try:
            written = self.write(frame)
        except BlockingIOError:
            written = 0
        except OSError as error:
            # The session is dead, as the reader is about to learn, or the target reads nothing; it never left.
            if isinstance(error, ConnectionResetError):
                self.reset_by = error
            if due_ns >= samples.measured_from_ns:
                tally.dropped += 1
            return
        if written != len(frame):
            self.write_buffered(frame[written:])
        pending.append((due_ns, sent_ns))
        if due_ns >= samples.measured_from_ns:
            tally.sent += 1
            tally.bytes_sent += len(frame)
        else:
            tally.warmup_sent += 1

    def on_replies(self, count: int, at_ns: int) -> None:
        """Notes the times of the oldest messages in flight, and sends what waited for room."""
        samples, pending = self.owner.samples, self.pending
        for _ in range(count):
            if not pending:
                # A reply that came too late to count is still not one that nobody asked for.
                if self.close_fault is None:
                    self.owner.tally.pushed += 1
                    self.owner.tally.surplus_replies += 1
                continue
            row = samples.length
            samples.due[row], samples.sent[row] = pending.popleft()
            samples.done[row] = at_ns
            samples.count[row] = 1
            samples.length = row + 1
            if row == _LAST_ROW:
                samples.flush()
        self.send_backlog()

    def send_backlog(self) -> None:
        """Sends what waits, as far as there is room."""
        pending, waiting = self.pending, self.backlog
        while waiting and len(pending) < self.load.max_in_flight and not self.closing:
            self.send_due(waiting.popleft())
        if not pending and not waiting:
            self.load.on_idle(self)

    def drop_overdue(self, before_ns: int) -> None:
        """Drops what has waited for room since before an instant."""
        while self.backlog and self.backlog[0] < before_ns:
            self._drop(self.backlog.popleft())

    def stop_sending(self) -> None:
        """Takes no more turns."""
        self.load.leave(self)

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:
        """Closes the session if a message sent before `before_ns` has no reply yet; returns whether it did.

        A reply that still came would be taken for the answer to a later message, so the session cannot go on.
        Messages that have waited for room since before that instant are dropped.
        """
        self.drop_overdue(before_ns)
        if not self.pending or self.pending[0][1] >= before_ns or self.closing:
            return False
        self.close(
            Fault(FaultKind.REPLY_TIMEOUT, text=f"did not answer a message within {format_duration(timeout_ns)}")
        )
        self.on_ended()
        return True

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, with the time it has waited, and what had not left as dropped."""
        tally, measured_from_ns, now_ns = self.owner.tally, self.owner.samples.measured_from_ns, monotonic_ns()
        for due_ns, _ in self.pending:
            if due_ns >= measured_from_ns:
                tally.unanswered += 1
                tally.unanswered_wait_ns.record(now_ns - due_ns)
        while self.backlog:
            self._drop(self.backlog.popleft())
        self.pending.clear()
        self.load.on_idle(self)

    def _drop(self, due_ns: int) -> None:
        if due_ns >= self.owner.samples.measured_from_ns:
            self.owner.tally.dropped += 1


class SendOnlyConnection(OpenLoopConnection):
    """A connection whose messages nobody answers."""

    def send_due(self, due_ns: int) -> None:
        """Sends a message that is due, and awaits nothing."""
        super().send_due(due_ns)
        tally = self.owner.tally
        for due, sent_ns in self.pending:
            if due >= self.owner.samples.measured_from_ns:
                tally.unanswered += 1
                # No reply will bring it to the samples.
                tally.send_lag_ns.record(max(0, sent_ns - due))
        self.pending.clear()
