"""Answers of many messages, without sockets or time: against a model that keeps plain lists, and cut anywhere."""

import contextlib
import itertools
from unittest import mock

import pytest
from fakes import FakeOwner, FakeSocket, carrying
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.engine.conversations import correlated, in_order
from ws_load_test.engine.conversations.streamed import PER_KILOSECOND_NS
from ws_load_test.engine.load_models import closed_loop, open_loop
from ws_load_test.engine.load_models.closed_loop import ClosedLoopRunner
from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
from ws_load_test.engine.sessions import connection, session
from ws_load_test.engine.sessions.read_policy import NO_FAST_PATH, ReadPolicy, StreamRules
from ws_load_test.messages.generator import PayloadStream
from ws_load_test.metrics.sample_buffer import CAPACITY
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import number_reader
from ws_load_test.testing import ManualClock
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateParams

MS = 1_000_000
START_NS = 10**12
TIMEOUT_NS = 500 * MS
STALL_NS = 50 * MS
MODULES = (correlated, in_order, connection, closed_loop, open_loop, session)
COUNTS = ("streamed", "broken_off", "stalls", "came_together", "without_first", "without_count")
TIMES = ("first_time_ns", "gap_ns")
AMOUNTS = ("answer_messages", "answer_bytes", "answer_count")
BY = pytest.mark.parametrize("by_id", [False, True], ids=["in order", "by id"])
LOADS = pytest.mark.parametrize("load", ["closed loop", "open loop"])


def id_of(payload):
    """Of a message such as ``#7 word``, or None."""
    return payload.split()[0] if payload.startswith(b"#") else None


def head(number):
    return b"#%d head" % number


def word(number):
    return b"#%d word" % number


def end(number, tokens=12):
    return b"#%d word END=%d" % (number, tokens)


def text(payload):
    return bytes([frames.FIN | frames.TEXT, len(payload)]) + payload


class Worker(FakeOwner):
    """One session that carries a load and is answered in streams, at the instants of a clock; it is also its owner."""

    def __init__(self, *, by_id, load="open loop", in_flight=4, first=True, deflate=False):
        self.clock = ManualClock(START_NS)
        super().__init__(due_when_sent=load == "closed loop")
        rules = StreamRules(
            is_last=lambda payload: b"END" in payload,
            is_first=(lambda payload: b"word" in payload) if first else None,
            stall_ns=STALL_NS,
            read_count=number_reader(r"regex:END=(\d+)"),
        )
        ids = {"extract_id": id_of, "message_key": id_of} if by_id else {}
        reading = ReadPolicy(needs_payload=True, stream=rules, **ids)
        self.numbers = itertools.count()
        self.sent = []
        if load == "closed loop":
            self.load = ClosedLoopRunner(memoryview(b""), in_flight, self.on_idle)
        else:
            self.load = OpenLoopRunner(
                self, [b""], iter(()), max_in_flight=in_flight, on_exhausted=lambda: None, on_idle=self.on_idle
            )
        self.session = carrying(self.load, self, reading)
        self.kernel = FakeSocket()
        self.session.attach(
            self.kernel,
            self.kernel,
            secure=False,
            early=b"",
            deflate=PerMessageDeflate(DeflateParams()) if deflate else None,
        )

    def session_opened(self, one):
        payloads = PayloadStream(self.make, frames.TEXT)
        one.sender.batches = one.sender.conversation.new_frames(payloads, frames.FrameEncoder(frames.TEXT))

    def now_ns(self):
        return self.clock.now_ns()

    def make(self):
        self.sent.append(self.clock.now_ns())
        return b"#%d" % next(self.numbers)

    def begin(self):
        self.load.add(self.session.sender)

    def due(self, late_ns=0):
        self.session.sender.send_due(self.clock.now_ns() - late_ns)

    def read(self, *payloads, after_ns=0):
        self.clock.advance(after_ns)
        self.session.data_received(b"".join(map(text, payloads)))

    def give_up(self):
        return self.session.sender.give_up_on(self.clock.now_ns() - TIMEOUT_NS, TIMEOUT_NS)

    def lose(self):
        self.session.connection_lost(None)

    def facts(self):
        """All counts of streams, and the sum and number of each histogram."""
        self.samples.flush()
        found = {name: getattr(self.tally, name) for name in COUNTS}
        for name in (*TIMES, *AMOUNTS, "response_time_ns"):
            times = getattr(self.tally, name)
            found[name] = (times.count, times.sum)
        return found


