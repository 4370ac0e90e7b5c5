"""Sessions that the native engine dials itself open, fail and count as those of the portable one."""

import asyncio
import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.connect.handshake import OpeningHandshake
from ws_load_test.engine.connect.upgrade_request import UpgradeRequestFactory
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.engine.registry import ENGINES, why_missing
from ws_load_test.metrics.catalog import COUNT_FIELDS, HISTOGRAM_FIELDS, LABELED_FIELDS
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import FaultyServer, behaviors, unused_port
from ws_load_test.websocket import frames

pytestmark = pytest.mark.skipif(bool(why_missing("native")), reason=f"not built: {why_missing('native')}")

OF_THE_MACHINE = {"loop_lag_ns", "resolve_time_ns"}
OPEN, ODD, NOT_CONNECTED, LATE, SLOW = 2, 3, 4, 5, 6
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WELCOME = frames.encode_frame(frames.TEXT, b"welcome")


def answers(change, pause_s=0.0, *, stays=True):
    """Answers with what `change` makes of the ordinary answer, in one piece or in several."""

    async def behave(peer):
        await peer.read_request()
        pieces = change(peer.response())
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            await peer.send_raw(piece)
            await asyncio.sleep(pause_s)
        if stays:
            async for message in peer.messages():
                await peer.reply(message)

    return behave


def with_header(line):
    return lambda answer: answer[:-2] + line + b"\r\n\r\n"


def in_bytes(answer):
    return [answer[at : at + 1] for at in range(len(answer))]


def in_pieces(answer, size):
    answer = with_header(b"Server: " + b"s" * 5000)(answer)
    return [answer[:size], answer[size:]]


GRANTED = {
    "ordinary": (answers(bytes), OPEN),
    "in bytes": (answers(in_bytes), OPEN),
    "with a message behind it": (answers(lambda answer: answer + WELCOME), OPEN),
    "in bytes with a message behind it": (answers(lambda answer: in_bytes(answer + WELCOME)), OPEN),
    "in two pieces with a message behind it": (
        answers(lambda answer: [answer[:40], answer[40:] + WELCOME], 0.01),
        OPEN,
    ),
    "with half a message behind it": (answers(lambda answer: [answer + WELCOME[:3], WELCOME[3:]], 0.01), OPEN),
    "in other cases": (
        answers(lambda answer: answer.replace(b"Upgrade: w", b"uPGRADE: W").replace(b": U", b":u")),
        OPEN,
    ),
    "with other connection options": (
        answers(lambda answer: answer.replace(b": Upgrade", b": keep-alive, Upgrade")),
        OPEN,
    ),
    "without a reason": (answers(lambda answer: answer.replace(b" Switching Protocols", b"")), OPEN),
    "with an empty header": (answers(with_header(b"Server:")), OPEN),
    "with a header of 5 kB": (answers(with_header(b"Server: " + b"s" * 5000)), OPEN),
    "with a header of 5 kB in pieces": (answers(lambda answer: in_pieces(answer, 4500), 0.01), ODD),
    "with lines that end early": (answers(lambda answer: answer.replace(b"\r\n", b"\n")), ODD),
    "with a header in two lines": (answers(with_header(b"Server: one\r\n two")), ODD),
    "with a length of 0": (answers(with_header(b"Content-Length: 0")), ODD),
    "with other characters": (answers(with_header(b"Server: caf\xe9")), ODD),
    "behind an informational response": (
        answers(lambda answer: [b"HTTP/1.1 103 Early Hints\r\n\r\n", answer], 0.01),
        ODD,
    ),
}
"""Answers that open a session, each with the state in which its dial ends in the compiled loop."""
REFUSED = {
    "nothing": (behaviors.leaves_at_once, ODD),
    "a reset": (behaviors.resets_at_once, ODD),
    "silence": (behaviors.silent_after_request, LATE),
    "half an answer and silence": (answers(lambda answer: answer[:50]), LATE),
    "half an answer": (answers(lambda answer: answer[:50], stays=False), ODD),
    "404": (behaviors.rejects(404, body=b"not here" * 100), ODD),
    "401": (behaviors.rejects(401), ODD),
    "a redirect": (behaviors.redirects("/elsewhere"), ODD),
    "another protocol": (behaviors.talks_something_else(), ODD),
    "a wrong accept": (behaviors.wrong_accept, ODD),
    "no upgrade": (behaviors.without_header("Upgrade"), ODD),
    "no connection": (behaviors.without_header("Connection"), ODD),
    "no accept": (behaviors.without_header("Sec-WebSocket-Accept"), ODD),
    "two accepts": (answers(with_header(b"Sec-WebSocket-Accept: " + b"A" * 28)), ODD),
    "two upgrades": (answers(with_header(b"Upgrade: websocket")), ODD),
    "an extension": (answers(with_header(b"Sec-WebSocket-Extensions: permessage-deflate")), ODD),
    "a subprotocol": (answers(with_header(b"Sec-WebSocket-Protocol: other")), ODD),
    "a body": (answers(with_header(b"Content-Length: 5")), ODD),
    "HTTP/1.0": (answers(lambda answer: answer.replace(b"HTTP/1.1", b"HTTP/1.0")), ODD),
    "a malformed header": (answers(with_header(b"no colon")), ODD),
    "a malformed header and silence": (answers(lambda answer: answer[:-2] + b"no colon\r\n"), ODD),
    "a control character": (answers(with_header(b"Server: \x01\x00")), ODD),
    "a head without end": (answers(lambda answer: answer[:-2] + b"Server: s\r\n" * 8000), ODD),
    "a line without end": (answers(lambda answer: answer[:-2] + b"Server: " + b"s" * 80000), ODD),
}
"""Answers that open no session."""


