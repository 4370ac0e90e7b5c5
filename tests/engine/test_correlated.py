"""Replies paired by their ids, without sockets or time: against a model that keeps plain lists."""

import contextlib
import itertools
from unittest import mock

import pytest
from fakes import FakeOwner, FakeSocket, carrying, in_flight_on
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.engine.conversations import correlated
from ws_load_test.engine.conversations.in_flight import RecentIds
from ws_load_test.engine.load_models import closed_loop, open_loop
from ws_load_test.engine.load_models.closed_loop import ClosedLoopRunner
from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
from ws_load_test.engine.sessions import connection, session
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.messages.generator import PayloadStream
from ws_load_test.metrics.sample_buffer import CAPACITY
from ws_load_test.testing import ManualClock
from ws_load_test.websocket import frames

MS = 1_000_000
START_NS = 10**12
TIMEOUT_NS = 100 * MS
MODULES = (correlated, connection, closed_loop, open_loop, session)
LOADS = pytest.mark.parametrize("load", ["closed loop", "open loop"])


def id_of(payload):
    """Of a message such as ``#7 and more``, or None."""
    return payload.split()[0] if payload.startswith(b"#") else None


def messages(stream):
    """The payloads of whole, masked text frames."""
    found = []
    while stream:
        assert stream[0] == frames.FIN | frames.TEXT
        size, mask = stream[1] & 0x7F, stream[2:6]
        assert len(stream) >= 6 + size
        found.append(bytes(byte ^ mask[place % 4] for place, byte in enumerate(stream[6 : 6 + size])))
        stream = stream[6 + size :]
    return found


def text(payload, opcode=frames.TEXT):
    return bytes([frames.FIN | opcode, len(payload)]) + payload


class FakeWorker(FakeOwner):
    """A worker with its connections, which all draw their messages from one supply; it is also their owner."""

    def __init__(self, load, *, connections=1, in_flight=4, left=None, supply=None, **reading):
        self.clock = ManualClock(START_NS)
        super().__init__(due_when_sent=load == "closed loop")
        self.kind = load
        self.supply = iter(supply) if supply is not None else (b"#%d" % number for number in itertools.count())
        self.reading = ReadPolicy(needs_payload=True, extract_id=id_of, message_key=id_of, **reading)
        self.recent_ids = RecentIds()
        self.in_flight = in_flight
        if load == "closed loop":
            self.load = ClosedLoopRunner(memoryview(b""), in_flight, self.on_idle)
            if left is not None:
                self.load.remaining = left
        else:
            self.load = OpenLoopRunner(
                self, [b""], iter(()), max_in_flight=in_flight, on_exhausted=lambda: None, on_idle=self.on_idle
            )
        self.connections, self.kernels, self.heard = [], [], []
        for number in range(connections):
            self.open(number)

    def session_opened(self, one):
        payloads = PayloadStream(self.make, frames.TEXT)
        one.sender.batches = one.sender.conversation.new_frames(payloads, frames.FrameEncoder(frames.TEXT))

    # What happens.

    def now_ns(self):
        return self.clock.now_ns()

    def make(self):
        return next(self.supply)

    def open(self, number):
        one = carrying(self.load, self, self.reading, number=number, recent_ids=self.recent_ids)
        kernel = FakeSocket()
        self.connections.append(one)
        self.kernels.append(kernel)
        self.heard.append(0)
        one.attach(kernel, kernel, secure=False, early=b"")
        return one

    def begin(self, which=0, count=None, due_ns=0):
        """The load begins on a connection: a closed loop's first messages, or so many that are due."""
        if self.kind == "closed loop":
            self.load.add(self.connections[which].sender)
            return
        for _ in range(self.in_flight if count is None else count):
            due_ns = due_ns or self.clock.now_ns()
            self.tally.due += due_ns >= self.samples.measured_from_ns
            self.connections[which].sender.send_due(due_ns)

    def read(self, *payloads, which=0):
        self.connections[which].data_received(b"".join(map(text, payloads)))

    def expire(self, which=0):
        assert not self.connections[which].sender.give_up_on(self.clock.now_ns() - TIMEOUT_NS, TIMEOUT_NS)

    def lose(self, which=0):
        self.connections[which].connection_lost(None)

    def received(self, which=0):
        """What the server has been sent and has not heard before."""
        stream = self.kernels[which].stream[self.heard[which] :]
        self.heard[which] += len(stream)
        return messages(stream)

    def rows(self):
        """What has been noted and not been seen before: when each message was due, sent and answered."""
        samples = self.samples
        rows = [(samples.due[row], samples.sent[row], samples.done[row]) for row in range(samples.length)]
        assert all(samples.count[row] == 1 for row in range(samples.length))
        samples.flush()
        return rows

    def pushed(self):
        tally = self.tally
        return {
            name: getattr(tally, name)
            for name in ("pushed", "pushed_bytes", "duplicate_replies", "late_replies", "unknown_id")
            if getattr(tally, name)
        }


