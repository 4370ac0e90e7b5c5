"""What a connection makes of the bytes it reads, however they are cut; no socket is involved."""

import gc
import itertools
import os
import struct
import sys
import tracemalloc
from dataclasses import dataclass, field

import pytest
from fakes import FakeOwner, FakeSocket, carrying, in_flight_on
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.engine.conversations import in_order
from ws_load_test.engine.load_models import closed_loop
from ws_load_test.engine.load_models.closed_loop import UNLIMITED, ClosedLoopRunner
from ws_load_test.engine.sessions import connection as connection_module
from ws_load_test.engine.sessions.read_policy import NO_FAST_PATH, ReadPolicy
from ws_load_test.metrics.sample_buffer import CAPACITY
from ws_load_test.plan.plan import DEFAULT_MAX_MESSAGE_BYTES
from ws_load_test.websocket import frames as ws_frames
from ws_load_test.websocket.deflate import PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateParams

TEXT, BINARY, MORE, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
NORMAL = struct.pack(">H", 1000)


def frame(opcode, payload=b"", *, fin=True, rsv=0, masked=False):
    """A frame by the letter of RFC 6455, section 5.2, without help from the code under test."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size = len(payload)
    if size <= 125:
        head += struct.pack(">B", masked << 7 | size)
    elif size <= 0xFFFF:
        head += struct.pack(">BH", masked << 7 | 126, size)
    else:
        head += struct.pack(">BQ", masked << 7 | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def client_frames(data):
    """The frames in what a client wrote: (opcode, payload); fails unless they are whole and masked."""
    found = []
    while data:
        assert data[0] & 0xF0 == 0x80, "no reserved bits, not a fragment"
        assert data[1] & 0x80, "a client masks"
        opcode, size, at = data[0] & 15, data[1] & 127, 2
        if size > 125:
            size = int.from_bytes(data[2:4]) if size == 126 else int.from_bytes(data[2:10])
            at = 4 if data[1] & 127 == 126 else 10
        mask, body = data[at : at + 4], data[at + 4 : at + 4 + size]
        assert len(body) == size, "the last frame is whole"
        found.append((opcode, bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))))
        data = data[at + 4 + size :]
    return found


class Session:
    """A connection, opened, with `in_flight` messages sent."""

    def __init__(self, in_flight=1, *, left=None, pong=None, room=UNLIMITED, size=4, secure=False, **reading):
        self.owner, self.kernel = FakeOwner(), FakeSocket(room)
        opcode = TEXT if pong is None else PING
        frames = b"".join(
            ws_frames.encode_client_frame(opcode, b"m" * size if pong is None else pong) for _ in range(in_flight)
        )
        self.load = ClosedLoopRunner(memoryview(frames), in_flight, self.owner.on_idle)
        self.load.remaining = in_flight if left is None else left
        reading = ReadPolicy(pongs=pong is not None, expected_pong=pong, **reading)
        self.connection = carrying(self.load, self.owner, reading)
        self.connection.attach(self.kernel, self.kernel, secure=secure, early=b"")
        self.connection.sender.send(in_flight, connection_module.monotonic_ns())

    def read(self, *pieces):
        for piece in pieces:
            if self.kernel.closed:
                return
            self.connection.data_received(piece)
            self.check()

    def check(self):
        """What holds after every read."""
        connection, tally = self.connection, self.owner.tally
        self.owner.samples.flush()
        assert connection.sender.in_flight == len(in_flight_on(connection))
        assert tally.response_time_ns.count == tally.answered
        assert tally.sent == tally.answered + tally.unanswered + connection.sender.in_flight
        assert len(self.owner.ended) == sum(tally.closed.values()) == connection.ended

    def facts(self):
        """All that the bytes amounted to."""
        self.check()
        tally = self.owner.tally
        return {
            "answered": tally.answered,
            "unanswered": tally.unanswered,
            "pushed": tally.pushed,
            "closed": dict(tally.closed),
            "faults": dict(tally.faults),
            "lost": tally.lost,
            "texts": [fault and fault.text for fault in self.owner.ended],
            "others": [fault.text for fault in self.owner.faults],
            "written": [sent for sent in self.written() if sent[0] in (PONG, CLOSE)],
            "hung up": self.kernel.closed,
        }

    def written(self):
        return client_frames(self.kernel.stream + self.kernel.queue)


def cut(data, places):
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


# --- any frames, cut anywhere ------------------------------------------------------------------------------------


@dataclass
class Script:
    """Frames a server sends, and what they mean."""

    data: bytes = b""
    messages: int = 0
    pongs: list = field(default_factory=list)
    edges: list = field(default_factory=list)

    def add(self, data, *, messages=0, ping=None):
        self.data += data
        self.edges.append(len(self.data))
        self.messages += messages
        if ping is not None:
            self.pongs.append((PONG, ping))


sizes = st.sampled_from([0, 1, 2, 124, 125, 126, 127, 128, 300, 65535, 65536])
small = st.binary(max_size=125)
controls = st.lists(st.tuples(st.sampled_from([PING, PONG]), small), max_size=2)
whole = st.tuples(st.just("whole"), st.sampled_from([TEXT, BINARY]), sizes)
parts = st.tuples(
    st.just("parts"), st.sampled_from([TEXT, BINARY]), st.lists(st.tuples(sizes, controls), min_size=2, max_size=4)
)
control = st.tuples(st.just("control"), st.sampled_from([PING, PONG]), small)


def script_of(steps):
    script = Script()

    def add_control(opcode, payload):
        script.add(frame(opcode, payload), ping=payload if opcode == PING else None)

    for kind, opcode, what in steps:
        if kind == "whole":
            script.add(frame(opcode, b"x" * what), messages=1)
        elif kind == "control":
            add_control(opcode, what)
        else:
            for number, (size, between) in enumerate(what):
                last = number == len(what) - 1
                script.add(frame(MORE if number else opcode, b"x" * size, fin=last), messages=last)
                for one in between:
                    add_control(*one)
    return script


scripts = st.lists(st.one_of(whole, parts, control), min_size=1, max_size=8).map(script_of)


@st.composite
def cuts(draw, script):
    """Places to cut: headers' neighbourhoods most of all, since little happens elsewhere."""
    near = st.tuples(st.sampled_from([0, *script.edges]), st.integers(-2, 12)).map(sum)
    return draw(st.lists(st.one_of(near, st.integers(0, len(script.data))), max_size=12))


