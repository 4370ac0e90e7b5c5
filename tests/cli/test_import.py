"""``ws-load-test import`` reads captures and writes plan files; ``--probe -o`` writes captures."""

import json
import stat
import tomllib

import pytest

from factories.captures import har, har_entry
from ws_load_test.common.errors import ExitCode
from ws_load_test.importing.session_lines import read_session_lines
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.websocket import frames

JOIN = ((">", 0.1, '{"op":"join","token":"abc123def456"}'), ("<", 0.1, '{"op":"joined"}'))
BINARY = ((">", 0.1, b"\x01\xff"), ("<", 0.1, b"\x02"))


@pytest.fixture
def capture(tmp_path):
    """Writes a HAR file of the given entries; returns its path."""

    def write(*entries):
        path = tmp_path / "app.har"
        path.write_bytes(har(*entries))
        return str(path)

    return write


def test_the_plan_file_goes_to_standard_output(program, capture):
    done = program("import", capture(har_entry(*JOIN)))
    assert (done.returncode, done.stderr) == (0, "")
    assert tomllib.loads(done.stdout)["role"]["user"]["steps"][0]["await"] == "json:op=joined"
    assert "abc123def456" not in done.stdout


def test_one_of_several_sessions_is_chosen(program, capture):
    path = capture(har_entry(*JOIN, url="wss://a/chat"), har_entry(*JOIN, url="wss://a/news"))
    refused = program("import", path)
    assert (refused.returncode, refused.stdout) == (ExitCode.USAGE, "")
    assert "a part of the URL: 1 wss://a/chat (2 messages), 2 wss://a/news" in refused.stderr
    for wanted in ("2", "news"):
        done = program("import", path, "--socket", wanted)
        assert tomllib.loads(done.stdout)["url"] == "wss://a/news"


def test_a_folder_takes_the_plan_file_and_binary_messages(program, capture, tmp_path):
    path, folder = capture(har_entry(*BINARY, *JOIN)), tmp_path / "kept"
    refused = program("import", path)
    assert refused.returncode == ExitCode.USAGE
    assert "name a folder for them and the plan file: -o DIR" in refused.stderr
    done = program("import", path, "-o", folder)
    plan = folder / "scenario.toml"
    assert (
        done.stdout == f"{plan} was written; set TOKEN, then see what it does: ws-load-test --plan {plan} --explain\n"
    )
    assert (folder / "binary-1.bin").read_bytes() == b"\x01\xff"
    assert tomllib.loads(plan.read_text())["role"]["user"]["steps"][0]["send"] == f"@{folder}/binary-1.bin"
    again = program("import", path, "-o", folder)
    assert again.returncode == ExitCode.USAGE
    assert "is there already; name another folder, or add --force" in again.stderr
    assert program("import", path, "-o", folder, "--force").returncode == 0


def test_a_folder_that_cannot_be_written_is_exit_code_74(program, capture, tmp_path):
    (tmp_path / "file").write_text("x")
    done = program("import", capture(har_entry(*JOIN)), "-o", tmp_path / "file" / "kept")
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr.startswith("ws-load-test: import: cannot write ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "no capture named; write for example: ws-load-test import app.har > scenario.toml"),
        (["nowhere.har"], 'import: cannot read "nowhere.har": no such file'),
        (["a.har", "b.har"], "more than one capture named"),
        (["CAPTURE", "--speed", "0"], '--speed: "0" is no factor'),
        (["CAPTURE", "--speed", "fast"], '--speed: "fast" is no factor'),
        (["CAPTURE", "--speed", "1e9"], '--speed: "1e9" is no factor'),
        (["CAPTURE", "--socket", "9"], "--socket: there is no session 9"),
        (["CAPTURE", "-o", "-"], "--output: names no folder"),
        (["CAPTURE", "--loud"], "--loud"),
    ],
)
def test_wrong_usage_is_one_sentence(program, capture, arguments, why):
    path = capture(har_entry(*JOIN))
    done = program("import", *(path if word == "CAPTURE" else word for word in arguments))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_page_without_a_session_is_one_sentence(program, capture):
    done = program("import", capture())
    assert done.returncode == ExitCode.USAGE
    assert "it has no WebSocket session; open the network panel of the browser first" in done.stderr


def test_waits_are_divided_by_the_speed(program, capture):
    path = capture(har_entry(*JOIN, (">", 3, '{"op":"leave"}')))
    plan = tomllib.loads(program("import", path, "--speed", "2").stdout)
    assert plan["role"]["user"]["steps"][1]["wait"] == "1.5s"


# --- what a probe keeps ----------------------------------------------------------------------------------------------


def test_a_probe_keeps_its_messages_for_its_owner_alone(program, echo_url, tmp_path):
    path = tmp_path / "session.jsonl"
    message = '{"id": {seq}, "key": "tokentoken99"}'
    words = (echo_url + "?token=abc123def456", "--probe", "-m", message, "--bearer", "tokentoken99", "-o", path)
    done = program(*words, "--match", "json:id")
    assert done.returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (found,) = read_session_lines(path.read_bytes())
    content = b'{"id": 0, "key": "***"}'
    assert [(one.direction, one.payload) for one in found.messages] == [("sent", content), ("received", content)]
    assert found.url.endswith("?token=***")
    assert found.headers == (("Authorization", "Bearer ***"),)
    assert b"abc123def456" not in path.read_bytes()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("opcode") for line in lines] == [None, "text", "text", "close", "close"]
    again = program(*words)
    assert again.returncode == ExitCode.USAGE
    assert "is there already, and not empty" in again.stderr
    assert program(*words, "--force").returncode == 0
    plan = tomllib.loads(program("import", path).stdout)
    (step,) = plan["role"]["user"]["steps"]
    assert (step["send"], step["await"]) == ('{"id": {seq}, "key": "{env.KEY}"}', "json:id={seq}")