@contextlib.contextmanager
def world(load, **options):
    """A world while its clock rules the modules under test."""
    made = FakeWorker.__new__(FakeWorker)
    made.clock = ManualClock(START_NS)
    with contextlib.ExitStack() as patches:
        for module in MODULES:
            patches.enter_context(mock.patch.object(module, "monotonic_ns", made.now_ns))
        made.__init__(load, **options)
        yield made


# --- whatever happens ------------------------------------------------------------------------------------------------


class Model:
    """What must come of it, worked out with plain lists."""

    def __init__(self, measured_from_ns, *, id_is_payload):
        self.measured_from_ns, self.id_is_payload = measured_from_ns, id_is_payload
        self.flying = []  # (connection, id, due, sent), oldest first
        self.latest = {}
        self.fates = {}
        self.rows = []
        self.counts = dict.fromkeys(
            (
                "answered",
                "unanswered",
                "pushed",
                "pushed_bytes",
                "duplicate_replies",
                "late_replies",
                "unknown_id",
                "out_of_order",
            ),
            0,
        )
        self.waits_ns = []
        self.timed_out = 0
        self.numbers = itertools.count()

    def sent(self, which, payload, due_ns, sent_ns):
        self.flying.append((next(self.numbers), which, id_of(payload), due_ns, sent_ns))

    def came(self, which, payload, at_ns):
        """Whether it answers a message."""
        key = id_of(payload)
        found = next((one for one in self.flying if key is not None and one[1:3] == (which, key)), None)
        if found is not None:
            number, _, _, due_ns, sent_ns = found
            self.flying.remove(found)
            self.rows.append((due_ns, sent_ns, at_ns))
            self.fates[which, key] = "duplicate_replies"
            self.counts["answered"] += due_ns >= self.measured_from_ns
            self.counts["out_of_order"] += number < self.latest.get(which, -1)
            self.latest[which] = max(number, self.latest.get(which, -1))
            return
        fate = self.fates.get((which, key)) if key is not None else None
        if fate is not None:
            self.counts[fate] += 1
            self.fates[which, key] = "duplicate_replies"
            return
        self.counts["unknown_id"] += key is not None and not self.id_is_payload
        self.counts["pushed"] += 1
        self.counts["pushed_bytes"] += len(payload)

    def expire(self, which, now_ns):
        for one in [one for one in self.flying if one[1] == which and one[4] < now_ns - TIMEOUT_NS]:
            # A message of the warm-up is no fault in the measured time.
            self.timed_out += one[3] >= self.measured_from_ns
            if one[2] is not None:
                self.fates[which, one[2]] = "late_replies"
            self.forget(one, now_ns)

    def lose(self, which, now_ns):
        for one in [one for one in self.flying if one[1] == which]:
            self.forget(one, now_ns)

    def forget(self, one, now_ns):
        self.flying.remove(one)
        if one[3] >= self.measured_from_ns:
            self.counts["unanswered"] += 1
            self.waits_ns.append(now_ns - one[3])

    def check(self, load):
        """Fails unless the worker knows the same."""
        rows = load.rows()
        assert rows == self.rows
        self.rows = []
        tally = load.tally
        assert {name: getattr(tally, name) for name in self.counts} == self.counts
        assert (tally.unanswered_wait_ns.count, tally.unanswered_wait_ns.sum) == (
            len(self.waits_ns),
            sum(self.waits_ns),
        )
        assert [fault.key for fault in load.faults] == ["reply-timeout"] * self.timed_out
        for which, one in enumerate(load.connections):
            assert len(in_flight_on(one)) == sum(number == which for _, number, *_ in self.flying)
        pending = sum(due_ns >= self.measured_from_ns for *_, due_ns, _ in self.flying)
        assert tally.sent == tally.answered + tally.unanswered + pending
        if load.kind == "open loop":
            waiting = sum(due_ns >= self.measured_from_ns for one in load.connections for due_ns in one.sender.backlog)
            assert tally.due == tally.sent + tally.dropped + waiting


