"""Every kind of ending, provoked by a hostile server on a real socket, under both loads, and named right.

`test_faults` and `test_upgrade` have the common ones; here are the others, and a test that none is missing. A worker
runs in this process, and its reports go the whole way to the summary that a user reads.
"""

import ast
import asyncio
import inspect
import re
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import test_faults

from ws_load_test import make_plan, run
from ws_load_test.analysis.summary import summarize
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import FaultKind
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.sessions import connection, session
from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.metrics.recording import Header, Recording, Trailer
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import (
    Certificates,
    FaultyServer,
    behaviors,
    protocol_violations,
    unused_port,
)
from ws_load_test.websocket import frames
from ws_load_test.worker.ipc import Assignment, IntervalReport
from ws_load_test.worker.phases import WorkerRun

pytestmark = pytest.mark.every_engine

try:
    from uvloop import new_event_loop as new_loop
except ImportError:  # there are no wheels for Windows
    from asyncio import new_event_loop as new_loop

# libuv makes a pipe for signals with its first loop, and keeps it.
new_loop().close()
MS = 1_000_000
OVERDUE = {"timeout": "300ms"}
"""Option of runs in which a reply does not come."""
TO_ITS_END = {"duration": "60s"}
"""Option of runs that are over once all sessions are lost."""
LOADS = {"closed loop": {}, "open loop": {"rate": 200}}
both_loads = pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
certificates = Certificates()


def judged(url, *, loop=new_loop, **options):
    """The summary of a run of one worker in this process, and a sentence for each kind of fault in it."""
    options = {"duration": "120ms", "timeout": "5s", "connect_timeout": "5s", **options}
    if "messages" in options:
        del options["duration"]
    plan = make_plan(url, workers=1, **options)
    coordinator, intervals, problems = Coordinator(1, monotonic_ns()), [], []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

        def take(report):
            written = msgspec.json.encode(report)
            events = coordinator.report(0, msgspec.json.decode(written, type=IntervalReport))
            intervals.extend(event.interval for event in events)
            if report.ready:
                worker.start_at(monotonic_ns() + 5 * MS, LoadSwitch()) if coordinator.opened else worker.stop()

        worker = WorkerRun(Assignment(plan, Shard(0, 1), 50 * MS), take)
        await worker.run()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))
    assert not problems, "no callback may fail, whatever a target does: it would end the worker"
    header = Header(
        tool="ws-load-test",
        started_at="2024-01-31T10:00:00Z",
        plan=msgspec.to_builtins(plan.redacted()),
        target=plan.redacted().target.url,
        host={},
        workers=1,
    )
    trailer = Trailer(ended_at="2024-01-31T10:00:01Z", interrupted=False, lost_workers=(), summary={})
    recording = Recording(header, tuple(intervals), trailer)
    return checked(summarize([recording]), recording)


def checked(summary, recording):
    """The summary and the sentences, once all that must hold for every run does."""
    connections, messages, total, told = summary.connections, summary.messages, Tally(), {}
    for interval in recording.intervals:
        total.merge(Tally.from_record(interval.encoded_tally))
        told |= interval.fault_examples
    assert connections.attempted == connections.opened + connections.failed + connections.cancelled
    assert connections.opened == sum(connections.closed.values()), "every session's end is counted, and once"
    assert messages.due == messages.sent + messages.dropped
    assert messages.sent == messages.answered + messages.unanswered
    assert total.unanswered == messages.unanswered, "the workers told it; the summary had nothing to make up"
    times = summary.response_time_ns
    assert (times.count if times else 0) == messages.answered
    assert not total.host_errors, "what the target does wrong is never this machine's failing"
    assert told.keys() == summary.faults.keys(), "every kind of fault has a sentence"
    for text in told.values():
        assert text
        assert text.isprintable()
        assert not re.search(r"Traceback|\wError|Errno|\.c:\d|\.py", text), text
    of_sessions = sum(count for key, count in summary.faults.items() if key != "check-failed")
    if recording.header.plan["correlation"]["rule"] != "json":
        assert of_sessions == connections.failed + connections.lost, "a session has one fault, or none"
    return summary, told


# --- sessions that end -------------------------------------------------------------------------------------------


@dataclass
class Ending:
    """What a target does, and what must be told of the one session with it."""

    behaviour: object
    key: str
    closed: str
    words: str = ""
    answered: int | None = None
    options: dict = field(default_factory=dict)
    reasons: dict = field(default_factory=dict)
    tls: bool = False


