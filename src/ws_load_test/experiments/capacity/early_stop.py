"""Ends a step early once its objectives can no longer be met, whatever the remaining messages do.

That leaves the target a shorter queue, and does not change the outcome: the failures so far are compared with all
messages that the step can still have. A step runs for at least half of its time, so that the checks of the generator's
own health have enough data.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from ws_load_test.analysis.condition_scope import ConditionScope
from ws_load_test.experiments.capacity.step import ERRORS
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.thresholds import Condition

MIN_SHARE = 0.5
"""Share of a step's time before which it is not ended."""
MAX_DEVIATIONS = 5
"""Standard deviations above the mean number of random arrivals that the messages of a step practically never exceed."""
CLEAR_EXCESS = Fraction(101, 100)
"""Factor on a limit from which on a value clearly exceeds it: the bucket of the limit itself is 0.1 % wide."""


class EarlyStop:
    """Accumulates the intervals of a step."""

    def __init__(self, plan: Plan, objectives: Sequence[Condition]) -> None:
        self._plan = plan
        self._objectives = objectives
        self._tally = Tally()
        self._measured_ns = 0

    def add_event(self, event: IntervalEvent) -> bool:
        """Adds an interval; returns True if the step can no longer meet its objectives."""
        rate, length_ns = self._plan.load.requested_rate, self._plan.duration_ns
        # The number of messages that a closed loop will send is unknown.
        if rate is None or length_ns is None:
            return False
        self._tally.merge(event.tally)
        self._measured_ns += event.interval.measured_ns
        if event.interval.phase != "measured" or self._measured_ns < MIN_SHARE * length_ns:
            return False
        mean_due = rate.peak * length_ns / 1e9
        max_due = int(mean_due + MAX_DEVIATIONS * math.sqrt(mean_due)) + 1
        return any(self._cannot_recover(objective, max_due) for objective in self._objectives)

    def _cannot_recover(self, objective: Condition, max_due: int) -> bool:
        metric = objective.metric
        if objective.operator not in ("<", "<="):
            return False
        if metric.kind == "time" and metric.name == "response" and metric.statistic[0].isdigit():
            slower = self._tally.response_time_ns.count_between(int(objective.limit * CLEAR_EXCESS) + 1, LARGEST)
            return slower > (1 - Fraction(metric.statistic) / 100) * max_due
        # If sessions reconnect, the number of dials to come is unknown, and each is part of the denominator.
        if metric.name == "errors" and objective.unit == "share" and not self._plan.may_reopen_sessions:
            errors = ConditionScope(self._tally, 0, awaits_replies=self._plan.correlation.awaits_replies).count(
                ERRORS.metric
            )
            return errors > objective.limit * (max_due + self._tally.attempted)
        return False
