"""Replies told apart by their id, by servers that push, shuffle, lose and repeat; and what order makes of them."""

import asyncio
import json
import random
import time

import pytest

from ws_load_test import make_plan
from ws_load_test.api import run
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

pytestmark = pytest.mark.every_engine

MS = 1_000_000


class Difficult:
    """A server that greets, pushes, answers out of order, loses some, repeats some, and keeps books."""

    def __init__(self, *, loses=0.0, repeats=0.0, push_every_s=0.01, longest_s=0.04, strange=0.0):
        self.loses, self.repeats, self.push_every_s, self.longest_s = loses, repeats, push_every_s, longest_s
        self.strange = strange
        self.chance = random.Random(7)
        self.lost = self.repeated = self.pushed = self.pushed_bytes = self.strangers = 0
        self.delays_ns = {}

    async def __call__(self, peer):
        await peer.upgrade()
        await peer.send_frame(frames.TEXT, b'{"hello": true}')
        pushing = asyncio.create_task(self.push(peer))
        answers = set()
        try:
            async for message in peer.messages():
                answer = asyncio.create_task(self.answer(peer, message))
                answers.add(answer)
                answer.add_done_callback(answers.discard)
        finally:
            pushing.cancel()
            await asyncio.gather(pushing, *answers, return_exceptions=True)

    async def push(self, peer):
        while True:
            await asyncio.sleep(self.push_every_s)
            news = json.dumps({"event": "tick", "filler": "x" * self.chance.randrange(300)}).encode()
            await peer.send_frame(frames.TEXT, news)
            self.pushed += 1
            self.pushed_bytes += len(news)

    async def answer(self, peer, message):
        number = json.loads(message.payload)["id"]
        if self.chance.random() < self.loses:
            self.lost += 1
            return
        if self.chance.random() < self.strange:
            self.strangers += 1
            await peer.send_frame(frames.TEXT, b'{"id": "nobody knows"}')
        await asyncio.sleep(self.chance.random() * self.longest_s)
        self.delays_ns[number] = time.monotonic_ns() - message.read_ns
        reply = json.dumps({"ok": True, "id": number}).encode()
        await peer.send_frame(frames.TEXT, reply)
        peer.replied()
        if self.chance.random() < self.repeats:
            self.repeated += 1
            await peer.send_frame(frames.TEXT, reply)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("engine", "load"),
    [("portable", {"rate": 400}), ("native", {"rate": 400}), ("native", {"in_flight": 4})],
    ids=["portable, open loop", "native, open loop", "native, closed loop"],
    indirect=["engine"],
)
def test_by_id_every_count_and_time_is_right(load):
    difficult = Difficult(loses=0.03, repeats=0.03, strange=0.03)
    with FaultyServer(difficult) as server:
        plan = make_plan(
            server.url,
            connections=4,
            duration="1400ms",
            timeout="500ms",
            message='{"id": {seq}}',
            match="json:id",
            skip_first=1,
            expect="json:ok=true",
            workers=1,
            **load,
        )
        summary = run(plan).summary
    messages = summary.messages
    assert server.seen.messages == messages.sent == messages.answered + messages.unanswered
    assert messages.unanswered == summary.faults.pop("reply-timeout", 0) == difficult.lost > 0
    assert messages.answered == server.seen.replies > 200
    assert messages.duplicate_replies == difficult.repeated > 0
    assert messages.unknown_id == difficult.strangers > 0
    assert messages.greetings == 4
    assert messages.out_of_order > 0
    # What was pushed while the sessions closed may have come too late.
    strange_bytes = difficult.strangers * len('{"id": "nobody knows"}')
    assert 0 <= difficult.pushed + difficult.strangers - messages.pushed <= 3 * 4
    assert 0 <= difficult.pushed_bytes + strange_bytes - summary.bytes.pushed <= 3 * 4 * 350
    assert not summary.faults
    assert summary.connections.lost == 0
    # Within what two processes add to it on a busy machine, the times are the server's delays, the largest included.
    theirs = sorted(difficult.delays_ns.values())
    ours = summary.service_time_ns
    assert ours.count == len(theirs)
    for key, place in (("p50", 0.5), ("p90", 0.9)):
        assert abs(ours.value(key) - theirs[int(place * len(theirs))]) < 8 * MS
    assert ours.max >= theirs[-1]


def test_in_order_the_report_says_not_to_trust_it():
    with FaultyServer(Difficult()) as server:
        result = run(make_plan(server.url, connections=2, rate=100, duration="1s", message='{"id": {seq}}', workers=1))
    assert result.summary.messages.pushed > 0
    (warning,) = [text for text in result.summary.warnings if "trust" in text]
    assert "--match json:" in warning


def test_a_failed_check_is_a_fault_and_still_a_reply():
    with FaultyServer(Difficult(push_every_s=9)) as server:
        plan = make_plan(
            server.url,
            rate=100,
            duration="500ms",
            message='{"id": {seq}}',
            match="json:id",
            skip_first=1,
            expect=["json:ok=true", "contains:secret of the house"],
            workers=1,
        )
        result = run(plan)
    assert result.summary.messages.answered == 50
    assert result.summary.faults == {"check-failed": 50}
    fault_examples = [text for interval in result.recording.intervals for text in interval.fault_examples.values()]
    assert fault_examples == ["sent a reply that fails --expect contains:secret of the house"]


