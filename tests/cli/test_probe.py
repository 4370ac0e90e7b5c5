"""A dry run shows every step of one session and one message, says what to do next, and tells no secret."""

import asyncio
import base64
import json
import os
import signal
import threading
import time

import pytest
from websockets.sync.server import serve

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.event_loop import run
from ws_load_test.echo import EchoProcess
from ws_load_test.probe import transcript
from ws_load_test.testing import (
    Certificates,
    FaultyServer,
    behaviors,
    protocol_violations,
    unused_port,
)
from ws_load_test.websocket import frames as ws_frames

certificates = Certificates()


@pytest.fixture(autouse=True, scope="module")
def _first_loop():
    """The first loop of a process opens a pipe for signals that libuv keeps for good."""

    async def nothing():
        pass

    run(nothing())


@pytest.fixture
def dry(capsys):
    """Rehearses in this process; returns the exit code, the facts and what is printed for people."""

    def run(url, *arguments):
        code = main([url, "--probe", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def facts(dry):
    """Rehearses in this process; returns the facts."""

    def run(url, *arguments):
        code, out, err = dry(url, *arguments, "--json")
        assert err == ""
        found = json.loads(out)
        assert code == found["exit_code"]
        return found

    return run


def steps(found, name):
    return [step for step in found["steps"] if step["step"] == name]


def frames(found, direction=None):
    return [step for step in steps(found, "frame") if direction in {None, step["direction"]}]


def answering(*rounds):
    """Answers message k with the payloads of round k, made from it by functions; text in, text out."""

    async def behave(peer):
        await peer.upgrade()
        turn = iter(rounds)
        async for message in peer.messages():
            for make in next(turn, ()):
                payload = make(message.payload) if callable(make) else make
                await peer.send_frame(ws_frames.TEXT, payload)

    return behave


def nested(payload):
    return json.dumps({"data": json.loads(payload)}).encode()


# --- the obvious call -----------------------------------------------------------------------------------------------


def test_the_obvious_call_shows_every_step(echo_url, program):
    done = program(echo_url, "--probe", "-m", "hello")
    assert (done.returncode, done.stderr) == (0, "")
    order = ["TCP ", "GET / HTTP/1.1", "101 Switching", "> text", "the message", "< text", "the reply", "> close"]
    order += ["< close", "closed with 1000", "Times: TCP", "The reply came after"]
    places = [done.stdout.index(word) for word in order]
    assert places == sorted(places)
    assert done.stdout.count("hello") == 2
    last = done.stdout.splitlines()[-1]
    assert last.startswith("The reply came after")
    assert last.endswith("paired in order. Now add load: -c 10 -d 10s")


def test_it_opens_one_connection_and_sends_one_message_whatever_the_load(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "-c", 50, "--in-flight", 9, "-w", 2, "-d", "1m")
        server.wait_for(lambda seen: seen.closes == [1000])
        assert (server.seen.accepted, server.seen.messages) == (1, 1)
    assert found["exit_code"] == 0
    assert found["conclusion"].endswith("Now leave out --probe.")


def test_on_a_schedule_too(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "-r", 1000, "-c", 3, "-m", '{"id": {seq}}', "--match", "json:id")
        server.wait_for(lambda seen: seen.closes == [1000])
        assert server.seen.payloads == [b'{"id": 0}']
    assert found["replied"]
    assert found["times_ns"]["reply"] > 0


def test_json_says_the_same(echo_url, facts):
    found = facts(echo_url, "-m", "hello", "--expect", "contains:ell")
    assert (found["exit_code"], found["opened"], found["replied"], found["pushed"]) == (0, True, True, 0)
    assert [step["step"] for step in found["steps"]] == [
        "connect", "request", "response", "frame", "frame", "frame", "frame", "end",
    ]  # fmt: skip
    sent, came = frames(found)[:2]
    assert (sent["direction"], sent["opcode"], sent["payload"], sent["what"]) == ("sent", "text", "hello", "message")
    assert (came["direction"], came["size_bytes"], came["payload"], came["verdict"]) == (
        "received",
        5,
        "hello",
        "reply",
    )
    assert came["checks"] == [{"check": "contains:ell", "passed": True}]
    times = [step["at_ns"] for step in found["steps"]]
    assert times == sorted(times)
    assert found["times_ns"].keys() == {"tcp", "upgrade", "open", "reply"}
    assert came["took_ns"] == found["times_ns"]["reply"]


@pytest.mark.alone
def test_the_time_of_a_reply_is_the_target_s(facts):
    with FaultyServer(behaviors.delays(80_000_000)) as server:
        found = facts(server.url)
        server.wait_for(lambda seen: seen.delays_ns)
        assert server.seen.delays_ns[0] <= found["times_ns"]["reply"] <= server.seen.delays_ns[0] + 20_000_000


def test_quiet_says_nothing(echo_url, dry):
    assert dry(echo_url, "-q") == (0, "", "")
    with unused_port() as port:
        assert dry(f"ws://127.0.0.1:{port}", "-q") == (3, "", "")


def test_demo_can_be_rehearsed(program):
    done = program("demo", "--probe")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The reply came" in done.stdout


# --- every kind of message ------------------------------------------------------------------------------------------


def test_a_ping_and_its_pong(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "--ping", "-m", "are you there")
    assert [(one["opcode"], one["payload"]) for one in frames(found)[:2]] == [
        ("ping", "are you there"), ("pong", "are you there"),
    ]  # fmt: skip
    assert frames(found)[1]["verdict"] == "reply"
    assert found["exit_code"] == 0


def test_binary_and_what_is_not_printable(facts, dry, tmp_path):
    (tmp_path / "payload").write_bytes(b"\x00\xffab\x1b[2J")
    with FaultyServer(behaviors.echoes) as server:
        arguments = (server.url, "--binary", "-m", f"@{tmp_path / 'payload'}")
        found = facts(*arguments)
        _, shown, _ = dry(*arguments)
    assert frames(found)[1]["opcode"] == "binary"
    assert frames(found)[1]["payload"].replace("\x1b", "\\x1b").replace("\x00", "\\x00") == "\\x00\\xffab\\x1b[2J"
    assert "\x1b" not in shown
    assert "\\xffab\\x1b[2J" in shown


def test_long_payloads_are_cut(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "--size", "5MB")
    for one in frames(found)[:2]:
        assert (one["size_bytes"], len(one["payload"]), one["cut"]) == (5_000_000, 300, True)
    assert found["replied"]


def test_what_was_asked_for_in_vain_is_shown(facts, dry):
    with FaultyServer(behaviors.echoes) as server:
        options = (server.url, "--deflate", "on", "--subprotocol", "v1")
        found, (_, shown, _) = facts(*options), dry(*options)
    assert [step["what"] for step in steps(found, "declined")] == ["permessage-deflate", "subprotocol"]
    assert "declined   compression was offered (--deflate), and not granted" in shown
    assert "declined   a subprotocol was offered (--subprotocol), and none was chosen" in shown


def test_compressed_messages_are_shown_as_they_were_meant(facts):
    def echo(connection):
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
            found = facts(url, "--deflate", "", "-m", "na" * 100)
        finally:
            server.shutdown()
            thread.join()
    for one in frames(found)[:2]:
        assert (one["payload"], one["plain_bytes"]) == ("na" * 100, 200)
        assert one["size_bytes"] < 30
    assert found["exit_code"] == 0


def test_fragments_make_one_reply(facts):
    with FaultyServer(behaviors.fragments(3)) as server:
        found = facts(server.url, "-m", "abcdef")
    shown = [(one["opcode"], one["payload"], one.get("verdict")) for one in frames(found) if one["opcode"] != "close"]
    assert [one for one in shown if one[0] in {"text", "continuation"}] == [
        ("text", "abcdef", None), ("text", "ab", None), ("continuation", "cd", None), ("continuation", "ef", "reply"),
    ]  # fmt: skip
    assert ("ping", "between", None) in shown
    assert ("pong", "between", None) in shown


def test_replies_in_pieces_of_any_size(facts):
    with FaultyServer(behaviors.dribbled_frames) as server:
        found = facts(server.url, "-m", "x" * 200)
    assert found["exit_code"] == 0
    assert frames(found)[1]["size_bytes"] == 200


def test_no_reply_awaited(facts):
    with FaultyServer(behaviors.pushes(at_start=2)) as server:
        begin = time.monotonic()
        found = facts(server.url, "-r", 5, "--match", "none", "--timeout", "60s")
        assert time.monotonic() - begin < 30
    assert found["exit_code"] == 0
    assert [one["verdict"] for one in frames(found, "received")[:4]] == ["push"] * 4
    assert found["conclusion"].startswith("The message was sent, 4 messages came.")


def test_rate_zero_sends_nothing(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "-r", 0, "--timeout", "100ms")
        server.wait_for(lambda seen: seen.closes == [1000])
        assert server.seen.messages == 0
    assert (found["exit_code"], found["sent"]) == (0, False)
    assert "nothing is sent at --rate 0" in found["conclusion"]


# --- what comes before, beside and instead --------------------------------------------------------------------------


def test_greetings_first_messages_and_answers(facts):
    async def behave(peer):
        await peer.upgrade()
        await peer.send_frame(ws_frames.TEXT, b"welcome")
        async for message in peer.messages():
            if message.payload == b"load":
                await peer.send_frame(ws_frames.TEXT, b"2")
            if message.payload != b"3":
                await peer.reply(message)

    options = ["--skip-first", 1, "--first-message", "auth", "--first-message", "join {connection}", "-m", "load"]
    with FaultyServer(behave) as server:
        found = facts(server.url, *options, "--auto-reply", "regex:^2$=>3", "--match", "echo")
        server.wait_for(lambda seen: seen.closes == [1000])
        assert server.seen.payloads == [b"auth", b"join 0", b"load", b"3"]
    told = [(one["payload"], one.get("what") or one["verdict"]) for one in frames(found) if one["opcode"] == "text"]
    assert told == [
        ("welcome", "greeting"), ("auth", "first-message"), ("auth", "first-reply"), ("join 0", "first-message"),
        ("join 0", "first-reply"), ("load", "message"), ("2", "ignored"), ("3", "answer"), ("load", "reply"),
    ]  # fmt: skip
    assert found["times_ns"]["greeting"] > 0
    assert len(found["times_ns"]["first_replies"]) == 2
    assert found["conclusion"].startswith("The reply came after")


def test_why_each_message_is_not_the_reply(facts):
    rounds = (b"tick 1", b'{"news": 1}', b'{"id": 99}', lambda payload: payload)
    with FaultyServer(answering(rounds)) as server:
        found = facts(server.url, "-m", '{"id": {seq}}', "--match", "json:id", "--ignore", "contains:tick")
    received = frames(found, "received")
    assert [(one["verdict"], one["why"]) for one in received[:4]] == [
        ("ignored", "--ignore contains:tick takes it out"),
        ("push", "--match json:id finds no id in it"),
        ("push", "--match json:id finds another id: 99"),
        ("reply", "by json:id (0)"),
    ]
    assert found["exit_code"] == 0
    assert ", and 3 messages beside it" in found["conclusion"]


def test_a_check_that_fails(dry, facts):
    with FaultyServer(behaviors.echoes) as server:
        arguments = (server.url, "--expect", "contains:PONG", "--expect", "contains:PING")
        found, (code, shown, _) = facts(*arguments), dry(*arguments)
    assert code == found["exit_code"] == ExitCode.THRESHOLD_FAILED
    assert frames(found)[1]["checks"] == [
        {"check": "contains:PONG", "passed": False}, {"check": "contains:PING", "passed": True},
    ]  # fmt: skip
    assert "--expect contains:PONG FAILS" in shown
    assert "fails --expect contains:PONG;" in found["conclusion"]


# --- where the reply is ---------------------------------------------------------------------------------------------


def proposed(found):
    rule = found["conclusion"].partition("try --match ")[2]
    assert rule, found["conclusion"]
    return rule.strip("'")


@pytest.mark.parametrize(
    ("message", "where", "reply", "path"),
    [
        ('{"id": {seq}}', "json:id", nested, "data.id"),
        ('{"id": "r-{seq}"}', "json:id", lambda sent: b'{"ok": 1, "items": [{"ref": "r-0"}]}', "items[0].ref"),
        ('{"a": {"id": {seq}}, "req": 1{seq}}', "json:req", lambda sent: b'{"a": {"id": 0}}', "a.id"),
        ('{"id": {seq}}', r'regex:"id": (\d+)', lambda sent: b'{"id":0}', "id"),
        ('{"id": {seq}}', "echo", lambda sent: b'{"id": 0, "ok": true}', "id"),
    ],
)
def test_a_reply_whose_id_is_elsewhere_is_found_and_the_proposal_works(facts, message, where, reply, path):
    with FaultyServer(answering((reply,))) as server:
        found = facts(server.url, "-m", message, "--match", where, "--timeout", "200ms")
        assert found["exit_code"] == ExitCode.THRESHOLD_FAILED
        assert f'"{path}"' in found["conclusion"]
        again = facts(server.url, "-m", message, "--match", proposed(found), "--timeout", "2s")
    assert again["exit_code"] == 0, again["conclusion"]


def test_pairing_in_order_that_takes_a_push_for_the_reply(facts):
    async def behave(peer):
        async def answer(message):
            await asyncio.sleep(0.03)
            await peer.reply(message)

        await peer.upgrade()
        async with asyncio.TaskGroup() as answers:
            # A close is answered at once, whatever else is still to come.
            async for message in peer.messages():
                await peer.send_frame(ws_frames.TEXT, b'{"event": "tick", "price": 0}')
                answering = answers.create_task(answer(message))
            answering.cancel()

    with FaultyServer(behave) as server:
        found = facts(server.url, "-m", '{"id": {seq}}')
        assert "it is a later message that has our id" in found["conclusion"]
        assert proposed(found) == "json:id"
        again = facts(server.url, "-m", '{"id": {seq}}', "--match", "json:id")
    assert "1 message beside it" in again["conclusion"]


def test_nothing_is_proposed_that_would_not_work(facts):
    with FaultyServer(answering((b'{"meta": {"id": 5}, "data": {"my.id": 0}}',))) as server:
        found = facts(server.url, "-m", '{"id": {seq}}', "--match", "json:id", "--timeout", "100ms")
    assert found["conclusion"] == (
        "1 message came within 100 ms, and none is the reply by --match json:id; above stands why."
    )


def test_an_id_that_is_elsewhere_in_the_reply(facts):
    with FaultyServer(answering((b'{"meta": {"id": 5}, "data": {"id": 0}}',))) as server:
        found = facts(server.url, "-m", '{"id": {seq}}', "--match", "json:id", "--timeout", "100ms")
        assert found["conclusion"].endswith('one has it at "data.id": try --match json:id=data.id')
        again = facts(server.url, "-m", '{"id": {seq}}', "--match", "json:id=data.id")
    assert again["exit_code"] == 0
    assert "paired by json:id=data.id" in again["conclusion"]


def test_a_greeting_that_was_not_announced(facts):
    with FaultyServer(behaviors.early_message()) as server:
        found = facts(server.url)
        assert found["conclusion"].endswith("add --skip-first 1")
        assert "beside" not in facts(server.url, "--skip-first", 1)["conclusion"]


def test_a_greeting_that_does_not_come_takes_the_reply(facts):
    with FaultyServer(behaviors.echoes) as server:
        found = facts(server.url, "--skip-first", 1, "--timeout", "100ms")
    assert found["exit_code"] == 1
    assert "--skip-first 1 says; if the target does not greet, leave that out" in found["conclusion"]


def test_a_reply_that_is_ignored_by_mistake(facts):
    with FaultyServer(behaviors.echoes) as server:
        options = ["-m", '{"id": {seq}}', "--match", "json:id", "--ignore", "contains:id", "--timeout", "100ms"]
        found = facts(server.url, *options)
    assert "--ignore takes it out" in found["conclusion"]


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_no_reply(facts):
    with FaultyServer(behaviors.never_answers) as server:
        found = facts(server.url, "--timeout", "100ms")
        server.wait_for(lambda seen: seen.closes == [1000])
    assert (found["exit_code"], found["replied"]) == (1, False)
    assert found["conclusion"].startswith("No reply came within 100 ms, nor anything else")
    assert steps(found, "fault")[0]["kind"] == "reply-timeout"


def test_no_answer_to_a_first_message(facts):
    with FaultyServer(behaviors.never_answers) as server:
        found = facts(server.url, "--first-message", "auth", "--timeout", "100ms")
    assert (found["exit_code"], found["sent"]) == (1, False)
    assert "did not greet or answer the first message within 100 ms" in found["conclusion"]
    assert "add --first-wait" in found["conclusion"]


def test_a_first_message_that_is_not_answered_is_waited_behind(facts):
    with FaultyServer(behaviors.never_answers) as server:
        found = facts(server.url, "--first-message", "join", "--first-wait", "1ms", "--timeout", "100ms")
    assert found["sent"]
    assert found["conclusion"].startswith("No reply came")


def test_a_dead_port(dry):
    with unused_port() as port:
        code, shown, _ = dry(f"ws://127.0.0.1:{port}")
    assert code == 3
    assert "not with 127.0.0.1:" in shown
    assert shown.splitlines()[-1].startswith("The session did not open: the target refuses connections")


def test_a_name_that_does_not_resolve(dry):
    code, shown, _ = dry("ws://nowhere.invalid")
    assert code == 3
    assert 'the name "nowhere.invalid" does not resolve' in shown.splitlines()[-1]


@pytest.mark.parametrize(("closes", "length"), [(True, "41"), (False, "41"), (True, None)])
def test_a_refusal_is_shown_with_its_body(facts, dry, closes, length):
    body = b'{"error": "token t0ken-1234 has expired"}'

    async def behave(peer):
        await peer.read_request()
        head = peer.response(
            401,
            body=body,
            headers={"X-Reason": "old t0ken-1234", "Content-Length": length, "Set-Cookie": "sid=s3cr3t-sid"},
        )
        await peer.send_raw(head[:-5])
        await peer.send_raw(head[-5:])
        if not closes:
            await peer.until_gone()

    with FaultyServer(behave) as server:
        arguments = (server.url, "--bearer", "t0ken-1234")
        found, (code, shown, _) = facts(*arguments), dry(*arguments)
    assert code == found["exit_code"] == 3
    assert steps(found, "response")[0]["status"] == 401
    assert steps(found, "body")[0]["payload"] == '{"error": "token *** has expired"}'
    assert ["X-Reason", "old ***"] in steps(found, "response")[0]["headers"]
    assert ["Authorization", "Bearer ***"] in steps(found, "request")[0]["headers"]
    assert "give credentials: --bearer" in found["conclusion"]
    assert "t0ken-1234" not in shown + json.dumps(found)
    assert "s3cr3t-sid" not in shown + json.dumps(found)


def test_a_refusal_whose_body_never_ends_does_not_hold_us(facts):
    async def behave(peer):
        await peer.read_request()
        await peer.send_raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.until_gone()

    with FaultyServer(behave) as server:
        begin = time.monotonic()
        found = facts(server.url, "--connect-timeout", "60s")
        assert time.monotonic() - begin < 30
    assert steps(found, "body")[0]["payload"] == "half"
    assert "404 Not Found; look at the URL's path" in found["conclusion"]


def test_what_is_no_http(facts):
    with FaultyServer(behaviors.talks_something_else()) as server:
        found = facts(server.url)
    assert found["exit_code"] == 3
    assert steps(found, "noise")[0]["payload"].startswith("220 mail.example ESMTP")


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (behaviors.closes_after(0, 1008, "bad token t0ken-1234"), 'closed with 1008 "bad token ***"'),
        (behaviors.resets_after(0), "reset the connection"),
        (behaviors.vanishes_after(0), "without a close frame"),
    ],
)
def test_a_session_that_ends_too_soon(facts, behaviour, text):
    async def behave(peer):
        await peer.upgrade()
        await anext(aiter(peer.messages()))
        peer.upgrade = nothing
        await behaviour(peer)

    async def nothing():
        pass

    with FaultyServer(behave) as server:
        found = facts(server.url, "--bearer", "t0ken-1234")
    assert found["exit_code"] == 1
    assert found["conclusion"].startswith("No reply came: the target")
    assert text in found["conclusion"]
    assert not steps(found, "end")[0]["ours"]


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (protocol_violations.masked_frame(), "a masked frame (RFC 6455, section 5.1"),
        (protocol_violations.reserved_bits(), "reserved bits set without an extension"),
        (protocol_violations.oversized_frame(), "a message of 1099511627776 bytes, more than the 67108864 of --max"),
        (protocol_violations.stray_continuation(), "a message's fragments out of order"),
        (protocol_violations.reserved_opcode(), "reserved opcode 0x3"),
    ],
)
def test_a_breach_of_the_protocol(facts, dry, behaviour, text):
    with FaultyServer(behaviour) as server:
        found, (_, shown, _) = facts(server.url), dry(server.url)
    assert found["exit_code"] == 1
    assert found["conclusion"].startswith(f"The target sent {text}")
    assert text in shown


