"""The commands that run or report: a terminal's part of what `api` does for scripts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.api import Result, Run
from ws_load_test.errors import ExitCode, PlanError, Problem, UsageError, option_name
from ws_load_test.measure.digest import Digest, digest
from ws_load_test.measure.recording import read_recording
from ws_load_test.measure.summary import exit_code, summarise
from ws_load_test.options import RIVALS, read_plan, read_plan_file
from ws_load_test.plan import Plan
from ws_load_test.verdict_options import read_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from ws_load_test.measure.recording import Recording
    from ws_load_test.report.progress import ProgressLine

DEMO_OPTIONS = {"connections": 100, "duration": "5s"}
EXPORTS = ("hdr", "hgrm", "csv", "junit", "markdown", "openmetrics")
"""The formats of `report.exports`, which takes too long to import for asking it."""
OURS = {
    "output": str,
    "json": bool,
    "quiet": bool,
    "verbosity": str,
    "explain": bool,
    "strict": bool,
    "dry_run": bool,
    **dict.fromkeys(EXPORTS, str),
}
"""Options that say what becomes of a run's results, and the type of their value; the others are the plan's."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_LOGGED = "%(levelname)s: %(message)s"
_log = logging.getLogger("ws_load_test")


def flood(url: str | Sequence[str] | None, options: dict[str, Any]) -> int:
    """``ws-load-test URL``."""
    if url is not None:
        options["url"] = url
    path = options.pop("plan", None)
    if path is not None:
        options = _with_plan_file(path, options)
    ours = _take_ours(options)
    if ours.get("dry_run") and (files := [name for name in ("output", *EXPORTS) if name in ours]):
        raise UsageError(
            f"{option_name(files[0])}: a dry run records nothing; leave it out, or take --json and a file of your own"
        )
    plan = read_plan(Plan, options)
    if ours.get("explain"):
        _explain(plan)
        return ExitCode.PASSED
    return _run(plan, ours)


def demo(options: dict[str, Any]) -> int:
    """``ws-load-test demo``."""
    from ws_load_test.echo import EchoProcess

    defaults = {name: value for name, value in DEMO_OPTIONS.items() if name != "duration" or "messages" not in options}
    with EchoProcess() as server:
        return flood(server.url, {**defaults, **options})


def report(
    paths: Sequence[str],
    *,
    as_json: bool,
    strict: bool = False,
    fail_if: Sequence[str] = (),
    wanted: Mapping[str, str] | None = None,
) -> int:
    """``ws-load-test report``."""
    if not paths:
        raise UsageError("report: no recording named; write for example: ws-load-test report run.jsonl")
    problems: list[Problem] = []
    conditions = read_conditions("fail_if", tuple(fail_if), problems)
    wanted = wanted or {}
    problems += _export_problems(wanted, as_json=as_json, kept={"a recording that is read": paths})
    if problems:
        raise PlanError(tuple(problems))
    recordings = [read_recording(path) for path in paths]
    for place, recording in enumerate(recordings):
        if recording.header in [other.header for other in recordings[:place]]:
            raise UsageError(f'report: "{paths[place]}" is a recording that is named twice; it would count double')
    digested = digest(recordings)
    summary = summarise(recordings, digested, conditions or None)
    lost_workers = sum(len(one.trailer.lost_workers) for one in recordings if one.trailer)
    code = exit_code(summary, lost_workers, strict=strict)
    logging.basicConfig(format=_LOGGED, stream=sys.stderr)
    code = _export(wanted, recordings, summary, digested, code)
    if "-" not in wanted.values():
        _show(recordings, summary, digested, as_json=as_json)
    return code


