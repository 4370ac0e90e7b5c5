"""``ws-load-test capacity``: a search attended by signals, shown while it goes, and reported."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.cli.cluster import describe, pop_cluster_options
from ws_load_test.cli.output import (
    console,
    export_problems,
    exports_in,
    pop_output_options,
    print_json,
    set_log_level,
    warn_unwritable,
)
from ws_load_test.cli.run import with_plan_file
from ws_load_test.cli.signals import on_signals, run_with_signals
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import (
    ExitCode,
    OutputError,
    PlanError,
    option_name,
)
from ws_load_test.common.units import format_duration
from ws_load_test.experiments.capacity.bracketing import StepResult
from ws_load_test.experiments.capacity.remaining import remaining
from ws_load_test.experiments.capacity.search_options import dimension_of, read_spec, refused_options
from ws_load_test.experiments.capacity.search_runner import CapacitySearch
from ws_load_test.report.terminal.capacity import print_capacity, step_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.analysis.capacity_types import CapacitySummary
    from ws_load_test.experiments.capacity.search_options import SearchSpec
    from ws_load_test.experiments.capacity.step import Step
    from ws_load_test.plan.plan import Plan

_RECORDING = r"[0-9]{2,}-[0-9.e+]+\.jsonl"
"""The name that `search` gives the recording of a step, whose load is not known beforehand."""
_log = logging.getLogger(__name__)


def capacity(url: str | Sequence[str] | None, options: dict[str, Any]) -> int:
    """``ws-load-test capacity``."""
    if url is not None:
        options["url"] = url
    path = options.pop("plan", None)
    left_out: dict[str, str] = {}
    if path is not None:
        options, left_out = _with_plan_file(path, options)
    cluster = pop_cluster_options(options).get("cluster")
    output_options, problems = pop_output_options(options, "capacity")
    if not problems:
        problems += export_problems(
            exports_in(output_options), as_json=bool(output_options.get("json")), kept=_kept(output_options)
        )
    try:
        spec = read_spec(options)
    except PlanError as error:
        raise PlanError((*problems, *error.problems)) from None
    if problems:
        raise PlanError(tuple(problems))
    set_log_level(output_options.get("log_level", "warn"))
    plan = spec.plan(spec.range.first)
    for label, words in [*describe(plan, cluster), *spec.describe()]:
        _log.info("%s: %s", label, words)
    for name, why in left_out.items():
        _log.warning("--plan: %s is left out (%s: %s)", name.replace("_", "-"), option_name(name), why)
    for warning in plan.warnings:
        _log.warning("%s", warning)
    search = CapacitySearch(spec, output_options.get("output"), cluster)
    # Not before there is the folder of the recordings, where files may be meant to go as well.
    warn_unwritable(exports_in(output_options))
    shown = StepProgress(spec, quiet=bool(output_options.get("quiet")))
    try:
        asyncio.run(search.run(run_with_signals, _rest, on_step_start=shown.begin, on_step=shown.end))
    finally:
        shown.close()
    return _report(search, output_options)


def _with_plan_file(path: str, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the file's options under those of the command line, and why a search cannot use which of the file."""
    together = with_plan_file(path, options)
    found = together.get("find")
    known = found if found in {"connections", "subscribers", "sessions", "rate"} else None
    refused = refused_options(dimension_of(together, known))
    beside = {name for name in refused.keys() & together.keys() if name not in options}
    left_out = {name: refused[name] for name in sorted(beside) if together[name] is not False}
    return {name: value for name, value in together.items() if name not in beside}, left_out


def _kept(output_options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the files of the folder that no other may be written over, as `export_problems` takes them."""
    from ws_load_test.report.exports.atomic_write import same_file

    if "output" not in output_options:
        return {}
    folder = Path(output_options["output"])
    wanted = [Path(path) for path in exports_in(output_options).values()]
    recordings = [
        str(path) for path in wanted if re.fullmatch(_RECORDING, path.name) and same_file(str(path.parent), str(folder))
    ]
    return {"the answer in the folder of --output": [str(folder / "capacity.json")], "a step's recording": recordings}


async def _rest(seconds: float) -> bool:
    """Waits between two steps; returns True if a signal ends the search meanwhile."""
    stopped = asyncio.Event()
    on_signals(stopped.set)
    try:
        async with asyncio.timeout(seconds):
            await stopped.wait()
    except TimeoutError:
        return False
    return True


class StepProgress:
    """Prints a line for each step on standard error, and one for the step that runs; nothing without a terminal."""

    def __init__(self, spec: SearchSpec, *, quiet: bool) -> None:
        self._spec = spec
        self._watched = not quiet and sys.stderr.isatty()
        self._drawn = 0
        self._results: list[StepResult] = []
        self._first = spec.plan(spec.range.first)
        self._began_ns = 0
        self._extra_ns = 0
        """Time that the steps so far took beside their warm-up and their measured time: opening, waiting, closing."""

    def begin(self, plan: Plan) -> None:
        """A step begins."""
        if not self._watched:
            return
        amount = self._spec.load_of(plan)
        self._began_ns = monotonic_ns()
        left = remaining(self._spec.range, self._results, self._step_ns).describe()
        line = f"trying {self._spec.show(amount)} for {format_duration(plan.duration_ns)}; {left}"
        print(line, end="\r", file=sys.stderr, flush=True)
        self._drawn = len(line)

    def end(self, step: Step) -> None:
        """A step has ended."""
        self.close()
        self._results.append(StepResult(step.load_level, step.outcome))
        took_ns = monotonic_ns() - self._began_ns
        self._extra_ns += max(0, took_ns - self._first.warmup_ns - self._spec.duration_ns(step.load_level, self._first))
        if self._watched:
            print(step_line(step.summary, self._spec.dimension), file=sys.stderr, flush=True)

    def _step_ns(self, load_level: float) -> float:
        """Returns the time of a step by its plan and by the steps so far, with the rest before it."""
        planned_ns = self._first.warmup_ns + self._spec.duration_ns(load_level, self._first) + self._spec.cooldown_ns
        return planned_ns + self._extra_ns / max(1, len(self._results))

    def close(self) -> None:
        """Clears the line of what is tried."""
        if self._drawn:
            print(" " * self._drawn, end="\r", file=sys.stderr, flush=True)
            self._drawn = 0


def _report(search: CapacitySearch, output_options: Mapping[str, Any]) -> int:
    summary, code = search.summary(), search.exit_code
    wanted = exports_in(output_options)
    if search.error is not None:
        _log.error("the search was broken off: %s", search.error)
    errors = [*search.output_errors, *_write(wanted, summary)]
    for error in errors:
        _log.error("%s", error)
    if errors and code == ExitCode.PASSED:
        code = ExitCode.OUTPUT_FAILED
    if output_options.get("json"):
        print_json(msgspec.structs.replace(summary, exit_code=int(code)))
    elif not output_options.get("quiet") and "-" not in wanted.values():
        print_capacity(summary, console=console())
    return code


def _write(wanted: Mapping[str, str], summary: CapacitySummary) -> list[OutputError]:
    """Writes the files that were asked for; returns why some could not be."""
    if not wanted:
        return []
    from ws_load_test.report.exports import capacity as exported
    from ws_load_test.report.exports import write_texts
    from ws_load_test.report.html import capacity as paged

    texts = {"markdown": partial(exported.lines, summary), "html": partial(paged.lines, summary)}
    return write_texts(texts, wanted, appended=os.environ.get("GITHUB_STEP_SUMMARY"))
