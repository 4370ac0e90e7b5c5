"""Input of every report: recordings, their summary and their aggregate, and the words that several formats share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import Finding, FindingKind, awaits_replies
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.report.content.fault_names import fault_phrase
from ws_load_test.report.content.labeled import sentence
from ws_load_test.report.content.plans import RecordedPlans
from ws_load_test.report.content.run_failure import RunFailure, failure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.metrics.recording import Recording

RESPONSE, SERVICE = "response_time_ns", "service_time_ns"
"""Names of two histograms of a tally."""


@dataclass(frozen=True)
class Results:
    """One recording, or several taken together."""

    recordings: Sequence[Recording]
    summary: Summary
    """Summary of the recordings, made by `summarize`."""
    aggregate: Aggregate
    """Aggregate of the recordings, made by `aggregate`."""

    @cached_property
    def plans(self) -> RecordedPlans:
        """Plans of the recordings."""
        return RecordedPlans.of(self.recordings)

    @cached_property
    def findings(self) -> list[Finding]:
        """Reasons to doubt the numbers."""
        return diagnose(self.recordings, self.aggregate)

    @property
    def pairing_findings(self) -> list[Finding]:
        """Findings that put every response time in doubt."""
        return [finding for finding in self.findings if finding.kind is FindingKind.PAIRING]

    @cached_property
    def awaits_replies(self) -> bool:
        """False where no reply was awaited (``--match none``), so that there are no response times."""
        return awaits_replies(self.recordings)

    @property
    def started_ns(self) -> int:
        """Start of the first run, in ns since 1970-01-01 UTC."""
        return min(recording.header.started_ns for recording in self.recordings)

    @cached_property
    def failure(self) -> RunFailure | None:
        """Reason why the run itself failed, whatever its thresholds say; None where it did not."""
        return failure_of(self.recordings, self.summary)

    @property
    def passed(self) -> bool:
        """True where the run itself and all of its thresholds passed."""
        return self.summary.verdict.passed and self.failure is None

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the numbers, saturation of the generator first."""
        return [*self.summary.generator.reasons, *self.summary.warnings]

    @staticmethod
    def has_service_times(recording: Recording) -> bool:
        """Returns True where service times were recorded beside the response times."""
        return any(SERVICE in interval.encoded_tally for interval in recording.intervals)

    def example_of(self, fault: str) -> str:
        """Returns a sentence about a kind of fault: the first recorded one, or the phrase for its kind."""
        for recording in self.recordings:
            for interval in recording.intervals:
                if example := interval.fault_examples.get(fault):
                    return sentence(example)
        return sentence(fault_phrase(fault))