def test_a_probe_keeps_messages_whole_that_came_in_fragments(program, tmp_path):
    async def fragments(peer):
        await peer.upgrade()
        async for message in peer.messages():
            half = len(message.payload) // 2
            await peer.send_frame(frames.TEXT, message.payload[:half], fin=False)
            await peer.send_frame(frames.CONTINUATION, message.payload[half:])

    path = tmp_path / "session.jsonl"
    with FaultyServer(fragments) as server:
        assert program(server.url, "--probe", "-m", "hello there", "-o", path).returncode == 0
    (found,) = read_session_lines(path.read_bytes())
    assert [one.payload for one in found.messages] == [b"hello there"] * 2


def test_a_message_stands_before_the_answer_to_it(program, tmp_path):
    async def asks(peer):
        await peer.upgrade()
        await peer.send_frame(frames.TEXT, b"ping?")
        async for message in peer.messages():
            await peer.reply(message)

    path = tmp_path / "session.jsonl"
    with FaultyServer(asks) as server:
        program(server.url, "--probe", "--auto-reply", "contains:ping?=>pong!", "-m", "hello", "-o", path)
    (found,) = read_session_lines(path.read_bytes())
    contents = [one.payload for one in found.messages]
    assert contents.index(b"ping?") < contents.index(b"pong!")
    assert [one.at_ns for one in found.messages] == sorted(one.at_ns for one in found.messages)


def test_a_probe_keeps_both_sessions_of_a_fan_out(program, echo_url, tmp_path):
    path = tmp_path / "sessions.jsonl"
    words = ("--subscribers", "2", "--rate", "1", "--probe", "-o", path, "--match", "json:id")
    done = program(echo_url + "?room=x&ack=1", *words, "-m", '{"id": {seq}, "text": "{marker}"}')
    assert done.returncode == 0
    found = read_session_lines(path.read_bytes())
    assert [(one.label, one.sent) for one in found] == [("subscriber", 0), ("publisher", 1)]
    assert found[0].messages[0].payload == found[1].messages[0].payload


def test_a_file_that_a_probe_cannot_write_is_exit_code_74(program, tmp_path):
    with FaultyServer(behaviors.echoes) as server:
        done = program(server.url, "--probe", "-q", "-o", tmp_path / "nowhere" / "x.jsonl")
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert "--output: cannot write" in done.stderr


# --- round trip ------------------------------------------------------------------------------------------------------

SCENARIO = """
url = "URL?chat&ack=1&duplicate=100%&token=s3cr3ttoken99"
duration = "1s"

[role.writer]

[[role.writer.open]]
send = '{"op": "join", "room": "a"}'
await = "json:op=joined"

[[role.writer.steps]]
wait = "50ms"
send = '{"op": "say", "room": "a", "id": {seq}, "text": "hi"}'
await = ["json:op=ack", "json:id={seq}"]

[[role.writer.steps]]
send = '{"op": "say", "room": "a", "id": {seq}, "text": "ho"}'
await = ["json:op=ack", "json:id={seq}"]

[[role.writer.leave]]
send = '{"op": "leave", "room": "a"}'
await = "json:op=left"
"""
"""A conversation with the built-in server, which sends each delivery twice."""


def without_numbers(path):
    """Returns the conversation of a session file: directions and contents, ids as places in the order of their use."""
    (found,) = read_session_lines(path.read_bytes())
    numbers = {}
    said = []
    for message in found.messages:
        content = json.loads(message.payload)
        if "id" in content:
            content["id"] = numbers.setdefault(content["id"], len(numbers))
        said.append((message.direction, content))
    return said


def test_a_capture_that_is_imported_and_run_again_is_the_same_conversation(program, echo_url, tmp_path, monkeypatch):
    first, plan, second = (tmp_path / name for name in ("first.jsonl", "plan.toml", "second.jsonl"))
    written = tmp_path / "scenario.toml"
    written.write_text(SCENARIO.replace("URL", echo_url))
    assert program("--plan", written, "--probe", "-o", first).returncode == 0
    plan.write_text(program("import", first).stdout)
    assert "s3cr3ttoken99" not in first.read_text() + plan.read_text()
    monkeypatch.setenv("TOKEN", "s3cr3ttoken99")
    assert program("--plan", plan, "--probe", "-o", second).returncode == 0
    conversation = without_numbers(first)
    assert [content["op"] for direction, content in conversation if direction == "sent"] == [
        "join", "say", "say", "leave",
    ]  # fmt: skip
    assert len(conversation) == 12
    assert without_numbers(second) == conversation
    # A load of such sessions: each message has its answer, and nothing comes that no step or reaction takes.
    counts = json.loads(program("--plan", plan, "-d", "300ms", "--json").stdout)["messages"]
    assert counts["sent"] >= 1
    assert (counts["answered"], counts["pushed"]) == (counts["sent"], 0)