def test_a_port_that_takes_tls_has_that_for_a_remedy(facts):
    body = b"The plain HTTP request was sent to HTTPS port"
    with FaultyServer(behaviors.rejects(400, body=body)) as server:
        found = facts(server.url)
    assert found["conclusion"].endswith("400 Bad Request, because the port takes TLS; write wss:// instead of ws://.")


def test_a_close_that_is_not_answered(facts, monkeypatch):
    monkeypatch.setattr("ws_load_test.probe.probe.CLOSE_TIMEOUT_S", 0.1)
    with FaultyServer(behaviors.ignores_close) as server:
        found = facts(server.url)
    assert found["exit_code"] == 0
    assert "did not answer our close" in steps(found, "fault")[0]["text"]


def test_wrong_usage_is_an_error_as_ever(dry):
    code, shown, told = dry("ws://h", "--match", "json:id", "-m", "hello")
    assert (code, shown) == (2, "")
    assert "finds no id" in told


# --- the way there --------------------------------------------------------------------------------------------------


def test_tls_is_shown(facts, dry):
    with EchoProcess(tls=True) as server:
        arguments = (server.url.replace("127.0.0.1", "localhost"), "--cacert", server.ca_path)
        found, (code, shown, _) = facts(*arguments), dry(*arguments)
    assert code == found["exit_code"] == 0
    tls = steps(found, "tls")[0]
    assert tls["version"] == "TLSv1.3"
    assert not tls["resumed"]
    assert "localhost" in tls["certificate"]["names"]
    assert found["times_ns"]["tls"] > 0
    assert found["times_ns"]["resolve"] >= 0
    for words in ("localhost is ", "TLSv1.3, ", "a new session", "certificate of ", "valid until "):
        assert words in shown