@contextlib.contextmanager
def world(**options):
    """A worker while its clock rules the modules under test."""
    made = Worker.__new__(Worker)
    made.clock = ManualClock(START_NS)
    with contextlib.ExitStack() as patches:
        for module in MODULES:
            patches.enter_context(mock.patch.object(module, "monotonic_ns", made.now_ns))
        made.__init__(**options)
        yield made


# --- What one answer comes to ---------------------------------------------------------------------------------------


@BY
@LOADS
def test_first_gaps_response_and_sizes_of_one_answer(by_id, load):
    with world(by_id=by_id, load=load, in_flight=1) as run:
        run.begin() if load == "closed loop" else run.due()
        run.read(head(0), after_ns=5 * MS)
        run.read(word(0), after_ns=25 * MS)
        run.read(word(0), after_ns=20 * MS)
        run.read(word(0), word(0), after_ns=60 * MS)
        run.read(end(0, 345), after_ns=10 * MS)
        payload_bytes = len(head(0)) + 4 * len(word(0)) + len(end(0, 345))
        assert run.facts() == {
            "streamed": 6,
            "broken_off": 0,
            "stalls": 1,
            "came_together": 1,
            "without_first": 0,
            "without_count": 0,
            "first_time_ns": (1, 30 * MS),
            "gap_ns": (4, 90 * MS),
            "answer_messages": (1, 6),
            "answer_bytes": (1, payload_bytes),
            "answer_count": (1, 345),
            "response_time_ns": (1, 120 * MS),
        }
        tally = run.tally
        assert tally.answer_count_per_ks.max == 345 * PER_KILOSECOND_NS // (120 * MS)
        assert tally.answer_messages_per_ks.max == 6 * PER_KILOSECOND_NS // (120 * MS)
        assert tally.answer_bytes_per_ks.max == payload_bytes * PER_KILOSECOND_NS // (120 * MS)
        assert tally.pushed == 0
        assert len(run.sent) == (2 if load == "closed loop" else 1), "only the end mark makes room"


@BY
def test_first_is_from_when_the_message_was_due_and_not_sent(by_id):
    with world(by_id=by_id) as run:
        run.due(late_ns=40 * MS)
        run.read(word(0), after_ns=3 * MS)
        assert run.tally.first_time_ns.max == 43 * MS
        run.read(end(0, 9), after_ns=7 * MS)
        assert run.tally.answer_count_per_ks.max == 9 * PER_KILOSECOND_NS // (50 * MS)


@BY
def test_without_a_check_of_the_first_it_is_the_one_that_comes_first(by_id):
    with world(by_id=by_id, first=False) as run:
        run.due()
        run.read(head(0), after_ns=5 * MS)
        run.read(end(0), after_ns=5 * MS)
        facts = run.facts()
        assert (facts["first_time_ns"], facts["gap_ns"]) == ((1, 5 * MS), (1, 5 * MS))


@BY
def test_an_answer_of_its_end_mark_alone(by_id):
    with world(by_id=by_id) as run:
        run.due()
        run.due()
        run.read(b"#0 END=", after_ns=7 * MS)
        run.read(end(1), after_ns=MS)
        facts = run.facts()
        assert facts["without_first"] == facts["without_count"] == 1
        assert facts["first_time_ns"] == (1, 8 * MS), "the end mark can be the first"
        assert facts["response_time_ns"] == (2, 15 * MS)
        assert facts["answer_messages"] == (2, 2)
        assert facts["gap_ns"] == (0, 0)


