"""From an address to an open session, against real servers: where we connect, what we ask, how long it took."""

import asyncio
import base64
import contextlib
import socket
import threading

import pytest

from ws_load_test.common.errors import UsageError
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.upgrade_request import DialError
from ws_load_test.plan.options.catalog import PARSERS
from ws_load_test.plan.options.target import read_target
from ws_load_test.plan.plan import Plan
from ws_load_test.testing import FaultyServer, Peer, ServerObservations, behaviors, unused_port

try:
    from uvloop import new_event_loop as new_loop
except ImportError:  # there are no wheels for Windows
    from asyncio import new_event_loop as new_loop

# libuv makes a pipe for signals with its first loop, and keeps it.
new_loop().close()
SECRET = "hush-hush"


def plan_of(*urls, connect_timeout_ns=2 * 10**9, bind=(), **options):
    values = {name: PARSERS[name](value) for name, value in {"url": list(urls), **options}.items()}
    problems = []
    target = read_target(values, problems)
    assert not problems
    return Plan(target=target, connect_timeout_ns=connect_timeout_ns, bind=bind, connections=8)


class Opened(asyncio.Protocol):
    """Stands for a session: takes over, and closes."""

    def __init__(self):
        self.gone = asyncio.get_running_loop().create_future()
        self.deflate = None
        self.transport = None

    def attach(self, transport, sock, *, secure, early, deflate=None):
        self.transport, self.secure, self.early, self.deflate = transport, secure, early, deflate

    def connection_lost(self, exc):
        self.gone.set_result(None)

    async def close(self):
        self.transport.abort()
        await self.gone


async def dial(dialler, number=0, fill=None):
    """Dials, closes, and tells what it took."""
    session = Opened()
    took = await dialler.dial(session, number, fill)
    await session.close()
    return took


def dialled(plan, count=1, fill=None, loop=new_loop):
    """Dials so many sessions, one after another."""

    async def main():
        dialler = Dialer(plan)
        await dialler.resolve()
        return [await dial(dialler, number, fill and fill(number)) for number in range(count)]

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(main(), 10))


def fault_of(plan, fill=None, loop=new_loop):
    with pytest.raises(DialError) as caught:
        dialled(plan, fill=fill, loop=loop)
    assert SECRET not in caught.value.fault.text
    assert caught.value.fault.text.isprintable()
    return caught.value.fault


@contextlib.contextmanager
def listener(handle, **where):
    """A server in a thread of its own; `handle` gets a reader and a writer for each connection."""
    ready, stop, errors = threading.Event(), [], []

    async def serve():
        tasks, stopped = set(), asyncio.Event()

        async def converse(reader, writer):
            tasks.add(asyncio.current_task())
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(reader, writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            tasks.discard(asyncio.current_task())

        start = asyncio.start_unix_server if "path" in where else asyncio.start_server
        server = await start(converse, **(where if "path" in where else {"host": "127.0.0.1", "port": 0, **where}))
        stop.append((asyncio.get_running_loop(), stopped, server.sockets[0].getsockname()))
        ready.set()
        await stopped.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)

    def run():
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield stop[0][2]
    finally:
        if stop:
            stop[0][0].call_soon_threadsafe(stop[0][1].set)
        thread.join()
        assert not errors


# --- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", [new_loop, asyncio.new_event_loop], ids=["ours", "asyncio"])
def test_what_it_took_is_reported_by_phases(loop):
    async def slow(peer):
        await peer.read_request()
        await asyncio.sleep(0.05)
        await peer.upgrade()
        await peer.until_gone()

    with FaultyServer(slow) as server:
        (took,) = dialled(plan_of(server.url), loop=loop)
    assert took.upgrade_ns >= 45_000_000
    assert took.tcp_ns > 0
    assert (took.proxy_ns, took.tls_ns, took.tls_resumed) == (None, None, False)
    assert took.total_ns >= took.tcp_ns + took.upgrade_ns


def test_a_name_is_looked_up_once_and_its_time_kept():
    async def main(plan):
        dialler = Dialer(plan)
        await dialler.resolve()
        before = dict(dialler.resolved_ns)
        for number in range(3):
            await dial(dialler, number)
        return before, dialler.resolved_ns

    with FaultyServer(behaviors.echoes) as server:
        before, after = asyncio.run(main(plan_of(f"ws://localhost:{server.port}/")))
        assert before == after
        assert list(after) == ["localhost"]
        assert after["localhost"] > 0
        numbers = asyncio.run(main(plan_of(server.url)))
    assert numbers == ({}, {}), "there is nothing to look up"


# --- where to ----------------------------------------------------------------------------------------------------


def test_several_urls_take_turns():
    with FaultyServer(behaviors.echoes) as one, FaultyServer(behaviors.echoes) as other:
        dialled(plan_of(one.url + "a", other.url + "b", one.url + "c"), 7)
        assert [request.target for request in one.seen.requests] == ["/a", "/c", "/a", "/c", "/a"]
        assert [request.target for request in other.seen.requests] == ["/b", "/b"]


