"""Runs a search: executes the run of each step, evaluates it, and reports the result."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.capacity_types import CapacityAnswer, CapacitySummary, LoadRange
from ws_load_test.api import Run
from ws_load_test.common.clock import utc_now
from ws_load_test.common.errors import (
    ExitCode,
    HostError,
    LoadTestError,
    LostHostError,
    OutputError,
    PlanError,
    UsageError,
)
from ws_load_test.common.version import __version__
from ws_load_test.experiments.capacity.bracketing import (
    NextStep,
    SearchResult,
    StepResult,
    StopReason,
    next_step,
    partial_result,
)
from ws_load_test.experiments.capacity.early_stop import EarlyStop
from ws_load_test.experiments.capacity.step import evaluate_step, infeasible_step
from ws_load_test.experiments.losses import loss_that_ends
from ws_load_test.fleet.factory import shared_fleets
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.report.terminal.capacity import sentence

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from ws_load_test.api import Result
    from ws_load_test.experiments.capacity.search_options import SearchSpec
    from ws_load_test.experiments.capacity.step import Step
    from ws_load_test.fleet.base import FleetFactory
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

    Execute = Callable[[Run], Awaitable[Result]]
    Cooldown = Callable[[float], Awaitable[bool]]
    OnStepStart = Callable[[Plan], None]
    OnStep = Callable[["Step"], None]

SCHEMA = 2
"""Version of the shape of `CapacitySummary`: a key that is renamed or removed makes a new one."""
INTERVALS = 20
"""Intervals of a step: enough to see a queue grow, and for the checks of the generator's health."""
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.05, 1.0
"""Bounds of an interval in seconds: shorter ones cost CPU time, longer ones delay an early stop."""
EXIT_CODES = {
    StopReason.FOUND: ExitCode.PASSED,
    StopReason.ALL_MET: ExitCode.PASSED,
    StopReason.NONE_MET: ExitCode.THRESHOLD_FAILED,
    StopReason.GENERATOR: ExitCode.GENERATOR_BOUND,
    StopReason.NOTHING_OPENED: ExitCode.NOTHING_OPENED,
    StopReason.NOTHING_MEASURED: ExitCode.NOTHING_OPENED,
    StopReason.NOT_JUDGED: ExitCode.NOTHING_OPENED,
    StopReason.GONE: ExitCode.THRESHOLD_FAILED,
    StopReason.UNSETTLED: ExitCode.THRESHOLD_FAILED,
    StopReason.INTERRUPTED: ExitCode.INTERRUPTED,
}


