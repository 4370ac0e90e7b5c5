"""Comparison of two variants: the difference of each metric, its confidence interval, and a verdict.

`estimates` has the arithmetic. If no metric differs, the probability that any is reported as different is at most
1 - confidence: the metrics share that error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.analysis.comparison.estimates import (
    Estimate,
    Estimator,
    difference_of,
    differences_of,
    point_estimate,
)
from ws_load_test.analysis.comparison.metrics import (
    INFORMAL,
    METRICS,
    ComparedMetric,
    Difference,
    Verdict,
    step_metrics,
)
from ws_load_test.analysis.comparison.samples import Variant
from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.analysis.findings import join_and
from ws_load_test.common.units import format_share

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
"""Default probability that no metric is reported as different if none is."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of a new variant from a base."""

    base: Variant
    new: Variant
    paired: bool
    """True if unit k of one variant belongs to unit k of the other."""
    confidence: float
    """Probability that no metric is reported as different if none is."""
    differences: tuple[Difference, ...]
    left_out: tuple[tuple[ComparedMetric, str], ...]
    """Metrics that are not compared, each with the reason, a clause."""
    inconclusive_reason: str | None
    """Reason why nothing can be concluded, a sentence without a full stop; None if something can."""
    doubted_times: str | None = None
    """Reason why the times of replies are not compared, a clause: they are perhaps those of other messages."""

    @property
    def unanswered_variant(self) -> Variant | None:
        """The only variant without a reply; None if both or neither got replies."""
        counts = [variant.total.received for variant in (self.base, self.new)]
        if all(counts) or not any(counts):
            return None
        return self.base if not counts[0] else self.new

    @property
    def unit(self) -> str:
        """Name of the new variant's units: rounds, recordings, or blocks of intervals."""
        return "rounds" if self.paired else "recordings" if self.new.unit_is_recording else "blocks of intervals"

    @property
    def unanswered_recordings(self) -> int:
        """Recordings of the new variant without a reply; 0 if there are such recordings of the base too."""
        silent = [sum(not unit.received for unit in variant.units) for variant in (self.base, self.new)]
        return silent[1] if self.new.unit_is_recording and not silent[0] else 0

    @property
    def deciding(self) -> tuple[Difference, ...]:
        """Differences on which the verdict over all rests: all but that of `INFORMAL`, unless it is the only one."""
        return tuple(one for one in self.differences if one.metric.name != INFORMAL) or self.differences

    @property
    def overall(self) -> Verdict:
        """The verdict over all metrics: worse if any is worse, else better if any is better."""
        verdicts = {difference.verdict for difference in self.deciding}
        order = (Verdict.WORSE, Verdict.BETTER, Verdict.NO_DIFFERENCE)
        if self.unanswered_variant is not None:
            return Verdict.WORSE if self.unanswered_variant is self.new else Verdict.BETTER
        return next((verdict for verdict in order if verdict in verdicts), Verdict.UNKNOWN)

    def failing(self, limit: float) -> str | None:
        """Returns why the new variant fails, a clause: worse by more than `limit`, a share of the base. None if not.

        An inconclusive comparison fails too: a run that is too short must not pass a check for regressions.
        """
        if self.unanswered_variant is self.new:
            return "it got no answer at all"
        if self.unanswered_variant is self.base:
            return f"nothing can be concluded: {self.base.name} got no answer at all"
        if self.unanswered_recordings:
            return f"it got no answer at all in {self.unanswered_recordings} of {len(self.new.units)} {self.unit}"
        worse = [difference.metric.word for difference in self.regressions(limit)]
        if worse:
            return f"{join_and(worse)} {'is' if len(worse) == 1 else 'are'} worse by more than {format_share(limit)}"
        if self.inconclusive_reason is not None:
            return f"nothing can be concluded: {self.inconclusive_reason}"
        return None if self.doubted_times is None else f"times were not judged: {self.doubted_times}"

    def regressions(self, limit: float) -> list[Difference]:
        """Returns the metrics that are worse by more than `limit`, a share of the base."""
        return [difference for difference in self.differences if difference.is_regression(limit)]


