"""Runs from start to exit code, as a shell sees them."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import ws_load_test.cli.run as run_module
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.testing import FaultyServer, behaviors, unused_port

TIMES = {"count", "min", "mean", "stdev", "max", "p5", "p10", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"}
CONNECTIONS = {"attempted", "opened", "failed", "lost", "closed"}
MESSAGES = {"due", "sent", "answered", "unanswered", "dropped", "pushed"}


def children_of(pid):
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_command_lines_of_the_original_run(echo_url, program):
    done = program("-c", 3, "-g", echo_url, "-d", "0.2s")
    assert (done.returncode, done.stderr) == (0, "")
    assert "p99" in done.stdout
    done = program("--url", echo_url, "-c", 20, "-v", "info", "-d", "0.2s")
    assert done.returncode == 0
    assert "connections: 20" in done.stderr


def test_json_is_one_object_with_exactly_the_keys_of_the_design(echo_url, program):
    done = program(echo_url, "-c", 3, "-n", 300, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    top = "schema tool target load started_at duration_s interrupted connections messages bytes throughput_per_s"
    top += " response_time_ns service_time_ns connect_time_ns faults generator verdict"
    assert summary.keys() >= set(top.split())
    assert summary["connections"].keys() >= CONNECTIONS
    assert summary["messages"].keys() >= MESSAGES
    assert summary["bytes"].keys() >= {"sent", "received"}
    assert summary["response_time_ns"].keys() == summary["connect_time_ns"].keys() == TIMES
    assert summary["generator"].keys() >= {"workers", "cpu_share", "send_lag_ns", "saturated", "reasons"}
    assert summary["verdict"].keys() == {"passed", "checks", "reason", "why"}
    asked = {"attempted": 3, "opened": 3, "failed": 0, "cancelled": 0, "lost": 0, "closed": {"1000": 3}}
    assert summary["connections"] == {**asked, "reconnected": 0, "recycled": 0, "tls_resumed": 0, "close_reasons": {}}
    assert {name: summary["messages"][name] for name in ("due", "sent", "answered")} == dict.fromkeys(
        ("due", "sent", "answered"), 300
    )
    assert summary["response_time_ns"]["count"] == 300
    assert isinstance(summary["response_time_ns"]["p99"], int)


def test_quiet_says_nothing(echo_url, program, tmp_path):
    done = program(echo_url, "-n", 10, "-q", "-o", tmp_path / "run.jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_recording(tmp_path / "run.jsonl").trailer.summary["messages"]["answered"] == 10


def test_a_plan_file_runs(echo_url, program, tmp_path):
    (tmp_path / "plan.toml").write_text(f'url = "{echo_url}"\nmessages = 20\nin-flight = 4\njson = true\n')
    done = program("--plan", tmp_path / "plan.toml", "-n", 30)
    assert json.loads(done.stdout)["messages"]["answered"] == 30


def test_report_of_one_recording_and_of_several(echo_url, program, tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.jsonl") for name in "ab"]
    first = program(echo_url, "-n", 100, "-o", paths[0])
    second = program(echo_url, "-n", 50, "-o", paths[1], "--json")
    assert main(["report", paths[0]]) == 0
    # The command line is at the end of the report of a recording alone: who made the run has it.
    report, _, command = capsys.readouterr().out.partition("\nthe same run again\n")
    assert report == first.stdout
    assert command.split()[:2] == ["ws-load-test", echo_url]
    assert main(["report", paths[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(second.stdout)
    assert main(["report", *paths, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["messages"]["answered"] == both["response_time_ns"]["count"] == 150
    assert main(["report", *paths]) == 0
    assert "150" in capsys.readouterr().out


def test_demo_needs_nothing_else(program):
    done = program("demo", "-c", 5, "-n", 100, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["messages"]["answered"] == 100


def planned_by_demo(monkeypatch, *arguments):
    """Returns the plan of a demo that is not run."""
    plans = []
    monkeypatch.setattr(
        "ws_load_test.echo.EchoProcess", lambda: contextlib.nullcontext(SimpleNamespace(url="ws://localhost"))
    )
    monkeypatch.setattr(run_module, "_run", lambda plan, _: plans.append(plan) or 0)
    assert main(["demo", *arguments]) == 0
    return plans[0]


def test_demo_keeps_a_schedule_that_does_not_saturate_the_generator(monkeypatch):
    plan = planned_by_demo(monkeypatch)
    assert plan.load == OpenLoop(LoadProfile.constant(5000, 5 * 10**9))
    assert (plan.connections, plan.duration_ns) == (100, 5 * 10**9)


@pytest.mark.parametrize(
    "options", [("--in-flight", "16"), ("--stages", "1s:100"), ("--rate-per-connection", "5"), ("--rate", "7")], ids=str
)
def test_demo_has_no_rate_beside_another_load(options, monkeypatch):
    plan = planned_by_demo(monkeypatch, *options)
    assert plan == planned_by_demo(monkeypatch, *options, "-c", "100")


def test_demo_carries_the_load_of_a_plan_file(monkeypatch, tmp_path):
    (tmp_path / "plan.toml").write_text('connections = 7\n[[role.user.steps]]\nwait = 1\nsend = "hi"\n')
    plan = planned_by_demo(monkeypatch, "--plan", str(tmp_path / "plan.toml"), "-d", "3s")
    assert (plan.connections, plan.duration_ns) == (7, 3 * 10**9)
    assert plan.scenario.roles[0].sessions == 7


def test_no_file_of_a_role_is_overwritten(program, tmp_path):
    (tmp_path / "text").write_text("hi")
    (tmp_path / "plan.toml").write_text('url = "ws://h"\n[[role.user.steps]]\nwait = 1\nsend = "@text"\n')
    done = program("--plan", "plan.toml", "--html", "text", cwd=tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert "--html" in done.stderr
    assert (tmp_path / "text").read_text() == "hi"


def test_echo_serves_until_interrupted(start, program):
    server = start("echo", "--port", 0)
    url = server.stdout.readline().strip()
    assert program(url, "-n", 10, "-q").returncode == 0
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out, err) == (0, "", "")


def test_echo_of_a_port_in_use_is_wrong_usage(echo_url, program):
    done = program("echo", "--port", echo_url.rsplit(":", 1)[1].strip("/"))
    assert done.returncode == ExitCode.USAGE
    assert "already in use" in done.stderr


# --- exit codes ---


def test_3_when_nothing_opens(program):
    with unused_port() as port:
        done = program(f"ws://127.0.0.1:{port}", "-c", 2)
    assert (done.returncode, done.stderr) == (ExitCode.NOTHING_OPENED, "")
    assert "refuse" in done.stdout


def test_70_for_a_bug_of_ours(monkeypatch, capsys):
    def broken(*_):
        raise LookupError("a bug")

    monkeypatch.setattr("ws_load_test.cli.run.read_plan", broken)
    assert main(["ws://h"]) == ExitCode.BUG
    told = capsys.readouterr().err
    assert "LookupError: a bug" in told
    assert "this is a bug of ws-load-test" in told


def test_74_when_the_recording_cannot_be_opened(program, tmp_path):
    with FaultyServer(behaviors.echoes) as server:
        done = program(server.url, "-n", 5, "-o", tmp_path / "missing" / "run.jsonl")
        assert server.seen.accepted == 0
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr.count("\n") == 1
    assert "cannot write the recording" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_74_when_the_disk_is_full_and_the_run_goes_on(echo_url, program):
    done = program(echo_url, "-n", 50, "--json", "-o", "/dev/full")
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert json.loads(done.stdout)["messages"]["answered"] == 50
    assert done.stderr.count("\n") == 1
    assert "no space left" in done.stderr.lower()


def test_a_disk_that_fills_up_in_mid_run_leaves_a_readable_recording(echo_url, program, tmp_path):
    path = tmp_path / "run.jsonl"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    done = program(echo_url, "-c", 2, "-d", "1.3s", "--json", "-o", path, preexec_fn=limit)
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert "cannot go on writing" in done.stderr
    assert json.loads(done.stdout)["messages"]["answered"] > 100
    recording = read_recording(path)
    assert recording.trailer is None
    assert path.stat().st_size <= 2500
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--explain"], ["-n", "5"], ["-n", "5", "--json"]], ids=str)
def test_74_when_standard_output_cannot_be_written(arguments, echo_url, program):
    with Path("/dev/full").open("w") as full:
        done = program(echo_url, *arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr == "ws-load-test: standard output cannot be written: no space left on device\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--explain"], ["-n", "5"], ["-n", "5", "--json"]], ids=str)
def test_74_and_no_word_when_the_reader_of_our_output_has_gone(arguments, echo_url, start):
    process = start(echo_url, *arguments)
    process.stdout.close()
    assert process.wait(60) == ExitCode.OUTPUT_FAILED
    assert process.stderr.read() == ""


def test_head_gets_its_lines(echo_url):
    command = f'"{sys.executable}" -m ws_load_test "{echo_url}" -n 5 | head -1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# --- signals ---


def test_ctrl_c_once_stops_and_reports(echo_url, start, tmp_path):
    path = tmp_path / "run.jsonl"
    process = start(echo_url, "-c", 2, "-d", "60s", "--json", "-o", path)
    until(lambda: path.exists() and b'"measured"' in path.read_bytes())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    summary = json.loads(out)
    assert summary["interrupted"]
    assert not summary["verdict"]["passed"]
    messages = summary["messages"]
    assert messages["answered"] == messages["sent"] > 0
    assert summary["connections"]["closed"] == {"1000": 2}
    trailer = read_recording(path).trailer
    assert trailer.interrupted
    assert trailer.summary == summary
    assert "stopping" in err
    assert err.count("\n") == 1, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_twice_leaves_at_once(number, start, tmp_path):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviors.never_answers) as server:
        process = start(server.url, "-c", 3, "--timeout", "100s", "-d", "100s", "-o", path)
        server.wait_for(lambda seen: seen.messages == 3)
        workers = children_of(process.pid)
        process.send_signal(number)
        assert "stopping" in process.stderr.readline()
        at_s = time.monotonic()
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert time.monotonic() - at_s < 30
    assert process.returncode == ExitCode.INTERRUPTED
    assert out, "what is known is reported"
    assert not any(map(is_running, workers))
    assert read_recording(path).trailer.interrupted


def test_ctrl_c_while_connections_open(start):
    with FaultyServer(behaviors.silent_after_request) as server:
        process = start(server.url, "-c", 3, "--connect-timeout", "100s", "--json")
        server.wait_for(lambda seen: len(seen.requests) == 3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    connections = json.loads(out)["connections"]
    assert (connections["attempted"], connections["opened"], connections["cancelled"]) == (3, 0, 3)


def test_a_killed_program_leaves_a_readable_recording_and_no_workers(start, tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviors.echoes) as server:
        process = start(server.url, "-c", 2, "-w", 2, "-d", "60s", "-o", path)
        until(lambda: path.exists() and path.read_bytes().count(b'"measured"') >= 1)
        workers = children_of(process.pid)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not any(map(is_running, workers)))
        server.wait_for(lambda seen: seen.open == 0)
    assert read_recording(path).trailer is None
    assert main(["report", str(path), "--json"]) == ExitCode.INTERRUPTED
    summary = json.loads(capsys.readouterr().out)
    assert summary["interrupted"]
    assert summary["messages"]["answered"] > 0
    assert main(["report", str(path)]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().out


def test_4_when_a_worker_is_killed_and_the_rest_is_reported(start):
    with FaultyServer(behaviors.echoes) as server:
        process = start(server.url, "-c", 2, "-w", 2, "-d", "1s")
        server.wait_for(lambda seen: seen.messages > 0)
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.WORKER_LOST
    assert "SIGKILL" in out
    assert "p99" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "portable"], "the portable engine cannot run this plan: it does not know when the kernel"),
        (["--deflate", "on"], "no engine of this installation can run this plan: not native: "),
    ],
    ids=["of the engine that is named", "of all engines"],
)
def test_a_plan_that_no_worker_could_run_is_refused_before_any_begins(options, words, capsys):
    code = main(["ws://localhost:1/", "--reply-instant", "kernel", "-d", "300ms", *options])
    told = capsys.readouterr()
    assert (code, told.out) == (ExitCode.USAGE, "")
    assert told.err.startswith(f"ws-load-test: {words}")
    assert told.err.count("\n") == 1
