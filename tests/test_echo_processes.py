"""One echo server of several processes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from ws_load_test.common.errors import UsageError
from ws_load_test.echo import EchoProcess

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel must spread connections over listeners"),
    pytest.mark.real_programs,
]
PROGRAM = [sys.executable, "-m", "ws_load_test.echo"]


def exchange(url, count, **options):
    """Opens `count` connections at once, and sends a message over each."""

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connect(url, **options)) for _ in range(count)]
            for connection in connections:
                await connection.send("hello")
                assert await connection.recv() == "hello"

    asyncio.run(main())


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def refuses(url):
    host, port = url.split("/")[2].rsplit(":", 1)
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port))):
        return False
    return True


def until(true, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_processes_share_the_connections_and_add_up_their_counts():
    with EchoProcess(processes=3) as echo:
        assert len(set(echo.pids)) == 3
        assert echo.failure() is None
        exchange(echo.url, 60)
        shares = [_counts_of(child) for child in echo._children]
        assert all(share["connections"] for share in shares), shares
        counts = echo.counts()
        assert (counts.connections, counts.messages, counts.bytes) == (60, 60, 300)
        assert counts.cpu_s >= sum(share["cpu_s"] for share in shares)
        url = echo.url
    assert refuses(url)


def _counts_of(child):
    child.stdin.write("counts\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def test_processes_share_a_certificate_and_leave_no_key_behind():
    with EchoProcess(processes=2, tls=True) as echo:
        assert [path.name for path in echo.ca_path.parent.iterdir()] == ["ca.pem"]
        exchange(echo.url, 20, ssl=ssl.create_default_context(cafile=echo.ca_path))
        assert all(_counts_of(child)["connections"] for child in echo._children)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_that_is_shared_already_is_not_joined(processes):
    with EchoProcess(processes=2) as echo:
        port = int(echo.url.rstrip("/").rsplit(":", 1)[1])
        with (
            pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is already in use"),
            EchoProcess(processes=processes, port=port),
        ):
            pass


def test_a_process_that_dies_is_named():
    with EchoProcess(processes=2) as echo:
        os.kill(echo.pids[1], signal.SIGKILL)
        until(lambda: echo.failure() is not None)
        assert echo.failure() == (f"process {echo.pids[1]}, one of the 2 of the echo server, was killed (SIGKILL)")
        with pytest.raises(ConnectionError):
            echo.counts()


@pytest.mark.parametrize("number", [0, -1])
def test_there_must_be_a_process(number):
    with pytest.raises(UsageError, match="start at least 1"):
        EchoProcess(processes=number)


@pytest.fixture(params=["echo", "ws-load-test echo"])
def program(request):
    """The program, by both its names, with 2 processes; stopped with all that it has started."""
    command = PROGRAM if request.param == "echo" else [sys.executable, "-m", "ws_load_test", "echo"]
    with subprocess.Popen(
        [*command, "--port", "0", "--processes", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        yield started
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_of_them(program, stop):
    url = program.stdout.readline().strip()
    exchange(url, 4)
    assert len(children_of(program.pid)) == 2
    os.killpg(program.pid, stop)  # a terminal's Ctrl-C goes to every process
    assert program.communicate(timeout=60) == ("", "")
    assert program.returncode == 0
    assert refuses(url)


def test_one_that_dies_ends_the_others(program):
    url = program.stdout.readline().strip()
    [first, _] = children_of(program.pid)
    os.kill(first, signal.SIGKILL)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 2
    assert said.endswith(
        f"process {first}, one of the 2 of the echo server, was killed (SIGKILL); "
        "the others have been stopped, since its connections are lost\n"
    )
    assert refuses(url)


def test_none_outlives_the_program(program):
    url = program.stdout.readline().strip()
    program.kill()
    until(lambda: refuses(url))


def test_standard_input_asks_all_of_them_and_ends_them():
    command = [*PROGRAM, "--processes", "2", "--follow-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        url = program.stdout.readline().strip()
        exchange(url, 10)
        program.stdin.write("counts\n")
        program.stdin.flush()
        assert json.loads(program.stdout.readline())["connections"] == 10
        program.stdin.close()
        assert program.wait(60) == 0
    assert refuses(url)


def test_the_certificate_is_written_for_all(tmp_path):
    path = tmp_path / "ca.pem"
    command = [*PROGRAM, "--processes", "2", "--follow-stdin", "--tls", "--write-ca", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        exchange(program.stdout.readline().strip(), 4, ssl=ssl.create_default_context(cafile=path))
        program.stdin.close()


# --- rooms over several processes ---


@contextlib.asynccontextmanager
async def in_all_processes(echo, query):
    """Sessions of a room, as many as it takes for each process to have some; with their numbers by process."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        while True:
            session = connect(f"{echo.url}?{query}", compression=None, max_queue=None)
            opened.append(await stack.enter_async_context(session))
            shares = [json.loads(line)["members"] for line in echo._ask("rooms")]
            if all(shares):
                break
            assert len(opened) < 200
        yield opened, shares


