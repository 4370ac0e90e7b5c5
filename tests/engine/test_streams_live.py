"""Answers of many messages over real sockets: against a server that keeps the instants, and the built-in one."""

import asyncio
import itertools
import json
import statistics
import time

import pytest

from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import run
from ws_load_test.echo import EchoProcess
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames
from ws_load_test.websocket.deflate import PerMessageDeflate
from ws_load_test.websocket.deflate_negotiation import DeflateParams

MS = 1_000_000
RATE_PER_S = 37
"""Messages a second, so that none is sent when a message of an answer comes: neither has to wait for the other."""
BY_ID = {"message": '{"id": {seq}}', "match": "json:id", "until": "json:done=true", "count": "json:usage.tokens"}


@pytest.fixture(scope="module")
def echo():
    """The built-in server, in a process of its own."""
    with EchoProcess() as server:
        yield server


def measured(url, **options):
    """Runs a plan; returns the result and the tally of the whole run."""
    result = run(make_plan(url, **{"workers": 1, "timeout": "2s", **options}))
    return result, aggregate([result.recording]).tally


class Scripted:
    """A server that answers with five messages, 20 ms apart, and keeps the instants; one stalls, one breaks off."""

    def __init__(self, *, stalls=None, breaks_off=None):
        self.stalls, self.breaks_off = stalls, breaks_off
        self.read_ns, self.sent_ns = {}, {}
        """By the number of a message: when it was read, and when each message of its answer left."""

    async def __call__(self, peer):
        await peer.upgrade()
        answers = set()
        async for message in peer.messages():
            answer = asyncio.create_task(self.answer(peer, message))
            answers.add(answer)
            answer.add_done_callback(answers.discard)

    async def answer(self, peer, message):
        number = json.loads(message.payload)["id"]
        self.read_ns[number], sent = message.read_ns, self.sent_ns.setdefault(number, [])
        for place in range(2 if number == self.breaks_off else 5):
            await asyncio.sleep(1.2 if (number, place) == (self.stalls, 3) else 0.02)
            part = {"id": number, "done": place == 4, "usage": {"tokens": 5}}
            frame = frames.encode_frame(frames.TEXT, json.dumps(part).encode())
            sent.append(time.monotonic_ns())
            await peer.send_raw(frame)


def farthest_ns(scripted, tally):
    """Returns how far the medians of the tool are from those of the server: of gaps, of first and of response."""
    sent = scripted.sent_ns
    gaps = [later - before for one in sent.values() for before, later in itertools.pairwise(one)]
    assert tally.gap_ns.count == len(gaps)
    distances = [abs(tally.gap_ns.percentile(50) - statistics.median(gaps))]
    # Message k was due so many intervals after the first, which was due at the earliest instant that all agree with.
    # All processes of a machine share the clock; what is left is the way over the loopback, once.
    every_ns = 10**9 / RATE_PER_S
    start_ns = min(read_ns - number * every_ns for number, read_ns in scripted.read_ns.items())
    for times, place in ((tally.first_time_ns, 0), (tally.response_time_ns, 4)):
        theirs = [one[place] - start_ns - number * every_ns for number, one in sent.items() if len(one) > place]
        assert times.count == len(theirs)
        distances.append(abs(times.percentile(50) - statistics.median_high(theirs)))
    return max(distances)


@pytest.mark.alone
def test_times_are_those_of_the_server_and_counts_are_right():
    """Within 0.3 ms at the median; a machine that is busy with something else gets more attempts."""
    found = []
    while len(found) < 4 and not any(distance_ns < 0.3 * MS for distance_ns in found):
        scripted = Scripted(stalls=2, breaks_off=5)
        with FaultyServer(scripted) as server:
            result, tally = measured(server.url, rate=RATE_PER_S, messages=25, timeout="1600ms", **BY_ID)
        assert len(scripted.sent_ns) == 25
        assert (tally.sent, tally.answered, tally.unanswered, tally.broken_off) == (25, 24, 1, 1)
        assert tally.streamed == 24 * 5 + 2
        assert tally.stalls == 1
        assert result.summary.streams.stalls == result.summary.streams.broken_off == 1
        assert result.summary.faults == {"reply-timeout": 1}
        assert tally.answer_count.count == tally.answer_count_per_ks.count == 24
        assert 1100 * MS <= tally.gap_ns.max < 1400 * MS
        found.append(farthest_ns(scripted, tally))
    # The generator says itself how late it was.
    assert min(found) < 0.3 * MS + tally.loop_lag_ns.percentile(90), found


