"""The commands that run: a terminal's part of what `api` does for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from ws_load_test.api import Run
from ws_load_test.cli.cluster import describe, pop_cluster_options
from ws_load_test.cli.observers import wait_for_observers, watchers
from ws_load_test.cli.output import (
    console,
    export,
    export_problems,
    exports_in,
    next_steps,
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
from ws_load_test.engine.registry import engine_for, why_engine
from ws_load_test.fleet.factory import fleet_factory
from ws_load_test.live.telemetry.settings import read_settings
from ws_load_test.metrics.existing_files import refuse_overwriting
from ws_load_test.plan.options.catalog import MUTUALLY_EXCLUSIVE, PARSERS, refused_by
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file
from ws_load_test.plan.options.scenario.problems import files_of
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.presets import preset_text

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from ws_load_test.live.observer import IntervalObserver
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Header

DEMO_OPTIONS = {"connections": 100, "rate": "5k", "duration": "5s"}
"""Load of `demo` unless other options say so: a schedule, which both engines keep. A closed loop is as fast as the
slower of server and generator, and that is the generator where the compiled engine is not built."""
_LOAD_OPTIONS = frozenset({"in_flight", "rate_per_connection", "stages", "plan", "scenario"})
"""Options that say how many messages are sent, beside --rate: with one of them `demo` has no rate of its own."""
_log = logging.getLogger(__name__)


def run(url: str | Sequence[str] | None, options: dict[str, Any]) -> int:
    """``ws-load-test URL``."""
    if url is not None:
        options["url"] = url
    path = options.pop("plan", None)
    if path is None and "url" not in options and options.get("explain") and "protocol" in options:
        return _explain_preset(options["protocol"])
    if path is not None:
        options = with_plan_file(path, options)
    output_options = _split_options(options, read=_files_read(path, options))
    output_options |= pop_cluster_options(options)
    if output_options.get("probe"):
        _refuse_beside_probe(output_options)
    plan = read_plan(options)
    if output_options.get("explain"):
        _explain(plan, output_options)
        return ExitCode.PASSED
    return _run(plan, output_options)


def demo(options: dict[str, Any]) -> int:
    """``ws-load-test demo``."""
    from ws_load_test.echo import EchoProcess

    # A plan file says itself how much load there is.
    defaults = {} if "plan" in options else DEMO_OPTIONS.copy()
    if _LOAD_OPTIONS & options.keys():
        defaults.pop("rate", None)
    if {"messages", "stages"} & options.keys():
        defaults.pop("duration", None)
    with EchoProcess() as server:
        return run(server.url, {**defaults, **options})


def with_plan_file(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a plan file under those of the command line, which win over what they exclude as well."""
    written = read_plan_file(path)
    for one, other, _ in MUTUALLY_EXCLUSIVE:
        if {one, other} & options.keys():
            written = {name: value for name, value in written.items() if name not in {one, other}}
    return {**written, **options}


