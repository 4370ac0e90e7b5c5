"""What workers send: numbers, turns, rows and sizes over all shares, and the frames of it."""

import collections
import json
import statistics
from itertools import islice

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import (
    EMPTY_ROW,
    FrameBatches,
    Message,
    MessageGenerator,
    SizeDistribution,
    feed,
)
from ws_load_test.messages.feed import inspect
from ws_load_test.messages.sizes import LARGEST_BYTES
from ws_load_test.messages.weighted_order import weighted_round_robin
from ws_load_test.websocket import frames


def message(*texts, kind="text", templated=True, **more):
    payloads = [text.encode() for text in texts]
    more.setdefault("weights", (1,) * len(texts) if len(texts) > 1 else ())
    fields = ("some",) if templated else ()
    return Message(
        kind,
        payload=payloads[0],
        alternatives=tuple(payloads[1:]),
        is_template=(True,) * len(texts) if templated else (),
        fields=fields,
        **more,
    )


def sent(source, count, connection=0, row=EMPTY_ROW):
    payloads = source.payloads(connection, row)
    return [payloads.next().decode() for _ in range(count)]


@given(st.integers(1, 5), st.lists(st.integers(0, 20), min_size=5, max_size=5))
def test_numbers_are_unique_and_complete_over_shares(of, counts):
    seen = []
    for index in range(of):
        source = MessageGenerator(message("{seq}", "-{seq}"), Shard(index, of))
        found = [abs(int(number)) for number in sent(source, counts[index])]
        assert found == [Shard(index, of).global_index(position) for position in range(counts[index])]
        seen += found
    assert len(set(seen)) == len(seen)


def test_connections_of_a_worker_share_numbers_and_turns():
    source = MessageGenerator(message("a{seq}", "b{seq} of {connection}"), Shard(0, 1))
    one, other = source.payloads(4), source.payloads(5)
    assert [payloads.next() for payloads in (one, other, other, one)] == [b"a0", b"b1 of 5", b"b2 of 5", b"a3"]
    assert one is not other


def test_what_does_not_depend_on_the_connection_is_one_object():
    source = MessageGenerator(message("{seq}"), Shard(0, 1))
    assert source.payloads(1) is source.payloads(2)


WEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=14)


@settings(deadline=None)
@given(WEIGHTS)
def test_weights_are_exact_in_every_beginning_to_within_one(weights):
    cycle, total = weighted_round_robin(weights), sum(weights)
    counts = [0] * len(weights)
    for position, number in enumerate(cycle, 1):
        counts[number] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count * total - position * weight) < total
    assert [count * total for count in counts] == [weight * len(cycle) for weight in weights]


def test_turns_are_spread():
    assert weighted_round_robin((3, 1)) == [0, 0, 1, 0]
    assert weighted_round_robin((50, 50)) == [0, 1]
    assert weighted_round_robin([26, 13, 3, 1, 3, 8, 13, 18, 1, 3, 8]) == weighted_round_robin(
        [26, 13, 3, 1, 3, 8, 13, 18, 1, 3, 8]
    )


def test_weighted_messages_and_fixed_ones_among_them():
    source = MessageGenerator(message("A", "{seq}", weights=(3, 1)), Shard(1, 2))
    assert sent(source, 8) == ["A", "A", "5", "A", "9", "A", "A", "A"]


def test_kinds_of_messages_do_not_go_in_step_with_the_connections_that_take_turns():
    source = MessageGenerator(message("A", "B", "C"), Shard(0, 1))
    order = sent(source, 900)
    for connections in (1, 2, 3, 6):
        for first in range(connections):
            counts = collections.Counter(order[first::connections])
            assert max(counts.values()) - min(counts.values()) <= 12
    assert all(sorted(order[at : at + 3]) == ["A", "B", "C"] for at in range(0, 900, 3)), "exact in each round"


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("token\n" + "".join(f"t{number}\n" for number in range(7)))
    return str(path)


