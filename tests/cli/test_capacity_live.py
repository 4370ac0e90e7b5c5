"""`capacity` as its users run it, against the built-in server with a limit."""

import json
import signal
import socket
import time
from types import SimpleNamespace

import pytest

from factories.capacity import searched, served
from ws_load_test.cli import main
from ws_load_test.cli.help_pages import PAGES
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.common.version import PROGRAM
from ws_load_test.experiments.capacity.search_options import refused_options
from ws_load_test.metrics.recording_file import read_recording

LIMIT = 2060
URL = "ws://h:1/"
QUICK = (
    "--step-duration",
    "0.5s",
    "--max-step-duration",
    "0.5s",
    "--warmup",
    "0.1s",
    "--cooldown",
    "0s",
    "-w",
    "1",
    "-c",
    "20",
)


@pytest.mark.alone
def test_a_limit_is_found_and_everything_kept(echo_url, program, tmp_path):
    # A machine that is busy with other things makes the generator late, which it says: then it is asked again.
    for attempt in range(3):
        kept_in = tmp_path / f"steps-{attempt}"
        done = program(
            "capacity", f"{echo_url}?limit={LIMIT}", "--slo", "p99 < 100ms", "--from", 1800, "--max", 2200, *QUICK,
            "--precision", "11%",
            "-o", kept_in, "--json", "--markdown", tmp_path / "found.md", "--html", tmp_path / "found.html",
        )  # fmt: skip
        if done.returncode != ExitCode.GENERATOR_BOUND:
            break
    assert done.returncode == ExitCode.PASSED, done.stdout + done.stderr
    assert done.stderr == ""
    facts = json.loads(done.stdout)
    answer = facts["answer"]
    assert answer["ending"] == "found"
    assert abs(answer["lower"] / LIMIT - 1) <= 0.05
    assert answer["upper"] >= LIMIT / 1.01
    assert answer["lower_times"] >= 2 <= answer["upper_times"]
    kept = sorted(path.name for path in kept_in.iterdir())
    assert kept == sorted([*(step["recording"].rpartition("/")[2] for step in facts["steps"]), "capacity.json"])
    # Each recording is a run's like any other, and judges itself by the objectives.
    missed = next(step for step in facts["steps"] if step["outcome"] == "missed")
    recording = read_recording(missed["recording"])
    assert not recording.trailer.interrupted
    assert recording.header.plan["slo"] == ["p99 < 100ms"]
    assert "ws-load-test capacity: between " in (tmp_path / "found.md").read_text()
    assert "<!DOCTYPE html>" in (tmp_path / "found.html").read_text()


def test_ctrl_c_ends_the_step_and_tells_what_is_known(echo_url, start):
    process = start("capacity", echo_url, "--json", "-w", "1", "-c", "2", "-v", "info")
    # It says what it is going to do before it begins.
    for line in process.stderr:
        if "steps" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    facts = json.loads(out)
    assert facts["answer"]["ending"] == "interrupted"
    assert facts["answer"]["lower"] is None