async def _chat(peer):
    """A protocol of its own: a hello, a login that must follow it, heartbeats that must be answered, then echoes."""
    await peer.upgrade()
    await peer.send_frame(frames.TEXT, b"hello")
    beats = 0
    logged_in = False
    async for message in peer.messages():
        if message.payload == b"beat back":
            beats += 1
        elif message.payload.startswith(b"login "):
            logged_in = True
            await asyncio.sleep(0.02)
            await peer.send_frame(frames.TEXT, b"welcome " + message.payload[6:])
            await peer.send_frame(frames.TEXT, b"beat")
        elif logged_in and beats:
            await peer.send_frame(frames.TEXT, b"beat")
            await peer.reply(message)


def test_first_messages_wait_for_greetings_and_each_other_and_heartbeats_are_answered():
    with FaultyServer(_chat) as server:
        plan = make_plan(
            server.url,
            connections=3,
            messages=60,
            first_message="login {connection}",
            skip_first=1,
            auto_reply="regex:^beat$=>beat back",
            timeout="3s",
            workers=1,
        )
        summary = run(plan).summary
    assert summary.messages.answered == 60
    assert not summary.faults
    assert summary.messages.greetings == 3
    assert summary.messages.pushed == 3 + 60
    assert summary.opening.first_replies == 3
    assert summary.opening.first_reply_time_ns.min >= 19 * MS
    logins = sorted(payload for payload in server.seen.payloads if payload.startswith(b"login"))
    assert logins == [b"login 0", b"login 1", b"login 2"]


def test_a_first_message_without_a_reply_is_a_fault_of_its_own():
    async def mute(peer):
        await peer.upgrade()
        async for _ in peer.messages():
            pass

    with FaultyServer(mute) as server:
        result = run(make_plan(server.url, connections=2, duration="1s", first_message="login", timeout="200ms"))
    assert result.summary.faults == {"first-reply-timeout": 2}
    assert result.summary.connections.lost == 2
    assert result.summary.messages.sent == 0


def test_a_last_first_message_without_a_reply_is_waited_behind():
    """The load of a session begins the wait after its join; what comes meanwhile is pushed, and no reply."""
    came = []

    async def joins(peer):
        await peer.upgrade()
        async for message in peer.messages():
            came.append(message.payload)
            if message.payload == b"login":
                await peer.send_frame(frames.TEXT, b"welcome")
            elif message.payload == b"join":
                await peer.send_frame(frames.TEXT, b"news")
            else:
                await peer.reply(message)

    with FaultyServer(joins) as server:
        options = {
            "first_message": ["login", "join"],
            "first_wait": "600ms",
            "expect_first": "contains:welcome",
            "expect": "contains:PING",
        }
        # The wait takes nothing from the time for replies.
        summary = run(make_plan(server.url, messages=5, timeout="500ms", workers=1, **options)).summary
    assert not summary.faults
    assert summary.messages.answered == 5
    assert (summary.opening.first_replies, summary.messages.pushed) == (1, 1)
    assert came == [b"login", b"join", *[b"PING"] * 5]


def test_a_session_that_ends_while_it_waits_behind_its_first_message_is_lost():
    with FaultyServer(behaviors.closes_after(0, 1008)) as server:
        result = run(make_plan(server.url, duration="300ms", first_message="join", first_wait="100ms", workers=1))
    assert result.summary.faults == {"closed:1008": 1}
    assert result.summary.messages.sent == 0


def test_a_first_message_that_is_refused_is_a_fault_and_ends_the_session():
    with FaultyServer(_chat) as server:
        plan = make_plan(
            server.url,
            connections=2,
            duration="1s",
            first_message="login {connection}",
            skip_first=1,
            expect_first="contains:welcome 1",
            auto_reply="regex:^beat$=>beat back",
            workers=1,
        )
        result = run(plan)
    assert result.summary.faults == {"check-failed:first-reply": 1}
    assert (result.summary.connections.lost, result.summary.connections.opened) == (1, 2)
    assert result.summary.messages.answered > 100
    assert len([payload for payload in server.seen.payloads if payload == b"PING"]) == result.summary.messages.sent


def test_to_send_only_awaits_nothing():
    async def talks(peer):
        await peer.upgrade()
        async for message in peer.messages():
            await peer.send_frame(frames.TEXT, b"news")
            assert message.payload == b"PING"

    with FaultyServer(talks) as server:
        result = run(make_plan(server.url, connections=2, rate=200, duration="1s", match="none", workers=1))
    messages = result.summary.messages
    assert server.seen.messages == messages.sent == messages.unanswered == 200
    assert (messages.answered, messages.pushed, result.summary.bytes.pushed) == (0, 200, 800)
    assert not result.summary.faults


def test_an_echo_server_answers_in_any_order_by_echo():
    async def shuffled(peer):
        await peer.upgrade()
        held = []
        async for message in peer.messages():
            held.append(message)
            if len(held) == 3:
                for one in reversed(held):
                    await peer.reply(one)
                held.clear()

    with FaultyServer(shuffled) as server:
        plan = make_plan(server.url, messages=30, in_flight=3, message="{uuid}", match="echo", workers=1)
        summary = run(plan).summary
    assert summary.messages.answered == 30
    assert summary.messages.out_of_order == 20
    assert len(set(server.seen.payloads)) == 30
