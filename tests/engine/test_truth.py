"""Whether the numbers are true: against servers that count, and servers whose delays are known."""

import asyncio
import contextlib
import random
import socket
import threading
import time

import msgspec
import pytest
from msgspec.structs import asdict

from ws_load_test import make_plan
from ws_load_test.analysis.summary_types import ByteCounts, Messages
from ws_load_test.api import run
from ws_load_test.echo import EchoProcess
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

pytestmark = pytest.mark.every_engine

MS = 1_000_000
S = 1_000_000_000


@pytest.fixture(scope="module")
def echo():
    """An echo server that counts, in a process of its own."""
    with EchoProcess() as server:
        yield server


def flooded(url, **options):
    """Runs a closed loop that is to go well."""
    options = {"workers": 1, "timeout": "5s", **options}
    result = run(make_plan(url, **options))
    assert not result.summary.faults
    assert result.exit_code == 0
    return result


def total(result):
    """All intervals together."""
    tally = Tally()
    for interval in result.recording.intervals:
        tally.merge(Tally.from_record(interval.encoded_tally))
    return tally


NOTHING = dict.fromkeys(
    ("duplicate_replies", "late_replies", "unknown_id", "out_of_order", "greetings", "unawaited"), 0
)


def messages(sent, *, pushed=0):
    """What the summary says when all that was sent was answered."""
    return Messages(due=sent, sent=sent, answered=sent, pushed=pushed, unanswered=0, dropped=0, **NOTHING)


CLOSE_BYTES = 2 + 2
"""A server's close frame with a code in it; a client's has a mask besides."""


def frame_bytes(size, count, sessions):
    """What `count` messages of `size` bytes, their echoes, and both close frames of each session come to."""
    head_bytes = 2 if size < 126 else 4 if size < 65536 else 10
    return ByteCounts(
        sent=count * (head_bytes + 4 + size) + sessions * (CLOSE_BYTES + 4),
        received=count * (head_bytes + size) + sessions * CLOSE_BYTES,
        pushed=0,
        uncompressed_sent=0,
        uncompressed_received=0,
    )


# --- counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connections", "count", "in_flight", "workers"),
    [(3, 1001, 1, 1), (3, 1001, 7, 2), (20, 13, 1, 2), (20, 13, 7, 1), (2, 1, 1, 2), (2, 1, 7, 1)],
)
def test_a_number_of_messages_is_that_number(echo, workers, in_flight, connections, count):
    before = echo.counts()
    result = flooded(echo.url, connections=connections, in_flight=in_flight, messages=count, workers=workers)
    after = echo.counts()
    assert after.messages - before.messages == count
    assert after.bytes - before.bytes == 4 * count
    assert after.connections - before.connections == connections
    assert after.open == 0
    assert result.summary.messages == messages(count)
    assert result.summary.bytes == frame_bytes(4, count, connections)
    assert result.summary.response_time_ns.count == count
    assert result.summary.connect_time_ns.count == connections
    assert result.summary.connections.closed == {"1000": connections}
    assert result.summary.throughput_per_s * result.summary.duration_s == pytest.approx(count)


@pytest.mark.alone
@pytest.mark.parametrize("in_flight", [1, 16])
def test_a_time_of_messages_is_what_the_server_counted(echo, in_flight):
    before = echo.counts()
    result = flooded(echo.url, connections=10, in_flight=in_flight, duration="300ms", workers=2)
    sent = echo.counts().messages - before.messages
    assert result.summary.messages == messages(sent)
    assert sent > 100
    assert result.summary.response_time_ns.count == sent
    assert 0.29 < result.summary.duration_s < 0.6
    in_time = total(result).answered_in_window
    assert sent - 10 * in_flight <= in_time <= sent
    assert result.summary.throughput_per_s == pytest.approx(in_time / result.summary.duration_s)


def test_intervals_add_up_to_what_the_server_counted(echo):
    before = echo.counts()
    seen = []
    result = run(
        make_plan(echo.url, connections=4, duration="400ms", workers=2), interval_s=0.05, on_interval=seen.append
    )
    sent = echo.counts().messages - before.messages
    assert len([interval for interval in seen if interval.phase == "measured"]) >= 2
    assert seen == list(result.recording.intervals)
    assert result.summary.messages == messages(sent)


def test_fragments_of_the_server_are_one_reply_each(echo):
    result = flooded(echo.url + "?fragment=3", messages=50, in_flight=4, message="a longer message")
    assert result.summary.messages == messages(50)
    assert result.summary.bytes.received == 50 * (3 * 2 + len("a longer message")) + CLOSE_BYTES


# --- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_every_size_arrives_as_it_was_meant(size):
    with FaultyServer(behaviors.echoes) as server:
        result = flooded(server.url, messages=5, size=size, in_flight=2, binary=size % 2 == 1)
        assert {len(payload) for payload in server.seen.payloads} == {size}
        assert len(set(server.seen.payloads)) == 1
        assert server.seen.messages == 5
        assert not server.seen.violations
    assert result.summary.messages == messages(5)
    assert result.summary.bytes == frame_bytes(size, 5, 1)