def test_addresses_take_turns_and_the_host_stays_the_urls():
    with FaultyServer(behaviors.echoes) as one, FaultyServer(behaviors.echoes) as other:
        addresses = [f"127.0.0.1:{one.port}", f"localhost:{other.port}"]
        dialled(plan_of("ws://service.example:81/a", "ws://service.example:81/b", connect_to=addresses), 4)
        assert [request.target for request in one.seen.requests] == ["/a", "/b"], "every URL on every address"
        assert [request.target for request in other.seen.requests] == ["/a", "/b"]
        assert {request.headers["host"] for request in one.seen.requests} == {"service.example:81"}


def test_an_address_without_a_port_has_the_urls():
    with FaultyServer(behaviors.echoes) as server:
        dialled(plan_of(f"ws://service.example:{server.port}/", connect_to="127.0.0.1"))
        assert server.seen.requests[0].headers["host"] == f"service.example:{server.port}"


@pytest.mark.parametrize("address", [None, "::1", "[::1]:{port}"])
def test_ipv6(address):
    with FaultyServer(behaviors.echoes, host="::1") as server:
        if address is None:
            dialled(plan_of(server.url))
            assert server.seen.requests[0].headers["host"] == f"[::1]:{server.port}"
        else:
            dialled(plan_of(f"ws://v6.example:{server.port}/", connect_to=address.format(port=server.port)))
        assert server.seen.upgraded == 1


def test_the_next_address_of_a_name_is_tried(monkeypatch):
    async def both(self, host, port, **_):
        return [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]

    with FaultyServer(behaviors.echoes) as server:
        plan = plan_of(f"ws://both.example:{server.port}/")
        monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", both)
        dialled(plan, loop=asyncio.SelectorEventLoop)
        assert server.seen.upgraded == 1


def test_one_name_of_several_that_does_not_resolve_is_a_fault_of_its_own_sessions():
    async def main(plan):
        dialler = Dialer(plan)
        await dialler.resolve()
        await dial(dialler, 0)
        with pytest.raises(DialError, match=r"nobody\.invalid"):
            await dial(dialler, 1)
        await dial(dialler, 2)

    with FaultyServer(behaviors.echoes) as server:
        asyncio.run(main(plan_of(server.url, "ws://nobody.invalid/")))
    with pytest.raises(DialError, match=r"nobody\.invalid"):
        dialled(plan_of("ws://nobody.invalid/", "ws://someone.invalid/"))


def test_a_lookup_that_takes_too_long(monkeypatch):
    async def never(self, host, port, **_):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", never)

    async def main(plan):
        dialler = Dialer(plan)
        with pytest.raises(DialError) as known:
            await dialler.resolve()
        return known.value.fault

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        fault = runner.run(main(plan_of("ws://slow.example/", connect_timeout_ns=50_000_000)))
    assert fault.key == "dns-timeout"
    assert fault.text == 'the name "slow.example" does not resolve within 50 ms'


@pytest.mark.parametrize("loop", [new_loop, asyncio.new_event_loop], ids=["ours", "asyncio"])
def test_a_unix_socket(tmp_path, loop):
    seen = ServerObservations()

    async def handle(reader, writer):
        peer = Peer(reader, writer, seen)
        await peer.upgrade()
        await peer.until_gone()

    path = str(tmp_path / "socket")
    with listener(handle, path=path):
        (took,) = dialled(plan_of("ws://service.example/x", unix_socket=path), loop=loop)
    assert took.tcp_ns > 0
    assert seen.requests[0].target == "/x"
    assert seen.requests[0].headers["host"] == "service.example"
    fault = fault_of(plan_of("ws://service.example/x", unix_socket=path))
    assert fault.key in {"connect-refused", "unreachable"}, "nobody listens any more"


def test_a_unix_socket_that_is_not_there(tmp_path):
    fault = fault_of(plan_of("ws://h/", unix_socket=str(tmp_path / "none")))
    assert fault.key == "unreachable"
    assert "No such file" in fault.text


# --- what is asked -----------------------------------------------------------------------------------------------


def filling(**fields):
    """A `fill` that puts these values in for fields of a feed."""

    def fill(text):
        for name, value in fields.items():
            text = text.replace(f"{{feed.{name}}}", value)
        return text

    return fill


