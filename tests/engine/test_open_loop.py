"""The open load without sockets or time: whatever happens to its connections, no message is forgotten."""

import contextlib
import time
from unittest import mock

import numpy as np
import pytest
from fakes import FakeOwner, FakeSocket, carrying, in_flight_on
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.engine.conversations import in_order
from ws_load_test.engine.load_models import open_loop
from ws_load_test.engine.load_models.due_queue import DueQueue
from ws_load_test.engine.load_models.open_loop import MAX_LATE_SEND_NS, MAX_SENDS_PER_WAKEUP, OpenLoopRunner
from ws_load_test.engine.sessions import connection as connection_module
from ws_load_test.engine.sessions import session as session_module
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.metrics.sample_buffer import CAPACITY
from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants, LoadProfile
from ws_load_test.testing import ManualClock
from ws_load_test.websocket import frames

MS = 1_000_000
START_NS = 10**12
TIMEOUT_NS = 100 * MS
FRAME = frames.encode_client_frame(frames.TEXT, b"PING")
REPLY = frames.encode_frame(frames.TEXT, b"PING")
PLENTY = 1 << 40
"""Bytes: more than any test writes."""


class ListedInstants:
    """The instants of a schedule that is a list."""

    def __init__(self, dues):
        self.dues = np.array(dues, dtype=np.int64)

    def of(self, numbers):
        return self.dues[numbers[: int(np.searchsorted(numbers, len(self.dues)))]]

    def before(self, at_ns):
        return int((self.dues < at_ns).sum())

    def count(self):
        return len(self.dues)


class FakeWorker(FakeOwner):
    """A worker's open load, with time and sockets moved by hand; it is its connections' owner and its own timer."""

    reading = ReadPolicy()

    def __init__(self, dues, connections=1, *, max_in_flight=None, warmup_ns=0, end_ns=None, room=PLENTY):
        self.clock = ManualClock(START_NS)
        super().__init__(due_when_sent=False, measured_from_ns=START_NS + warmup_ns)
        self.exhausted = 0
        self.armed_ns = None
        self.wake = None
        self.wakes = 0
        self.room = room
        self.load = OpenLoopRunner(
            self,
            [b"", FRAME],
            DueQueue(ListedInstants(dues), 0, 1),
            max_in_flight=max_in_flight,
            on_exhausted=self.on_exhausted,
            on_idle=self.on_idle,
        )
        self.connections = []
        self.kernels = []
        for _ in range(connections):
            self.open()
        self.load.start([one.sender for one in self.connections], START_NS, START_NS + (end_ns or 1 << 60))

    def on_exhausted(self):
        self.exhausted += 1

    # The timer's part.

    def new_timer(self, wake):
        self.wake = wake
        return self

    def arm(self, at_ns):
        self.armed_ns = at_ns

    def close(self):
        self.armed_ns = self.wake = None

    # What happens.

    def open(self):
        kernel = FakeSocket(self.room)
        connection = carrying(self.load, self, self.reading)
        connection.attach(kernel, kernel, secure=False, early=b"")
        self.connections.append(connection)
        self.kernels.append(kernel)
        return connection

    def now(self, at_ns):
        """Moves time to an instant after the start, late or not, and lets the alarm ring."""
        self.clock.advance(START_NS + at_ns - self.clock.now_ns())
        self.ring()

    def ring(self):
        while self.armed_ns is not None and self.armed_ns <= self.clock.now_ns():
            self.armed_ns = None
            self.wakes += 1
            self.wake()

    def reply(self, which=0, count=1):
        if not self.kernels[which].closed and not self.connections[which].ended:
            self.connections[which].data_received(REPLY * count)

    def give_up(self, which):
        self.connections[which].sender.give_up_on(self.clock.now_ns() - TIMEOUT_NS, TIMEOUT_NS)

    def lose(self, which, error=None):
        self.kernels[which].closed = True
        if not self.connections[which].ended:
            self.connections[which].connection_lost(error)

    def make_room(self, which, size):
        kernel = self.kernels[which]
        kernel.room += size
        kernel.flush()
        if not kernel.queue:
            self.connections[which].resume_writing()

    def end(self):
        self.load.end(self.clock.now_ns())

    def finish(self):
        """As a pool ends a run: replies get their time-out, and then everyone goes."""
        self.end()
        self.clock.advance(TIMEOUT_NS + 1)
        for which in range(len(self.connections)):
            self.connections[which].sender.give_up_on(self.clock.now_ns(), TIMEOUT_NS)
            self.lose(which)

    def balance(self):
        """What every instant's books must say, messages under way included."""
        self.samples.flush()
        tally, measured_from_ns = self.tally, self.samples.measured_from_ns
        waiting = sum(due_ns >= measured_from_ns for one in self.connections for due_ns in one.sender.backlog)
        pending = sum(due_ns >= measured_from_ns for one in self.connections for due_ns, _ in in_flight_on(one))
        assert tally.due == tally.sent + tally.dropped + waiting
        assert tally.sent == tally.answered + tally.unanswered + pending
        assert tally.answered == tally.response_time_ns.count == tally.service_time_ns.count
        assert tally.unanswered == tally.unanswered_wait_ns.count
        # Whatever was measured: response time = send lag + service time; and what no reply brings has a lag as well.
        assert tally.response_time_ns.sum <= tally.service_time_ns.sum + tally.send_lag_ns.sum
        assert tally.send_lag_ns.count == tally.answered + tally.unanswered
        if not tally.unanswered:
            assert tally.response_time_ns.sum == tally.service_time_ns.sum + tally.send_lag_ns.sum
        assert tally.bytes_sent >= tally.sent * len(FRAME)