def test_a_port_without_a_server(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
        assert main(["capacity", url, "-w", "1", "-c", "2", "--slo", "p99 < 1s"]) == ExitCode.NOTHING_OPENED
    assert capsys.readouterr().out.startswith("No answer: not a single connection could be opened (connect-refused).\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "URL: missing"),
        ([URL, "-d", "10s"], "--duration: each step is as long as its objectives need"),
        ([URL, "-r", "100"], "--rate: is what the search varies"),
        ([URL, "--find", "connections", "-c", "5"], "--connections: is what the search varies"),
        ([URL, "--slo", "p99 < 50"], "--slo: "),
        ([URL, "--slow-readers", "p99 < 50ms"], "--slow-readers: "),
        ([URL, "--hdr", "x"], "--hdr: it is made of one run"),
        ([URL, "--precison", "5%"], "Did you mean --precision?"),
        ([URL, "--json", "--markdown", "-"], "--markdown: standard output is taken by --json"),
        ([URL, "--markdown", "x", "--html", "x"], "--html: x is the file of --markdown as well"),
        ([URL, "--plan", "/nowhere.toml"], "--plan: cannot read"),
        ([URL, "-o", "new", "--html", "new/capacity.json"], "--html: new/capacity.json is the answer in the folder"),
        ([URL, "-o", "./new", "--markdown", "new/01-100.jsonl"], "--markdown: new/01-100.jsonl is a step's recording"),
        ([URL, "-o", "new", "--markdown", "new/03-1.5e+06.jsonl"], "is a step's recording, which it would overwrite"),
        ([URL, "--cluster", "h:1"], "is neither an address nor a scheduler file"),
        ([URL, "--on-worker-lost", "stop"], "--on-worker-lost: needs a cluster; add --cluster ADDRESS"),
        ([URL, "--live"], "--live: shows one run"),
        ([URL, "-o", __file__], "--output: cannot make the folder"),
        ([URL, "-o", "."], "not empty"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_sentence(arguments, words, capsys):
    code = main(["capacity", *arguments])
    told = capsys.readouterr()
    assert code in (ExitCode.USAGE, ExitCode.OUTPUT_FAILED)
    assert told.out == ""
    assert told.err.startswith(f"{PROGRAM}: ")
    assert told.err.count("\n") == 1
    assert words in told.err


def test_all_that_is_wrong_is_reported_at_once(capsys):
    assert main(["capacity", "http://x", "-d", "5s", "--slo", "p98", "-v", "info", "--html", ""]) == ExitCode.USAGE
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"{PROGRAM}: the plan has 4 problems:"
    assert {line.split(":")[0].strip() for line in rest} == {"URL", "--duration", "--slo", "--html"}


def stop():
    raise UsageError("far enough")


def test_a_plan_file_says_what_is_tested_and_not_how_much(tmp_path, monkeypatch):
    from ws_load_test.cli import capacity as room

    path, asked, logged = tmp_path / "plan.toml", [], []
    path.write_text(
        'url = "ws://h:1/"\nmessage = ["hello"]\nduration = "1m"\nrate = 5\nconnections = 7\n'
        "json = true\nlive = false\n"
    )
    monkeypatch.setattr(room, "CapacitySearch", lambda aim, *_: asked.append(aim) or stop())
    monkeypatch.setattr(room._log, "warning", lambda text, *values: logged.append(text % values))
    assert main(["capacity", "--plan", str(path), "--slo", "p99 < 1s"]) == ExitCode.USAGE
    plan = asked[0].plan(300)
    assert (plan.connections, plan.load.rate.peak, plan.message.payload) == (7, 300, b"hello")
    assert logged == [
        f"--plan: duration is left out (--duration: {refused_options('rate')['duration']})",
        f"--plan: rate is left out (--rate: {refused_options('rate')['rate']})",
    ]
    # What is to be found may stand in the file as well.
    path.write_text('url = "ws://h:1/"\nfind = "connections"\nrate = 5\nconnections = 7\n')
    assert main(["capacity", "--plan", str(path), "--slo", "p99 < 1s"]) == ExitCode.USAGE
    plan = asked[1].plan(300)
    assert (asked[1].dimension, plan.connections, plan.load.rate.peak) == ("connections", 300, 5)
    assert [line.partition(" is left out")[0] for line in logged[2:]] == ["--plan: connections"]


def test_a_file_that_cannot_be_written_is_in_the_json_as_well(monkeypatch, tmp_path, capsys):
    from ws_load_test.cli import capacity as room

    searching = searched(lambda plan: served(plan, limit=1000), slo="p99 < 50ms", output=tmp_path / "steps")
    code = room._report(searching, {"json": True, "markdown": str(tmp_path / "nowhere" / "x.md")})
    told = json.loads(capsys.readouterr().out)
    assert code == told["exit_code"] == ExitCode.OUTPUT_FAILED
    kept = json.loads((tmp_path / "steps" / "capacity.json").read_text())
    assert {**kept, "exit_code": code} == told
    assert kept["exit_code"] == searching.exit_code == ExitCode.PASSED


def test_files_may_go_where_the_recordings_go(monkeypatch, tmp_path, caplog):
    from ws_load_test.cli import capacity as room

    monkeypatch.setattr(room, "asyncio", SimpleNamespace(run=lambda search: (search.close(), stop())))
    steps = tmp_path / "steps"
    assert main(["capacity", URL, "-o", str(steps), "--markdown", str(steps / "page.md")]) == ExitCode.USAGE
    assert steps.is_dir()
    assert caplog.messages == []


def test_examples_of_the_page_are_right(monkeypatch):
    import re
    import shlex

    from ws_load_test.cli import capacity as room

    seen = []
    monkeypatch.setattr(room, "CapacitySearch", lambda aim, *_: seen.append(aim) or stop())
    examples = PAGES["capacity"].partition("\nExamples")[2].replace("\\\n", "")
    lines = re.findall(r"^ +ws-load-test (capacity ws.*|capacity \"ws.*)$", examples, re.MULTILINE)
    for line in lines:
        assert main(shlex.split(line)) == ExitCode.USAGE
    assert len(seen) == len(lines) == 3