@pytest.mark.parametrize("of", [1, 2, 3])
def test_round_robin_takes_every_row_once_a_round_over_all_shares(users, of):
    counts = collections.Counter()
    for index in range(of):
        source = MessageGenerator(message("{feed.token}", "no", "{feed.token}!", feed=inspect(users)), Shard(index, of))
        counts.update(text.rstrip("!") for text in islice((t for t in sent(source, 63) if t != "no"), 14))
        source.close()
    assert set(counts.values()) == {2 * of}
    assert len(counts) == 7


@pytest.mark.parametrize("order", ["round-robin", "random", "connection"])
def test_each_connection_has_a_row_of_its_own(users, order):
    rows = {}
    for index in range(2):
        source = MessageGenerator(message("{feed.token}", feed=inspect(users, order)), Shard(index, 2))
        sent(source, 5, index, ("t0",))
        for position in range(7):
            number = Shard(index, 2).global_index(position)
            rows[number] = source.render("Bearer {feed.token}", number, next(source.rows))
        source.close()
    assert rows == {number: f"Bearer t{number % 7}" for number in range(14)}


def test_by_connection_every_message_takes_the_connections_row(users):
    source = MessageGenerator(message("{feed.token} {seq}", feed=inspect(users, "connection")), Shard(0, 1))
    first, second = next(source.rows), next(source.rows)
    one, other = source.payloads(0, first), source.payloads(1, second)
    assert [payloads.next() for payloads in (one, other, one)] == [b"t0 0", b"t1 1", b"t0 2"]
    source.close()


def test_outside_messages_the_number_is_the_connections():
    source = MessageGenerator(Message(), Shard(0, 1))
    assert source.render("ws://host/{seq}/{connection}?{a}", 12) == "ws://host/12/12?{a}"
    assert next(source.rows) == EMPTY_ROW
    assert sent(source, 2) == ["PING", "PING"]
    with pytest.raises(ValueError, match="needs a feed"):
        source.render("{feed.x}", 1)


def test_runs_compare_and_workers_differ():
    kinds = [
        message("{random:8}{int:1..1000}"),
        Message(payload=b"", sizes=SizeDistribution("uniform", 10, 90), largest_bytes=90),
    ]
    for kind in kinds:
        first, again, other = (sent(MessageGenerator(kind, Shard(index, 2)), 20) for index in (0, 0, 1))
        assert first == again != other
    assert sent(MessageGenerator(message("{uuid}"), Shard(0, 1)), 1) != sent(
        MessageGenerator(message("{uuid}"), Shard(0, 1)), 1
    )


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [
        (SizeDistribution("uniform", 100, 1000), 100, 1000),
        (SizeDistribution("uniform", 0, 1), 0, 1),
        (SizeDistribution("uniform", 700_000, 1_500_000), 700_000, 1_500_000),
        (SizeDistribution("normal", 1000, 200), 0, LARGEST_BYTES),
        (SizeDistribution("normal", 100, 200), 0, LARGEST_BYTES),
        (SizeDistribution("normal", 50, 0), 50, 50),
        (SizeDistribution("exponential", 1000), 0, LARGEST_BYTES),
    ],
)
def test_sizes_stay_in_bounds_and_have_their_mean(kind, sizes, low, high):
    payloads = MessageGenerator(Message(kind, payload=b"", sizes=sizes), Shard(0, 1)).payloads(0)
    count = 100 if sizes.first_bytes > 10**5 else 5000
    made = [payloads.next() for _ in range(count)]
    found = [len(payload) for payload in made]
    assert low <= min(found) <= max(found) <= min(high, max(sizes.largest_bytes, 1))
    spread = statistics.pstdev(found) / count**0.5
    assert abs(statistics.fmean(found) - sizes.mean_bytes) <= 5 * spread + 0.5
    if sizes.shape == "uniform":
        assert max(found) - min(found) > 0.8 * (high - low)
    if kind == "text":
        assert all(payload.isalnum() for payload in made if payload)
    else:
        assert len(set(b"".join(made[:1000]))) == 256 or high <= 1


