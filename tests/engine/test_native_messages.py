"""What the compiled loop reads in messages and writes into them is what Python reads and writes."""

import json
import re
import socket
import string
from contextlib import closing
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.registry import ENGINES, why_missing
from ws_load_test.messages import feed as feed_module
from ws_load_test.messages.generator import MessageGenerator
from ws_load_test.plan.codecs import CODECS
from ws_load_test.plan.codecs.names_and_places import parse_path
from ws_load_test.websocket import frames

pytestmark = pytest.mark.skipif(bool(why_missing("native")), reason=f"not built: {why_missing('native')}")

if not why_missing("native"):
    from ws_load_test.engine.native.reactor import Reactor, find_in_json
    from ws_load_test.engine.native.rows import NativeMessages

PATHS = ["id", "data.id", "items[0].id", "items[1]", "[0]", "[1].id", "data.é.id", "a[0][1].b", "data.items[2].id.x"]
NAMES = ["id", "data", "items", "é", "a", "b", "x", "i\td"]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [
        *(
            text.encode()
            for text in ('"id"', '"data"', '"items"', '"\\u0069d"', '"\\ud83d\\ude00"', '"\\ud83d"', '"é"')
        ),
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b" ",
            b"\n",
            b"\x0b",
            b'"',
            b"\\",
            b"null",
            b"true",
            b"fals",
            b"\xff",
            b"\xc3",
        ),
        *(
            b"0",
            b"7",
            b"-0",
            b"01",
            b"1.5",
            b"1e5",
            b"1E999",
            b"-",
            b"12345678901234567890",
            b'"a\\n"',
            b'"\\q"',
            b'"\x01"',
        ),
    ]
)
ASK = ...


@cache
def both_of(path):
    """Returns the path in the terms of the compiled loop, and what Python reads values with."""
    steps = tuple(step.encode() if isinstance(step, str) else step for step in parse_path(path, "json"))
    return steps, CODECS["json"].reader(path)


def check(path, payload):
    """Compares both; returns True if Python would not even have been asked."""
    steps, read = both_of(path)
    found = find_in_json(steps, payload)
    assert found is ASK or found == read(payload)
    return found is not ASK


@settings(max_examples=200, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_a_value_in_json_is_found_as_python_finds_it(value, escapes, indent):
    payload = json.dumps(value, ensure_ascii=escapes, indent=indent).encode(errors="replace")
    for path in PATHS:
        check(path, payload)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=14), st.sampled_from(PATHS))
@example([b"{", b'"id"', b":", b"7", b",", b'"id"', b":", b"null", b"}"], "id")
@example([b"{", b'"data"', b":", b"7", b",", b'"data"', b":", b"{", b'"id"', b":", b"7", b"}", b"}"], "data.id")
@example([b"{", b'"id"', b":", b'"', b"\xff", b'"', b"}"], "id")
@example([b"{", b'"id"', b":", b"7", b"}", b"x"], "id")
@example([b"[", b'"', b"\xff", b'"', b"]"], "[0]")
@example([b"[", b"1E999", b",", b"7", b"]"], "[1]")
@example([b"["] * 90, "[0]")
def test_what_is_no_json_or_nearly_none_is_read_as_python_reads_it(pieces, path):
    check(path, b"".join(pieces))


@settings(max_examples=100, deadline=None)
@given(VALUES, st.data())
def test_a_message_with_a_damaged_byte_is_read_as_python_reads_it(value, data):
    payload = bytearray(json.dumps({"data": value, "id": "7"}).encode())
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    for path in PATHS[:3]:
        check(path, bytes(payload))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("id", '{"id": 7}'),
        ("id", '{"type": "reply", "items": [1.5, {"a": null}], "id": "a-b"}'),
        ("data.id", '{"data": {"x": {"id": 1}, "id": "2"}, "id": 3}'),
        ("items[1].id", '{"items": [{"id": 1}, {"id": "2"}]}'),
        ("id", '{"id": "\\u00e9\\ud83d\\ude00\\n"}'),
        ("id", '{"id": true}'),
        ("id", '{"id": null}'),
        ("id", '{"event": "tick"}'),
        ("id", "hello"),
    ],
)
def test_python_is_not_asked_for_what_is_ordinary(path, text):
    assert check(path, text.encode())