@BY
def test_what_was_due_in_the_warm_up_is_in_no_count(by_id):
    with world(by_id=by_id) as run:
        run.samples.measured_from_ns = START_NS + MS
        run.due()
        run.clock.advance(MS)
        run.due()
        run.read(word(0), word(0), end(0), word(1), after_ns=MS)
        run.lose()
        facts = run.facts()
        assert (facts["streamed"], facts["broken_off"]) == (1, 1)
        assert facts["first_time_ns"] == (1, MS)
        assert facts["gap_ns"] == facts["answer_messages"] == (0, 0)
        assert run.tally.warmup_answered == 1


# --- Answers beside each other --------------------------------------------------------------------------------------


def test_by_id_answers_may_be_interleaved():
    with world(by_id=True, in_flight=3) as run:
        for _ in range(3):
            run.due()
        run.read(word(2), after_ns=10 * MS)
        run.read(word(0), after_ns=10 * MS)
        run.read(word(2), word(1), after_ns=10 * MS)
        run.read(end(1), end(2), after_ns=10 * MS)
        run.read(end(0), after_ns=10 * MS)
        facts = run.facts()
        assert facts["first_time_ns"] == (3, (10 + 20 + 30) * MS)
        assert facts["gap_ns"] == (4, (20 + 10 + 10 + 30) * MS)
        assert facts["response_time_ns"] == (3, (40 + 40 + 50) * MS)
        assert facts["came_together"] == 0, "they are of different answers"
        assert run.tally.out_of_order == 1


def test_in_order_the_next_message_is_answered_after_an_end_mark_also_in_one_read():
    with world(by_id=False, in_flight=3) as run:
        for _ in range(3):
            run.due()
            run.clock.advance(MS)
        run.read(word(0), end(0), word(1), end(1), end(2), after_ns=7 * MS)
        facts = run.facts()
        assert facts["first_time_ns"] == facts["response_time_ns"] == (3, (10 + 9 + 8) * MS)
        assert facts["came_together"] == 2
        assert run.session.sender.in_flight == 0


def test_in_order_messages_that_left_together_are_answered_one_after_the_other():
    with world(by_id=False, load="closed loop", in_flight=3) as run:
        run.begin()
        run.read(word(0), end(0), after_ns=5 * MS)
        run.read(word(1), after_ns=5 * MS)
        run.read(end(1), after_ns=5 * MS)
        run.read(end(2), after_ns=5 * MS)
        facts = run.facts()
        assert facts["first_time_ns"] == (3, (5 + 10 + 20) * MS)
        assert facts["response_time_ns"] == (3, (5 + 15 + 20) * MS)
        # The messages that followed each end mark are behind the three.
        run.read(end(3), after_ns=5 * MS)
        assert run.facts()["response_time_ns"] == (4, (40 + 20) * MS)


def test_one_id_in_flight_twice_is_answered_twice():
    with world(by_id=True) as run:
        run.numbers = itertools.repeat(7)
        run.due()
        run.clock.advance(MS)
        run.due()
        run.read(word(7), end(7), word(7), after_ns=MS)
        run.read(end(7), after_ns=MS)
        facts = run.facts()
        assert facts["first_time_ns"] == (2, 2 * MS + MS)
        assert facts["response_time_ns"] == (2, 2 * MS + 2 * MS)


# --- What answers nothing, and what ends early ----------------------------------------------------------------------


def test_by_id_strays_are_pushes_and_a_further_end_mark_is_a_duplicate():
    with world(by_id=True) as run:
        run.due()
        run.read(end(0), word(0), word(0), end(0), word(99), end(99), b"news", after_ns=MS)
        tally = run.tally
        assert (tally.pushed, tally.duplicate_replies, tally.unknown_id) == (5, 1, 2)
        assert run.facts()["streamed"] == 1


