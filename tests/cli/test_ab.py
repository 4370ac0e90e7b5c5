"""``ws-load-test ab``: two targets in turn, and what is made of their rounds."""

import asyncio
import json
import os
import signal
import time

import numpy as np
import pytest
from msgspec.structs import replace

import ws_load_test
from factories.comparison import drawn, interval, recording
from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.summary import summarize
from ws_load_test.api import Result, Run
from ws_load_test.cli import ab, main
from ws_load_test.common.errors import (
    ExitCode,
    HostError,
    OutputError,
    UsageError,
    WorkerError,
)
from ws_load_test.experiments.ab import PairedExperiment
from ws_load_test.metrics.recording_file import read_recording

A, B = "ws://127.0.0.1:1/a", "ws://127.0.0.1:1/b"


def test_both_targets_take_turns_and_the_slower_is_found(echo_url, program, tmp_path, capsys):
    base, slow = f"{echo_url}?delay=100ms", f"{echo_url}?delay=700ms"
    options = ("-c", 3, "-r", 300, "-w", 1, "--rounds", 4, "--round-duration", "200ms", "--warmup", "50ms", "--seed", 3)
    files = ("-o", tmp_path / "kept", "--markdown", tmp_path / "ab.md", "--json", "--fail-on-regression", "5%")
    done = program("ab", base, slow, *options, *files)
    assert (done.returncode, done.stderr) == (ExitCode.THRESHOLD_FAILED, "")
    told = json.loads(done.stdout)
    (one,) = told["comparisons"]
    assert one["units"] == {"kind": "rounds", "base": 4, "new": 4, "paired": True}
    metrics = {metric["metric"]: metric for metric in one["metrics"]}
    assert metrics["p50"]["verdict"] == "worse"
    assert metrics["p50"]["low"] > 1
    assert metrics["p50"]["new"] - metrics["p50"]["base"] > 100_000_000
    assert told["ab"]["opened"] == {"a": 4, "b": 4}
    assert "Worse: p10, p50" in (tmp_path / "ab.md").read_text()

    # What was kept says the same again, and in which order it was made.
    kept = {letter: sorted((tmp_path / "kept" / letter).iterdir()) for letter in "ab"}
    assert [path.name for path in kept["a"]] == [path.name for path in kept["b"]]
    recordings = {letter: [read_recording(path) for path in paths] for letter, paths in kept.items()}
    marks = {letter: [one.header.round.number for one in made] for letter, made in recordings.items()}
    assert marks == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}
    starts = [
        "ab" if one.header.started_ns < other.header.started_ns else "ba"
        for one, other in zip(recordings["a"], recordings["b"], strict=True)
    ]
    assert starts == told["ab"]["order"]
    assert main(["compare", str(tmp_path / "kept" / "a"), str(tmp_path / "kept" / "b"), "--json"]) == ExitCode.PASSED
    (again,) = json.loads(capsys.readouterr().out)["comparisons"]
    strip = [{**metric, "regression": None} for metric in one["metrics"]]
    assert again["metrics"] == strip
    # Rounds of another series would be mixed with these.
    assert main(["ab", A, B, "-o", str(tmp_path / "kept")]) == ExitCode.USAGE
    assert "holds recordings already" in capsys.readouterr().err


@pytest.fixture
def played(monkeypatch):
    """Puts what a round comes to in the place of a real one: of target `b` as `b` says, if that is not None."""

    def play(b=None, *, interrupted_at=None, late_at=None, raises=None, bound=False, **more):
        asked = []

        async def attend(run):
            asked.append(run)
            ours = run._round
            slow = run.plan.target.url.endswith("b")
            rng = np.random.default_rng([ours.number, slow])
            mark = (ours.series, ours.number)
            last = len(asked) == interrupted_at
            if raises is not None and len(asked) == raises[0]:
                raise raises[1]
            if len(asked) == late_at:
                run.interrupt()
            if slow and b is not None:
                made = b(rng, ours.number, mark)
            else:
                made = drawn(rng, 2, 100, mark=mark, interrupted=last, name=f"{slow}{ours.number}")
            summary = summarize([made])
            summary = replace(summary, generator=replace(summary.generator, saturated=bound))
            return Result(made, summary, aggregate([made]), ExitCode.PASSED, **more)

        monkeypatch.setattr(ab, "run_with_signals", attend)
        monkeypatch.setattr(Run, "execute", attend)
        return asked

    return play


