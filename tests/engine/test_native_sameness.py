"""The native engine counts what the portable one counts: both are driven through the same scripted server.

All runs are by io_uring and by epoll, but for those that take the longest, which are by io_uring where it is allowed.
"""

import asyncio
import contextlib
import errno
import itertools
import json
import socket
import struct
import time

import pytest

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.engine.registry import ENGINES, why_missing, why_no_io_uring
from ws_load_test.metrics.catalog import COUNT_FIELDS, HISTOGRAM_FIELDS, LABELED_FIELDS
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import Certificates, FaultyServer, behaviors, protocol_violations, unused_port
from ws_load_test.websocket import frames

pytestmark = pytest.mark.skipif(bool(why_missing("native")), reason=f"not built: {why_missing('native')}")

OF_THE_MACHINE = {"loop_lag_ns", "resolve_time_ns", "unread_time_ns", "write_blocked_ns"}
"""Counts that depend on the time that a run took, on what Python looked up before, or on what the kernel notes."""
LOADS = {"closed": {}, "deep": {"in_flight": 3}, "open": {"rate": 2000}}
TEXT = frames.encode_frame(frames.TEXT, b"reply")
PING = frames.encode_frame(frames.PING, b"there?")
PONG = frames.encode_frame(frames.PONG, b"unasked")


def fragment(opcode, payload, *, fin=False):
    return frames.encode_frame(opcode, payload, fin=fin)


REPLIES = {
    "text": TEXT,
    "binary": frames.encode_frame(frames.BINARY, b"\x00\x01"),
    "empty": frames.encode_frame(frames.TEXT),
    "of 126 bytes": frames.encode_frame(frames.TEXT, b"a" * 126),
    "behind a ping": PING + TEXT,
    "behind a ping without payload": frames.encode_frame(frames.PING) + TEXT,
    "behind a pong": PONG + TEXT,
    "fragments": fragment(frames.TEXT, b"re") + fragment(frames.CONTINUATION, b"") + fragment(0, b"ply", fin=True),
    "control frames between fragments": fragment(frames.TEXT, b"re") + PING + PONG + fragment(0, b"ply", fin=True),
}
"""Replies to one message: whatever they are, and however they are cut, they are one reply."""
ENDS = {
    "a close frame": frames.encode_frame(frames.CLOSE, frames.close_payload(1001, "away")),
    "a close frame without a code": frames.encode_frame(frames.CLOSE),
    "a close frame behind a ping": PING + frames.encode_frame(frames.CLOSE, frames.close_payload(1011)),
    "a close frame in a message": fragment(frames.TEXT, b"re") + frames.encode_frame(frames.CLOSE),
    "half a code": frames.encode_frame(frames.CLOSE, b"\x03"),
    "a reason that is no text": frames.encode_frame(frames.CLOSE, b"\x03\xe8\xff"),
    "a reserved opcode": frames.encode_frame(3, b"what"),
    "reserved bits": frames.encode_frame(frames.TEXT, b"what", rsv=0x40),
    "a masked frame": frames.encode_frame(frames.TEXT, b"what", mask=b"mask"),
    "a stray continuation": frames.encode_frame(frames.CONTINUATION, b"what"),
    "a message in a message": fragment(frames.TEXT, b"re") + TEXT,
    "a long ping": b"\x89\x7e\x00\x7e" + b"p" * 126,
    "a ping in fragments": fragment(frames.PING, b"p"),
    "a length with more bytes than it needs": b"\x81\x7e\x00\x05reply",
    "a length of 2^63": b"\x82\x7f" + (1 << 63).to_bytes(8) + b"what",
    "too large a message": b"\x82\x7f" + (1 << 20).to_bytes(8) + b"what",
    "too large a message in fragments": fragment(frames.TEXT, b"r" * 60) + b"\x80\x7e\x04\x00" + b"r" * 64,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}
"""Bytes that end a session."""


READ_AFTER_NS = 1_000_000
LONG = {
    "test_whatever_becomes_of_replies_by_id_is_counted_alike",
    "test_messages_wait_for_room_and_are_dropped_alike",
    "test_pushes_beside_messages_that_await_no_reply_are_counted_alike",
    "test_keep_alive_pings_go_between_the_messages_of_the_load",
    "test_answers_that_are_broken_off_are_counted_alike",
    "test_answers_of_many_messages_are_counted_alike",
    "test_replies_that_are_overdue_are_counted_alike",
}
"""Tests that run once."""


def pytest_generate_tests(metafunc):
    either = "epoll" if why_missing("native") or why_no_io_uring() else "io_uring"
    backends = [either] if metafunc.function.__name__ in LONG else ["io_uring", "epoll"]
    metafunc.parametrize("backend", backends, indirect=True)