def test_in_order_strays_are_pushes_and_a_further_end_mark_a_surplus_reply():
    with world(by_id=False) as run:
        run.read(b"news", after_ns=MS)
        run.due()
        run.read(end(0), word(0), end(0), after_ns=MS)
        run.samples.flush()
        tally = run.tally
        assert (tally.answered, tally.pushed, tally.surplus_replies, tally.streamed) == (1, 3, 1, 1)


def test_by_id_an_overdue_answer_is_broken_off_and_the_rest_of_it_late():
    with world(by_id=True) as run:
        run.due()
        run.due()
        run.read(word(0), after_ns=10 * MS)
        run.clock.advance(TIMEOUT_NS - 10 * MS)
        run.due()
        run.read(word(2), after_ns=MS)
        assert not run.give_up()
        tally = run.tally
        assert (tally.unanswered, tally.broken_off) == (2, 1), "message 1 had no answer at all, 2 has time left"
        run.read(word(0), end(0), after_ns=MS)
        assert (tally.late_replies, tally.pushed, tally.unknown_id) == (1, 1, 0)
        run.read(end(2), after_ns=MS)
        run.samples.flush()
        assert (tally.answered, tally.broken_off) == (1, 1)


def test_the_time_out_counts_to_the_end_mark_however_fast_the_messages_come():
    with world(by_id=True) as run:
        run.due()
        for _ in range(50):
            run.read(word(0), after_ns=10 * MS)
        run.give_up()
        assert run.tally.unanswered == 0
        run.clock.advance(1)
        run.give_up()
        assert run.tally.unanswered == run.tally.broken_off == 1


def test_in_order_an_overdue_answer_ends_the_session():
    with world(by_id=False) as run:
        run.due()
        run.due()
        run.read(word(0), after_ns=10 * MS)
        run.clock.advance(TIMEOUT_NS)
        assert run.give_up()
        assert (run.tally.unanswered, run.tally.broken_off) == (2, 1)
        run.read(word(0), end(0), after_ns=MS)
        run.samples.flush()
        assert (run.tally.answered, run.tally.pushed, run.tally.streamed) == (0, 0, 1)


@BY
@LOADS
def test_a_lost_session_breaks_off_what_had_begun(by_id, load):
    with world(by_id=by_id, load=load, in_flight=3) as run:
        if load == "closed loop":
            run.begin()
        else:
            for _ in range(3):
                run.due()
        run.read(head(0), after_ns=MS)
        run.lose()
        assert (run.tally.unanswered, run.tally.broken_off) == (3, 1)
        assert run.facts()["first_time_ns"] == (0, 0), "no word had come"


# --- However the bytes are cut --------------------------------------------------------------------------------------


def answers(*, by_id):
    """Frames of three answers, some in fragments, and all facts that they must come to."""
    if by_id:
        payloads = [word(1), head(0), word(0), word(1), end(1), word(2), end(0), end(2)]
    else:
        payloads = [head(0), word(0), end(0), word(1), word(1), end(1), word(2), end(2)]
    data = b""
    for number, payload in enumerate(payloads):
        if number % 3 == 1:
            middle = len(payload) // 2
            data += frames.encode_frame(frames.TEXT, payload[:middle], fin=False)
            data += frames.encode_frame(frames.PING, b"p")
            data += frames.encode_frame(frames.CONTINUATION, payload[middle:])
        else:
            data += text(payload)
    return data, payloads


