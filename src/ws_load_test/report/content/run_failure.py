"""Failures of a run itself, apart from its thresholds: the words that every report uses for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.analysis.verdict import NOTHING_MEASURED
from ws_load_test.common.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.metrics.recording import Recording


@dataclass(frozen=True, slots=True)
class RunFailure:
    """One reason why a run failed whatever its numbers are."""

    headline: str
    """Words for the top of a report, with a capital letter."""
    text: str
    """The same as a part of a sentence."""
    is_partial: bool = False
    """True where the run did not reach its end by hand or by a kill, so that its numbers are partial."""
    is_error: bool = False
    """True where the run was kept from its end, which is no failing of the target."""


def failure_of(recordings: Sequence[Recording], summary: Summary) -> RunFailure | None:
    """Returns the reason that spoils the run most; None where the run itself is good."""
    if summary.interrupted:
        if any(recording.trailer is None for recording in recordings):
            headline, why = "Partial: killed, the recording has no end", "killed before its end"
        else:
            headline, why = "Partial: interrupted", "interrupted"
        return RunFailure(headline, f"{why}: the numbers are partial", is_partial=True, is_error=True)
    lost = sum(len(recording.trailer.lost_workers) for recording in recordings if recording.trailer)
    if lost:
        words = "a worker was lost" if lost == 1 else f"{format_count(lost)} workers were lost"
        return _failure(words, is_error=True)
    verdict = summary.verdict
    if verdict.reason in NOTHING_MEASURED and verdict.why:
        return _failure(verdict.why)
    if not verdict.passed and not verdict.failed_checks:
        # A reason that this version does not know: a run that did not pass must not look as if it had.
        return _failure("the verdict is that it failed")
    return None


def _failure(words: str, *, is_error: bool = False) -> RunFailure:
    return RunFailure(words[:1].upper() + words[1:], words, is_error=is_error)