place = st.integers(0, 40)
comes = st.one_of(
    st.tuples(st.just("one in flight"), place),
    st.tuples(st.just("one ever sent"), place),
    st.tuples(st.just("other"), st.sampled_from([b"", b"news", b"#foreign", b"#foreign too"])),
)
which_one = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 60 * MS)),
    st.tuples(st.just("due"), which_one, st.integers(0, 30 * MS)),
    st.tuples(st.just("read"), which_one, st.lists(comes, min_size=1, max_size=5)),
    st.tuples(st.just("read"), which_one, st.lists(comes, min_size=1, max_size=5)),
    st.tuples(st.just("expire"), which_one),
    st.tuples(st.just("lose"), which_one),
)
# Few ids, so that the same is often in flight twice; and messages that have none.
supplies = st.lists(st.sampled_from([b"#1", b"#2 or so", b"#3", b"#4", b"#5", b"none"]), min_size=1, max_size=12)


class Both:
    """A worker of two connections, and the model beside it."""

    def __init__(self, run, model):
        self.run, self.model = run, model
        self.ever = [[], []]
        """Every message that a connection has sent."""
        self.due_ns = [[], []]
        """When those were due that a connection on schedule has not sent yet."""

    def listen(self, which):
        """Takes in what the connection has sent at this instant."""
        now_ns = self.run.now_ns()
        for payload in self.run.received(which):
            due_ns = self.due_ns[which].pop(0) if self.run.kind == "open loop" else now_ns
            self.model.sent(which, payload, due_ns, now_ns)
            self.ever[which].append(payload)

    def begin(self, which, count):
        self.due_ns[which] = [self.run.now_ns()] * count
        self.run.begin(which)
        self.listen(which)

    def take(self, kind, which, what=None):
        """Does one step to both."""
        if kind == "pass":
            self.run.clock.advance(which)
        elif not self.run.connections[which].ended:
            getattr(self, kind)(which, *([] if what is None else [what]))
            self.listen(which)
            self.model.check(self.run)
            if self.run.kind == "closed loop" and kind != "lose":
                one = self.run.connections[which]
                assert one.sender.in_flight == len(in_flight_on(one)) == self.run.in_flight

    def due(self, which, ago_ns):
        if self.run.kind == "open loop":
            due_ns = self.run.now_ns() - ago_ns
            self.due_ns[which].append(due_ns)
            self.run.begin(which, 1, due_ns)

    def read(self, which, items):
        flying = [key or b"none" for _, number, key, *_ in self.model.flying if number == which]
        choices = {"one in flight": flying, "one ever sent": self.ever[which]}
        said = []
        for name, what in items:
            others = choices.get(name)
            said.append(what if others is None else others[what % len(others)] if others else b"")
        for payload in said:
            self.model.came(which, payload, self.run.now_ns())
        self.run.read(*said, which=which)

    def expire(self, which):
        now_ns = self.run.now_ns()
        self.model.expire(which, now_ns)
        while self.due_ns[which] and self.due_ns[which][0] < now_ns - TIMEOUT_NS:
            self.due_ns[which].pop(0)
        self.run.expire(which)

    def lose(self, which):
        self.model.lose(which, self.run.now_ns())
        self.due_ns[which].clear()
        self.run.lose(which)


