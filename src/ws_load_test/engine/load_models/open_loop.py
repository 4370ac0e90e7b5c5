"""The open loop: messages fall due on a schedule, whatever the target does. The hot path of sending on time.

What it costs. A timer wakes the loop when the next message is due; every message that is due by then leaves, each
with one clock reading right before its write. A wake-up costs a turn of the loop and one system call to set the timer
again, so the cost per message falls when the rate rises. Messages go round the open connections in turn.

A connection may hold back: when `max_in_flight` messages wait for replies on it, the next ones wait for their turn,
and what has waited longer than the reply's time-out is dropped, which is counted. Their due instants stay what they
were.

A worker without sessions, while others have some, sends nothing and drops nothing: what falls due waits until the fleet
has dealt it to the others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.timer import new_timer
from ws_load_test.engine.load_models.due_queue import DueQueue
from ws_load_test.engine.load_models.load_model import UNLIMITED, LoadSender, do_nothing, frames_vary
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.load_sharing import LoadState, LoadSwitch
from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.common.clock import Timer
    from ws_load_test.common.sharding import Shard
    from ws_load_test.engine.load_models.due_queue import Numbers
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.engine.sessions.session import SessionListener
    from ws_load_test.plan.plan import Plan

MAX_SENDS_PER_WAKEUP = 128
"""Messages that leave in one wake-up at most, so that an overloaded worker still reads its replies."""
MAX_LATE_SEND_NS = 50_000_000
"""Lateness (50 ms) at which a message may still leave at the end of the schedule; what is later is dropped."""
MAX_QUEUED_BYTES = 1 << 20
"""Bytes that may wait for the kernel on one connection: a schedule goes on although its target does not read, and
memory must not."""
_ASAP = 1
"""An instant in the past, at which a timer goes off at once."""


class Carrier(Protocol):
    """Way of a sender's messages to the target: a session, or a client of HTTP."""

    @property
    def closing(self) -> bool:
        """True once it takes no more messages."""
        ...

    @property
    def owner(self) -> SessionListener:
        """Owner of its counts."""
        ...


class TurnTaker(Protocol):
    """One of those that messages go to in turn."""

    carries_load: bool

    @property
    def connection(self) -> Carrier:
        """Way of its messages."""
        ...

    def send_due(self, due_ns: int) -> bool:
        """Sends a message that is due at an instant, or keeps it until there is room. Returns True if it has left."""
        ...