@given(st.data(), scripts, st.integers(1, 9), st.booleans())
@settings(max_examples=150, deadline=None)
def test_however_the_bytes_are_cut_they_mean_the_same(data, script, in_flight, whole):
    session = Session(in_flight, needs_payload=whole, check_utf8=whole)
    session.read(*cut(script.data, data.draw(cuts(script))))
    facts = session.facts()
    answered = min(in_flight, script.messages)
    assert facts["answered"] == answered
    assert facts["pushed"] == script.messages - answered
    assert facts["written"] == script.pongs
    assert (facts["lost"], facts["closed"], facts["hung up"]) == (0, {}, False)
    assert session.owner.tally.bytes_received == len(script.data)


@given(st.data(), scripts, st.integers(1, 9), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_flood_is_never_out_of_balance(data, script, in_flight, secure, whole):
    session = Session(in_flight, left=UNLIMITED, secure=secure, needs_payload=whole)
    session.read(*cut(script.data, data.draw(cuts(script))))
    tally = session.owner.tally
    assert tally.answered + tally.pushed == script.messages
    assert session.connection.sender.in_flight == in_flight
    assert tally.sent == in_flight + tally.answered
    assert tally.bytes_sent == len(session.kernel.stream)
    assert len([1 for opcode, _ in session.written() if opcode == TEXT]) == tally.sent
    session.connection.connection_lost(None)
    session.check()
    assert tally.sent == tally.answered + tally.unanswered


@given(st.data(), scripts, st.integers(1, 5), st.binary(max_size=125))
@settings(max_examples=100, deadline=None)
def test_under_ping_pongs_alone_are_replies_and_only_with_the_payload(data, script, in_flight, payload):
    other = payload[:-1] + b"?" if payload and payload[-1:] != b"?" else b"other"
    for pong in (payload, other, payload):
        script.add(frame(PONG, pong))
    session = Session(in_flight, pong=payload)
    session.read(*cut(script.data, data.draw(cuts(script))))
    tally = session.owner.tally
    # The script may hold pongs of its own that happen to be ours.
    expected = sum(1 for opcode, body in server_frames(script.data) if (opcode, body) == (PONG, payload))
    assert expected >= 2
    assert tally.answered == min(in_flight, expected)
    assert tally.pushed == script.messages + expected - tally.answered
    assert session.facts()["written"] == script.pongs


def server_frames(data):
    while data:
        size, at = data[1], 2
        if size > 125:
            size, at = (int.from_bytes(data[2:4]), 4) if size == 126 else (int.from_bytes(data[2:10]), 10)
        yield data[0] & 15, data[at : at + size]
        data = data[at + size :]


EVERY_KIND = [
    ("whole", TEXT, 4),
    ("whole", BINARY, 0),
    ("control", PING, b"ping"),
    ("parts", TEXT, [(3, [(PING, b""), (PONG, b"?")]), (0, []), (2, [])]),
    ("whole", TEXT, 126),
    ("control", PONG, b"x" * 125),
    ("parts", BINARY, [(0, []), (130, [])]),
    ("whole", TEXT, 1),
]


@pytest.mark.parametrize("whole", [False, True])
def test_every_single_cut_and_byte_by_byte(whole):
    script = script_of(EVERY_KIND)
    uncut = Session(4, needs_payload=whole)
    uncut.read(script.data)
    facts = uncut.facts()
    assert (facts["answered"], facts["pushed"]) == (4, 2)
    for place in range(1, len(script.data)):
        session = Session(4, needs_payload=whole)
        session.read(script.data[:place], script.data[place:])
        assert session.facts() == facts, place
    session = Session(4, needs_payload=whole)
    session.read(*cut(script.data, range(len(script.data))))
    assert session.facts() == facts


def test_replies_of_one_read_are_answered_with_one_write():
    session = Session(5, left=UNLIMITED)
    writes = []
    session.connection.write = lambda data: writes.append(len(data)) or len(data)
    session.read(frame(TEXT, b"x") * 3, frame(PONG, b"x"), frame(TEXT, b"x") * 2)
    assert [size // session.load.frame_bytes for size in writes] == [3, 2]
    assert [count for *_, count in session.connection.sender.conversation.pending] == [3, 2]


@pytest.mark.parametrize(
    "before", [b"", frame(TEXT, b"x", fin=False) + frame(MORE), frame(BINARY, b"x"), frame(PING), frame(PONG)]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_ordinary_replies_take_the_short_way_whatever_came_before(before, opcode):
    session = Session(1, left=UNLIMITED)
    session.read(frame(opcode, b"x"), before, frame(opcode, b"x"))
    answered = session.owner.tally.answered
    session.connection._read_frame_slow = None
    session.read(frame(opcode, b"x"), frame(opcode, b"x" * 70_000))
    assert session.owner.tally.answered == answered + 2


def test_replies_are_paired_in_order_with_their_own_sends(monkeypatch):
    instants = iter((1000, 1010, 1500, 1900))
    monkeypatch.setattr(connection_module, "monotonic_ns", lambda: next(instants))
    session = Session(3, left=7)
    samples = session.owner.samples
    for replies in (2, 2, 3):
        session.connection.data_received(frame(TEXT, b"x") * replies)
    rows = [(samples.sent[row], samples.done[row], samples.count[row]) for row in range(samples.length)]
    assert rows == [(1000, 1010, 2), (1000, 1500, 1), (1010, 1500, 1), (1010, 1900, 1), (1500, 1900, 2)]
    assert session.load.remaining == 0
    assert session.connection.sender.in_flight == 0
    assert len(session.owner.idle) == 1


def test_messages_that_differ_are_due_once_they_have_been_made(monkeypatch):
    """What it takes to make them is no part of any time; nor is it the target's."""
    now_ns = 1000
    for module in (connection_module, closed_loop, in_order):
        monkeypatch.setattr(module, "monotonic_ns", lambda: now_ns)

    class Maker:
        made = 0

        def __getitem__(self, count):
            nonlocal now_ns
            now_ns += 7 * count
            self.made += count
            return b"".join(
                ws_frames.encode_client_frame(TEXT, b"%d" % number) for number in range(self.made - count, self.made)
            )

    owner, kernel = FakeOwner(), FakeSocket()
    connection = carrying(ClosedLoopRunner(memoryview(b""), 2, owner.on_idle), owner)
    connection.attach(kernel, kernel, secure=False, early=b"")
    connection.sender.batches = Maker()
    connection.sender.send(2)
    now_ns = 2000
    connection.data_received(frame(TEXT, b"x") * 2)
    now_ns = 3000
    connection.data_received(frame(TEXT, b"x") * 3)
    samples = owner.samples
    rows = [(samples.sent[row], samples.done[row], samples.count[row]) for row in range(samples.length)]
    assert rows == [(1014, 2000, 2), (2014, 3000, 2)]
    assert owner.tally.pushed == 1
    assert owner.tally.bytes_sent == len(kernel.stream)
    assert client_frames(kernel.stream) == [(TEXT, b"%d" % number) for number in range(6)]


def test_more_samples_than_a_block_holds_lose_nothing():
    session = Session(1, left=UNLIMITED)
    reply = frame(TEXT, b"x")
    for _ in range(CAPACITY + 3):
        session.connection.data_received(reply)
    assert session.owner.samples.length == 3
    session.check()
    assert session.owner.tally.answered == CAPACITY + 3


LIMIT = 1000
TOO_LARGE = {"message-too-large": 1}


def test_the_largest_message_by_default_is_taken_and_one_byte_more_is_not():
    for size, fits in ((DEFAULT_MAX_MESSAGE_BYTES, True), (DEFAULT_MAX_MESSAGE_BYTES + 1, False)):
        session = Session()
        session.read(bytes([0x82, 127]) + size.to_bytes(8))
        if fits:
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                session.connection.data_received(block)
            assert session.facts()["answered"] == 1
        else:
            assert session.facts()["written"] == [(CLOSE, struct.pack(">H", 1009))]
            assert session.facts()["faults"] == TOO_LARGE
    gc.collect()


def fragments(size, each):
    """A message of so many bytes, in fragments of so many bytes."""
    sizes = [each] * (size // each) + ([size % each] if size % each else [])
    parts = [frame(MORE if place else BINARY, bytes(one), fin=False) for place, one in enumerate(sizes)]
    return b"".join(parts) + frame(MORE)


@pytest.mark.parametrize("whole", [False, True], ids=["counted", "read whole"])
@pytest.mark.parametrize("each", [None, 1, 7, 126, LIMIT], ids=lambda each: f"fragments of {each}")
def test_a_message_of_exactly_the_limit_is_taken_in_one_frame_or_in_many(whole, each):
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        session = Session(max_message_bytes=LIMIT, needs_payload=whole)
        session.read(*cut(frame(BINARY, bytes(size)) if each is None else fragments(size, each), range(0, 9000, 7)))
        facts = session.facts()
        assert facts["answered"] == fits
        assert facts["faults"] == ({} if fits else TOO_LARGE)
        if not fits:
            assert facts["written"] == [(CLOSE, struct.pack(">H", 1009))]
            assert facts["texts"][0].endswith("of --max-message-size")
            assert f"more than the {LIMIT}" in facts["texts"][0]


def test_a_fragment_that_would_be_too_much_is_refused_by_its_head():
    session = Session(max_message_bytes=LIMIT)
    session.read(frame(BINARY, bytes(LIMIT - 200), fin=False) + frame(MORE, bytes(201))[:4])
    assert session.facts()["faults"] == TOO_LARGE


def test_what_does_not_compress_may_be_a_little_larger_on_the_wire():
    squeezer = PerMessageDeflate(DeflateParams())
    noise = os.urandom(LIMIT)
    for payload, fits in ((noise, True), (noise + b"x", False), (bytes(LIMIT), True), (bytes(LIMIT + 1), False)):
        session = Session(max_message_bytes=LIMIT)
        session.connection.deflate, session.connection.needs_payload = PerMessageDeflate(DeflateParams()), True
        session.connection.reply_head = NO_FAST_PATH
        packed = PerMessageDeflate(DeflateParams()).compress(payload)
        session.read(frame(BINARY, packed, rsv=4))
        assert session.facts()["answered"] == fits
        assert session.facts()["faults"] == ({} if fits else TOO_LARGE)
    assert len(squeezer.compress(noise)) > LIMIT


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "of a byte"])
@pytest.mark.parametrize("whole", [False, True], ids=["counted", "read whole"])
def test_fragments_take_memory_by_their_payload_however_many_they_are(payload, whole):
    session = Session(max_message_bytes=1 << 20, needs_payload=whole)
    many = frame(MORE, payload, fin=False) * 1000
    session.connection.data_received(frame(TEXT, b"", fin=False))
    tracemalloc.start()
    try:
        for _ in range(20):
            session.connection.data_received(many)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 20_000 * len(payload) * 1.2 + 20_000
    session.read(frame(MORE))
    assert session.facts()["answered"] == 1


def test_a_frame_that_comes_byte_by_byte_takes_memory_by_its_bytes():
    session = Session(needs_payload=True)
    data = frame(TEXT, b"x" * 50_000)
    tracemalloc.start()
    try:
        for place in range(len(data) - 1):
            session.connection.data_received(data[place : place + 1])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 50_000 * 1.2 + 20_000
    session.read(data[-1:])
    assert session.facts()["answered"] == 1


# --- what messages say -------------------------------------------------------------------------------------------


UMLAUT = "ü".encode()
NOT_UTF8 = {
    "a whole text": frame(TEXT, b"\xff"),
    "a text that ends within a character": frame(TEXT, UMLAUT[:1]),
    "a fragment": frame(TEXT, b"x\xff", fin=False),
    "the last of the fragments": frame(TEXT, UMLAUT[:1], fin=False) + frame(MORE, b"x"),
    "fragments that end within a character": frame(TEXT, UMLAUT[:1], fin=False) + frame(MORE, b""),
}


@pytest.mark.parametrize("data", NOT_UTF8.values(), ids=NOT_UTF8)
def test_texts_are_checked_on_request(data):
    session = Session(4, needs_payload=True, check_utf8=True)
    session.read(frame(TEXT, UMLAUT), data)
    assert session.facts()["faults"] == {"protocol-error:8.1": 1}
    assert session.facts()["written"] == [(CLOSE, struct.pack(">H", 1007))]
    assert session.facts()["answered"] == 1
    lenient = Session(4, needs_payload=True)
    lenient.read(frame(TEXT, UMLAUT), data)
    assert lenient.facts()["faults"] == {}


def test_a_text_may_be_cut_within_a_character_and_what_is_binary_says_anything():
    session = Session(4, needs_payload=True, check_utf8=True)
    session.read(frame(TEXT, UMLAUT[:1], fin=False) + frame(PING), frame(MORE, UMLAUT[1:]), frame(BINARY, b"\xff"))
    assert session.facts()["answered"] == 2
    assert session.facts()["faults"] == {}


def test_a_message_in_fragments_is_taken_as_one():
    session = Session(4, needs_payload=True)
    taken = []
    session.connection.on_message = lambda *what: taken.append(what[:2]) or 1
    session.read(frame(BINARY, b"be", fin=False) + frame(PING, b"?") + frame(MORE, b"gi", fin=False), frame(MORE, b"n"))
    session.read(frame(TEXT, b"x" * 126), frame(BINARY, b"y" * 65536))
    assert taken == [(BINARY, b"begin"), (TEXT, b"x" * 126), (BINARY, b"y" * 65536)]


def test_replies_that_say_the_wrong_thing_are_replies_and_faults():
    session = Session(4, needs_payload=True, expect=(("contains:yes", lambda payload: b"yes" in payload),))
    session.read(frame(TEXT, b"yes") + frame(TEXT, b"no") + frame(TEXT, b"o yes"))
    assert session.facts()["answered"] == 3
    assert [fault.key for fault in session.owner.faults] == ["check-failed"]
    assert session.facts()["others"] == ["sent a reply that fails --expect contains:yes"]


def test_what_is_ignored_and_what_is_answered_are_pushes():
    reading = {
        "ignore": (lambda payload: payload.startswith(b"news"),),
        "answers": ((lambda payload: payload == b"2", b"3"),),
    }
    session = Session(2, needs_payload=True, **reading)
    session.read(frame(TEXT, b"news!") + frame(TEXT, b"2") + frame(TEXT, b"reply") + frame(BINARY, b"2"))
    assert (session.facts()["answered"], session.facts()["pushed"]) == (1, 3)
    assert session.owner.tally.pushed_bytes == len(b"news!22")
    assert session.written()[2:] == [(TEXT, b"3"), (BINARY, b"3")]


def test_where_no_reply_is_awaited_all_are_pushes():
    session = Session(2, needs_payload=True, send_only=True)
    session.read(frame(TEXT, b"one"), frame(BINARY, b"three"))
    assert (session.facts()["answered"], session.facts()["pushed"]) == (0, 2)
    assert session.owner.tally.pushed_bytes == 8


def test_the_mute_answer_no_ping():
    session = Session(2, no_pong=True)
    session.read(frame(PING, b"?"), frame(TEXT, b"x"))
    assert session.facts()["written"] == []
    assert session.facts()["answered"] == 1


# --- what breaks the protocol ------------------------------------------------------------------------------------

# What is sent; the close code that we answer; what we say of it; the clause of RFC 6455 under which it is counted.
BROKEN = {
    "reserved opcode": (frame(3, b"x"), 1002, "section 5.2", "5.2"),
    "reserved control opcode": (frame(11, b"x"), 1002, "section 5.2", "5.2"),
    "reserved bit 1": (frame(TEXT, b"x", rsv=4), 1002, "section 5.2", "5.2"),
    "reserved bit 2": (frame(BINARY, b"x", rsv=2), 1002, "section 5.2", "5.2"),
    "reserved bit 3 of a ping": (frame(PING, b"x", rsv=1), 1002, "section 5.2", "5.2"),
    "masked": (frame(TEXT, b"x", masked=True), 1002, "section 5.1", "5.1"),
    "masked and long": (frame(TEXT, b"x" * 300, masked=True), 1002, "section 5.1", "5.1"),
    "masked and empty": (frame(TEXT, masked=True), 1002, "section 5.1", "5.1"),
    "fragmented ping": (frame(PING, b"x", fin=False), 1002, "section 5.5", "5.5"),
    "fragmented close": (frame(CLOSE, NORMAL, fin=False), 1002, "section 5.5", "5.5"),
    "long ping": (frame(PING, b"x" * 126), 1002, "section 5.5", "5.5"),
    "long close": (frame(CLOSE, NORMAL + b"x" * 65536), 1002, "section 5.5", "5.5"),
    "stray continuation": (frame(MORE, b"x"), 1002, "section 5.4", "5.4"),
    "stray first continuation": (frame(MORE, b"x", fin=False), 1002, "section 5.4", "5.4"),
    "message within a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002, "section 5.4", "5.4"),
    "fragments within a message": (
        frame(TEXT, b"x", fin=False) + frame(BINARY, b"x", fin=False),
        1002,
        "section 5.4",
        "5.4",
    ),
    "length with its highest bit set": (bytes([0x82, 127]) + b"\xff" * 8, 1002, "highest bit", "5.2"),
    "close of one byte": (frame(CLOSE, b"x"), 1002, "one byte, half a code (RFC 6455, section 5.5.1)", "5.5.1"),
    "close with 1004": (frame(CLOSE, struct.pack(">H", 1004)), 1002, "code 1004, which is reserved", "7.4"),
    "close with 1005": (frame(CLOSE, struct.pack(">H", 1005)), 1002, "code 1005, which only stands for", "7.4"),
    "close with 1006": (frame(CLOSE, struct.pack(">H", 1006)), 1002, "code 1006, which only stands for", "7.4"),
    "close with 1015": (frame(CLOSE, struct.pack(">H", 1015)), 1002, "code 1015, which only stands for", "7.4"),
    "close with 2999": (frame(CLOSE, struct.pack(">H", 2999)), 1002, "code 2999, which is reserved", "7.4"),
    "close with 999": (frame(CLOSE, struct.pack(">H", 999)), 1002, "code 999, which is none", "7.4"),
    "close with 5000": (frame(CLOSE, struct.pack(">H", 5000)), 1002, "code 5000, which is none", "7.4"),
    "close with a reason that is not UTF-8": (frame(CLOSE, NORMAL + b"\xff"), 1007, "section 8.1", "8.1"),
}


@pytest.mark.parametrize("whole", [False, True], ids=["counted", "read whole"])
@pytest.mark.parametrize(("broken", "code", "words", "clause"), BROKEN.values(), ids=BROKEN)
def test_a_breach_is_named_with_its_clause_wherever_it_is_cut(broken, code, words, clause, whole):
    reply = frame(TEXT, b"yes")
    data = reply + reply + broken + reply + frame(PING, b"late") + frame(CLOSE, NORMAL)
    places = range(1, min(len(data), 40))
    for pieces in ([data], cut(data, range(min(400, len(data)))), *([data[:place], data[place:]] for place in places)):
        session = Session(4, needs_payload=whole)
        session.read(*pieces)
        facts = session.facts()
        assert words in facts.pop("texts")[0]
        assert facts == {
            "answered": 2,
            "unanswered": 2,
            "pushed": 0,
            "closed": {str(code): 1},
            "faults": {f"protocol-error:{clause}": 1},
            "lost": 1,
            "others": [],
            "written": [(CLOSE, struct.pack(">H", code))],
            "hung up": True,
        }


# Beginnings of frames of which nothing more comes, and what we say of them.
CUT = {
    "a reserved opcode": (b"\x83", "reserved opcode 0x3", "5.2"),
    "a reserved bit": (b"\xc1\x05", "reserved bits", "5.2"),
    "a masked frame": (b"\x81\x85", "a masked frame", "5.1"),
    "a fragmented ping": (b"\x09", "a control frame that is fragmented", "5.5"),
    "a long ping": (b"\x89\x7e", "a control frame that is longer than 125", "5.5"),
    "a long ping with its length": (b"\x89\x7f\0\0\1\0\0\0\0\0", "a control frame that is longer than 125", "5.5"),
    "a stray continuation": (b"\x80\x05", "fragments out of order", "5.4"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n", 'this looks like HTTP: "HTTP/1.1 400 Bad Request"', "5.2"),
    "HTTP and a body": (
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>" + b"x" * 9000,
        'this looks like HTTP: "HTTP/1.1 502 Bad Gateway"',
        "5.2",
    ),
    "text": (b"out of memory\n", 'this is text: "out of memory"', "5.2"),
    "TLS": (b"\x15\x03\x03\x00\x02\x02\x46", "this looks like TLS", "5.2"),
}


@pytest.mark.parametrize("whole", [False, True], ids=["counted", "read whole"])
@pytest.mark.parametrize(("data", "words", "clause"), CUT.values(), ids=CUT)
def test_what_is_no_frame_is_named_when_it_is_read(data, words, clause, whole):
    session = Session(2, needs_payload=whole)
    session.read(frame(TEXT, b"yes") + data)
    facts = session.facts()
    assert facts["answered"] == 1
    assert facts["faults"] == {f"protocol-error:{clause}": 1}
    assert words in facts["texts"][0]


odd_frames = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, MORE, PING, PONG, CLOSE, 3, 11]),
    st.sampled_from([0, 1, 2, 125, 126, 130, 300]).map(bytes),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 1]),
    masked=st.sampled_from([False] * 9 + [True]),
)
LONG_HEADS = [
    bytes([0x82, 126]) + (9).to_bytes(2),
    bytes([0x89, 127]) + (1 << 40).to_bytes(8),
    b"\x82\x7f" + b"\xff" * 8,
]


