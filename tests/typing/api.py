"""The public API as a type checker sees it: checked by mypy and pyright, never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

from ws_load_test import (
    CapacityResult,
    LoadTestError,
    Plan,
    PlanError,
    Result,
    __version__,
    find_capacity,
    make_plan,
    run,
)
from ws_load_test.common.errors import ExitCode, OptionProblem, OutputError
from ws_load_test.metrics.recording import Interval, Recording
from ws_load_test.plan.describe import describe_plan


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
    assert_type(result.summary, dict[str, Any])
    assert_type(result.exit_code, ExitCode)
    assert_type(result.recording, Recording)
    assert_type(result.output_error, OutputError | None)
    run(plan)
    run(plan, output="run.jsonl", on_interval=lambda interval: None)
    return result.exit_code


def search() -> float:
    """Who looks for a limit."""
    found = find_capacity("ws://localhost:3001", slo=["p99 < 50ms"], output=Path("steps"), on_step=print, from_=500)
    assert_type(found, CapacityResult)
    assert_type(found.facts, dict[str, Any])
    assert_type(found.exit_code, ExitCode)
    assert_type(found.upper, float | None)
    assert_type(found.sentence, str)
    return found.lower or 0.0


def mistakes() -> None:
    """How a caller hears of them."""
    try:
        make_plan()
    except PlanError as error:
        assert_type(error.problems, tuple[OptionProblem, ...])
        assert_type(error.problems[0].option, str)
    except LoadTestError as error:
        assert_type(error.exit_code, ExitCode)
