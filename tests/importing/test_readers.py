"""HAR files and session files are read as captures."""

import json

import pytest

from factories.captures import STARTED_S, har, har_entry
from ws_load_test.common.errors import UsageError
from ws_load_test.importing.capture import CapturedMessage
from ws_load_test.importing.har import is_har, read_har
from ws_load_test.importing.read_capture import choose_sessions, read_captures
from ws_load_test.importing.session_lines import (
    SESSION_SCHEMA,
    SessionLine,
    encode_lines,
    is_session_file,
    message_line,
    read_session_lines,
)

TALK = ((">", 0.5, '{"op":"join"}'), ("<", 0.25, '{"op":"joined"}'), (">", 1, b"\x00\xff"))
"""Half a second after the beginning of the session, and so on."""


@pytest.mark.parametrize("scale", [1, 1e3, 1e6])
def test_a_har_file_of_any_unit_of_time(scale):
    data = har(har_entry(*TALK, headers=[("Origin", "https://x"), ("Sec-WebSocket-Protocol", "a, b")], scale=scale))
    assert is_har(data)
    (found,) = read_har(data)
    assert (found.url, found.subprotocols, found.started_ns) == ("wss://chat.example/ws", ("a", "b"), STARTED_S * 10**9)
    assert [(one.direction, one.payload, one.binary) for one in found.messages] == [
        ("sent", b'{"op":"join"}', False),
        ("received", b'{"op":"joined"}', False),
        ("sent", b"\x00\xff", True),
    ]
    assert [round(one.at_ns / 1e7) for one in found.messages] == [50, 75, 175]


def test_instants_of_another_clock_count_from_the_first():
    entry = har_entry(*TALK)
    for number, one in enumerate(entry["_webSocketMessages"]):
        one["time"] = 12_345.5 + number
    (found,) = read_har(har(entry))
    assert [one.at_ns for one in found.messages] == [0, 10**9, 2 * 10**9]
    assert found.started_ns == STARTED_S * 10**9


def test_a_message_never_comes_before_the_one_above_it():
    entry = har_entry(*TALK)
    entry["_webSocketMessages"][1]["time"] -= 5
    (found,) = read_har(har(entry))
    assert [round(one.at_ns / 1e7) for one in found.messages] == [50, 50, 175]


def test_control_frames_and_other_entries_are_left_out():
    entry = har_entry(*TALK)
    entry["_webSocketMessages"] += [{"type": "receive", "time": 1, "opcode": 9, "data": ""}, {"type": "error"}]
    (found,) = read_har(har(entry))
    assert len(found.messages) == 3


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"log": 3}', b'{"log": {"entries": [1]}}', b"hello"])
def test_what_is_no_capture_is_one_sentence(data, tmp_path):
    path = tmp_path / "x.har"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"import: cannot read .*x\.har.*: it is n") as caught:
        read_captures(str(path))
    assert "\n" not in str(caught.value)


def session_file():
    lines = [
        SessionLine(SESSION_SCHEMA, 1, "subscriber", "wss://a/x"),
        SessionLine(SESSION_SCHEMA, 2, "publisher", "wss://a/x"),
    ]
    lines += [message_line(5, "sent", "text", b"hi", 1), message_line(6, "received", "binary", b"\xff", 1)]
    lines += [message_line(7, "sent", "text", b"\xff", 2), message_line(8, "sent", "close", b"", 2)]
    return encode_lines(lines)


def test_a_session_file_is_read_as_it_was_written():
    data = session_file()
    assert is_session_file(data)
    assert not is_session_file(har())
    first, second = read_session_lines(data)
    assert first.messages == (CapturedMessage(5, "sent", b"hi"), CapturedMessage(6, "received", b"\xff", binary=True))
    assert [one.payload for one in second.messages] == [b"\xff"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "line 7: "),
        (b'{"at_ns": 1, "direction": "up", "opcode": "text"}', "line 7: .*direction"),
        (b'{"at_ns": 1, "direction": "sent", "opcode": "text", "session": 9}', "line 7: .*session 9"),
        (b'{"at_ns": 1, "direction": "sent", "opcode": "text", "session": 1, "base64": "?"}', "line 7: .*no base64"),
        (b'{"schema": "ws-load-test/session/9"}', "line 7: .*schema"),
    ],
)
def test_a_wrong_line_is_named(line, why):
    with pytest.raises(ValueError, match=why):
        read_session_lines(session_file() + line + b"\n")


def test_sessions_are_chosen_by_number_url_or_name():
    captures = read_har(
        har(har_entry(*TALK, url="wss://a.example/chat?token=abc123def456"), har_entry(*TALK), har_entry(url="wss://b"))
    )
    assert choose_sessions(captures, "2", "x")[0].url == "wss://chat.example/ws"
    assert choose_sessions(captures, "/chat?", "x") == captures[:1]
    assert choose_sessions(read_session_lines(session_file()), "publisher", "x")[0].label == "publisher"
    for wanted in (None, "3", "0", "example", "nowhere"):
        with pytest.raises(UsageError, match=r"1 wss://a\.example/chat\?token=\*\*\* \(3 messages\), 2 wss://chat"):
            choose_sessions(captures, wanted, "x")


def test_no_session_is_one_sentence():
    for captures, why in (([], "it has no WebSocket session"), (read_har(har(har_entry())), "have no messages")):
        with pytest.raises(UsageError, match=why):
            choose_sessions(captures, None, "x.har")


def test_a_har_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "x.har"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(har(har_entry(*TALK)))).encode())
    assert len(read_captures(str(path))) == 1
