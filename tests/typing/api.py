"""The public API as a type checker sees it: checked by mypy and pyright, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from ws_load_test import (
    CapacityResult,
    Comparison,
    LoadTestError,
    Plan,
    PlanError,
    Recording,
    Result,
    Summary,
    TimeStats,
    __version__,
    ab,
    compare,
    describe_plan,
    find_capacity,
    make_plan,
    read_recording,
    run,
    run_async,
)
from ws_load_test.analysis.capacity_types import CapacitySummary, StepSummary
from ws_load_test.common.errors import ExitCode, OptionProblem, OutputError
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import Interval


def show(interval: Interval) -> None:
    """A caller's own function."""
    assert_type(interval.from_ns, int)
    assert_type(interval.phase in ("opening", "measured"), bool)


def script() -> int:
    """What a script does."""
    assert __version__.split(".")
    plan = make_plan("ws://localhost:3001", connections=100, duration="10s", header=["A: b"], binary=True)
    assert_type(plan, Plan)
    assert_type(plan.connections, int)
    assert_type(plan.messages, int | None)
    assert_type(describe_plan(plan), list[tuple[str, str]])
    assert_type(plan.redacted(), Plan)

    result = run(plan, output=Path("run.jsonl"), on_interval=show, interval_s=0.5)
    assert_type(result, Result)
    assert_type(result.summary, Summary)
    assert_type(result.summary.connections.opened, int)
    assert_type(result.summary.response_time_ns, TimeStats | None)
    assert_type(result.p99, int | None)
    assert_type(result.response_time, Histogram)
    assert_type(result.response_time.percentile(99), int | None)
    assert_type(result.passed, bool)
    assert_type(result.exit_code, ExitCode)
    assert_type(result.recording, Recording)
    assert_type(result.output_error, OutputError | None)
    run(plan)
    run(plan, output="run.jsonl", on_interval=lambda interval: None)
    return result.exit_code


def follow(step: StepSummary) -> None:
    """A caller's own function, which gets each step."""
    assert_type(step.achieved_per_s, float | None)


def search() -> float:
    """Who looks for a limit."""
    found = find_capacity("ws://localhost:3001", slo=["p99 < 50ms"], output=Path("steps"), on_step=follow, from_=500)
    assert_type(found, CapacityResult)
    assert_type(found.summary, CapacitySummary)
    assert_type(found.summary.steps[0].outcome == "met", bool)
    assert_type(found.exit_code, ExitCode)
    assert_type(found.upper, float | None)
    assert_type(found.sentence, str)
    return found.lower or 0.0


def mistakes() -> None:
    """How a caller hears of them."""
    make_plan("ws://localhost:3001", conections=100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    make_plan("ws://localhost:3001", binary="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    make_plan("ws://localhost:3001", arrivals="often")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    find_capacity("ws://localhost:3001", slow="p99 < 1s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    find_capacity("ws://localhost:3001", find="speed")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ab("ws://localhost:3001", "ws://localhost:3002", round=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ab("ws://localhost:3001")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    try:
        make_plan()
    except PlanError as error:
        assert_type(error.problems, tuple[OptionProblem, ...])
        assert_type(error.problems[0].option, str)
    except LoadTestError as error:
        assert_type(error.exit_code, ExitCode)


async def notebook(plan: Plan) -> None:
    """What a script with an event loop does."""
    assert_type(await run_async(plan, interval_s=0.5), Result)


def compared() -> str | None:
    """What a script does with recordings."""
    paired = ab("ws://localhost:3001", "ws://localhost:3002", rounds=4, round_duration="1s", connections=10)
    assert_type(paired, Comparison)
    recording = read_recording(Path("new.jsonl"))
    assert_type(recording, Recording)
    assert_type(compare("base.jsonl", recording), Comparison)
    assert_type(compare([Path("a.jsonl"), recording], "repeats", confidence=0.99), Comparison)
    return compare("base.jsonl", "new.jsonl").failing(0.05)


async def refused(plan: Plan) -> None:
    """What a type checker finds: each line is an error, and would be one if it were accepted."""
    run(plan, outptu="run.jsonl")  # type: ignore[call-arg]
    run("ws://localhost:3001")  # type: ignore[arg-type]
    run(plan, interval_s="1s")  # type: ignore[arg-type]
    run(plan, "run.jsonl")  # type: ignore[call-arg]
    await run_async(plan, on_intervall=show)  # type: ignore[call-arg]
    result = run(plan)
    _ = result.summary["connections"]  # type: ignore[index]
    _ = result.summary.connectons  # type: ignore[attr-defined]
    _ = result.p99 + 1  # type: ignore[operator]
    _ = result.summary.response_time_ns.p99  # type: ignore[union-attr]
    compare("base.jsonl")  # type: ignore[call-arg]
