"""Sense of conditions: one that fails what is good, asks for what is bad, or is always the same, is an error.

A condition of ``--fail-if`` and ``--abort-if`` is what must not be, one of ``--slo`` what must hold; other tools have
one or the other.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ws_load_test.plan.thresholds import EXAMPLES, NEGATED

if TYPE_CHECKING:
    from ws_load_test.plan.thresholds import Condition, ConditionMetric


FEWER_IS_BETTER = frozenset(
    (
        *("errors", "faults", "failed", "lost", "unanswered", "dropped"),
        *("duplicate_replies", "late_replies", "unknown_id", "stalls", "broken_off"),
        *("missing", "cut_off", "late", "duplicate", "misdelivered", "foreign"),
        *("waves.back", "waves.abrupt", "waves.bounced", "waves.closes_per_s", "nodes.skew"),
        *("gaps", "gaps.longest", "subscribers_with_gaps", "subscribers.skew"),
        *(f"steps.NAME.{name}" for name in ("failed", "unanswered", "dropped", "stalls", "broken_off")),
        *(f"on.NAME.{name}" for name in ("gaps", "missed", "repeats", "out_of_order", "silence", "max_silence")),
        *("sessions.failed", "sessions.dropped", "iterations.dropped"),
    )
)
"""Counts of what went wrong."""
MORE_IS_BETTER = frozenset(
    (
        *("answered", "opened", "sent", "rate", "sent_rate", "expected", "delivered", "reach", "complete"),
        *("steps.NAME.answered", "steps.NAME.sent", "on.NAME.seen", "on.NAME.rate"),
        *("sessions.begun", "sessions.completed", "iterations.begun", "iterations.completed"),
    )
)
"""Counts and rates of what went well."""
SHARES_OF_ALL = frozenset(
    (
        *("errors", "failed", "unanswered", "dropped", "answered", "opened", "sent", "broken_off"),
        *("delivered", "reach", "missing", "cut_off", "complete"),
        *(f"steps.NAME.{name}" for name in ("failed", "unanswered", "unawaited", "dropped", "answered", "sent")),
        *(f"sessions.{name}" for name in ("begun", "completed", "failed", "dropped")),
        *(f"iterations.{name}" for name in ("begun", "completed", "dropped")),
    )
)
"""Counts that are part of what they are a share of, so that 100 % is the most."""
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "!=", "!=": "=="}


def check_unwanted(condition: Condition, option: str) -> None:
    """Checks that a condition of ``--fail-if`` or ``--abort-if`` does not fail what is good, and can hold.

    Args:
        condition: The condition.
        option: The option as users write it.

    Raises:
        ValueError: It looks like an objective, or is always the same; with what to write instead.
    """
    _check_says_something(condition)
    metric, sign = condition.metric, condition.operator
    if _is_less_better(metric):
        good = {"<": "low", "<=": "low", "==": "low"} if _is_one(metric) else {"<": "few", "<=": "few", "==": "few"}
    elif metric.name in MORE_IS_BETTER and option != "--abort-if":
        # A run can be stopped for too high a rate, which its target may not be able to bear.
        good = {">": "high", ">=": "high"} if _is_one(metric) else {">": "many", ">=": "many"}
    else:
        return
    if sign not in good:
        return
    contrary = f'write {option} "{_mirrored(condition)}", or --slo "{_as_objective(condition)}"'
    raise ValueError(
        f'"{condition.text}" fails a run whose {_subject(condition)} {good[sign]}, and {option} names what must not be;'
        f" {contrary}, which names what must hold"
    )


def check_objective(condition: Condition) -> None:
    """Checks that a condition of ``--slo`` does not ask for what is bad, and can fail.

    Raises:
        ValueError: It looks like one of ``--fail-if``, or is always the same; with what to write instead.
    """
    if condition.per_interval:
        rest = condition.text.removeprefix("any ")
        contrary = rest.replace(condition.operator, NEGATED[condition.operator], 1)
        raise ValueError(
            f'"{condition.text}": an objective is of the whole run; leave out any, or write --fail-if "any {contrary}"'
        )
    _check_says_something(condition)
    metric, sign = condition.metric, condition.operator
    if _is_less_better(metric):
        bad = {">": "high", ">=": "high"} if _is_one(metric) else {">": "many", ">=": "many", "!=": "many"}
    elif metric.name in MORE_IS_BETTER:
        bad = {"<": "low", "<=": "low"} if _is_one(metric) else {"<": "few", "<=": "few"}
    else:
        return
    if sign not in bad:
        return
    raise ValueError(
        f'"{condition.text}" asks that {_subject(condition)} {bad[sign]}, and --slo names what must hold; write'
        f' --slo "{_mirrored(condition)}", or --fail-if "{condition.text}", which names what must not be'
    )


def _check_says_something(condition: Condition) -> None:
    """Checks that a condition can hold, and can fail to.

    Raises:
        ValueError: It is always the same.
    """
    metric, sign, limit = condition.metric, condition.operator, condition.limit
    if metric.kind == "time" and sign in ("==", "!="):
        raise ValueError(f'"{condition.text}": a time is never exactly its limit; compare it with < or >')
    capped = condition.unit == "share" and metric.name in SHARES_OF_ALL
    if metric.kind == "ratio":
        # A percentile above the median is at least as high.
        limit = max(limit - 1, Fraction(0))
    # An age is below 0 where the target's clock is ahead of ours.
    lowest = sign if metric.name != "on.NAME.age" else ""
    never = (lowest == "<" and not limit) or (capped and ((sign == ">" and limit >= 1) or (sign == ">=" and limit > 1)))
    always = (lowest == ">=" and not limit) or (
        capped and ((sign == "<=" and limit >= 1) or (sign == "<" and limit > 1))
    )
    if never or always:
        how = "never" if never else "always"
        raise ValueError(f'"{condition.text}" {how} holds, whatever the run does; write for example {EXAMPLES}')


def _is_less_better(metric: ConditionMetric) -> bool:
    """True for times and counts of failures; a shortest time can be bounded below, as a check of its plausibility."""
    return (metric.kind == "time" and metric.statistic != "min") or metric.name in FEWER_IS_BETTER


def _subject(condition: Condition) -> str:
    return f"{condition.label} {'is' if _is_one(condition.metric) else 'are'}"


def _is_one(metric: ConditionMetric) -> bool:
    """True for what is high or low, and not many or few."""
    return metric.kind in ("time", "rate", "ratio", "duration") or metric.name in ("reach", "gaps.longest")


def _mirrored(condition: Condition) -> str:
    """Returns the condition with its comparison turned round: ``p99 > 50ms`` for ``p99 < 50ms``."""
    sign = condition.operator
    turned = ">" if sign == "==" and condition.metric.name in FEWER_IS_BETTER else _MIRRORED[sign]
    return condition.text.replace(sign, turned, 1)


def _as_objective(condition: Condition) -> str:
    """Returns the condition as an objective, which is of the whole run."""
    return condition.text.removeprefix("any ")
