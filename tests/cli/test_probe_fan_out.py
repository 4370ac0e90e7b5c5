"""A dry run of a fan-out shows a delivery between two sessions, or says why none came."""

import json

import pytest

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.event_loop import run
from ws_load_test.echo import EchoProcess
from ws_load_test.plan.fan_out import MarkerRule
from ws_load_test.probe.fan_out_probe import Recognition
from ws_load_test.testing import unused_port

JOIN = '{"op":"join","room":"{room}"}'
SAY = '{"op":"say","room":"{room}","id":{seq},"text":"{marker}"}'
FAN_OUT = ("--subscribers", "5", "--rooms", "lobby,news", "--rate", "5", "--timeout", "500ms")


@pytest.fixture(scope="module")
def server():
    async def nothing():
        pass

    # The first loop of a process opens a pipe for signals that libuv keeps for good.
    run(nothing())
    with EchoProcess() as process:
        yield process.url


@pytest.fixture
def probed(capsys):
    """Probes in this process; returns the exit code and the facts, or what is printed for people."""

    def probe(url, *arguments, shown=False):
        code = main([url, "--probe", *FAN_OUT, *arguments, *(() if shown else ("--json",))])
        out = capsys.readouterr().out
        return code, out if shown else json.loads(out)

    return probe


def verdicts(facts):
    return [(step["session"], step["verdict"]) for step in facts["steps"] if "verdict" in step]


def test_a_delivery_is_shown_with_the_place_of_its_marker(server, probed):
    code, facts = probed(f"{server}?chat", "-m", SAY, "--first-message", JOIN)
    assert code == facts["exit_code"] == ExitCode.PASSED
    assert (facts["opened"], facts["sent"], facts["delivered"]) == (True, True, True)
    assert verdicts(facts)[-2:] in (
        [("subscriber", "delivery"), ("publisher", "push")],
        [("publisher", "push"), ("subscriber", "delivery")],
    )
    assert facts["times_ns"]["delivery"] < 500 * 10**6
    assert facts["conclusion"].endswith("the marker is at json:text. Leave --probe out to start the run.")
    joined = [step["payload"] for step in facts["steps"] if step.get("what") == "first-message"]
    assert joined == ['{"op":"join","room":"lobby"}'] * 2


def test_the_steps_of_each_session_stand_under_its_name(server, probed):
    code, out = probed(f"{server}?room={{room}}", "-m", "{marker} {room}", shown=True)
    assert code == ExitCode.PASSED
    heads = [line for line in out.splitlines() if "  session  " in line]
    named = ["subscriber: connection 1", "publisher: connection 0", "subscriber: connection 1"]
    assert [line.partition("the ")[2] for line in heads] == [f"{one}, in room lobby" for one in named]
    assert "the delivery: the marker begins at byte 0" in out


def test_everyone_is_probed_by_two_members_of_a_room(server, capsys):
    options = ("--everyone", "-c", "6", "--rooms", "2", "--rate", "5", "--marker", "json:id", "--json")
    assert main([f"{server}?chat", "--probe", *options, "-m", SAY, "--first-message", JOIN]) == ExitCode.PASSED
    facts = json.loads(capsys.readouterr().out)
    assert "json:id finds {seq}" in facts["conclusion"]


@pytest.mark.parametrize(
    ("query", "arguments", "words"),
    [
        ("?chat", ("-m", SAY), "no session joins the room; say with --first-message how one does"),
        ("?chat", ("-m", SAY, "--first-message", '{"op":"join","room":"x"}'), "nothing came; look at the replies"),
        (
            "?chat",
            ("-m", SAY, "--first-message", '{"op":"say","room":"x"}', "--first-wait", "1ms"),
            "nothing came; look at the replies to --first-message, whether a longer --first-wait helps, and",
        ),
        ("", ("-m", SAY, "--first-message", "hello"), "it came back to the publisher alone; look at how"),
    ],
)
def test_where_no_delivery_comes_the_likely_reason_is_said(server, probed, query, arguments, words):
    code, facts = probed(server + query, *arguments)
    assert code == ExitCode.THRESHOLD_FAILED
    assert not facts["delivered"]
    assert facts["conclusion"].startswith("No delivery came to the subscriber within 500 ms: ")
    assert words in facts["conclusion"]


def test_what_ends_a_session_is_the_conclusion(probed):
    with unused_port() as port:
        code, facts = probed(f"ws://127.0.0.1:{port}", "-m", SAY)
    assert code == ExitCode.NOTHING_OPENED
    assert facts["conclusion"].startswith("Of the subscriber: The session did not open: the target refuses connections")


def test_a_publish_by_http_is_not_probed(capsys):
    options = ("--subscribers", "2", "--rate", "1", "-m", "{marker}", "--publish-url", "http://h/")
    assert main(["ws://h", "--probe", *options]) == ExitCode.USAGE
    assert "leave --publish-url out to see whether deliveries come" in capsys.readouterr().err


# --- Recognition ---


def test_a_marker_is_found_where_it_stands():
    recognition = Recognition(MarkerRule())
    marker = recognition.marker.decode()
    assert recognition.place(f'["4", null, {{"data": {{"text": "so {marker}!"}}}}]'.encode()) == (
        "the marker is at json:[2].data.text"
    )
    assert recognition.place(f"MESSAGE\n\n{marker}\0".encode()) == "the marker begins at byte 9"
    assert recognition.place(b'{"text": "other"}') is None
    assert recognition.is_damaged_in(marker.upper().encode())
    assert recognition.is_damaged_in(marker[:20].encode() + b"...")
    assert not recognition.is_damaged_in(marker.encode())
    assert not recognition.is_damaged_in(b"other")


def test_a_number_is_found_by_its_rule():
    recognition = Recognition(MarkerRule("regex", r'"nr":(\d+)'))
    assert recognition.place(b'{"nr":0}') == r'regex:"nr":(\d+) finds {seq}'
    assert recognition.place(b'{"nr":1}') is None