@given(
    st.lists(st.one_of(odd_frames, st.binary(min_size=1, max_size=20), st.sampled_from(LONG_HEADS)), max_size=5),
    st.lists(st.integers(1, 900), max_size=4),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_has_the_same_name_wherever_it_is_cut(parts, places, whole, compresses):
    data = b"".join(parts)
    told = []
    for pieces in ([data], cut(data, places), cut(data, range(len(data)))):
        session = Session(50, needs_payload=whole, max_message_bytes=250)
        if compresses:
            session.connection.deflate, session.connection.needs_payload = PerMessageDeflate(DeflateParams()), True
            session.connection.reply_head = NO_FAST_PATH
        session.read(*pieces)
        facts = session.facts()
        # What it looks like beside that depends on how much has been seen of it.
        told.append({**facts, "texts": [text.partition(";")[0] for text in facts["texts"]]})
    assert told[0] == told[1] == told[2]


# --- endings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", NORMAL, struct.pack(">H", 1011) + "weiß nicht".encode(), struct.pack(">H", 4999)]
)
def test_a_close_frame_ends_it_with_its_code_and_is_answered_in_kind(body):
    code = int.from_bytes(body[:2]) if body else 1005
    reply = frame(TEXT, b"yes")
    data = reply * 2 + frame(CLOSE, body) + reply * 5 + frame(PING, b"late") + frame(CLOSE, body)
    for pieces in (
        [data],
        cut(data, range(len(data))),
        *([data[:place], data[place:]] for place in range(1, len(data))),
    ):
        session = Session(3)
        session.read(*pieces)
        reason = ' "weiß nicht"' if len(body) > 2 else ""
        assert session.facts() == {
            "answered": 2,
            "unanswered": 1,
            "pushed": 0,
            "closed": {str(code): 1},
            "faults": {f"closed:{code}": 1},
            "lost": 1,
            "texts": [f"closed with {code}{reason}"],
            "others": [],
            "written": [(CLOSE, body[:2])],
            "hung up": True,
        }
        assert session.owner.reasons == ([(session.connection, 1011, "weiß nicht")] if reason else [])


