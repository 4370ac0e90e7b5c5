"""Comparison of recordings, files and directories of repeats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.analysis.comparison.comparability import blocker
from ws_load_test.analysis.comparison.compare import CONFIDENCE, Comparison
from ws_load_test.analysis.comparison.compare import compare as compare_variants
from ws_load_test.analysis.comparison.metrics import METRICS, ComparedMetric, metrics_named
from ws_load_test.analysis.comparison.samples import Variant, pair_variants
from ws_load_test.analysis.recordings import read_recording
from ws_load_test.common.errors import RecordingError, UsageError
from ws_load_test.metrics.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    Side = Recording | str | os.PathLike[str] | Sequence[Recording | str | os.PathLike[str]]
    """A recording, a file or directory of recordings, or several of these."""

PATTERN = "*.jsonl"
"""Names of the recordings in a directory."""


def compare(
    base: Side,
    new: Side,
    *,
    confidence: float = CONFIDENCE,
    names: tuple[str, str] = ("base", "new"),
    metrics: Sequence[str] = (),
) -> Comparison:
    """Compares two runs, or two series of repeats.

    Rounds of one experiment (``ws-load-test ab -o``) are compared in pairs.

    Args:
        base: Recordings to compare with.
        new: Recordings whose changes are reported.
        confidence: Probability, from 0.5 to 0.9999, that no metric is reported as different if none is.
        names: Names of both sides in sentences.
        metrics: Names of the metrics to compare, such as p99; empty: all.

    Raises:
        RecordingError: A file is not a recording, or a directory holds none.
        UsageError: The sides cannot be compared, the confidence is out of range, or there is no such metric.
    """
    check_confidence(confidence)
    try:
        compared = metrics_named(metrics)
    except ValueError as error:
        raise UsageError(f"metrics: {error}") from None
    return compare_recordings(names, _read(base), _read(new), confidence, compared)


def check_confidence(confidence: float) -> None:
    """Raises UsageError for a confidence out of range."""
    if not 0.5 <= confidence <= 0.9999:
        raise UsageError(f"confidence {confidence} is not within 0.5 to 0.9999")


def compare_recordings(
    names: tuple[str, str],
    base: Sequence[Recording],
    new: Sequence[Recording],
    confidence: float,
    metrics: Sequence[ComparedMetric] = METRICS,
) -> Comparison:
    """Compares recordings, in pairs if they are rounds of one experiment.

    Raises:
        UsageError: The sides cannot be compared.
    """
    pair = pair_variants(names, base, new)
    variants = pair or (Variant.of(names[0], base), Variant.of(names[1], new))
    reason = blocker(*variants)
    if reason is not None:
        raise UsageError(f"compare: {reason}")
    return compare_variants(*variants, confidence=confidence, paired=pair is not None, metrics=metrics)


def recording_files(path: str) -> list[str]:
    """Returns the recordings in a directory, or the path itself if it is not a directory.

    Raises:
        RecordingError: The directory cannot be read, or holds no recordings.
    """
    directory = Path(path)
    try:
        if not directory.is_dir():
            return [path]
        # `glob` would find nothing, without an error, in a directory that must not be listed.
        entries = sorted(directory.iterdir())
        files = [str(entry) for entry in entries if entry.match(PATTERN) and entry.is_file()]
        inner = [] if files else [entry for entry in entries if entry.is_dir() and any(entry.glob(PATTERN))]
    except OSError as error:
        raise RecordingError(f'compare: cannot look into the directory "{path}": {error.strerror}') from None
    if not files:
        hint = f"; did you mean {' '.join(map(str, inner))}?" if inner else ""
        raise RecordingError(f'compare: the directory "{path}" holds no recordings ({PATTERN}){hint}')
    return files


def _read(source: Side) -> list[Recording]:
    if isinstance(source, Recording):
        return [source]
    if isinstance(source, (str, os.PathLike)):
        return [read_recording(file) for file in recording_files(os.fspath(source))]
    recordings = [recording for part in source for recording in _read(part)]
    if not recordings:
        raise UsageError("compare: a side has no recordings; give one at least")
    return recordings