@BY
def test_every_single_cut_and_byte_by_byte(by_id):
    data, payloads = answers(by_id=by_id)
    bytes_of = sum(map(len, payloads))
    for pieces in (
        [data],
        *([data[:place], data[place:]] for place in range(1, len(data))),
        [data[place : place + 1] for place in range(len(data))],
    ):
        with world(by_id=by_id) as run:
            for _ in range(3):
                run.due()
            run.clock.advance(MS)
            for piece in pieces:
                run.session.data_received(piece)
            facts = run.facts()
        assert facts == {
            "streamed": 8,
            "broken_off": 0,
            "stalls": 0,
            "came_together": 4,
            "without_first": 0,
            "without_count": 0,
            "first_time_ns": (3, 3 * MS),
            "gap_ns": (4, 0),
            "answer_messages": (3, 8),
            "answer_bytes": (3, bytes_of),
            "answer_count": (3, 36),
            "response_time_ns": (3, 3 * MS),
        }


def test_a_message_came_when_its_last_byte_did():
    with world(by_id=True) as run:
        run.due()
        data = text(word(0)) + text(end(0))
        for place in range(len(data)):
            run.clock.advance(MS)
            run.session.data_received(data[place : place + 1])
        assert run.tally.first_time_ns.max == len(text(word(0))) * MS
        run.samples.flush()
        assert run.tally.gap_ns.max == len(text(end(0))) * MS


@BY
def test_compressed_answers_count_by_what_they_say(by_id):
    with world(by_id=by_id, deflate=True) as run:
        run.due()
        server = PerMessageDeflate(DeflateParams())
        payloads = [head(0), word(0), word(0), end(0, 77)]
        assert run.session.reply_head == NO_FAST_PATH
        for payload in payloads:
            run.clock.advance(MS)
            run.session.data_received(frames.encode_frame(frames.TEXT, server.compress(payload), rsv=frames.RSV1))
        facts = run.facts()
        assert facts["answer_bytes"] == (1, sum(map(len, payloads)))
        assert (facts["first_time_ns"], facts["gap_ns"]) == ((1, 2 * MS), (2, 2 * MS))
        assert facts["answer_count"] == (1, 77)


# --- Whatever happens -----------------------------------------------------------------------------------------------


class Model:
    """What must come of it, worked out with plain lists."""

    def __init__(self, measured_from_ns, *, by_id):
        self.measured_from_ns, self.by_id = measured_from_ns, by_id
        self.waiting = []
        """Of each message in flight, oldest first: number, due, sent, what has come of its answer and when."""
        self.firsts, self.gaps, self.responses, self.sizes = [], [], [], []
        self.streamed = self.broken_off = 0

    def came(self, number, payload, now_ns):
        found = [one for one in self.waiting if one[0] == number] if self.by_id else self.waiting[:1]
        if not found:
            return
        one = found[0]
        _, due_ns, _, came = one
        came.append((payload, now_ns))
        is_measured = due_ns >= self.measured_from_ns
        self.streamed += is_measured
        places = [place for place, (said, _) in enumerate(came) if b"word" in said]
        if is_measured and places == [len(came) - 1]:
            self.firsts.append(now_ns - due_ns)
        elif is_measured and places:
            self.gaps.append(now_ns - came[-2][1])
        if b"END" in payload:
            self.waiting.remove(one)
            if is_measured:
                self.responses.append(now_ns - due_ns)
                self.sizes.append(sum(len(said) for said, _ in came))

    def forget(self, gone):
        for one in [one for one in self.waiting if gone(one)]:
            self.waiting.remove(one)
            self.broken_off += bool(one[3]) and one[1] >= self.measured_from_ns


steps = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 80 * MS)),
    st.tuples(st.just("due"), st.integers(0, 30 * MS)),
    st.tuples(st.just("read"), st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2)), min_size=1, max_size=6)),
    st.tuples(st.just("read"), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6)),
    st.tuples(st.just("give up")),
)