def source_of(plan, shard, generator=None):
    generator = generator or MessageGenerator(plan.message, shard)
    rows = {}

    def row_of(number):
        while number not in rows:
            rows[shard.global_index(len(rows))] = next(generator.rows)
        return rows[number]

    return NativeMessages(generator, shard, row_of)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (1, 3)])
def test_numbers_and_turns_of_messages_are_those_of_the_portable_engine(index, count):
    messages = ["a{seq} of {connection}", "b{seq}", "plain"]
    plan = make_plan("ws://host/", message=messages, weights=[3, 2, 1], workers=count)
    shard = Shard(index, count)
    messages, generator = source_of(plan, shard), MessageGenerator(plan.message, shard)
    for turn in range(100):
        connection = turn % 7
        assert messages.source.render(connection) == generator.payloads(connection).next()


def test_random_values_are_the_same_in_every_run_and_different_for_each_worker():
    plan = make_plan("ws://host/", message="{random:20} {int:1..1000000}", workers=2)
    first, again, other = (source_of(plan, Shard(index, 2)).source for index in (0, 0, 1))
    texts = [first.render(0) for _ in range(50)]
    assert texts == [again.render(0) for _ in range(50)]
    assert not set(texts) & {other.render(0) for _ in range(50)}
    assert len(set(texts)) == 50


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 1 << 64), st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_random_values_are_where_they_should_be(low, size, letters):
    high = min(low + size, (1 << 63) - 1)
    plan = make_plan("ws://host/", message=f"{{int:{low}..{high}}} {{random:{letters}}}", workers=1)
    source = source_of(plan, Shard(0, 1)).source
    for _ in range(20):
        number, text = source.render(0).decode().split(" ")
        assert low <= int(number) <= high
        assert len(text) == letters
        assert set(text) <= {*string.ascii_letters, *string.digits}


FEED = "name,place\n" + "".join(f'n{number},"p{number % 3} ""é"""\n' for number in range(7))
"""Seven rows, with quotation marks and letters of two bytes."""


@pytest.fixture(params=["small", "large"])
def feed(request, tmp_path, monkeypatch):
    """A feed that is kept in memory, or one that is read on and on."""
    if request.param == "large":
        monkeypatch.setattr(feed_module, "SMALL_BYTES", 0)
    path = tmp_path / "feed.csv"
    path.write_text(FEED)
    return str(path)


@pytest.mark.parametrize("order", ["round-robin", "connection", "connection-shared"])
@pytest.mark.parametrize(("index", "count"), [(0, 1), (1, 3)])
def test_rows_of_messages_are_those_of_the_portable_engine(feed, order, index, count):
    """A message without a field of the feed takes no row; one with two of the same column has it twice."""
    texts = ["{feed.name} {feed.place:json} {feed.name}", "{seq:4}", "{connection}: {feed.place}"]
    plan = make_plan("ws://host/", message=texts, weights=[3, 2, 1], workers=count, feed=feed, feed_order=order)
    shard = Shard(index, count)
    with (
        closing(MessageGenerator(plan.message, shard)) as generator,
        closing(MessageGenerator(plan.message, shard)) as read,
    ):
        messages, rows = source_of(plan, shard, read), {}
        for turn in range(200):
            number = shard.global_index(turn % 7)
            if number not in rows:
                rows[number] = next(generator.rows)
                messages.add_row_of(number)
            assert messages.source.render(number) == generator.payloads(number, rows[number]).next()


def test_random_rows_all_come_and_the_latest_are_known(feed):
    plan = make_plan("ws://host/", message="{feed.name}", workers=1, feed=feed, feed_order="random")
    shard = Shard(0, 1)
    with closing(MessageGenerator(plan.message, shard)) as generator:
        messages = source_of(plan, shard, generator)
        names = [messages.source.render(0).decode() for _ in range(2000)]
    # A seventh each: 286, give or take five standard deviations.
    assert all(207 < names.count(f"n{number}") < 365 for number in range(7))
    recent = [row[0] for row in (*generator.recent_rows, *messages.recent_rows())]
    assert len(recent) == 1024
    if messages.recent_rows():
        assert sorted(recent) == sorted(names[-1024:])


