"""Whole searches, against targets and generators whose limits are known: nothing is opened, everything is judged."""

import asyncio
import errno
import json
import threading
import time

import msgspec
import pytest

from factories.capacity import found, recorded, result_of, searched, served
from ws_load_test.common.errors import (
    ExitCode,
    HostError,
    OutputError,
    UsageError,
    WorkerError,
)
from ws_load_test.experiments.capacity.bracketing import Outcome
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.experiments.capacity.search_runner import CapacitySearch

SLO = ["p99 < 50ms", "errors < 0.1%"]


@pytest.mark.parametrize(("limit", "slo"), [(1000, SLO), (5000, ["errors < 0.1%"]), (20_000, ["p99 < 5s"])], ids=str)
def test_a_hard_limit_is_found_within_5_percent(limit, slo):
    facts, code = found(lambda plan: served(plan, limit=limit), slo=slo)
    answer = facts["answer"]
    assert (answer["ending"], code) == ("found", ExitCode.PASSED)
    assert abs(answer["lower"] / limit - 1) <= 0.05
    assert answer["lower"] < answer["upper"] <= answer["lower"] * 1.05
    assert answer["lower_times"] == answer["upper_times"] == 2
    assert answer["sentence"].startswith("between ")
    assert "secret" not in json.dumps(facts)


def test_a_generator_saturated_set_up_gives_no_number_but_a_lower_bound():
    facts, code = found(lambda plan: served(plan, limit=3000, generator=6000), slo=SLO)
    assert (facts["answer"]["ending"], code) == ("found", ExitCode.PASSED)
    facts, code = found(lambda plan: served(plan, limit=8000, generator=6000), slo=SLO)
    answer = facts["answer"]
    assert (answer["ending"], code) == ("generator-bound", ExitCode.GENERATOR_BOUND)
    assert answer["upper"] is None
    assert 7600 <= answer["lower"] <= 8000 < answer["generator_saturated_at"] <= 8400
    assert "the limit of the target is not known" in answer["sentence"]
    assert "of a core" in answer["sentence"]
    assert not any(step["outcome"] == Outcome.MISSED for step in facts["steps"])


def test_not_even_the_lowest():
    facts, code = found(lambda plan: served(plan, limit=50), slo=SLO)
    assert (facts["answer"]["ending"], code) == ("none-met", ExitCode.THRESHOLD_FAILED)
    assert [step["amount"] for step in facts["steps"]] == [100, 100]
    assert facts["answer"]["sentence"] == ("less than 100/s: 100/s missed p99 < 50ms twice; begin lower with --from")


def test_everything_up_to_the_most():
    facts, code = found(lambda plan: served(plan, limit=5000), slo=SLO, max=300)
    assert (facts["answer"]["ending"], facts["answer"]["lower"], code) == ("all-met", 300, ExitCode.PASSED)


def test_a_most_that_is_met_and_missed_is_unsure():
    tried = []

    def serve(plan):
        tried.append(plan.load.rate.peak)
        bad = tried[-1] == 400 and tried.count(400) == 2
        return served(plan, limit=300 if bad else 5000)

    facts, code = found(serve, slo=SLO, max=400)
    assert (facts["answer"]["ending"], code) == ("unsettled", ExitCode.THRESHOLD_FAILED)
    assert "whether 400/s, the most that was to be tried, does as well is not settled" in facts["answer"]["sentence"]
    assert "400/s met the objectives and missed them" in facts["answer"]["sentence"]


def test_nothing_opened():
    facts, code = found(lambda plan: served(plan, limit=5000, opened=0), slo=SLO)
    assert (facts["answer"]["ending"], code) == ("nothing-opened", ExitCode.NOTHING_OPENED)
    assert len(facts["steps"]) == 1


def test_connections_are_found_by_those_that_cannot_be_opened():
    def serve(plan):
        return served(plan, limit=10**6, opened=min(plan.connections, 700))

    facts, code = found(serve, find="connections", slo="errors < 1%", rate_per_connection="1")
    assert code == ExitCode.PASSED
    assert 667 <= facts["answer"]["lower"] <= 707
    assert facts["answer"]["sentence"].startswith(f"between {facts['answer']['lower']:.0f} connections and ")


def test_a_machine_that_cannot_carry_a_later_step_is_the_generators_limit():
    def limited(plan):
        if plan.connections > 500:
            raise HostError("500 connections are all that this machine can hold")
        return served(plan, limit=10**6)

    facts, code = found(limited, find="connections", slo="errors < 1%")
    assert (facts["answer"]["ending"], code) == ("generator-bound", ExitCode.GENERATOR_BOUND)
    assert 476 <= facts["answer"]["lower"] <= 500
    assert "all that this machine can hold" in facts["answer"]["sentence"]
    with pytest.raises(HostError):
        found(limited, find="connections", slo="errors < 1%", **{"from": 501})


def test_an_interrupted_step_ends_the_search_with_what_is_known():
    def serve(plan):
        recording = served(plan, limit=5000)
        if plan.load.rate.peak < 400:
            return recording
        return recorded(plan, [one.tally for one in recording.intervals], interrupted=True)

    facts, code = found(serve, slo=SLO)
    assert (facts["answer"]["ending"], facts["answer"]["lower"], code) == ("interrupted", 200, ExitCode.INTERRUPTED)
    assert facts["answer"]["sentence"] == "interrupted; 200/s met all objectives once"