@settings(max_examples=150)
@given(st.booleans(), st.integers(0, 200 * MS), st.lists(steps, max_size=40), st.booleans())
@example(True, 0, [("due", 0), ("read", [(0, 1)]), ("pass", TIMEOUT_NS + 1), ("give up",), ("read", [(0, 2)])], False)
def test_the_books_agree_with_plain_lists(by_id, warmup_ns, script, is_lost):
    with world(by_id=by_id, in_flight=50) as run:
        run.samples.measured_from_ns = START_NS + warmup_ns
        model = Model(START_NS + warmup_ns, by_id=by_id)
        number = 0
        for kind, *what in script:
            now_ns = run.clock.now_ns()
            if run.session.closing:
                break
            if kind == "pass":
                run.clock.advance(what[0])
            elif kind == "due":
                run.due(late_ns=what[0])
                model.waiting.append((number, now_ns - what[0], now_ns, []))
                number += 1
            elif kind == "read":
                payloads = []
                for place, part in what[0]:
                    # One that waits, or what was never sent or has gone.
                    of = model.waiting[place][0] if 0 <= place < len(model.waiting) else 1000 + place
                    payload = (head, word, end)[part](of)
                    payloads.append(payload)
                    model.came(of, payload, now_ns)
                run.read(*payloads)
            elif by_id:
                run.give_up()
                model.forget(lambda one: one[2] < run.clock.now_ns() - TIMEOUT_NS)
            elif run.give_up():
                model.forget(lambda _: True)
        if is_lost:
            run.lose()
            model.forget(lambda _: True)
        facts, tally = run.facts(), run.tally
        assert facts["streamed"] == model.streamed
        assert facts["broken_off"] == model.broken_off
        assert facts["first_time_ns"] == (len(model.firsts), sum(model.firsts))
        assert facts["gap_ns"] == (len(model.gaps), sum(model.gaps))
        assert facts["came_together"] == model.gaps.count(0)
        assert facts["stalls"] == sum(gap > STALL_NS for gap in model.gaps)
        assert facts["response_time_ns"] == (len(model.responses), sum(model.responses))
        assert facts["answer_bytes"] == (len(model.sizes), sum(model.sizes))
        assert tally.answered == len(model.responses)
        assert run.session.sender.in_flight == len(model.waiting)


def test_tallies_of_streams_merge_exactly():
    tallies = []
    for parts in (1, 5):
        with world(by_id=True) as run:
            run.due()
            for _ in range(parts):
                run.read(word(0), after_ns=60 * MS)
            run.read(end(0), after_ns=MS)
            run.samples.flush()
            tallies.append(run.tally)
    total = Tally()
    for one in tallies:
        total.merge(Tally.from_record(Tally.from_wire(one.to_wire()).to_record()))
    assert (total.streamed, total.stalls) == (8, 4)
    assert (total.gap_ns.count, total.gap_ns.sum) == (6, 4 * 60 * MS + 2 * MS)
    assert (total.answer_messages.min, total.answer_messages.max) == (2, 6)


def test_more_gaps_than_a_block_holds_lose_nothing():
    with world(by_id=True) as run:
        run.due()
        for _ in range(CAPACITY + 7):
            run.read(word(0), after_ns=MS)
        assert run.tally.gap_ns.count == CAPACITY
        run.read(end(0), after_ns=MS)
        assert run.facts()["gap_ns"] == (CAPACITY + 7, (CAPACITY + 7) * MS)


def test_a_gap_of_exactly_the_limit_is_no_stall():
    with world(by_id=True) as run:
        run.due()
        run.read(word(0), after_ns=MS)
        run.read(word(0), after_ns=STALL_NS)
        assert run.tally.stalls == 0
        run.read(word(0), after_ns=STALL_NS + 1)
        assert run.tally.stalls == 1


def test_an_answer_to_a_message_that_left_late_has_its_time_from_then():
    with world(by_id=True) as run:
        run.due(late_ns=30 * MS)
        run.read(word(0), after_ns=MS)
        run.clock.advance(TIMEOUT_NS - 10 * MS)
        assert not run.give_up()
        assert run.tally.broken_off == run.tally.unanswered == 0
        run.read(end(0), after_ns=MS)
        facts = run.facts()
        assert (facts["broken_off"], facts["streamed"], facts["answer_messages"]) == (0, 2, (1, 2))