def test_the_answer_to_our_close_gives_no_reason():
    session = Session()
    session.connection.close()
    session.read(frame(CLOSE, NORMAL + b"as you wish"))
    assert session.facts()["closed"] == {"1000": 1}
    assert session.owner.reasons == []


def test_nothing_is_sent_on_behind_a_close_frame():
    session = Session(2, left=UNLIMITED)
    session.read(frame(TEXT, b"x") + frame(CLOSE, NORMAL))
    assert session.owner.tally.sent == 2
    assert session.written()[-1] == (CLOSE, NORMAL)


def test_our_own_close_waits_for_the_targets_and_counts_replies_until_then():
    session = Session(2, left=UNLIMITED)
    session.connection.close()
    session.connection.close()
    session.read(frame(TEXT, b"x"), frame(PING, b"late"))
    assert session.owner.tally.sent == 2, "nothing new leaves"
    session.read(frame(CLOSE, NORMAL))
    facts = session.facts()
    assert facts["written"] == [(CLOSE, NORMAL)]
    assert (facts["answered"], facts["unanswered"]) == (1, 1)
    assert (facts["closed"], facts["faults"], facts["lost"]) == ({"1000": 1}, {}, 0)
    assert not facts["hung up"], "the server is the first to end the TCP connection"
    session.read(frame(TEXT, b"x"))
    session.connection.connection_lost(None)
    assert {**session.facts()} == facts
    assert session.owner.gone == 1


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (None, "closed:1006"),
        (ConnectionResetError(), "reset"),
        (BrokenPipeError(), "reset"),
        (OSError(113, "No route to host"), "reset"),
    ],
)
def test_a_connection_lost_in_mid_frame_ends_it_once(error, key):
    session = Session(3)
    session.read(frame(TEXT, b"x") + frame(TEXT, b"half")[:3])
    session.connection.connection_lost(error)
    facts = session.facts()
    assert (facts["answered"], facts["unanswered"], facts["lost"]) == (1, 2, 1)
    assert (facts["closed"], facts["faults"]) == ({"1006": 1}, {key: 1})
    session.connection.abort()
    assert session.facts() == {**facts, "hung up": True}