@contextlib.contextmanager
def world(dues, *arguments, of=FakeWorker, **options):
    """A world while its clock rules the modules under test."""
    clock_of = []

    def now_ns():
        return clock_of[0].clock.now_ns() if clock_of else START_NS

    made = of.__new__(of)
    clock_of.append(made)
    made.clock = ManualClock(START_NS)
    with (
        mock.patch.object(open_loop, "monotonic_ns", now_ns),
        mock.patch.object(in_order, "monotonic_ns", now_ns),
        mock.patch.object(connection_module, "monotonic_ns", now_ns),
        mock.patch.object(session_module, "monotonic_ns", now_ns),
        mock.patch.object(open_loop, "new_timer", made.new_timer),
    ):
        made.__init__(dues, *arguments, **options)
        yield made


# --- whatever happens ------------------------------------------------------------------------------------------------

which = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 40 * MS)),
    st.tuples(st.just("reply"), which, st.integers(1, 6)),
    st.tuples(st.just("room"), which, st.integers(1, 40)),
    st.tuples(st.just("timeout"), which),
    st.tuples(st.just("lose"), which),
    st.tuples(st.just("dead"), which, st.sampled_from([BrokenPipeError, ConnectionResetError])),
    st.tuples(st.just("join")),
    st.tuples(st.just("leave"), which),
    st.tuples(st.just("close frame"), which),
)


def messages_in(stream):
    """How many messages a server would read, of frames that must all be whole."""
    messages = 0
    while stream:
        assert stream[0] in (frames.FIN | frames.TEXT, frames.FIN | frames.CLOSE)
        size = 2 + 4 + (stream[1] & 0x7F)
        assert len(stream) >= size
        if stream[0] == frames.FIN | frames.TEXT:
            assert stream[:size] == FRAME
            messages += 1
        stream = stream[size:]
    return messages