def test_values_of_the_environment_and_padded_numbers_are_those_of_the_portable_engine(monkeypatch):
    monkeypatch.setenv("TOKEN", 'a "b" é')
    plan = make_plan("ws://host/", message="{seq:19} {env.TOKEN}{env.TOKEN:json} {seq:1}", workers=1)
    messages, generator = source_of(plan, Shard(0, 1)), MessageGenerator(plan.message, Shard(0, 1))
    for _ in range(12):
        assert messages.source.render(0) == generator.payloads(0).next()


def test_a_broken_row_of_a_large_feed_ends_the_run(tmp_path, monkeypatch):
    """The rows before it leave; what follows it does not, and the line is named."""
    monkeypatch.setattr(feed_module, "SMALL_BYTES", 0)
    path = tmp_path / "feed.csv"
    path.write_text("name\n" + "good\n" * 64)
    plan = make_plan("ws://host/", message="{feed.name}", workers=1, feed=str(path))
    path.write_text("name\n" + "good\n" * 64 + "bad,bad\n")
    reactor = Reactor(False, b"", 1, 1000)
    reactor.vary(source_of(plan, Shard(0, 1)).source)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        slot = reactor.lend(ours.fileno())
        reactor.fire(slot, 100)
        with pytest.raises(UsageError, match="line 66 has 2 values"):
            reactor.run(monotonic_ns())
        assert reactor.take_counts()["sent"] == 64
        assert len(theirs.recv(1 << 16)) == 64 * 10
        reactor.give_back(slot)


def test_all_random_values_come():
    plan = make_plan("ws://host/", message="{int:-2..2} {random:1}", workers=1)
    source = source_of(plan, Shard(0, 1)).source
    numbers, letters = zip(*(source.render(0).decode().split(" ") for _ in range(3000)), strict=True)
    assert {*map(int, numbers)} == {-2, -1, 0, 1, 2}
    assert {*letters} == {*string.ascii_letters, *string.digits}
    # A fifth each: 600, give or take five standard deviations.
    assert all(490 < numbers.count(str(number)) < 710 for number in range(-2, 3))


def test_uuids_are_those_of_rfc_9562_and_no_two_alike():
    plan = make_plan("ws://host/", message="{uuid}", workers=1)
    source = source_of(plan, Shard(0, 1)).source
    uuids = [source.render(0).decode() for _ in range(600)]
    assert len(set(uuids)) == 600
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uuid) for uuid in uuids
    )


def test_many_pings_of_one_read_are_answered_by_few_writes():
    """A write takes microseconds, and one read can hold 32,000 pings: the turn must not be theirs."""
    reactor = Reactor(False, b"", 1, 1000)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        slot = reactor.lend(ours.fileno())
        theirs.send(frames.encode_frame(frames.PING) * 3000)
        reactor.run(monotonic_ns() + 10**9)
        theirs.setblocking(False)
        writes = []
        while sum(map(len, writes)) < 3000 * 6:
            writes.append(theirs.recv(1 << 20))
        assert sum(map(len, writes)) == 3000 * 6
        assert len(writes) <= 5
        reactor.give_back(slot)


def test_plans_that_need_more_of_messages_are_refused_with_the_reason():
    native = ENGINES["native"]()
    for options, word in (
        ({"auto_reply": "contains:beat=>back"}, "answers no messages"),
        ({"size": "10..100"}, "vary in size"),
        ({"message": "{env.HOME}", "ping": True}, "fills pings from no feed"),
    ):
        (reason,) = native.unsupported(make_plan("ws://host/", **options))
        assert word in reason
    for options in (
        {"match": "json:id", "message": '{"id": {seq}}'},
        {"ping": True},
        {"match": "echo"},
        {"match": "none", "rate": 1},
        {"expect": "json:a=b"},
    ):
        assert native.unsupported(make_plan("ws://host/", **options)) == []