def test_a_message_that_waits_too_long_ends_its_session():
    session = Session(3)
    read_ns = connection_module.monotonic_ns() + 1
    assert not session.connection.sender.give_up_on(0, 10**9)
    assert session.connection.sender.give_up_on(read_ns, 10**9)
    assert not session.connection.sender.give_up_on(read_ns, 10**9)
    assert session.owner.tally.unanswered == 3
    session.read(frame(TEXT, b"late") * 3)
    assert session.owner.tally.answered == 0
    assert session.owner.tally.pushed == 0, "a late reply is not one that nobody asked for"
    session.read(frame(CLOSE, NORMAL))
    facts = session.facts()
    assert (facts["faults"], facts["lost"], facts["unanswered"]) == ({"reply-timeout": 1}, 1, 3)
    assert facts["texts"] == ["did not answer a message within 1 s"]


def test_what_the_warm_up_left_in_flight_is_not_called_unanswered():
    session = Session(3)
    session.owner.samples.measured_from_ns = connection_module.monotonic_ns() + 10**9
    session.connection.connection_lost(None)
    assert session.owner.tally.unanswered == 0
    assert session.connection.sender.in_flight == 0


# --- writing -----------------------------------------------------------------------------------------------------


room = st.sampled_from([0, 3, 7, 13, 40, UNLIMITED])