def compare(
    base: Variant,
    new: Variant,
    *,
    confidence: float = CONFIDENCE,
    paired: bool = False,
    metrics: Sequence[ComparedMetric] = METRICS,
) -> Comparison:
    """Compares a new variant with a base.

    Args:
        base: Variant to compare with.
        new: Variant whose changes are reported.
        confidence: Probability that no metric is reported as different if none is; between 0.5 and 1.
        paired: True if unit k of one variant was measured right before or after unit k of the other.
        metrics: Metrics to compare; the fewer they are, the narrower their intervals at the same confidence. All of
            them are compared with those of each step of a scenario.
    """
    if metrics == METRICS:
        metrics = (*METRICS, *step_metrics(base.total, new.total))
    compared, left_out = [], []
    doubted = [variant.name for variant in (base, new) if variant.pairing_is_doubted]
    doubt = f"replies of {join_and(doubted)} are perhaps not those of their messages" if doubted else None
    for metric in metrics:
        reason = _why_left_out(metric, base, new)
        if reason is None and metric.unit == "ns" and metric.of in {"response", "first"}:
            reason = doubt
        if reason is None:
            compared.append(metric)
        elif reason:
            left_out.append((metric, reason))
    inconclusive = _why_inconclusive(base, new, paired=paired)
    if inconclusive is None and not compared:
        inconclusive = "there is no metric that both sides have measured"
    if inconclusive is None:
        estimator = Estimator(base, new, compared, paired=paired)
        differences = tuple(differences_of([estimator.estimate(metric) for metric in compared], 1 - confidence))
    else:
        differences = tuple(_inconclusive_difference(metric, base, new) for metric in compared)
    return Comparison(base, new, paired, confidence, differences, tuple(left_out), inconclusive, doubt)


_NO_TIMES = {
    "response": "nothing was answered",
    "connect": "no connection opened",
    "first": "{} has no times of first messages",
    "delivery": "{} has no deliveries",
    "last": "{} has no publish whose last delivery was followed",
    "step": "{} has no times of step {}",
}
"""Reasons why there are no times, by what they are of."""
_SLOWER = {"delivery": "deliveries", "last": "publishes"}
"""Nouns of what is timed, where they are not replies."""


def _inconclusive_difference(metric: ComparedMetric, base: Variant, new: Variant) -> Difference:
    """Returns a difference without an interval."""
    values = point_estimate(metric, base.total), point_estimate(metric, new.total)
    estimate = Estimate(metric, *values, difference_of(metric, *values), math.inf, 1.0)
    return estimate.to_difference(math.inf, Verdict.UNKNOWN)


def _why_left_out(metric: ComparedMetric, base: Variant, new: Variant) -> str | None:
    """Returns why a metric is not compared, a clause; "" if a report need not mention it, None if it is compared."""
    totals = (base.total, new.total)
    if metric.of == "connect" and not (base.unit_is_recording and new.unit_is_recording):
        # Each recording opened its connections once, so the variation of connect times is unknown.
        return ""
    if metric.of == "step" and any(_is_mostly_outside(metric, variant) for variant in (base, new)):
        # Most of a step that a session takes once comes before the load, in no block.
        return ""
    if metric.is_optional and not any(metric.times(total).count for total in totals):
        # An answer is one message on both sides, or nothing was answered, which other metrics report.
        return ""
    if metric.unit == "share":
        return None if all(metric.share(total)[1] for total in totals) else "no message was due"
    if (metric.name == "rate" or metric.of == "response") and all(
        total.delivery.count and not total.response.count for total in totals
    ):
        # No acknowledgement was awaited in either fan-out.
        return ""
    if metric.name == "rate":
        return None if all(total.answered_in_window for total in totals) else "nothing was answered"
    for variant in (base, new):
        count = metric.times(variant.total).count
        if not count:
            return _NO_TIMES[metric.of].format(variant.name, metric.step)
        if metric.percentile and too_few_in_tail(metric.percentile, count):
            return "" if metric.of == "connect" else f"too few {_SLOWER.get(metric.of, 'replies')} were slower"
    return None


def _is_mostly_outside(metric: ComparedMetric, variant: Variant) -> bool:
    """Returns True if a variant that is cut into blocks has more than half of the times in none of them."""
    return metric.times(variant.outside_units).count * 2 > metric.times(variant.total).count


def _why_inconclusive(base: Variant, new: Variant, *, paired: bool) -> str | None:
    """Returns why no metric of these variants can be compared, a clause; None if some can."""
    if all(variant.total.errors >= variant.total.requested for variant in (base, new)):
        return "nothing succeeded on either side"
    for variant in (base, new):
        units, needed = len(variant.units), variant.min_units
        if units >= needed:
            continue
        if paired:
            pairs = "is 1 pair" if units == 1 else f"are {units} pairs"
            return f"there {pairs} of rounds, and it takes {needed} to tell a difference from chance"
        plural = "s" * (units != 1)
        if variant.unit_is_recording:
            return (
                f"{variant.name} has {units} recording{plural}, and it takes {needed} repeats to tell a difference from"
                " chance"
            )
        return (
            f"{variant.name} was measured for {units} interval{plural}, and it takes {needed} to tell a"
            " difference from chance: run longer, or compare directories of repeats"
        )
    return None
