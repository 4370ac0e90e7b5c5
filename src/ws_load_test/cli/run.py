"""The commands that run: a terminal's part of what `api` does for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from ws_load_test.api import Run
from ws_load_test.cli.cluster import describe, pop_cluster_options
from ws_load_test.cli.observers import wait_for_observers, watchers
from ws_load_test.cli.output import (
    console,
    export,
    export_problems,
    exports_in,
    pop_output_options,
    print_json,
    print_results,
    set_log_level,
    warn_unwritable,
)
from ws_load_test.cli.signals import on_signals, run_with_signals
from ws_load_test.common.errors import (
    ExitCode,
    PlanError,
    UsageError,
    option_name,
)
from ws_load_test.fleet.factory import fleet_factory
from ws_load_test.live.telemetry.settings import read_settings
from ws_load_test.plan.options.catalog import MUTUALLY_EXCLUSIVE, refused_by
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from ws_load_test.live.observer import IntervalObserver
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Header

DEMO_OPTIONS = {"connections": 100, "duration": "5s"}
_log = logging.getLogger("ws_load_test")


def run(url: str | Sequence[str] | None, options: dict[str, Any]) -> int:
    """``ws-load-test URL``."""
    if url is not None:
        options["url"] = url
    path = options.pop("plan", None)
    if path is not None:
        options = with_plan_file(path, options)
    ours = _split_options(options)
    ours |= pop_cluster_options(options)
    if ours.get("probe"):
        _refuse_beside_probe(ours)
    plan = read_plan(options)
    if ours.get("explain"):
        _explain(plan, ours)
        return ExitCode.PASSED
    return _run(plan, ours)


def demo(options: dict[str, Any]) -> int:
    """``ws-load-test demo``."""
    from ws_load_test.echo import EchoProcess

    defaults = {name: value for name, value in DEMO_OPTIONS.items() if name != "duration" or "messages" not in options}
    with EchoProcess() as server:
        return run(server.url, {**defaults, **options})


def with_plan_file(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The file's options under those of the command line; what excludes an option of the file puts it out of force."""
    written = read_plan_file(path)
    for one, other, _ in MUTUALLY_EXCLUSIVE:
        if {one, other} & options.keys():
            written = {name: value for name, value in written.items() if name not in {one, other}}
    return {**written, **options}


def with_usable(path: str, options: dict[str, Any], useless: Container[str]) -> tuple[dict[str, Any], list[str]]:
    """The same without what a command has no use for, whose names are told; what the command line says stays."""
    together = with_plan_file(path, options)
    left_out = [name for name in together if name in useless and name not in options]
    return {name: value for name, value in together.items() if name not in left_out}, sorted(left_out)


def _refuse_beside_probe(ours: Mapping[str, Any]) -> None:
    for name, why in refused_by("--probe").items():
        if name in ours:
            raise UsageError(f"{option_name(name)}: {why}")


def _split_options(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the options about results out of `options`, parsed.

    Raises:
        PlanError: with every problem that these options have.
    """
    ours, problems = pop_output_options(options)
    if not problems:
        kept = {"the recording": [ours["output"]] if "output" in ours else []}
        problems += export_problems(exports_in(ours), as_json=bool(ours.get("json")), kept=kept)
    if not problems:
        problems += read_settings(ours)[1]
    if problems:
        raise PlanError(tuple(problems))
    return ours


def _explain(plan: Plan, ours: Mapping[str, Any]) -> None:
    lines = describe(plan, ours.get("cluster"))
    width = max(len(label) for label, _ in lines)
    for label, words in [*lines, *(("perhaps", doubt) for doubt in plan.warnings)]:
        print(f"{label:<{width}}  {words}")


def _probe(plan: Plan, ours: Mapping[str, Any]) -> int:
    """One connection and one message, in this process; what is seen is shown while something is awaited."""
    from ws_load_test.common.event_loop import run
    from ws_load_test.probe.probe import Probe
    from ws_load_test.probe.report import print_end, print_steps

    shows = not (ours.get("json") or ours.get("quiet"))
    terminal = console() if shows else None

    def show_steps(steps: list[dict[str, Any]]) -> None:
        if terminal is not None:
            print_steps(steps, console=terminal)

    async def rehearse() -> dict[str, Any]:
        probe = Probe(plan, show_steps)
        on_signals(probe.stop)
        return await probe.run()

    facts = run(rehearse())
    if terminal is not None:
        print_end(facts, console=terminal)
    elif ours.get("json"):
        print_json(facts)
    return int(facts["exit_code"])


def _run(plan: Plan, ours: Mapping[str, Any]) -> int:
    set_log_level(ours.get("log_level", "warn"))
    for label, words in describe(plan, ours.get("cluster")):
        _log.info("%s: %s", label, words)
    for doubt in plan.warnings:
        _log.warning("%s", doubt)
    if ours.get("probe"):
        return _probe(plan, ours)
    wanted = exports_in(ours)
    warn_unwritable(wanted)
    watching: list[IntervalObserver] = []
    stops = True
    try:
        code, interrupted = _execute(plan, ours, wanted, watching)
        stops = interrupted
    finally:
        wait_for_observers(watching, stops=stops)
    return code


def _execute(
    plan: Plan, ours: Mapping[str, Any], wanted: Mapping[str, str], watching: list[IntervalObserver]
) -> tuple[int, bool]:
    """Runs the plan and tells its results; leaves in `watching` who was told of it meanwhile.

    Returns the exit code, and whether the run was interrupted.
    """
    taken = "-" in wanted.values()

    def start(header: Header, settled: Plan) -> None:
        for watcher in watchers(settled, ours, taken=taken, lost=lambda: run.lost, header=header):
            # The last one is closed first, and each of them however the others end.
            closing.callback(watcher.close)
            watching.append(watcher)

    def each(event: IntervalEvent) -> None:
        for watcher in watching:
            watcher(event)

    run = Run(
        plan,
        output=ours.get("output"),
        on_interval=each,
        strict=bool(ours.get("fail_if_saturated")),
        make_fleet=fleet_factory(ours.get("cluster")),
        on_start=start,
    )
    with contextlib.ExitStack() as closing:
        result = asyncio.run(run_with_signals(run))
    if result.output_error is not None:
        _log.error("%s", result.output_error)
    recordings = [result.recording]
    code = export(wanted, recordings, result.summary, result.aggregate, result.exit_code)
    if ours.get("json") or not (ours.get("quiet") or taken):
        print_results(recordings, result.summary, result.aggregate, as_json=bool(ours.get("json")))
    sys.stdout.flush()
    return code, result.recording.trailer is not None and result.recording.trailer.interrupted
