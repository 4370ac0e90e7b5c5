"""Rooms of the echo server against an independent client: who receives what, and the counts of every fault."""

import asyncio
import contextlib
import itertools
import json
import socket
import sys
import time
from fractions import Fraction
from http.client import HTTPConnection

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.echo import EchoProcess, EchoServer, room, room_bus
from ws_load_test.echo.even_share import EvenShare, parse_share
from ws_load_test.echo.fan_out_clock import FanOutClock
from ws_load_test.echo.room_options import RoomOptions, room_options
from ws_load_test.echo.rooms import Rooms
from ws_load_test.websocket import frames

OPTIONS = {"compression": None, "ping_interval": None, "max_queue": None}


def with_server(client):
    """Run `client(server)` against a server in the same loop."""

    async def main():
        async with EchoServer() as server, asyncio.timeout(60):
            return await client(server)

    return asyncio.run(main())


@contextlib.asynccontextmanager
async def sessions(server, *queries):
    """Sessions with these queries, opened in turn."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(f"{server.url}?{query}", **OPTIONS)) for query in queries]


async def until(true):
    """Wait for a condition."""
    while not true():  # noqa: ASYNC110 - the server's counts are no event
        await asyncio.sleep(0.001)


async def arrived(session):
    """Count the messages that wait to be taken, once all that the server has sent by now have come."""
    await (await session.ping())
    return len(session.recv_messages.frames)


def kept(counts):
    """Return whether each delivery that was due is in one count."""
    return counts.due == (
        counts.deliveries + counts.lost + counts.withheld + counts.unreached + counts.held + counts.gone
    )


def http(server, method, target, body=None, headers=None, *, times=1):
    """Send a request some times over one connection; return a future of the last status and body."""
    host, port = server.url.split("/")[2].rsplit(":", 1)

    def run():
        with contextlib.closing(HTTPConnection(host, int(port), timeout=30)) as connection:
            for _ in range(times):
                connection.request(method, target, body, headers or {})
                response = connection.getresponse()
                text = response.read()
                assert not response.will_close
            return response.status, text

    return asyncio.to_thread(run)


# --- the arithmetic of shares ---

shares = st.fractions(min_value=0, max_value=1, max_denominator=2000)


@given(share=shares, events=st.integers(0, 3000))
def test_a_share_of_the_events_is_hit(share, events):
    even = EvenShare(share)
    hits = sum(even.hit() for _ in range(events))
    assert int(share * events) <= hits <= -(-share * events // 1)


@given(share=shares.filter(bool), start=st.integers(0, 500))
def test_hits_are_spread_over_all_stretches(share, start):
    even = EvenShare(share)
    hit = [even.hit() for _ in range(start + int(2 / share) + 1)]
    assert any(hit[start:])


def test_a_room_whose_size_divides_the_share_has_no_member_that_is_always_hit():
    even = EvenShare(Fraction(1, 100))
    members = [number % 100 for number in range(100 * 100) if even.hit()]
    assert len(members) == 100
    assert len(set(members)) > 50


def test_a_restart_begins_the_same_sequence_again():
    even = EvenShare(Fraction(3, 10))
    first = [even.hit() for _ in range(20)]
    even.restart()
    assert [even.hit() for _ in range(20)] == first


@pytest.mark.parametrize(
    ("text", "share"), [("1%", "0.01"), ("0.1 %", "0.001"), ("0.5", "0.5"), ("1", "1"), ("0", "0")]
)
def test_a_share_is_written_as_percentage_or_number(text, share):
    assert parse_share(text) == Fraction(share)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("room=a&lose=5", "lose=5 in the query: write a share from 0 to 1, for example 1% or 0.01"),
        ("room=a&duplicate=-1%", "write a share"),
        ("room=a&misdeliver=1e-3", "write a share"),
        ("room=a&swap=60%", "a swap takes two deliveries, so write 50% or less"),
        ("room=", "write a name of 1 to 256 bytes"),
        ("room=" + "a" * 257, "write a name of 1 to 256 bytes"),
        ("room=a&self=maybe", "write yes or no"),
        ("chat&ack=2", "ack=2 in the query: write yes or no"),
        ("room=a&nodes=0", "write a whole number from 1 to 1000"),
        ("room=a&stuck=x", "write a whole number"),
        ("room=a&fan-delay=2s", "write 1s or less"),
        ("room=a&replay=2h", "write 1h or less"),
        ("room=a&delay=1s", "delay is about replies, of which a session in rooms has none; leave it out"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(query, problem):
    async def client(server):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.url}?{query}")
        assert caught.value.response.status_code == 400
        assert problem in caught.value.response.body.decode()

    with_server(client)


@pytest.mark.parametrize("query", ["", "x=1", "lose=1%", "chat=no", "silent=1"])
def test_a_query_without_a_room_asks_for_none(query):
    assert room_options(query) is None


# --- who receives what ---


def test_a_message_goes_to_all_members_of_its_room_and_to_no_other():
    async def client(server):
        async with sessions(server, "room=a", "room=a", "room=b") as (one, other, stranger):
            await one.send("text")
            await other.send(b"binary")
            await stranger.send("elsewhere")
            for session in (one, other):
                assert {await session.recv(), await session.recv()} == {"text", b"binary"}
            assert await stranger.recv() == "elsewhere"
            report = server.rooms.report()
            assert (report.total.members, report.total.published, report.total.deliveries) == (3, 3, 5)
            assert (report.rooms["a"].due, report.rooms["b"].deliveries) == (4, 1)
            assert server.messages == 3
        await until(lambda: server.rooms.report().total.members == 0)

    with_server(client)


@pytest.mark.parametrize("size", [0, 125, 126, 70_000])
def test_messages_of_every_length_come_as_they_were_sent(size):
    async def client(server):
        async with sessions(server, "room=a", "room=a") as (one, other):
            await one.send(["x" * (size // 2), "y" * (size - size // 2)])  # two fragments
            await one.send(bytes(size))
            assert await other.recv() == "x" * (size // 2) + "y" * (size - size // 2)
            assert await other.recv() == bytes(size)

    with_server(client)


def test_the_publisher_is_left_out_on_request_and_its_messages_are_acknowledged():
    async def client(server):
        async with sessions(server, "room=a&self=no&ack=1", "room=a&self=no", "room=a") as (one, other, third):
            for message, answer in [
                ("plain", '{"op":"ack"}'),
                ('{"x": {"id": 1}, "id": "é"}', '{"op":"ack","id":"é"}'),
                ('{"id": {"of": [1]}}', '{"op":"ack","id":{"of": [1]}}'),
                ('{"id": 1', '{"op":"ack"}'),
                (b"\xff", '{"op":"ack"}'),
            ]:
                await one.send(message)
                assert await one.recv() == answer
                assert await other.recv() == message
                assert await third.recv() == message
            await other.send("back")
            assert await one.recv() == "back"
            assert server.rooms.report().total.due == 5 * 2 + 2

    with_server(client)


def test_many_messages_at_once_come_in_order_each_left_out_for_its_publisher():
    async def client(server):
        async with sessions(server, "room=a&self=no", "room=a&self=no", "room=a") as (one, other, third):
            # One write, so that the server reads them together.
            for session, name in ((one, "one"), (other, "other")):
                sent = b"".join(client_frame(f"{name} {number}") for number in range(500))
                session.transport.write(sent)
            assert [await one.recv() for _ in range(500)] == [f"other {number}" for number in range(500)]
            assert [await other.recv() for _ in range(500)] == [f"one {number}" for number in range(500)]
            all_of_them = [await third.recv() for _ in range(1000)]
            for name in ("one", "other"):
                assert [text for text in all_of_them if text.startswith(name)] == [f"{name} {n}" for n in range(500)]
            report = server.rooms.report().total
            assert (report.published, report.due, report.deliveries) == (1000, 2000, 2000)

    with_server(client)


def client_frame(text):
    return frames.encode_frame(frames.TEXT, text.encode(), mask=b"abcd")


def test_chat_joins_leaves_and_publishes_to_rooms():
    async def client(server):
        async with sessions(server, "chat", "chat&ack=1") as (member, publisher):
            await member.send('{"op": "join", "room": "a", "more": [1]}')
            assert await member.recv() == '{"op":"joined","room":"a"}'
            await member.send('{"op":"join","room":7}')
            assert await member.recv() == '{"op":"joined","room":7}'
            said = '{"op": "say", "room": "a", "id": 3, "text": "hello"}'
            await publisher.send(said)
            assert await publisher.recv() == '{"op":"ack","id":3}'  # it is no member
            assert await member.recv() == said
            await member.send('{"op":"leave","room":"a"}')
            assert await member.recv() == '{"op":"left","room":"a"}'
            await publisher.send(said)
            await publisher.send('{"op":"say","room":"7"}')
            assert await member.recv() == '{"op":"say","room":"7"}'
            report = server.rooms.report()
            assert (report.rooms["a"].published, report.rooms["a"].deliveries, report.rooms["a"].members) == (2, 1, 0)

    with_server(client)


def test_a_member_of_several_rooms_gets_the_messages_of_a_publisher_in_order():
    async def client(server):
        async with sessions(server, "chat", "chat") as (member, publisher):
            for room in "ab":
                await member.send(json.dumps({"op": "join", "room": room}))
                await member.recv()
            sent = [json.dumps({"op": "say", "room": "ab"[number % 2], "n": number}) for number in range(100)]
            publisher.transport.write(b"".join(client_frame(text) for text in sent))
            assert [await member.recv() for _ in range(100)] == sent

    with_server(client)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("hello", "a message is a JSON object with op and room; "),
        ('{"op":"join"}', "write a name of 1 to 256 bytes"),
        ('{"op":"join","room":null}', "got `null`"),
        ('{"op":"shout","room":"a"}', 'op is "shout"; write join, leave or say'),
        (b"\xff\xfe", "a message is a JSON object"),
    ],
)
def test_what_chat_does_not_understand_is_answered_and_the_session_stays_open(sent, reason):
    async def client(server):
        async with sessions(server, "chat") as (session,):
            await session.send(sent)
            answer = json.loads(await session.recv())
            assert answer["op"] == "error"
            assert reason in answer["reason"]
            await session.send('{"op":"join","room":"a"}')
            assert await session.recv() == '{"op":"joined","room":"a"}'

    with_server(client)


def test_http_publishes_over_a_connection_that_stays_open():
    async def client(server):
        async with sessions(server, "room=a", "room=a") as both:
            assert await http(server, "POST", "/publish?room=a", b"posted", times=3) == (204, b"")
            binary = {"Content-Type": "application/octet-stream"}
            assert await http(server, "POST", "/publish?room=a&fan-delay=1us", b"\x00", binary) == (204, b"")
            for session in both:
                assert [await session.recv() for _ in range(4)] == ["posted"] * 3 + [b"\x00"]
            status, text = await http(server, "GET", "/rooms", times=2)
            assert status == 200
            counts = json.loads(text)
            assert (counts["published"], counts["rooms"]["a"]["deliveries"]) == (4, 8)
            assert (await http(server, "GET", "/rooms?reset"))[1] == text
            counts = json.loads((await http(server, "GET", "/rooms"))[1])
            assert (counts["published"], counts["members"]) == (0, 2)
            await http(server, "POST", "/publish?room=a", b"posted")
            assert await http(server, "DELETE", "/rooms") == (204, b"")
            assert json.loads((await http(server, "GET", "/rooms"))[1])["due"] == 0

    with_server(client)


@pytest.mark.parametrize(
    ("method", "target", "status", "problem"),
    [
        ("POST", "/publish", 400, b"add the room to the URL"),
        ("POST", "/publish?room=a&nodes=x", 400, b"write a whole number from 1 to 1000"),
        ("POST", "/rooms", 405, b"/rooms takes GET and DELETE"),
        ("DELETE", "/publish?room=a", 405, b"/publish takes POST"),
        ("POST", "/", 404, b"/publish?room=NAME"),
    ],
)
def test_requests_that_cannot_be_answered(method, target, status, problem):
    async def client(server):
        found, text = await http(server, method, target, b"x" if method == "POST" else None, times=2)
        assert (found, problem in text) == (status, True)

    with_server(client)


def test_a_request_in_pieces_is_read_and_one_that_is_broken_is_refused():
    async def client(server):
        host, port = server.url.split("/")[2].rsplit(":", 1)
        for pieces, answer in [
            ([b"PO", b"ST /publish?ro", b"om=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", b"bc"], b"204"),
            ([b"GET /roo", b"ms HTTP/1.1\r\nHo", b"st: x\r\n\r\n"], b"200"),
            ([b"POST /publish?room=a HTTP/1.1\r\nbroken\r\n\r\n"], b"400"),
            ([b"GET", b" / HTTP/1.1\r\nHost: x\r\n\r\n"], b"400"),
        ]:
            reader, writer = await asyncio.open_connection(host, int(port))
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.005)
            assert (await reader.readuntil(b"\r\n")).split()[1] == answer
            writer.close()
            await writer.wait_closed()
        async with connect(f"{server.url}rooms?room=a", **OPTIONS) as session:  # a session may have that path
            await session.send("hello")
            assert await session.recv() == "hello"

    with_server(client)


# --- faults of known size ---


@pytest.mark.parametrize(
    ("query", "count", "value"),
    [
        ("lose=1%", "lost", 4),
        ("lose=0.5", "lost", 200),
        ("duplicate=10%", "duplicated", 40),
        ("duplicate=1", "duplicated", 400),
        ("stuck=1", "withheld", 100),
        ("nodes=2", "unreached", 200),
        ("nodes=4", "unreached", 300),
    ],
)
def test_a_share_of_the_deliveries_is_hit_exactly(query, count, value):
    async def client(server):
        room = f"room=a&{query}"
        async with sessions(server, room, room, room, room, "chat&ack=1") as (*members, publisher):
            for number in range(100):
                await publisher.send(json.dumps({"op": "say", "room": "a", "n": number}))
                await publisher.recv()
            report = server.rooms.report().rooms["a"]
            assert (report.published, report.due, getattr(report, count)) == (100, 400, value)
            assert kept(report)
            total = report.deliveries + report.duplicated
            assert sum([await arrived(member) for member in members]) == total

    with_server(client)


@pytest.mark.parametrize("percent", [10, 50])
def test_a_delivery_changes_places_with_the_next_one(percent):
    async def client(server):
        async with sessions(server, f"room=a&swap={percent}%", "chat&ack=1") as (member, publisher):
            sent = [json.dumps({"op": "say", "room": "a", "n": number}) for number in range(100)]
            for message in sent:
                await publisher.send(message)
                await publisher.recv()
            report = server.rooms.report().total
            # One that falls on a delivery after a held one waits for the next.
            assert percent - 1 <= report.swapped + report.held <= percent
            assert kept(report)
            came = [json.loads(await member.recv())["n"] for _ in range(100 - report.held)]
            late = [number for number, after in itertools.pairwise(came) if after < number]
            assert len(late) == report.swapped
            assert sorted(came) == list(range(100 - report.held))

    with_server(client)


def test_a_delivery_that_is_held_or_whose_member_is_closing_is_not_counted_as_sent():
    class Closing:
        def is_closing(self):
            return True

    async def main():
        building = Rooms(LoopTurns())
        plain, faulty = RoomOptions(), RoomOptions(lose=Fraction(1, 2))
        for name, options in (("plain", plain), ("faulty", faulty)):
            room = building.room(name)
            room.join(object(), Closing(), options)
            building.publish(room, 0, b"frame", None, None)
        building.flush()
        report = building.report()
        assert (report.total.due, report.total.deliveries, report.total.gone) == (2, 0, 2)
        assert all(kept(counts) for counts in report.rooms.values())

    asyncio.run(main())


def test_a_publisher_without_membership_stays_on_its_node():
    async def client(server):
        room = "room=a&nodes=2"
        async with sessions(server, room, room, "chat&nodes=2&ack=1", "chat&nodes=2&ack=1") as (one, two, *publishers):
            for publisher in publishers * 2:
                await publisher.send('{"op":"say","room":"a"}')
                await publisher.recv()
            assert [await arrived(one), await arrived(two)] == [2, 2]
            await publishers[0].send('{"op":"say","room":"a"}')
            await publishers[0].send('{"op":"say","room":"a"}')
            assert [await arrived(session) for session in (publishers[0], one, two)] == [2, 4, 2]

    with_server(client)


def test_who_joins_gets_nothing_that_was_published_before_in_the_same_read():
    async def client(server):
        async with sessions(server, "chat") as (session,):
            sent = ['{"op":"say","room":"a","n":1}', '{"op":"join","room":"a"}', '{"op":"say","room":"a","n":2}']
            session.transport.write(b"".join(map(client_frame, sent)))
            assert [await session.recv(), await session.recv()] == ['{"op":"joined","room":"a"}', sent[2]]
            report = server.rooms.report().total
            assert (report.published, report.due) == (2, 1)

    with_server(client)


def test_a_delivery_goes_astray_to_another_room():
    async def client(server):
        faulty = "room=a&misdeliver=5%"
        async with sessions(server, faulty, faulty, "room=b", "room=c") as (one, two, *strangers):
            for number in range(100):
                await one.send(str(number))
                assert [await one.recv(), await two.recv()] == [str(number)] * 2
            report = server.rooms.report()
            assert (report.rooms["a"].misdelivered, report.rooms["b"].deliveries) == (10, 0)
            assert [await arrived(stranger) for stranger in strangers] == [5, 5]

    with_server(client)


def test_who_joins_gets_what_was_published_before():
    async def client(server):
        async with sessions(server, "room=a&replay=1m", "chat&replay=1m") as (one, late):
            for number in range(3):
                await one.send(str(number))
                assert await one.recv() == str(number)
            await late.send('{"op":"join","room":"a"}')
            assert [await late.recv() for _ in range(4)] == ['{"op":"joined","room":"a"}', "0", "1", "2"]
            async with sessions(server, "room=a&replay=1ns", "room=a") as others:
                await one.send("3")
                for session in others:
                    assert await session.recv() == "3"
            assert server.rooms.report().total.replayed == 3

    with_server(client)


def test_a_stuck_member_stays_open_and_can_publish():
    async def client(server):
        async with sessions(server, "room=a&stuck=1", "room=a&stuck=1") as (stuck, other):
            await stuck.send("from the stuck one")
            assert await other.recv() == "from the stuck one"
            assert await arrived(stuck) == 0
            report = server.rooms.report().total
            assert (report.stuck, report.withheld, report.deliveries) == (1, 1, 1)

    with_server(client)


class ManualTime:
    """A clock that each look moves on, and a timer on it."""

    def __init__(self, look_ns=50):
        self.now_ns = 0
        self.look_ns = look_ns
        self.due = None

    def look(self):
        self.now_ns += self.look_ns
        return self.now_ns

    def make_timer(self, callback):
        self.callback = callback
        return self

    def arm(self, at_ns):
        self.due = at_ns

    def close(self):
        self.due = None

    def run(self):
        """Wake 30 µs late, as a busy loop does, until nothing is armed."""
        while self.due is not None:
            self.now_ns, self.due = max(self.now_ns, self.due + 30_000), None
            self.callback()


@given(fan_outs=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 400_000)), min_size=1, max_size=4))
def test_deliveries_leave_at_their_instants(fan_outs):
    clock = ManualTime()
    fan_out_clock = FanOutClock(LoopTurns(endless=True), now_ns=clock.look, make_timer=clock.make_timer)
    left, started, done = {}, {}, []
    for number, (count, delay_ns) in enumerate(fan_outs):
        started[number] = clock.now_ns
        fan_out_clock.start(
            lambda member, number=number: left.setdefault((number, member), clock.now_ns),
            count,
            delay_ns,
            lambda number=number: done.append(number),
        )
    clock.run()
    assert sorted(done) == list(range(len(fan_outs)))
    for number, (count, delay_ns) in enumerate(fan_outs):
        for member in range(count):
            assert left[number, member] - started[number] - member * delay_ns <= fan_out_clock.latest_ns + 200
            late_ns = left[number, member] - started[number] - member * delay_ns
            # Late by looks at the clock alone, four for each delivery; never by the timer's 30 µs.
            assert 0 <= late_ns <= 200 * (1 + sum(count for count, _ in fan_outs))
    fan_out_clock.close()


def test_a_long_fan_out_lets_the_loop_turn():
    async def main():
        turns = LoopTurns()
        fan_out_clock = FanOutClock(turns)
        left = []
        fan_out_clock.start(left.append, 1000, 10_000, lambda: left.append("done"))
        assert 0 < len(left) < 1000
        rounds = 0
        while left[-1] != "done":
            await asyncio.sleep(0)
            rounds += 1
        assert left == [*range(1000), "done"]
        assert rounds
        fan_out_clock.close()

    asyncio.run(main())


def test_the_acknowledgement_follows_the_last_of_slow_deliveries():
    async def client(server):
        async with sessions(server, "room=a", "room=a", "chat&ack=1&fan-delay=5ms") as (one, other, publisher):
            start = time.monotonic()
            await publisher.send('{"op":"say","room":"a","id":1}')
            assert await publisher.recv() == '{"op":"ack","id":1}'
            assert time.monotonic() - start >= 0.005
            for session in (one, other):
                assert await session.recv() == '{"op":"say","room":"a","id":1}'

    with_server(client)


# --- members that go, and members that do not read ---


def test_what_a_session_has_published_before_it_left_goes_out():
    async def client(server):
        async with sessions(server, "room=a", "room=a") as (one, other):
            close = frames.encode_frame(frames.CLOSE, frames.close_payload(1000), mask=b"abcd")
            one.transport.write(client_frame("last") + close + client_frame("too late"))
            assert await other.recv() == "last"
            await until(lambda: server.rooms.report().total.members == 1)
            report = server.rooms.report().total
            assert (report.published, report.deliveries) == (1, 2)

    with_server(client)


def test_a_member_that_does_not_read_is_closed_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(room, "MAX_UNREAD_BYTES", 1 << 20)

    async def client(server):
        async with sessions(server, "room=a", "chat&ack=1") as (reading, publisher):
            host, port = server.url.split("/")[2].rsplit(":", 1)
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(
                f"GET /?room=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {frames.new_key()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            await until(lambda: server.rooms.report().total.members == 2)
            message = json.dumps({"op": "say", "room": "a", "text": "x" * 200_000})
            for _ in range(100):
                await publisher.send(message)
                assert await publisher.recv() == '{"op":"ack"}'
                assert await reading.recv() == message
            report = server.rooms.report().total
            assert (report.overflowed, report.members, report.published) == (1, 1, 100)
            assert kept(report)
            assert 100 < report.deliveries < 200
            assert server.rooms.unread_bytes == 0
            writer.transport.abort()

    with_server(client)


def test_a_session_ends_with_1001_when_the_server_stops():
    async def main():
        async with EchoServer() as server:
            session = await connect(f"{server.url}?room=a", **OPTIONS)
        with pytest.raises(ConnectionClosed) as caught:
            await session.recv()
        assert caught.value.rcvd.code == 1001
        await session.close()

    asyncio.run(main())


# --- several processes, and one of its own ---


@pytest.mark.skipif(sys.platform == "win32", reason="processes share no port there")
def test_what_another_process_has_no_time_for_is_counted(monkeypatch):
    async def main():
        ends = socket.socketpair()
        async with (
            EchoServer(bus=[ends[0].detach()]) as one,
            EchoServer(bus=[ends[1].detach()]) as other,
            sessions(one, "room=a&ack=1") as (near,),
            sessions(other, "room=a&lose=50%") as (far,),
            asyncio.timeout(60),
        ):
            for _ in range(2):
                await near.send("x")
                assert [await near.recv(), await near.recv()] == ["x", '{"op":"ack"}']
            assert await far.recv() == "x"
            status, text = await http(other, "GET", "/rooms")
            counts = json.loads(text)
            assert (status, counts["published"], counts["due"], counts["lost"], counts["members"]) == (200, 2, 4, 1, 2)
            monkeypatch.setattr(room_bus, "MAX_WAITING_BYTES", -1)
            await near.send("y")
            assert [await near.recv(), await near.recv()] == ["y", '{"op":"ack"}']
            assert await arrived(far) == 0
            assert one.rooms.report().total.unshared == 1
            assert json.loads((await http(other, "GET", "/rooms"))[1])["due"] == 5

    asyncio.run(main())


def test_a_process_reports_its_rooms():
    with EchoProcess() as echo:

        async def client():
            async with sessions(echo, "room=a&lose=50%", "room=a&lose=50%") as (one, _):
                await one.send("x")
                await arrived(one)
                return echo.rooms(reset=True)

        report = asyncio.run(client())
        assert (report.total.published, report.total.due, report.total.lost) == (1, 2, 1)
        assert report.rooms["a"].members == 2
        after = echo.rooms()
        assert (after.total.published, after.total.due) == (0, 0)
        assert echo.counts().messages == 1