@given(
    room,
    st.lists(st.tuples(room, st.booleans(), st.sampled_from(["reply", "ping", "both"])), max_size=12),
    st.booleans(),
)
@example(UNLIMITED, [(3, False, "ping"), (40, False, "reply")], False)
@settings(max_examples=150, deadline=None)
def test_frames_leave_whole_and_in_order_however_little_the_kernel_takes(at_first, steps, secure):
    """What a full socket refuses is sent later, and nothing overtakes it in the middle of a frame."""
    session = Session(2, left=UNLIMITED, room=at_first, secure=secure)
    pings = 0
    for size, writable_first, what in steps:
        session.kernel.room = size
        if writable_first:
            session.kernel.flush()
        if what != "ping":
            session.read(frame(TEXT, b"x"))
        if what != "reply":
            session.read(frame(PING, b"%d" % pings))
            pings += 1
    session.connection.close()
    session.kernel.room = UNLIMITED
    session.kernel.flush()
    written = session.written()
    assert not session.kernel.queue
    assert [body for opcode, body in written if opcode == PONG] == [b"%d" % number for number in range(pings)]
    assert len([1 for opcode, _ in written if opcode == TEXT]) == session.owner.tally.sent
    assert written[-1] == (CLOSE, NORMAL)
    assert sum(opcode == CLOSE for opcode, _ in written) == 1