@LOADS
@settings(deadline=None, max_examples=200)
@given(
    happenings=st.lists(steps, max_size=40),
    supply=supplies,
    in_flight=st.integers(1, 5),
    warmup_ns=st.sampled_from([0, 50 * MS]),
    id_is_payload=st.booleans(),
)
@example(
    happenings=[("read", 0, [("one in flight", 1), ("one in flight", 0)])],
    supply=[b"#1", b"#2"],
    in_flight=2,
    warmup_ns=0,
    id_is_payload=False,
)
@example(
    happenings=[("pass", 60 * MS), ("pass", 60 * MS), ("expire", 0), ("read", 0, [("one ever sent", 0)] * 2)],
    supply=[b"#1", b"#2"],
    in_flight=1,
    warmup_ns=0,
    id_is_payload=False,
)
@example(
    happenings=[("pass", 60 * MS), ("pass", 60 * MS), ("expire", 0)],
    supply=[b"#1"],
    in_flight=1,
    warmup_ns=50 * MS,
    id_is_payload=False,
)
def test_it_always_knows_what_the_model_knows(load, happenings, *, supply, in_flight, warmup_ns, id_is_payload):
    with world(
        load, connections=2, in_flight=in_flight, supply=itertools.cycle(supply), id_is_payload=id_is_payload
    ) as run:
        if load == "open loop":
            run.samples.measured_from_ns = START_NS + warmup_ns
        both = Both(run, Model(run.samples.measured_from_ns, id_is_payload=id_is_payload))
        for which in range(2):
            both.begin(which, in_flight)
        for happening in happenings:
            both.take(*happening)
        for which in range(2):
            both.take("lose", which)
        tally = run.tally
        assert tally.sent == tally.answered + tally.unanswered
        assert load == "closed loop" or tally.due == tally.sent + tally.dropped


# --- one thing at a time ---------------------------------------------------------------------------------------------


@LOADS
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_each_reply_answers_its_own_message_in_whatever_order(load, order):
    with world(load, in_flight=3, left=3, supply=[b"#a", b"#b", b"#c"]) as run:
        if load == "open loop":
            sent_ns = {}
            for letter in b"abc":
                run.clock.advance(MS)
                run.begin(count=1, due_ns=run.clock.now_ns() - 3)
                sent_ns[letter] = run.clock.now_ns()
        else:
            run.begin()
            sent_ns = dict.fromkeys(b"abc", START_NS)
        assert run.received() == [b"#a", b"#b", b"#c"]
        for number in order:
            run.clock.advance(10 * MS)
            letter = b"abc"[number]
            run.read(b"#%c" % letter)
            lag_ns = 3 if load == "open loop" else 0
            assert run.rows() == [(sent_ns[letter] - lag_ns, sent_ns[letter], run.clock.now_ns())]
        assert run.tally.answered == 3
        assert run.pushed() == {}
        assert run.idle[-1] is run.connections[0]
        overtaken = sum(any(later > number for later in order[:place]) for place, number in enumerate(order))
        assert run.tally.out_of_order == overtaken


def test_replies_of_one_read_share_their_instant_and_are_answered_by_one_write():
    with world("closed loop", in_flight=3) as run:
        run.begin()
        writes = []
        run.connections[0].write = lambda data: writes.append(messages(data)) or len(data)
        run.clock.advance(MS)
        run.read(b"#2", b"#0")
        assert writes == [[b"#3", b"#4"]]
        assert run.rows() == [(START_NS, START_NS, START_NS + MS)] * 2
        assert run.connections[0].sender.in_flight == 3