def take(open_load, step):
    """Does one step to an open load."""
    kind, *rest = step
    if kind == "pass":
        open_load.now(open_load.clock.now_ns() - START_NS + rest[0])
        return
    if kind == "join":
        if len(open_load.connections) < 6:
            open_load.load.add(open_load.open().sender)
        return
    number = rest[0] % len(open_load.connections)
    connection, kernel = open_load.connections[number], open_load.kernels[number]
    if kind == "reply":
        open_load.reply(number, rest[1])
    elif kind == "room":
        open_load.make_room(number, rest[1])
    elif kind == "timeout":
        open_load.give_up(number)
    elif kind == "lose":
        open_load.lose(number)
    elif kind == "dead":
        kernel.broken = rest[1]()
    elif kind == "leave":
        open_load.load.leave(connection.sender)
    elif not connection.ended:
        connection.data_received(frames.encode_frame(frames.CLOSE, frames.close_payload(1001, "")))


@settings(deadline=None, max_examples=250)
@given(
    gaps=st.lists(st.integers(0, 8 * MS), max_size=60),
    happenings=st.lists(steps, max_size=60),
    connections=st.integers(1, 4),
    limits=st.tuples(
        st.one_of(st.none(), st.integers(1, 3)), st.integers(0, 60 * MS), st.sampled_from([PLENTY, 0, 15])
    ),
)
@example([0] * 40, [("pass", MS), ("lose", 0), ("reply", 1, 6)], 2, (2, 0, PLENTY))
@example([MS] * 40, [("pass", 9 * MS), ("dead", 0, ConnectionResetError), ("pass", 200 * MS)], 1, (1, 5 * MS, 15))
def test_no_message_is_ever_forgotten(gaps, happenings, connections, limits):
    max_in_flight, warmup_ns, room = limits
    dues = np.cumsum(gaps, dtype=np.int64).tolist()
    with world(dues, connections, max_in_flight=max_in_flight, warmup_ns=warmup_ns, room=room) as load:
        for happening in happenings:
            take(load, happening)
            load.balance()
            assert all(len(in_flight_on(one)) <= load.load.max_in_flight for one in load.connections)
        ended_ns = load.clock.now_ns() - START_NS
        load.finish()
        load.balance()
        tally = load.tally
        # At its very instant the alarm has sent what is due; the end takes in what was due before it.
        exact = sum(warmup_ns <= due < ended_ns for due in dues)
        assert exact <= tally.due <= sum(warmup_ns <= due <= ended_ns for due in dues)
        assert tally.due == tally.sent + tally.dropped
        assert tally.sent == tally.answered + tally.unanswered
        assert tally.warmup_answered <= tally.warmup_sent <= sum(due < warmup_ns for due in dues)
        assert not any(one.sender.in_flight or one.sender.backlog for one in load.connections)
        for kernel in load.kernels:
            if kernel.broken is None:
                messages_in(kernel.stream + kernel.queue)  # asserts that they are whole
        if not warmup_ns and all(kernel.broken is None for kernel in load.kernels):
            assert sum(messages_in(kernel.stream + kernel.queue) for kernel in load.kernels) == tally.sent


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3 * MS), min_size=1, max_size=80), st.integers(1, 5), st.lists(st.integers(0, 20 * MS)))
def test_each_wake_up_sends_all_that_is_due_whenever_it_comes(gaps, connections, naps):
    dues = np.cumsum(gaps, dtype=np.int64).tolist()
    with world(dues, connections) as load:
        at_ns = 0
        for nap_ns in naps:
            at_ns += nap_ns
            load.now(at_ns)
            assert load.tally.sent == load.tally.due == sum(due <= at_ns for due in dues)
        load.now(at_ns + dues[-1])
        assert load.tally.sent == len(dues)
        assert load.exhausted == 1
        # In turn: no connection is ever more than one message ahead of another.
        counts = [len(in_flight_on(one)) for one in load.connections]
        assert max(counts) - min(counts) <= 1


# --- whose turn it is ------------------------------------------------------------------------------------------------