def test_text_is_text_and_binary_is_binary():
    opcodes = []

    async def notes_opcodes(peer):
        await peer.upgrade()
        async for message in peer.messages():
            opcodes.append((message.opcode, message.payload))
            await peer.reply(message)

    with FaultyServer(notes_opcodes) as server:
        flooded(server.url, messages=2, message="grüß dich")
        flooded(server.url, messages=2, message="grüß dich", binary=True)
        flooded(server.url, messages=1)
    text = "grüß dich".encode()
    assert opcodes == [(frames.TEXT, text)] * 2 + [(frames.BINARY, text)] * 2 + [(frames.TEXT, b"PING")]


def test_large_messages_that_fill_the_buffers_both_ways_arrive_whole(echo):
    before = echo.counts()
    result = flooded(echo.url, messages=24, size="1MiB", binary=True, in_flight=4, connections=2, timeout="20s")
    after = echo.counts()
    assert after.messages - before.messages == 24
    assert after.bytes - before.bytes == 24 << 20
    assert result.summary.messages == messages(24)
    assert result.summary.bytes == frame_bytes(1 << 20, 24, 2)


def test_a_server_that_reads_late_gets_every_frame_in_order_and_whole():
    with FaultyServer(behaviors.stalls(150 * MS)) as server:
        result = flooded(server.url, messages=20, size="256KiB", in_flight=16, timeout="20s")
        assert len(server.seen.payloads) == 20
        assert len(set(server.seen.payloads)) == 1
        assert not server.seen.violations
    assert result.summary.messages == messages(20)
    assert result.summary.response_time_ns.max >= 100 * MS


def test_pings_are_sent_and_their_pongs_are_the_replies():
    with FaultyServer(behaviors.pushes(at_start=2)) as server:
        result = flooded(server.url, messages=40, ping=True, in_flight=3, message="beat")
        assert server.seen.pings == [b"beat"] * 40
        assert server.seen.messages == 0
        assert not server.seen.violations
    assert result.summary.messages == messages(40, pushed=2)
    assert result.summary.response_time_ns.count == 40


def test_pongs_that_answer_nothing_are_no_replies():
    async def pongs_unasked(peer):
        await peer.upgrade()
        peer.answers_pings = False
        await peer.send_frame(frames.PONG, b"")
        while (frame := await peer.read_frame()).opcode == frames.PING:
            await peer.send_frame(frames.PONG, b"not yours")
            await peer.send_frame(frames.TEXT, frame.payload)
        await peer.send_frame(frames.CLOSE, frame.payload)

    with FaultyServer(pongs_unasked) as server:
        result = run(make_plan(server.url, messages=2, ping=True, timeout="300ms", workers=1))
    assert asdict(result.summary.messages) == {
        "due": 2,
        "sent": 1,
        "answered": 0,
        "unanswered": 1,
        "unawaited": 0,
        "dropped": 1,
        "pushed": 1,
        **NOTHING,
    }
    assert result.summary.faults == {"reply-timeout": 1}


# --- what nobody asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "pushed"),
    [(behaviors.pushes(at_start=3, every=10**9), 3), (behaviors.early_message(), 1), (behaviors.pushes(), 12)],
    ids=["at the start", "with the upgrade", "before each reply"],
)
def test_pushes_are_counted_apart(behaviour, pushed):
    with FaultyServer(behaviour) as server:
        result = flooded(server.url, messages=12)
        assert server.seen.messages == 12
    assert result.summary.messages == messages(12, pushed=pushed)


# --- times -------------------------------------------------------------------------------------------------------


class KnownDelays:
    """A server of one connection that notes, next to its system calls, how long it kept each message."""

    def __init__(self, delays_ns):
        self.kept_ns = []
        self._delays_ns = delays_ns
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()
        self._listener.close()

    def _serve(self):
        stream, _ = self._listener.accept()
        with stream, contextlib.suppress(ConnectionError):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += stream.recv(4096)
            key = next(line for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
            accept = frames.accept_key(key.split()[1].decode())
            stream.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
            )
            reply = frames.encode_frame(frames.TEXT, b"PING")
            for delay_ns in self._delays_ns:
                stream.recv(4096)
                read_ns = time.monotonic_ns()
                time.sleep(delay_ns / S)
                written_ns = time.monotonic_ns()
                stream.sendall(reply)
                self.kept_ns.append(written_ns - read_ns)
            close = stream.recv(4096)
            assert close[0] == frames.FIN | frames.CLOSE
            stream.sendall(frames.encode_frame(frames.CLOSE, frames.close_payload(frames.NORMAL_CLOSURE)))


