"""Output of results: files for other programs, the report on the terminal, JSON."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.errors import ExitCode
from ws_load_test.plan.options.catalog import EXPORTS, owned_by, parse_options
from ws_load_test.plan.options.spec import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.common.errors import OptionProblem
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.report.terminal.run import Detail

_LOGGED = "%(levelname)s: %(message)s"
_log = logging.getLogger(__name__)


def pop_output_options(options: dict[str, Any], command: str = "") -> tuple[dict[str, Any], list[OptionProblem]]:
    """Takes the options about results out of `options`, but for those that the command refuses.

    Returns:
        Their parsed values, and what is wrong with the others.
    """
    rows = [
        option
        for option in owned_by(Owner.OUTPUT, Owner.METRICS)
        if command not in option.refused_by and option.name != "plan"
    ]
    given = {option.name: options.pop(option.name) for option in rows if option.name in options}
    return parse_options(given, rows)


def exports_in(output_options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the files to write, by format."""
    return {name: output_options[name] for name in EXPORTS if name in output_options}


def set_log_level(level: str = "warn") -> None:
    """Logs to standard error from this level on."""
    logging.basicConfig(level=logging.getLevelNamesMapping()[level.upper()], format=_LOGGED, stream=sys.stderr)


def export_problems(
    wanted: Mapping[str, str], *, as_json: bool, kept: Mapping[str, Sequence[str]]
) -> Sequence[OptionProblem]:
    """Returns what is wrong with the files that are wanted, some of which may be `kept` from being written to."""
    if not wanted:
        return ()
    from ws_load_test.report.exports import STDOUT, validate

    return validate({**({"json": STDOUT} if as_json else {}), **wanted}, kept)


def warn_unwritable(wanted: Mapping[str, str]) -> None:
    """Logs before the run which files surely cannot be written after it."""
    if wanted:
        from ws_load_test.report.exports import predict_failures

        for warning in predict_failures(wanted):
            _log.warning("%s; all the rest is done without it", warning)


def export(
    wanted: Mapping[str, str],
    recordings: Sequence[Recording],
    summary: Summary,
    merged: Aggregate,
    code: ExitCode,
) -> ExitCode:
    """Writes the files that are wanted; returns the exit code, OUTPUT_FAILED if one could not be written."""
    if not wanted:
        return code
    from ws_load_test.report.exports import Results, export

    results = Results(recordings, summary, merged)
    errors = export(wanted, results, appended=os.environ.get("GITHUB_STEP_SUMMARY"))
    for error in errors:
        _log.error("%s", error)
    return ExitCode.OUTPUT_FAILED if errors and code == ExitCode.PASSED else code


def print_results(
    recordings: Sequence[Recording],
    summary: Summary,
    merged: Aggregate | None,
    *,
    as_json: bool,
    detail: Detail | None = None,
    next_steps: Sequence[str] = (),
    with_command: bool = False,
) -> None:
    """Prints the report, or the summary as JSON; `with_command` as in `print_report`."""
    if as_json:
        print_json(summary)
        return
    from ws_load_test.report.terminal.run import print_report

    print_report(
        recordings,
        summary,
        merged,
        console=console(),
        detail=detail,
        next_steps=next_steps,
        with_command=with_command,
    )


def next_steps(kept: str, wanted: Mapping[str, str], summary: Summary) -> list[str]:
    """Returns hints on what can be done after a run: with its recording, if `kept` names one, and in the next run."""
    steps = []
    if not kept:
        steps.append("-o run.jsonl keeps a run")
    if "html" not in wanted:
        steps.append("--html page.html draws it")
    first = [f"ws-load-test report {kept} {steps[0]}"] if kept and steps else ["; ".join(steps)] if steps else []
    if summary.verdict.checks:
        return first
    # Without acknowledgements a fan-out has no response times.
    is_fan_out = summary.fanout is not None and summary.fanout.publishes.acknowledged is None
    times = "delivery." if is_fan_out else ""
    return [*first, f'--fail-if "{times}p99 > 50ms" makes it a test, with exit code 1']


def print_json(data: object) -> None:
    """Prints an object for programs, and for people who look at what programs get."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def console() -> Console:
    """Returns standard output as rich writes to it."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            # rich would leave with code 1, which is a failed threshold's.
            raise BrokenPipeError

    return Terminal(highlight=False)