@pytest.mark.parametrize("query", ["?stream=10&gap=2ms", "?stream=10&fragment=3", "?stream=10"])
def test_several_workers_count_every_message_of_every_answer(echo, query):
    result, tally = measured(echo.url + query, connections=4, in_flight=2, messages=60, workers=2, **BY_ID)
    assert not result.summary.faults
    assert (tally.answered, tally.streamed, tally.broken_off) == (60, 600, 0)
    assert (tally.first_time_ns.count, tally.gap_ns.count) == (60, 540)
    assert (tally.answer_messages.count, tally.answer_messages.min, tally.answer_messages.max) == (60, 10, 10)
    assert tally.answer_count.sum == 600
    assert tally.pushed == tally.unknown_id == 0


@pytest.mark.parametrize("load", [{"rate": 50, "max_in_flight": 1}, {}], ids=["open loop", "closed loop"])
def test_in_order_one_in_flight_after_the_other(echo, load):
    options = {"until": "contains:done", "first": "contains:answer", "messages": 20, "connections": 2, **load}
    result, tally = measured(f"{echo.url}?stream=5&gap=1ms", **options)
    assert not result.summary.faults
    assert (tally.answered, tally.streamed) == (20, 100)
    assert (tally.first_time_ns.count, tally.gap_ns.count) == (20, 60), "the head before the first is in no gap"
    assert tally.first_time_ns.min >= MS


def test_a_session_that_ends_within_an_answer_breaks_it_off(echo):
    # The run is over once the session is lost.
    result, tally = measured(f"{echo.url}?stream=10&gap=1ms&close=1011&after=15", duration="30s", **BY_ID)
    assert (tally.answered, tally.unanswered, tally.broken_off, tally.streamed) == (1, 1, 1, 15)
    assert result.summary.connections.lost == 1
    assert result.summary.verdict.passed is False or result.exit_code != 0


def test_cut_answers_and_stalls_are_those_that_were_asked_for(echo):
    options = {**BY_ID, "stall": "800ms", "timeout": "2s", "messages": 20, "rate": 100}
    _, tally = measured(f"{echo.url}?stream=4&stall=900ms@5&cut=10", **options)
    assert (tally.stalls, tally.broken_off, tally.answered) == (4, 2, 18)
    assert tally.streamed == 18 * 4 + 2 * 3


def test_compressed_streams_are_read_as_they_were_sent():
    async def behave(peer):
        request = await peer.read_request()
        assert "permessage-deflate" in request.headers["sec-websocket-extensions"]
        await peer.upgrade(headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        deflate = PerMessageDeflate(DeflateParams())
        async for message in peer.messages():
            number = json.loads(deflate.decompress(message.payload, 1000))["id"]
            for place in range(3):
                part = json.dumps({"id": number, "done": place == 2, "usage": {"tokens": 9}}).encode()
                await peer.send_frame(frames.TEXT, deflate.compress(part), rsv=frames.RSV1)

    with FaultyServer(behave) as server:
        _, tally = measured(server.url, deflate=True, messages=10, **BY_ID)
    assert (tally.answered, tally.streamed, tally.answer_count.sum) == (10, 30, 90)


def test_what_is_given_up_after_the_load_has_not_waited_for_twice_the_time_out():
    with FaultyServer(behaviors.never_answers) as server:
        options = {**BY_ID, "connections": 1, "rate": 20, "duration": "900ms", "timeout": "1s"}
        _, tally = measured(server.url, **options)
    assert tally.unanswered == tally.faults["reply-timeout"] == tally.sent >= 2
    assert 1000 * MS <= tally.unanswered_wait_ns.min <= tally.unanswered_wait_ns.max < 1700 * MS
