"""Values of conditions: what a condition compares with its limit, of a whole run or of a part of it.

Percentiles are those of merged histograms, and shares are compared as exact fractions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ws_load_test.analysis.ages import age_statistic
from ws_load_test.analysis.condition_parts import FIELDS, counted_by
from ws_load_test.analysis.scenario import failures_of
from ws_load_test.analysis.whole_run import NO_WAVES, WholeRun
from ws_load_test.metrics.catalog import CONDITION_METRICS, WHOLE_RUN
from ws_load_test.metrics.metric_set import rows_of
from ws_load_test.metrics.scenario_metrics import ReactionTally
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.thresholds import DENOMINATORS, needs_replies

if TYPE_CHECKING:
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.scenario_metrics import RoleTally
    from ws_load_test.plan.thresholds import Condition, ConditionMetric

_RATES = {"sent_rate": "sent", "on.NAME.rate": "seen_in_window"}
"""Counts that rates are of; those of the others are the messages answered in the measured time."""
_NOT_AWAITED = "no reply was awaited (--match none)"


@dataclass(frozen=True, slots=True)
class ConditionScope:
    """Data that a condition is evaluated on: a whole run, a run so far, or an interval of it."""

    tally: Tally
    measured_ns: int
    """Measured time."""
    awaits_replies: bool = True
    """False where no reply was awaited (``--match none``)."""
    whole_run: WholeRun = NO_WAVES
    """Waves and nodes, of which only a whole run has any."""

    def value(self, condition: Condition) -> Fraction | None:
        """Returns the value that a condition compares with its limit, in the condition's unit; None without one."""
        metric = condition.metric
        if not self.awaits_replies and needs_replies(metric):
            return None
        if metric.name in WHOLE_RUN:
            return self.whole_run.value(metric.name, is_share=condition.unit == "share")
        counted = counted_by(self.tally, metric)
        if metric.kind in ("time", "duration"):
            return _time(counted, metric)
        if metric.kind == "rate":
            count = int(getattr(counted, _RATES.get(metric.name, "answered_in_window")))
            return Fraction(count * 10**9, self.measured_ns) if self.measured_ns else None
        if metric.kind == "size":
            return Fraction(int(getattr(self.tally, metric.name)))
        if metric.kind == "ratio":
            return skew(self.tally.subscriber_mean_time_ns)
        count = self.count(metric)
        if condition.unit == "count":
            return Fraction(count)
        whole = sum(int(getattr(counted, name)) for name in DENOMINATORS[metric.name])
        if metric.name == "out_of_order":
            whole += self.tally.deliveries_expected
        if whole:
            return Fraction(count, whole)
        # Everything that is given up in an interval can have been sent before it.
        return Fraction(1) if count else None

    def count(self, metric: ConditionMetric) -> int:
        """Returns the count of a metric."""
        tally = self.tally
        if metric.name == "faults":
            prefix = f"{metric.statistic}:"
            return sum(
                count
                for key, count in tally.faults.items()
                if not metric.statistic or key == metric.statistic or key.startswith(prefix)
            )
        if metric.name == "errors":
            return errors_of(tally, awaits_replies=self.awaits_replies)
        if metric.name == "reach":
            return tally.deliveries
        if metric.name == "out_of_order":
            return tally.out_of_order + tally.deliveries_out_of_order
        if metric.name == "gaps.longest":
            return max(map(int, tally.delivery_gaps), default=0)
        counted = counted_by(tally, metric)
        if metric.name == "steps.NAME.failed" and isinstance(counted, Tally):
            return failures_of(counted)
        value: int | Counter[str] = getattr(counted, CONDITION_METRICS[metric.name].name)
        return value if isinstance(value, int) else value.total()

    def why_no_value(self, condition: Condition) -> str:
        """Returns the reason why a condition has no value here."""
        metric = condition.metric
        if not self.awaits_replies and needs_replies(metric):
            return _NOT_AWAITED
        spec = CONDITION_METRICS[metric.name]
        if spec.no_value and metric.kind != "count":
            return spec.no_value
        rows = rows_of(type(counted_by(self.tally, metric)))
        return " and ".join(filter(None, (rows[name].no_value for name in spec.percent_of)))


def _time(counted: Tally | ReactionTally | RoleTally, metric: ConditionMetric) -> Fraction | None:
    """Returns a statistic of a time in whole ns, the longest of a duration; None without values."""
    if isinstance(counted, Tally):
        return _statistic(times_of(counted, metric.name), metric.statistic)
    name = CONDITION_METRICS[metric.name].name
    if name == "age_ns" and isinstance(counted, ReactionTally):
        return age_statistic(counted, metric.statistic)
    return _statistic(getattr(counted, name), metric.statistic or "max")


def time_count(tally: Tally, metric: ConditionMetric) -> int:
    """Returns the number of values that a time rests on."""
    counted = counted_by(tally, metric)
    if isinstance(counted, Tally):
        return times_of(counted, metric.name).count
    name = CONDITION_METRICS[metric.name].name
    if name == "age_ns" and isinstance(counted, ReactionTally):
        return counted.ages
    times: Histogram = getattr(counted, name)
    return times.count


def times_of(tally: Tally, name: str) -> Histogram:
    """Returns the histogram of a time by its name in conditions."""
    if name == "delivery" and tally.same_host_delivery_time_ns.count:
        # Clocks of several machines differ; those of one do not.
        return tally.same_host_delivery_time_ns
    field = CONDITION_METRICS[name].name
    times: Histogram = tally.service_times_ns if field == "service_time_ns" else getattr(tally, field)
    return times


def histograms_and_labels(name: str) -> set[str]:
    """Returns the fields of a tally besides its counts that a condition's metric is worked out of."""
    more = {"service": "response_time_ns", "delivery": "same_host_delivery_time_ns"}
    spec = CONDITION_METRICS[name]
    return {FIELDS.get(spec.unit_name, spec.name), more.get(name, "faults")}


def skew(means: Histogram) -> Fraction | None:
    """Returns the p99 of the subscribers' mean times divided by their median; None without values."""
    median, high = means.percentiles(("50", "99"))
    return Fraction(high) / Fraction(median) if median and high else None


def errors_of(tally: Tally, *, awaits_replies: bool) -> int:
    """Returns the number of due messages and dialed sessions that failed, each counted once."""
    # Not the faults: those that ended a session would count twice.
    unanswered = tally.unanswered if awaits_replies else 0
    return unanswered + tally.dropped + tally.faults["check-failed"] + tally.failed + tally.lost


def _statistic(times: Histogram, name: str) -> Fraction | None:
    """Returns a statistic in whole ns, as in a summary; None without values."""
    if not times.count:
        return None
    if name == "mean":
        return Fraction((times.sum + times.count // 2) // times.count)
    value = {"min": times.min, "max": times.max}[name] if name in ("min", "max") else None
    if name == "stdev":
        value = round(times.stdev() or 0.0)
    if value is None:
        # As text, so that 99.9 is exact, where the nearest double is not.
        value = times.percentiles((name,))[0]
    return None if value is None else Fraction(value)


def to_json_number(value: Fraction, unit: str) -> float | int:
    """Returns a value as a JSON number: an integer for ns, bytes and counts, else a double."""
    return float(value) if unit in ("share", "per_s", "number") else round(value)
