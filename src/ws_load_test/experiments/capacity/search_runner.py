"""Drives a search: makes each step's run, lets it be attended, judges it, and says at the end what was found."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.api import Run
from ws_load_test.common.clock import utc_now
from ws_load_test.common.errors import (
    ExitCode,
    HostError,
    LoadTestError,
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
    known,
    next_step,
)
from ws_load_test.experiments.capacity.early_stop import EarlyStop
from ws_load_test.experiments.capacity.step import evaluate_step, infeasible_step
from ws_load_test.report.terminal.capacity import sentence

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from ws_load_test.api import Result
    from ws_load_test.experiments.capacity.search_options import SearchSpec
    from ws_load_test.experiments.capacity.step import Step
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

    Attend = Callable[[Run], Awaitable[Result]]
    Rest = Callable[[float], Awaitable[bool]]
    OnTry = Callable[[Plan], None]
    OnStep = Callable[["Step"], None]

SCHEMA = 1
"""The version of the shape of what was found."""
INTERVALS = 20
"""Of a step: a queue is followed through them, and the generator's doubts about itself need several."""
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.05, 1.0
EXIT_CODES = {
    StopReason.FOUND: ExitCode.PASSED,
    StopReason.ALL_MET: ExitCode.PASSED,
    StopReason.NONE_MET: ExitCode.THRESHOLD_FAILED,
    StopReason.GENERATOR: ExitCode.GENERATOR_BOUND,
    StopReason.NOTHING_OPENED: ExitCode.NOTHING_OPENED,
    StopReason.GONE: ExitCode.THRESHOLD_FAILED,
    StopReason.UNSETTLED: ExitCode.THRESHOLD_FAILED,
    StopReason.INTERRUPTED: ExitCode.INTERRUPTED,
}


