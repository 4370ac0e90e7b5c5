"""Evaluation of conditions (``--fail-if``, ``--abort-if``) on recordings and on running tests.

A condition without a value (a percentile of no answers) has failed: a demand for fast replies is not met by none at
all. So has one on a time of replies that are perhaps not those of their messages: it is not judged. Percentiles are
those of merged histograms, and shares are compared as exact fractions.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec.structs import replace

from ws_load_test.analysis.condition_parts import is_counted
from ws_load_test.analysis.condition_scope import ConditionScope, histograms_and_labels, to_json_number
from ws_load_test.analysis.findings import awaits_replies
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.analysis.whole_run import NO_WAVES, WholeRun
from ws_load_test.metrics.recording import AbortEvent
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.plan_warnings import why_uncounted
from ws_load_test.plan.thresholds import Condition, needs_replies, parse_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Interval, Recording
    from ws_load_test.plan.thresholds import ConditionMetric

TOLERANCE = 0.99
"""Share of a duration after which it counts as over: intervals end a little before or after their time."""
NOT_JUDGED = (
    "replies are perhaps not those of their messages; tell them by their id with --match json:PATH,"
    " --match regex:PATTERN or --match echo"
)
"""Reason why a condition on a time of replies is not judged."""


# --- A whole run ----------------------------------------------------------------------------------------------------


OBJECTIVE = "slo"
"""Option of the conditions that must hold."""
_OPTIONS = ("fail-if", OBJECTIVE, "abort-if")


@dataclass(frozen=True, slots=True)
class RequestedCondition:
    """One condition of a plan, or one that replaces those of a plan."""

    option: str
    """``fail-if``, ``slo`` or ``abort-if``."""
    text: str

    def passes(self, condition: Condition, value: Fraction) -> bool:
        """Returns True where a value satisfies it: an objective must hold, any other condition must not."""
        return condition.holds(value) == (self.option == OBJECTIVE)


def evaluate(
    recordings: Sequence[Recording],
    aggregate: Aggregate,
    duration_ns: int,
    conditions: Sequence[RequestedCondition] | None = None,
    *,
    pairing_doubted: bool = False,
) -> list[ThresholdCheck]:
    """Returns a check for each condition of the recordings, or for each of `conditions` instead.

    Conditions that stopped a run are among them either way, with the value that stopped it. A condition is evaluated on
    all recordings together, an ``any`` condition on every interval of each.

    Args:
        recordings: Recordings of one run or of several.
        aggregate: Aggregate of the recordings.
        duration_ns: Measured time.
        conditions: Conditions that replace those of the recordings.
        pairing_doubted: True where replies are perhaps not those of their messages.
    """
    scope = ConditionScope(aggregate.tally, duration_ns, awaits_replies(recordings), aggregate.whole_run)
    ends = [recording.trailer for recording in recordings if recording.trailer is not None]
    stopped = {event.condition: event for end in ends for event in end.aborted or ()}
    checks = [_abort_check(event) for event in stopped.values()]
    requested = _requested(recordings) if conditions is None else list(dict.fromkeys(conditions))
    pending = (one for one in requested if one.option != "abort-if" or one.text not in stopped)
    plans = _plans(recordings)
    found = [_check(one, recordings, scope, plans) for one in pending]
    return checks + [_doubted(check) if pairing_doubted and _depends_on_pairing(check) else check for check in found]


def _depends_on_pairing(check: ThresholdCheck) -> bool:
    """True for a check of the time of a reply, which is wrong where the reply is another message's."""
    return check.value is not None and depends_on_pairing(parse_condition(check.check).metric)


def depends_on_pairing(metric: ConditionMetric) -> bool:
    """True for the times of replies, which are wrong where a reply is taken for another message's."""
    return metric.kind == "time" and needs_replies(metric)


def _doubted(check: ThresholdCheck) -> ThresholdCheck:
    """Returns a check as one that was not judged; its value stays, for people to look at."""
    return replace(check, passed=False, judged=False, why=NOT_JUDGED)


