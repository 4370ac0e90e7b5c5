"""Parts of a tally that conditions are about: ``steps.join`` is the sum of that step in all roles that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.metrics.catalog import CONDITION_METRICS
from ws_load_test.metrics.scenario_metrics import (
    ITERATION,
    REACTION,
    SESSION,
    STEP,
    ReactionTally,
    RoleTally,
    names_part,
)
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from typing import Any

    from ws_load_test.plan.thresholds import ConditionMetric

FIELDS = {STEP: "steps", REACTION: "reactions", SESSION: "roles", ITERATION: "roles"}
"""Fields of a tally that hold the parts, by the noun of what they count."""


def counted_by(tally: Tally, metric: ConditionMetric) -> Tally | ReactionTally | RoleTally:
    """Returns what counts a metric: the tally itself, or the sum of the parts that the metric names.

    A part that nothing was counted of is empty: where no message of a kind came, its rate is 0.
    """
    field = FIELDS.get(CONDITION_METRICS[metric.name].unit_name)
    if field is None:
        return tally
    if field == "steps":
        steps = Tally()
        for key, step in tally.steps.items():
            if names_part(metric.part, key):
                steps.merge(step)
        return steps
    if field == "reactions":
        reactions = ReactionTally()
        for key, reaction in tally.reactions.items():
            if names_part(metric.part, key):
                reactions.merge(reaction)
        return reactions
    roles = RoleTally()
    for role in tally.roles.values():
        roles.merge(role)
    return roles


def is_counted(metric: ConditionMetric, encoded_tally: dict[str, Any]) -> bool:
    """Returns True where an encoded tally has the part that a metric is of, or the metric is of none."""
    field = FIELDS.get(CONDITION_METRICS[metric.name].unit_name)
    if field is None:
        return True
    parts = encoded_tally.get(field)
    return isinstance(parts, dict) and any(not metric.part or names_part(metric.part, key) for key in parts)