@LOADS
def test_a_second_reply_is_a_duplicate_and_nothing_else(load):
    with world(load, in_flight=2) as run:
        run.begin()
        run.read(b"#0", b"#0", which=0)
        run.read(b"#0")
        assert run.tally.duplicate_replies == 2
        assert run.pushed() == {"duplicate_replies": 2}
        assert len(run.rows()) == run.tally.answered == 1
        assert len(run.received()) == (3 if load == "closed loop" else 2), "only an answer makes room"


@LOADS
def test_a_reply_to_what_was_given_up_is_late_and_the_next_one_a_duplicate(load):
    with world(load, in_flight=2) as run:
        run.begin()
        run.clock.advance(TIMEOUT_NS + 1)
        run.expire()
        for _ in range(3):
            run.read(b"#1")
        assert run.pushed() == {"late_replies": 1, "duplicate_replies": 2}
        assert run.tally.answered == 0
        assert run.tally.unanswered == 2


@LOADS
@pytest.mark.parametrize("id_is_payload", [False, True])
def test_a_push_is_counted_and_sized_and_an_unknown_id_is_a_mismatch(load, id_is_payload):
    """Where the id is all that a message says, an unknown one is as good as none."""
    with world(load, in_flight=2, id_is_payload=id_is_payload) as run:
        run.begin()
        run.read(b"news", b"#77 of another")
        run.read(b"")
        sized = {"pushed": 3, "pushed_bytes": 18}
        assert run.pushed() == (sized if id_is_payload else {**sized, "unknown_id": 1})
        assert run.tally.answered == run.tally.duplicate_replies == 0
        assert len(in_flight_on(run.connections[0])) == 2


@LOADS
def test_an_id_that_is_in_flight_twice_is_answered_oldest_first(load):
    with world(load, in_flight=2, left=3, supply=[b"#same", b"#other", b"#same"]) as run:
        run.begin()
        run.clock.advance(MS)
        if load == "open loop":
            run.read(b"#other")
            run.begin(count=1)
        else:
            run.read(b"#other")
        run.clock.advance(MS)
        run.read(b"#same")
        run.clock.advance(MS)
        run.read(b"#same", b"#same")
        assert [(sent_ns - START_NS, done_ns - START_NS) for _, sent_ns, done_ns in run.rows()] == [
            (0, MS),
            (0, 2 * MS),
            (MS, 3 * MS),
        ]
        assert run.pushed() == {"duplicate_replies": 1}


@LOADS
def test_a_message_without_an_id_is_answered_by_nothing(load):
    with world(load, in_flight=2, left=2, supply=[b"plain", b"#1"]) as run:
        run.begin()
        run.read(b"plain", b"#1", b"plain")
        assert run.tally.pushed == 2
        assert len(run.rows()) == 1
        run.clock.advance(TIMEOUT_NS + 1)
        run.expire()
        run.read(b"plain")
        assert run.pushed() == {"pushed": 3, "pushed_bytes": 15}, "nor is it late"
        assert (run.tally.sent, run.tally.answered, run.tally.unanswered) == (2, 1, 1)


@LOADS
def test_only_a_reply_that_was_overtaken_is_out_of_order(load):
    with world(load, in_flight=4, left=4) as run:
        run.begin()
        counts = []
        for payload in (b"#0", b"#3", b"#1", b"#1", b"#2", b"#9"):
            run.read(payload)
            counts.append(run.tally.out_of_order)
        assert counts == [0, 0, 1, 1, 2, 2]


def test_what_a_flood_gives_up_makes_room_and_leaves_the_session_be():
    with world("closed loop", in_flight=3) as run:
        run.begin()
        run.clock.advance(TIMEOUT_NS)
        run.read(b"#1")
        assert run.received() == [b"#0", b"#1", b"#2", b"#3"]
        run.expire()
        assert run.faults == [], "exactly the time-out is in time"
        run.clock.advance(1)
        run.expire()
        run.expire()
        assert [(fault.key, fault.text) for fault in run.faults] == [
            ("reply-timeout", "did not answer a message within 100 ms")
        ] * 2
        assert run.received() == [b"#4", b"#5"]
        assert (run.tally.unanswered, run.tally.unanswered_wait_ns.min) == (2, TIMEOUT_NS + 1)
        assert run.connections[0].sender.in_flight == len(in_flight_on(run.connections[0])) == 3
        assert not run.connections[0].closing
        assert run.ended == []
        run.read(b"#3", b"#4", b"#5")
        run.rows()
        assert run.tally.answered == 4
        assert run.tally.lost == 0