class CapacitySearch:
    """One search, from its first step to its answer."""

    def __init__(self, aim: SearchSpec, output: str | os.PathLike[str] | None = None) -> None:
        """Takes what to find, and the folder for the recordings of its steps.

        Raises:
            OutputError: the folder cannot be made.
            UsageError: there is something in it.
        """
        self.aim = aim
        self.steps: list[Step] = []
        self.answer: SearchResult | None = None
        """What was found, once the search is over."""
        self.error: LoadTestError | None = None
        """What broke the search off, if anything did."""
        self.output_errors: list[OutputError] = []
        """Why recordings are not whole, if they are not."""
        self._running: Run | None = None
        self._stopped = False
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_at = self._ended_at = utc_now()
        self._public = aim.plan(aim.range.first).redacted()
        self._folder = None if output is None else _folder(Path(output))

    async def run(
        self,
        attend: Attend = Run.execute,
        rest: Rest | None = None,
        *,
        on_try: OnTry | None = None,
        on_step: OnStep | None = None,
    ) -> SearchResult:
        """Searches to the end; an error after the first step is the end as well, so that no step is lost.

        Args:
            attend: Executes a run.
            rest: Waits for some seconds; returns whether the search is to end.
            on_try: Called before a run with its plan.
            on_step: Called with each step as it ends.

        Raises:
            HostError: This machine cannot carry even the first step.
            UsageError: The plan's certificates cannot be used.
            OutputError: The first step's recording cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self.answer = answer = await self._search(attend, rest or self._rest, on_try, on_step)
        except BaseException as error:
            # It is somebody else's to handle, and no reason to lose what the steps have shown.
            if self.steps:
                self.answer = self._abort(error)
            raise
        finally:
            self._ended_at = utc_now()
            if self.answer is not None:
                self._keep()
        return answer

    def interrupt(self) -> None:
        """Ends the search at once, from another thread than that in which it goes."""
        self._stopped = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # over, and its loop closed
                self._loop.call_soon_threadsafe(self._over.set)
                if self._running is not None:
                    self._running.interrupt()

    async def _search(self, attend: Attend, rest: Rest, on_try: OnTry | None, on_step: OnStep | None) -> SearchResult:
        while isinstance(move := next_step(self.aim.range, self._tried()), NextStep):
            if (self.steps and await rest(self.aim.rest_ns / 1e9)) or self._called_off:
                return self._known(StopReason.INTERRUPTED)
            try:
                step = await self._step(move, attend, on_try)
            except (LoadTestError, OSError, KeyboardInterrupt) as error:
                if not self.steps:
                    raise
                return self._abort(error)
            except asyncio.CancelledError:
                if not self._stopped:
                    raise
                # The run had not begun when the search was ended.
                return self._known(StopReason.INTERRUPTED)
            self.steps.append(step)
            if on_step is not None:
                on_step(step)
        assert isinstance(move, SearchResult)
        return move

    def _abort(self, error: BaseException) -> SearchResult:
        """Returns what is known when something other than a step ends the search."""
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            return self._known(StopReason.INTERRUPTED)
        if isinstance(error, LoadTestError):
            self.error = error
        elif isinstance(error, OSError):
            self.error = HostError(f"this machine cannot carry the next step: {error.strerror}")
        else:
            self.error = LoadTestError(f"{type(error).__name__}, which is a bug of ws-load-test")
        return self._known(StopReason.BROKEN_OFF)

    def _known(self, ending: StopReason) -> SearchResult:
        return known(self.aim.range, self._tried(), ending)

    @property
    def _called_off(self) -> bool:
        """Whether somebody has ended the search, be it a moment after its last run was over."""
        return self._stopped or (self._running is not None and self._running.interrupted)

    async def _rest(self, seconds: float) -> bool:
        """Waits; returns whether the search was ended meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._stopped

    @property
    def exit_code(self) -> ExitCode:
        """What the process tells the shell, once the search is over."""
        assert self.answer is not None
        code = EXIT_CODES[self.answer.ending] if self.error is None else self.error.exit_code
        return ExitCode.OUTPUT_FAILED if self.output_errors and code == ExitCode.PASSED else code

    def to_json(self) -> dict[str, Any]:
        """What was found, as `--json` prints it; see docs/capacity.md."""
        assert self.answer is not None
        answer, where, aim = self.answer, self.aim.range, self.aim
        steps = [step.facts for step in self.steps]
        facts: dict[str, Any] = {
            "schema": SCHEMA,
            "tool": f"ws-load-test {__version__}",
            "target": self._public.target.url,
            "started_at": self._started_at,
            "ended_at": self._ended_at,
            "find": aim.dimension,
            "objectives": [one.text for one in aim.objectives],
            "range": {"from": where.first, "max": where.most, "precision": where.precision},
            "answer": {
                "ending": str(answer.ending),
                "lower": answer.lower,
                "lower_times": answer.lower_times,
                "upper": answer.upper,
                "upper_times": answer.upper_times,
                "generator_saturated_at": answer.bound,
                "unsure": list(answer.unsure),
                "contradicted": list(answer.contradicted),
                "error": None if self.error is None else _in_one_line(self.error),
            },
            "steps": steps,
            "exit_code": int(self.exit_code),
        }
        facts["answer"]["sentence"] = sentence(facts)
        return facts

    def _tried(self) -> list[StepResult]:
        return [StepResult(step.amount, step.outcome) for step in self.steps]

    async def _step(self, move: NextStep, attend: Attend, on_try: OnTry | None) -> Step:
        number = len(self.steps) + 1
        recording = None if self._folder is None else str(self._folder / f"{number:02}-{move.amount:.12g}.jsonl")
        plan = self.aim.plan(move.amount)
        interval_s = min(max((plan.duration_ns or 0) / 1e9 / INTERVALS, SHORTEST_INTERVAL_S), LONGEST_INTERVAL_S)
        if on_try is not None:
            on_try(plan)
        foregone = EarlyStop(plan, self.aim.objectives)
        ended_early = False

        def watch(event: IntervalEvent) -> None:
            nonlocal ended_early
            if not ended_early and foregone.add_event(event):
                ended_early = run.stop_gracefully()

        run = self._running = Run(plan, output=recording, interval_s=interval_s, on_interval=watch)
        if self._stopped:
            # Whoever ended the search just now knew nothing of this run.
            run.interrupt()
        try:
            result = await attend(run)
        except HostError as error:
            # That the first step cannot be done is the user's to mend; later on it is the end of this machine.
            if not self.steps:
                raise
            return infeasible_step(number, move, str(error))
        if result.output_error is not None:
            self.output_errors.append(result.output_error)
        return evaluate_step(
            number,
            move,
            self.aim.objectives,
            result,
            digest=result.aggregate,
            recording=recording,
            ended_early=ended_early,
        )

    def _keep(self) -> None:
        """Writes the answer beside the recordings."""
        if self._folder is None:
            return
        path = self._folder / "capacity.json"
        try:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self.to_json()), indent=2) + b"\n")
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
