"""The opening handshake: what is asked, what is granted, what is refused; most of it without a socket."""

import asyncio
import base64
import gc
import itertools
import threading
import time

import pytest
from fakes import carrying
from websockets.server import ServerProtocol

from ws_load_test import make_plan
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.connect.handshake import OpeningHandshake
from ws_load_test.engine.connect.proxy import ConnectExchange, Proxy
from ws_load_test.engine.connect.response_head import LARGEST_RESPONSE_HEAD_BYTES
from ws_load_test.engine.connect.upgrade_request import DialError, RedirectError, UpgradeRequestFactory
from ws_load_test.engine.load_models.closed_loop import ClosedLoopRunner
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

HIDDEN = "hush-hush"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += bytes(data)


class Exchange:
    """One handshake, its answer given by the test."""

    def __init__(self, url="ws://echo.example/", **options):
        self.target = make_plan(url, **options).target
        self.early = []
        self.wire = Wire()
        self.deflate = None
        self.upgrade = OpeningHandshake(UpgradeRequestFactory(self.target).of(0), self._take_over)
        self.upgrade.connection_made(self.wire)
        self.request = self.wire.written
        lines = self.request.split(b"\r\n")
        self.key = next(line.split()[1].decode() for line in lines if line.lower().startswith(b"sec-websocket-key:"))

    def _take_over(self, transport, early, deflate):
        assert transport is self.wire
        self.deflate = deflate
        assert self.upgrade.done.done(), "the instant is known before anything else is read"
        self.early.append(early)

    def receive(self, *pieces):
        """As the loop does: the upgrade reads until the transport is taken over."""
        for piece in pieces:
            if self.early:
                self.early.append(piece)
            else:
                self.upgrade.data_received(piece)

    def granted(self, *, without=None, **others):
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": frames.accept_key(self.key)}
        headers |= {name.replace("_", "-"): value for name, value in others.items()}
        headers.pop(without, None)
        return response(101, headers)

    @property
    def fault(self):
        error = self.upgrade.done.exception()
        assert isinstance(error, DialError)
        assert not self.early
        return error.fault


def response(status, headers=(), reason="Some Words"):
    lines = [f"HTTP/1.1 {status} {reason}".rstrip(), *(f"{name}: {value}" for name, value in dict(headers).items())]
    return "\r\n".join([*lines, "", ""]).encode()


def in_loop(test):
    """Runs a test inside a loop, where futures may be made."""

    def running(**arguments):
        async def main():
            test(**arguments)

        asyncio.run(main())

    running.__name__ = test.__name__
    return running


def parametrised(names, cases):
    """`pytest.mark.parametrize` over an `in_loop` test."""

    def decorate(test):
        @pytest.mark.parametrize("case", cases.values(), ids=cases)
        def running(case):
            async def main():
                test(*case)

            asyncio.run(main())

        return running

    assert names
    return decorate


# --- what is asked -----------------------------------------------------------------------------------------------


def asked(exchange):
    """The request as an independent server reads it; fails unless it would grant the upgrade."""
    server = ServerProtocol(subprotocols=exchange.target.subprotocols or None)
    server.receive_data(exchange.request)
    (request,) = server.events_received()
    assert server.accept(request).status_code == 101
    return request


@in_loop
def test_an_independent_server_grants_the_request():
    exchange = Exchange("ws://echo.example:3001/a%20b/ü?x=1&y=%26", subprotocol="v1, v2")
    request = asked(exchange)
    assert request.path == "/a%20b/%C3%BC?x=1&y=%26"
    assert request.headers["Host"] == "echo.example:3001"
    assert request.headers["Sec-WebSocket-Version"] == "13"
    assert request.headers["Sec-WebSocket-Protocol"] == "v1, v2"
    assert "Authorization" not in request.headers
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert len(base64.b64decode(request.headers["Sec-WebSocket-Key"], validate=True)) == 16
    assert exchange.request.endswith(b"\r\n\r\n"), "and nothing behind it"


@in_loop
def test_every_request_has_a_key_of_its_own():
    assert len({Exchange().key for _ in range(20)}) == 20