def percentile(values, p):
    """The smallest value that at least `p` percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def excess_over_known_delays(seed):
    """By how much each percentile is above that of the delays which the server measured itself, in ns."""
    chance = random.Random(seed)
    delays_ns = [chance.randrange(1 * MS, 8 * MS) for _ in range(100)]
    with KnownDelays(delays_ns) as server:
        result = flooded(server.url, messages=len(delays_ns))
    times, kept_ns = result.summary.response_time_ns, server.kept_ns
    assert times.count == len(delays_ns)
    assert times == result.summary.service_time_ns
    # No reply is faster than its delay; the histogram keeps three significant digits.
    for p in (5, 10, 50, 75, 90, 95, 99):
        assert times.value(f"p{p}") >= percentile(kept_ns, p) * 0.999, p
    assert times.max >= max(kept_ns)
    assert times.min >= min(kept_ns)
    assert result.summary.duration_s * S >= sum(kept_ns)
    excess = {p: times.value(f"p{p}") - percentile(kept_ns, p) * 1.001 for p in (5, 10, 50, 75, 90, 95)}
    return {**excess, "mean": times.mean - sum(kept_ns) / len(kept_ns)}


@pytest.mark.alone
def test_percentiles_are_those_of_the_servers_own_delays_and_at_most_0_3_ms():
    """Other work on the machine can only add to what is measured, so the least of several tries is the tool's own."""
    least = excess_over_known_delays(0)
    for seed in range(1, 10):
        if max(least.values()) <= 0.3 * MS:
            break
        least = {name: min(excess, least[name]) for name, excess in excess_over_known_delays(seed).items()}
    assert max(least.values()) <= 0.3 * MS, least


@pytest.mark.alone
def test_a_stall_of_a_second_is_a_maximum_of_a_second():
    with FaultyServer(behaviors.stalls(1 * S, after=50), behaviors.echoes) as server:
        result = flooded(server.url, duration="1100ms", connections=2)
        assert server.seen.messages == result.summary.messages.answered
    times = result.summary.response_time_ns
    assert 0.99 * S <= times.max <= 1.3 * S
    assert times.p50 < 0.1 * S, "one message waited, and the others did not"


@pytest.mark.alone
def test_a_stall_that_outlasts_the_run_is_in_its_maximum():
    with FaultyServer(behaviors.stalls(600 * MS, after=20)) as server:
        result = flooded(server.url, duration="200ms")
        assert server.seen.messages == 21
    assert result.summary.messages == messages(21)
    assert 590 * MS <= result.summary.response_time_ns.max <= 900 * MS
    assert total(result).answered_in_window == 20
    assert result.summary.duration_s < 0.5


@pytest.mark.alone
def test_the_warm_up_is_in_no_number_but_its_own():
    """Replies fall at 200, 400, 600 and 800 ms; measured is from 300 to 700 ms."""
    with FaultyServer(behaviors.delays(200 * MS)) as server:
        result = flooded(server.url, warmup="300ms", duration="400ms")
        assert server.seen.messages == 4
    tally = total(result)
    assert (tally.warmup_sent, tally.warmup_answered) == (2, 2)
    assert result.summary.messages == messages(2)
    assert result.summary.response_time_ns.count == 2
    assert tally.answered_in_window == 2, "the replies at 400 and 600 ms"
    expected = frame_bytes(4, 2, 1)
    expected = msgspec.structs.replace(expected, received=expected.received + 6)
    assert result.summary.bytes == expected, "the reply at 400 ms was read then"
    assert 0.39 < result.summary.duration_s < 0.5


def test_with_a_warm_up_the_number_of_messages_is_that_of_the_measured_part(echo):
    before = echo.counts()
    result = flooded(echo.url, warmup="100ms", messages=501, connections=3, in_flight=2)
    tally = total(result)
    assert result.summary.messages == messages(501)
    assert result.summary.response_time_ns.count == 501
    assert tally.warmup_sent == tally.warmup_answered > 0
    assert echo.counts().messages - before.messages == 501 + tally.warmup_sent


@pytest.mark.alone
def test_what_was_slow_in_the_warm_up_is_not_in_the_times():
    async def slow_at_first(peer):
        await peer.upgrade()
        first = True
        async for message in peer.messages():
            if first:
                await asyncio.sleep(0.25)
            first = False
            await peer.reply(message)

    with FaultyServer(slow_at_first) as server:
        result = flooded(server.url, warmup="400ms", duration="100ms")
    assert result.summary.response_time_ns.max < 200 * MS
    assert total(result).response_time_ns.count == result.summary.messages.answered > 0


@pytest.mark.alone
def test_connecting_is_timed_apart_and_in_no_other_time():
    async def opens_slowly(peer):
        await peer.read_request()
        await asyncio.sleep(0.15)
        await behaviors.echoes(peer)

    with FaultyServer(opens_slowly) as server:
        result = flooded(server.url, messages=4, connections=2)
    times = result.summary.connect_time_ns
    assert times.count == 2
    assert 150 * MS <= times.min <= times.max < 400 * MS
    assert result.summary.duration_s < 0.15
    assert result.summary.response_time_ns.max < 150 * MS
