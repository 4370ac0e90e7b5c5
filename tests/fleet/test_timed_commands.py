"""Commands at instants of a run's load."""

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from ws_load_test import PlanError, make_plan, run
from ws_load_test.api import Run
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.echo import EchoProcess
from ws_load_test.fleet.timed_commands import MAX_OUTPUT_BYTES, CommandRunner
from ws_load_test.plan.timed_commands import TimedCommand, run_at

MS, S = 10**6, 10**9


def carried_out(*commands, for_s=40.0, until=None):
    """Runs commands at once; returns the last of what was reported about each, and all of it."""

    async def main():
        reported = []
        runner = CommandRunner(tuple(TimedCommand(0, command) for command in commands), reported.append)
        runner.started_ns = monotonic_ns()
        runner.start(monotonic_ns())
        async with asyncio.timeout(60):
            deadline = time.monotonic() + for_s
            while time.monotonic() < deadline:
                if until is None and sum(one.ended_ns is not None for one in reported) == len(commands):
                    break
                if until is not None and until.exists():
                    break
                await asyncio.sleep(0.01)
            await runner.stop()
        return list(runner.runs.values()), reported

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("command", "status", "failed", "output"),
    [("echo done", 0, False, "done\n"), ("echo no >&2; exit 3", 3, True, "no\n"), ("kill -9 $$", -9, True, "")],
)
def test_status_and_output_are_recorded(command, status, failed, output):
    (ended,), reported = carried_out(command)
    assert (ended.status, ended.failed, ended.output, ended.problem) == (status, failed, output, "")
    assert [one.ended_ns is None for one in reported] == [True, False]
    assert 0 <= ended.at_ns <= ended.ended_ns


def test_a_command_that_is_not_there_is_one_that_failed():
    (ended,), _ = carried_out("./no-such-command")
    assert ended.failed
    assert ended.status == 127
    assert "no-such-command" in ended.output


def test_what_it_leaves_in_the_background_does_not_delay_its_end():
    (ended,), _ = carried_out("sleep 60 & echo $!")
    assert (ended.status, ended.problem) == (0, "")
    assert ended.ended_ns < 30 * S
    assert not alive(int(ended.output))


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid")
def test_what_has_left_its_group_does_not_delay_the_end_of_the_run(tmp_path):
    file = tmp_path / "left"
    left = f"setsid sh -c 'echo $$; touch {file}; exec sleep 60'"
    (ended,), _ = carried_out(f"{left} & until [ -e {file} ]; do sleep 0.01; done")
    os.kill(int(ended.output), signal.SIGKILL)
    assert (ended.status, ended.problem) == (0, "")


def test_of_much_output_the_end_is_kept():
    (ended,), _ = carried_out("head -c 1000000 /dev/zero | tr '\\0' a; echo; echo end")
    assert len(ended.output) == MAX_OUTPUT_BYTES
    assert ended.output.endswith("a\nend\n")


def test_secrets_are_in_no_record():
    (ended,), _ = carried_out("echo token=hunter2hunter2; : --password=opensesame")
    assert "hunter2" not in ended.command + ended.output
    assert "opensesame" not in ended.command


def test_the_end_of_the_run_ends_the_whole_process_group(tmp_path):
    file = tmp_path / "pid"
    (ended,), _ = carried_out(f"sleep 60 & echo $! > {file}.new; mv {file}.new {file}; wait", until=file)
    assert ended.failed
    assert "still running" in ended.problem
    assert not alive(int(file.read_text()))


def test_what_ignores_the_request_to_end_is_killed(tmp_path):
    file = tmp_path / "ready"
    (ended,), _ = carried_out(f"trap '' TERM; touch {file}; while :; do sleep 0.05; done", until=file)
    assert ended.status == -9


def alive(pid):
    """True for a process that is there and no zombie."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.02)
    return True


def test_commands_are_read():
    assert run_at("60s: echo a:b") == (TimedCommand(60 * S, "echo a:b"),)
    assert run_at(["2s: b", "1500ms:a"]) == (TimedCommand(1500 * MS, "a"), TimedCommand(2 * S, "b"))


@pytest.mark.parametrize("text", ["60s", "60s:", "echo a", "soon: echo a", ": a", "1s: a\0b"])
def test_others_are_refused(text):
    with pytest.raises(ValueError, match=r"write for example|null character|duration|time"):
        run_at(text)


def test_a_command_after_the_end_is_an_error():
    with pytest.raises(PlanError, match="--run-at: 5 s is not before the end of the load, 4 s"):
        make_plan("ws://h/", duration="3s", warmup="1s", run_at="5s: true")


def test_a_run_records_its_commands(tmp_path):
    mark = tmp_path / "mark"
    with EchoProcess() as server:
        plan = make_plan(
            server.url,
            duration="1s",
            rate=50,
            run_at=[f"0.2s: touch {mark}", "0.4s: echo broken; exit 4"],
            workers=1,
        )
        result = run(plan, interval_s=0.25)
    assert mark.exists()
    first, second = result.recording.trailer.commands
    assert (first.status, second.status) == (0, 4)
    load_ns = next(one.from_ns for one in result.recording.intervals if one.phase == "measured")
    assert first.at_ns - load_ns >= 200 * MS
    numbers = [one.number for interval in result.recording.intervals for one in interval.commands or ()]
    assert sorted(numbers) == [0, 0, 1, 1]
    (warning,) = [one for one in result.summary.warnings if "command" in one]
    assert warning == 'the command "echo broken; exit 4" ended with exit status 4: broken'


def test_an_interrupt_ends_commands_at_once(tmp_path):
    file = tmp_path / "pid"
    with EchoProcess() as server:
        plan = make_plan(server.url, duration="30s", workers=1, run_at=f"0s: echo $$ > {file}; exec sleep 60")
        run_ = Run(plan, interval_s=0.1)

        async def interrupted():
            task = asyncio.create_task(run_.execute())
            while not file.exists() or not file.read_text():  # noqa: ASYNC110 - the command says so in a file
                await asyncio.sleep(0.02)
            run_.interrupt_in_order()
            return await task

        result = asyncio.run(interrupted())
    (ended,) = result.recording.trailer.commands
    assert ended.status == -15
    assert "was ended with it" in ended.problem
    assert not alive(int(file.read_text()))