def test_what_a_schedule_gives_up_makes_room_for_what_waits():
    with world("open loop", in_flight=2) as run:
        run.begin()
        run.clock.advance(60 * MS)
        run.begin(count=1)
        run.clock.advance(50 * MS)
        assert run.received() == [b"#0", b"#1"]
        run.expire()
        assert run.received() == [b"#2"]
        assert [fault.key for fault in run.faults] == ["reply-timeout"] * 2
        assert (run.tally.due, run.tally.sent, run.tally.unanswered, run.tally.dropped) == (3, 3, 2, 0)
        run.clock.advance(MS)
        run.read(b"#2")
        assert run.rows() == [(START_NS + 60 * MS, START_NS + 110 * MS, START_NS + 111 * MS)]
        assert run.idle == run.connections


def test_what_a_schedule_lets_wait_too_long_is_dropped():
    with world("open loop", in_flight=1) as run:
        run.begin()
        run.begin(count=1, due_ns=START_NS + 1)
        run.begin(count=1, due_ns=START_NS + MS + 1)
        run.clock.advance(TIMEOUT_NS + MS)
        run.expire()
        assert run.received() == [b"#0", b"#1"], "an id is given when a message leaves"
        assert (run.tally.due, run.tally.sent, run.tally.unanswered, run.tally.dropped) == (3, 2, 1, 1)


@LOADS
def test_a_lost_session_leaves_its_messages_unanswered(load):
    with world(load, in_flight=3) as run:
        run.begin()
        run.read(b"#2", b"#0")
        if load == "open loop":
            run.begin(count=4)
        run.clock.advance(MS)
        run.lose()
        run.rows()
        tally = run.tally
        assert (tally.answered, tally.unanswered) == (2, 3)
        assert tally.sent == tally.answered + tally.unanswered
        assert (tally.due, tally.dropped) == ((7, 2) if load == "open loop" else (0, 0))
        assert (tally.unanswered_wait_ns.count, tally.unanswered_wait_ns.max) == (3, MS)
        assert len(in_flight_on(run.connections[0])) == run.connections[0].sender.in_flight == 0
        assert run.idle[-1] is run.connections[0]
        assert run.faults == [], "the loss is the fault, not each message"


@LOADS
def test_what_the_warm_up_left_in_flight_is_not_called_unanswered(load):
    with world(load, in_flight=2) as run:
        run.samples.measured_from_ns = START_NS + MS
        run.begin()
        run.clock.advance(MS)
        run.lose()
        assert run.tally.unanswered == run.tally.unanswered_wait_ns.count == 0


@LOADS
def test_connections_do_not_answer_for_each_other(load):
    """Nor for one that had another number; the session in the place of a lost one answers for it."""
    with world(load, connections=2, in_flight=1, left=2, supply=[b"#0", b"#1"], id_is_payload=True) as run:
        run.begin(0)
        run.begin(1)
        run.read(b"#1", which=0)
        run.read(b"#0", which=1)
        assert run.pushed() == {"pushed": 2, "pushed_bytes": 4}
        run.read(b"#0", which=0)
        run.read(b"#0", which=1)
        assert run.pushed() == {"pushed": 3, "pushed_bytes": 6}
        run.lose(0)
        run.open(0)
        run.read(b"#0", which=2)
        assert run.tally.duplicate_replies == 1
        assert len(run.rows()) == 1


@LOADS
def test_more_replies_than_the_columns_hold_are_all_counted(load):
    count = CAPACITY * 2 + 5
    with world(load, in_flight=count, left=count) as run:
        run.begin()
        run.clock.advance(MS)
        run.read(*(b"#%d" % number for number in reversed(range(count))))
        assert run.samples.length == 5
        run.samples.flush()
        assert run.tally.answered == run.tally.response_time_ns.count == count
        assert run.tally.response_time_ns.min == run.tally.response_time_ns.max == MS
        assert run.tally.out_of_order == count - 1