@pytest.fixture(autouse=True)
def backend(request, monkeypatch):
    """Has the native engine ask the kernel in one way or the other."""
    if request.param == "epoll":
        monkeypatch.setitem(ENGINES, "native", ENGINES["native-epoll"])
    elif why_no_io_uring():
        pytest.skip(f"the kernel allows no io_uring here: {why_no_io_uring()}")
    return request.param


@pytest.fixture(scope="module")
def certificates():
    return Certificates()


@pytest.fixture(scope="module")
def authority(certificates, tmp_path_factory):
    return str(certificates.write_ca(tmp_path_factory.mktemp("authority")))


async def counts_of(engine_type, plan, *, all_lent=True, but_for=frozenset(OF_THE_MACHINE)):
    """Runs a plan in an engine of this process. Returns all that it counted, by name, but for some."""
    engine = engine_type(plan, Shard(0, 1))
    lent = []
    if engine_type is not PortableEngine:
        lend, open_asleep = engine._pool.factory.lender.lend, engine._pool.open_asleep
        engine._pool.factory.lender.lend = lambda connection: lent.append(lend(connection)) or lent[-1]
        engine._pool.open_asleep = lambda *one: (slot := open_asleep(*one), lent.append(slot is not None))[0]
    await engine.open()
    now_ns = monotonic_ns()
    parts = []
    end_ns = None if plan.duration_ns is None else now_ns + plan.duration_ns
    window = LoadWindow(now_ns, now_ns, end_ns, LoadSwitch())
    engine.start(window, lambda phase, at_ns: parts.append(engine.collect()))
    await engine.wait()
    assert all(lent) == all_lent
    assert bool(lent) == (engine_type is not PortableEngine)
    await engine.drain({})
    await engine.close()
    tally, examples = Tally(), {}
    for part in [*parts, engine.collect()]:
        tally.merge(part.tally)
        examples |= part.fault_examples
    counted = {name: getattr(tally, name) for name in (*COUNT_FIELDS, *LABELED_FIELDS) if name not in but_for}
    # Sessions that end when the load is over are in no event, and which of them do is a matter of moments.
    del counted["session_events"]
    times = {name: getattr(tally, name).count for name in HISTOGRAM_FIELDS if name not in but_for}
    return {name: value for name, value in (counted | times).items() if value} | {"examples": examples}


def both(behavior, **options):
    """Returns what each engine counted, of a server of its own."""
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(behavior) as server:
            plan = make_plan(server.url, workers=1, max_message_size=1000, **options)
            assert engine_type.unsupported(plan) == []
            counted = run(counts_of(engine_type, plan))
            counted["seen"] = (server.seen.messages, sorted(server.seen.pongs), server.seen.violations)
        outcomes.append(counted)
    return outcomes


def answers(stream, cuts=None):
    """Answers each message with a stream; connection n gets it in two writes, cut at the nth of `cuts`."""

    def new():
        numbers = itertools.count()

        async def behave(peer):
            cut = 0 if cuts is None else cuts[next(numbers) % len(cuts)]
            await peer.upgrade()
            async for _ in peer.messages():
                for part in (stream[:cut], stream[cut:]):
                    if part:
                        await peer.send_raw(part)
                        await asyncio.sleep(0.002 if cut else 0)
                peer.replied()

        return behave

    return new


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("reply", REPLIES)
def test_replies_of_every_kind_are_counted_alike(reply, load):
    portable, native = both(answers(REPLIES[reply])(), connections=2, messages=10, **LOADS[load])
    assert native == portable
    assert portable["answered"] == 10