def test_so_does_an_interrupted_rest():
    rests = []

    async def rest(seconds):
        rests.append(seconds)
        return len(rests) == 2

    searching = searched(lambda plan: served(plan, limit=5000), slo=SLO, rest=rest)
    assert searching.exit_code == ExitCode.INTERRUPTED
    assert (rests, len(searching.steps)) == ([1, 1], 2)


def test_an_interrupt_between_two_steps_is_heard():
    searching = []

    async def rest(_seconds):
        if len(searching[0].steps) == 2:
            searching[0].interrupt()
        return False

    searched(lambda plan: served(plan, limit=5000), slo=SLO, rest=rest, begun=searching.append)
    assert searching[0].exit_code == ExitCode.INTERRUPTED
    assert len(searching[0].steps) == 2


def test_recordings_and_answer_are_kept_in_a_new_folder(tmp_path):
    folder = tmp_path / "a" / "steps"
    searching = searched(lambda plan: served(plan, limit=300), slo=SLO, output=folder)
    names = [step.summary.recording for step in searching.steps]
    assert names[:3] == [str(folder / name) for name in ("01-100.jsonl", "02-200.jsonl", "03-400.jsonl")]
    assert json.loads((folder / "capacity.json").read_text())["answer"] == msgspec.to_builtins(
        searching.summary().answer
    )
    with pytest.raises(UsageError, match="not empty"):
        searched(None, output=folder)
    with pytest.raises(OutputError, match="cannot make the folder"):
        searched(None, output=folder / "capacity.json" / "x")


def test_an_answer_that_cannot_be_kept_is_reported(tmp_path):
    folder = tmp_path / "steps"

    def serve(plan):
        (folder / "capacity.json").mkdir(exist_ok=True)
        return served(plan, limit=300)

    searching = searched(serve, slo=SLO, output=folder)
    assert searching.exit_code == ExitCode.OUTPUT_FAILED
    assert "capacity.json" in str(searching.output_errors[0])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (WorkerError("worker 0 wrote something that is not a report"), ExitCode.BUG, "not a report"),
        (OutputError("cannot open 03-400.jsonl"), ExitCode.OUTPUT_FAILED, "cannot open 03-400.jsonl"),
        (UsageError("--cert: cannot read x.pem"), ExitCode.USAGE, "cannot read x.pem"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), ExitCode.USAGE, "temporarily unavailable"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_after_the_first_step_loses_none_of_them(error, code, words, tmp_path):
    def serve(plan):
        if plan.load.rate.peak == 400:
            raise error
        return served(plan, limit=1000)

    searching = searched(serve, slo=SLO, output=tmp_path / "steps")
    facts = msgspec.to_builtins(searching.summary())
    assert (searching.exit_code, facts["exit_code"]) == (code, code)
    ending = "broken-off" if words else "interrupted"
    assert (facts["answer"]["ending"], facts["answer"]["lower"], len(facts["steps"])) == (ending, 200, 2)
    assert words in facts["answer"]["sentence"]
    assert facts["answer"]["sentence"].endswith("; 200/s met all objectives once")
    assert json.loads((tmp_path / "steps" / "capacity.json").read_text()) == facts
    with pytest.raises(type(error)):
        searched(serve, slo=SLO, **{"from": 400})


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError()], ids=repr)
def test_whatever_else_ends_a_search_leaves_what_it_found_in_the_folder(error, tmp_path):
    def serve(plan):
        if plan.load.rate.peak == 400:
            raise error
        return served(plan, limit=1000)

    with pytest.raises(type(error)):
        searched(serve, slo=SLO, output=tmp_path / "steps")
    kept = json.loads((tmp_path / "steps" / "capacity.json").read_text())
    bug = isinstance(error, ZeroDivisionError)
    assert kept["exit_code"] == (ExitCode.BUG if bug else ExitCode.INTERRUPTED)
    assert kept["answer"]["error"] == ("ZeroDivisionError, which is a bug of ws-load-test" if bug else None)
    assert len(kept["steps"]) == 2


def test_an_interrupt_ends_a_rest_at_once():
    searching = CapacitySearch(read_spec({"url": "ws://h:1/", "workers": 1, "slo": SLO, "cooldown": "5m"}))

    async def attend(run):
        result, _ = result_of(served(run.plan, limit=1000))
        return result

    timers = []

    def begin(_step):
        timers.append(threading.Timer(0.05, searching.interrupt))
        timers[0].start()

    start = time.monotonic()
    asyncio.run(asyncio.wait_for(searching.run(attend, on_step=begin), 60))
    timers[0].join()
    assert time.monotonic() - start < 60
    assert (searching.exit_code, len(searching.steps)) == (ExitCode.INTERRUPTED, 1)


def test_an_interrupt_before_a_step_has_a_fleet_is_heard():
    def heard(**when):
        tried = []

        async def attend(run):
            tried.append(run.plan.load.rate.peak)
            if "in_step" in when:
                searching.interrupt()
            result, _ = result_of(recorded(run.plan, [], interrupted=run.interrupted))
            return result

        searching = CapacitySearch(read_spec({"url": "ws://h:1/", "workers": 1, "slo": SLO}))
        if "before" in when:
            searching.interrupt()
        asyncio.run(searching.run(attend, on_step_start=lambda _plan: "in_try" in when and searching.interrupt()))
        assert searching.exit_code == ExitCode.INTERRUPTED
        return tried

    assert heard(before=True) == []
    assert heard(in_try=True) == [100]
    assert heard(in_step=True) == [100]
