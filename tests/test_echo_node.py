"""The echo server as one of several nodes: its name, and how it goes away."""

import asyncio
import subprocess
import sys

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from ws_load_test.common.errors import UsageError
from ws_load_test.echo import EchoServer, NodeOptions

MS = 10**6


async def ended_by(server, count):
    """Close codes and times in seconds, in their order, of sessions that a server ends when it is left."""
    loop, ends = asyncio.get_running_loop(), []

    async def follow(client):
        try:
            await client.recv()
        except ConnectionClosed as closed:
            ends.append((closed.rcvd.code if closed.rcvd else 1006, loop.time()))

    async with server:
        clients = [await connect(server.url, close_timeout=0.1) for _ in range(count)]
        following = [asyncio.create_task(follow(client)) for client in clients]
        await asyncio.sleep(0)
    await asyncio.gather(*following)
    return ends


@pytest.mark.parametrize("code", [1001, 1012, 4000, 1006])
def test_sessions_end_with_the_code_that_is_asked_for(code):
    ends = asyncio.run(ended_by(EchoServer(node=NodeOptions(close_code=code)), 3))
    assert [code for code, _ in ends] == [code] * 3


def test_a_drain_spreads_the_closes():
    ends = asyncio.run(ended_by(EchoServer(node=NodeOptions(drain_ns=300 * MS)), 4))
    assert [code for code, _ in ends] == [1001] * 4
    assert ends[-1][1] - ends[0][1] >= 0.2


@pytest.mark.parametrize("code", [0, 1005, 1015, 2999, 5000])
def test_codes_that_cannot_be_sent_are_refused(code):
    with pytest.raises(UsageError, match=f"close code {code} cannot be sent"):
        EchoServer(node=NodeOptions(close_code=code))


@pytest.mark.parametrize("name", ["", "blue"])
def test_the_upgrade_names_the_node_if_asked_to(name):
    async def names():
        async with EchoServer(node=NodeOptions(name)) as server:
            port = server.url.rsplit(":", 1)[1].rstrip("/")
            for query, expected in (("?node", name or port), ("?node&delay=1ms", name or port), ("", None)):
                async with connect(server.url + query) as client:
                    assert client.response.headers.get("X-Node") == expected
                    await client.send("a")
                    assert await client.recv() == "a"

    asyncio.run(names())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--close-code", "999"], "close code 999 cannot be sent"), (["--drain", "soon"], '--drain: "soon"')],
)
def test_wrong_options_are_a_sentence(arguments, text):
    ended = subprocess.run(
        [sys.executable, "-m", "ws_load_test.echo", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert text in ended.stderr
    assert ended.stderr.count("\n") == 1