def says(data, *, after=1, headers=None, leave=False):
    """Instead of a reply to the message after `after` good ones, sends these bytes."""

    async def behave(peer):
        await peer.upgrade(headers=headers)
        received = 0
        async for message in peer.messages():
            if received == after:
                await peer.send_raw(data)
                if leave:
                    return
            elif received < after:
                await peer.reply(message)
            received += 1

    return behave


def at_once(data, *, then=None):
    """Sends bytes in the segment of its 101, before anybody has asked for anything."""

    async def behave(peer):
        await peer.upgrade(together_with=data)
        if then == "reset":
            peer.reset()
        elif then != "leave":
            await peer.until_gone()

    return behave


def breach(data, clause, words="", code=1002, **more):
    """Bytes that break a clause."""
    return Ending(says(data), f"protocol-error:{clause}", str(code), words or f"section {clause}", 1, **more)


def close(body):
    return frames.encode_frame(frames.CLOSE, body)


def compressed(payload, *, opcode=frames.TEXT, whole=True):
    return frames.encode_frame(opcode, payload, rsv=frames.RSV1, fin=whole)


def deflated(text):
    squeezer = zlib.compressobj(wbits=-15)
    return (squeezer.compress(text) + squeezer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def bomb():
    """A few kilobytes that inflate to more than the 64 MiB that are taken."""
    squeezer = zlib.compressobj(9, wbits=-15)
    block = squeezer.compress(bytes(1 << 20)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return block * 65


AGREED = {"Sec-WebSocket-Extensions": "permessage-deflate"}
LONG_REASON = "\N{SNOWMAN}" * 41
SHORT_BINARY = bytes((frames.FIN | frames.BINARY,))


def inflated(data, clause, words, code=1002, *, strict=False):
    """Bytes that break a clause where compression was agreed."""
    options = {"deflate": True, "check_utf8": strict}
    behaviour = says(data, after=0, headers=AGREED)
    return Ending(behaviour, f"protocol-error:{clause}", str(code), words, 0, options)


def login_that(behaviour, key, closed, words, **more):
    """A first message, and what becomes of it."""
    options = {"first_message": "login", **more.pop("options", {})}
    return Ending(behaviour, key, closed, words, 0, options, **more)


ENDINGS = {
    "a close without a code": Ending(says(close(b"")), "closed:1005", "1005", "closed with 1005", 1),
    "a close with the longest reason": Ending(
        says(close(frames.close_payload(3000, LONG_REASON))),
        "closed:3000",
        "3000",
        f'closed with 3000 "{LONG_REASON}"',
        1,
        reasons={f"3000 {LONG_REASON}": 1},
    ),
    "a close in mid-message": Ending(
        says(frames.encode_frame(frames.TEXT, b"begun", fin=False) + close(frames.close_payload(1001))),
        "closed:1001",
        "1001",
        "",
        1,
    ),
    "a close, cut, and no more": Ending(
        says(close(frames.close_payload(1001))[:3], leave=True), "closed:1006", "1006", "without a close frame", 1
    ),
    "replies, then a close in one segment": Ending(
        says(frames.encode_frame(frames.TEXT, b"PING") + close(frames.close_payload(1012)), after=0),
        "closed:1012",
        "1012",
        "",
        1,
    ),
    "a close, then more": Ending(
        says(close(frames.close_payload(1012)) + frames.encode_frame(frames.TEXT, b"PING")),
        "closed:1012",
        "1012",
        "",
        1,
    ),
    "a close with its 101": Ending(
        at_once(close(frames.close_payload(1013, "later"))),
        "closed:1013",
        "1013",
        'closed with 1013 "later"',
        0,
        reasons={"1013 later": 1},
    ),
    "gone with its 101": Ending(at_once(b"", then="leave"), "closed:1006", "1006", "without a close frame", 0),
    "a breach with its 101": Ending(
        at_once(frames.encode_frame(frames.TEXT, b"x", mask=b"1234")), "protocol-error:5.1", "1002", "section 5.1", 0
    ),
    "half a header, then a reset": Ending(at_once(b"\x81", then="reset"), "reset", "1006", "reset the connection", 0),
    "a masked frame, cut in its header": breach(bytes((0x81, 0xFE)), "5.1"),
    "a short length in two bytes": breach(SHORT_BINARY + bytes((126,)) + (125).to_bytes(2) + bytes(125), "5.2"),
    "a short length in eight bytes": breach(SHORT_BINARY + bytes((127,)) + (65535).to_bytes(8), "5.2"),
    "a length with its highest bit": breach(
        SHORT_BINARY + b"\x7f" + (1 << 63 | 5).to_bytes(8), "5.2", "a length with its highest bit set"
    ),
    "a reserved control opcode": breach(frames.encode_frame(0xB, b""), "5.2", "reserved opcode 0xb"),
    "a reserved bit on a ping": breach(frames.encode_frame(frames.PING, b"", rsv=0x10), "5.2"),
    "compressed, but nobody agreed to it": breach(compressed(deflated(b"PING")), "5.2"),
    "a continuation of what is whole": Ending(
        says(
            frames.encode_frame(frames.TEXT, b"a", fin=False)
            + frames.encode_frame(0, b"b")
            + frames.encode_frame(0, b"c")
        ),
        "protocol-error:5.4",
        "1002",
        "section 5.4",
        2,
    ),
    "fragments within fragments": breach(
        frames.encode_frame(frames.TEXT, b"a", fin=False) + frames.encode_frame(frames.BINARY, b"b", fin=False), "5.4"
    ),
    "a fragmented close": breach(frames.encode_frame(frames.CLOSE, frames.close_payload(1000), fin=False), "5.5"),
    "a long close": breach(close((1000).to_bytes(2) + b"x" * 124), "5.5"),
    "a close of one byte": breach(close(b"\x03"), "5.5.1"),
    **{f"a close with {code}": breach(close(code.to_bytes(2)), "7.4") for code in (0, 999, 1004, 1006, 1015, 5000)},
    "a close reason that is not UTF-8": breach(close(b"\x03\xe8caf\xe9"), "8.1", code=1007),
    "a text cut in a character": breach(
        frames.encode_frame(frames.TEXT, b"caf\xc3"), "8.1", code=1007, options={"check_utf8": True}
    ),
    "what cannot be inflated": inflated(compressed(b"\xff" * 9), "RFC 7692 7.2.2", "RFC 7692, section 7.2.2", 1007),
    "what inflates to too much": Ending(
        says(compressed(bomb(), opcode=frames.BINARY), after=0, headers=AGREED),
        "message-too-large",
        "1009",
        "inflates to more than the 67108864 bytes of --max-message-size",
        0,
        {"deflate": True},
    ),
    "more than may be": Ending(
        says(SHORT_BINARY + bytes((126,)) + (1001).to_bytes(2)),
        "message-too-large",
        "1009",
        "a message of 1001 bytes, more than the 1000 of --max-message-size",
        1,
        {"max_message_size": "1kB"},
    ),
    "HTTP instead of a frame": breach(b"HTTP/1.1 504 Gateway Timeout\r\n", "5.2", "this looks like HTTP"),
    "a compressed ping": inflated(compressed(b"", opcode=frames.PING), "5.2", "reserved bits"),
    "a compressed continuation": inflated(
        compressed(b"a", whole=False) + compressed(b"b", opcode=frames.CONTINUATION), "5.2", "reserved bits"
    ),
    "compressed text that is not UTF-8": inflated(
        compressed(deflated(b"caf\xe9")), "8.1", "not UTF-8", 1007, strict=True
    ),
    "no reply to a first message": login_that(
        behaviors.never_answers, "first-reply-timeout", "1000", "answer the first message within 300 ms"
    ),
    "no greeting": login_that(
        behaviors.echoes, "first-reply-timeout", "1000", "did not greet or answer", options={"skip_first": 1}
    ),
    "no reply to a first message, nor to our close": login_that(
        behaviors.never_reads, "first-reply-timeout", "1006", "within 300 ms"
    ),
    "a login that is refused": login_that(
        behaviors.echoes,
        "check-failed:first-reply",
        "1000",
        "fails --expect-first contains:welcome",
        options={"expect_first": "contains:welcome"},
    ),
    "a login that is answered with a close": login_that(
        says(close(frames.close_payload(4401, "who are you")), after=0),
        "closed:4401",
        "4401",
        "who are you",
        reasons={"4401 who are you": 1},
    ),
    "a login that breaks the connection": login_that(behaviors.resets_after(1), "reset", "1006", "reset"),
    "gone under TLS": Ending(
        behaviors.vanishes_after(2), "closed:1006", "1006", "", None, {"insecure": True}, tls=True
    ),
    "a reset under TLS": Ending(behaviors.resets_after(2), "reset", "1006", "", None, {"insecure": True}, tls=True),
    "a breach under TLS": Ending(
        protocol_violations.reserved_bits(after=2),
        "protocol-error:5.2",
        "1002",
        "reserved bits",
        2,
        {"insecure": True},
        tls=True,
    ),
}


@both_loads
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_session_ends(ending, load, monkeypatch):
    monkeypatch.setattr("ws_load_test.engine.connection_pool.CLOSE_TIMEOUT_S", 0.2)
    with FaultyServer(ending.behaviour, tls=certificates.trusted() if ending.tls else None) as server:
        overdue = OVERDUE if "timeout" in ending.key else {}
        check_ended(ending, *judged(server.url, **TO_ITS_END, **overdue, **ending.options, **load))
        server.wait_for(lambda seen: seen.upgraded == 1)
        # It takes compressed messages for ones with reserved bits.
        assert not server.seen.violations or "deflate" in ending.options


def check_ended(ending, summary, told):
    connections = summary.connections
    assert summary.faults == {ending.key: 1}
    assert (connections.opened, connections.failed, connections.lost) == (1, 0, 1)
    assert connections.closed == {ending.closed: 1}
    assert connections.close_reasons == ending.reasons
    assert ending.words in told[ending.key]
    if ending.answered is not None:
        assert summary.messages.answered == ending.answered


OF_FLOODS = {name: case for name, case in test_faults.SESSIONS.items() if "in_flight" not in case.options}


@pytest.mark.parametrize("case", OF_FLOODS.values(), ids=OF_FLOODS)
def test_a_session_on_a_schedule_ends_as_that_of_a_flood(case):
    with FaultyServer(case.behaviour) as server:
        summary, told = judged(server.url, **TO_ITS_END, **LOADS["open loop"], **case.options)
    assert summary.faults == case.faults
    connections = summary.connections
    assert (connections.lost, connections.closed, connections.close_reasons) == (1, case.closed, case.reasons)
    assert case.words in told[next(iter(case.faults))]
    if case.answered is not None:
        assert summary.messages.answered == case.answered


AFTER_THE_END = {
    "a close, then a masked frame": (close(frames.close_payload(1012, "bye")), b"\x81\x85", "closed:1012", "1012"),
    "a close, then a long length": (close(frames.close_payload(1012, "bye")), b"\x82\x7e\0\x05", "closed:1012", "1012"),
    "two breaches": (frames.encode_frame(frames.TEXT, b"", rsv=0x40), b"\x81\x85", "protocol-error:5.2", "1002"),
}


@both_loads
@pytest.mark.parametrize(("end", "more", "key", "closed"), AFTER_THE_END.values(), ids=AFTER_THE_END)
def test_what_comes_first_in_a_read_is_the_end_of_the_session(end, more, key, closed, load):
    with FaultyServer(says(end + more)) as server:
        summary, _ = judged(server.url, **TO_ITS_END, **load)
    assert summary.faults == {key: 1}
    assert (summary.connections.lost, summary.connections.closed) == (1, {closed: 1})


@both_loads
def test_more_reasons_than_are_reported_apart(load):
    turn = iter(range(100))

    async def has_many_reasons(peer):
        await behaviors.closes_after(1, 4000, f"because of {next(turn)}")(peer)

    with FaultyServer(has_many_reasons) as server:
        summary, told = judged(server.url, connections=20, **TO_ITS_END, **load)
    reasons = summary.connections.close_reasons
    assert summary.faults == {"closed:4000": 20}
    assert len(reasons) == 17
    assert reasons["4000 (other reasons)"] == 4
    assert told["closed:4000"] in {f'closed with 4000 "because of {number}"' for number in range(20)}


@both_loads
def test_a_record_that_was_tampered_with_is_a_broken_connection(load):
    async def tampers(peer):
        there, back = await asyncio.open_connection("127.0.0.1", server.port)

        async def pump(source, sink, *, spoils=False):
            while data := await source.read(1 << 16):
                spoil = spoils and server.seen.replies >= 2
                sink.write(data[:-1] + bytes((data[-1] ^ 0xFF,)) if spoil else data)

        ways = [pump(peer._reader, back), pump(there, peer._writer, spoils=True)]
        pumps = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        back.transport.abort()
        await asyncio.gather(*pumps, return_exceptions=True)

    with FaultyServer(behaviors.echoes, tls=certificates.trusted()) as server, FaultyServer(tampers) as relay:
        summary, told = judged(relay.url.replace("ws:", "wss:"), insecure=True, **TO_ITS_END, **load)
    assert summary.faults == {"reset": 1}
    assert (summary.connections.lost, summary.connections.closed) == (1, {"1006": 1})
    assert told["reset"].startswith("broke the connection: ")


# --- replies that do not come, or say the wrong thing ------------------------------------------------------------


async def leaves_every_third_unanswered(peer):
    await peer.upgrade()
    received = 0
    async for message in peer.messages():
        received += 1
        if received % 3:
            await peer.reply(message)


@both_loads
def test_a_reply_that_does_not_come_ends_the_session_in_order(load):
    with FaultyServer(behaviors.never_answers) as server:
        summary, told = judged(server.url, timeout="60ms", connections=2, **TO_ITS_END, **load)
    assert summary.faults == {"reply-timeout": 2}
    assert (summary.connections.lost, summary.connections.closed) == (2, {"1000": 2})
    assert summary.messages.answered == 0
    assert told["reply-timeout"] == "did not answer a message within 60 ms"


@pytest.mark.alone
@both_loads
def test_a_reply_that_does_not_come_ends_no_session_by_id(load):
    with FaultyServer(leaves_every_third_unanswered) as server:
        summary, told = judged(
            server.url, timeout="60ms", message='{"id": {seq}}', match="json:id", duration="250ms", **load
        )
        sent, answered = server.seen.messages, server.seen.replies
    assert summary.messages.sent == sent
    assert summary.messages.answered == answered >= 4
    assert summary.faults == {"reply-timeout": sent - answered}
    assert summary.messages.unanswered == sent - answered >= 2
    assert (summary.connections.lost, summary.connections.closed) == (0, {"1000": 1})
    assert told["reply-timeout"] == "did not answer a message within 60 ms"


@both_loads
@pytest.mark.parametrize("matching", [{}, {"match": "json:id"}], ids=["in order", "by id"])
def test_a_reply_that_says_the_wrong_thing_ends_no_session(load, matching):
    with FaultyServer(behaviors.echoes) as server:
        summary, told = judged(
            server.url, message='{"id": {seq}}', expect="contains:ok", messages=20, **matching, **load
        )
        assert summary.messages.answered == server.seen.messages > 5
    assert summary.faults == {"check-failed": summary.messages.answered}
    assert (summary.connections.lost, summary.connections.closed) == (0, {"1000": 1})
    assert told["check-failed"] == "sent a reply that fails --expect contains:ok"


# --- sessions that do not open -----------------------------------------------------------------------------------


def answers(data, *, then="wait"):
    """Bytes in answer to the upgrade request."""

    async def behave(peer):
        await peer.read_request()
        await peer.send_raw(data)
        if then == "reset":
            peer.reset()
        elif then == "wait":
            await peer.until_gone()

    return behave


async def dribbles_without_end(peer):
    await peer.read_request()
    await peer.send_raw(b"HTTP/1.1 101 Switching Protocols\r\nX-Patience: ")
    while True:
        await peer.send_raw(b"x")
        await asyncio.sleep(0.02)


def grants(**headers):
    async def behave(peer):
        await peer.upgrade(headers={name.replace("_", "-"): value for name, value in headers.items()})
        await peer.until_gone()

    return behave


STATUSES = (200, 204, 301, 304, 401, 418, 429, 500, 502, 504)
REFUSALS = (
    *((behaviors.rejects(status), f"upgrade-rejected:{status}") for status in STATUSES),
    (answers(b"HTTP/1.1 999 Go Away\r\n\r\n"), "upgrade-rejected:999"),
    (answers(b"HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 503\r\n\r\n"), "upgrade-rejected:503"),
    (grants(Sec_WebSocket_Extensions="x-secret-sauce"), "upgrade-invalid"),
    (grants(Sec_WebSocket_Protocol="nobody.asked"), "upgrade-invalid"),
    (grants(Upgrade="h2c"), "upgrade-invalid"),
    (answers(b"HTTP/1.1 101 x\r\nX: " + bytes(1 << 17)), "upgrade-invalid"),
    (answers(b"\x81\x05hello"), "upgrade-invalid"),
    (answers(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), "upgrade-rejected:200"),
    (answers(b"HTTP/1.1 101 Switching", then="leave"), "upgrade-invalid"),
    (answers(b"HTTP/1.1 101 Switching", then="reset"), "reset"),
    (answers(b"HTTP/1.1 100 Continue\r\n\r\n"), "upgrade-timeout"),
    (dribbles_without_end, "upgrade-timeout"),
)


def counts(keys):
    return {key: list(keys).count(key) for key in keys}


@both_loads
def test_refusals_of_every_kind_and_one_that_is_none(load):
    with FaultyServer(*(behaviour for behaviour, _ in REFUSALS), behaviors.echoes) as server:
        # One after the other, so that the last one is the one that opens.
        options = {"connections": len(REFUSALS) + 1, "connect_rate": "500", "connect_timeout": "2s"}
        summary, told = judged(server.url, messages=20, **options, **load)
        assert summary.messages.answered == server.seen.messages > 5
    assert summary.faults == counts([key for _, key in REFUSALS])
    connections = summary.connections
    assert (connections.opened, connections.failed, connections.lost) == (1, len(REFUSALS), 0)
    assert connections.closed == {"1000": 1}
    assert told["upgrade-rejected:999"] == "answered the upgrade with 999 Go Away"
    assert told["upgrade-rejected:503"] == "answered the upgrade with 503"
    assert told["reset"] == "reset the connection instead of answering the upgrade"
    # One of them has begun to answer, and the first of all is the example.
    assert told["upgrade-timeout"].endswith(" within 2 s")


def test_a_redirect_with_a_cookie_in_other_letters():
    async def moves(peer):
        request = await peer.read_request()
        if request.target != "/":
            await behaviors.echoes(peer)
        else:
            head = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nSet-Cookie: a=caf\xe9\r\nContent-Length: 0\r\n\r\n"
            await peer.send_raw(head)

    with FaultyServer(moves) as server:
        summary, _ = judged(server.url, follow_redirects=True)
    assert summary.connections.opened == 1


async def resets_in_the_handshake(peer):
    await peer._reader.read(1)
    peer.reset()


async def leaves_in_the_handshake(peer):
    await peer._reader.read(1)


async def begins_a_handshake(peer):
    await peer._reader.read(1)
    await peer.send_raw(b"\x16\x03\x03\x00\x7a")
    await peer.until_gone()


def alerts(description):
    """A fatal TLS alert (RFC 8446, section 6)."""

    async def behave(peer):
        await peer._reader.read(1)
        await peer.send_raw(b"\x15\x03\x03\x00\x02\x02" + bytes((description,)))
        await peer.until_gone()

    return behave


HANDSHAKES = (
    (resets_in_the_handshake, "tls"),
    (leaves_in_the_handshake, "tls"),
    (alerts(40), "tls"),
    (alerts(112), "tls"),
    (begins_a_handshake, "tls-timeout"),
)


def test_handshakes_that_fail():
    for loop in (new_loop, asyncio.new_event_loop):
        with FaultyServer(*(behaviour for behaviour, _ in HANDSHAKES)) as server:
            url = server.url.replace("ws:", "wss:")
            summary, told = judged(
                url, loop=loop, connections=len(HANDSHAKES), connect_rate="500", connect_timeout="1s"
            )
        assert summary.faults == counts([key for _, key in HANDSHAKES])
        assert summary.connections.failed == len(HANDSHAKES)
        assert told["tls-timeout"].startswith("did not finish the TLS handshake within 1 s")


OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def opens_and_resets(peer):
    await peer.read_request()
    await peer.send_raw(OPENED)
    await peer._reader.read(1)
    peer.reset()


PROXIES = (
    (answers(b"HTTP/1.1 407 Who Are You\r\n\r\n"), "proxy:407"),
    (answers(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "proxy:502"),
    (answers(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"), "proxy:302"),
    (behaviors.resets_at_once, "proxy:reset"),
    (answers(b"HTTP/1.1 200", then="leave"), "proxy"),
    (answers(b"220 mail.example ESMTP\r\n\r\n"), "proxy"),
    (answers(OPENED + b"HTTP/1.1 101 Hello\r\n"), "proxy"),
    (behaviors.silent_after_request, "proxy:timeout"),
    (answers(OPENED), "upgrade-timeout"),
    (opens_and_resets, "reset"),
)
SOCKS = (
    (b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6), "proxy:5"),
    (b"\x05\xff", b"", "proxy"),
    (b"\x05\x00", b"\x05\x00", "proxy"),
    (b"\x04\x00", b"", "proxy"),
)


def test_proxies_that_fail():
    options = {"connections": len(PROXIES), "connect_rate": 500, "connect_timeout": "1s"}
    with FaultyServer(*(behaviour for behaviour, _ in PROXIES)) as proxy:
        summary, told = judged("ws://service.example/", proxy=proxy.url.replace("ws:", "http:"), **options)
    assert summary.faults == counts([key for _, key in PROXIES])
    assert summary.connections.failed == len(PROXIES)
    assert all("proxy" in text for key, text in told.items() if key.startswith("proxy"))


def test_socks_proxies_that_fail():
    def speaks(*parts):
        async def behave(peer):
            for part in parts:
                await peer._reader.read(64)
                await peer.send_raw(part)

        return behave

    with FaultyServer(*(speaks(*parts) for *parts, _ in SOCKS)) as proxy:
        summary, _ = judged(
            "ws://service.example/", proxy=f"socks5h://127.0.0.1:{proxy.port}", connections=len(SOCKS), connect_rate=500
        )
    assert summary.faults == counts([key for *_, key in SOCKS])


async def never_found(self, host, port, **_):
    await asyncio.Event().wait()


NOWHERE = {
    "a name that takes too long": ({}, "dns-timeout", 'the name "slow.example" does not resolve within 300 ms'),
    "a proxy whose name takes too long": (
        {"proxy": "http://slow.example:8080"},
        "dns-timeout",
        'the name "slow.example" does not resolve within 300 ms',
    ),
    "no address of the kind": (
        {"connect_to": "127.0.0.1", "bind": "::1"},
        "unreachable",
        '"127.0.0.1" has no address of the kind of those that --bind names',
    ),
    "a socket that is not there": ({"unix_socket": "/nowhere/socket"}, "unreachable", "No such file"),
    "a proxy that cannot be reached": ({"proxy": "http://255.255.255.255:9"}, "proxy:unreachable", "cannot be reached"),
}


@pytest.mark.parametrize(("options", "key", "words"), NOWHERE.values(), ids=NOWHERE)
def test_nowhere_to_connect_to(options, key, words, monkeypatch):
    if "timeout" in key:
        monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", never_found)
        options = options | {"connect_timeout": "300ms"}
    loop = asyncio.SelectorEventLoop if "timeout" in key else new_loop
    summary, told = judged("ws://slow.example/", loop=loop, connections=3, **options)
    assert summary.faults == {key: 3}
    assert (summary.connections.failed, summary.messages.due) == (3, 0)
    assert words in told[key]


def test_a_proxy_that_does_not_run():
    with unused_port() as port:
        summary, _ = judged("ws://service.example/", proxy=f"http://127.0.0.1:{port}", connections=2)
    assert summary.faults == {"proxy:refused": 2}


def test_a_lookup_that_takes_too_long_fails_its_own_sessions(monkeypatch):
    found = asyncio.SelectorEventLoop.getaddrinfo

    async def some(self, host, port, **options):
        return await (never_found if host == "slow.example" else found)(self, host, port, **options)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", some)
    with FaultyServer(behaviors.echoes) as server:
        urls = [server.url, "ws://slow.example/"]
        summary, _ = judged(urls, loop=asyncio.SelectorEventLoop, connections=4, messages=20, connect_timeout="600ms")
        assert summary.messages.answered == server.seen.messages > 5
    assert summary.faults == {"dns-timeout": 2}
    assert (summary.connections.opened, summary.connections.failed) == (2, 2)


# --- sessions that come back, or try to --------------------------------------------------------------------------


@both_loads
@pytest.mark.parametrize(
    ("then", "key"),
    [
        (behaviors.rejects(503), "upgrade-rejected:503"),
        (behaviors.leaves_at_once, "upgrade-invalid"),
        (behaviors.resets_at_once, "reset"),
    ],
)
def test_a_session_that_cannot_come_back_has_a_fault_for_each_attempt(then, key, load):
    with FaultyServer(behaviors.closes_after(2, 1012, "deploying"), then) as server:
        summary, _ = judged(server.url, reconnect="20ms", **(load | {"duration": "500ms"}))
    connections = summary.connections
    assert connections.failed >= 1
    assert summary.faults == {"closed:1012": 1, key: connections.failed}
    assert (connections.opened, connections.lost, connections.reconnected) == (1, 1, 0)
    assert connections.close_reasons == {"1012 deploying": 1}


@both_loads
def test_a_session_that_ends_before_the_load_begins_comes_back(load):
    with FaultyServer(at_once(close(frames.close_payload(1012))), behaviors.echoes) as server:
        summary, _ = judged(
            server.url, connections=2, connect_rate=500, reconnect="10ms", **(load | {"duration": "300ms"})
        )
    assert summary.faults == {"closed:1012": 1}
    assert summary.connections.reconnected == 1


# --- all at once -------------------------------------------------------------------------------------------------


@pytest.mark.alone
@both_loads
def test_the_numbers_of_healthy_sessions_stay_right_while_others_end(load):
    """Two workers and their fleet: half of the connections end in ways of their own, the others are echoed slowly."""
    hostile = [
        behaviors.rejects(503),
        behaviors.leaves_at_once,
        behaviors.closes_after(0, 1013, "full"),
        says(close(b""), after=0),
        protocol_violations.masked_frame(),
        protocol_violations.reserved_bits(),
        protocol_violations.stray_continuation(),
        protocol_violations.bad_close(),
        protocol_violations.fragmented_ping(),
        protocol_violations.oversized_frame(),
        says(close(b"\x03\xe8\xff"), after=0),
        behaviors.never_answers,
    ]
    expected = {
        "upgrade-rejected:503": 1,
        "upgrade-invalid": 1,
        "closed:1013": 1,
        "closed:1005": 1,
        **{f"protocol-error:{clause}": 1 for clause in ("5.1", "5.2", "5.4", "5.5", "7.4", "8.1")},
        "message-too-large": 1,
        "reply-timeout": 1,
    }
    healthy = behaviors.delays(20 * MS)
    # Two and two, so that either worker has some of each, whether they take turns or one is the first.
    mixed = [one for pair in zip(hostile[::2], hostile[1::2], strict=True) for one in (*pair, healthy, healthy)]
    with FaultyServer(*mixed) as server:
        options = {"connections": 24, "workers": 2, "duration": "1s", "timeout": "300ms", "connect_rate": 500}
        result = run(make_plan(server.url, **options, **load), interval_s=0.2)
        server.wait_for(lambda seen: seen.open == 0)
        seen = server.seen
    summary, told = checked(result.summary, result.recording)
    connections, messages = summary.connections, summary.messages
    assert summary.faults == expected
    assert (connections.opened, connections.failed, connections.lost) == (22, 2, 10)
    assert connections.closed.pop("1000") == 13, "twelve healthy ones, and the one that never answers"
    assert sum(connections.closed.values()) == 9
    assert connections.close_reasons == {"1013 full": 1}
    assert not result.recording.trailer.lost_workers
    # The others may answer what reaches them behind their end, which comes too late.
    assert messages.answered == len(seen.delays_ns) > 100, "none but the healthy ones answered anything"
    assert messages.pushed == 0
    assert 1 <= messages.unanswered <= 80
    times = summary.service_time_ns
    delays = sorted(seen.delays_ns)
    assert times.count == len(delays)
    assert times.min >= delays[0] >= 20 * MS
    assert times.max >= delays[-1]
    assert 0 <= times.p50 - delays[len(delays) // 2] < 10 * MS, "nobody else's time is among theirs"
    if load:
        assert (messages.due, messages.dropped) == (200, 0)
    assert told.keys() == expected.keys()


# --- is anything missing? ----------------------------------------------------------------------------------------


def clauses_of(module):
    """The clause of every breach that a module names, as it is written there."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_fail":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "clause"] or node.args[2:]
            assert named, f"a breach without a clause: {ast.unparse(node)}"
            if isinstance(named[0], ast.Constant):
                yield named[0].value
        if isinstance(node, ast.FunctionDef) and node.name == "_head_problem":
            tuples = [one for one in ast.walk(node) if isinstance(one, ast.Return) and isinstance(one.value, ast.Tuple)]
            assert tuples
            yield from (one.value.elts[1].value for one in tuples)


def keys_of_test_faults():
    """What `test_faults` provokes: the keys in its tables, and those that it names to what checks them."""
    for case in test_faults.SESSIONS.values():
        yield from case.faults
    for table in (test_faults.UPGRADES, test_faults.PLAIN):
        yield from (key for _, key, _ in table.values())
    for node in ast.walk(ast.parse(Path(test_faults.__file__).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check_never_opened":
            yield from (one.value for one in node.args[1:2] if isinstance(one, ast.Constant))


def keys_of_this():
    yield from (ending.key for ending in ENDINGS.values())
    for table in (REFUSALS, HANDSHAKES, PROXIES, SOCKS):
        yield from (row[-1] for row in table)
    yield from (key for _, key, _ in NOWHERE.values())
    # Those that end no session have tests of their own, and so have targets that are given up, publishes by HTTP,
    # reactions of scenarios and coroutines that fail.
    yield from ("reply-timeout", "check-failed", "not-dialed", "open-timeout", "publish-failed")
    yield from ("reported", "scenario-failed")


def test_every_kind_of_fault_and_every_clause_is_provoked():
    provoked = {*keys_of_test_faults(), *keys_of_this()}
    kinds = {key.partition(":")[0] for key in provoked}
    assert kinds == set(FaultKind)
    clauses = {*clauses_of(connection), *clauses_of(session)}
    assert len(clauses) > 5
    named = {key.partition(":")[2] for key in provoked if key.startswith("protocol-error:")}
    assert named == clauses


async def pings_without_end(peer):
    """Pings as fast as it can, and reads nothing."""
    await peer.upgrade()
    while True:
        await peer.send_raw(b"\x89\x00" * 50_000)


def test_pings_without_end_keep_neither_the_load_nor_its_end_waiting(monkeypatch):
    monkeypatch.setattr("ws_load_test.engine.connection_pool.CLOSE_TIMEOUT_S", 0.1)
    with FaultyServer(pings_without_end) as server:
        at_s = time.monotonic()
        summary, _ = judged(server.url, connections=4, **OVERDUE)
    assert summary.connections.opened == summary.messages.sent == 4
    assert summary.faults == {"reply-timeout": 4}
    assert time.monotonic() - at_s < 45, "it left the opening, and ended"