class Spy:
    """Notes the states in which compiled dials end."""

    def __init__(self, loop, states):
        self.fileno, self.begin, self.abandon, self.close = loop.fileno, loop.begin, loop.abandon, loop.close
        self._run, self._states = loop.run, states

    def run(self):
        events = self._run()
        self._states += [event[1] for event in events]
        return events


async def counts_of(engine_type, plan):
    """Opens the sessions of a plan. Returns all that was counted, by name, and the states of compiled dials."""
    engine = engine_type(plan, Shard(0, 1))
    states = []
    if engine_type.name == "native":
        plain = engine._pool.opener._plain
        plain.loop = Spy(plain.loop, states)
    await engine.open()
    opened = engine.status.open_sessions
    # What comes behind an answer has come by then.
    await asyncio.sleep(0.03)
    await engine.close()
    tally = Tally()
    part = engine.collect()
    tally.merge(part.tally)
    counted = {name: getattr(tally, name) for name in (*COUNT_FIELDS, *LABELED_FIELDS) if name not in OF_THE_MACHINE}
    times = {name: getattr(tally, name).count for name in HISTOGRAM_FIELDS if name not in OF_THE_MACHINE}
    counted = {name: value for name, value in (counted | times).items() if value}
    return counted | {"examples": part.fault_examples, "open": opened}, states


def both(url, *, state=None, dials=2, **options):
    """Returns what each engine counted, and checks in which state the dials of the compiled loop ended."""
    outcomes = []
    plan = make_plan(url, workers=1, **{"connections": dials, "rate": 1, **options})
    for engine_type in (PortableEngine, ENGINES["native"]()):
        assert "portable" in engine_type.name or engine_type.unsupported(plan) == []
        counted, states = run(counts_of(engine_type, plan))
        outcomes.append(counted)
    if state is not None:
        assert states == [state] * dials
    return outcomes


@pytest.mark.parametrize("answer", GRANTED)
def test_answers_that_open_a_session_are_counted_alike(answer):
    behavior, state = GRANTED[answer]
    with FaultyServer(behavior) as server:
        portable, native = both(server.url, state=state)
    assert native == portable
    assert (portable["opened"], portable["closed"]) == (2, {"1000": 2})
    assert portable.get("pushed", 0) == (2 if "message" in answer else 0)


@pytest.mark.parametrize("answer", REFUSED)
def test_answers_that_open_no_session_are_counted_alike(answer):
    behavior, state = REFUSED[answer]
    with FaultyServer(behavior) as server:
        portable, native = both(server.url, state=state, connect_timeout="150ms" if state == LATE else "5s")
    assert native == portable
    assert (portable["failed"], portable["open"]) == (2, 0)
    assert sum(portable["faults"].values()) == 2


@pytest.mark.parametrize(
    ("chosen", "state"),
    [(b"", OPEN), (b"one", OPEN), (b"two", OPEN), (b"one, two", ODD), (b"ONE", ODD), (b"three", ODD)],
)
def test_subprotocols_are_judged_alike(chosen, state):
    change = with_header(b"Sec-WebSocket-Protocol: " + chosen) if chosen else bytes
    with FaultyServer(answers(change)) as server:
        portable, native = both(server.url, state=state, subprotocol=["one", "two"])
    assert native == portable
    assert portable.get("not_granted", {}) == ({} if chosen else {"subprotocol": 2})


