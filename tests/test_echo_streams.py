"""Answers of many messages from the echo server, against an independent client."""

import asyncio
import json
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.echo import EchoServer
from ws_load_test.echo.streams import MOST_MESSAGES, StreamShape

MS = 1_000_000


def over(client, query):
    """Runs `client(connection)` against a server with this query."""

    async def main():
        async with (
            asyncio.timeout(60),
            EchoServer() as server,
            connect(server.url + query, compression=None, ping_interval=None) as connection,
        ):
            return await client(connection)

    return asyncio.run(main())


def shape(**options):
    made = StreamShape()
    for name, text in options.items():
        made.read(name, text)
    made.check()
    return made


def test_each_message_is_answered_by_as_many_and_the_last_is_marked():
    async def client(connection):
        await connection.send('{"id": "a7"}')
        answer = [json.loads(await connection.recv()) for _ in range(5)]
        assert [one["index"] for one in answer] == [0, 1, 2, 3, 4]
        assert {one["id"] for one in answer} == {"a7"}
        assert [one.get("done") for one in answer] == [None] * 4 + [True]
        assert answer[-1]["usage"] == {"tokens": 5}
        await connection.send("no JSON")
        assert "id" not in json.loads(await connection.recv())

    over(client, "?stream=5")


def test_a_gap_is_kept_from_the_beginning_of_the_answer():
    async def client(connection):
        await connection.send('{"id": 1}')
        began = time.monotonic()
        for number in range(6):
            assert json.loads(await connection.recv())["index"] == number
            assert time.monotonic() - began >= number * 0.005
        assert time.monotonic() - began >= 0.025

    over(client, "?stream=6&gap=5ms")


def test_answers_under_way_are_interleaved():
    async def client(connection):
        for number in range(2):
            await connection.send(json.dumps({"id": number}))
        ids = [json.loads(await connection.recv())["id"] for _ in range(6)]
        assert ids == [0, 1, 0, 1, 0, 1]

    over(client, "?stream=3&gap=30ms")


def test_instants_and_lengths_are_known():
    made = shape(stream="8", gap="20ms", stall="1s@3", cut="2")
    assert [made.length_of(number) for number in range(1, 7)] == [8, 6, 8, 6, 8, 6]
    assert [made.instant_ns(2, place) for place in range(3)] == [0, 20 * MS, 40 * MS]
    assert [made.instant_ns(3, place) // MS for place in range(8)] == [0, 20, 40, 60, 1080, 1100, 1120, 1140]
    assert shape(stream="3", stall="1s", cut="1").length_of(1) == 2, "the stall is in what is left"


def test_a_cut_answer_ends_without_its_mark():
    async def client(connection):
        for number in range(2):
            await connection.send(json.dumps({"id": number}))
        found = [json.loads(await connection.recv()) for _ in range(4 + 3)]
        assert [one["id"] for one in found if one.get("done")] == [0]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.05)

    over(client, "?stream=4&cut=2")


def test_a_session_can_be_closed_within_an_answer():
    async def client(connection):
        await connection.send("x")
        for _ in range(2):
            await connection.recv()
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd.code == 1011

    over(client, "?stream=4&close=1011&after=2")


def test_streams_go_with_delay_and_fragments():
    async def client(connection):
        began = time.monotonic()
        await connection.send('{"id": 1}')
        parts = [part async for part in connection.recv_streaming()]
        assert time.monotonic() - began >= 0.02
        assert len(parts) == 2
        assert json.loads("".join(parts))["index"] == 0

    over(client, "?stream=4&delay=20ms&fragment=2")


def test_a_long_answer_leaves_its_turn_to_others(monkeypatch):
    async def client(connection):
        await connection.send('{"id": 1}')
        for _ in range(MOST_MESSAGES):
            last = await connection.recv()
        return json.loads(last)

    asked = []
    put_off = LoopTurns.put_off
    monkeypatch.setattr(LoopTurns, "put_off", lambda self, work: (asked.append(work), put_off(self, work)))
    assert over(client, f"?stream={MOST_MESSAGES}")["done"]
    assert asked


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"stream": "0"}, "1 to 10000"),
        ({"stream": "x"}, "whole number"),
        ({"gap": "20ms"}, "add stream=20"),
        ({"stream": "2", "cut": "1"}, "3 or more"),
        ({"stream": "3", "stall": "1s@0"}, "from 1"),
        ({"stream": "3", "gap": "soon"}, "soon"),
    ],
)
def test_what_cannot_be_used_is_named(options, word):
    with pytest.raises(ValueError, match=word):
        shape(**options)