def with_usable(path: str, options: dict[str, Any], useless: Container[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns the same without options that a command cannot use, and their names; those of the command line stay."""
    together = with_plan_file(path, options)
    left_out = [name for name in together if name in useless and name not in options]
    return {name: value for name, value in together.items() if name not in left_out}, sorted(left_out)


def _refuse_beside_probe(output_options: Mapping[str, Any]) -> None:
    for name, why in refused_by("--probe").items():
        if name in output_options:
            raise UsageError(f"{option_name(name)}: {why}")


def _files_read(plan_path: str | None, options: Mapping[str, Any]) -> list[str]:
    """Returns the files that a run reads, as far as their names are texts: its plan, feed, messages, certificates."""
    values = [options.get(name) for name in ("message", "first_message", "bearer", "user", "header", "cookie")]
    texts = [text for value in values for text in (value if isinstance(value, list | tuple) else [value])]
    named = [text[1:] for text in texts if isinstance(text, str) and text.startswith("@")]
    files = [plan_path, *(options.get(name) for name in ("feed", "cacert", "cert", "key"))]
    roles = [options.get("role"), {"python": options.get("scenario")}]
    return [*(file for file in files if isinstance(file, str)), *named, *files_of(roles)]


def _split_options(options: dict[str, Any], read: Sequence[str] = ()) -> dict[str, Any]:
    """Takes the options about results out of `options`, parsed; none of them may overwrite a file that is read.

    Raises:
        PlanError: with every problem that these options have.
    """
    output_options, problems = pop_output_options(options)
    if not problems:
        recordings = [output_options["output"]] if "output" in output_options else []
        kept = {"the recording": recordings, "a file that the run reads": read}
        problems += export_problems(exports_in(output_options), as_json=bool(output_options.get("json")), kept=kept)
    if not problems:
        problems += read_settings(output_options)[1]
    if problems:
        raise PlanError(tuple(problems))
    return output_options


def _explain_preset(name: str) -> int:
    """Prints the file of a preset."""
    try:
        print(preset_text(PARSERS["protocol"](name)), end="")
    except ValueError as error:
        raise UsageError(f"--protocol: {error}") from None
    return ExitCode.PASSED


def _explain(plan: Plan, output_options: Mapping[str, Any]) -> None:
    lines = describe(plan, output_options.get("cluster"))
    width = max(len(label) for label, _ in lines)
    for label, words in [*lines, *(("perhaps", warning) for warning in plan.warnings)]:
        print(f"{label:<{width}}  {words}")
    if plan.scenario is not None:
        from ws_load_test.plan.scenario.explain import explain_scenario

        print("\n".join(explain_scenario(plan, get_terminal_size((100, 24)).columns)))


def _probe(plan: Plan, output_options: Mapping[str, Any]) -> int:
    """Opens one connection and sends one message, in this process; prints each step as soon as it is over."""
    from ws_load_test.common.event_loop import run
    from ws_load_test.probe.fan_out_probe import FanOutProbe
    from ws_load_test.probe.probe import Probe
    from ws_load_test.probe.report import print_end, print_steps
    from ws_load_test.probe.scenario_probe import ScenarioProbe
    from ws_load_test.probe.session_log import SessionLog

    path = output_options.get("output")
    if path is not None and not output_options.get("force"):
        refuse_overwriting(path)
    log = SessionLog()

    shows = not (output_options.get("json") or output_options.get("quiet"))
    terminal = console() if shows else None

    def show_steps(steps: list[dict[str, Any]]) -> None:
        if terminal is not None:
            print_steps(steps, console=terminal)

    async def probe() -> dict[str, Any]:
        kind = Probe if plan.fan_out is None else FanOutProbe
        probe = kind(plan, show_steps) if plan.scenario is None else ScenarioProbe(plan, show_steps)
        if path is not None:
            probe.keep_messages(log)
        on_signals(probe.stop)
        return await probe.run()

    facts = run(probe())
    if terminal is not None:
        print_end(facts, console=terminal)
    elif output_options.get("json"):
        print_json(facts)
    if path is not None:
        log.write(path)
    return int(facts["exit_code"])


def _run(plan: Plan, output_options: Mapping[str, Any]) -> int:
    set_log_level(output_options.get("log_level", "warn"))
    for label, words in describe(plan, output_options.get("cluster")):
        _log.info("%s: %s", label, words)
    if output_options.get("cluster") is None:
        if plan.engine != "auto" or plan.reply_instant == "kernel":
            # Workers would refuse it as well, and each be lost; the engine is imported only where it is asked for.
            engine_for(plan, plan.engine)
        if _log.isEnabledFor(logging.INFO):
            _log.info("engine: %s", why_engine(plan, plan.engine))
    for warning in plan.warnings:
        _log.warning("%s", warning)
    if output_options.get("probe"):
        return _probe(plan, output_options)
    wanted = exports_in(output_options)
    warn_unwritable(wanted)
    watching: list[IntervalObserver] = []
    stops = True
    try:
        code, interrupted = _execute(plan, output_options, wanted, watching)
        stops = interrupted
    finally:
        wait_for_observers(watching, stops=stops)
    return code


def _execute(
    plan: Plan, output_options: Mapping[str, Any], wanted: Mapping[str, str], watching: list[IntervalObserver]
) -> tuple[int, bool]:
    """Runs the plan and prints its results; adds the observers to `watching`.

    Returns the exit code, and whether the run was interrupted.
    """
    taken = "-" in wanted.values()

    def start(header: Header, settled: Plan) -> None:
        for watcher in watchers(settled, output_options, taken=taken, lost=lambda: run.lost, header=header):
            # The last one is closed first, and each of them however the others end.
            closing.callback(watcher.close)
            watching.append(watcher)

    def each(event: IntervalEvent) -> None:
        for watcher in watching:
            watcher(event)

    run = Run(
        plan,
        output=output_options.get("output"),
        overwrite=bool(output_options.get("force")),
        on_interval=each,
        fail_if_saturated=bool(output_options.get("fail_if_saturated")),
        make_fleet=fleet_factory(output_options.get("cluster")),
        on_start=start,
    )
    with contextlib.ExitStack() as closing:
        result = asyncio.run(run_with_signals(run))
    if result.output_error is not None:
        _log.error("%s", result.output_error)
    recordings = [result.recording]
    code = export(wanted, recordings, result.summary, result.aggregate, result.exit_code)
    if output_options.get("json") or not (output_options.get("quiet") or taken):
        kept = "" if result.output_error is not None else str(output_options.get("output", ""))
        print_results(
            recordings,
            result.summary,
            result.aggregate,
            as_json=bool(output_options.get("json")),
            detail=output_options.get("summary"),
            next_steps=next_steps(kept, wanted, result.summary),
        )
    sys.stdout.flush()
    return code, result.recording.trailer is not None and result.recording.trailer.interrupted
