"""Plan files with roles on the command line: explained, refused, and with options that win over the file."""

import pytest

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.options.read_plan import make_plan

CHAT = """
url = "ws://localhost:3001/?token={env.PHRASE}"
connections = 10
duration = "5s"
[role.user]
[[role.user.steps]]
name = "say"
wait = "1s"
send = "hi {env.PHRASE}"
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("PHRASE", "open-sesame")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.toml").write_text(CHAT)
    return tmp_path / "chat.toml"


def test_a_plan_file_is_explained_with_options_that_win(plan, capsys):
    assert main(["--plan", "chat.toml", "--explain", "-c", "20", "-d", "1m"]) == ExitCode.PASSED
    printed = capsys.readouterr().out
    assert "target       ws://localhost:3001/?token={env.PHRASE}\n" in printed
    assert "length       60 s\n" in printed
    assert "user: 20 sessions\n  repeats  say  waits 1 s\n                sends hi {env.PHRASE}\n" in printed
    assert "user  at most 20/s in 20/s iterations, if the target answered at once\n" in printed
    assert "sesame" not in printed


def test_every_problem_is_printed_with_its_line(plan, capsys):
    plan.write_text(CHAT.replace("wait", "waits") + "awiat = 3\n")
    assert main(["--plan", "chat.toml", "--rate", "5"]) == ExitCode.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ws-load-test: the plan has 3 problems:"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == ["--rate", "chat.toml:8", "chat.toml:10"]
    assert lines[2].endswith("role.user.steps[0].waits: there is no such key; did you mean wait?")


def test_problems_of_other_roles_are_found_while_a_like_is_wrong(plan, capsys):
    plan.write_text(
        CHAT
        + """
[role.lost]
like = "usr"

[role.like-a-user]
like = "user"
share = 1
[[role.like-a-user.steps]]
wait = "1s"
send = "{my.token}"
"""
    )
    assert main(["--plan", "chat.toml"]) == ExitCode.USAGE
    printed = capsys.readouterr().err
    assert 'there is no role "usr"; did you mean user?' in printed
    assert "{my.token}" in printed


def test_the_command_that_repeats_a_run_has_its_connections_and_rooms():
    role = {
        "reader": {"share": 3, "open": [{"send": "join {room}"}]},
        "writer": {"share": 1, "steps": [{"wait": "1s", "send": "{marker}", "deliver-to": "reader"}]},
    }
    made = make_plan("ws://h/", role=role, connections=8, rooms=2)
    line = command_line(made)
    assert "--plan FILE" in line
    assert " -c 8 " in line
    assert " --rooms 2" in line
    assert "-c 4" in command_line(make_plan("ws://h/", role={"user": {"sessions": 4, "on": [{"when": "json:a"}]}}))