def _shut(rng, number, mark):
    return recording(interval([], 0, phase="opening", attempted=5, failed=5), mark=mark)


def test_a_target_that_never_opens_has_an_exit_code(played, capsys):
    played(_shut)
    assert main(["ab", A, B, "--rounds", "4", "--round-duration", "50ms"]) == ExitCode.NOTHING_OPENED
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("doubt b could not open a single connection Worse: b got no answer")


def test_a_target_that_never_answers_has_an_exit_code(played, capsys):
    played(lambda rng, number, mark: drawn(rng, 2, 0, failed=50, mark=mark))
    assert main(["ab", A, B, "--rounds", "4", "--round-duration", "50ms"]) == ExitCode.NOTHING_OPENED
    assert "b: no message was answered" in capsys.readouterr().out


def test_an_objective_is_judged_for_each_target_over_all_rounds(played, capsys):
    plan = {"slo": ["p50 < 1ms", "p50 < 100ms"]}

    def slow(rng, number, mark):
        return drawn(rng, 2, 100, slower=50, mark=mark, plan=plan)

    played(slow)
    assert main(["ab", A, B, "--rounds", "4", "--json", "--slo", "p50 < 1ms"]) == ExitCode.THRESHOLD_FAILED
    told = json.loads(capsys.readouterr().out)
    # What is played in the place of the rounds of `a` has no objectives.
    assert [(one["side"], one["check"], one["passed"]) for one in told["checks"]] == [
        ("b", "p50 < 1ms", False),
        ("b", "p50 < 100ms", True),
    ]
    assert told["failed"]
    played(slow)
    assert main(["ab", A, B, "--rounds", "4"]) == ExitCode.THRESHOLD_FAILED
    shown = capsys.readouterr().out
    assert "failed  b: slo p50 < 1ms: " in shown
    assert "passed  b: slo p50 < 100ms: " in shown


def test_rounds_in_which_nothing_opened_are_counted(played, capsys):
    def dies(rng, number, mark):
        return _shut(rng, number, mark) if number > 5 else drawn(rng, 2, 100, mark=mark)

    played(dies)
    assert main(["ab", A, B, "--rounds", "8", "--fail-on-regression", "5%"]) == ExitCode.THRESHOLD_FAILED
    told = " ".join(capsys.readouterr().out.split())
    assert "b could not open a single connection in 3 of 8 rounds" in told
    assert "failed --fail-on-regression 5 %: b: it got no answer at all in 3 of 8 rounds" in told