def test_an_expired_certificate_is_shown_where_it_is_taken(dry):
    with FaultyServer(behaviors.echoes, tls=certificates.expired()) as server:
        code, shown, _ = dry(server.url, "--insecure")
        assert (code, "expired on " in shown) == (0, True)
        code, shown, _ = dry(server.url)
    assert code == 3
    assert "a certificate of an unknown authority" in shown.splitlines()[-1]


def test_each_redirect_is_shown(facts):
    with FaultyServer(behaviors.echoes) as there:
        location = f"http://127.0.0.1:{there.port}/live?access_token=t0ken-1234"
        with FaultyServer(behaviors.redirects(location)) as here:
            found = facts(here.url, "--follow-redirects")
            stays = facts(here.url)
        assert there.seen.requests[0].target.endswith("t0ken-1234")
    assert found["exit_code"] == 0
    assert [one["status"] for one in steps(found, "response")] == [302, 101]
    assert steps(found, "redirect")[0]["url"] == f"ws://127.0.0.1:{there.port}/live"
    assert steps(found, "request")[1]["line"] == "GET /live?access_token=*** HTTP/1.1"
    assert "t0ken-1234" not in json.dumps([found, stays])
    assert stays["exit_code"] == 3
    assert "--follow-redirects goes there" in stays["conclusion"]