def test_a_session_that_leaves_costs_no_other_a_turn():
    for leaver in range(4):
        with world([MS * k for k in range(40)], 4) as load:
            load.now(5 * MS)
            load.load.leave(load.connections[leaver].sender)
            load.load.leave(load.connections[leaver].sender)
            before = [len(in_flight_on(one)) for one in load.connections]
            load.now(6 * MS)
            gained = [len(in_flight_on(one)) - held for one, held in zip(load.connections, before, strict=True)]
            # The last message was the third connection's.
            assert gained.index(1) == (0 if leaver == 3 else 3)
            load.now(11 * MS)
            gained = [len(in_flight_on(one)) - held for one, held in zip(load.connections, before, strict=True)]
            assert sorted(gained) == [0, 2, 2, 2]
            assert gained[leaver] == 0


def test_one_that_joins_takes_its_turns():
    with world([MS * k for k in range(40)], 2) as load:
        load.now(3 * MS)
        load.load.add(load.open().sender)
        load.now(39 * MS)
        assert [len(in_flight_on(one)) for one in load.connections] == [14, 14, 12]


def test_a_wake_up_leaves_time_for_reading():
    with world([0] * 300, 2) as load:
        assert load.tally.sent == MAX_SENDS_PER_WAKEUP, "the start is a wake-up as well"
        assert load.armed_ns is not None
        assert load.armed_ns < START_NS, "the rest follows at once"
        load.armed_ns = None
        load.wakes += 1
        load.wake()
        assert load.tally.sent == 2 * MAX_SENDS_PER_WAKEUP
        load.ring()
        assert load.tally.sent == 300
        assert load.exhausted == 1


# --- the three instants ----------------------------------------------------------------------------------------------


def test_the_three_instants_of_a_message_sent_late():
    with world([10 * MS]) as load:
        assert load.armed_ns == START_NS + 10 * MS
        load.now(13 * MS)
        load.clock.advance(20 * MS)
        load.reply()
        load.balance()
        assert load.tally.response_time_ns.max == load.tally.response_time_ns.min == 23 * MS
        assert load.tally.service_time_ns.max == 20 * MS
        assert load.tally.send_lag_ns.max == 3 * MS


def test_a_message_belongs_to_the_warm_up_by_its_due_instant_alone():
    """Not by when it was sent, nor by when its reply came."""
    with world([MS, 10 * MS - 1, 10 * MS, 11 * MS], warmup_ns=10 * MS) as load:
        load.now(30 * MS)
        load.reply(count=4)
        load.balance()
        tally = load.tally
        assert (tally.warmup_sent, tally.warmup_answered) == (2, 2)
        assert (tally.due, tally.sent, tally.answered) == (2, 2, 2)
        assert (tally.response_time_ns.min, tally.response_time_ns.max) == (19 * MS, 20 * MS)
        assert tally.bytes_sent == 2 * len(FRAME)


def test_more_replies_than_the_columns_hold_are_all_counted():
    count = CAPACITY * 2 + 5
    with world(list(range(count))) as load:
        load.now(MS)
        load.reply(count=count)
        load.balance()
        assert load.tally.answered == count
        assert load.tally.response_time_ns.max == MS


def test_a_schedule_ends_before_its_end():
    with world([MS, 2 * MS, 3 * MS], end_ns=3 * MS) as load:
        load.now(50 * MS)
        assert load.tally.sent == 2
        assert load.exhausted == 1
        load.end()
        assert load.tally.due == 2


# --- holding back ----------------------------------------------------------------------------------------------------


def test_what_waits_for_room_keeps_its_due_instant():
    with world([0, MS, 2 * MS, 3 * MS], max_in_flight=2) as load:
        load.now(5 * MS)
        assert load.kernels[0].stream == FRAME * 2
        assert load.connections[0].sender.in_flight == 4
        assert (load.tally.due, load.tally.sent) == (4, 2)
        load.now(10 * MS)
        load.reply()
        assert load.kernels[0].stream == FRAME * 3
        assert not load.idle
        load.now(20 * MS)
        load.reply(count=2)
        load.now(21 * MS)
        load.reply()
        load.balance()
        assert load.tally.answered == 4
        times = load.tally.response_time_ns
        assert (times.min, times.max, times.sum) == (10 * MS, 19 * MS, (10 + 19 + 18 + 18) * MS)
        assert load.tally.send_lag_ns.max == 17 * MS, "due at 3 ms, and there was room at 20 ms"
        assert load.idle == [load.connections[0]]


