"""The fleet of this machine: processes that live, die, and talk nonsense."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import asdict

from ws_load_test import make_plan
from ws_load_test.api import Run
from ws_load_test.common.errors import ExitCode, HostError, WorkerError
from ws_load_test.fleet import local, worker_process
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.metrics.recording import WorkerUsage
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.testing import FaultyServer, behaviors
from ws_load_test.worker.ipc import IntervalReport

pytestmark = pytest.mark.real_programs


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.005)


def test_a_killed_worker_is_noticed_at_once_and_the_rest_reported(tmp_path):
    path = tmp_path / "run.jsonl"

    async def go(server):
        run = Run(make_plan(server.url, connections=4, workers=2, duration=1.0), output=path, interval_s=0.1)
        running = asyncio.create_task(run.execute())
        await until(lambda: server.seen.replies > 100)
        os.kill(run.fleet.pids[1], signal.SIGKILL)
        assert run.lost == ()
        await until(lambda: run.lost)
        assert not running.done()
        return await running

    with FaultyServer(behaviors.echoes) as server:
        result = asyncio.run(go(server))
    assert result.exit_code == ExitCode.WORKER_LOST
    summary = result.summary
    assert summary.connections.opened == 4
    assert summary.messages.answered > 100
    assert summary.messages.sent == summary.messages.answered + summary.messages.unanswered
    assert 0.9 < summary.duration_s < 30
    assert not summary.interrupted
    assert not summary.verdict.passed
    [lost] = read_recording(path).trailer.lost_workers
    assert (lost.worker, lost.open_sessions) == (1, 2)
    assert "SIGKILL" in lost.reason


@pytest.mark.parametrize("text", ["time.sleep(60)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_worker_that_is_silent_for_too_long_is_lost(text, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "LOST_AFTER_NS", 200_000_000)
    monkeypatch.setattr(local, "FIRST_REPORT_NS", 0)
    pretend_worker(monkeypatch, tmp_path, f"import os, signal, time\n{text}")
    fleet = LocalFleet(make_plan("ws://h", workers=1), lambda interval: None, interval_ns=50_000_000)
    asyncio.run(fleet.run())
    [lost] = fleet.coordinator.lost
    assert lost.reason == "it was silent for 250 ms"


def test_a_worker_that_hangs_behind_its_last_report_is_ended_and_not_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(worker_process, "EXIT_TIMEOUT_S", 0.2)
    last = IntervalReport("closing", 0, 1, 2, WorkerUsage(0, 1, 1), done=True, ready=True)
    text = f"print({msgspec.json.encode(last).decode()!r}, flush=True)\nimport time\ntime.sleep(60)"
    pretend_worker(monkeypatch, tmp_path, text)
    fleet = LocalFleet(make_plan("ws://h", workers=1), lambda interval: None)
    at_s = time.monotonic()
    asyncio.run(fleet.run())
    assert time.monotonic() - at_s < 30
    assert fleet.coordinator.lost == []


def test_a_worker_that_the_system_does_not_start_is_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(HostError, match="cannot start worker 0: no such file or directory"):
        asyncio.run(LocalFleet(make_plan("ws://h", workers=1), lambda interval: None).run())


def test_the_last_worker_killed_ends_the_run():
    async def go(server):
        run = Run(make_plan(server.url, workers=1, duration=60))
        running = asyncio.create_task(run.execute())
        await until(lambda: server.seen.replies > 10)
        os.kill(run.fleet.pids[0], signal.SIGKILL)
        async with asyncio.timeout(30):
            return await running

    with FaultyServer(behaviors.echoes) as server:
        assert asyncio.run(go(server)).exit_code == ExitCode.WORKER_LOST


def test_a_worker_killed_while_others_open_does_not_hold_them_up():
    async def go(server):
        run = Run(make_plan(server.url, connections=2, workers=2, messages=20))
        running = asyncio.create_task(run.execute())
        await until(lambda: run.fleet is not None and len(run.fleet.pids) == 2)
        os.kill(run.fleet.pids[0], signal.SIGKILL)
        return await running

    with FaultyServer(behaviors.echoes) as server:
        result = asyncio.run(go(server))
    assert result.exit_code == ExitCode.WORKER_LOST
    assert result.summary.messages.answered == 10


def test_stop_waits_for_replies_and_kill_does_not():
    async def go(server, end):
        run = Run(make_plan(server.url, duration=60, timeout=60, workers=1))
        running = asyncio.create_task(run.execute())
        await until(lambda: server.seen.messages > 0)
        at_ns = time.monotonic_ns()
        getattr(run.fleet, end)()
        async with asyncio.timeout(30):
            result = await running
        return result, (time.monotonic_ns() - at_ns) / 1e9

    with FaultyServer(behaviors.delays(600_000_000)) as server:
        result, took_s = asyncio.run(go(server, "stop"))
        server.wait_for(lambda seen: seen.closes == [1000])
    assert result.exit_code == ExitCode.INTERRUPTED
    assert asdict(result.summary.messages) == {
        "due": 1,
        "sent": 1,
        "answered": 1,
        "unanswered": 0,
        "unawaited": 0,
        "dropped": 0,
        "pushed": 0,
        **dict.fromkeys(("duplicate_replies", "late_replies", "unknown_id", "out_of_order", "greetings"), 0),
    }
    assert took_s > 0.3
    with FaultyServer(behaviors.never_answers) as server:
        result, took_s = asyncio.run(go(server, "kill"))
    assert result.exit_code == ExitCode.INTERRUPTED
    assert took_s < 1


def test_no_worker_outlives_a_run_that_is_cancelled():
    async def go(server):
        run = Run(make_plan(server.url, connections=2, workers=2, duration=60))
        running = asyncio.create_task(run.execute())
        await until(lambda: server.seen.replies > 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return list(run.fleet.pids.values())

    with FaultyServer(behaviors.echoes) as server:
        pids = asyncio.run(go(server))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def pretend_worker(monkeypatch, tmp_path, text):
    """Workers that run a few lines of Python instead of ours."""
    program = tmp_path / "worker"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.readline()\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "{}",
        '{"phase": "opening"}',
        msgspec.json.encode(IntervalReport("opening", 0, 1, 2, WorkerUsage(0, 1, 1), tally={"sent": -1})).decode(),
        "\\xff",
    ],
)
def test_a_worker_that_talks_nonsense_is_our_bug(line, monkeypatch, tmp_path):
    pretend_worker(
        monkeypatch,
        tmp_path,
        f"sys.stdout.buffer.write({line!r}.encode('latin-1').replace(b'\\\\xff', b'\\xff') + b'\\n')",
    )
    with pytest.raises(WorkerError, match="worker 0 wrote something that is not a report") as caught:
        asyncio.run(LocalFleet(make_plan("ws://h", workers=1), lambda interval: None).run())
    assert caught.value.exit_code == ExitCode.BUG


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sys.exit(3)", "ended with code 3"),
        ("raise MemoryError('something that may be secret')", "ended with code 1: MemoryError"),
        (
            "import sys; sys.stderr.write('--feed: line 7\\n'); sys.exit(2)",
            "ended with code 2: --feed: line 7",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
        ("pass", "ended with code 0"),
    ],
)
def test_a_worker_that_ends_too_early_is_lost_with_its_last_words(text, reason, monkeypatch, tmp_path):
    pretend_worker(monkeypatch, tmp_path, text)
    fleet = LocalFleet(make_plan("ws://h", workers=1), lambda interval: None)
    asyncio.run(fleet.run())
    [lost] = fleet.coordinator.lost
    assert reason in lost.reason
    assert "secret" not in lost.reason


def test_workers_end_when_the_process_that_started_them_is_gone():
    """Standard input closing is all that a worker hears when its fleet is killed."""
    program = (
        "import asyncio, sys\n"
        "from ws_load_test import make_plan\n"
        "from ws_load_test.api import Run\n"
        "async def go():\n"
        "    run = Run(make_plan(sys.argv[1], connections=2, workers=2, duration=60))\n"
        "    running = asyncio.create_task(run.execute())\n"
        "    while run.fleet is None or run.fleet.coordinator.opened < 2:\n"
        "        await asyncio.sleep(0.01)\n"
        "    print(*run.fleet.pids.values(), flush=True)\n"
        "    await running\n"
        "asyncio.run(go())\n"
    )

    async def go(url):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, url, stdout=asyncio.subprocess.PIPE
        )
        pids = [int(word) for word in (await process.stdout.readline()).split()]
        process.kill()
        await process.wait()
        return pids

    with FaultyServer(behaviors.echoes) as server:
        pids = asyncio.run(go(server.url))
        assert len(pids) == 2
        asyncio.run(until(lambda: not any(map(is_running, pids)), timeout_s=2.0))
        server.wait_for(lambda seen: seen.open == 0)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
