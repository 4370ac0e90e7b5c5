"""Conditions judged on what was recorded: what a run must not be, and whether it was.

A condition without a value (a percentile of no answers) has failed: nobody who asks for fast replies means that none
at all is as good. Percentiles are those of merged histograms, and shares are compared as exact fractions.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from ws_load_test.analysis.findings import awaits_nothing
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.metrics.catalog import CONDITION_METRICS, METRICS
from ws_load_test.metrics.recording import AbortEvent
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.thresholds import (
    DENOMINATORS,
    RATES,
    Condition,
    needs_replies,
    parse_condition,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Interval, Recording
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.thresholds import ConditionMetric

TOLERANCE = 0.99
"""Of a time: intervals end when their workers get to it, and never quite then."""
_NOT_AWAITED = "no reply was awaited (--match none)"


@dataclass(frozen=True, slots=True)
class ConditionScope:
    """What conditions are judged on: a whole run, a run so far, or an interval of it."""

    tally: Tally
    measured_ns: int
    """How long was measured."""
    awaited: bool = True
    """Whether replies were."""

    def value(self, condition: Condition) -> Fraction | None:
        """Returns what a condition compares with its limit, in the condition's unit; None where there is none."""
        metric = condition.metric
        if not self.awaited and needs_replies(metric):
            return None
        if metric.kind == "time":
            return _statistic(times_of(self.tally, metric.name), metric.statistic)
        if metric.kind == "rate":
            count = self.tally.sent if metric.name == "sent_rate" else self.tally.answered_in_window
            return Fraction(count * 10**9, self.measured_ns) if self.measured_ns else None
        if metric.kind == "size":
            return Fraction(int(getattr(self.tally, metric.name)))
        count = self.count(metric)
        if condition.unit == "count":
            return Fraction(count)
        whole = sum(int(getattr(self.tally, name)) for name in DENOMINATORS[metric.name])
        if whole:
            return Fraction(count, whole)
        # Of an interval: what is given up in it may all have been sent before it.
        return Fraction(1) if count else None

    def count(self, metric: ConditionMetric) -> int:
        """Returns a count, by its name."""
        tally = self.tally
        if metric.name == "faults":
            prefix = f"{metric.statistic}:"
            return sum(
                count
                for key, count in tally.faults.items()
                if not metric.statistic or key == metric.statistic or key.startswith(prefix)
            )
        if metric.name == "errors":
            return errors_of(tally, awaited=self.awaited)
        return int(getattr(tally, metric.name))

    def why_no_value(self, condition: Condition) -> str:
        """Returns why a condition has no value here."""
        metric = condition.metric
        if not self.awaited and needs_replies(metric):
            return _NOT_AWAITED
        spec = CONDITION_METRICS[metric.name]
        if spec.no_value and metric.kind != "count":
            return spec.no_value
        return " and ".join(filter(None, (METRICS[name].no_value for name in spec.percent_of)))


def times_of(tally: Tally, name: str) -> Histogram:
    """Returns the histogram of a time by its name in conditions."""
    times: Histogram = tally.service_times_ns if name == "service" else getattr(tally, CONDITION_METRICS[name].name)
    return times


def errors_of(tally: Tally, *, awaited: bool) -> int:
    """Returns how many messages that were due and sessions that were dialled did not come about."""
    # Each message and each session once; faults would count those a second time that have ended a session.
    unanswered = tally.unanswered if awaited else 0
    return unanswered + tally.dropped + tally.faults["check-failed"] + tally.failed + tally.lost


