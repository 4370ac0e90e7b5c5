"""``ws-load-test compare``: recordings, or directories of repeats, against a base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.comparison.comparability import blocker
from ws_load_test.analysis.comparison.compare import Comparison, compare
from ws_load_test.analysis.comparison.samples import Variant, pair_variants
from ws_load_test.cli.comparison_output import parse_terms, report_outcome
from ws_load_test.cli.output import exports_in, set_log_level, warn_unwritable
from ws_load_test.common.errors import RecordingError, UsageError
from ws_load_test.metrics.recording import Recording
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.report.terminal.comparison import ComparisonReport

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATTERN = "*.jsonl"


def compare_recordings(paths: Sequence[str], options: dict[str, Any]) -> int:
    """``ws-load-test compare BASE NEW...``."""
    if len(paths) < 2:
        raise UsageError(
            "compare: name two sides at least, each a recording or a directory of repeats; write for example:"
            " ws-load-test compare base.jsonl new.jsonl"
        )
    files = [_files(path) for path in paths]
    wanted, as_json = exports_in(options), bool(options.get("json"))
    kept = {"a recording that is read": [file for side in files for file in side]}
    sure, limit = parse_terms(
        options.get("confidence"), options.get("fail_on_regression"), wanted, as_json=as_json, kept=kept
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
    comparisons = [
        _compared((paths[0], path), sides[0], recordings, sure)
        for path, recordings in zip(paths[1:], sides[1:], strict=True)
    ]
    return report_outcome(ComparisonReport(comparisons=comparisons, limit=limit), wanted, as_json=as_json)


def _files(path: str) -> list[str]:
    place = Path(path)
    try:
        if not place.is_dir():
            return [path]
        # Of a directory that may not be looked into, a pattern would find nothing.
        inside = sorted(place.iterdir())
        found = [str(file) for file in inside if file.match(_PATTERN) and file.is_file()]
        inner = [] if found else [child for child in inside if child.is_dir() and any(child.glob(_PATTERN))]
    except OSError as error:
        raise RecordingError(f'compare: cannot look into the directory "{path}": {error.strerror}') from None
    if not found:
        hint = f"; did you mean {' '.join(map(str, inner))}?" if inner else ""
        raise RecordingError(f'compare: the directory "{path}" holds no recordings ({_PATTERN}){hint}')
    return found


def _compared(
    names: tuple[str, str], base: Sequence[Recording], new: Sequence[Recording], confidence: float
) -> Comparison:
    pair = pair_variants(names, base, new)
    one, other = pair or (Variant.of(names[0], base), Variant.of(names[1], new))
    why = blocker(one, other)
    if why is not None:
        raise UsageError(f"compare: {why}")
    return compare(one, other, confidence=confidence, paired=pair is not None)