class CapacitySearch:
    """One search, from its first step to its result."""

    def __init__(
        self, spec: SearchSpec, output: str | os.PathLike[str] | None = None, cluster: Cluster | None = None
    ) -> None:
        """Takes the spec of the search, the folder for the recordings of its steps, and the cluster that runs them.

        Without a cluster this machine runs them.

        Raises:
            OutputError: The folder cannot be made.
            UsageError: The folder is not empty.
        """
        self.spec = spec
        self.steps: list[Step] = []
        self.result: SearchResult | None = None
        """Result, once the search is over."""
        self.error: LoadTestError | None = None
        """Error that ended the search, if one did."""
        self.output_errors: list[OutputError] = []
        """Errors that left recordings incomplete."""
        self._cluster = cluster
        self._make_fleet: FleetFactory = LocalFleet
        self._loss: LostHostError | None = None
        """Loss of a worker that ends the search after its step."""
        self._running: Run | None = None
        self._stopped = False
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_at = self._ended_at = utc_now()
        self._public = spec.plan(spec.range.first).redacted()
        self._folder = None if output is None else _folder(Path(output))

    async def run(
        self,
        execute: Execute = Run.execute,
        cooldown: Cooldown | None = None,
        *,
        on_step_start: OnStepStart | None = None,
        on_step: OnStep | None = None,
    ) -> SearchResult:
        """Searches to the end. An error after the first step ends the search too, so that no step is lost.

        Args:
            execute: Executes a run.
            cooldown: Waits for some seconds between steps; returns True to end the search.
            on_step_start: Called with the plan of each run before it begins.
            on_step: Called with each step as it ends.

        Raises:
            HostError: This machine, or one of the cluster, cannot carry even the first step.
            UsageError: The plan's certificates cannot be used, or the cluster cannot.
            OutputError: The first step's recording cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with shared_fleets(self._cluster) as self._make_fleet:
                self.result = result = await self._search(execute, cooldown or self._cooldown, on_step_start, on_step)
        except BaseException as error:
            # The caller handles the error; the results of the steps must not be lost.
            if self.steps:
                self.result = self._abort(error)
            raise
        finally:
            self._ended_at = utc_now()
            if self.result is not None:
                self._write_result()
        return result

    def interrupt(self) -> None:
        """Ends the search at once; can be called from any thread."""
        self._stopped = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed after the search
                self._loop.call_soon_threadsafe(self._stop.set)
                if self._running is not None:
                    self._running.interrupt()

    async def _search(
        self, execute: Execute, cooldown: Cooldown, on_step_start: OnStepStart | None, on_step: OnStep | None
    ) -> SearchResult:
        while isinstance(following := next_step(self.spec.range, self._results()), NextStep):
            if (self.steps and await cooldown(self.spec.cooldown_ns / 1e9)) or self._interrupted:
                return self._partial_result(StopReason.INTERRUPTED)
            try:
                step = await self._run_step(following, execute, on_step_start)
            except (LoadTestError, OSError, KeyboardInterrupt) as error:
                if not self.steps:
                    raise
                return self._abort(error)
            except asyncio.CancelledError:
                if not self._stopped:
                    raise
                # The search was interrupted before the run began.
                return self._partial_result(StopReason.INTERRUPTED)
            self.steps.append(step)
            if on_step is not None:
                on_step(step)
            if self._loss is not None:
                return self._abort(self._loss)
        assert isinstance(following, SearchResult)
        return following

    def _abort(self, error: BaseException) -> SearchResult:
        """Returns the result of a search that an error ends."""
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            return self._partial_result(StopReason.INTERRUPTED)
        if isinstance(error, LoadTestError):
            self.error = error
        elif isinstance(error, OSError):
            self.error = HostError(f"this machine cannot carry the next step: {error.strerror}")
        else:
            self.error = LoadTestError(f"{type(error).__name__}, which is a bug of ws-load-test")
        return self._partial_result(StopReason.BROKEN_OFF)

    def _partial_result(self, reason: StopReason) -> SearchResult:
        return partial_result(self.spec.range, self._results(), reason)

    @property
    def _interrupted(self) -> bool:
        """True if the search was interrupted, or its latest run, even just after its end."""
        return self._stopped or (self._running is not None and self._running.interrupted)

    async def _cooldown(self, seconds: float) -> bool:
        """Waits; returns True if the search was interrupted in the meantime."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stopped

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process, once the search is over."""
        assert self.result is not None
        code = EXIT_CODES[self.result.stop_reason] if self.error is None else self.error.exit_code
        return ExitCode.OUTPUT_FAILED if self.output_errors and code == ExitCode.PASSED else code

    def summary(self) -> CapacitySummary:
        """Returns the result as `--json` prints it; the search is over."""
        assert self.result is not None
        result, spec = self.result, self.spec
        answer = CapacityAnswer(
            ending=result.stop_reason.value,
            lower=result.lower,
            lower_times=result.lower_times,
            upper=result.upper,
            upper_times=result.upper_times,
            generator_saturated_at=result.bound,
            unsure=list(result.unsure),
            contradicted=list(result.contradicted),
            error=None if self.error is None else _in_one_line(self.error),
            sentence="",
        )
        summary = CapacitySummary(
            schema=SCHEMA,
            tool=f"ws-load-test {__version__}",
            target=self._public.target.url,
            started_at=self._started_at,
            ended_at=self._ended_at,
            find=spec.dimension,
            objectives=[objective.text for objective in spec.objectives],
            range=LoadRange(first=spec.range.first, max=spec.range.maximum, precision=spec.range.precision),
            answer=answer,
            steps=[step.summary for step in self.steps],
            exit_code=int(self.exit_code),
        )
        return msgspec.structs.replace(summary, answer=msgspec.structs.replace(answer, sentence=sentence(summary)))

    def _results(self) -> list[StepResult]:
        return [StepResult(step.load_level, step.outcome) for step in self.steps]

    async def _run_step(self, step: NextStep, execute: Execute, on_step_start: OnStepStart | None) -> Step:
        number = len(self.steps) + 1
        recording = None if self._folder is None else str(self._folder / f"{number:02}-{step.load_level:.12g}.jsonl")
        plan = self.spec.plan(step.load_level)
        interval_s = min(max((plan.duration_ns or 0) / 1e9 / INTERVALS, MIN_INTERVAL_S), MAX_INTERVAL_S)
        if on_step_start is not None:
            on_step_start(plan)
        early_stop = EarlyStop(plan, self.spec.objectives)
        ended_early = False

        def on_interval(event: IntervalEvent) -> None:
            nonlocal ended_early
            if not ended_early and early_stop.add_event(event):
                ended_early = run.stop_gracefully()

        run = self._running = Run(
            plan, output=recording, interval_s=interval_s, on_interval=on_interval, make_fleet=self._make_fleet
        )
        if self._stopped:
            # The search was interrupted when this run did not exist yet.
            run.interrupt()
        try:
            result = await execute(run)
        except HostError as error:
            # If the first step is too much, the user must change the plan; a later one shows the generator's limit.
            if not self.steps:
                raise
            return infeasible_step(number, step, str(error))
        if result.output_error is not None:
            self.output_errors.append(result.output_error)
        self._loss = loss_that_ends(result, self._cluster)
        return evaluate_step(
            number,
            step,
            self.spec.objectives,
            result,
            digest=result.aggregate,
            recording=recording,
            ended_early=ended_early,
        )

    def _write_result(self) -> None:
        """Writes the result to the folder of the recordings."""
        if self._folder is None:
            return
        path = self._folder / "capacity.json"
        try:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self.summary()), indent=2) + b"\n")
        except OSError as error:
            self.output_errors.append(OutputError(f"cannot write {path}: {error.strerror}"))


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        full = any(path.iterdir())
    except OSError as error:
        raise OutputError(f"--output: cannot make the folder {path}: {error.strerror}; name another one") from None
    if full:
        raise UsageError(f"--output: the folder {path} is not empty, and its files would be mixed up; name a new one")
    return path


def _in_one_line(error: LoadTestError) -> str:
    return "; ".join(map(str, error.problems)) if isinstance(error, PlanError) else str(error)