def test_what_has_waited_longer_than_the_time_out_is_dropped():
    with world([0, MS, 60 * MS], max_in_flight=1) as load:
        load.now(60 * MS)
        load.reply()
        load.now(2 * MS + TIMEOUT_NS)
        load.give_up(0)
        load.balance()
        assert (load.tally.dropped, load.tally.sent) == (0, 2), "the second left at 60 ms and has time"
    with world([0, 50 * MS, 120 * MS], max_in_flight=1) as load:
        load.now(40 * MS)
        load.reply()
        load.now(60 * MS)
        # The one in flight is young, and the one that waits is not overdue yet.
        load.now(51 * MS + TIMEOUT_NS)
        load.connections[0].sender.conversation.pending[0] = (START_NS + 50 * MS, START_NS + 150 * MS, 1)
        load.connections[0].sender.backlog.appendleft(START_NS + 50 * MS)
        load.give_up(0)
        assert list(load.connections[0].sender.backlog) == [START_NS + 120 * MS]
        assert load.tally.dropped == 1
        assert not load.connections[0].closing


def test_a_reply_that_is_overdue_ends_the_session_and_drops_what_waits():
    with world([0, MS, 90 * MS], 1, max_in_flight=1) as load:
        load.now(95 * MS)
        load.now(TIMEOUT_NS)
        load.give_up(0)
        assert not load.connections[0].closing, "exactly the time-out is in time"
        load.now(TIMEOUT_NS + 1)
        load.give_up(0)
        load.balance()
        assert (load.tally.due, load.tally.sent, load.tally.dropped, load.tally.unanswered) == (3, 1, 2, 1)
        assert load.tally.unanswered_wait_ns.max == TIMEOUT_NS + 1
        load.reply(count=1)
        assert load.tally.pushed == 0, "it is late, but it was asked for"
        load.lose(0)
        assert [fault.key for fault in load.ended] == ["reply-timeout"]


def test_an_unrequested_message_is_a_push():
    with world([0]) as load:
        load.reply(count=3)
        load.balance()
        assert (load.tally.answered, load.tally.pushed) == (1, 2)


# --- endings ---------------------------------------------------------------------------------------------------------


def test_at_the_end_what_is_a_little_late_leaves_and_what_is_very_late_is_dropped():
    with world([k * MS for k in range(100)]) as load:
        load.now(0)
        load.clock.advance(80 * MS)
        load.end()
        load.balance()
        late = 80 - MAX_LATE_SEND_NS // MS
        assert (load.tally.due, load.tally.dropped) == (80, late - 1)
        assert load.tally.sent == 80 - late + 1
        assert load.load.exhausted
        assert load.armed_ns is None


def test_a_lost_connection_loses_its_own_messages_and_no_others():
    with world([k * MS for k in range(40)], 2, max_in_flight=3) as load:
        load.now(9 * MS)
        assert [one.sender.in_flight for one in load.connections] == [5, 5]
        load.lose(0)
        load.balance()
        assert (load.tally.unanswered, load.tally.dropped) == (3, 2)
        assert load.tally.unanswered_wait_ns.min >= 4 * MS
        for at in range(10, 40):
            load.now(at * MS)
            load.reply(1, min(load.connections[1].sender.in_flight, 3))
        load.finish()
        load.balance()
        assert load.tally.due == 40
        assert (load.tally.unanswered, load.tally.dropped, load.tally.answered) == (3, 2, 35)


def test_without_a_connection_every_message_is_dropped():
    with world([k * MS for k in range(10)], 1) as load:
        load.now(4 * MS)
        load.lose(0)
        load.now(9 * MS)
        load.finish()
        assert (load.tally.due, load.tally.sent, load.tally.dropped, load.tally.unanswered) == (10, 5, 5, 5)


