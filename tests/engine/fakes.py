"""Stand-ins for what surrounds a session: the socket and its transport, the owner, and a load's connections."""

from dataclasses import dataclass, field

from ws_load_test.engine.conversations import new_conversation
from ws_load_test.engine.conversations.in_flight import RecentIds
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally

PLENTY = 1 << 62


class FakeTurns:
    """Turns of a loop that are over as a test says, at its next questions; what is put off waits for `next`."""

    def __init__(self):
        self.over = []
        self.waiting = []

    def is_over(self):
        return self.over.pop(0) if self.over else False

    def put_off(self, work):
        self.waiting.append(work)

    def next(self):
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


class FakeSocket:
    """A socket and the transport over it: one stream of bytes, and room for so many of them."""

    def __init__(self, room=PLENTY):
        self.room = room
        self.stream = b""
        self.queue = b""
        self.closed = self.aborted = self.paused = False
        self.broken = None
        """The error of every write, once it is set."""

    def send(self, data):
        """As `socket.send`: past the transport's queue, or BlockingIOError."""
        if self.broken is not None:
            raise self.broken
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.stream += taken
        return len(taken)

    def write(self, data):
        """As `Transport.write`: what the kernel does not take waits in a queue."""
        self.queue += bytes(data)
        self.flush()

    def flush(self):
        if self.queue and self.room and self.broken is None:
            self.queue = self.queue[self.send(self.queue) :]

    def get_write_buffer_size(self):
        return len(self.queue)

    def set_write_buffer_limits(self, high):
        """Flow control is the session's own business."""

    def is_reading(self):
        return not self.paused

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True


@dataclass
class FakeOwner:
    """Owner of sessions that notes what happens to them."""

    due_when_sent: bool = True
    measured_from_ns: int = 0
    tally: Tally = field(default_factory=Tally)
    loop_turns: FakeTurns = field(default_factory=FakeTurns)
    kinds: KindLimits = field(default_factory=KindLimits)
    samples: SampleBuffer = field(init=False)
    opened: int = 0
    ended: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    reasons: list = field(default_factory=list)
    gone: int = 0
    idle: list = field(default_factory=list)

    def __post_init__(self):
        self.samples = SampleBuffer(self.tally, on_schedule=not self.due_when_sent)
        self.samples.measured_from_ns = self.measured_from_ns

    def session_opened(self, connection):
        self.opened += 1

    def session_ended(self, connection, fault):
        self.ended.append(fault)

    def transport_closed(self, connection):
        self.gone += 1

    def fault(self, fault):
        self.faults.append(fault)

    def close_reason(self, connection, code, reason):
        self.reasons.append((connection, code, reason))

    def on_idle(self, connection):
        self.idle.append(connection)


def carrying(load, owner, reading=None, *, number=0, recent_ids=None):
    """A connection that carries a load, before it is opened."""
    connection = Connection(owner, reading or ReadPolicy())
    connection.number = number
    connection.carry(load.sender(connection, new_conversation(connection, recent_ids or RecentIds())))
    return connection


def in_flight_on(connection):
    """What is in flight on a connection: when each message was due and sent."""
    conversation = connection.sender.conversation
    if hasattr(conversation, "table"):
        return list(conversation.table)
    return [(due_ns, sent_ns) for due_ns, sent_ns, count in conversation.pending for _ in range(count)]
