"""What is compared of two sides, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.analysis.comparison.samples import ResamplingUnit
    from ws_load_test.metrics.histogram import Histogram


class Verdict(StrEnum):
    """What the data say of a metric."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One thing that is compared."""

    name: str
    """As thresholds name it: ``p99``, ``connect.p50``, ``rate``."""
    label: str
    """What a report calls it."""
    unit: str
    """``ns``, ``per_s`` or ``share``."""
    percentile: str = ""
    """Of a quantile, in per cent."""
    connect: bool = False
    """Of the connect times, which a run has only at its beginning."""
    more_is_better: bool = False

    @property
    def word(self) -> str:
        """What a sentence calls it: ``p99``, ``throughput``."""
        return self.name if self.percentile else self.label

    def times(self, unit: ResamplingUnit) -> Histogram:
        """Returns the times that it is taken of."""
        return unit.connect if self.connect else unit.response


METRICS = (
    *(ComparedMetric(f"p{p}", f"p{p}", "ns", p) for p in ("10", "50", "90", "99", "99.9")),
    ComparedMetric("mean", "mean", "ns"),
    *(ComparedMetric(f"connect.p{p}", f"connect p{p}", "ns", p, connect=True) for p in ("50", "99")),
    ComparedMetric("rate", "throughput", "per_s", more_is_better=True),
    ComparedMetric("errors", "errors", "share"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one metric."""

    metric: ComparedMetric
    base: float
    new: float
    change: float
    """Of a share the difference, of all else the ratio less 1."""
    low: float | None
    """The ends of its interval, None where the data set none."""
    high: float | None
    verdict: Verdict

    def is_regression(self, limit: float) -> bool:
        """Returns whether it is worse, and by more than a part of the base: 0.05 of it, for example."""
        if self.verdict is not Verdict.WORSE:
            return False
        if self.metric.unit == "share":
            return self.new > self.base * (1 + limit)
        return (-self.change if self.metric.more_is_better else self.change) > limit