def test_after_a_full_socket_writing_goes_straight_to_the_kernel_again():
    session = Session(1, left=UNLIMITED, room=3)
    assert session.kernel.queue
    session.kernel.room = UNLIMITED
    session.kernel.flush()
    session.kernel.write = None  # from here on only the socket itself will do
    session.read(frame(TEXT, b"x"))
    session.kernel.get_write_buffer_size = None  # nor is it asked again
    session.read(frame(TEXT, b"x"))
    assert session.owner.tally.sent == 3
    assert len(session.written()) == 3


def test_a_dead_socket_leaves_the_ending_to_the_reader():
    session = Session(2, left=UNLIMITED)

    def dead(data):
        raise BrokenPipeError

    session.connection.write = dead
    session.read(frame(TEXT, b"x"))
    assert session.owner.tally.sent == 2
    assert session.connection.sender.in_flight == 1
    session.connection.connection_lost(BrokenPipeError())
    assert session.facts()["unanswered"] == 1


@pytest.mark.parametrize(("refusal", "key"), [(ConnectionResetError, "reset"), (BrokenPipeError, "closed:1006")])
def test_a_reset_that_a_write_met_is_not_forgotten_by_the_reader(refusal, key):
    """A broken pipe is what follows an end that the target had announced, a reset is none."""
    for in_flight in (1, 2):  # a read that answers all in flight, and one that does not
        session = Session(in_flight, left=UNLIMITED)
        session.connection.write = lambda data: (_ for _ in ()).throw(refusal)
        session.read(frame(TEXT, b"x"))
        session.connection.connection_lost(None)
        assert session.facts()["faults"] == {key: 1}
        assert (session.facts()["answered"], session.facts()["unanswered"]) == (1, in_flight - 1)