def test_an_interrupted_series_is_reported_as_far_as_it_went(played, capsys):
    assert len(played(interrupted_at=11)) == 0
    assert main(["ab", A, B, "--json", "--seed", "5"]) == ExitCode.INTERRUPTED
    told = json.loads(capsys.readouterr().out)
    assert told["comparisons"][0]["units"]["base"] == 5
    played(interrupted_at=1)
    assert main(["ab", A, B]) == ExitCode.INTERRUPTED
    shown = capsys.readouterr()
    assert shown.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HostError("too few ports"), ExitCode.USAGE),
        (UsageError("the certificate has gone"), ExitCode.USAGE),
        (WorkerError("worker 1 wrote something that is not a report"), ExitCode.BUG),
        (OutputError("cannot write rounds/b/06.jsonl"), ExitCode.OUTPUT_FAILED),
        (BlockingIOError(11, "Resource temporarily unavailable"), ExitCode.USAGE),
        (OSError(12, "Cannot allocate memory"), ExitCode.USAGE),
    ],
)
def test_an_error_in_a_later_round_does_not_lose_those_before_it(error, code, played, capsys, caplog):
    played(raises=(12, error))
    assert main(["ab", A, B, "--seed", "5"]) == code
    shown = capsys.readouterr()
    why = error.strerror if isinstance(error, OSError) else str(error)
    for told in (shown.out, caplog.text):
        assert "the series ended after 5 of 10 rounds: " in " ".join(told.split())
        assert why in " ".join(told.split())
    assert shown.out.startswith("doubt  the series ended")
    assert "intervals from 5 pairs of rounds" in shown.out
    played(raises=(12, error))
    main(["ab", A, B, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert why in told["doubts"][0]
    assert told["comparisons"][0]["units"]["base"] == 5


def test_an_error_in_the_first_round_is_reported_and_nothing_else(played, capsys):
    for turn in (1, 2):
        played(raises=(turn, HostError("too few ports")))
        assert main(["ab", A, B]) == ExitCode.USAGE
        assert capsys.readouterr() == ("", "ws-load-test: too few ports\n")


def test_a_folder_that_vanished_is_reported_in_a_sentence(played, tmp_path, capsys, caplog):
    def clears(rng, number, mark):
        if number == 6:
            for folder in (tmp_path / "kept").iterdir():
                folder.rmdir()
            (tmp_path / "kept").rmdir()
            (tmp_path / "kept").write_text("")
        return drawn(rng, 2, 100, mark=mark)

    played(clears)
    assert main(["ab", A, B, "-o", str(tmp_path / "kept")]) == ExitCode.OUTPUT_FAILED
    shown = capsys.readouterr()
    assert f"cannot make the directory {tmp_path / 'kept'}" in caplog.text
    assert "standard output" not in shown.err
    assert "pairs of rounds" in shown.out


def test_what_could_not_be_written_hides_nothing_worse(played, capsys):
    lost = {"output_error": OutputError("cannot go on writing")}
    limit = ["--fail-on-regression", "5%"]

    def slow(rng, number, mark):
        return drawn(rng, 2, 100, mark=mark, slower=2)

    played(**lost)
    assert main(["ab", A, B, *limit]) == ExitCode.OUTPUT_FAILED
    played(slow, **lost)
    assert main(["ab", A, B, *limit]) == ExitCode.THRESHOLD_FAILED
    played(bound=True, **lost)
    assert main(["ab", A, B, "--fail-if-saturated"]) == ExitCode.GENERATOR_BOUND
    assert main(["ab", A, B]) == ExitCode.OUTPUT_FAILED
    capsys.readouterr()


def test_a_signal_while_a_round_is_summed_up_ends_the_series(played, capsys):
    asked = played(late_at=12)
    assert main(["ab", A, B]) == ExitCode.INTERRUPTED
    assert len(asked) == 12
    assert "intervals from 6 pairs of rounds" in capsys.readouterr().out


def test_all_rounds_have_one_loop_so_that_signals_are_heard_between_them(played, monkeypatch, capsys):
    played()
    loops, play = set(), ab.run_with_signals

    async def attend(run):
        loops.add(asyncio.get_running_loop())
        return await play(run)

    monkeypatch.setattr(ab, "run_with_signals", attend)
    assert main(["ab", A, B]) == ExitCode.PASSED
    assert len(loops) == 1
    capsys.readouterr()


def test_what_is_said_of_the_rounds_is_of_those_that_are_compared(played, capsys):
    for turn in (7, 8):
        played(interrupted_at=turn)
        assert main(["ab", A, B, "--seed", "5"]) == ExitCode.INTERRUPTED
        told = " ".join(capsys.readouterr().out.split())
        order = " ".join(PairedExperiment(make_plan(A, duration="1s"), make_plan(B, duration="1s"), seed=5).order[:3])
        assert f"3 rounds of 2 s for each target, each after a warm-up of 500 ms; the order was {order} (--seed" in told
    played(interrupted_at=3)
    assert main(["ab", A, B]) == ExitCode.INTERRUPTED
    told = " ".join(capsys.readouterr().out.split())
    assert "1 round of 2 s" in told
    assert "there is 1 pair of rounds, and it takes 4" in told


def test_equal_targets_pass(played, capsys):
    asked = played()
    assert main(["ab", A, B, "--fail-on-regression", "0%", "--seed", "1"]) == ExitCode.PASSED
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("No difference")
    assert "intervals from 10 pairs of rounds" in told
    assert "10 rounds of 2 s for each target, each after a warm-up of 500 ms; the order was" in told
    assert {run.plan.duration_ns for run in asked} == {2 * 10**9}
    assert len(asked) == 20


def test_a_script_measures_two_targets_as_the_command_does(played):
    asked, ended = played(), []
    found = ws_load_test.ab(
        A,
        B,
        rounds=10,
        round_duration="1s",
        connections=5,
        binary=None,
        seed=3,
        on_round=lambda turn, result: ended.append((turn.variant, turn.number, result.exit_code)),
    )
    assert found.overall == "no difference"
    assert sorted(ended) == [(letter, number, 0) for letter in "ab" for number in range(1, 11)]
    assert {(run.plan.connections, run.plan.duration_ns, run.plan.warmup_ns) for run in asked} == {
        (5, 10**9, 5 * 10**8)
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration": "1s"}, "--duration: has no place in ab"),
        ({"rounds": 3}, "--rounds: 3 are too few"),
        ({"conections": 3}, "did you mean connections"),
        ({"confidence": 2}, "confidence 2 is not within 0.5 to 0.9999"),
    ],
)
def test_a_script_gets_the_same_errors(options, words, played):
    asked = played()
    with pytest.raises(UsageError, match=words):
        ws_load_test.ab(A, B, **options)
    assert not asked


def test_ctrl_c_ends_the_round_and_keeps_the_others(echo_url, start, tmp_path):
    options = ("-c", "1", "-w", "1", "--rounds", "40", "--round-duration", "150ms", "--warmup", "0s", "-o", tmp_path)
    process = start("ab", echo_url, echo_url, *options)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "b").glob("*.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    # As many as there was time for: one pair, or more.
    assert " of rounds" in " ".join(out.split())


def test_the_order_is_chance_and_its_seed_repeats_it():
    plans = (make_plan(A, duration="1s"), make_plan(B, duration="1s"))
    orders = {seed: PairedExperiment(*plans, rounds=40, seed=seed).order for seed in (1, 2)}
    assert orders[1] == PairedExperiment(*plans, rounds=40, seed=1).order
    assert orders[1] != orders[2]
    for order in orders.values():
        assert 8 < order.count("ab") < 32
    turns = list(PairedExperiment(*plans, rounds=3, seed=1).iter_rounds())
    assert [turn.number for turn in turns] == [1, 1, 2, 2, 3, 3]
    assert {turn.variant for turn in turns[:2]} == {"a", "b"}
    assert len({turn.round_id.series for turn in turns}) == 1
    assert turns[0].output is None


def test_random_instants_are_those_of_the_pair():
    plans = [make_plan(url, rate=10, duration="1s", arrivals="poisson") for url in (A, B)]
    seeds = {}
    for turn in PairedExperiment(*plans, rounds=3, seed=7).iter_rounds():
        seeds.setdefault(turn.number, set()).add(turn.plan.load.seed)
    assert seeds == {1: {8}, 2: {9}, 3: {10}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([A], "takes two URLs and not 1"),
        ([A, B, A], "takes two URLs and not 3"),
        ([A, B, "-d", "10s"], "--duration: has no place in ab: each round is as long as --round-duration says"),
        ([A, B, "-n", "10"], "--messages: has no place in ab"),
        ([A, B, "--stages", "1s:5"], "--stages: has no place in ab"),
        ([A, B, "--disconnect", "50%@1s"], "--disconnect: has no place in ab"),
        ([A, B, "--fail-if", "p99 > 1s"], "take --fail-on-regression"),
        ([A, B, "--csv", "x.csv"], "`report --csv` does it"),
        ([A, B, "--cluster", "nowhere"], "neither an address nor a scheduler file that exists"),
        ([A, B, "--hosts", "2"], "--hosts: needs a cluster; add --cluster ADDRESS"),
        ([A, B, "--live"], "--live: has no place in ab: it shows one run"),
        ([A, B, "--metrics-port", "0"], "--metrics-port: has no place in ab: it shows one run while it goes on"),
        ([A, B, "--otlp", "http://x:4317"], "--otlp: has no place in ab"),
        ([A, B, "--probe"], "leave out ab"),
        ([A, B, "--rounds", "2"], "too few to tell a difference from chance"),
        ([A, B, "--rounds", "many"], '"many" is not a whole number'),
        ([A, B, "--round-duration", "soon"], '--round-duration: "soon" is not a duration'),
        ([A, B, "--seed", "x"], "--seed"),
        ([A, B, "-c", "0"], "--connections"),
        ([A, "http://x"], "URL"),
        ([A, B, "--confidence", "1%"], "is not within 50% to 99.99%"),
    ],
)
def test_what_has_no_place_is_one_sentence(arguments, words, capsys):
    assert main(["ab", *arguments]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert words in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")


def test_a_plan_file_is_read_without_its_own_target_and_length(tmp_path, capsys):
    plan = tmp_path / "plan.toml"
    plan.write_text('url = "ws://elsewhere"\nduration = "1h"\nconnections = 0\n')
    assert main(["ab", A, B, "--plan", str(plan)]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("--connections") == 1


def test_a_plan_file_is_under_the_command_line_as_that_of_a_run_is(tmp_path, played, capsys, caplog):
    plan = tmp_path / "plan.toml"
    written = 'url = "ws://elsewhere"\nmessages = 5\nstages = "1s:5"\nfail-if = ["p99 > 1s"]\noutput = "run.jsonl"\n'
    plan.write_text(written + "rate-per-connection = 7\nconnections = 3\nmetrics-port = 1\nlive = true\n")
    asked = played()
    assert main(["ab", A, B, "--rate", "30", "--rounds", "4", "--plan", str(plan)]) == ExitCode.PASSED
    assert {(run.plan.connections, run.plan.load.rate.peak) for run in asked} == {(3, 30)}
    assert {run.plan.fail_if for run in asked} == {()}
    (warning,) = [one.getMessage() for one in caplog.records if "left out" in one.getMessage()]
    # What the command line rules out needs no word.
    names = "--fail-if, --live, --messages, --metrics-port, --output, URL"
    assert warning.startswith(f"--plan: {names}: left out, because")
    assert not (tmp_path / "run.jsonl").exists()
    capsys.readouterr()


def test_what_says_no_to_what_ab_does_not_have_is_no_mistake(played, capsys):
    asked = played()
    no = ["--no-live", "--no-dry-run", "--no-explain", "--no-insecure-cluster"]
    assert main(["ab", A, B, "--rounds", "4", *no]) == ExitCode.PASSED
    assert len(asked) == 8
    capsys.readouterr()


def test_files_are_no_recordings_of_the_series(played, tmp_path, capsys):
    asked = played()
    taken = tmp_path / "kept" / "b" / "04.jsonl"
    options = ["--rounds", "4", "-o", str(tmp_path / "kept"), "--markdown", str(taken)]
    assert main(["ab", A, B, *options]) == ExitCode.USAGE
    assert f"--markdown: {taken} is a recording of --output, which it would overwrite" in capsys.readouterr().err
    assert asked == []
    assert not (tmp_path / "kept").exists()


def test_the_plan_is_reported_once_and_so_are_its_doubts(played, caplog, capsys):
    caplog.set_level("INFO", "ws_load_test")
    played()
    assert main(["ab", A, B, "--rounds", "4", "-m", "{sequence}", "-v", "info"]) == ExitCode.PASSED
    told = [one.getMessage() for one in caplog.records]
    assert sum(one.startswith("connections: 1,") for one in told) == 1
    assert sum("is sent as it is" in one for one in told) == 1
    capsys.readouterr()
