"""Publishing by HTTP over real sockets: against the built-in server, and one that fails in every way."""

import asyncio
import contextlib

import pytest

from engine.fan_out.in_process import JOIN, measure, together
from ws_load_test.echo import EchoServer
from ws_load_test.testing import free_port

SMALL = {"publishers": 2, "subscribers": 4, "rooms": 2, "message": "{marker}", "first_message": JOIN, "timeout": "2s"}


async def published(url=None, *, query="", **options):
    """Publishes to the rooms of a server of its own, or to a URL. Returns the result, the tally, and its counts."""
    async with EchoServer() as server:
        url = url or f"POST {server.url.replace('ws', 'http', 1).rstrip('/')}/publish?room={{room}}"
        result, tally = await measure(f"{server.url}?chat{query}", **{**SMALL, "publish_url": url, **options})
        return result, tally, server


@contextlib.asynccontextmanager
async def http_server(answer):
    """A server of HTTP that reads requests of Content-Length and calls `answer(writer, head, body)` for each."""

    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                await answer(writer, head, await reader.readexactly(length))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"POST http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in serving:
            task.cancel()
        await asyncio.wait(serving)


async def against(answer, **options):
    """Publishes to a server that answers so. Returns the result and the tally."""
    options = {"timeout": "1s", **options}
    async with http_server(answer) as url:
        result, tally, _ = await published(f"{url}/{{room}}?m={{marker}}", **options)
        return result, tally


def ok(writer):
    """Answers with 204."""
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_message_is_a_request_and_reaches_its_room(workers):
    result, tally, server = together(a=published(workers=workers))["a"]
    counts = server.rooms.report().total
    assert not result.summary.faults
    assert result.exit_code == 0
    assert tally.sent == tally.answered == counts.published == 30
    assert tally.deliveries == tally.deliveries_expected == counts.due == 30 * 2
    assert tally.deliveries_to_publisher == tally.deliveries_ambiguous == 0
    assert tally.response_time_ns.count == tally.send_lag_ns.count == 30
    assert result.summary.fanout.publishes.acknowledged == 30
    assert tally.opened == 4, "publishers are no sessions"


def test_a_swapped_delivery_is_found_to_the_one():
    _, tally, server = together(a=published(query="&swap=5%25", publishers=1, rooms=1))["a"]
    assert tally.deliveries_out_of_order == server.rooms.report().total.swapped > 0


def test_requests_have_the_fields_and_share_a_connection():
    heads, bodies, writers = [], [], set()

    async def answer(writer, head, body):
        heads.append(head.decode())
        bodies.append(body)
        writers.add(writer)
        ok(writer)

    header = ["X-Room: <{room}>", "X-Marker: {marker}"]
    message = '{"text": "{marker}"}'
    result, tally = together(a=against(answer, publish_header=header, rooms="a b,ü", message=message))["a"]
    assert tally.answered == 30
    assert len(writers) == 2
    for head, body in zip(heads, bodies, strict=True):
        line, *headers = head.strip().split("\r\n")
        fields = dict(one.split(": ", 1) for one in headers)
        marker = body.decode()[10:-2]
        assert len(marker) == 29
        assert fields["X-Marker"] == marker
        assert fields["Content-Type"] == "application/json"
        room = "a%20b" if fields["X-Room"] == "<a b>" else "%C3%BC"
        assert line == f"POST /{room}?m={marker} HTTP/1.1"
    assert not result.summary.faults


def test_what_is_refused_is_a_fault_and_unanswered():
    async def answer(writer, head, body):
        if head.startswith(b"POST /1"):
            writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno")
        else:
            ok(writer)

    result, tally = together(a=against(answer, messages=20))["a"]
    assert (tally.sent, tally.answered, tally.unanswered) == (20, 10, 10)
    assert result.summary.faults == {"publish-failed:500": 10}
    assert tally.response_time_ns.count == 10


def test_a_connection_that_is_lost_is_made_anew_at_once():
    seen = []

    async def answer(writer, head, body):
        seen.append(body)
        if len(seen) % 5 == 0:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            writer.close()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def closing(writer, head, body):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall is well")
        writer.close()

    found = together(middle=against(answer, publishers=1), orderly=against(closing, publishers=1))
    result, tally = found["middle"]
    assert tally.sent == len(seen) == 30
    assert len(set(seen)) == 30
    assert (tally.answered, tally.unanswered) == (24, 6)
    assert result.summary.faults == {"publish-failed:closed": 6}
    result, tally = found["orderly"]
    assert tally.answered == 30
    assert not result.summary.faults


def test_messages_wait_while_one_is_in_flight():
    async def answer(writer, head, body):
        await asyncio.sleep(0.03)
        ok(writer)

    result, tally = together(a=against(answer, publishers=1, messages=10))["a"]
    assert tally.answered == 10
    assert not result.summary.faults
    # One each 10 ms is due, and each takes 30 ms.
    assert tally.response_time_ns.max > 10 * 20_000_000
    assert tally.service_time_ns.min >= 25_000_000


def test_a_server_that_does_not_answer_or_is_not_there():
    async def silent(writer, head, body):
        await asyncio.sleep(30)

    nowhere = f"POST http://127.0.0.1:{free_port()}/"
    options = {"messages": 4, "publishers": 1, "timeout": "300ms"}
    found = together(silent=against(silent, **options), nowhere=published(nowhere, **options))
    result, tally = found["silent"]
    assert tally.sent == tally.unanswered >= 1
    assert tally.due == tally.sent + tally.dropped == 4
    assert 1 <= result.summary.faults["publish-failed:timeout"] <= tally.sent
    result, tally, _ = found["nowhere"]
    assert (tally.due, tally.sent, tally.dropped) == (4, 0, 4)
    assert result.summary.faults["publish-failed:connect"] >= 1