# --- What a target can take -------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([frame(TEXT, b"x" * 9), frame(TEXT), frame(PING), frame(PONG, b"p" * 60), frame(BINARY)])),
    st.lists(st.integers(1, 400), max_size=5),
    st.lists(st.booleans(), max_size=20),
)
@settings(deadline=None)
def test_reads_in_turns_count_what_reads_in_one_go_count(stream, cuts, over):
    """However the time of a turn ends, and whatever comes meanwhile, nothing is lost, counted twice or out of order."""
    data = b"".join(stream) * 3
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    pieces.append(data[at:])
    whole, parts = Session(in_flight=3), Session(in_flight=3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connection_module, "SLICE_BYTES", 50)
        patched.setattr(connection_module, "SLOW_SLICE_BYTES", 8)
        parts.owner.loop_turns.over = list(over)
        for piece in pieces:
            parts.connection.data_received(piece)
        while parts.owner.loop_turns.waiting:
            parts.owner.loop_turns.next()
    whole.connection.data_received(data)
    assert not parts.kernel.paused
    for name in ("bytes_received", "sent", "pushed", "surplus_replies", "bytes_sent"):
        assert getattr(parts.owner.tally, name) == getattr(whole.owner.tally, name), name


def test_a_read_that_takes_long_leaves_the_rest_to_the_next_turn():
    session = Session()
    session.owner.loop_turns.over = [False, True]
    session.connection.data_received(frame(PING) * 1000)
    read_bytes = session.owner.tally.bytes_received
    assert read_bytes < 1000
    assert session.kernel.paused
    session.owner.loop_turns.next()
    assert not session.kernel.paused
    assert session.owner.tally.bytes_received == 2000


def test_only_the_latest_ping_is_answered_while_nothing_is_read():
    session = Session(room=100)
    pings = [frame(PING, str(number).encode()) for number in range(100_000)]
    session.connection.data_received(b"".join(pings))
    queued = len(session.kernel.queue)
    assert queued < 5000
    session.connection.data_received(b"".join(pings))
    assert len(session.kernel.queue) == queued
    session.kernel.room = UNLIMITED
    session.kernel.flush()
    session.connection.resume_writing()
    pongs = [payload for opcode, payload in client_frames(session.kernel.stream) if opcode == PONG]
    assert pongs[-1] == b"99999"
    assert len(pongs) + session.owner.tally.answers_left_out == 200_000
    session.connection.data_received(frame(PING, b"again"))
    assert client_frames(session.kernel.stream)[-1] == (PONG, b"again")


def test_a_ping_that_waits_is_answered_behind_what_waited_before_it():
    """A queue that never empties, as under messages larger than the kernel's buffers, must not hold a pong for ever."""
    session = Session(room=0, size=10_000)
    session.kernel.room = 1
    session.connection.data_received(frame(PING, b"waits"))
    for _ in range(4):
        session.kernel.room = 5_000
        session.kernel.flush()
        session.connection.write(ws_frames.encode_client_frame(TEXT, b"m" * 5_000))
    session.kernel.room = UNLIMITED
    session.kernel.flush()
    kinds = [opcode for opcode, _ in client_frames(session.kernel.stream)]
    assert kinds.count(PONG) == 1
    assert kinds.index(PONG) < len(kinds) - 1
    assert session.owner.tally.answers_left_out == 0


def test_answers_are_left_out_while_nothing_is_read():
    answers = ((lambda payload: payload == b"?", b"!" * 1000),)
    session = Session(room=0, needs_payload=True, answers=answers)
    session.connection.data_received(frame(TEXT, b"?") * 5000)
    assert len(session.kernel.queue) < 1_100_000
    assert session.owner.tally.answers_left_out > 3000
    assert session.owner.tally.pushed == 5000


def test_sessions_that_are_dialed_at_once_share_the_names_of_their_attributes():
    """Else each would take a kilobyte more."""

    class OfItsOwn(connection_module.Connection):
        """A class whose names no other test has changed."""

    owner, kernel = FakeOwner(), FakeSocket()
    load = ClosedLoopRunner(memoryview(b"frame"), 1, owner.on_idle)
    sessions = [OfItsOwn(owner) for _ in range(100)]
    for session in sessions:
        session.carry(load.sender(session, in_order.InOrderConversation(session)))
        session.attach(kernel, kernel, secure=False, early=b"")
    assert max(sys.getsizeof(vars(session)) for session in sessions) < 600