def _requested(recordings: Sequence[Recording]) -> list[RequestedCondition]:
    """Returns the conditions of the recordings, each once."""
    requested: dict[RequestedCondition, None] = {}
    for option in _OPTIONS:
        for recording in recordings:
            texts = recording.header.plan.get(option.replace("-", "_"), ())
            for text in texts if isinstance(texts, (list, tuple)) else ():
                requested[RequestedCondition(option, str(text))] = None
    return list(requested)


def _plans(recordings: Sequence[Recording]) -> list[Plan]:
    """Returns the plans of the recordings; none where this version cannot read one of them."""
    try:
        return [msgspec.convert(recording.header.plan, Plan) for recording in recordings]
    except (msgspec.ValidationError, ValueError):
        return []


def _why_uncounted(condition: Condition, plans: Sequence[Plan]) -> str:
    """Returns the reason why no run of the plans can count a metric; empty where one can."""
    reasons = [why_uncounted(condition.metric, plan) for plan in plans]
    return reasons[0] if reasons and all(reasons) else ""


def _why_unknown(condition: Condition, recordings: Sequence[Recording], plans: Sequence[Plan]) -> str:
    """Returns the reason why a step or reaction is perhaps none, where no plan can be read that has the names."""
    intervals = (interval.encoded_tally for recording in recordings for interval in recording.intervals)
    if plans or any(is_counted(condition.metric, encoded) for encoded in intervals):
        return ""
    return "nothing of this name was counted"


def _check(
    requested: RequestedCondition, recordings: Sequence[Recording], scope: ConditionScope, plans: Sequence[Plan]
) -> ThresholdCheck:
    try:
        condition = parse_condition(requested.text)
    except ValueError:
        why = "this version of the tool cannot read the condition"
        return ThresholdCheck(check=requested.text, passed=False, option=requested.option, why=why)
    if lack := _why_uncounted(condition, plans) or _why_unknown(condition, recordings, plans):
        return replace(_new_check(condition, None, requested.option, passed=False), why=lack)
    if condition.per_interval:
        return _check_intervals(condition, requested, recordings, scope)
    value = scope.value(condition)
    passed = value is not None and requested.passes(condition, value)
    check = _new_check(condition, value, requested.option, passed=passed)
    return check if value is not None else replace(check, why=scope.why_no_value(condition))


def _new_check(condition: Condition, value: Fraction | None, option: str, *, passed: bool) -> ThresholdCheck:
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


def _abort_check(event: AbortEvent) -> ThresholdCheck:
    """Returns the check of a condition that stopped a run, with its value at that time."""
    try:
        check = _new_check(parse_condition(event.condition), None, "abort-if", passed=False)
    except ValueError:
        check = ThresholdCheck(check=event.condition, passed=False, option="abort-if")
    return replace(check, value=event.value, aborted_at_ns=event.at_ns)


# --- In any interval ------------------------------------------------------------------------------------------------


def _check_intervals(
    condition: Condition, requested: RequestedCondition, recordings: Sequence[Recording], scope: ConditionScope
) -> ThresholdCheck:
    """Evaluates a condition on each interval; intervals without a value are left out."""
    judged = [
        (value, interval.from_ns)
        for recording in recordings
        for interval in _intervals(condition, recording, _grace_ns(recording) if requested.option == "abort-if" else 0)
        if (value := _interval_scope(condition, interval, recording).value(condition)) is not None
    ]
    if not judged:
        check = _new_check(condition, None, requested.option, passed=False)
        why = f"no interval has one: {scope.why_no_value(condition)}"
        return replace(check, intervals=0, failed_intervals=0, why=why)
    failed = [entry for entry in judged if condition.holds(entry[0])]
    # The worst value is the lowest for a condition against too little, else the highest.
    pick = min if condition.operator.startswith("<") else max
    worst, from_ns = pick(failed or judged, key=lambda entry: entry[0])
    check = _new_check(condition, worst, requested.option, passed=not failed)
    return replace(check, intervals=len(judged), failed_intervals=len(failed), from_ns=from_ns)


