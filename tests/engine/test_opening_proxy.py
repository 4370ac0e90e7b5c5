"""Through proxies: HTTP's CONNECT and SOCKS, those that work and those that do not."""

import asyncio
import contextlib
import socket

import pytest
from test_opening import SECRET, dialled, fault_of, listener, plan_of

from ws_load_test import make_plan, run
from ws_load_test.testing import Certificates, FaultyServer, behaviors, unused_port

certificates = Certificates()


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def join(reader, writer, host, port):
    """Both directions, until one of them ends."""
    there, back = await asyncio.open_connection(host, port)
    try:
        await asyncio.wait(
            [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        back.transport.abort()


def connects(seen, *, credentials=None, dribbles=False, names=None):
    """An HTTP proxy."""

    async def handle(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(head)
        if credentials and f"Proxy-Authorization: Basic {credentials}\r\n".lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            await writer.drain()
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        answer = b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n"
        for piece in [bytes([byte]) for byte in answer] if dribbles else [answer]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await join(reader, writer, (names or {}).get(host, host.strip("[]")), int(port))

    return handle


def answers(data, *, waits=False):
    """A proxy that says the same to everybody."""

    async def handle(reader, writer):
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        if waits:
            await asyncio.Event().wait()

    return handle


def socks5(seen, *, user=None, reply=0, names=None):
    """A SOCKS 5 proxy (RFC 1928, RFC 1929)."""

    async def handle(reader, writer):
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if user:
            if 2 not in methods:
                writer.write(b"\x05\xff")
                await writer.drain()
                return
            writer.write(b"\x05\x02")
            await reader.readexactly(1)
            name = await reader.readexactly((await reader.readexactly(1))[0])
            word = await reader.readexactly((await reader.readexactly(1))[0])
            good = f"{name.decode()}:{word.decode()}" == user
            writer.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                await writer.drain()
                return
        else:
            writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        elif kind == 1:
            host = socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
        port = int.from_bytes(await reader.readexactly(2))
        seen.append((kind, host))
        writer.write(bytes((5, reply, 0, 1, 0, 0, 0, 0, 0, 0)))
        await writer.drain()
        if not reply:
            await join(reader, writer, (names or {}).get(host, host), port)

    return handle


def socks4(seen, *, reply=0x5A, names=None):
    """A SOCKS 4 proxy that knows 4a."""

    async def handle(reader, writer):
        await reader.readexactly(2)
        port = int.from_bytes(await reader.readexactly(2))
        address = await reader.readexactly(4)
        user = (await reader.readuntil(b"\0"))[:-1].decode()
        host = socket.inet_ntoa(address)
        if address[:3] == b"\0\0\0":
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        seen.append((user, host))
        writer.write(bytes((0, reply)) + bytes(6))
        await writer.drain()
        if reply == 0x5A:
            await join(reader, writer, (names or {}).get(host, host), port)

    return handle


@pytest.fixture
def target():
    with FaultyServer(behaviors.echoes) as server:
        yield server


NAMES = {"service.example": "127.0.0.1"}


@pytest.mark.parametrize("dribbles", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("loop", ["ours", "asyncio"])
def test_http(target, dribbles, loop):
    seen = []
    loops = {} if loop == "ours" else {"loop": asyncio.new_event_loop}
    with listener(connects(seen, credentials="am9lOnA6cw==", dribbles=dribbles, names=NAMES)) as (_, port):
        proxy = f"http://joe:p%3As@127.0.0.1:{port}"
        (took,) = dialled(plan_of(f"ws://service.example:{target.port}/x", proxy=proxy), **loops)
    assert seen[0].startswith(f"CONNECT service.example:{target.port} HTTP/1.1\r\n"), "the proxy resolves the name"
    assert target.seen.requests[0].headers["host"] == f"service.example:{target.port}"
    assert took.proxy_ns > 0
    assert took.total_ns >= took.tcp_ns + took.proxy_ns + took.upgrade_ns


def test_tls_through_a_proxy_is_with_the_target(tmp_path):
    seen = []
    cacert = str(certificates.write_ca(tmp_path))
    with FaultyServer(behaviors.echoes, tls=certificates.trusted("service.example")) as server:
        with listener(connects(seen, names=NAMES)) as (_, port):
            plan = plan_of(f"wss://service.example:{server.port}/", proxy=f"http://127.0.0.1:{port}", cacert=cacert)
            (took,) = dialled(plan)
        assert server.seen.upgraded == 1
    assert took.tls_ns > 0
    assert took.proxy_ns > 0


def test_an_ipv6_target_is_asked_for_in_brackets():
    seen = []
    with FaultyServer(behaviors.echoes, host="::1") as server, listener(connects(seen)) as (_, port):
        dialled(plan_of(server.url, proxy=f"http://127.0.0.1:{port}"))
    assert seen[0].startswith(f"CONNECT [::1]:{server.port} ")


def test_an_address_is_reached_through_the_proxy(target):
    seen = []
    with listener(connects(seen)) as (_, port):
        plan = plan_of("ws://service.example/", connect_to=f"127.0.0.1:{target.port}", proxy=f"http://127.0.0.1:{port}")
        dialled(plan)
    assert seen[0].startswith(f"CONNECT 127.0.0.1:{target.port} ")
    assert target.seen.requests[0].headers["host"] == "service.example"


@pytest.mark.parametrize(
    ("scheme", "name", "asked"),
    [
        ("socks5", "127.0.0.1", (1, "127.0.0.1")),
        ("socks5", "localhost", (1, "127.0.0.1")),
        ("socks5h", "service.example", (3, "service.example")),
    ],
)
@pytest.mark.parametrize("user", [None, "joe:p:s"])
def test_socks5(target, scheme, name, asked, user):
    seen = []
    with listener(socks5(seen, user=user, names=NAMES | {"::1": "127.0.0.1"})) as (_, port):
        proxy = f"{scheme}://{'joe:p%3As@' if user else ''}127.0.0.1:{port}"
        (took,) = dialled(plan_of(f"ws://{name}:{target.port}/", proxy=proxy))
    assert seen in ([asked], [(4, "::1")])
    assert took.proxy_ns > 0
    assert target.seen.upgraded == 1


@pytest.mark.parametrize(
    ("scheme", "name", "asked"),
    [("socks4", "localhost", "127.0.0.1"), ("socks4a", "service.example", "service.example")],
)
def test_socks4(target, scheme, name, asked):
    seen = []
    with listener(socks4(seen, names=NAMES)) as (_, port):
        dialled(plan_of(f"ws://{name}:{target.port}/", proxy=f"{scheme}://joe@127.0.0.1:{port}"))
    assert seen == [("joe", asked)]


def test_a_proxy_that_is_not_there():
    with unused_port() as port:
        fault = fault_of(plan_of("ws://h/", proxy=f"http://127.0.0.1:{port}"))
    assert fault.key == "proxy:refused"
    assert "the proxy refuses" in fault.text


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
def test_a_proxy_that_says_nothing(scheme):
    with listener(answers(b"", waits=True)) as (_, port):
        plan = plan_of("ws://h/", proxy=f"{scheme}://127.0.0.1:{port}", connect_timeout_ns=100_000_000)
        fault = fault_of(plan)
    assert fault.key == "proxy:timeout"
    assert "proxy" in fault.text
    assert "within 100 ms" in fault.text


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
@pytest.mark.parametrize("answer", [b"", b"220 mail.example ESMTP ready\r\n\r\n", b"\x00"])
def test_a_proxy_that_is_none(scheme, answer):
    with listener(answers(answer)) as (_, port):
        fault = fault_of(plan_of("ws://h/", proxy=f"{scheme}://127.0.0.1:{port}"))
    assert fault.kind == "proxy"
    assert "the proxy" in fault.text


def test_a_proxy_that_wants_another_password():
    seen = []
    with listener(connects(seen, credentials="eA==")) as (_, port):
        fault = fault_of(plan_of("ws://h/", proxy=f"http://joe:{SECRET}@127.0.0.1:{port}"))
    assert fault.key == "proxy:407"
    assert "407 Proxy Authentication Required" in fault.text


def test_a_proxy_that_speaks_into_the_tunnel():
    with listener(answers(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x\r\n", waits=True)) as (_, port):
        fault = fault_of(plan_of("ws://h/", proxy=f"http://127.0.0.1:{port}"))
    assert fault.key == "proxy"


@pytest.mark.parametrize(
    ("handler", "scheme", "key"),
    [
        (socks5([], reply=5), "socks5h", "proxy:5"),
        (socks5([], user="joe:other"), "socks5h", "proxy"),
        (socks4([], reply=0x5B), "socks4a", "proxy:91"),
    ],
)
def test_a_socks_proxy_that_refuses(handler, scheme, key):
    with listener(handler) as (_, port):
        fault = fault_of(plan_of("ws://h/", proxy=f"{scheme}://joe:{SECRET}@127.0.0.1:{port}"))
    assert fault.key == key
    assert fault.text.startswith("the proxy refused: ")


def set_only(monkeypatch, **variables):
    """Sets these variables, and no other that names a proxy."""
    for name in ("ws", "wss", "http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("proxy", [{}, {"proxy": "none"}])
def test_no_environment_variable_names_a_proxy_unasked(target, monkeypatch, proxy):
    set_only(
        monkeypatch, **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    )
    (took,) = dialled(plan_of(target.url, **proxy))
    assert took.proxy_ns is None


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "ws_proxy"])
def test_the_environment_names_the_proxy_on_request(target, monkeypatch, variable):
    seen = []
    with listener(connects(seen, credentials="am9lOnA6cw==")) as (_, port):
        set_only(monkeypatch, **{variable: f"joe:p%3As@127.0.0.1:{port}"})
        plan = plan_of(target.url, f"ws://localhost:{target.port}/", proxy="env")
        # The environment of a worker, on another machine perhaps, has no say.
        set_only(monkeypatch, NO_PROXY="*")
        took = dialled(plan, 2)
    assert len(seen) == 2
    assert all(one.proxy_ns for one in took)


def test_no_proxy_is_for_some_of_the_targets_and_for_redirects(target, monkeypatch):
    seen = []
    with listener(connects(seen)) as (_, port):
        set_only(monkeypatch, all_proxy=f"http://127.0.0.1:{port}", NO_PROXY="localhost, .example")
        with FaultyServer(behaviors.redirects(f"http://127.0.0.1:{target.port}/x")) as server:
            plan = plan_of(
                f"ws://localhost:{server.port}/", f"ws://127.0.0.1:{server.port}/", proxy="env", follow_redirects=True
            )
            assert {way[1] for way in plan.target.connect_addresses} == {server.port, port}
            direct, through = dialled(plan, 2)
    assert [line.split(" ")[1] for line in seen] == [
        f"127.0.0.1:{target.port}",
        f"127.0.0.1:{server.port}",
        f"127.0.0.1:{target.port}",
    ]
    assert direct.proxy_ns is not None, "the last request of the two went through the proxy"
    assert through.proxy_ns is not None


@contextlib.contextmanager
def https_proxy(handle, *hosts):
    context = certificates.trusted(*hosts).server_context()
    with listener(handle, ssl=context) as (_, port):
        yield port


@pytest.mark.parametrize("loop", ["ours", "asyncio"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_https_proxies(tmp_path, loop, secure):
    seen, loops = [], {} if loop == "ours" else {"loop": asyncio.new_event_loop}
    options = {"cacert": str(certificates.write_ca(tmp_path))}
    tls = certificates.trusted("service.example") if secure else None
    with FaultyServer(behaviors.echoes, tls=tls) as server:
        with https_proxy(connects(seen, credentials="am9lOnA6cw==", names=NAMES), "localhost") as port:
            url = f"ws{'s' * secure}://service.example:{server.port}/x"
            (took,) = dialled(plan_of(url, proxy=f"https://joe:p%3As@localhost.:{port}", **options), **loops)
        assert server.seen.requests[0].headers["host"] == f"service.example:{server.port}"
    assert seen[0].startswith(f"CONNECT service.example:{server.port} HTTP/1.1\r\n")
    assert took.proxy_ns > 0
    assert (took.tls_ns is not None) is secure


def test_messages_go_through_an_https_proxy(target, tmp_path):
    cacert = str(certificates.write_ca(tmp_path))
    with https_proxy(connects([]), "127.0.0.1") as port:
        plan = make_plan(target.url, messages=20, connections=2, proxy=f"https://127.0.0.1:{port}", cacert=cacert)
        result = run(plan)
    assert result.summary.messages.answered == 20
    assert result.summary.opening.proxy_time_ns.count == 2
    assert result.summary.opening.tls_time_ns is None


@pytest.mark.parametrize(
    ("hosts", "handler", "key", "words"),
    [
        (("elsewhere.example",), connects([]), "proxy:tls", "the proxy has a certificate"),
        (("127.0.0.1",), answers(b"HTTP/1.1 407 No\r\n\r\n"), "proxy:407", "407 No"),
        (("127.0.0.1",), answers(b"220 mail\r\n\r\n"), "proxy", "does not answer CONNECT with HTTP"),
        (("127.0.0.1",), answers(b""), "proxy:reset", "the proxy broke the connection"),
        (("127.0.0.1",), answers(b"", waits=True), "proxy:timeout", "within 400 ms"),
    ],
)
def test_an_https_proxy_that_does_not_do_it(tmp_path, hosts, handler, key, words):
    cacert = str(certificates.write_ca(tmp_path))
    with https_proxy(handler, *hosts) as port:
        plan = plan_of("ws://h/", proxy=f"https://127.0.0.1:{port}", cacert=cacert, connect_timeout_ns=400_000_000)
        fault = fault_of(plan)
    assert fault.key == key
    assert words in fault.text


def test_an_https_proxy_that_is_a_plain_one(target):
    with listener(connects([])) as (_, port):
        fault = fault_of(plan_of(target.url, proxy=f"https://127.0.0.1:{port}"))
    assert fault.kind == "proxy"
    assert "ws://" not in fault.text


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
def test_a_dead_first_address_behind_a_proxy_is_not_the_end(target, scheme):
    seen = []

    async def handler(reader, writer):
        if scheme == "socks5":
            await socks5(seen, reply=0 if seen else 5)(reader, writer)
        else:
            await socks4(seen, reply=0x5A if seen else 0x5B)(reader, writer)

    name = f"several.example:{target.port}"
    with listener(handler) as (_, port):
        options = {"proxy": f"{scheme}://127.0.0.1:{port}", "resolve": f"{name}:127.0.0.9,127.0.0.1"}
        dialled(plan_of(f"ws://{name}/", **options))
    assert [address for _, address in seen] == ["127.0.0.9", "127.0.0.1"]
    assert target.seen.upgraded == 1


def test_failings_of_the_target_behind_a_proxy_stay_its_own():
    with FaultyServer(behaviors.rejects(403)) as server, listener(connects([])) as (_, port):
        assert fault_of(plan_of(server.url, proxy=f"http://127.0.0.1:{port}")).key == "upgrade-rejected:403"
