"""The echo server against an independent client."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ws_load_test.common.errors import UsageError
from ws_load_test.echo import EchoProcess, EchoServer, fault_injection, service_limit
from ws_load_test.echo.fault_injection import FaultyEcho, LimitedEcho
from ws_load_test.echo.service_limit import ServiceLimit
from ws_load_test.websocket import frames as ws_frames

pytestmark = pytest.mark.real_programs


def with_server(client, **options):
    """Run `client(server)` against a server in the same loop."""

    async def main():
        async with EchoServer(**options) as server:
            async with asyncio.timeout(60):
                return await client(server)

    return asyncio.run(main())


def with_connection(client, query="", **options):
    """Run `client(connection, server)` over one connection."""

    async def main(server):
        async with connect(server.url + query, max_size=None, compression=None, ping_interval=None) as connection:
            return await client(connection, server)

    return with_server(main, **options)


async def upgraded(server, target="/", headers="Connection: Upgrade\r\n"):
    """A connection upgraded by hand: what a client library would not send can be sent over it."""
    host, port = server.url.removeprefix("ws://").rstrip("/").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n{headers}"
        f"Sec-WebSocket-Key: {ws_frames.new_key()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    response = await reader.readuntil(b"\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 101 "), response
    return reader, writer


async def raw(server, frames, **options):
    """Send `frames` over a connection of its own and return all bytes that come back after the upgrade."""
    reader, writer = await upgraded(server, **options)
    try:
        writer.write(frames)
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def client_frame(opcode, payload=b"", **options):
    return ws_frames.encode_frame(opcode, payload, mask=b"\x01\x02\x03\x04", **options)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1_000_000])
def test_echoes_text_and_binary_of_every_length_encoding(size):
    async def client(connection, server):
        for message in ("x" * size, os.urandom(size)):
            await connection.send(message)
            assert await connection.recv() == message
        assert (server.connections, server.open, server.messages, server.bytes) == (1, 1, 2, 2 * size)

    with_connection(client)


def test_puts_fragments_together_with_a_ping_answered_in_between():
    async def client(server):
        sent = client_frame(ws_frames.TEXT, b"on", fin=False) + client_frame(ws_frames.PING, b"?")
        sent += client_frame(ws_frames.CONTINUATION, b"e", fin=False) + client_frame(ws_frames.CONTINUATION, b"")
        sent += client_frame(ws_frames.BINARY, b"two") + client_frame(ws_frames.CLOSE, ws_frames.close_payload(1000))
        assert await raw(server, sent) == (
            ws_frames.encode_frame(ws_frames.PONG, b"?")
            + ws_frames.encode_frame(ws_frames.TEXT, b"one")
            + ws_frames.encode_frame(ws_frames.BINARY, b"two")
            + ws_frames.encode_frame(ws_frames.CLOSE, ws_frames.close_payload(1000))
        )
        assert (server.messages, server.bytes) == (2, 6)
        assert (server.connections, server.open) == (1, 0)

    with_server(client)


@pytest.mark.parametrize(("sent", "answered"), [(ws_frames.TEXT, ws_frames.TEXT), (ws_frames.PING, ws_frames.PONG)])
def test_replies_of_one_read_leave_together(sent, answered):
    async def client(server):
        reader, writer = await upgraded(server)
        for payload in (b"first", b"second"):
            writer.write(client_frame(sent, payload) * 50)
            assert (
                await reader.read(1 << 16) == ws_frames.encode_frame(answered, payload) * 50
            )  # one read gets them all
        writer.close()
        await writer.wait_closed()

    with_server(client)


def test_answers_pings():
    async def client(connection, server):
        assert await (await connection.ping(b"payload")) >= 0

    with_connection(client)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (ws_frames.close_payload(1000), ws_frames.close_payload(1000)),
        (ws_frames.close_payload(1011, "why"), ws_frames.close_payload(1011)),
        (ws_frames.close_payload(4321), ws_frames.close_payload(4321)),
        (b"", b""),
        (ws_frames.close_payload(1006), ws_frames.close_payload(1002)),
    ],
)
def test_answers_close_with_the_same_code_and_closes(sent, answered):
    async def client(server):
        after = client_frame(ws_frames.TEXT, b"too late")
        assert await raw(server, client_frame(ws_frames.CLOSE, sent) + after) == ws_frames.encode_frame(
            ws_frames.CLOSE, answered
        )

    with_server(client)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (client_frame(ws_frames.TEXT, b"x", rsv=0x40), 1002),
        (client_frame(ws_frames.CONTINUATION, b"x"), 1002),
        (client_frame(ws_frames.TEXT, b"x", fin=False) + client_frame(ws_frames.TEXT, b"y"), 1002),
        (ws_frames.encode_frame(ws_frames.TEXT, b"no mask"), 1002),
        (client_frame(0x3, b"x"), 1002),
    ],
)
def test_closes_on_broken_frames(frames, code):
    async def client(server):
        answer = await raw(server, frames)
        assert answer[0] == ws_frames.FIN | ws_frames.CLOSE
        assert int.from_bytes(answer[2:4]) == code
        assert server.messages == 0

    with_server(client)


def test_accepts_the_connection_header_as_a_list():
    async def client(server):
        answer = await raw(server, client_frame(ws_frames.CLOSE), headers="Connection: keep-alive, Upgrade\r\n")
        assert answer == ws_frames.encode_frame(ws_frames.CLOSE)

    with_server(client)


def test_a_client_that_does_not_read_cannot_fill_the_memory():
    async def client(server):
        _, writer = await upgraded(server)
        one = client_frame(ws_frames.BINARY, bytes(1 << 20))
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(0.3):
                for _ in range(200):
                    writer.write(one)
                    await writer.drain()
        assert server.messages < 50  # what fits the kernel's buffers, not the 200 MB
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    with_server(client)


def test_stopping_closes_with_1001():
    async def main():
        async with EchoServer() as server:
            connection = await connect(server.url)
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd.code == 1001
        await connection.close()

    asyncio.run(main())


def test_tls_with_a_certificate_made_on_the_spot():
    async def client(server):
        assert server.url.startswith("wss://127.0.0.1:")
        context = ssl.create_default_context(cadata=server.ca_pem.decode())
        async with connect(server.url, ssl=context) as connection:
            await connection.send("secret")
            assert await connection.recv() == "secret"
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server.url)
        localhost = server.url.replace("127.0.0.1", "localhost")
        async with connect(localhost, ssl=context, host="127.0.0.1") as connection:
            await connection.send("by name")
            assert await connection.recv() == "by name"

    with_server(client, tls=True)


# --- faults on request ---


def test_delay_keeps_order_and_is_never_early():
    async def client(connection, server):
        sent = []
        for number in range(3):
            sent.append(time.monotonic())
            await connection.send(str(number))
            await asyncio.sleep(0.01)
        for number in range(3):
            assert await connection.recv() == str(number)
            assert time.monotonic() - sent[number] >= 0.04

    with_connection(client, "?delay=40ms")


@pytest.mark.parametrize("query", ["?limit=5k", "?limit=5k&fragment=1"])
def test_a_limit_echoes_whatever_comes(query):
    async def client(connection, server):
        big = os.urandom(70_000)
        for message in ("text", b"binary", big, ["in ", "two"]):
            await connection.send(message)
        for message in ("text", b"binary", big, "in two"):
            assert await connection.recv() == message
        assert await (await connection.ping(b"payload")) >= 0
        assert (server.messages, server.bytes) == (4, 4 + 6 + 70_000 + 6)

    with_connection(client, query)


@pytest.mark.parametrize("more", ["", "&fragment=1"])
def test_a_limit_is_shared_by_connections_and_first_in_is_first_out(more, monkeypatch):
    # Noted where the server takes and answers: which of two replies is read first, the client's loop decides.
    events = []
    taken, limit = [], ServiceLimit.enqueue

    def enqueue(self, connection, opcode, payload):
        if self._gap_ns == 1e9 / 200:
            taken.append((id(connection), payload))
            events.append(("taken", time.monotonic()))
        limit(self, connection, opcode, payload)

    answered = []
    for kind in (LimitedEcho, FaultyEcho):

        def answer_now(self, opcode, payload, answer=kind.answer_now):
            answered.append((id(self), payload))
            events.append(("answered", time.monotonic()))
            answer(self, opcode, payload)

        monkeypatch.setattr(kind, "answer_now", answer_now)
    monkeypatch.setattr(ServiceLimit, "enqueue", enqueue)

    async def client(server):
        url = f"{server.url}?limit=200{more}"
        async with connect(url) as one, connect(url) as other, connect(f"{server.url}?limit=1k") as free:
            for number in range(20):
                await one.send(str(number))
                await other.send(str(number))
            for connection in (one, other):
                assert [await connection.recv() for _ in range(20)] == [str(number) for number in range(20)]
            assert answered == taken, "one queue"
            assert len({connection for connection, _ in taken}) == 2
            await free.send("not in that queue")
            assert await free.recv() == "not in that queue"

    with_server(client)
    assert len(taken) == 40
    assert [name for name, _ in events[:2]] == ["taken", "answered"], "the first waits for no other"
    after_s = [at - events[0][1] for name, at in events if name == "answered"][:40]
    # Each waits for those before it: by arithmetic, so never early, and late by no more than the machine is busy.
    assert all(after >= number / 200 - 1e-6 for number, after in enumerate(after_s))
    assert after_s[-1] < 30


@pytest.mark.parametrize("query", ["?limit=20&reset&after=3", "?limit=20"])
def test_a_client_that_leaves_frees_the_places_and_the_limit_goes_on(query):
    async def client(server):
        async with connect(server.url + query) as leaving:
            for number in range(100):
                await leaving.send(str(number))
        start = time.monotonic()
        # Not behind what was sent by who has left, which would take five seconds.
        async with connect(f"{server.url}?limit=20") as staying, asyncio.timeout(60):
            for text in ("1", "2", "3"):
                await staying.send(text)
                assert await staying.recv() == text
        return time.monotonic() - start

    assert with_server(client) < 4


@pytest.mark.parametrize("query", ["?delay=50ms&reset&after=1", "?limit=20&delay=50ms&reset&after=1"])
def test_a_reset_that_is_due_after_the_client_has_left_is_none(query):
    async def client(server):
        failed = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context))
        async with connect(server.url + query) as leaving, connect(f"{server.url}?delay=60ms") as staying:
            await leaving.send("x")
            await leaving.close()
            await staying.send("y")
            assert await staying.recv() == "y"
        return failed

    assert with_server(client) == []


def test_a_connection_that_fails_at_its_turn_takes_no_other_with_it():
    class Connection:
        gone = False

        def __init__(self, error=None):
            self.error, self.answered, self.flushed = error, [], asyncio.Event()

        def answer_now(self, _opcode, payload):
            if self.error is not None:
                raise self.error
            self.answered.append(payload)

        def answered_all(self):
            self.flushed.set()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        limit, bad, good = ServiceLimit(100), Connection(OSError(9, "closed")), Connection()
        for connection, payload in ((good, b"1"), (bad, b"2"), (good, b"3")):
            limit.enqueue(connection, ws_frames.TEXT, payload)
        await asyncio.wait_for(good.flushed.wait(), 60)
        return good.answered

    assert asyncio.run(main()) == [b"1", b"3"]


def test_a_server_that_stops_leaves_no_timer_of_its_limits():
    async def main():
        async with EchoServer() as server, connect(f"{server.url}?limit=0.1") as connection:
            for _ in range(3):
                await connection.send("x")
            await connection.recv()
            await (await connection.ping())  # the others have come by then
            timer = server.limits[0.1]._timer
        return timer.cancelled(), server.limits

    assert asyncio.run(main()) == (True, {})


def test_a_limit_that_is_not_reached_delays_no_reply(monkeypatch):
    waited = []
    monkeypatch.setattr(ServiceLimit, "_wake_at", lambda *at: waited.append(at))

    async def client(connection, server):
        for _ in range(3):
            await asyncio.sleep(0.06)
            await connection.send("hello")
            assert await connection.recv() == "hello"
        assert not waited, "answered at once, without a timer"

    with_connection(client, "?limit=20")


def test_a_client_that_leaves_the_queue_delays_no_other():
    async def client(server):
        url = f"{server.url}?limit=500"
        async with connect(url) as stays:
            async with connect(url) as leaves:
                for _ in range(20):
                    await leaves.send("x")
            await stays.send("hello")
            assert await stays.recv() == "hello"

    with_server(client)


def test_silent_drops_its_share_evenly():
    async def client(connection, server):
        for number in range(8):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(6)] == ["0", "1", "2", "4", "5", "6"]

    with_connection(client, "?silent=0.25")


def test_push_sends_unrequested_messages():
    async def client(connection, server):
        assert [await connection.recv() for _ in range(5)] == [f"push {number}" for number in range(5)]
        assert server.messages == 0

    with_connection(client, "?push=1000")


def test_fragment_splits_replies():
    async def client(server):
        sent = client_frame(ws_frames.TEXT, b"abcdefg") + client_frame(ws_frames.CLOSE)
        assert await raw(server, sent, target="/?fragment=3") == (
            ws_frames.encode_frame(ws_frames.TEXT, b"abc", fin=False)
            + ws_frames.encode_frame(ws_frames.CONTINUATION, b"def", fin=False)
            + ws_frames.encode_frame(ws_frames.CONTINUATION, b"g")
            + ws_frames.encode_frame(ws_frames.CLOSE)
        )

    with_server(client)


@pytest.mark.parametrize("after", [0, 2])
def test_close_after_replies(after):
    async def client(connection, server):
        with pytest.raises(ConnectionClosed) as caught:  # noqa: PT012
            for number in range(after + 1):
                await connection.send(str(number))
                assert await connection.recv() == str(number)
        assert caught.value.rcvd.code == 1011
        assert server.messages == after

    with_connection(client, f"?close=1011&after={after}")


def test_reset_after_replies():
    async def client(server):
        sent = client_frame(ws_frames.TEXT, b"x")
        with pytest.raises(ConnectionResetError):
            await raw(server, sent, target="/?reset&after=1")
        assert server.messages == 1

    with_server(client)


@pytest.mark.parametrize("status", [200, 403, 503])
def test_status_refuses_the_upgrade(status):
    async def client(server):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.url}?status={status}", process_exception=lambda error: error)
        assert caught.value.response.status_code == status
        assert server.connections == 0

    with_server(client)


def test_status_redirects_to_the_plain_echo():
    async def client(server):
        async with connect(server.url + "?status=302") as connection:
            assert connection.request.path == "/"

    with_server(client)


def test_ping_counts_pongs():
    async def client(connection, server):
        while server.pongs < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    with_connection(client, "?ping=5ms")


def test_ping_closes_with_1011_when_no_pong_comes():
    async def client(server):
        assert await raw(server, b"", target="/?ping=5ms") == (
            ws_frames.encode_frame(ws_frames.PING, b"0")
            + ws_frames.encode_frame(ws_frames.CLOSE, ws_frames.close_payload(1011, "no pong came"))
        )

    with_server(client)


@pytest.mark.parametrize(
    "query",
    [
        "delay=soon",
        "silent=2",
        "limit=0",
        "push=x",
        "fragment=0",
        "ping=0s",
        "close=12",
        "reset=1",
        "after=-1",
        "status=299",
        "stream=0",
        "gap=1ms",
    ],
)
def test_a_query_that_cannot_be_used_is_answered_with_400(query):
    async def client(server):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.url}?{query}")
        assert caught.value.response.status_code == 400
        assert query.split("=")[0].encode() in caught.value.response.body

    with_server(client)


def test_unknown_options_are_left_alone():
    async def client(connection, server):
        await connection.send("hello")
        assert await connection.recv() == "hello"

    with_connection(client, "?token=abc")


# --- users' mistakes ---


def test_an_address_in_use_is_a_usage_error():
    async def client(server):
        port = int(server.url.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is already in use"):
            async with EchoServer(port=port):
                pass

    with_server(client)


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("127.0.0.1", 70000, "port 70000 does not exist"),
        ("192.0.2.1", 0, "not an address of this machine"),
        ("no such host", 0, "does not resolve"),
    ],
)
def test_addresses_that_cannot_be_used(host, port, text):
    async def main():
        async with EchoServer(host, port):
            pass

    with pytest.raises(UsageError, match=text):
        asyncio.run(main())


# --- in a process of its own ---


def exchange(url, message="hello", **options):
    async def main():
        async with websockets.connect(url, **options) as connection:
            await connection.send(message)
            return await connection.recv()

    return asyncio.run(main())


def test_echo_process_serves_counts_and_stops():
    with EchoProcess() as echo:
        assert exchange(echo.url) == "hello"
        counts = echo.counts()
        assert (counts.connections, counts.messages, counts.bytes) == (1, 1, 5)
        assert counts.cpu_s > 0
    with pytest.raises(ConnectionError):
        echo.counts()


def test_echo_process_with_tls_leaves_no_file():
    with EchoProcess(tls=True) as echo:
        path = echo.ca_path
        assert exchange(echo.url, ssl=ssl.create_default_context(cafile=path)) == "hello"
        assert b"PRIVATE KEY" not in path.read_bytes()
    assert not path.parent.exists()


def test_echo_process_says_why_it_cannot_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is already in use"),
            EchoProcess(port=port),
        ):
            pass


def test_the_program_ends_cleanly_on_sigterm():
    command = [sys.executable, "-m", "ws_load_test.echo", "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline().startswith(b"ws://127.0.0.1:")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, b"", b"")


def test_echo_process_ends_when_its_parent_is_killed():
    parent = (
        "import time; from ws_load_test.echo import EchoProcess\n"
        "echo = EchoProcess(); echo.__enter__(); print(echo.url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline().strip().rstrip("/").rsplit(":", 1)[1])
        process.kill()
    until = time.monotonic() + 60
    with pytest.raises(ConnectionRefusedError):  # noqa: PT012
        while time.monotonic() < until:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.01)


def test_without_uvloop_plain_asyncio_serves():
    program = (
        "import sys; sys.modules['uvloop'] = None\n"
        "from ws_load_test.echo.__main__ import main; sys.exit(main(['--follow-stdin']))"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert exchange(child.stdout.readline().strip()) == "hello"
        child.stdin.close()
        assert child.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of another process in /proc")
def test_echo_process_raises_its_limit_of_open_files():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        with EchoProcess() as echo, Path(f"/proc/{echo.pid}/limits").open() as limits:
            line = next(line for line in limits if line.startswith("Max open files"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert line.split()[3] == line.split()[4]


# --- What a client can take -----------------------------------------------------------------------------------------


async def buffered_bytes(server, query, frames):
    """What waits to be written, while one client floods and reads nothing, and another is served."""
    _, writer = await upgraded(server, "/" + query)
    try:
        writer.write(frames)
        async with connect(server.url, compression=None) as other:
            for _ in range(5):
                await other.send("x")
                assert await other.recv() == "x"
        await asyncio.sleep(0.1)
        return max(transport.get_write_buffer_size() for transport in server.transports)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("query", "frames"),
    [
        ("?push=1e7", b""),
        ("?fragment=1000", client_frame(1, b"x") * 50_000),
        ("?fragment=1000&delay=1ms", client_frame(1, b"x") * 50_000),
        ("", client_frame(9) * 200_000),
    ],
    ids=["push", "fragment", "fragment-delay", "ping"],
)
def test_a_client_that_does_not_read_takes_neither_memory_nor_the_others_time(query, frames):
    async def client(server):
        return await buffered_bytes(server, query, frames)

    assert with_server(client) < 2_000_000


@pytest.mark.parametrize("query", ["?delay=1h", "?limit=1", "?limit=1&delay=1ms"])
def test_messages_that_wait_for_their_replies_are_bounded(query, monkeypatch):
    monkeypatch.setattr(fault_injection, "MAX_QUEUED_BYTES", 100_000)

    async def client(server):
        _, writer = await upgraded(server, "/" + query)
        writer.write(client_frame(1, b"x") * 100_000)
        await until(lambda: server.queued_bytes > 100_000)
        messages = server.messages
        await asyncio.sleep(0.05)
        assert server.messages == messages
        # What had been read before reading stopped comes on top.
        assert server.queued_bytes < 100_000 + 201 * 2048
        writer.transport.abort()

    with_server(client)


def test_messages_that_wait_leave_with_their_client(monkeypatch):
    monkeypatch.setattr(service_limit, "MAX_DEAD_BYTES", 50_000)

    async def client(server):
        _, writer = await upgraded(server, "/?limit=1")
        writer.write(client_frame(1, b"x") * 1000)
        await until(lambda: server.messages == 1000)
        writer.transport.abort()
        await until(lambda: not server.open)
        assert server.queued_bytes == 0
        assert not any(limit._queue for limit in server.limits.values())

    with_server(client)


def test_a_client_is_read_again_once_its_messages_have_their_replies(monkeypatch):
    monkeypatch.setattr(fault_injection, "MAX_QUEUED_BYTES", 10_000)

    async def client(connection, server):
        for number in range(1000):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(1000)] == [str(number) for number in range(1000)]
        assert server.queued_bytes == 0

    with_connection(client, "?delay=1ms")


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing else says so
            await asyncio.sleep(0.005)