def _intervals(condition: Condition, recording: Recording, grace_ns: int) -> Iterator[Interval]:
    """Yields the measured intervals on which a condition is evaluated."""
    measured = [interval for interval in recording.intervals if interval.phase == "measured"]
    usual_ns = statistics.median(interval.measured_ns for interval in measured) if measured else 0
    before_ns = 0
    for interval in measured:
        # The rate of a first or last interval that is much shorter than the others is chance.
        long_enough = condition.metric.kind != "rate" or interval.measured_ns * 2 >= usual_ns
        if long_enough and before_ns >= grace_ns * TOLERANCE:
            yield interval
        before_ns += interval.measured_ns


def _interval_scope(condition: Condition, interval: Interval, recording: Recording) -> ConditionScope:
    """Returns the scope of one interval, in which only the histograms that the condition needs are decoded."""
    wanted = histograms_and_labels(condition.metric.name)
    record = {
        name: data for name, data in interval.encoded_tally.items() if name in wanted or not isinstance(data, dict)
    }
    return ConditionScope(
        Tally.from_record(record),
        interval.measured_ns,
        awaits_replies=awaits_replies([recording]),
    )


def _grace_ns(recording: Recording) -> int:
    """Returns the measured time before which no ``--abort-if`` is evaluated."""
    grace_ns = recording.header.plan.get("abort_grace_ns", 0)
    return grace_ns if isinstance(grace_ns, int) else 0


# --- While a run goes -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class AbortMonitor:
    """Evaluates a plan's ``abort_if`` on the intervals of its run as they end."""

    conditions: tuple[Condition, ...]
    grace_ns: int
    """Measured time before which nothing is evaluated."""
    length_ns: int | None
    """Measured time of the whole run, None where it is unknown; a run that is over need not be stopped."""
    start: Recording
    """Header of the run, without intervals."""
    measured_ns: int = field(default=0, init=False)

    @classmethod
    def of(cls, plan: Plan, start: Recording) -> Self:
        """Returns the monitor of a plan's run."""
        conditions = tuple(map(parse_condition, plan.abort_if))
        return cls(conditions, plan.abort_grace_ns, plan.duration_ns, start)

    def add_event(
        self, event: IntervalEvent, so_far: Tally, whole_run: WholeRun = NO_WAVES, *, pairing_doubted: bool = False
    ) -> tuple[AbortEvent, ...]:
        """Adds an interval and returns the conditions that hold.

        Args:
            event: The interval.
            so_far: Tally of the run with it.
            whole_run: Waves and nodes of the run with it.
            pairing_doubted: True where replies are perhaps not those of their messages: their times stop nothing.
        """
        interval = event.interval
        if interval.phase != "measured" or not self.conditions:
            return ()
        before_ns = self.measured_ns
        self.measured_ns += interval.measured_ns
        if self.length_ns is not None and self.measured_ns >= self.length_ns * TOLERANCE:
            return ()
        events = []
        for condition in self.conditions:
            if (before_ns if condition.per_interval else self.measured_ns) < self.grace_ns * TOLERANCE:
                continue
            if pairing_doubted and depends_on_pairing(condition.metric):
                continue
            value = self._scope(condition, event, so_far, whole_run).value(condition)
            if value is not None and condition.holds(value):
                events.append(AbortEvent(condition.text, to_json_number(value, condition.unit), interval.to_ns))
        return tuple(events)

    def _scope(self, condition: Condition, event: IntervalEvent, so_far: Tally, whole_run: WholeRun) -> ConditionScope:
        tally, measured_ns = so_far, self.measured_ns
        if condition.per_interval:
            tally, measured_ns = event.tally, event.interval.measured_ns
        return ConditionScope(tally, measured_ns, awaits_replies([self.start]), whole_run)