@in_loop
def test_the_independent_servers_answer_is_taken():
    exchange = Exchange(subprotocol="v1")
    server = ServerProtocol(subprotocols=["v1"])
    server.receive_data(exchange.request)
    (request,) = server.events_received()
    server.send_response(server.accept(request))
    exchange.receive(b"".join(server.data_to_send()))
    assert exchange.early == [b""]
    assert exchange.upgrade.done.result() > 0


ASKED = {
    "port of the scheme": ("ws://echo.example:80/", {}, "Host", "echo.example"),
    "port of wss": ("wss://echo.example:443/", {}, "Host", "echo.example"),
    "port of the other scheme": ("wss://echo.example:80/", {}, "Host", "echo.example:80"),
    "IPv6": ("ws://[::1]:3001/", {}, "Host", "[::1]:3001"),
    "IDNA": ("ws://bücher.example/", {}, "Host", "xn--bcher-kva.example"),
    "Host given": ("ws://10.0.0.1/", {"header": ["host: echo.example"]}, "Host", "echo.example"),
    "header given": ("ws://echo.example/", {"header": ["X-Room: blue"]}, "X-Room", "blue"),
    "user": ("ws://ann@echo.example/", {}, "Authorization", "Basic " + base64.b64encode(b"ann:").decode()),
    "user and password": (
        "ws://a%3Ann:p%40ss%C3%BC@echo.example/",
        {},
        "Authorization",
        "Basic " + base64.b64encode("a:nn:p@ssü".encode()).decode(),
    ),
    "Authorization given": (
        "ws://ann:pass@echo.example/",
        {"header": ["authorization: Bearer x"]},
        "Authorization",
        "Bearer x",
    ),
}


@parametrised("url options name value", ASKED)
def test_headers_of_the_request(url, options, name, value):
    assert asked(Exchange(url, **options)).headers.get_all(name) == [value]


# --- what is granted ---------------------------------------------------------------------------------------------

EARLY = frames.encode_frame(frames.TEXT, b"welcome") + frames.encode_frame(frames.PING, b"")


@in_loop
def test_an_answer_cut_anywhere_is_the_same_answer_and_loses_no_early_byte():
    size = len(Exchange().granted() + EARLY)
    for places in (*((place,) for place in range(1, size)), (10, 20, 60, size - 3), tuple(range(1, size))):
        exchange = Exchange()
        data = exchange.granted() + EARLY
        edges = (0, *places, len(data))
        exchange.receive(*(data[start:end] for start, end in itertools.pairwise(edges)))
        assert exchange.upgrade.done.result() > 0
        assert b"".join(exchange.early) == EARLY


GRANTED = {
    "names and words in any case": ({"upgrade": "WebSocket", "CONNECTION": "upgrade"}, "Upgrade"),
    "upgrade among other words": ({"Connection": "keep-alive, Upgrade"}, None),
    "a subprotocol that was offered": ({"Sec_WebSocket_Protocol": "v1"}, None),
    "headers that do not matter": ({"Server": "x", "Set-Cookie": "a=b"}, None),
}


@parametrised("headers without", GRANTED)
def test_a_101_by_the_rules_is_taken(headers, without):
    exchange = Exchange(subprotocol="v1")
    exchange.receive(exchange.granted(without=without, **headers))
    assert exchange.early == [b""]


@in_loop
def test_informational_answers_come_before_the_one_that_counts():
    exchange = Exchange()
    exchange.receive(response(103, {"Link": "</x>"}) + response(100) + exchange.granted() + EARLY)
    assert exchange.early == [EARLY]


@parametrised(
    "options headers missing",
    {
        "nothing was offered": ({}, {}, ()),
        "compression": ({"deflate": True}, {}, ("permessage-deflate",)),
        "a subprotocol": ({"subprotocol": "v1"}, {}, ("subprotocol",)),
        "both": ({"deflate": True, "subprotocol": "v1"}, {}, ("permessage-deflate", "subprotocol")),
        "compression alone": (
            {"deflate": True, "subprotocol": "v1"},
            {"Sec_WebSocket_Protocol": "v1"},
            ("permessage-deflate",),
        ),
        "all": (
            {"deflate": True, "subprotocol": "v1"},
            {"Sec_WebSocket_Protocol": "v1", "Sec_WebSocket_Extensions": "permessage-deflate"},
            (),
        ),
    },
)
def test_what_was_offered_and_not_granted_is_noted(options, headers, missing):
    exchange = Exchange(**options)
    exchange.receive(exchange.granted(**headers))
    assert exchange.early == [b""]
    assert exchange.upgrade.not_granted == missing