def _statistic(times: Histogram, part: str) -> Fraction | None:
    """Returns a statistic in whole ns, as a summary has it."""
    if not times.count:
        return None
    if part == "mean":
        return Fraction((times.sum + times.count // 2) // times.count)
    value = {"min": times.min, "max": times.max}[part] if part in ("min", "max") else None
    if part == "stdev":
        value = round(times.stdev() or 0.0)
    if value is None:
        # As text, so that 99.9 is that and not the double beside it.
        value = times.percentiles((part,))[0]
    return None if value is None else Fraction(value)


def to_json_number(value: Fraction, unit: str) -> float | int:
    """Returns a value as JSON has it: integers of ns, bytes and counts, else a double."""
    return float(value) if unit in ("share", "per_s") else round(value)


# --- A whole run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Requested:
    option: str
    """``fail-if`` or ``abort-if``."""
    text: str


def evaluate(
    recordings: Sequence[Recording], digested: Aggregate, duration_ns: int, fail_if: Sequence[str] | None = None
) -> list[ThresholdCheck]:
    """Returns a check for each condition of the recordings, or for each of `fail_if` instead.

    Conditions that stopped a run are in it either way, as they were when they did. Of several recordings, each
    condition is judged on all of them together, and an ``any`` on every interval of each.

    Args:
        recordings: What was recorded.
        digested: Their digest.
        duration_ns: How long was measured.
        fail_if: Conditions that take the place of those that the recordings have.
    """
    sight = ConditionScope(digested.tally, duration_ns, awaited=not awaits_nothing(recordings))
    ends = [recording.trailer for recording in recordings if recording.trailer is not None]
    stopped = {one.condition: one for end in ends for one in end.aborted or ()}
    checks = [_stopping(one) for one in stopped.values()]
    asked = _asked(recordings) if fail_if is None else [_Requested("fail-if", text) for text in dict.fromkeys(fail_if)]
    unjudged = (one for one in asked if one.option == "fail-if" or one.text not in stopped)
    return checks + [_check(one, recordings, sight) for one in unjudged]


def _asked(recordings: Sequence[Recording]) -> list[_Requested]:
    """Returns the recordings' conditions, each once."""
    found: dict[_Requested, None] = {}
    for option in ("fail-if", "abort-if"):
        for recording in recordings:
            texts = recording.header.plan.get(option.replace("-", "_"), ())
            for text in texts if isinstance(texts, (list, tuple)) else ():
                found[_Requested(option, str(text))] = None
    return list(found)


def _check(asked: _Requested, recordings: Sequence[Recording], sight: ConditionScope) -> ThresholdCheck:
    try:
        condition = parse_condition(asked.text)
    except ValueError:
        why = "this version of the tool cannot read the condition"
        return ThresholdCheck(check=asked.text, passed=False, option=asked.option, why=why)
    if condition.per_interval:
        return _check_anywhere(condition, asked, recordings, sight)
    value = sight.value(condition)
    check = _described(condition, value, asked.option, passed=value is not None and not condition.holds(value))
    return check if value is not None else replace(check, why=sight.why_no_value(condition))


def _described(condition: Condition, value: Fraction | None, option: str, *, passed: bool) -> ThresholdCheck:
    return ThresholdCheck(
        check=condition.text,
        value=None if value is None else to_json_number(value, condition.unit),
        passed=passed,
        option=option,
        metric=condition.label,
        operator=condition.operator,
        limit=to_json_number(condition.limit, condition.unit),
        unit=condition.unit,
    )


def _stopping(aborted: AbortEvent) -> ThresholdCheck:
    """Returns the check of a condition that stopped a run: what was found then, not what it came to afterwards."""
    try:
        check = _described(parse_condition(aborted.condition), None, "abort-if", passed=False)
    except ValueError:
        check = ThresholdCheck(check=aborted.condition, passed=False, option="abort-if")
    return replace(check, value=aborted.value, aborted_at_ns=aborted.at_ns)


# --- In any interval ------------------------------------------------------------------------------------------------


def _check_anywhere(
    condition: Condition, asked: _Requested, recordings: Sequence[Recording], sight: ConditionScope
) -> ThresholdCheck:
    """Judges a condition on each interval; those in which there is nothing to judge say nothing."""
    judged = [
        (value, interval.from_ns)
        for recording in recordings
        for interval in _intervals(condition, recording, _grace_ns(recording) if asked.option == "abort-if" else 0)
        if (value := _sight_of(condition, interval, recording).value(condition)) is not None
    ]
    if not judged:
        check = _described(condition, None, asked.option, passed=False)
        why = f"no interval has one: {sight.why_no_value(condition)}"
        return replace(check, intervals=0, failed_intervals=0, why=why)
    failed = [one for one in judged if condition.holds(one[0])]
    # The worst is what a condition against too much or too little would have met first.
    pick = min if condition.operator.startswith("<") else max
    worst, from_ns = pick(failed or judged, key=lambda one: one[0])
    check = _described(condition, worst, asked.option, passed=not failed)
    return replace(check, intervals=len(judged), failed_intervals=len(failed), from_ns=from_ns)


def _intervals(condition: Condition, recording: Recording, grace_ns: int) -> Iterator[Interval]:
    """Yields the measured intervals on which a condition is judged."""
    measured = [one for one in recording.intervals if one.phase == "measured"]
    usual_ns = statistics.median(one.measured_ns for one in measured) if measured else 0
    before_ns = 0
    for interval in measured:
        # Of a beginning or an end that is much shorter than the others, the rate is chance.
        whole = condition.metric.name not in RATES or interval.measured_ns * 2 >= usual_ns
        if whole and before_ns >= grace_ns * TOLERANCE:
            yield interval
        before_ns += interval.measured_ns


def _sight_of(condition: Condition, interval: Interval, recording: Recording) -> ConditionScope:
    """Returns one interval as a condition sees it: only the histograms that it needs are decoded."""
    metric = condition.metric
    wanted = {CONDITION_METRICS[metric.name].name} if metric.kind == "time" else set()
    if metric.name == "service":
        wanted.add("response_time_ns")
    record = {
        name: data
        for name, data in interval.encoded_tally.items()
        if name in wanted or name == "faults" or not isinstance(data, dict)
    }
    return ConditionScope(
        Tally.from_record(record),
        interval.measured_ns,
        awaited=not awaits_nothing([recording]),
    )


def _grace_ns(recording: Recording) -> int:
    grace_ns = recording.header.plan.get("abort_grace_ns", 0)
    return grace_ns if isinstance(grace_ns, int) else 0


# --- While a run goes -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class AbortMonitor:
    """Judges a plan's ``abort_if`` on the intervals of its run as they end."""

    conditions: tuple[Condition, ...]
    grace_ns: int
    """How long must have been measured before anything is judged."""
    length_ns: int | None
    """How long the run measures, where that is known: a run that is over need not be stopped."""
    start: Recording
    """The header of the run, and nothing else yet."""
    measured_ns: int = field(default=0, init=False)

    @classmethod
    def of(cls, plan: Plan, start: Recording) -> Self:
        """Returns the watch over a plan's run."""
        conditions = tuple(map(parse_condition, plan.abort_if))
        return cls(conditions, plan.abort_grace_ns, plan.duration_ns, start)

    def add_event(self, event: IntervalEvent, so_far: Tally) -> tuple[AbortEvent, ...]:
        """Returns the conditions that hold, now that an interval has ended; `so_far` is the run's tally with it."""
        interval = event.interval
        if interval.phase != "measured" or not self.conditions:
            return ()
        before_ns = self.measured_ns
        self.measured_ns += interval.measured_ns
        if self.length_ns is not None and self.measured_ns >= self.length_ns * TOLERANCE:
            return ()
        found = []
        for condition in self.conditions:
            if (before_ns if condition.per_interval else self.measured_ns) < self.grace_ns * TOLERANCE:
                continue
            value = self._sight(condition, event, so_far).value(condition)
            if value is not None and condition.holds(value):
                found.append(AbortEvent(condition.text, to_json_number(value, condition.unit), interval.to_ns))
        return tuple(found)

    def _sight(self, condition: Condition, event: IntervalEvent, so_far: Tally) -> ConditionScope:
        tally, measured_ns = so_far, self.measured_ns
        if condition.per_interval:
            tally, measured_ns = event.tally, event.interval.measured_ns
        return ConditionScope(tally, measured_ns, awaited=not awaits_nothing([self.start]))