def test_requests_are_the_same_and_keys_are_not():
    with FaultyServer(behaviors.echoes) as server:
        both(server.url + "a?b={connection}", state=OPEN, header=["X-One: {connection}"], user="me:secret")
        requests = server.seen.requests
    keys = [request.headers.pop("sec-websocket-key") for request in requests]
    assert len(set(keys)) == 4
    assert requests[:2] == requests[2:]


def test_a_port_without_a_listener_is_counted_alike():
    with unused_port() as port:
        portable, native = both(f"ws://127.0.0.1:{port}/", state=NOT_CONNECTED)
    assert native == portable
    assert portable["faults"] == {"connect-refused": 2}


def test_an_address_without_a_way_is_counted_alike():
    """The kernel says so before it sends anything."""
    portable, native = both("ws://127.0.0.1:9/", bind=["127.0.0.77"], resolve="127.0.0.1:9:255.255.255.255")
    assert native == portable
    assert portable["failed"] == 2


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_and_source_addresses():
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(FaultyServer(behaviors.echoes, host="::1"))
        except OSError:
            pytest.skip("no IPv6 on the loopback interface")
        portable, native = both(f"ws://[::1]:{server.port}/", state=OPEN, bind=["::1"])
    assert native == portable
    assert portable["opened"] == 2


def test_the_next_address_is_tried_alike():
    with FaultyServer(behaviors.echoes) as server:
        url, resolve = f"ws://several.example:{server.port}/", f"several.example:{server.port}:127.0.0.9,127.0.0.1"
        portable, native = both(url, resolve=resolve, dials=1)
        assert native == portable
        assert portable["failed_addresses"] == {f"127.0.0.9:{server.port} connect-refused": 1}
        portable, native = both(url, resolve=resolve.replace("127.0.0.1", "127.0.0.8"), dials=1)
        assert native == portable
        assert portable["faults"] == {"connect-refused": 1}
        assert "127.0.0.9" in portable["examples"]["connect-refused"]
        assert "127.0.0.8" in portable["examples"]["connect-refused"]


def test_many_dials_at_once_try_the_next_address():
    """Those that fail together go on together, in places that others have just left."""
    with FaultyServer(behaviors.echoes) as server, FaultyServer(behaviors.leaves_at_once, host="127.0.0.9") as other:
        resolve = f"several.example:{server.port}:127.0.0.8,127.0.0.1"
        urls = [f"ws://several.example:{server.port}/", f"ws://127.0.0.9:{other.port}/"]
        portable, native = both(urls, resolve=resolve, dials=100)
    for counted in (portable, native):
        # How many dials begin with an address that is known to fail, or before one has opened, is a matter of moments.
        assert sum(counted.pop("failed_addresses").values()) > 0
        assert counted.pop("examples").keys() == {"upgrade-invalid"}
    assert native == portable
    assert (native["opened"], native["failed"]) == (50, 50)


@pytest.mark.parametrize(
    ("part", "options"), [("open_asleep", {}), ("new_connection", {"lifetime": "1h"})], ids=["asleep", "awake"]
)
def test_an_error_while_a_session_is_taken_over_is_that_of_the_opening(part, options):
    async def main(url):
        engine = ENGINES["native"]()(make_plan(url, workers=1, connections=2, rate=1, **options), Shard(0, 1))
        setattr(engine._pool, part, broken)
        with pytest.raises(ExceptionGroup) as caught:
            await engine.open()
        assert caught.group_contains(LookupError, match="broken")
        with pytest.raises(LookupError, match="broken"):
            await engine._pool.opener.dial(1)
        await engine.close()

    def broken(*_):
        raise LookupError("broken")

    with FaultyServer(behaviors.echoes) as server:
        run(main(server.url))


def test_another_address_is_tried_beside_one_that_does_not_answer():
    with FaultyServer(behaviors.echoes) as server, socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.3", server.port))
        full.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        resolve = f"several.example:{server.port}:127.0.0.3,127.0.0.1"
        portable, native = both(f"ws://several.example:{server.port}/", resolve=resolve, dials=1, state=SLOW)
        assert native == portable
        assert portable["failed_addresses"] == {f"127.0.0.3:{server.port} overtaken": 1}
        portable, native = both(f"ws://127.0.0.3:{server.port}/", connect_timeout="150ms", state=LATE)
        assert native == portable
        assert portable["faults"] == {"connect-timeout": 2}