def test_a_mean_that_is_cut():
    assert SizeDistribution("normal", 0, 100).mean_bytes == pytest.approx(39.894, rel=1e-4)
    assert SizeDistribution("normal", LARGEST_BYTES, 1000).mean_bytes == pytest.approx(LARGEST_BYTES - 398.94, abs=1)
    assert SizeDistribution("exponential", LARGEST_BYTES).mean_bytes == pytest.approx(
        LARGEST_BYTES * 0.632121, rel=1e-5
    )


def parsed(data):
    """The frames in `data`, as an independent implementation reads them."""
    stream = StreamReader()
    stream.feed_data(data)
    found = []
    while stream.buffer:
        parsing = Frame.parse(stream.read_exact, mask=True)
        with pytest.raises(StopIteration) as result:
            next(parsing)
        found.append(result.value.value)
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1023, 1024, 1025, 65_535, 65_536, 200_000])
def test_frames_are_read_as_they_were_meant(size):
    encoder = frames.FrameEncoder(frames.BINARY)
    payloads = [bytes((number + 3 * turn) % 251 for number in range(size)) for turn in range(3)]
    for payload in [payloads[0][: size // 2], *payloads, payloads[1][: size // 3]]:
        frame = encoder.frame(payload)
        assert type(frame) is bytes
        assert [(one.opcode, bytes(one.data)) for one in parsed(frame)] == [(frames.BINARY, payload)]
        assert frame[1] & frames.MASKED
        if size > 8:
            assert payload not in frame


def test_reserved_bits_and_control_frames():
    assert frames.FrameEncoder(frames.TEXT, 0x40).frame(b"x")[0] == frames.FIN | 0x40 | frames.TEXT
    encoder = frames.FrameEncoder(frames.PING)
    assert len(encoder.frame(b"x" * 125)) == 131
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        encoder.frame(b"x" * 126)


@pytest.mark.parametrize("count", [0, 1, 2, 16])
def test_batches_are_the_next_messages_joined(count):
    payloads = MessageGenerator(message('{"id": {seq}, "ö": 1}'), Shard(0, 1)).payloads(0)
    batches = FrameBatches(payloads, frames.FrameEncoder(payloads.opcode))
    for turn in range(2):
        found = [json.loads(bytes(frame.data))["id"] for frame in parsed(batches[count])]
        assert found == list(range(turn * count, (turn + 1) * count))


def test_a_ping_that_grows_too_long_is_an_error(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("a\n" + "x" * 125 + "\n" + "sesame" * 21 + "\n")
    source = MessageGenerator(message("{feed.a}", kind="ping", feed=inspect(str(path))), Shard(0, 1))
    payloads = source.payloads(0)
    assert len(payloads.next()) == 125
    with pytest.raises(UsageError, match=r"at most 125 bytes .* has 126") as caught:
        payloads.next()
    assert "sesame" not in str(caught.value)
    source.close()


def test_files_are_closed(users, monkeypatch):
    monkeypatch.setattr(feed, "SMALL_BYTES", -1)
    source = MessageGenerator(message("{feed.token}", feed=inspect(users)), Shard(0, 1))
    assert sent(source, 2) == ["t0", "t1"]
    assert tuple(next(source.rows)) == ("t0",)
    source.close()
    with pytest.raises(StopIteration):
        next(source.rows)


def test_a_message_survives_its_journey_to_a_worker(users):
    for one in (
        message("{seq}", "b", weights=(2, 1), feed=inspect(users)),
        Message("binary", payload=b"\xff\x00"),
        Message(payload=b"", sizes=SizeDistribution("normal", 1, 2)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(one), type=Message) == one
        bare = one.without_payload()
        assert (bare.payload, bare.alternatives) == (b"", ())
        assert (bare.is_dynamic, bare.describe(), bare.max_bytes) == (one.is_dynamic, one.describe(), one.max_bytes)