async def arrived(session):
    await (await session.ping())
    return len(session.recv_messages.frames)


async def until_all_have(sessions, count):
    async with asyncio.timeout(60):
        while [await arrived(session) for session in sessions] != [count] * len(sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_what_is_published_in_one_process_reaches_the_members_in_all():
    async def main():
        async with in_all_processes(echo, "room=a") as (sessions, shares):
            for number in range(20):
                for session in (sessions[0], sessions[-1]):
                    await session.send(f"{sessions.index(session)} {number}")
            await until_all_have(sessions, 40)
            for session in sessions:
                came = [await session.recv() for _ in range(40)]
                for publisher in (0, len(sessions) - 1):
                    own = [text for text in came if text.startswith(f"{publisher} ")]
                    assert own == [f"{publisher} {number}" for number in range(20)]
        return sum(shares)

    with EchoProcess(processes=3) as echo:
        members = asyncio.run(main())
        report = echo.rooms()
        assert report.total.published == 40
        assert report.total.due == report.total.deliveries == 40 * members


def test_the_rooms_of_several_nodes_are_not_shared():
    async def main():
        async with in_all_processes(echo, "room=a&nodes=2&fan-delay=1us") as (sessions, shares):
            await sessions[0].send("x")
            reached = sum(-(-share // 2) for share in shares)
            async with asyncio.timeout(60):
                while sum([await arrived(session) for session in sessions]) < reached:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        return sum(shares), reached

    with EchoProcess(processes=2) as echo:
        members, reached = asyncio.run(main())
        report = echo.rooms().rooms["a"]
        assert (report.due, report.deliveries, report.unreached) == (members, reached, members - reached)


def test_http_sums_the_counts_of_all_processes_and_starts_them_anew():
    async def main():
        async with in_all_processes(echo, "room=a") as (sessions, _):
            host, port = echo.url.split("/")[2].rsplit(":", 1)

            def request(method, target, body=None):
                with contextlib.closing(HTTPConnection(host, int(port), timeout=30)) as connection:
                    connection.request(method, target, body)
                    return connection.getresponse().read()

            await asyncio.to_thread(request, "POST", "/publish?room=a", b"posted")
            await until_all_have(sessions, 1)
            counts = json.loads(await asyncio.to_thread(request, "GET", "/rooms?reset"))
            assert counts["members"] == counts["deliveries"] == counts["rooms"]["a"]["due"] == len(sessions)
            counts = json.loads(await asyncio.to_thread(request, "GET", "/rooms"))
            assert (counts["members"], counts["deliveries"]) == (len(sessions), 0)

    with EchoProcess(processes=3) as echo:
        asyncio.run(main())


def test_a_session_gets_what_was_published_before_in_another_process():
    async def main():
        async with connect(f"{echo.url}?room=a&replay=1m") as first:
            await first.send("early")
            assert await first.recv() == "early"
            async with in_all_processes(echo, "room=a&replay=1m") as (sessions, shares):
                await until_all_have(sessions, 1)
                assert [await session.recv() for session in sessions] == ["early"] * len(sessions)
                return sum(shares)

    with EchoProcess(processes=2) as echo:
        assert asyncio.run(main()) - 1 == echo.rooms().total.replayed