@pytest.mark.parametrize("reply", [name for name in REPLIES if name not in {"text", "binary", "of 126 bytes"}])
def test_replies_that_are_cut_anywhere_are_counted_alike(reply):
    stream = REPLIES[reply]
    cuts = range(1, len(stream))
    new = answers(stream, cuts)
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(new()) as server:
            plan = make_plan(server.url, workers=1, connections=len(cuts), messages=2 * len(cuts))
            outcomes.append(run(counts_of(engine_type, plan)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["answered"] == 2 * len(cuts)


@pytest.mark.parametrize("end", ENDS)
def test_ends_of_every_kind_are_counted_alike_wherever_they_are_cut(end):
    stream = ENDS[end]
    cuts = range(min(len(stream), 24))
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(answers(stream, cuts)()) as server:
            count = len(cuts)
            plan = make_plan(server.url, workers=1, connections=count, messages=count, max_message_size=1000)
            outcomes.append(run(counts_of(engine_type, plan)))
            # Bytes that come behind the end are read, or not, as they come.
            del outcomes[-1]["bytes_received"]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["unanswered"] == count
    assert outcomes[0]["lost"] == count


TEXTS = {
    "whole": frames.encode_frame(frames.TEXT, "größer 中 😀".encode()),
    "characters in two fragments": b"".join(
        PING + fragment(opcode, part, fin=opcode == 0)
        for opcode, part in ((1, b"\xe4\xb8"), (0, b"\xad \xf0\x9f\x98\x80"))
    ),
    "binary": frames.encode_frame(frames.BINARY, b"\xff\xc0"),
    "an end within a character": frames.encode_frame(frames.TEXT, b"gr\xc3"),
    "half of a surrogate pair": frames.encode_frame(frames.TEXT, b"filler filler \xed\xa0\x80"),
    "a wrong fragment": fragment(frames.TEXT, b"a\xf4")
    + PONG
    + fragment(0, b"\x90")
    + fragment(0, b"\x80\x80", fin=True),
    "a wrong end of fragments": fragment(frames.TEXT, b"a\xe4") + fragment(0, b"\xb8", fin=True) + TEXT,
}
"""Replies with texts, right and wrong."""


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_checked_alike_wherever_they_are_cut(text):
    stream = TEXTS[text]
    cuts = range(len(stream))
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(answers(stream, cuts)()) as server:
            count = len(cuts)
            plan = make_plan(server.url, workers=1, connections=count, messages=count, check_utf8=True)
            outcomes.append(run(counts_of(engine_type, plan)))
            if "lost" in outcomes[-1]:
                # Bytes that come behind the end are read, or not, as they come.
                del outcomes[-1]["bytes_received"]
    assert outcomes[0] == outcomes[1]
    is_right = text in {"whole", "characters in two fragments", "binary"}
    assert (outcomes[0]["answered"] if is_right else outcomes[0]["lost"]) == count


def test_a_text_that_is_cut_off_within_a_character_at_the_end_of_the_run_is_read_on():
    """Its rest comes when Python has the session again, and makes it a text."""

    async def cuts(peer):
        await peer.upgrade()
        while (got := await peer.read_frame()).opcode != frames.CLOSE:
            # Behind the reply to the last message comes a fragment of what nothing asked for.
            await peer.send_raw(TEXT + fragment(frames.TEXT, b"\xe4\xb8") * (peer.seen.messages == 1))
            peer.seen.messages += 1
        await peer.send_raw(fragment(0, b"\xad", fin=True) + frames.encode_frame(frames.CLOSE, got.payload[:2]))

    portable, native = both(cuts, connections=1, messages=2, check_utf8=True)
    assert native == portable
    assert (portable["pushed"], portable["closed"]) == (1, {"1000": 1})


async def resets(peer):
    """Answers two messages, and resets the connection at the third."""
    await peer.upgrade()
    async for message in peer.messages():
        if peer.seen.messages == 3:
            peer.reset()
            return
        await peer.reply(message)


@pytest.mark.parametrize("load", ["closed", "open"])
@pytest.mark.parametrize(
    "behavior", [resets, behaviors.pushes(every=2, at_start=1), protocol_violations.half_frame(after=2)]
)
def test_faults_of_the_server_are_counted_alike(behavior, load):
    portable, native = both(behavior, connections=1, messages=3, **LOADS[load])
    assert native == portable


@pytest.mark.parametrize("control", [False, True], ids=["message", "ping"])
def test_a_frame_that_is_cut_off_at_the_end_of_the_run_is_read_on(control):
    """Its rest comes when Python has the session again, and is no frame of its own."""
    frame = frames.encode_frame(frames.PING if control else frames.TEXT, b"\x88\x02\x03\xf3" * 25)

    async def cuts(peer):
        await peer.upgrade()
        while (got := await peer.read_frame()).opcode != frames.CLOSE:
            if got.opcode == frames.TEXT:
                # Behind the reply to the last message comes half of what nothing asked for.
                await peer.send_raw(TEXT + frame[:50] * (peer.seen.messages == 1))
                peer.seen.messages += 1
        await peer.send_raw(frame[50:] + frames.encode_frame(frames.CLOSE, got.payload[:2]))

    portable, native = both(cuts, connections=1, messages=2)
    assert native == portable
    assert portable["closed"] == {"1000": 1}


def test_two_replies_in_one_segment_are_counted_alike():
    portable, native = both(behaviors.several_in_one_segment(2), connections=1, messages=8, in_flight=2)
    assert native == portable
    assert portable["answered"] == 8


def reply_to(message):
    """Returns the reply by id: a number, or every other time a text, whose name has an escape."""
    number = json.loads(message.payload)["id"]
    form = b'{"ok": true, "\\u0069d": "%d"}' if number % 2 else b'{"ok": true, "id": %d}'
    return form % number


def cut_replies(forms):
    """Replies by id; connection n gets each in pieces, cut at its nth byte."""
    numbers = itertools.count()

    async def behave(peer):
        cut = next(numbers)
        await peer.upgrade()
        async for message in peer.messages():
            payload = reply_to(message)
            stream = {
                "text": frames.encode_frame(frames.TEXT, payload),
                "long": frames.encode_frame(frames.TEXT, payload[:-1] + b" " * 200 + b"}"),
                "fragments": fragment(frames.TEXT, payload[:5])
                + PING
                + fragment(0, payload[5:9])
                + PONG
                + fragment(0, payload[9:], fin=True),
            }[forms]
            for part in (stream[:cut], stream[cut:]):
                await peer.send_raw(part)
                await asyncio.sleep(0.002)
            peer.replied()

    return behave


@pytest.mark.parametrize("form", ["text", "long", "fragments"])
def test_replies_by_id_that_are_cut_anywhere_are_counted_alike(form):
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(cut_replies(form)) as server:
            plan = make_plan(
                server.url, workers=1, connections=48, messages=96, message='{"id": {seq}}', match="json:id"
            )
            outcomes.append(run(counts_of(engine_type, plan)))
            # The replies on two connections differ in size, and a fast connection may send a message more.
            del outcomes[-1]["bytes_received"]
            assert server.seen.violations == []
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["answered"] == 96


async def difficult(peer):
    """Pushes, repeats, invents ids, answers too late and in another order, by the number of the message."""
    await peer.upgrade()
    held, late = [], []
    async for message in peer.messages():
        number = json.loads(message.payload)["id"]
        reply = reply_to(message)
        if number % 10 == 1:
            await peer.send_frame(frames.TEXT, b'{"event": "tick", "ok": true}')
        if number % 10 == 2:
            await peer.send_frame(frames.TEXT, b'{"id": "nobody knows"}')
        if number % 10 == 3:
            reply = b'{"id": %d, "ok": 1.5}' % number
        if number % 10 == 4 and number < 100:
            held.append(reply)
            continue
        if number in {6, 16}:
            late.append(reply)
            continue
        await peer.send_frame(frames.TEXT, reply)
        peer.replied()
        if number % 10 == 5:
            for one in (*held, reply):
                await peer.send_frame(frames.TEXT, one)
            held.clear()
        if number == 100:
            for one in (*late, *late):
                await peer.send_frame(frames.TEXT, one)


def test_whatever_becomes_of_replies_by_id_is_counted_alike():
    """Late, repeated, unknown, out of order, and such as fail a check: each has its count."""
    portable, native = both(
        difficult,
        connections=1,
        timeout="600ms",
        message='{"id": {seq}}',
        match="json:id",
        expect=["json:ok=true", "contains:ok"],
        ignore="json:event",
        rate=75,
        messages=105,
    )
    # What is sent at the very end may be answered a moment later.
    assert 0 < portable.pop("answered_in_window") <= 105 >= native.pop("answered_in_window") > 0
    assert native == portable
    assert portable["late_replies"] == 2
    assert portable["duplicate_replies"] == 10 + 2
    assert portable["unknown_id"] == 11
    assert portable["out_of_order"] > 0
    assert portable["faults"] == {"check-failed": 11, "reply-timeout": 2}


@pytest.mark.parametrize(
    "options",
    [
        {"match": "echo"},
        {"match": "echo", "message": "{seq} {random:200}"},
        {"ping": True},
        {"ping": True, "message": "{random:9}"},
        {"match": "regex:number (\\d+)", "message": "number {seq}", "expect": "regex:^number"},
        {"expect": ["contains:NO", "json:a"], "ignore": "json:event"},
        {"message": "to {connection}: {seq}"},
    ],
    ids=["echo", "echo, all different", "ping", "pings, all different", "regex", "checks in order", "fields in order"],
)
@pytest.mark.parametrize("load", ["deep", "open"])
def test_every_rule_counts_alike(load, options):
    """The server echoes, says something of its own now and then, and answers a ping twice."""

    async def talks(peer):
        await peer.upgrade()
        while (got := await peer.read_frame()).opcode != frames.CLOSE:
            peer.seen.messages += 1
            opcode = frames.PONG if got.opcode == frames.PING else frames.TEXT
            if peer.seen.messages % 5 == 1 and ("ignore" in options or options.get("match") or opcode == frames.PONG):
                await peer.send_raw(frames.encode_frame(frames.TEXT, b'{"event": 1}') + PONG)
            if opcode == frames.PONG and peer.seen.messages % 5 == 2:
                await peer.send_frame(opcode, got.payload)
            await peer.send_frame(opcode, got.payload)
        await peer.send_frame(frames.CLOSE, got.payload[:2])

    portable, native = both(talks, connections=2, messages=20, **LOADS[load], **options)
    if "{random" in options.get("message", ""):
        # Random values are those of each engine.
        assert portable.pop("bytes_sent") == native.pop("bytes_sent")
    assert native == portable
    assert portable["answered"] == 20


@pytest.mark.parametrize("end", ["reset", "close", "half a reply", "half a fragment", "masked"])
@pytest.mark.parametrize("load", ["deep", "open"])
def test_ends_with_ids_in_flight_are_counted_alike(load, end):
    async def ends(peer):
        await peer.upgrade()
        async for message in peer.messages():
            reply = frames.encode_frame(frames.TEXT, reply_to(message))
            if peer.seen.messages < 7:
                await peer.send_raw(reply)
            elif peer.seen.messages == 9:
                # The second reply is one too many.
                last = {"close": ENDS["a close frame"], "masked": ENDS["a masked frame"]}.get(end, b"")
                if end == "half a fragment":
                    last = fragment(frames.TEXT, b'{"id": ') + fragment(0, b"7}", fin=True)[:3]
                await peer.send_raw(reply * 2 + (reply[:9] if end == "half a reply" else last))
                if end == "reset":
                    peer.reset()
                return

    portable, native = both(ends, connections=1, messages=9, message='{"id": {seq}}', match="json:id", **LOADS[load])
    # Whether a reset overtakes what was sent before it is a matter of moments.
    if end != "reset":
        assert native == portable
        assert (portable["answered"], portable["duplicate_replies"]) == (7, 1)
    assert portable["sent"] == native["sent"] == 9
    assert portable["lost"] == native["lost"] == 1


def test_a_late_reply_that_is_cut_off_at_the_end_of_the_run_is_read_on():
    """Its rest comes when Python has the session again, which then knows that the message was given up."""

    async def cuts(peer):
        await peer.upgrade()
        reply = b""
        while (got := await peer.read_frame()).opcode != frames.CLOSE:
            peer.seen.messages += 1
            reply = frames.encode_frame(frames.TEXT, b'{"id": 1, "filler": "%s"}' % (b"x" * 300))
            if json.loads(got.payload)["id"] == 0:
                await peer.send_frame(frames.TEXT, got.payload)
            else:
                await peer.send_raw(reply[:200])
        await peer.send_raw(reply[200:] + frames.encode_frame(frames.CLOSE, got.payload[:2]))

    portable, native = both(cuts, connections=1, messages=2, message='{"id": {seq}}', match="json:id", timeout="150ms")
    assert native == portable
    assert (portable["late_replies"], portable["unanswered"]) == (1, 1)


@pytest.mark.parametrize("load", ["closed", "open"])
def test_replies_that_are_overdue_are_counted_alike(load):
    portable, native = both(behaviors.never_answers, connections=2, messages=2, timeout="200ms", **LOADS[load])
    assert native == portable
    assert portable["unanswered"] == 2


def test_what_the_kernel_does_not_take_is_sent_later():
    """A server that reads nothing for a while, and then all of it."""

    async def slow(peer):
        await peer.upgrade()
        await asyncio.sleep(0.2)
        async for message in peer.messages():
            await peer.send_frame(frames.TEXT, b"%d" % len(message.payload))
            peer.replied()

    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(slow) as server:
            plan = make_plan(server.url, workers=1, connections=1, messages=64, in_flight=64, size="200kB")
            counted = run(counts_of(engine_type, plan))
            assert (counted["sent"], counted["answered"], server.seen.violations) == (64, 64, [])
            assert server.seen.payloads == [server.seen.payloads[0]] * 64


def test_messages_wait_for_room_and_are_dropped_alike():
    options = {"rate": 200, "max_in_flight": 2, "timeout": "700ms", "duration": "200ms"}
    portable, native = both(behaviors.never_answers, connections=1, **options)
    assert native == portable
    assert (portable["sent"], portable["due"]) == (2, 40)


@pytest.mark.parametrize("name", ["portable", "native"])
def test_keep_alive_pings_go_between_the_messages_of_the_load(name):
    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(server.url, workers=1, connections=2, rate=500, duration="1s", ping_interval="100ms")
        counted = run(counts_of(ENGINES[name](), plan))
        assert server.seen.violations == []
    assert counted["keepalive_time_ns"] >= 4
    assert counted["answered"] == counted["sent"]
    assert "lost" not in counted


@pytest.mark.parametrize("start", [run, asyncio.run], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("load", LOADS)
def test_sessions_under_tls_are_counted_alike(certificates, authority, load, start):
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(answers(REPLIES["control frames between fragments"])(), tls=certificates.trusted()) as server:
            plan = make_plan(
                server.url, workers=1, connections=3, messages=30, size="20kB", cacert=authority, **LOADS[load]
            )
            outcomes.append(start(counts_of(engine_type, plan)))
            assert server.seen.violations == []
    # Tickets and records that hold no message are not counted.
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["answered"] == 30


@pytest.mark.parametrize("end", ["a close frame", "a masked frame", "too large a message"])
def test_ends_under_tls_are_counted_alike(certificates, authority, end):
    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(answers(ENDS[end])(), tls=certificates.trusted()) as server:
            plan = make_plan(server.url, workers=1, connections=3, messages=3, max_message_size=1000, cacert=authority)
            outcomes.append(run(counts_of(engine_type, plan)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["lost"] == 3


@pytest.mark.parametrize("load", ["closed", "open"])
def test_a_target_that_goes_under_tls_is_counted_alike(certificates, authority, load):
    async def leaves(peer):
        await peer.upgrade()
        async for _ in peer.messages():
            return

    outcomes = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(leaves, tls=certificates.trusted()) as server:
            plan = make_plan(server.url, workers=1, connections=2, messages=2, cacert=authority, **LOADS[load])
            outcomes.append(run(counts_of(engine_type, plan)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["lost"] == 2


@contextlib.contextmanager
def stamps_of_the_kernel():
    """Has the kernel note when it receives something, which it begins some time after the first socket has asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        one.bind(("127.0.0.1", 0))
        one.settimeout(30)
        waited_ns = READ_AFTER_NS
        while waited_ns >= READ_AFTER_NS:
            sent_ns = time.time_ns()
            one.sendto(b"?", one.getsockname())
            # What the kernel did not note when it came has the instant at which it was read.
            time.sleep(READ_AFTER_NS / 1e9)
            _, ((_, _, stamp),), *_ = one.recvmsg(1, 100)
            seconds, ns = struct.unpack("qq", stamp)
            waited_ns = seconds * 10**9 + ns - sent_ns
        yield


@pytest.mark.parametrize("load", ["closed", "open"])
def test_a_reply_has_come_when_the_kernel_received_it(load):
    """The generator's share is a time of its own then; the counts are the same."""
    times = {}
    with stamps_of_the_kernel():
        for instant in ("read", "kernel", "auto"):
            with FaultyServer(behaviors.echoes) as server:
                plan = make_plan(server.url, workers=1, messages=50, reply_instant=instant, **LOADS[load])
                counted = run(counts_of(ENGINES["native"](), plan, but_for=OF_THE_MACHINE - {"unread_time_ns"}))
            assert (counted["answered"], counted["response_time_ns"], counted["answered_in_window"]) == (50, 50, 50)
            times[instant] = counted.get("unread_time_ns", 0)
    assert times["read"] == 0
    assert 0 < times["kernel"] <= 50
    assert 0 < times["auto"] <= 50


@pytest.mark.parametrize("load", ["closed", "open"])
def test_a_session_that_the_kernel_does_not_let_the_loop_watch_is_closed_and_counted(load):
    class Refusing:
        """A reactor that has no room for the first session."""

        def __init__(self, reactor):
            self.__dict__["_reactor"] = reactor
            # It falls asleep, or is lent as others are.
            self.__dict__["_refuses"] = 2

        def __getattr__(self, name):
            return getattr(self._reactor, name)

        def __setattr__(self, name, value):
            setattr(self._reactor, name, value)

        def lend(self, *arguments):
            if self._refuses:
                self.__dict__["_refuses"] -= 1
                raise OSError(errno.ENOSPC, "the socket cannot be watched")
            return self._reactor.lend(*arguments)

    class Engine(ENGINES["native"]()):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            lender = self._pool.factory.lender
            lender.reactor = Refusing(lender.reactor)

    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(server.url, workers=1, connections=2, messages=10, **LOADS[load])
        counted = run(counts_of(Engine, plan, all_lent=False))
    assert counted["host_errors"] == {"out-of-memory": 1}
    assert (counted["opened"], counted["sent"], counted["answered"]) == (2, 10, 10)
    assert "lost" not in counted


def test_a_schedule_goes_on_without_sessions():
    """A message that falls due when no session is open is due and dropped then, and not at the end of the run."""

    async def dropped_meanwhile(engine_type, plan):
        engine = engine_type(plan, Shard(0, 1))
        await engine.open()
        now_ns = monotonic_ns()
        engine.start(LoadWindow(now_ns, now_ns, now_ns + plan.duration_ns, LoadSwitch()), lambda phase, at_ns: None)
        dropped = 0
        # The first falls due at once.
        async with asyncio.timeout(30):
            while dropped < 5:
                await asyncio.sleep(0.01)
                dropped += engine.collect().tally.dropped
        assert not engine.status.all_sent
        engine.stop()
        await engine.wait()
        await engine.drain({})
        await engine.close()
        return dropped

    with unused_port() as port:
        plan = make_plan(f"ws://127.0.0.1:{port}/", workers=1, connections=1, rate=100, duration="60s", reconnect="1h")
        assert run(dropped_meanwhile(ENGINES["native"](), plan)) >= 5


@pytest.mark.parametrize("options", [{}, {"match": "json:id", "message": '{"id": {seq}}'}], ids=["order", "json"])
@pytest.mark.parametrize("load", ["closed", "open"])
def test_greetings_answer_nothing_in_either(load, options):
    """One comes at once, one with the first reply, behind it where replies have ids, and one never."""

    async def greets(peer):
        await peer.upgrade()
        await peer.send_frame(frames.TEXT, b'{"hello": 1}')
        async for message in peer.messages():
            greeting = frames.encode_frame(frames.TEXT, b'{"hello": 2}')
            reply = frames.encode_frame(frames.TEXT, message.payload)
            if peer.seen.messages == 1:
                await peer.send_raw(reply + greeting if "match" in options else greeting + reply)
            else:
                await peer.send_raw(reply)
            peer.replied()

    skip = 3 if "match" in options else 2
    portable, native = both(greets, connections=1, messages=8, skip_first=skip, **options, **LOADS[load])
    assert native == portable
    assert (portable["greetings"], portable["answered"]) == (2, 8)


@pytest.mark.parametrize(
    "options",
    [{}, {"ping": True}, {"ignore": "contains:event", "skip_first": 1}, {"message": "{seq} of {connection}"}],
    ids=["texts", "pings", "greetings", "fields"],
)
def test_messages_that_await_no_reply_are_counted_alike(options):
    """Whatever the server says is a push, whether or not it looks like an answer."""

    async def talks(peer):
        await peer.upgrade()
        await peer.send_frame(frames.TEXT, b"hello")
        while (got := await peer.read_frame()).opcode != frames.CLOSE:
            peer.seen.messages += 1
            opcode = frames.PONG if got.opcode == frames.PING else frames.TEXT
            await peer.send_raw(frames.encode_frame(opcode, got.payload) + frames.encode_frame(frames.TEXT, b"event"))
        await peer.send_frame(frames.CLOSE, got.payload[:2])

    portable, native = both(talks, connections=2, messages=20, match="none", rate=500, **options)
    for counted in (portable, native):
        # What is said when the load is over may be read, or not.
        assert 0 < counted.pop("pushed") <= 42
        for name in ("pushed_bytes", "bytes_received", "surplus_replies"):
            counted.pop(name, None)
    assert native == portable
    assert (portable["unanswered"], portable["send_lag_ns"]) == (20, 20)


def test_pushes_beside_messages_that_await_no_reply_are_counted_alike():
    """Each has its bytes, and none is a reply too many, as a pong is."""

    async def talks(peer):
        await peer.upgrade()
        async for message in peer.messages():
            if peer.seen.messages < 5:
                await peer.send_frame(frames.TEXT, message.payload)

    portable, native = both(talks, connections=1, rate=40, messages=20, match="none")
    assert native == portable
    assert (portable["pushed"], portable["pushed_bytes"], portable["unanswered"]) == (4, 16, 20)


@pytest.mark.parametrize("order", ["round-robin", "connection"])
@pytest.mark.parametrize("load", ["closed", "open"])
def test_messages_of_a_feed_are_the_same(tmp_path, load, order):
    """Which session sends which is a matter of moments, unless each connection has a row of its own."""
    path = tmp_path / "feed.csv"
    path.write_text("name\n" + "".join(f"{'x' * number}{number}\n" for number in range(8)))
    seen = []
    for engine_type in (PortableEngine, ENGINES["native"]()):
        with FaultyServer(behaviors.echoes) as server:
            plan = make_plan(
                server.url,
                workers=1,
                connections=4,
                messages=20,
                message="{feed.name}",
                feed=str(path),
                feed_order=order,
                **LOADS[load],
            )
            assert engine_type.unsupported(plan) == []
            counted = run(counts_of(engine_type, plan))
            assert counted["answered"] == 20
            seen.append(sorted(server.seen.payloads))
    if (order, load) == ("connection", "closed"):
        seen = [sorted(set(payloads)) for payloads in seen]
    assert seen[0] == seen[1]


STREAMED = {
    "in order": {"until": "contains:END", "count": r"regex:END=(\d+)", "first": "contains:word"},
    "in order, any first": {"until": ["json:end", "contains:END"], "expect": "contains:good"},
    "by id": {
        "match": r"regex:^#(\d+) ",
        "until": "contains:END",
        "count": r"regex:END=(\d+)",
        "ignore": "contains:beat",
    },
    "by json": {
        "message": '{"id": {seq}}',
        "match": "json:id",
        "until": "json:end",
        "first": "json:word",
        "count": "json:end",
    },
}


def parts_of(number, rule):
    """Returns the messages of an answer: each begins with another than counts, and each third one has no number."""
    words = [
        b"head",
        *[b"word %d good" % place for place in range(number % 4)],
        b"END" if number % 3 else b"END=%d good" % number,
    ]
    if rule != "by json":
        return [b"#%d %s" % (number, one) for one in words]
    ends = {b"END": b'"end": true', words[-1]: b'"end": %d' % number}
    return [
        b'{"id": %d, %s}' % (number, ends.get(one, b'"head": 1' if one == b"head" else b'"word": 1')) for one in words
    ]


@pytest.mark.parametrize("rule", STREAMED)
@pytest.mark.parametrize("load", ["closed", "open"])
def test_answers_of_many_messages_are_counted_alike(load, rule):
    """They come in one write or cut anywhere, in turn where they have ids, with pushes and strays between them."""

    async def answers(peer):
        await peer.upgrade()
        async for message in peer.messages():
            number = peer.seen.messages - 1
            if rule == "by json":
                number = json.loads(message.payload)["id"]
            elif rule == "by id":
                number = int(message.payload[1:-1])
            stream = b"".join(frames.encode_frame(frames.TEXT, part) for part in parts_of(number, rule))
            if number % 5 == 4:
                stream = PING + (frames.encode_frame(frames.TEXT, b"#99 beat") if rule == "by id" else b"") + stream
            cut = number * 11 % len(stream)
            if number % 7 == 6 and rule.startswith("by"):
                # Parts of answers that nothing awaits, and an end too many.
                strays = (parts_of(0, rule)[0], parts_of(9999, rule)[0], parts_of(0, rule)[-1])
                stream = b"".join(frames.encode_frame(frames.TEXT, one) for one in strays) + stream
            elif number % 7 == 6 and load == "closed":
                both_ends = (parts_of(number, rule)[0], parts_of(number, rule)[-1])
                stream += b"".join(frames.encode_frame(frames.TEXT, one) for one in both_ends)
                cut = number % 6
            for piece in (stream[:cut], stream[cut:]):
                if piece:
                    await peer.send_raw(piece)
                    await asyncio.sleep(0.001)
            peer.replied()

    options = {"message": "#{seq} "} | STREAMED[rule] | LOADS[load]
    if load == "open":
        options["rate"] = 200
    portable, native = both(answers, connections=1, messages=20, **options)
    for counted in (portable, native):
        # Messages of one read came together, and what a read holds is a matter of moments.
        counted.pop("came_together", None)
    assert native == portable
    assert (portable["answered"], portable["answer_messages"]) == (20, 20)
    assert portable["streamed"] >= 40


@pytest.mark.parametrize("rule", ["in order", "by id"])
@pytest.mark.parametrize("end", ["reset", "close", "time-out"])
def test_answers_that_are_broken_off_are_counted_alike(rule, end):
    """The second of three answers has begun, and the third has not, when nothing more comes."""

    async def breaks_off(peer):
        await peer.upgrade()
        async for _ in peer.messages():
            if peer.seen.messages == 3:
                whole, half = ([frames.encode_frame(frames.TEXT, one) for one in parts_of(n, rule)] for n in (0, 3))
                await peer.send_raw(b"".join((*whole, *half[:-1])).replace(b"#3", b"#1"))
                await asyncio.sleep(0.05)
                if end == "reset":
                    peer.reset()
                if end == "close":
                    await peer.send_raw(ENDS["a close frame"])
                if end != "time-out":
                    return

    options = {"message": "#{seq} "} | STREAMED[rule]
    portable, native = both(breaks_off, connections=1, messages=3, in_flight=3, timeout="300ms", **options)
    for counted in (portable, native):
        counted.pop("came_together", None)
    assert native == portable
    assert (portable["answered"], portable["unanswered"], portable["broken_off"]) == (1, 2, 1)


@pytest.mark.parametrize("rule", ["in order", "by id"])
def test_an_answer_that_began_in_the_loop_ends_in_python(rule):
    """The run ends with half an answer, whose rest comes when Python has the session again."""

    async def goes_on(peer):
        await peer.upgrade()
        async for _ in peer.messages():
            parts = [frames.encode_frame(frames.TEXT, one) for one in parts_of(6, rule)]
            await peer.send_raw(parts[0].replace(b"#6", b"#0") + parts[1].replace(b"#6", b"#0"))
            # A close frame that is cut off makes the session go back; the end mark is before it.
            await asyncio.sleep(0.05)
            rest = b"".join(parts[2:]).replace(b"#6", b"#0")
            await peer.send_raw(rest + ENDS["a close frame"])
            return

    options = {"message": "#{seq} "} | STREAMED[rule]
    portable, native = both(goes_on, connections=1, messages=1, **options)
    for counted in (portable, native):
        counted.pop("came_together", None)
    assert native == portable
    assert (portable["answered"], portable["answer_messages"], portable["streamed"]) == (1, 1, 4)