def test_fields_are_filled_for_each_connection():
    with FaultyServer(behaviors.echoes) as server:
        plan = plan_of(
            f"ws://{{feed.host}}:{server.port}/r/{{feed.room}}?t={{feed.token}}&x=%20{{y}}",
            header=["X-Room: {feed.room}-1"],
            subprotocol="v1,t.{feed.token}",
            bearer="{feed.token}",
            cookie="id={feed.room}",
            origin="https://{feed.room}.example",
        )
        rows = [("127.0.0.1", "r0", "t0"), ("localhost", "blue", "t1")]
        fills = [filling(host=host, room=room, token=token) for host, room, token in rows]
        dialled(plan, 2, lambda number: fills[number])
        first, second = server.seen.requests
    assert first.target == "/r/r0?t=t0&x=%20%7By%7D"
    assert first.headers["host"] == f"127.0.0.1:{server.port}"
    assert second.target == "/r/blue?t=t1&x=%20%7By%7D"
    assert second.headers["host"] == f"localhost:{server.port}"
    assert second.headers["x-room"] == "blue-1"
    assert second.headers["sec-websocket-protocol"] == "v1, t.t1"
    assert second.headers["authorization"] == "Bearer t1"
    assert second.headers["cookie"] == "id=blue"
    assert second.headers["origin"] == "https://blue.example"


def test_a_value_is_one_segment_or_one_parameter_whatever_it_holds():
    with FaultyServer(behaviors.echoes) as server:
        plan = plan_of(f"ws://joe:{{feed.v}}@127.0.0.1:{server.port}/{{feed.v}}?t={{feed.v}}&u=1")
        dialled(plan, fill=lambda _: filling(v="a/b?c&d#e=%20ä @:"))
        (request,) = server.seen.requests
    value = "a%2Fb%3Fc%26d%23e%3D%2520%C3%A4%20%40%3A"
    assert request.target == f"/{value}?t={value}&u=1"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == "joe:a/b?c&d#e=%20ä @:"


@pytest.mark.parametrize(
    ("options", "value", "words"),
    [
        ({"header": "X-Token: {feed.v}"}, f"{SECRET}\r\nX-Evil: 1", "of X-Token holds"),
        ({"header": "X-Token: {feed.v}"}, f"{SECRET}ä", "of X-Token holds"),
        ({"subprotocol": "{feed.v}"}, f"{SECRET} x", "--subprotocol"),
        ({"subprotocol": f"a,{SECRET},{{feed.v}}"}, SECRET, "--subprotocol"),
        ({"bearer": "{feed.v}"}, f"{SECRET}\n", "--bearer"),
        ({"cookie": "a={feed.v}"}, f"{SECRET}; b=2", "--cookie"),
        ({"origin": "{feed.v}"}, f"{SECRET}\t", "--origin"),
        ({"url": "ws://{feed.v}.example/"}, f"{SECRET}/x", "URL"),
        ({"url": "ws://{feed.v}.example/"}, "", "URL"),
        ({"url": "ws://127.0.0.1:{feed.v}/"}, SECRET, "URL"),
        ({"url": "ws://127.0.0.1:{feed.v}/"}, "0", "URL"),
        ({"url": "ws://{feed.v}/"}, f"{SECRET}@h", "URL"),
        ({"url": "ws://{feed.v}/"}, f"{SECRET}..\u00e4", "URL"),
        ({"url": "ws://{feed.v}/"}, f"{SECRET}\nx", "URL"),
    ],
)
def test_a_value_that_breaks_the_request_is_an_error_that_does_not_tell_it(options, value, words):
    url = options.pop("url", "ws://127.0.0.1:9/")
    with pytest.raises(UsageError) as caught:
        dialled(plan_of(url, **options), fill=lambda _: filling(v=value))
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_without_fields_nothing_is_filled():
    def fill(text):
        raise AssertionError(text)

    with FaultyServer(behaviors.echoes) as server:
        dialled(plan_of(server.url + "{lobby}", header='X: {"a": 1}'), fill=lambda _: fill)
        assert server.seen.requests[0].headers["x"] == '{"a": 1}'
        assert server.seen.requests[0].target == "/%7Blobby%7D"


def test_credentials_cookies_and_origin(tmp_path):
    (tmp_path / "token").write_text("abc.def\n")
    with FaultyServer(behaviors.echoes) as server:
        dialled(plan_of(server.url, user="joe:päss:word", cookie=["a=1", "b=x=y"], origin="https://app.example"))
        dialled(plan_of(server.url, bearer=f"@{tmp_path / 'token'}"))
        basic, bearer = (request.headers for request in server.seen.requests)
    assert basic["authorization"] == "Basic am9lOnDDpHNzOndvcmQ="
    assert basic["cookie"] == "a=1; b=x=y"
    assert basic["origin"] == "https://app.example"
    assert bearer["authorization"] == "Bearer abc.def"


# --- what takes too long, what is not there ----------------------------------------------------------------------


def test_nothing_listens():
    with unused_port() as port:
        assert fault_of(plan_of(f"ws://127.0.0.1:{port}/")).key == "connect-refused"


@pytest.mark.parametrize(("scheme", "key"), [("ws", "upgrade-timeout"), ("wss", "tls-timeout")])
def test_a_silent_target(scheme, key):
    with FaultyServer(behaviors.silent_after_accept) as server:
        fault = fault_of(plan_of(server.url.replace("ws:", f"{scheme}:"), connect_timeout_ns=100_000_000))
    assert fault.key == key
    assert "within 100 ms" in fault.text
