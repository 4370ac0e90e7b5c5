"""Conditions of real runs: judged at the end, while they go, and again from their recordings."""

import json
import time

import pytest

from ws_load_test import make_plan, run
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.recording_file import read_recording


def checks_of(text):
    verdict = json.loads(text)["verdict"]
    return verdict["passed"], {one["check"]: one["passed"] for one in verdict["checks"]}


def test_a_run_is_judged_at_its_end_and_again_from_its_recording(echo_url, program, tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    conditions = ("--fail-if", "p99 > 1h", "--fail-if", "any errors>0.1 %", "--abort-if", "connect.max > 1h")
    done = program(echo_url, "-n", 200, "--json", "-o", path, *conditions)
    expected = {"p99 > 1h": True, "any errors > 0.1%": True, "connect.max > 1h": True}
    assert (done.returncode, checks_of(done.stdout)) == (0, (True, expected))
    failed = program(echo_url, "-n", 200, "--fail-if", "p50 > 1ns", "--fail-if", "p50 > 1h")
    assert failed.returncode == ExitCode.THRESHOLD_FAILED
    lines = failed.stdout.splitlines()
    assert lines[0] == "A threshold failed"
    assert lines[3].startswith("  failed  fail if p50 > 1ns: ")
    assert lines[4].startswith("  passed  fail if p50 > 1h: ")

    assert main(["report", str(path), "--json"]) == ExitCode.PASSED
    assert checks_of(capsys.readouterr().out) == (True, expected)
    assert main(["report", str(path), "--json", "--fail-if", "p50 > 1ns"]) == ExitCode.THRESHOLD_FAILED
    assert checks_of(capsys.readouterr().out) == (False, {"p50 > 1ns": False})
    assert main(["report", str(path), "--fail-if", "p50 > 1", "--fail-if", "p98"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "--fail-if:" in told
    assert "has no unit" in told
    assert '"p98" is not a condition' in told


def test_a_run_that_breaks_its_word_is_stopped(echo_url, program, tmp_path, capsys):
    path, began = tmp_path / "run.jsonl", time.monotonic()
    options = ("--abort-if", "any p50 > 1ns", "--abort-if", "p99 > 1h", "--abort-grace", "0s")
    done = program(echo_url, "-c", 3, "-d", "60s", "-w", 2, "-o", path, *options)
    assert time.monotonic() - began < 50
    assert (done.returncode, done.stderr) == (ExitCode.THRESHOLD_FAILED, "")
    assert done.stdout.startswith("Stopped early, because any p50 > 1ns\n")
    recording = read_recording(path)
    assert not recording.trailer.interrupted
    assert [one.condition for one in recording.trailer.aborted] == ["any p50 > 1ns"]
    messages = recording.trailer.summary["messages"]
    # In order: what was sent was waited for, and every session closed.
    assert messages["sent"] == messages["answered"] > 0
    assert recording.trailer.summary["connections"]["closed"] == {"1000": 3}
    assert main(["report", str(path)]) == ExitCode.THRESHOLD_FAILED
    assert capsys.readouterr().out.partition("\nthe same run again\n")[0] == done.stdout


def test_a_script_hears_why_its_run_was_stopped(echo_url):
    plan = make_plan(echo_url, connections=2, duration="60s", workers=1, abort_if="rate > 1", abort_grace="0.5s")
    result = run(plan, interval_s=0.2)
    assert result.exit_code == ExitCode.THRESHOLD_FAILED
    assert not result.summary.interrupted
    (check,) = result.summary.verdict.checks
    assert (check.check, check.passed, check.option) == ("rate > 1", False, "abort-if")
    assert check.value > 1
    assert 0.45 < result.summary.duration_s < 50
    # What is kept is what was found, when it was.
    assert check.aborted_at_ns == result.recording.trailer.aborted[0].at_ns > 0


@pytest.mark.parametrize("name", ["fail_if", "abort_if"])
def test_what_is_wrong_is_reported_before_anything_is_opened(name, echo_url, program, tmp_path):
    (tmp_path / "plan.toml").write_text(f'url = "{echo_url}"\n{name.replace("_", "-")} = ["p99 > 50", "p999 > 5ms"]\n')
    done = program("--plan", tmp_path / "plan.toml")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.count(f"--{name.replace('_', '-')}: ") == 2


def test_a_condition_without_a_value_fails_the_run_and_is_reported_before(echo_url, program):
    done = program(echo_url, "-n", 10, "--fail-if", "tls.p99 > 1s")
    assert done.returncode == ExitCode.THRESHOLD_FAILED
    assert "the target is ws://, without TLS" in done.stderr
    assert "fail if tls.p99 > 1s: no value, no session opened with TLS" in done.stdout
