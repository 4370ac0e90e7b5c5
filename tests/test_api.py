"""Runs from Python: a script, a notebook, a test of somebody's own."""

import asyncio
import re
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

import ws_load_test
from ws_load_test import PlanError, compare, make_plan, run, run_async
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.api import Run
from ws_load_test.common.errors import ExitCode, OutputError, RecordingError, UsageError
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.testing import FaultyServer, behaviors


def test_the_public_names_are_there():
    for name in ws_load_test.__all__:
        assert getattr(ws_load_test, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = ws_load_test.nonsense


def test_a_script_runs_a_plan_and_reads_the_result(tmp_path):
    path, intervals = tmp_path / "run.jsonl", []
    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(server.url, connections=3, messages=99, workers=2)
        result = run(plan, output=path, on_interval=intervals.append)
        server.wait_for(lambda seen: seen.closes == [1000] * 3)
        assert server.seen.messages == 99
    assert result.exit_code == ExitCode.PASSED
    assert result.output_error is None
    assert result.summary.messages.answered == 99
    assert result.summary.response_time_ns.count == 99
    assert tuple(intervals) == result.recording.intervals
    assert {interval.phase for interval in intervals} >= {"opening", "measured", "closing"}
    recording = read_recording(path)
    assert result.summary == summarize([recording]) == msgspec.convert(recording.trailer.summary, Summary)
    assert recording.header.started_at == result.recording.header.started_at


def test_intervals_come_as_the_run_goes():
    came = []

    def take(interval):
        came.append((interval.phase, time.monotonic()))

    with FaultyServer(behaviors.echoes) as server:
        run(make_plan(server.url, duration=0.5, workers=1), on_interval=take, interval_s=0.1)
    measured = [at_s for phase, at_s in came if phase == "measured"]
    assert 2 <= len(measured) <= 7
    assert measured[-1] - measured[0] > 0.05


def test_a_notebook_runs_a_plan_inside_its_own_loop():
    async def cell(url):
        return run(make_plan(url, messages=5))

    with FaultyServer(behaviors.echoes) as server:
        assert asyncio.run(cell(server.url)).summary.messages.answered == 5


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_is_interrupted_while_its_machines_are_waited_for(begun):
    waiting, disbanded = threading.Event(), []

    class Waiting(LocalFleet):
        async def prepare(self):
            waiting.set()
            await asyncio.sleep(60)

        async def shutdown(self):
            disbanded.append(self)

    running = Run(make_plan("ws://h.invalid/"), make_fleet=Waiting)
    if not begun:
        running.interrupt()
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(asyncio.run, running.execute())
        if begun:
            assert waiting.wait(60)
            running.interrupt()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            result.result(5)
    assert len(disbanded) == begun
    running.interrupt()


def test_one_plan_runs_twice():
    with FaultyServer(behaviors.echoes) as server:
        plan = make_plan(server.url, messages=5, workers=1)
        assert [run(plan).summary.messages.answered for _ in range(2)] == [5, 5]


def test_a_caller_that_fails_gets_its_own_error_and_no_processes_are_left():
    def fail(interval):
        raise LookupError("mine")

    with FaultyServer(behaviors.echoes) as server, pytest.raises(LookupError, match="mine"):
        run(make_plan(server.url, connections=2, workers=2, duration=60), on_interval=fail)


def test_what_cannot_be_run_is_reported_before_anything_is_opened(tmp_path):
    with FaultyServer(behaviors.echoes) as server:
        with pytest.raises(OutputError, match="cannot write the recording"):
            run(make_plan(server.url), output=tmp_path / "missing" / "run.jsonl")
        (tmp_path / "ca.pem").write_text("none")
        with pytest.raises(UsageError, match="--cacert"):
            run(make_plan("wss" + server.url[2:], cacert=str(tmp_path / "ca.pem")))
        assert server.seen.accepted == 0
    with pytest.raises(PlanError, match="--connections"):
        make_plan(server.url, connections=0)


def test_a_run_that_is_interrupted_before_it_has_begun_sends_nothing():
    with FaultyServer(behaviors.echoes) as server:
        running = Run(make_plan(server.url, duration="60s", workers=1))
        running.interrupt()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(running.execute())
    assert (server.seen.messages, server.seen.accepted) == (0, 0)


def test_a_failed_recording_is_reported_and_the_result_kept():
    with FaultyServer(behaviors.echoes) as server:
        result = run(make_plan(server.url, messages=5), output="/dev/full")
    assert result.exit_code == ExitCode.OUTPUT_FAILED
    assert "go on writing" in str(result.output_error)
    assert result.summary.messages.answered == 5


# --- More of a result -------------------------------------------------------------------------------------------------


def test_a_result_has_percentiles_of_its_own_histogram():
    with FaultyServer(behaviors.echoes) as server:
        result = run(make_plan(server.url, connections=2, messages=200))
    times = result.summary.response_time_ns
    assert (result.p50, result.p90, result.p99, result.p999) == (times.p50, times.p90, times.p99, times.p99_9)
    assert result.response_time.percentile(75) == times.p75
    assert result.response_time.count == result.service_time.count == 200
    assert result.connect_time.percentile(100) == result.summary.connect_time_ns.max
    assert result.passed


def test_where_nothing_was_answered_there_is_no_percentile():
    with FaultyServer(behaviors.never_answers) as server:
        result = run(make_plan(server.url, rate=20, duration="200ms", timeout="50ms", fail_if=["answered < 1"]))
    assert result.p50 is result.p99 is result.p999 is None
    assert result.response_time.percentile(99) is None
    assert result.summary.response_time_ns is None
    assert not result.passed


def test_a_run_is_awaited_and_cancelled():
    async def script(url):
        done = await run_async(make_plan(url, messages=5))
        forever = asyncio.create_task(run_async(make_plan(url, duration=60, workers=2)))
        await asyncio.sleep(1)
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        return done

    with FaultyServer(behaviors.echoes) as server:
        began = time.monotonic()
        assert asyncio.run(script(server.url)).summary.messages.answered == 5
        assert time.monotonic() - began < 50


@pytest.mark.parametrize("ending", ["interrupt_in_order", "interrupt"])
def test_an_interrupted_run_says_so(ending):
    async def script(url):
        def first(event):
            if event.interval.phase == "measured":
                getattr(running, ending)()

        running = Run(make_plan(url, duration=60, workers=1), on_interval=first, interval_s=0.1)
        return running, await running.execute()

    with FaultyServer(behaviors.echoes) as server:
        running, result = asyncio.run(script(server.url))
    assert running.interrupted
    assert result.summary.interrupted
    assert result.recording.trailer.interrupted
    assert result.exit_code == ExitCode.INTERRUPTED
    closing = [interval for interval in result.recording.intervals if interval.phase == "closing"]
    assert bool(closing) == (ending == "interrupt_in_order")
    assert not running.stop_gracefully()


def test_sides_of_a_comparison_are_files_recordings_or_several(tmp_path):
    with FaultyServer(behaviors.echoes) as server:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            run(make_plan(server.url, rate=200, duration="600ms"), output=tmp_path / name / "1.jsonl", interval_s=0.1)
    base, new = tmp_path / "a" / "1.jsonl", read_recording(tmp_path / "b" / "1.jsonl")
    by_file = compare(base, new, names=("before", "after"))
    assert (by_file.base.name, by_file.new.name) == ("before", "after")
    same = compare(str(tmp_path / "a"), [new])
    assert [one.base for one in same.differences] == [one.base for one in by_file.differences]
    for wrong, words in (([], "has no recordings"), (new, "confidence 2")):
        with pytest.raises(UsageError, match=words):
            compare(base, wrong, confidence=2 if wrong is new else 0.95)
    with pytest.raises(RecordingError, match="holds no recordings"):
        compare(tmp_path, base)


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[1] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    monkeypatch.chdir(tmp_path)
    with FaultyServer(behaviors.echoes) as server:
        names = {"URL": server.url}
        for example in examples:
            # As long as the examples say, this test would take a minute.
            quick = re.sub(r'"(\d+)s"', r'"\g<1>00ms"', example.replace("ws://localhost:3001", server.url))
            exec(compile(quick, "python.md", "exec"), names)
    assert callable(names["test_api_keeps_its_objective"])
    assert capsys.readouterr().out
