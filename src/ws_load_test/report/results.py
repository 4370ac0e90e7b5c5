"""What an export is made from, and the words and numbers that several formats share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_count
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labelled import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.metrics.recording import Recording

RESPONSE, SERVICE = "response_time_ns", "service_time_ns"
"""Rooms of a tally."""


@dataclass(frozen=True, slots=True)
class Results:
    """One recording, or several taken together."""

    recordings: Sequence[Recording]
    summary: dict[str, Any]
    """What `summarise` says of them."""
    digest: Aggregate
    """What `digest` made of them."""

    @property
    def started_ns(self) -> int:
        """The start of the first run, in ns since 1970-01-01 UTC."""
        return min(recording.header.started_ns for recording in self.recordings)

    @property
    def lost_workers(self) -> int:
        """Workers that ended before their run did."""
        return sum(len(recording.trailer.lost_workers) for recording in self.recordings if recording.trailer)

    @property
    def failure(self) -> str | None:
        """Why the run itself did not pass, whatever was asked of its numbers; None where it did."""
        if self.summary["interrupted"]:
            killed = any(recording.trailer is None for recording in self.recordings)
            return (
                "killed before its end: the numbers are partial" if killed else "interrupted: the numbers are partial"
            )
        if self.lost_workers:
            return (
                "a worker was lost"
                if self.lost_workers == 1
                else f"{format_count(self.lost_workers)} workers were lost"
            )
        if not self.summary["connections"]["opened"]:
            return "could not open a single connection"
        checks = self.summary["verdict"]["checks"]
        if not self.summary["verdict"]["passed"] and all(check["passed"] for check in checks):
            # Not one that this version knows of, and a run that did not pass must not look as if it had.
            return "the verdict is that it failed"
        return None

    @property
    def passed(self) -> bool:
        """Whether the run passed, and all that was asked of its numbers."""
        return bool(self.summary["verdict"]["passed"]) and self.failure is None

    @property
    def warnings(self) -> list[str]:
        """What there is to say against the numbers: the generator's own failings first."""
        return [*self.summary["generator"]["reasons"], *self.summary["warnings"]]

    @staticmethod
    def has_service_times(recording: Recording) -> bool:
        """Returns whether service times were recorded beside the response times."""
        return any(SERVICE in interval.encoded_tally for interval in recording.intervals)

    def example_of(self, fault: str) -> str:
        """Returns a sentence about a kind of fault: what was recorded first, or what it is called."""
        for recording in self.recordings:
            for interval in recording.intervals:
                if example := interval.fault_examples.get(fault):
                    return sentence(example)
        return sentence(fault_phrase(fault))