# --- what is refused ---------------------------------------------------------------------------------------------

WRONG_KEY = frames.accept_key("somebody else's key")
INVALID = {
    "wrong accept": ({"Sec_WebSocket_Accept": WRONG_KEY}, None, "wrong Sec-WebSocket-Accept"),
    "no accept": ({}, "Sec-WebSocket-Accept", "without Sec-WebSocket-Accept"),
    "no upgrade": ({}, "Upgrade", "without Upgrade: websocket"),
    "upgrade to something else": ({"Upgrade": "h2c"}, None, "without Upgrade: websocket, but with Upgrade: h2c"),
    "two upgrades": ({"upgrade": "websocket"}, None, "with 2 headers Upgrade instead of one"),
    "two accepts": ({"sec-websocket_accept": WRONG_KEY}, None, "with 2 headers Sec-WebSocket-Accept instead of one"),
    "two headers of subprotocols": (
        {"sec-websocket_protocol": "v1", "Sec-WebSocket_Protocol": "v1"},
        None,
        "with 2 headers Sec-WebSocket-Protocol instead of one",
    ),
    "a body": ({"Content_Length": "5"}, None, "with a body of 5 bytes"),
    "no connection": ({}, "Connection", "without Connection: Upgrade"),
    "connection without the word": ({"Connection": "keep-alive"}, None, "without Connection: Upgrade"),
    "subprotocol nobody offered": (
        {"Sec_WebSocket_Protocol": "v3"},
        None,
        'with the subprotocol "v3", which was not offered',
    ),
    "two subprotocols": ({"Sec_WebSocket_Protocol": "v1, v2"}, None, "which was not offered"),
    "an extension": ({"Sec_WebSocket_Extensions": "x-a; b"}, None, 'the extension "x-a", which was not offered'),
}


@parametrised("headers without text", INVALID)
def test_a_101_against_the_rules_is_refused_with_the_reason(headers, without, text):
    exchange = Exchange(subprotocol="v1,v2")
    exchange.receive(exchange.granted(without=without, **headers) + EARLY, EARLY)
    assert exchange.fault.key == "upgrade-invalid"
    assert text in exchange.fault.text


@in_loop
def test_an_accept_of_the_same_letters_in_another_case_is_wrong():
    exchange = Exchange()
    exchange.receive(exchange.granted(Sec_WebSocket_Accept=frames.accept_key(exchange.key).swapcase()))
    assert exchange.fault.key == "upgrade-invalid"


@in_loop
def test_other_statuses_are_reported_with_their_words_wherever_they_are_cut():
    for status in (200, 204, 301, 400, 401, 403, 404, 426, 500, 503):
        data = response(status, {"Content-Length": "4"}) + b"body"
        for place in range(1, len(data), 7):
            exchange = Exchange()
            exchange.receive(data[:place], data[place:])
            assert exchange.fault.key == f"upgrade-rejected:{status}"
            assert exchange.fault.text == f"answered the upgrade with {status} Some Words"


MOVED = {
    "elsewhere": ("wss://new.example/path", "wss://new.example/path"),
    "query hidden": (f"wss://new.example/path?token={HIDDEN}", "wss://new.example/path"),
    "fragment hidden": (f"https://new.example/path#{HIDDEN}", "https://new.example/path"),
    "user info hidden": (f"https://ann:{HIDDEN}@new.example/path", "https://new.example/path"),
    "relative": ("/login", "/login"),
    "a token in the path hidden": ("/token/" + HIDDEN, "/token/***"),
}


@parametrised("location told", MOVED)
def test_a_redirect_is_reported_without_its_secrets(location, told):
    exchange = Exchange()
    exchange.receive(response(302, {"Location": location}, "Found"))
    assert exchange.fault.key == "upgrade-rejected:302"
    assert exchange.fault.text == f"answered the upgrade with 302 Found to {told}"
    assert isinstance(exchange.upgrade.done.exception(), RedirectError)


TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
HTTP2_SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"
NOT_HTTP = {
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", 'not HTTP: this looks like SSH: "SSH-2.0-OpenSSH_9.6"'),
    "a mail server": (
        b"220 mail.example ESMTP\r\n",
        'not HTTP: this looks like a mail or FTP server: "220 mail.example',
    ),
    "Redis": (b"-ERR wrong number of arguments for 'get' command\r\n", "not HTTP: this looks like a Redis server"),
    "TLS": (TLS_ALERT, "not HTTP: this looks like TLS; write wss:// instead of ws://"),
    "HTTP/2": (HTTP2_SETTINGS, "not HTTP: this looks like HTTP/2"),
    "frames": (frames.encode_frame(frames.TEXT, b"hello"), "not HTTP: this looks like WebSocket frames"),
    "text": (b"hello there", 'not HTTP: this is text: "hello there"'),
    "a lone byte": (b"\0", "something that is not HTTP"),
    "another version": (b"HTTP/2 101 x\r\n", "with HTTP/2, and the upgrade is one of HTTP/1.1"),
    "HTTP/1.0": (b"HTTP/1.0 101 x\r\n\r\n", "answered 101 in HTTP/1.0, which has no upgrade"),
    "a malformed status line": (b"HTTP/1.1 abc\r\n", 'a malformed status line: "HTTP/1.1 abc"'),
    "a header without a colon": (b"HTTP/1.1 101 x\r\nUpgrade\r\n", '101 and a header line without a colon: "Upgrade"'),
    "a space before the colon": (b"HTTP/1.1 101 x\r\nUpgrade : x\r\n", "101 and a header whose name is malformed"),
    "no name": (b"HTTP/1.1 403 x\r\n: x\r\n", "403 and a header whose name is malformed"),
    "a null": (b"HTTP/1.1 101 x\r\nA: b\0\r\n", "101 and a control character in the header A"),
    "a continuation of nothing": (b"HTTP/1.1 101 x\r\n A: b\r\n", "begins with a space before any header"),
    "in a later head": (
        b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 101 x\r\nUpgrade\r\n",
        "101 and a header line without a colon",
    ),
    "a head without an end": (
        b"HTTP/1.1 101 x\r\nX: " + b"x" * LARGEST_RESPONSE_HEAD_BYTES,
        "a head of more than 64 KiB, which is all that is read",
    ),
    "headers without an end": (
        b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * (LARGEST_RESPONSE_HEAD_BYTES // 6),
        "a head of more than 64 KiB, which is all that is read",
    ),
    "heads without an end": (
        b"HTTP/1.1 100 x\r\n\r\n" * (LARGEST_RESPONSE_HEAD_BYTES // 18 + 1),
        "more than 32 informational responses",
    ),
    "contradictory lengths": (
        b"HTTP/1.1 101 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "headers that contradict HTTP (conflicting Content-Length headers)",
    ),
}


@parametrised("data text", NOT_HTTP)
def test_what_is_malformed_is_reported_when_it_is_read(data, text):
    exchange = Exchange()
    exchange.receive(data)
    assert exchange.fault.key == "upgrade-invalid"
    assert text in exchange.fault.text
    exchange.receive(b"more of it")


@parametrised("data text", {name: case for name, case in NOT_HTTP.items() if len(case[0]) < 100})
def test_what_is_malformed_is_reported_wherever_it_is_cut(data, text):
    for place in range(1, len(data)):
        exchange = Exchange()
        exchange.receive(data[:place], data[place:])
        assert exchange.fault.key == "upgrade-invalid"


@in_loop
def test_a_refusal_with_headers_that_contradict_http_is_a_refusal():
    exchange = Exchange()
    exchange.receive(b"HTTP/1.1 503 x\r\nTransfer-Encoding: gzip\r\n\r\n")
    assert exchange.fault.key == "upgrade-rejected:503"


TAKEN = {
    "no reason": "HTTP/1.1 101",
    "an empty reason": "HTTP/1.1 101 ",
    "a header on two lines": "HTTP/1.1 101 x\r\nX: a\r\n\tb",
    "a length of nothing": "HTTP/1.1 101 x\r\nContent-Length: 0",
}


@parametrised("beginning", {name: (beginning,) for name, beginning in TAKEN.items()})
def test_what_http_allows_is_taken(beginning):
    exchange = Exchange()
    exchange.receive(exchange.granted().replace(b"HTTP/1.1 101 Some Words", beginning.encode()) + EARLY)
    assert exchange.early == [EARLY]


@parametrised(
    "body",
    {
        "nginx": (b"<center>The plain HTTP request was sent to HTTPS port</center>",),
        "Go": (b"Client sent an HTTP request to an HTTPS server.\n",),
        "Apache": (b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",),
    },
)
def test_a_400_of_a_port_that_takes_tls_says_so(body):
    exchange = Exchange()
    exchange.receive(response(400) + body)
    assert exchange.fault.key == "upgrade-rejected:400"
    assert exchange.fault.text.endswith(", because the port takes TLS; write wss:// instead of ws://")


LEFT = {
    "closed": (None, "upgrade-invalid", "closed the connection in the middle of its answer"),
    "reset": (ConnectionResetError(), "reset", "reset the connection instead of answering"),
    "broken pipe": (BrokenPipeError(), "reset", "reset the connection instead of answering"),
}


@parametrised("error key text", LEFT)
def test_a_peer_that_leaves_before_its_answer_is_whole(error, key, text):
    exchange = Exchange()
    exchange.receive(exchange.granted()[:-1])
    exchange.upgrade.connection_lost(error)
    assert exchange.fault.key == key
    assert text in exchange.fault.text


@in_loop
def test_a_peer_that_leaves_without_an_answer():
    exchange = Exchange()
    exchange.upgrade.connection_lost(None)
    assert exchange.fault.key == "upgrade-invalid"
    assert exchange.fault.text == "closed the connection instead of answering the upgrade"


def test_a_refusal_that_is_no_longer_awaited_is_no_error():
    problems = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        exchange = Exchange()
        exchange.upgrade.connection_lost(None)
        del exchange
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert not problems


# --- a race ------------------------------------------------------------------------------------------------------


class Owner:
    """Takes note of one connection."""

    def __init__(self):
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally)
        self.loop_turns, self.kinds = LoopTurns(), KindLimits()
        self.opened = []
        self.gone = asyncio.Event()

    def session_opened(self, connection):
        self.opened.append(connection)

    def session_ended(self, connection, fault):
        pass

    def transport_closed(self, connection):
        self.gone.set()


def test_a_session_granted_as_the_time_runs_out_is_open_and_not_also_failed():
    go = threading.Event()

    async def grants_on_the_word(peer):
        await peer.read_request()
        await asyncio.to_thread(go.wait)
        await peer.upgrade()
        async for message in peer.messages():
            await peer.reply(message)

    async def main(server):
        owner = Owner()
        plan = make_plan(server.url, workers=1, connect_timeout="1s")
        dialler = Dialer(plan)
        await dialler.resolve()
        connection = carrying(ClosedLoopRunner(plan.message.frames(1), 1, lambda _: None), owner)
        deadline = time.monotonic() + 1.05
        dialling = asyncio.create_task(dialler.dial(connection, 0))
        await asyncio.to_thread(server.wait_for, lambda seen: seen.requests)
        go.set()
        # The loop is busy while the answer comes and the time runs out; then it learns of both at once.
        time.sleep(max(0, deadline - time.monotonic()))  # noqa: ASYNC251
        took = await dialling
        assert owner.opened == [connection]
        assert took.total_ns > took.upgrade_ns > 0
        connection.close()
        await owner.gone.wait()
        assert owner.tally.closed == {"1000": 1}
        assert not owner.tally.faults

    with FaultyServer(grants_on_the_word) as server:
        asyncio.run(asyncio.wait_for(main(server), 60))


def test_a_proxy_that_answers_with_informational_responses_without_end_is_refused():
    exchange = ConnectExchange(Proxy("http", "proxy.example", 3128, None), "echo.example", 80)
    with pytest.raises(DialError) as caught:
        exchange.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
    assert "more than 32 informational responses" in caught.value.fault.text