def _with_plan_file(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The file's options under those of the command line; what excludes an option of the file puts it out of force."""
    written = read_plan_file(path)
    for one, other, _ in RIVALS:
        if {one, other} & options.keys():
            written = {name: value for name, value in written.items() if name not in {one, other}}
    return {**written, **options}


def _take_ours(options: dict[str, Any]) -> dict[str, Any]:
    ours = {name: options.pop(name) for name in OURS if name in options}
    problems = [
        Problem(option_name(name), f'"{value}" is not {"true or false" if OURS[name] is bool else "text"}')
        for name, value in ours.items()
        if not isinstance(value, OURS[name])
    ]
    if not problems and ours.get("verbosity", "warn") not in _LEVELS:
        problems.append(Problem("--verbosity", f'"{ours["verbosity"]}" is not one of {", ".join(_LEVELS)}'))
    if not problems:
        kept = {"the recording": [ours["output"]] if "output" in ours else []}
        problems += _export_problems(_exports_of(ours), as_json=bool(ours.get("json")), kept=kept)
    if problems:
        raise PlanError(tuple(problems))
    return ours


def _exports_of(ours: Mapping[str, Any]) -> dict[str, str]:
    return {name: ours[name] for name in EXPORTS if name in ours}


def _export_problems(
    wanted: Mapping[str, str], *, as_json: bool, kept: Mapping[str, Sequence[str]]
) -> Sequence[Problem]:
    if not wanted:
        return ()
    from ws_load_test.report.exports import STDOUT, problems

    return problems({**({"json": STDOUT} if as_json else {}), **wanted}, kept)


def _warn_of(wanted: Mapping[str, str]) -> None:
    """Tells before the run what will surely not be written after it."""
    if wanted:
        from ws_load_test.report.exports import foreseen

        for warning in foreseen(wanted):
            _log.warning("%s; the run goes on without it", warning)


def _export(
    wanted: Mapping[str, str],
    recordings: Sequence[Recording],
    summary: dict[str, Any],
    digested: Digest,
    code: ExitCode,
) -> ExitCode:
    """Writes the files that are wanted; returns the exit code, which tells if one could not be."""
    if not wanted:
        return code
    from ws_load_test.report.exports import Results, export

    results = Results(recordings, summary, digested)
    errors = export(wanted, results, appended=os.environ.get("GITHUB_STEP_SUMMARY"))
    for error in errors:
        _log.error("%s", error)
    return ExitCode.OUTPUT_FAILED if errors and code == ExitCode.PASSED else code


def _explain(plan: Plan) -> None:
    lines = plan.describe()
    width = max(len(label) for label, _ in lines)
    for label, words in [*lines, *(("perhaps", doubt) for doubt in plan.doubts)]:
        print(f"{label:<{width}}  {words}")


def _rehearse(plan: Plan, ours: Mapping[str, Any]) -> int:
    """One connection and one message, in this process; what is seen is shown while something is awaited."""
    from ws_load_test.engine.loop import run_loop
    from ws_load_test.engine.rehearsal import Rehearsal
    from ws_load_test.report.rehearsal import print_end, print_steps

    shows = not (ours.get("json") or ours.get("quiet"))
    console = _console() if shows else None

    def show(steps: list[dict[str, Any]]) -> None:
        if console is not None:
            print_steps(steps, console=console)

    async def attend() -> dict[str, Any]:
        rehearsal = Rehearsal(plan, show)
        _on_signals(rehearsal.stop)
        return await rehearsal.run()

    facts = run_loop(attend())
    if console is not None:
        print_end(facts, console=console)
    elif ours.get("json"):
        _print_json(facts)
    return int(facts["exit_code"])


def _run(plan: Plan, ours: Mapping[str, Any]) -> int:
    quiet = bool(ours.get("quiet"))
    logging.basicConfig(level=_LEVELS[ours.get("verbosity", "warn")], format=_LOGGED, stream=sys.stderr)
    for label, words in plan.describe():
        _log.info("%s: %s", label, words)
    for doubt in plan.doubts:
        _log.warning("%s", doubt)
    if ours.get("dry_run"):
        return _rehearse(plan, ours)
    wanted = _exports_of(ours)
    taken = "-" in wanted.values()
    _warn_of(wanted)
    progress = _progress(plan, quiet=quiet or taken)
    run = Run(plan, output=ours.get("output"), on_interval=progress, strict=bool(ours.get("strict")))
    try:
        result = asyncio.run(_attend(run))
    finally:
        if progress is not None:
            progress.close()
    if result.output_error is not None:
        _log.error("%s", result.output_error)
    recordings = [result.recording]
    code = _export(wanted, recordings, result.summary, run.digest or digest(recordings), result.exit_code)
    if ours.get("json") or not (quiet or taken):
        _show(recordings, result.summary, run.digest, as_json=bool(ours.get("json")))
    return code


def _progress(plan: Plan, *, quiet: bool) -> ProgressLine | None:
    # Where a program reads our output, a line that moves would only be in its way.
    if quiet or not sys.stdout.isatty():
        return None
    from ws_load_test.report.progress import ProgressLine

    return ProgressLine(plan)


async def _attend(run: Run) -> Result:
    """Runs to the end, and hears the signals: the first stops the run, the second ends it at once."""
    executing = asyncio.create_task(run.execute())
    asked = 0

    def interrupt() -> None:
        nonlocal asked
        asked += 1
        if run.fleet is None:
            executing.cancel()
        elif asked == 1:
            _log.warning("stopping: waiting for replies, then the report; once more to leave at once")
            run.fleet.stop()
        else:
            run.fleet.kill()

    _on_signals(interrupt)
    try:
        return await executing
    except asyncio.CancelledError:
        # Ctrl-C before there was anything to stop.
        raise KeyboardInterrupt from None


def _on_signals(interrupt: Callable[[], None]) -> None:
    """Calls `interrupt` at Ctrl-C, and when the process is told to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        except NotImplementedError:
            # Windows: Ctrl-C ends the run as it ends any program there.
            break


def _show(recordings: Sequence[Recording], summary: dict[str, Any], digested: Digest | None, *, as_json: bool) -> None:
    if as_json:
        _print_json(summary)
        return
    from ws_load_test.report.text import print_report

    print_report(recordings, summary, digested, console=_console())


def _print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def _console() -> Console:
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            # rich would leave with code 1, which is a failed threshold's.
            raise BrokenPipeError

    return Terminal(highlight=False)