def test_dials_that_the_end_of_the_opening_calls_off_are_counted_alike():
    with FaultyServer(behaviors.silent_after_accept) as server:
        portable, native = both(server.url, dials=200, open_timeout="600ms")
    assert native == portable
    assert (portable["cancelled"], portable["failed"]) == (128, 72)


def test_a_dial_that_is_called_off_frees_its_place():
    """Of sessions that come back, each dial may be cancelled by itself."""

    async def main(url):
        engine = ENGINES["native"]()(make_plan(url, workers=1, connections=1, rate=1), Shard(0, 1))
        opener = engine._pool.opener
        await opener._dialer.resolve()
        dialing = asyncio.create_task(opener.dial(0))
        await asyncio.sleep(0.05)
        assert opener._budget.free == opener._budget.limit - 1
        dialing.cancel()
        await asyncio.wait((dialing,))
        assert opener._budget.free == opener._budget.limit
        tally = engine.collect().tally
        await engine.close()
        return tally.attempted, tally.cancelled, tally.failed

    with FaultyServer(behaviors.silent_after_accept) as server:
        assert run(main(server.url)) == (1, 1, 0)


# --- The parser of answers -------------------------------------------------------------------------------------------

LINES = [
    b"Upgrade: websocket",
    b"upgrade:WebSocket ",
    b"Upgrade: h2c",
    b"Connection: Upgrade",
    b"Connection: keep-alive,  upgrade ,x",
    b"Connection: close",
    b"Sec-WebSocket-Accept: " + frames.accept_key(KEY).encode(),
    b"Sec-WebSocket-Accept: " + KEY.encode(),
    b"Sec-WebSocket-Protocol: one",
    b"Sec-WebSocket-Protocol: two",
    b"Sec-WebSocket-Protocol: none",
    b"Sec-WebSocket-Protocol:",
    b"Sec-WebSocket-Extensions: x",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Server: any thing",
    b"Server:",
    b": no name",
    b"no colon",
    b" folded",
    b"Na me: x",
    b"X: \xff",
    b"X: \x00",
    b"X\x00: y",
]
USUAL = [LINES[0], LINES[3], LINES[6]]


class NoTransport:
    """Stands for a transport in a handshake that goes on."""


def portable_verdict(answer):
    """Returns the bytes behind an answer that the portable code accepts; None if it does not."""
    taken = []

    async def main():
        target = make_plan("ws://127.0.0.1/", subprotocol=["one", "two"]).target
        handshake = OpeningHandshake(UpgradeRequestFactory(target).of(0), lambda _, early, __: taken.append(early))
        handshake.resume(NoTransport(), KEY, 0)
        handshake.data_received(answer)

    asyncio.run(main())
    return taken[0] if taken else None


@st.composite
def heads(draw):
    """Heads of answers: ordinary ones, some of which lack a line, have others, end lines otherwise, or are damaged."""
    status = [b"HTTP/1.1 101", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 1010", b"HTTP/1.1 200 OK"]
    usual = draw(st.permutations(USUAL))
    more = draw(st.lists(st.sampled_from(LINES), max_size=3))
    lines = [draw(st.sampled_from(status)), *usual[draw(st.sampled_from([0, 0, 0, 1])) :], *more]
    head = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])).join([*lines, b"", b""])
    if draw(st.sampled_from([False, False, True])):
        at = draw(st.integers(0, len(head) - 1))
        head = head[:at] + draw(st.binary(min_size=1, max_size=1)) + head[at + 1 :]
    return head


@given(heads(), st.binary(max_size=4))
def test_what_is_granted_here_is_granted_there(head, behind):
    from ws_load_test.engine.native.dialing import judged

    accept = frames.accept_key(KEY).encode()
    verdict, size = judged(head + behind, accept, b"one,two")
    if verdict == 1:
        assert portable_verdict(head + behind) == (head + behind)[size:]
        # However it is cut, it is granted once it is whole.
        assert {judged(head[:at], accept, b"one,two") for at in range(size)} == {(0, 0)}
    elif verdict == 0:
        assert portable_verdict(head + behind) is None


def test_the_ordinary_answer_is_granted():
    from ws_load_test.engine.native.dialing import accept_of, judged

    assert accept_of(KEY.encode()) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    head = b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *USUAL, b"", b""])
    assert judged(head + WELCOME, frames.accept_key(KEY).encode(), b"") == (1, len(head))
    keys = [frames.new_key() for _ in range(200)]
    assert [accept_of(key.encode()).decode() for key in keys] == [frames.accept_key(key) for key in keys]
