"""Steps that are lost before they are over: nothing that is still to come can let them meet an objective.

Ending them early leaves the target a shorter queue, and changes no verdict: what counts against an objective is
compared with all that the step could still have, where that is known, and never looked at before half of its time, so
that the doubts of the generator about itself have as much to go by.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from ws_load_test.analysis.thresholds import ConditionScope
from ws_load_test.experiments.capacity.step import ERRORS
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import OpenLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.thresholds import Condition

EARLIEST = 0.5
"""Of a step."""
SPARE = 5
"""Standard deviations of a number of random arrivals: more messages than that a step will not have."""
CLEARLY = Fraction(101, 100)
"""Times a limit: values in the limit's own bucket, 0.1 % wide, may be on either side of it."""


class EarlyStop:
    """Follows a step, interval by interval."""

    def __init__(self, plan: Plan, objectives: Sequence[Condition]) -> None:
        self._plan = plan
        self._objectives = objectives
        self._tally = Tally()
        self._measured_ns = 0

    def add_event(self, event: IntervalEvent) -> bool:
        """Takes an interval in; returns whether the step cannot meet its objectives any more."""
        load, length_ns = self._plan.load, self._plan.duration_ns
        # Of a flood nobody knows how many messages it will have sent.
        if not isinstance(load, OpenLoop) or length_ns is None:
            return False
        self._tally.merge(event.tally)
        self._measured_ns += event.interval.measured_ns
        if event.interval.phase != "measured" or self._measured_ns < EARLIEST * length_ns:
            return False
        due = load.rate.peak * length_ns / 1e9
        most = int(due + SPARE * math.sqrt(due)) + 1
        return any(self._cannot_recover(objective, most) for objective in self._objectives)

    def _cannot_recover(self, objective: Condition, most: int) -> bool:
        metric = objective.metric
        if objective.operator not in ("<", "<="):
            return False
        if metric.kind == "time" and metric.name == "response" and metric.statistic[0].isdigit():
            slower = self._tally.response_time_ns.count_between(int(objective.limit * CLEARLY) + 1, LARGEST)
            return slower > (1 - Fraction(metric.statistic) / 100) * most
        # Where sessions come back, nobody knows how many more will be dialled, each of them a part of the whole.
        if metric.name == "errors" and objective.unit == "share" and not self._plan.may_reopen_sessions:
            errors = ConditionScope(self._tally, 0, awaited=self._plan.correlation.rule != "none").count(ERRORS.metric)
            return errors > objective.limit * (most + self._tally.attempted)
        return False
