"""Sides of a comparison from files: recordings, or directories of repeats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.analysis.comparison.comparability import blocker
from ws_load_test.analysis.comparison.compare import CONFIDENCE, Comparison
from ws_load_test.analysis.comparison.compare import compare as compare_variants
from ws_load_test.analysis.comparison.samples import Variant, pair_variants
from ws_load_test.common.errors import RecordingError, UsageError
from ws_load_test.metrics.recording import Recording
from ws_load_test.metrics.recording_file import read_recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    Side = Recording | str | os.PathLike[str] | Sequence[Recording | str | os.PathLike[str]]
    """A recording, a file or directory of recordings, or several of these."""

PATTERN = "*.jsonl"
"""Names of the recordings in a directory."""


def compare(
    base: Side, new: Side, *, confidence: float = CONFIDENCE, names: tuple[str, str] = ("base", "new")
) -> Comparison:
    """Compares two runs, or two series of repeats.

    Rounds of one series (``ws-load-test ab -o``) are compared in pairs.

    Args:
        base: The side that the other is measured against.
        new: The other side.
        confidence: Chance, from 0.5 to 0.9999, that no metric is called different if none is.
        names: Names of the sides in sentences.

    Raises:
        RecordingError: A file is not a recording, or a directory holds none.
        UsageError: The sides cannot be compared, or the confidence is out of range.
    """
    if not 0.5 <= confidence <= 0.9999:
        raise UsageError(f"compare: confidence {confidence} is not within 0.5 to 0.9999")
    return compare_recordings(names, _read(base), _read(new), confidence)


def compare_recordings(
    names: tuple[str, str], base: Sequence[Recording], new: Sequence[Recording], confidence: float
) -> Comparison:
    """Compares recordings, in pairs where they are rounds of one series.

    Raises:
        UsageError: The sides cannot be compared.
    """
    pair = pair_variants(names, base, new)
    one, other = pair or (Variant.of(names[0], base), Variant.of(names[1], new))
    why = blocker(one, other)
    if why is not None:
        raise UsageError(f"compare: {why}")
    return compare_variants(one, other, confidence=confidence, paired=pair is not None)


def recording_files(path: str) -> list[str]:
    """Returns the recordings of a directory, or a path that is not one.

    Raises:
        RecordingError: The directory cannot be read, or holds no recordings.
    """
    place = Path(path)
    try:
        if not place.is_dir():
            return [path]
        # A pattern would find nothing in a directory without the right to list it.
        inside = sorted(place.iterdir())
        found = [str(file) for file in inside if file.match(PATTERN) and file.is_file()]
        inner = [] if found else [child for child in inside if child.is_dir() and any(child.glob(PATTERN))]
    except OSError as error:
        raise RecordingError(f'compare: cannot look into the directory "{path}": {error.strerror}') from None
    if not found:
        hint = f"; did you mean {' '.join(map(str, inner))}?" if inner else ""
        raise RecordingError(f'compare: the directory "{path}" holds no recordings ({PATTERN}){hint}')
    return found


def _read(side: Side) -> list[Recording]:
    if isinstance(side, Recording):
        return [side]
    if isinstance(side, (str, os.PathLike)):
        return [read_recording(file) for file in recording_files(os.fspath(side))]
    recordings = [recording for one in side for recording in _read(one)]
    if not recordings:
        raise UsageError("compare: a side has no recordings; give one at least")
    return recordings