def test_a_proxy_is_shown(facts):
    async def behave(peer):
        await peer.read_request()
        await peer.send_raw(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.request = None
        await behaviors.echoes(peer)

    with FaultyServer(behave) as server:
        found = facts("ws://far.example:81/", "--proxy", server.url.replace("ws://", "http://joe:pr0xy-w0rd@"))
    assert found["exit_code"] == 0
    assert [step["step"] for step in found["steps"]][:3] == ["connect", "proxy", "request"]
    assert steps(found, "proxy")[0]["address"] == "far.example:81"
    assert found["times_ns"]["proxy"] > 0
    assert "pr0xy-w0rd" not in json.dumps(found)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_is_shown_and_every_one_is_sent(facts, dry, tmp_path):
    (tmp_path / "feed.csv").write_text("token,room,pin\nfeed-t0ken,feed-r00m,42\n")
    body = b"you are joe:pa55word with feed-t0ken, h3ader and c00kie"
    with FaultyServer(answering((body,), (body,)), answering((body,))) as server:
        url = server.url.replace("ws://", "ws://joe:pa55word@") + "{feed.room}/{feed.pin}?access_token=t0ken9"
        arguments = (
            url,
            "-H",
            "X-Api-Key: h3ader",
            "-H",
            "X-Pin: {feed.pin}",
            "-H",
            "X-Colour: red",
            "-m",
            "hi c00kie",
        )
        arguments += ("--cookie", "sid=c00kie", "--subprotocol", "v1", "--feed", tmp_path / "feed.csv", "-v", "debug")
        code, shown, err = dry(*arguments)
        request = server.seen.requests[0]
        found = json.loads(dry(*arguments, "--json")[1])
    assert code == found["exit_code"] == 0, shown
    assert request.target == "/feed-r00m/42?access_token=t0ken9"
    assert request.headers["x-pin"] == "42"
    basic = base64.b64encode(b"joe:pa55word").decode()
    assert request.headers["authorization"] == f"Basic {basic}"
    for text in (shown, err, json.dumps(found)):
        for secret in ("pa55word", basic, "h3ader", "c00kie", "t0ken9", "feed-t0ken", "feed-r00m", "/42"):
            assert secret not in text, secret
    assert "GET /{feed.room}/{feed.pin}?access_token=*** HTTP/1.1" in shown
    assert "X-Pin: {feed.pin}" in shown
    assert "X-Colour: red" in shown
    assert "Authorization: Basic ***" in shown
    assert "hi ***" in shown
    assert "you are joe:*** with ***, *** and ***" in shown


# --- interrupted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_waits(start, number):
    with FaultyServer(answering((nested,))) as server:
        program = start(server.url, "--probe", "-m", '{"id": {seq}}', "--match", "json:id", "--timeout", "1m")
        server.wait_for(lambda seen: seen.messages == 1, timeout_s=20)
        shown = ""
        while "data" not in shown:  # what came is shown while the reply is awaited
            shown += os.read(program.stdout.fileno(), 1 << 16).decode()
        program.send_signal(number)
        out, err = program.communicate(timeout=60)
        server.wait_for(lambda seen: seen.closes == [1000])
    assert (program.returncode, err) == (130, "")
    last = out.splitlines()[-1]
    assert last.startswith("Interrupted while the reply was awaited; 1 message had come.")
    assert "try --match 'regex:" in last or "try --match json:" in last


def test_interrupted_before_it_has_opened(start):
    with FaultyServer(behaviors.silent_after_request) as server:
        program = start(server.url, "--probe", "--connect-timeout", "1m")
        server.wait_for(lambda seen: seen.requests, timeout_s=20)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (130, "")
    assert out.splitlines()[-1] == "Interrupted before the session had opened."


def test_a_reader_that_leaves_ends_it(start):
    with FaultyServer(behaviors.never_answers) as server:
        program = start(server.url, "--probe", "--timeout", "1m")
        server.wait_for(lambda seen: seen.messages == 1, timeout_s=20)
        program.stdout.close()
        program.stdout = None
        _, err = program.communicate(timeout=60)
        server.wait_for(lambda seen: seen.closes == [1000])
    assert (program.returncode, err) == (74, "")


def test_a_flood_is_shown_in_part_and_keeps_no_timer_waiting(monkeypatch, facts):
    monkeypatch.setattr(transcript, "MAX_FRAMES", 20)

    async def floods(peer):
        await peer.upgrade()
        while True:
            await peer.send_raw(b"\x89\x00\x81\x00" * 20_000)

    with FaultyServer(floods) as server:
        found = facts(server.url, "--timeout", "300ms", "--match", "echo")
    assert len(frames(found)) < 25
    assert found["frames_left_out"] > 1000
    assert found["pushed"] > 500
    assert found["times_ns"].keys() == {"tcp", "upgrade", "open"}


# --- answers of many messages ---------------------------------------------------------------------------------------

STREAM = ("-m", '{"id": {seq}}', "--match", "json:id", "--until", "json:done=true")


def test_an_answer_of_many_messages_is_shown_with_its_first_and_last(facts, dry, echo_url):
    options = (*STREAM, "--first", "json:index=1", "--count", "json:usage.tokens")
    found = facts(f"{echo_url}?stream=4", *options)
    came = [step for step in frames(found, "received") if "verdict" in step]
    assert [step["verdict"] for step in came] == ["part", "first", "part", "reply"]
    assert [step["took_ns"] for step in came] == sorted(step["took_ns"] for step in came)
    assert came[-1]["count"] == 4
    assert found["times_ns"]["first"] == came[1]["took_ns"]
    assert found["conclusion"].startswith("The answer of 4 messages ended after ")
    assert ", its first after " in found["conclusion"]
    _, out, _ = dry(f"{echo_url}?stream=4", *options)
    assert "the first of the answer, after " in out
    assert "--count finds 4" in out
    assert "first of the answer" in out.partition("Times:")[2].replace("\n", " ")


def test_an_answer_without_its_end_mark_is_reported_with_the_check(facts, echo_url):
    found = facts(f"{echo_url}?stream=4&cut=1", *STREAM, "--timeout", "200ms")
    assert found["exit_code"] == 1
    told = "3 messages of the answer came within 200 ms, and none satisfies --until json:done=true; which is last?"
    assert found["conclusion"] == told


def test_an_answer_that_is_broken_off_is_reported_with_the_reason(facts, echo_url):
    found = facts(f"{echo_url}?stream=4&close=1011&after=2", *STREAM)
    told = 'The answer was broken off after 2 messages: the target closed with 1011 "closed on request".'
    assert found["conclusion"] == told