@pytest.mark.parametrize(("error", "key"), [(ConnectionResetError, "reset"), (BrokenPipeError, "closed:1006")])
def test_a_write_to_the_dead_is_a_drop_and_tells_of_a_reset(error, key):
    with world([0, MS, 2 * MS]) as load:
        load.kernels[0].broken = error()
        load.now(2 * MS)
        load.lose(0)
        load.balance()
        assert (load.tally.sent, load.tally.dropped, load.tally.unanswered) == (1, 2, 1)
        assert [fault.key for fault in load.ended] == [key]


def test_a_full_socket_leaves_whole_frames_in_order():
    with world([k * MS for k in range(6)], room=15) as load:
        load.now(6 * MS)
        assert load.tally.sent == 6
        assert load.kernels[0].stream == (FRAME * 2)[:15]
        load.now(8 * MS)
        load.make_room(0, 1000)
        assert load.kernels[0].stream == FRAME * 6
        assert load.tally.write_blocked_ns == 2 * MS


def test_bytes_that_wait_for_a_target_that_does_not_read_have_a_bound(monkeypatch):
    monkeypatch.setattr(open_loop, "MAX_QUEUED_BYTES", 2 * len(FRAME))
    with world([k * MS for k in range(10)], room=0) as load:
        load.now(10 * MS)
        assert len(load.kernels[0].queue) <= 4 * len(FRAME)
        assert load.tally.sent + load.tally.dropped == 10
        assert load.tally.dropped


# --- without awaited replies -----------------------------------------------------------------------------------------


class Unanswered(FakeWorker):
    reading = ReadPolicy(needs_payload=True, send_only=True)


def test_messages_without_awaited_reply_are_unanswered_as_soon_as_they_leave():
    with world([k * MS for k in range(10)], 2, max_in_flight=1, warmup_ns=3 * MS, of=Unanswered) as load:
        load.now(6 * MS)
        assert (load.tally.due, load.tally.sent, load.tally.unanswered, load.tally.warmup_sent) == (4, 4, 4, 3)
        assert not any(one.sender.in_flight for one in load.connections), (
            "nothing waits for room that no reply would make"
        )
        load.reply(0, 2)
        load.give_up(0)
        assert not load.connections[0].closing, "nothing is overdue"
        load.now(9 * MS)
        load.finish()
        tally = load.tally
        assert (tally.due, tally.sent, tally.unanswered, tally.dropped) == (7, 7, 7, 0)
        assert (tally.answered, tally.pushed, tally.pushed_bytes) == (0, 2, 8)
        assert tally.unanswered_wait_ns.count == 0


@given(
    st.integers(1, 3), st.integers(0, 400), st.integers(0, 450), st.integers(0, 450), st.sampled_from([None, 7, 300])
)
def test_messages_are_skipped_by_arithmetic_as_they_would_be_one_by_one(workers, taken, before_ms, from_ms, messages):
    skipped = 0
    for worker in range(workers):
        schedule = ArrivalSchedule(LoadProfile.constant(1000, 400 * MS))
        queue = DueQueue(DueInstants(schedule, messages), worker, workers)
        due = queue.next_block()
        own = [] if due is None else due.tolist()
        place = min(taken, len(own))
        count, rest = queue.skip_before(place, before_ms * MS, from_ms * MS)
        assert rest.tolist() == [at for at in own[place:] if at >= before_ms * MS]
        assert count == sum(from_ms * MS <= at < before_ms * MS for at in own[place:])
        skipped += count
    assert skipped <= 400


def test_the_end_of_an_overload_takes_no_time():
    schedule = ArrivalSchedule(LoadProfile.constant(1e7, 1_000_000 * MS))
    queue = DueQueue(DueInstants(schedule), 1, 3)
    queue.next_block()
    started = time.process_time()
    count, rest = queue.skip_before(5, 1_000_000 * MS, 0)
    assert (count, len(rest)) == (10**10 // 3 - 5, 0)
    assert queue.next_block() is None
    assert time.process_time() - started < 1