@LOADS
@pytest.mark.parametrize(("error", "key"), [(ConnectionResetError, "reset"), (BrokenPipeError, "closed:1006")])
def test_what_the_dead_did_not_take_was_never_in_flight(load, error, key):
    with world(load, in_flight=2) as run:
        run.begin()
        run.kernels[0].broken = error()
        run.read(b"#0")
        if load == "open loop":
            run.begin(count=1)
        assert len(in_flight_on(run.connections[0])) == run.connections[0].sender.in_flight == 1
        run.lose()
        run.rows()
        assert (run.tally.sent, run.tally.answered, run.tally.unanswered) == (2, 1, 1)
        assert run.tally.dropped == (load == "open loop")
        assert run.ended[0].key == key


@LOADS
def test_a_reply_that_says_the_wrong_thing_is_a_reply_and_a_fault(load):
    expect = (("contains:ok", lambda payload: b"ok" in payload),)
    with world(load, in_flight=3, left=3, expect=expect) as run:
        run.begin()
        run.read(b"#0 ok", b"#1 no", b"news", b"#0 no")
        assert len(run.rows()) == 2
        assert [fault.key for fault in run.faults] == ["check-failed"], "a push or a duplicate need not say it"


@LOADS
def test_what_is_ignored_is_a_push_whatever_its_id(load):
    with world(load, in_flight=2, left=2, ignore=(lambda payload: b"typing" in payload,)) as run:
        run.begin()
        run.read(b"#0 typing", b"#0 done")
        assert len(run.rows()) == 1
        assert run.pushed() == {"pushed": 1, "pushed_bytes": 9}


@LOADS
def test_a_message_is_sent_once_it_has_been_made(load):
    """What making it took is ours: a closed loop's message falls due afterwards, one on schedule is sent late."""

    def slow():
        for number in itertools.count():
            run.clock.advance(7)
            yield b"#%d" % number

    with world(load, in_flight=2, supply=slow()) as run:
        run.begin()
        run.read(b"#0", b"#1")
        sent = {"closed loop": [14, 14], "open loop": [7, 14]}[load]
        due = {"closed loop": [14, 14], "open loop": [0, 0]}[load]
        assert run.rows() == [
            (START_NS + due_ns, START_NS + sent_ns, START_NS + 14) for due_ns, sent_ns in zip(due, sent, strict=True)
        ]


def test_a_flood_that_is_spent_sends_no_more():
    with world("closed loop", in_flight=2, left=3) as run:
        run.begin()
        run.read(b"#1", b"#0")
        assert run.received() == [b"#0", b"#1", b"#2"]
        assert run.idle == []
        run.read(b"#2")
        assert run.received() == []
        assert run.idle == run.connections
        assert run.load.exhausted


def test_one_that_rests_gives_up_and_sends_no_more():
    with world("closed loop", in_flight=2) as run:
        run.begin()
        run.connections[0].sender.stop_sending()
        run.read(b"#1")
        assert run.idle == []
        run.clock.advance(TIMEOUT_NS + 1)
        run.expire()
        assert run.received() == [b"#0", b"#1"]
        assert run.idle == run.connections


# --- pings that differ -----------------------------------------------------------------------------------------------


@LOADS
def test_pongs_are_paired_by_what_they_say(load):
    with world(load, in_flight=3, left=3, pongs=True, id_is_payload=True) as run:
        run.begin()
        one = run.connections[0]
        one.data_received(text(b"#2", frames.PONG) + text(b"#0", frames.PONG) + text(b"#0", frames.PONG) + text(b"#1"))
        assert len(run.rows()) == 2
        assert run.tally.out_of_order == run.tally.duplicate_replies == 1
        assert run.tally.pushed == 1, "the text"
        assert len(in_flight_on(one)) == 1
