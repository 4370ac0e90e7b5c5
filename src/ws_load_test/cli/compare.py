"""``ws-load-test compare``: recordings, or directories of repeats, against a base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.aggregate import counts_of
from ws_load_test.analysis.comparison.sides import compare_recordings, recording_files
from ws_load_test.analysis.recordings import read_recording
from ws_load_test.analysis.verdict import why_nothing_measured
from ws_load_test.cli.comparison_output import parse_terms, report_outcome
from ws_load_test.cli.output import exports_in, set_log_level, warn_unwritable
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.common.sanitize import sanitize
from ws_load_test.report.terminal.comparison import ComparisonReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import Recording


def compare_files(paths: Sequence[str], options: dict[str, Any]) -> int:
    """``ws-load-test compare BASE NEW...``."""
    if len(paths) < 2:
        raise UsageError(
            "compare: name two sides at least, each a recording or a directory of repeats; write for example:"
            " ws-load-test compare base.jsonl new.jsonl"
        )
    files = [recording_files(path) for path in paths]
    wanted, as_json = exports_in(options), bool(options.get("json"))
    kept = {"a recording that is read": [file for side in files for file in side]}
    sure, limit, metrics = parse_terms(
        options.get("confidence"),
        options.get("fail_on_regression"),
        wanted,
        as_json=as_json,
        kept=kept,
        metrics=options.get("metric", ()),
    )
    set_log_level()
    warn_unwritable(wanted)
    seen: list[Recording] = []
    sides: list[list[Recording]] = []
    for side in files:
        recordings = [read_recording(file) for file in side]
        for file, recording in zip(side, recordings, strict=True):
            if any(recording.header == other.header for other in seen):
                raise UsageError(f'compare: "{file}" is a recording that is named twice; it cannot stand on two sides')
            seen.append(recording)
        sides.append(recordings)
    names = [_side_name(path, recordings) for path, recordings in zip(paths, sides, strict=True)]
    comparisons = [
        compare_recordings((names[0], name), sides[0], recordings, sure, metrics)
        for name, recordings in zip(names[1:], sides[1:], strict=True)
    ]
    unmeasured = any(why_nothing_measured(side, counts_of(side)) is not None for side in sides)
    code = ExitCode.NOTHING_OPENED if unmeasured else ExitCode.PASSED
    return report_outcome(ComparisonReport(comparisons=comparisons, limit=limit), wanted, as_json=as_json, code=code)


def _side_name(path: str, recordings: Sequence[Recording]) -> str:
    """Returns the name that all runs of a side have (``--name``), and where they are; else only that."""
    names = {recording.header.name for recording in recordings}
    name = names.pop() if len(names) == 1 else ""
    return f"{sanitize(name)} ({path})" if name else path
