"""Metrics that a comparison covers, and their differences."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from ws_load_test.common.units import quoted
from ws_load_test.metrics.scenario_metrics import split_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.comparison.samples import ResamplingUnit
    from ws_load_test.metrics.histogram import Histogram


Source = Literal["response", "connect", "first", "delivery", "last", "step"]
"""Fields of a `ResamplingUnit` with times, or one of its steps."""
STEP_PERCENTILES = ("50", "99")
"""Percentiles of each step that are compared unless others are named: each more metric makes all intervals wider."""


class Verdict(StrEnum):
    """Result of the comparison of a metric."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """A metric of both variants."""

    name: str
    """Name in thresholds: ``p99``, ``connect.p50``, ``rate``."""
    label: str
    """Name in a report's table."""
    unit: str
    """``ns``, ``per_s`` or ``share``."""
    percentile: str = ""
    """Percentile of the times, such as ``99.9``; empty for other metrics."""
    of: Source = "response"
    """Times, or counts, that it is computed from: connect times, which a run has only at its beginning; times to the
    first message that a message causes, which only streams and fan-outs have; deliveries, and the last delivery of each
    publish, which only fan-outs have."""
    more_is_better: bool = False
    step: str = ""
    """Name of a step of a scenario, in all roles that have it, or ROLE/NAME; empty: it is of no step."""

    @property
    def word(self) -> str:
        """Name in a sentence: ``p99``, ``throughput``."""
        return self.name if self.percentile else self.label

    def times(self, unit: ResamplingUnit) -> Histogram:
        """Returns the times that the metric is computed from."""
        if self.of == "step":
            return unit.times_of_step(self.step)
        times: Histogram = getattr(unit, self.of)
        return times

    @property
    def source(self) -> str:
        """Key of the times that it is computed from: metrics of one key share them."""
        return f"step {self.step}" if self.step else self.of

    def share(self, unit: ResamplingUnit) -> tuple[int, int]:
        """Returns the count of a share, and the whole that it is a share of."""
        return (unit.missing, unit.expected) if self.of == "delivery" else (unit.errors, unit.requested)

    @property
    def is_optional(self) -> bool:
        """True where only streams or fan-outs have it, so that a report need not mention that it is absent."""
        return self.of in {"first", "delivery", "last", "step"}


METRICS = (
    *(ComparedMetric(f"p{p}", f"p{p}", "ns", p) for p in ("10", "50", "90", "99", "99.9")),
    ComparedMetric("mean", "mean", "ns"),
    *(ComparedMetric(f"first.p{p}", f"first p{p}", "ns", p, of="first") for p in ("50", "95")),
    *(ComparedMetric(f"delivery.p{p}", f"delivery p{p}", "ns", p, of="delivery") for p in ("50", "99")),
    ComparedMetric("last.p50", "last p50", "ns", "50", of="last"),
    *(ComparedMetric(f"connect.p{p}", f"connect p{p}", "ns", p, of="connect") for p in ("50", "99")),
    ComparedMetric("rate", "throughput", "per_s", more_is_better=True),
    ComparedMetric("errors", "errors", "share"),
    ComparedMetric("missing", "missing", "share", of="delivery"),
)


def step_metric(step: str, percentile: str) -> ComparedMetric:
    """Returns the metric of a step's response time."""
    return ComparedMetric(
        f"steps.{step}.p{percentile}", f"{step} p{percentile}", "ns", percentile, of="step", step=step
    )


def step_metrics(*units: ResamplingUnit) -> tuple[ComparedMetric, ...]:
    """Returns the metrics of the steps that were timed: by their name alone, where one role has it."""
    keys = list(dict.fromkeys(key for unit in units for key, times in unit.steps.items() if times.count))
    names = Counter(split_key(key)[1] for key in keys)
    shown = [key if names[split_key(key)[1]] > 1 else split_key(key)[1] for key in keys]
    return tuple(step_metric(step, percentile) for step in shown for percentile in STEP_PERCENTILES)


def _named_step(name: str) -> ComparedMetric | None:
    """Returns the metric that ``steps.NAME.p99`` is; None where it is none of a step."""
    found = _STEP.fullmatch(name)
    return None if found is None or float(found[2]) > 100 else step_metric(found[1], found[2])


METRIC_NAMES = tuple(metric.name for metric in METRICS)
_STEP = re.compile(r"steps\.([^.]+)\.p(\d{1,3}(?:\.\d{1,4})?)", re.ASCII)
INFORMAL = "p10"
"""Metric that a verdict over all never rests on alone: a fast tenth of the replies matters to few users."""


def metrics_named(names: Sequence[str]) -> tuple[ComparedMetric, ...]:
    """Returns the metrics with these names, in the order of reports; all of them if there are no names.

    Raises:
        ValueError: There is no such metric.
    """
    wanted = [name.strip() for one in names for name in one.split(",")]
    steps = [metric for name in wanted if (metric := _named_step(name)) is not None]
    for name in wanted:
        if name not in METRIC_NAMES and _named_step(name) is None:
            near = difflib.get_close_matches(name, METRIC_NAMES, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(METRIC_NAMES)}"
            raise ValueError(f"{quoted(name)} is not compared; {meant}")
    return (*(metric for metric in METRICS if metric.name in wanted or not wanted), *dict.fromkeys(steps))


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of one metric between two variants."""

    metric: ComparedMetric
    base: float
    new: float
    change: float
    """``new - base`` of a share, ``new / base - 1`` of any other metric."""
    low: float | None
    """Lower end of the confidence interval of `change`; None if the data give none."""
    high: float | None
    """Upper end."""
    verdict: Verdict

    def is_regression(self, limit: float) -> bool:
        """Returns True if the metric is worse by more than `limit`, a share of the base such as 0.05."""
        if self.verdict is not Verdict.WORSE:
            return False
        if self.metric.unit == "share":
            return self.new > self.base * (1 + limit)
        return (-self.change if self.metric.more_is_better else self.change) > limit