class OpenLoopRunner:
    """Shared state of the connections of one worker: the schedule, the frame, and whose turn it is."""

    due_when_sent: ClassVar[bool] = False

    def __init__(
        self,
        owner: SessionListener,
        batches: FrameSource,
        queue: DueQueue,
        *,
        max_in_flight: int | None,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> None:
        self.batches = batches
        """At 1, a message as a frame."""
        self.max_in_flight = max_in_flight or UNLIMITED
        self.on_idle = on_idle
        """Called when a connection has nothing in flight and nothing that waits."""
        self.exhausted = False
        """No message will fall due any more."""
        self.ended = False
        """The load is over."""
        self._owner = owner
        self.sessions = 0
        self.on_change: Callable[[], None] = do_nothing
        self._queue = queue
        self._others_have_sessions = False
        self._waits_for_session = False
        """A message is due, no session here can send it, and other workers have some."""
        self._on_exhausted = on_exhausted
        self._due: list[int] = []
        self._next = 0
        self._start_ns = 0
        self._end_ns = UNLIMITED
        self._rotation: list[TurnTaker] = []
        self._next_index = 0
        self._timer: Timer | None = None

    @classmethod
    def of(
        cls,
        plan: Plan,
        share: Shard,
        owner: SessionListener,
        *,
        on_exhausted: Callable[[], None],
        on_idle: Callable[[Connection], None],
    ) -> Self:
        """Returns the open loop of a plan (`LoadModel.of`)."""
        load = plan.load
        assert isinstance(load, OpenLoop)
        schedule = ArrivalSchedule(load.rate, load.arrivals, load.seed)
        # Without a rate, no message ever falls due.
        messages = plan.messages if load.rate.peak else 0
        return cls(
            owner,
            [b"", b"" if frames_vary(plan) else bytes(plan.message.frames(1))],
            DueQueue(DueInstants(schedule, messages, warmup_ns=plan.warmup_ns), share.index, share.count),
            max_in_flight=load.max_in_flight,
            on_exhausted=on_exhausted,
            on_idle=on_idle,
        )

    def sender(self, connection: Connection, conversation: Conversation) -> OpenLoopSender:
        """Returns the part of the load that a new connection carries."""
        return OpenLoopSender(self, connection, conversation)

    def prepare(self, start_ns: int, switch: LoadSwitch) -> None:
        """Takes note of the start, and of how the load is shared among the workers from then on."""
        self._start_ns = start_ns
        if switch.sessions:
            self.switch(switch)

    def limit(self, count: int | None = None) -> None:
        """Does nothing: the schedule has as many messages as the plan."""

    def start(self, senders: Iterable[TurnTaker], start_ns: int, end_ns: int = UNLIMITED) -> None:
        """Begins: the schedule's instant 0 is `start_ns`; what is due at `end_ns` or later is not sent."""
        for sender in senders:
            self._take(sender)
        self._start_ns, self._end_ns = start_ns, end_ns
        self._timer = new_timer(self._wake)
        self._wake()

    def add(self, sender: OpenLoopSender) -> None:
        """Gives a connection that has opened later its turns from now on."""
        self._take(sender)
        self.on_change()
        if self._waits_for_session:
            self._waits_for_session = False
            self._wake()

    def _take(self, sender: TurnTaker) -> None:
        self._rotation.append(sender)
        sender.carries_load = True
        self.sessions += 1

    def no_longer_carries(self, sender: OpenLoopSender) -> None:
        """Counts a session less, once; it loses its turns at the latest when the next is its own."""
        if sender.carries_load:
            sender.carries_load = False
            self.sessions -= 1
            self.on_change()

    def leave(self, sender: OpenLoopSender) -> None:
        """Gives a connection no more turns."""
        self.no_longer_carries(sender)
        if sender in self._rotation:
            place = self._rotation.index(sender)
            del self._rotation[place]
            # The others keep their turns when one leaves.
            self._next_index -= place <= self._next_index

    def end(self, now_ns: int) -> int:
        """Sends nothing more but what fell due by `now_ns`, and drops what is late. Returns 0: nothing is left over."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        until_ns = min(now_ns, self._end_ns)
        self._others_have_sessions = False
        self._drop_late(min(until_ns, monotonic_ns() - MAX_LATE_SEND_NS))
        while self._more() and (due_ns := self._due[self._next]) < until_ns:
            self._next += 1
            if monotonic_ns() - due_ns <= MAX_LATE_SEND_NS:
                self._dispatch(due_ns)
            else:
                self._drop(due_ns)
        self.exhausted = self.ended = True
        return 0

    def _drop_late(self, before_ns: int) -> None:
        """Drops all that was due before an instant at once; one by one, millions would take minutes."""
        measured_from_ns = self._owner.samples.measured_from_ns - self._start_ns
        late, due = self._queue.skip_before(self._next, before_ns - self._start_ns, measured_from_ns)
        self._renew(due)
        self._owner.tally.due += late
        self._owner.tally.dropped += late

    def give_up(self) -> None:
        """Counts all messages of the schedule that are left as due, and drops them."""
        left = self._queue.remaining(self._next, self._owner.samples.measured_from_ns - self._start_ns)
        self._due, self._next = [], 0
        self._owner.tally.due += left
        self._owner.tally.dropped += left

    # --- Sharing with other workers ---------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """True from `hold` until `switch`."""
        return self._queue.held

    def hold(self, until_ns: int, sessions: int) -> LoadState:
        """Settles what this worker leaves to others: all, without a session; else what is due after an instant."""
        if self.ended:
            return LoadState(ended=True)
        following, left, due = self._queue.hold(self._next, until_ns - self._start_ns, leaves=not sessions)
        self._renew(due)
        return LoadState(sessions, next=following, left=left)

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share."""
        if self.ended:
            return
        if switch.withdrawn:
            if self.held:
                self._renew(self._queue.cancel(self._next))
        else:
            self._renew(self._queue.switch(self._next, switch))
            self._others_have_sessions = any(switch.sessions)
        self._waits_for_session = False
        if self._timer is not None:
            self.exhausted = False
            self._wake()

    def state(self) -> LoadState:
        """Returns the number of sessions."""
        return LoadState(self.sessions, ended=self.ended)

    def _renew(self, due: Numbers) -> None:
        self._due, self._next = (due + self._start_ns).tolist(), 0

    # --- Sending ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Sends what is due, and sets the timer for what is due next."""
        if self.exhausted or self._timer is None:
            return
        left = MAX_SENDS_PER_WAKEUP
        while self._more():
            due_ns = self._due[self._next]
            if due_ns >= self._end_ns:
                break
            if due_ns > monotonic_ns():
                self._timer.arm(due_ns)
                return
            if not left:
                self._timer.arm(_ASAP)
                return
            left -= 1
            self._next += 1
            if not self._dispatch(due_ns):
                self._next -= 1
                self._waits_for_session = True
                return
        if self._runs_out(self._timer):
            self._on_exhausted()

    def _runs_out(self, timer: Timer) -> bool:
        """Returns True, and takes note of it, if no message will fall due here any more.

        Else the timer goes off when the schedule ends, where this worker has no turns as it is shared now.
        """
        if self.held:
            return False
        if not self._queue.has_turns:
            # As long as there are messages for others, this worker may get turns again.
            end_ns = min(self._start_ns + self._queue.end_ns(), self._end_ns)
            if monotonic_ns() <= end_ns:
                timer.arm(end_ns + 1)
                return False
        self.exhausted = True
        return True

    def _more(self) -> bool:
        """Returns True if another message will fall due."""
        while self._next >= len(self._due):
            block = self._queue.next_block()
            if block is None:
                return False
            self._renew(block)
        return True

    def _dispatch(self, due_ns: int) -> bool:
        """Gives a message that is due to the connection whose turn it is.

        Returns:
            False if there is none here, and the message is to wait for the fleet to deal it to another worker.
        """
        rotation = self._rotation
        while rotation:
            self._next_index += 1
            if self._next_index >= len(rotation):
                self._next_index = 0
            sender = rotation[self._next_index]
            connection = sender.connection
            if connection.closing:
                rotation.pop(self._next_index)
                self._next_index -= 1
                continue
            if due_ns >= self._owner.samples.measured_from_ns:
                connection.owner.tally.due += 1
            sender.send_due(due_ns)
            return True
        if self._others_have_sessions:
            return False
        self._drop(due_ns)
        return True

    def _drop(self, due_ns: int) -> None:
        if due_ns >= self._owner.samples.measured_from_ns:
            self._owner.tally.due += 1
            self._owner.tally.dropped += 1


class OpenLoopSender(LoadSender):
    """Sends when a message falls due."""

    def __init__(self, load: OpenLoopRunner, connection: Connection, conversation: Conversation) -> None:
        super().__init__(connection, conversation, load.batches)
        self.load = load
        self.backlog: deque[int] = deque()
        """Due instants of the messages that must not leave yet, because too many are in flight."""
        connection.max_buffered_bytes = MAX_QUEUED_BYTES

    @property
    def in_flight(self) -> int:
        """Messages that wait for a reply, or for their turn to be sent."""
        return self.conversation.in_flight + len(self.backlog)

    def send_due(self, due_ns: int) -> bool:
        """Sends a message that is due, or keeps it until there is room. Returns True if it has left."""
        if self.conversation.in_flight >= self.load.max_in_flight:
            self.backlog.append(due_ns)
            return False
        connection = self.connection
        frame = self.batches[1]
        samples, tally = connection.owner.samples, connection.owner.tally
        sent_ns = monotonic_ns()
        try:
            written = connection.write(frame)
        except BlockingIOError:
            written = 0
        except OSError as error:
            # The session is dead, as the reader is about to find, or the target reads nothing; it never left.
            if isinstance(error, ConnectionResetError):
                connection.reset_by = error
            if due_ns >= samples.measured_from_ns:
                tally.dropped += 1
            return False
        if written != len(frame):
            connection.write_buffered(frame[written:])
        self.conversation.sent(1, due_ns, sent_ns)
        if due_ns >= samples.measured_from_ns:
            tally.sent += 1
            tally.bytes_sent += len(frame)
        else:
            tally.warmup_sent += 1
        return True

    def on_replies(self, count: int, at_ns: int) -> None:
        """Records the times of the messages answered, and sends what waited for room."""
        conversation = self.conversation
        conversation.record(conversation.answered(count), at_ns)
        self.refill()

    def refill(self, count: int = 0) -> None:  # noqa: ARG002 - what is in flight says how much room there is
        """Sends what waits, as far as there is room."""
        conversation, backlog = self.conversation, self.backlog
        while backlog and conversation.in_flight < self.load.max_in_flight and not self.connection.closing:
            self.send_due(backlog.popleft())
        if not backlog and not conversation.in_flight:
            self.load.on_idle(self.connection)

    def drop_overdue(self, before_ns: int) -> None:
        """Drops what has waited for room since before an instant."""
        while self.backlog and self.backlog[0] < before_ns:
            self._drop(self.backlog.popleft())

    def stop_sending(self) -> None:
        """Takes no more turns."""
        self.load.leave(self)

    def on_ended(self) -> None:
        """Counts what was in flight as unanswered, and what had not left as dropped."""
        self.load.no_longer_carries(self)
        while self.backlog:
            self._drop(self.backlog.popleft())
        self.conversation.on_ended()
        self.load.on_idle(self.connection)

    def _drop(self, due_ns: int) -> None:
        owner = self.connection.owner
        if due_ns >= owner.samples.measured_from_ns:
            owner.tally.dropped += 1
