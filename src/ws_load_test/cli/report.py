"""``ws-load-test report``: recordings read, merged and shown again."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.recordings import read_recording
from ws_load_test.analysis.summary import exit_code, summarize
from ws_load_test.analysis.thresholds import RequestedCondition
from ws_load_test.cli.output import export, export_problems, exports_in, next_steps, print_results, set_log_level
from ws_load_test.common.errors import OptionProblem, PlanError, UsageError
from ws_load_test.common.units import quoted_path
from ws_load_test.plan.options.catalog import OPTIONS, parse_options
from ws_load_test.plan.options.thresholds import read_conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

PIPE_PATIENCE_MS = 1000
"""Time without a byte after which a pipe is mentioned: a program that writes into one has begun by then."""
_log = logging.getLogger(__name__)


def report(paths: Sequence[str], options: dict[str, Any]) -> int:
    """``ws-load-test report``."""
    wanted, as_json = exports_in(options), bool(options.get("json"))
    if not paths:
        raise UsageError("report: no recording named; write for example: ws-load-test report run.jsonl")
    problems: list[OptionProblem] = []
    conditions = [
        RequestedCondition(name.replace("_", "-"), text)
        for name in ("fail_if", "slo")
        for text in read_conditions(name, tuple(options.get(name, ())), problems)
    ]
    problems += export_problems(wanted, as_json=as_json, kept={"a recording that is read": paths})
    output_options, wrong = parse_options({"summary": options["summary"]} if "summary" in options else {}, OPTIONS)
    problems += wrong
    if problems:
        raise PlanError(tuple(problems))
    set_log_level()
    with contextlib.ExitStack() as opened:
        for path in paths:
            _mention_silent_pipe(path, opened)
        recordings = [read_recording(path) for path in paths]
    for place, recording in enumerate(recordings):
        if recording.header in [other.header for other in recordings[:place]]:
            raise UsageError(f'report: "{paths[place]}" is a recording that is named twice; it would count double')
    merged = aggregate(recordings)
    summary = summarize(recordings, merged, conditions or None)
    lost_workers = sum(len(one.trailer.lost_workers) for one in recordings if one.trailer)
    code = exit_code(summary, lost_workers, fail_if_saturated=bool(options.get("fail_if_saturated")))
    code = export(wanted, recordings, summary, merged, code)
    if "-" not in wanted.values():
        detail = output_options.get("summary")
        steps = next_steps(paths[0] if len(paths) == 1 else "", wanted, summary)
        print_results(recordings, summary, merged, as_json=as_json, detail=detail, next_steps=steps, with_command=True)
    return code


def _mention_silent_pipe(path: str, opened: contextlib.ExitStack) -> None:
    """Logs that a pipe has no writer yet, which the report waits for; it stays open, lest a writer finds no reader."""
    try:
        if not stat.S_ISFIFO(Path(path).stat().st_mode):
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        # What cannot be opened is an error of the recording.
        return
    opened.callback(os.close, descriptor)
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    if not readable.poll(PIPE_PATIENCE_MS):
        _log.warning("report: %s is a pipe into which nothing was written yet; waiting for it", quoted_path(path))
