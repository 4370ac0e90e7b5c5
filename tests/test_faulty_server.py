"""The tool that other tests rely on must itself be trusted."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from websockets.exceptions import (
    ConnectionClosedError,
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
)
from websockets.sync.client import connect

from ws_load_test.testing import (
    Certificates,
    FaultyServer,
    ManualClock,
    behaviors,
    free_port,
    leaks,
    protocol_violations,
    unused_port,
)
from ws_load_test.websocket import frames


def opened(server, **options):
    return connect(server.url, compression=None, close_timeout=1, open_timeout=2, max_size=1 << 20, **options)


def raw_request(server):
    """A socket that has sent an upgrade request by hand."""
    stream = socket.create_connection(("127.0.0.1", server.port), timeout=2)
    stream.sendall(
        b"GET /path HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return stream


def read_to_end(stream):
    data = b""
    while more := stream.recv(1 << 16):
        data += more
    return data


def frames_after(behaviour, sent=b"x"):
    """The bytes a behaviour answers one message with, when the client then closes its end."""
    with FaultyServer(behaviour) as server, raw_request(server) as stream:
        stream.sendall(frames.encode_frame(frames.TEXT, sent, mask=b"abcd"))
        stream.shutdown(socket.SHUT_WR)
        return read_to_end(stream).partition(b"\r\n\r\n")[2]


def test_echoes_and_counts_exactly():
    with FaultyServer(behaviors.echoes) as server, opened(server) as client:
        for message in ("one", b"two", "x" * 70_000):
            client.send(message)
            assert client.recv() == message
        client.send(["frag", "ments"])
        assert client.recv() == "fragments"
        assert client.ping(b"!").wait(60)
        client.close(4000)
        server.wait_for(lambda seen: seen.open == 0)
        seen = server.seen
        assert (seen.accepted, seen.upgraded, seen.messages, seen.replies) == (1, 1, 4, 4)
        assert seen.payloads == [b"one", b"two", b"x" * 70_000, b"fragments"]
        assert (seen.pings, seen.closes, seen.violations) == ([b"!"], [4000], [])
        assert seen.requests[0].headers["upgrade"] == "websocket"


def test_one_behaviour_a_connection_and_the_last_for_the_rest():
    with FaultyServer(behaviors.rejects(503), behaviors.echoes) as server:
        with pytest.raises(InvalidStatus):
            opened(server)
        for _ in range(2):
            with opened(server) as client:
                client.send("x")
                assert client.recv() == "x"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (behaviors.rejects(403), InvalidStatus),
        (behaviors.rejects(404), InvalidStatus),
        (behaviors.talks_something_else(), InvalidMessage),
        (behaviors.leaves_at_once, InvalidMessage),
        (behaviors.wrong_accept, InvalidHeader),
        (behaviors.without_header("Upgrade"), InvalidUpgrade),
        (behaviors.without_header("Connection"), InvalidUpgrade),
        (behaviors.without_header("Sec-WebSocket-Accept"), InvalidHeader),
    ],
)
def test_failed_upgrades(behaviour, error):
    with FaultyServer(behaviour) as server:
        with pytest.raises((error, InvalidMessage)) as caught:
            opened(server)
        causes = [caught.value, caught.value.__cause__, caught.value.__context__]
        assert any(isinstance(cause, error) for cause in causes), causes
        server.wait_for(lambda seen: seen.open == 0)


def test_redirects_say_where_to():
    with FaultyServer(behaviors.redirects("/elsewhere")) as server, raw_request(server) as stream:
        answer = read_to_end(stream)
    assert answer.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"\r\nLocation: /elsewhere\r\n" in answer


@pytest.mark.parametrize("behaviour", [behaviors.silent_after_accept, behaviors.silent_after_request])
def test_silence_during_the_upgrade(behaviour):
    with FaultyServer(behaviour) as server, raw_request(server) as stream:
        stream.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        assert len(server.seen.requests) == (behaviour is behaviors.silent_after_request)


def test_dribbled_upgrade_and_early_message():
    with FaultyServer(behaviors.dribbled_upgrade) as server, opened(server) as client:
        client.send("x")
        assert client.recv() == "x"
    with FaultyServer(behaviors.early_message(b"hello")) as server, raw_request(server) as stream:
        assert stream.recv(4096).endswith(b"\r\n\r\n" + frames.encode_frame(frames.TEXT, b"hello"))


@pytest.mark.parametrize("messages", [0, 2])
def test_closes_after_messages_with_code_and_reason(messages):
    with FaultyServer(behaviors.closes_after(messages, 1011, "tired")) as server, opened(server) as client:
        for _ in range(messages):
            client.send("x")
            assert client.recv() == "x"
        with pytest.raises(ConnectionClosedError) as caught:
            client.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "tired")
        server.wait_for(lambda seen: seen.closes == [1011])


def test_vanishing_is_an_end():
    with FaultyServer(behaviors.vanishes_after(1)) as server, raw_request(server) as stream:
        stream.sendall(frames.encode_frame(frames.TEXT, b"x", mask=b"abcd"))
        assert read_to_end(stream).endswith(b"\r\n\r\n" + frames.encode_frame(frames.TEXT, b"x"))


@pytest.mark.parametrize("behaviour", [behaviors.resets_at_once, behaviors.resets_after(0)])
def test_resets_are_errors(behaviour):
    with (
        FaultyServer(behaviour) as server,
        raw_request(server) as stream,
        pytest.raises(ConnectionResetError),
    ):
        read_to_end(stream)


def test_never_answers_but_pongs():
    with FaultyServer(behaviors.never_answers) as server, opened(server) as client:
        client.send("x")
        assert client.ping().wait(60)
        with pytest.raises(TimeoutError):
            client.recv(0.02)
        assert (server.seen.messages, server.seen.replies) == (1, 0)


def test_deaf_fills_the_buffers():
    with FaultyServer(behaviors.never_reads) as server, raw_request(server) as stream:
        assert stream.recv(4096).startswith(b"HTTP/1.1 101 ")
        stream.settimeout(0.1)
        with pytest.raises(TimeoutError):
            stream.sendall(bytes(64 << 20))
        assert server.seen.messages == 0


def test_delays_in_order_and_logs_what_they_became():
    with FaultyServer(behaviors.delays(20_000_000, 1_000_000)) as server, opened(server) as client:
        started = time.monotonic_ns()
        for number in range(4):
            client.send(str(number))
        assert [client.recv() for _ in range(4)] == ["0", "1", "2", "3"]
        assert time.monotonic_ns() - started >= 20_000_000
        delays = server.seen.delays_ns
    assert len(delays) == 4
    assert min(delays[0], delays[2]) >= 20_000_000
    assert delays[1] >= 10_000_000  # waits for the one before it


def test_stalls_once():
    with FaultyServer(behaviors.stalls(50_000_000, after=1)) as server, opened(server) as client:
        took = []
        for _ in range(3):
            started = time.monotonic()
            client.send("x")
            assert client.recv() == "x"
            took.append(time.monotonic() - started)
    assert max(took) == took[1] >= 0.04


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (protocol_violations.reserved_opcode(), 1002),
        (protocol_violations.reserved_bits(), 1002),
        (protocol_violations.masked_frame(), 1002),
        (protocol_violations.oversized_frame(), 1009),
        (protocol_violations.stray_continuation(), 1002),
        (protocol_violations.interrupted_fragments(), 1002),
        (protocol_violations.fragmented_ping(), 1002),
        (protocol_violations.long_ping(), 1002),
        (protocol_violations.bad_close(), 1002),
        (protocol_violations.bad_close(b"\x03"), 1002),
        (protocol_violations.invalid_text(), 1007),
        (protocol_violations.half_frame(), 1006),
    ],
)
def test_broken_frames_make_a_strict_client_fail(behaviour, code):
    with FaultyServer(behaviour) as server, opened(server) as client:
        client.send("x")
        with pytest.raises((ConnectionClosedError, UnicodeDecodeError)):
            client.recv(2)
        if code == 1006:
            return
        client.close(code)
        server.wait_for(lambda seen: seen.closes == [code])


def test_broken_frames_come_after_good_ones():
    with FaultyServer(protocol_violations.masked_frame(after=2)) as server, opened(server) as client:
        for _ in range(2):
            client.send("x")
            assert client.recv() == "x"
        client.send("x")
        with pytest.raises(ConnectionClosedError):
            client.recv(2)
        assert server.seen.replies == 2


def test_pushes_between_replies():
    text = frames.encode_frame
    answer = frames_after(behaviors.pushes(b"news", at_start=1))
    assert answer == text(1, b"news") + text(1, b"news") + text(1, b"x")


def test_fragments_with_pings_between():
    assert frames_after(behaviors.fragments(2), b"abc") == (
        frames.encode_frame(frames.TEXT, b"ab", fin=False)
        + frames.encode_frame(frames.PING, b"between")
        + frames.encode_frame(frames.CONTINUATION, b"c")
    )


def test_frames_cut_at_every_byte():
    message = "abc"
    cuts = set()
    with FaultyServer(behaviors.splits_frames(5_000_000)) as server, raw_request(server) as stream:
        assert stream.recv(4096).endswith(b"\r\n\r\n")
        for _ in range(4):
            stream.sendall(frames.encode_frame(frames.TEXT, message.encode(), mask=b"abcd"))
            first = stream.recv(64)
            rest = b"" if len(first) == 5 else stream.recv(64)
            assert first + rest == frames.encode_frame(frames.TEXT, b"abc")
            cuts.add(len(first))
    assert cuts == {1, 2, 3, 4}


def test_dribbled_frames_and_several_in_one_segment():
    with FaultyServer(behaviors.dribbled_frames) as server, opened(server) as client:
        client.send("dribble")
        assert client.recv() == "dribble"
    with FaultyServer(behaviors.several_in_one_segment(3)) as server, opened(server) as client:
        for number in range(3):
            client.send(str(number))
        assert [client.recv() for _ in range(3)] == ["0", "1", "2"]


def test_pings_require_the_pong():
    with FaultyServer(behaviors.pings(b"there?")) as server, opened(server) as client:
        client.send("lost while it waits for the pong")
        server.wait_for(lambda seen: seen.pongs == [b"there?"])
    with FaultyServer(behaviors.pings(timeout_ns=20_000_000)) as server, raw_request(server) as stream:
        assert read_to_end(stream).endswith(frames.encode_frame(frames.CLOSE, frames.close_payload(1011, "no pong")))


def test_ignores_the_closing_handshake():
    with FaultyServer(behaviors.ignores_close) as server, raw_request(server) as stream:
        stream.sendall(frames.encode_frame(frames.CLOSE, frames.close_payload(1000), mask=b"abcd"))
        server.wait_for(lambda seen: seen.closes == [1000])
        assert stream.recv(4096).endswith(b"\r\n\r\n")
        stream.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.recv(1)


def test_notes_what_the_client_breaks():
    with FaultyServer(behaviors.echoes) as server, raw_request(server) as stream:
        stream.sendall(
            frames.encode_frame(frames.TEXT, b"no mask") + frames.encode_frame(frames.PING, b"x" * 126, mask=b"abcd")
        )
        stream.sendall(frames.encode_frame(frames.TEXT, b"bits", mask=b"abcd", rsv=0x20))
        server.wait_for(lambda seen: len(seen.violations) == 3)
        assert [text.split()[-1] for text in server.seen.violations] == ["5.1)", "5.5)", "5.2)"]


def test_a_behaviour_with_a_bug_fails_the_block():
    async def buggy(peer):
        await peer.upgrade()
        raise KeyError("oops")

    with (
        pytest.raises(ExceptionGroup) as caught,
        FaultyServer(buggy) as server,
        raw_request(server) as stream,
    ):
        read_to_end(stream)
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_waiting_for_what_never_comes_shows_what_was_seen():
    with FaultyServer(behaviors.echoes) as server, pytest.raises(TimeoutError, match="accepted=0"):
        server.wait_for(lambda seen: seen.accepted > 0, timeout_s=0.01)


# --- certificates ---


@pytest.fixture(scope="module")
def certificates():
    return Certificates()


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("trusted", None),
        ("expired", "certificate has expired"),
        ("self_signed", "self-signed certificate"),
        ("wrong_host", "IP address mismatch"),
    ],
)
def test_certificates(certificates, kind, problem, tmp_path):
    context = ssl.create_default_context(cafile=certificates.write_ca(tmp_path))
    with FaultyServer(behaviors.echoes, tls=getattr(certificates, kind)()) as server:
        if problem is None:
            with opened(server, ssl=context) as client:
                client.send("x")
                assert client.recv() == "x"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match=problem):
                opened(server, ssl=context)


# --- small tools ---


def test_manual_clock_moves_forward_only():
    clock = ManualClock(5)
    clock.advance(10)
    assert clock.now_ns() == 15
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_ports():
    with socket.create_server(("127.0.0.1", free_port())):
        pass
    with unused_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_leaks_names_descriptors():
    with pytest.raises(AssertionError, match="left behind: descriptor"), leaks(grace_s=0.02):
        ends = os.pipe()
    for end in ends:
        os.close(end)


def test_leaks_names_children():
    with pytest.raises(AssertionError, match=r"child process \d+"), leaks(grace_s=0.02):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.communicate(b"\n")


def test_leaks_names_threads():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    with pytest.raises(AssertionError, match="left behind: thread forgotten"), leaks(grace_s=0.02):
        thread.start()
    stop.set()
    thread.join()


def test_leaks_names_tasks():
    async def main():
        watch = leaks(grace_s=0.02)
        watch.__enter__()
        task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
        with pytest.raises(AssertionError, match="task forgotten"):
            watch.__exit__(None, None, None)
        task.cancel()

    asyncio.run(main())


def test_leaks_gives_threads_time_to_wind_down():
    with leaks():
        threading.Timer(0.05, lambda: None).start()
