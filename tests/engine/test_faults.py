"""Everything a target can do wrong, each against a real socket, through a whole run: counted, named, nothing lost."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field

import msgspec
import pytest
from msgspec.structs import asdict

from ws_load_test import make_plan
from ws_load_test.api import run
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.echo import EchoProcess
from ws_load_test.metrics.tally import Tally
from ws_load_test.testing import (
    Certificates,
    FaultyServer,
    behaviors,
    protocol_violations,
    unused_port,
)

pytestmark = pytest.mark.every_engine

SECRET = "hush-hush"
QUICK = {"workers": 1, "duration": "150ms", "timeout": "5s", "connect_timeout": "5s"}
OVERDUE = {"timeout": "400ms"}
"""Option of cases whose replies do not come."""
certificates = Certificates()


def flooded(url, *, on_interval=None, **options):
    """Runs a closed loop with secrets on board; what must hold for every run is checked here."""
    scheme, _, rest = url.partition("://")
    address = f"{scheme}://ann:{SECRET}@{rest}?token={SECRET}"
    options = {**QUICK, "header": [f"Authorization: Bearer {SECRET}", f"Cookie: id={SECRET}"], **options}
    if "messages" in options:
        del options["duration"]
    result = run(make_plan(address, **options), on_interval=on_interval, interval_s=0.1)
    summary, total = result.summary, Tally()
    for interval in result.recording.intervals:
        total.merge(Tally.from_record(interval.encoded_tally))
    connections, messages = summary.connections, summary.messages
    assert connections.attempted == connections.opened + connections.failed == options.get("connections", 1)
    assert connections.opened == sum(connections.closed.values()), "every session's end is counted"
    assert connections.lost <= connections.opened
    assert messages.due == messages.sent + messages.dropped
    assert messages.sent == messages.answered + messages.unanswered
    assert total.unanswered == messages.unanswered, "the workers told it; the summary had nothing to make up"
    times = summary.response_time_ns
    assert (times.count if times else 0) == messages.answered
    assert not total.host_errors, "what the target does wrong is never this machine's failing"
    assert not result.recording.trailer.lost_workers
    told = sentences(result)
    assert told.keys() == summary.faults.keys(), "every kind of fault has a sentence"
    for text in told.values():
        assert text
        assert text.isprintable()
        assert "Traceback" not in text
        assert "Error" not in text
    assert SECRET not in json.dumps(msgspec.to_builtins([summary, result.recording]))
    return result


def sentences(result):
    """A sentence for each kind of fault."""
    told = {}
    for interval in result.recording.intervals:
        told |= interval.fault_examples
    return told


# --- sessions that never open ------------------------------------------------------------------------------------


NEVER_AGAIN = {"cancelled": 0, "reconnected": 0, "recycled": 0, "tls_resumed": 0, "close_reasons": {}}
"""What is told of connections where none is dialled again, and no target says why it closes."""


def check_never_opened(result, key, words, connections=1):
    assert result.exit_code == ExitCode.NOTHING_OPENED
    assert asdict(result.summary.connections) == {
        "attempted": connections,
        "opened": 0,
        "failed": connections,
        "lost": 0,
        "closed": {},
        **NEVER_AGAIN,
    }
    assert result.summary.faults == {key: connections}
    assert words in sentences(result)[key]
    assert result.summary.messages.due == 0
    assert result.summary.throughput_per_s is None
    assert result.summary.response_time_ns is None


async def says_http_is_spoken_here(peer):
    await peer.send_raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await peer.until_gone()


async def upgrades_by_half(peer):
    await peer.read_request()
    await peer.send_raw(peer.response()[:-2])


UPGRADES = {
    "silent": (behaviors.silent_after_accept, "upgrade-timeout", "did not answer the upgrade within 200 ms"),
    "silent to the request": (behaviors.silent_after_request, "upgrade-timeout", "within 200 ms"),
    "403": (behaviors.rejects(403), "upgrade-rejected:403", "403 Forbidden"),
    "404": (behaviors.rejects(404), "upgrade-rejected:404", "404 Not Found"),
    "503": (behaviors.rejects(503), "upgrade-rejected:503", "503 Service Unavailable"),
    "plain text": (behaviors.rejects(200, body=b"hello"), "upgrade-rejected:200", "200 OK"),
    "a redirect": (
        behaviors.redirects(f"wss://bob:{SECRET}@elsewhere.example/x?token={SECRET}"),
        "upgrade-rejected:302",
        "302 Found to wss://elsewhere.example/x",
    ),
    "something else": (behaviors.talks_something_else(), "upgrade-invalid", "not HTTP"),
    "a wrong accept": (behaviors.wrong_accept, "upgrade-invalid", "wrong Sec-WebSocket-Accept"),
    "no Upgrade": (behaviors.without_header("Upgrade"), "upgrade-invalid", "without Upgrade"),
    "no Connection": (behaviors.without_header("Connection"), "upgrade-invalid", "without Connection"),
    "no accept": (behaviors.without_header("Sec-WebSocket-Accept"), "upgrade-invalid", "Sec-WebSocket-Accept"),
    "leaves": (behaviors.leaves_at_once, "upgrade-invalid", "closed the connection instead of answering"),
    "leaves in its answer": (upgrades_by_half, "upgrade-invalid", "closed the connection in the middle of its answer"),
    "resets": (behaviors.resets_at_once, "reset", "reset the connection instead of answering"),
}


@pytest.mark.parametrize(("behaviour", "key", "words"), UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_that_fails(behaviour, key, words):
    with FaultyServer(behaviour) as server:
        options = {"connect_timeout": "200ms"} if "timeout" in key else {}
        result = flooded(server.url, connections=2, **options)
        check_never_opened(result, key, words, connections=2)
        server.wait_for(lambda seen: seen.open == 0)
        assert server.seen.accepted == 2, "nothing is dialled again"


def test_nothing_listens():
    with unused_port() as port:
        check_never_opened(flooded(f"ws://127.0.0.1:{port}/"), "connect-refused", "nothing listens there")


def test_a_name_that_does_not_resolve():
    result = flooded("ws://nobody.invalid/", connections=3)
    check_never_opened(result, "dns", 'the name "nobody.invalid" does not resolve', connections=3)


def test_an_address_that_cannot_be_reached():
    check_never_opened(flooded("ws://255.255.255.255:9/"), "unreachable", "cannot be reached")


def test_a_port_that_takes_no_more_connections():
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # nobody accepts, so the queue fills, and SYNs are dropped from then on
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        result = flooded(f"ws://127.0.0.1:{listener.getsockname()[1]}/", connect_timeout="200ms")
        check_never_opened(result, "connect-timeout", "did not take the TCP connection within 200 ms")


TLS = {
    "self-signed": (certificates.self_signed, False, "has a self-signed certificate"),
    "unknown authority": (certificates.trusted, False, "a certificate of an unknown authority"),
    "expired": (certificates.expired, True, "a certificate that has expired"),
    "for somebody else": (certificates.wrong_host, True, "a certificate for another name"),
}


@pytest.mark.parametrize(("certificate", "knows_authority", "words"), TLS.values(), ids=TLS)
def test_a_certificate_that_is_not_to_be_trusted(certificate, knows_authority, words, tmp_path):
    trust = {"cacert": str(certificates.write_ca(tmp_path))} if knows_authority else {}
    with FaultyServer(behaviors.echoes, tls=certificate()) as server:
        result = flooded(server.url, **trust)
        check_never_opened(result, "tls", words)
        assert "--insecure" in sentences(result)["tls"]
        assert not server.seen.requests, "no request, and no credentials, before there is trust"
        taken = flooded(server.url, insecure=True, messages=3)
    assert taken.exit_code == ExitCode.PASSED
    assert taken.summary.messages.answered == 3
    assert not taken.summary.faults


def test_a_certificate_of_a_trusted_authority_is_taken(tmp_path):
    ca = certificates.write_ca(tmp_path)
    with FaultyServer(behaviors.echoes, tls=certificates.trusted()) as server:
        result = flooded(server.url, cacert=str(ca), messages=20, connections=2, in_flight=3)
        server.wait_for(lambda seen: seen.closes == [1000, 1000])
        assert server.seen.messages == result.summary.messages.answered == 20
    assert result.summary.connections.closed == {"1000": 2}


def test_an_authority_that_is_no_certificate(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing of the kind")
    with pytest.raises(UsageError, match=r"--cacert: cannot use .*ca\.pem.*no PEM"):
        run(make_plan("wss://127.0.0.1:1/", cacert=str(path), **QUICK))


PLAIN = {
    "answering in HTTP": (says_http_is_spoken_here, "tls", "does not speak TLS; is it ws://"),
    "waiting": (behaviors.silent_after_accept, "tls-timeout", "did not finish the TLS handshake within 200 ms"),
}


@pytest.mark.parametrize(("behaviour", "key", "words"), PLAIN.values(), ids=PLAIN)
def test_a_plain_server_behind_wss(behaviour, key, words):
    with FaultyServer(behaviour) as server:
        options = {"connect_timeout": "200ms"} if "timeout" in key else {}
        result = flooded(server.url.replace("ws://", "wss://"), **options)
    check_never_opened(result, key, words)


def test_a_tls_server_behind_ws():
    with FaultyServer(behaviors.echoes, tls=certificates.trusted()) as server:
        result = flooded(server.url.replace("wss://", "ws://"))
    assert result.exit_code == ExitCode.NOTHING_OPENED
    assert set(result.summary.faults) <= {"upgrade-invalid", "reset"}


# --- sessions that end badly -------------------------------------------------------------------------------------


@dataclass
class Bad:
    """What a target does, and what becomes of one session with it."""

    behaviour: object
    faults: dict
    closed: dict
    words: str = ""
    answered: int | None = None
    options: dict = field(default_factory=dict)
    reasons: dict = field(default_factory=dict)
    """What the target gave as its reason for closing."""
    said: list | None = None
    """The close codes that the target is sent."""


def breach(make, clause, code=1002, words=None, **options):
    """A breach of a clause of RFC 6455, which is counted under it, and named in what is said of it."""
    words = words or f"(RFC 6455, section {clause}"
    faults, closed = {f"protocol-error:{clause}": 1}, {str(code): 1}
    return Bad(make(after=2), faults, closed, words, answered=2, options=options, said=[code])


SESSIONS = {
    "closes with 1000": Bad(
        behaviors.closes_after(3, 1000), {"closed:1000": 1}, {"1000": 1}, "closed with 1000", 3, said=[1000]
    ),
    "closes with a reason": Bad(
        behaviors.closes_after(3, 1011, "out of tea"),
        {"closed:1011": 1},
        {"1011": 1},
        'closed with 1011 "out of tea"',
        3,
        reasons={"1011 out of tea": 1},
        said=[1011],
    ),
    "closes with a private code": Bad(
        behaviors.closes_after(1, 4711), {"closed:4711": 1}, {"4711": 1}, "closed with 4711", 1, said=[4711]
    ),
    "closes before any message": Bad(
        behaviors.closes_after(0, 1001), {"closed:1001": 1}, {"1001": 1}, "closed with 1001", 0, said=[1001]
    ),
    "vanishes before any message": Bad(
        behaviors.vanishes_after(0), {"closed:1006": 1}, {"1006": 1}, "without a close frame", 0
    ),
    "resets before any message": Bad(behaviors.resets_after(0), {"reset": 1}, {"1006": 1}, "reset", 0),
    "resets": Bad(behaviors.resets_after(3), {"reset": 1}, {"1006": 1}, "reset the connection"),
    "leaves in mid-frame": Bad(
        protocol_violations.half_frame(after=2), {"closed:1006": 1}, {"1006": 1}, "without a close frame", 2
    ),
    "never answers": Bad(
        behaviors.never_answers,
        {"reply-timeout": 1},
        {"1000": 1},
        "did not answer a message within 400 ms",
        0,
        {"in_flight": 3, **OVERDUE},
        said=[1000],
    ),
    "stalls for longer than the timeout": Bad(
        behaviors.stalls(1_600_000_000, after=2),
        {"reply-timeout": 1},
        {"1000": 1},
        "within 800 ms",
        2,
        {"timeout": "800ms"},
    ),
    "never answers, nor the close": Bad(
        behaviors.never_reads,
        {"reply-timeout": 1},
        {"1006": 1},
        "did not answer a message within 400 ms",
        0,
        {"size": "1MiB", "in_flight": 8, **OVERDUE},
    ),
    "reserved opcode": breach(protocol_violations.reserved_opcode, "5.2"),
    "reserved bits": breach(protocol_violations.reserved_bits, "5.2"),
    "masked": breach(protocol_violations.masked_frame, "5.1"),
    "oversized": Bad(
        protocol_violations.oversized_frame(after=2),
        {"message-too-large": 1},
        {"1009": 1},
        "a message of 1099511627776 bytes, more than the 67108864 of --max-message-size",
        answered=2,
        said=[1009],
    ),
    "stray continuation": breach(protocol_violations.stray_continuation, "5.4"),
    "interrupted fragments": breach(protocol_violations.interrupted_fragments, "5.4"),
    "fragmented ping": breach(protocol_violations.fragmented_ping, "5.5"),
    "long ping": breach(protocol_violations.long_ping, "5.5"),
    "bad close": breach(protocol_violations.bad_close, "7.4"),
    "text that is not UTF-8": breach(protocol_violations.invalid_text, "8.1", 1007, check_utf8=True),
}


@pytest.mark.parametrize("case", SESSIONS.values(), ids=SESSIONS)
def test_a_session_that_ends_badly(case):
    with FaultyServer(case.behaviour) as server:
        # The run is over once the session is lost.
        result = flooded(server.url, **{"duration": "60s"} | case.options)
        assert result.summary.faults == case.faults
        assert asdict(result.summary.connections) == {
            "attempted": 1,
            "opened": 1,
            "failed": 0,
            "lost": 1,
            "closed": case.closed,
            **NEVER_AGAIN,
            "close_reasons": case.reasons,
        }
        assert case.words in sentences(result)[next(iter(case.faults))]
        if case.answered is not None:
            assert result.summary.messages.answered == case.answered
        assert result.summary.messages.pushed == 0
        if case.said is not None:
            server.wait_for(lambda seen: seen.closes == case.said)
        assert not server.seen.violations
    assert result.exit_code == ExitCode.NOTHING_OPENED, "no session lasted"


def test_a_target_that_drops_the_connection_while_we_wait_for_it():
    """FIN or RST, as the kernel finds unread messages or not: counted either way, and once."""
    with FaultyServer(behaviors.vanishes_after(3)) as server:
        result = flooded(server.url, in_flight=4)
    assert result.summary.connections.lost == 1
    assert result.summary.connections.closed == {"1006": 1}
    assert sum(result.summary.faults.values()) == 1
    assert result.summary.faults.keys() <= {"closed:1006", "reset"}


def test_a_target_that_never_answers_our_close():
    with FaultyServer(behaviors.ignores_close) as server:
        result = flooded(server.url, connections=2)
    assert result.summary.connections.closed == {"1006": 2}
    assert result.summary.connections.lost == 0, "the run was over"
    assert not result.summary.faults
    assert result.summary.messages.unanswered == 0


def test_bad_and_good_sessions_side_by_side():
    servers = (behaviors.rejects(503), behaviors.closes_after(2, 1011), behaviors.echoes)
    with FaultyServer(*servers) as server:
        result = flooded(server.url, connections=4, in_flight=2, messages=60)
        server.wait_for(lambda seen: seen.open == 0)
        assert result.summary.messages.sent == 60, "those that live on send what is left"
        assert server.seen.replies == result.summary.messages.answered
    assert result.exit_code == ExitCode.PASSED
    assert asdict(result.summary.connections) == {
        "attempted": 4,
        "opened": 3,
        "failed": 1,
        "lost": 1,
        "closed": {"1000": 2, "1011": 1},
        **NEVER_AGAIN,
    }
    assert result.summary.faults == {"closed:1011": 1, "upgrade-rejected:503": 1}
    assert 58 <= result.summary.messages.answered <= 60


def test_messages_that_found_no_session_are_dropped():
    with FaultyServer(behaviors.closes_after(3, 1001)) as server:
        result = flooded(server.url, messages=10)
    messages = result.summary.messages
    assert (messages.due, messages.answered) == (10, 3)
    assert messages.dropped >= 6


def test_with_a_number_of_messages_a_silent_target_ends_the_run_after_the_timeout():
    with FaultyServer(behaviors.never_answers) as server:
        result = flooded(server.url, messages=5, connections=2, **OVERDUE)
        assert server.seen.messages == 2
    assert asdict(result.summary.messages) == {
        "due": 5,
        "sent": 2,
        "answered": 0,
        "unanswered": 2,
        "unawaited": 0,
        "dropped": 3,
        "pushed": 0,
        **dict.fromkeys(("duplicate_replies", "late_replies", "unknown_id", "out_of_order", "greetings"), 0),
    }
    assert result.summary.faults == {"reply-timeout": 2}


def test_a_late_reply_is_unanswered_and_no_push():
    with FaultyServer(behaviors.delays(600_000_000)) as server:
        result = flooded(server.url, timeout="300ms", in_flight=2)
    messages = result.summary.messages
    assert (messages.sent, messages.unanswered, messages.pushed) == (2, 2, 0)


def test_a_slow_reply_within_the_timeout_is_waited_for_after_the_end():
    with FaultyServer(behaviors.delays(300_000_000)) as server:
        result = flooded(server.url, duration="100ms", timeout="2s")
    messages = result.summary.messages
    assert (messages.sent, messages.answered, messages.unanswered) == (1, 1, 0)
    assert not result.summary.faults
    assert result.summary.throughput_per_s == 0, "it came when the measured time was over"
    assert result.summary.duration_s < 0.3


def test_a_target_that_dies_in_mid_run():
    killed_at = []

    def kill_in_the_middle(interval):
        if interval.phase == "measured" and interval.index == 1 and not killed_at:
            os.kill(server.pid, signal.SIGKILL)
            killed_at.append(time.monotonic())

    with EchoProcess() as server:
        result = flooded(server.url, connections=5, in_flight=2, duration="20s", on_interval=kill_in_the_middle)
        assert time.monotonic() - killed_at[0] < 5, "nothing is left to send to"
    assert result.summary.connections.opened == result.summary.connections.lost == 5
    assert sum(result.summary.faults.values()) == 5
    assert result.summary.faults.keys() <= {"closed:1006", "reset"}
    assert result.summary.messages.answered > 0
    assert result.summary.verdict.reason == "all-sessions-lost"
    assert result.exit_code == ExitCode.NOTHING_OPENED


# --- what only looks like a fault --------------------------------------------------------------------------------

HARMLESS = {
    "a dribbled upgrade": (behaviors.dribbled_upgrade, {}),
    "dribbled frames": (behaviors.dribbled_frames, {}),
    "frames in two": (behaviors.splits_frames(), {}),
    "fragments and pings": (behaviors.fragments(), {}),
    "a ping to be answered": (behaviors.pings(b"are you there"), {}),
    "replies in one segment": (behaviors.several_in_one_segment(4), {"in_flight": 4}),
    "text that is not UTF-8": (protocol_violations.invalid_text(after=1), {}),
}


@pytest.mark.parametrize(("behaviour", "options"), HARMLESS.values(), ids=HARMLESS)
def test_a_target_that_is_merely_peculiar(behaviour, options):
    """Payloads are not looked at, so that text which is no UTF-8 is a reply too."""
    with FaultyServer(behaviour) as server:
        result = flooded(server.url, messages=20, **options)
        server.wait_for(lambda seen: seen.closes == [1000])
        assert server.seen.messages == 20
        assert not server.seen.violations
    assert result.summary.messages.answered == 20
    assert result.summary.messages.pushed == 0
    assert result.summary.connections.closed == {"1000": 1}
    assert not result.summary.faults


def test_pings_of_a_target_are_answered_while_a_reply_is_awaited():
    async def pings_then_replies(peer):
        await peer.upgrade()
        async for message in peer.messages():
            await peer.send_frame(0x9, b"still there?")
            await asyncio.wait_for(peer.read_frame(), 2)
            await peer.reply(message)

    with FaultyServer(pings_then_replies) as server:
        result = flooded(server.url, messages=5)
        assert server.seen.pongs == [b"still there?"] * 5
    assert result.summary.messages.answered == 5
