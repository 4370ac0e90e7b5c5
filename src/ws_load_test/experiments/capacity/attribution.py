"""Attributes a missed objective to the target or to the generator.

Even a generator that was not saturated overall can be late often enough to miss a p99 objective by itself. Therefore
its own lateness at the objective's percentile is subtracted from the measured time: the lag of sends and of reads.

On a cluster that is the lateness of all hosts together, as the measured time is: one late host of ten makes a tenth of
both late. (Each host's health is diagnosed by itself before, in `analysis.generator_health`.) The latest host is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.units import format_count, format_duration
from ws_load_test.experiments.capacity.backlog import TOLERATED_SHARE
from ws_load_test.plan.thresholds import DENOMINATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.capacity_types import ObjectiveCheck
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.thresholds import Condition

GENERATOR_LAGS = {
    "response": ("send_lag_ns", "loop_lag_ns"),
    "service": ("loop_lag_ns",),
    "first": ("send_lag_ns", "loop_lag_ns"),
    "gap": ("loop_lag_ns",),
    "delivery": ("send_lag_ns", "loop_lag_ns"),
    "transit": ("loop_lag_ns",),
    "last": ("send_lag_ns", "loop_lag_ns"),
    "spread": ("read_lag_ns",),
    # Of all steps: the lags of one are about those of the others.
    "steps.NAME.response": ("send_lag_ns", "loop_lag_ns"),
    "steps.NAME.service": ("loop_lag_ns",),
    "steps.NAME.first": ("send_lag_ns", "loop_lag_ns"),
    "steps.NAME.gap": ("loop_lag_ns",),
}
"""Measured times -> the tally's fields with the lags of the generator that they include."""
TAIL_PERCENTILE = "99"
"""Percentile of the generator's lateness that is compared with the growth of a queue."""
MAX_GENERATOR_SHARE = 0.5
"""Share of a measured time: if the generator's lag is as much, the rest is too uncertain to blame the target for."""


def attribute_to_generator(
    objectives: Sequence[Condition],
    checks: Sequence[ObjectiveCheck],
    digest: Aggregate,
    *,
    grown_ns: float | None = None,
    unsent: int = 0,
) -> str:
    """Returns a sentence if the generator explains every miss of a step; "" if it does not.

    Args:
        objectives: Objectives of the step.
        checks: Result of each, in the same order.
        digest: Measurements of the step, on all hosts.
        grown_ns: Growth of the queue as the time in which so many messages were sent; None if it did not grow.
        unsent: Messages that were never sent because the generator was late.
    """
    tally = digest.tally
    explanations = [_explain_unsent(unsent)] if unsent > TOLERATED_SHARE * tally.due else []
    for objective, check in zip(objectives, checks, strict=True):
        if not check.met:
            explanations.append(
                _explain_time(objective, check, digest) or _explain_count(objective, check, tally, unsent)
            )
    if grown_ns is not None:
        late_ns = generator_lateness_ns(tally)
        explains = late_ns >= MAX_GENERATOR_SHARE * grown_ns
        explanations.append(_lateness_sentence(TAIL_PERCENTILE, late_ns, "the queue", digest) if explains else "")
    return explanations[0] if explanations and all(explanations) else ""


def _explain_time(objective: Condition, check: ObjectiveCheck, digest: Aggregate) -> str:
    """Returns a sentence if a missed time is explained by the generator's lag at the same statistic, else ""."""
    metric = objective.metric
    lags = GENERATOR_LAGS.get(metric.name, ()) if metric.kind == "time" else ()
    if not lags or check.value is None or metric.statistic in ("min", "stdev"):
        return ""
    late_ns = _lateness_ns(digest.tally, lags, metric.statistic)
    remaining_ns = max(0, check.value - late_ns)
    enough = remaining_ns < objective.limit or late_ns >= MAX_GENERATOR_SHARE * check.value
    explains = bool(late_ns) and objective.operator in ("<", "<=") and enough
    return _lateness_sentence(metric.statistic, late_ns, objective.text, digest) if explains else ""


def generator_lateness_ns(tally: Tally, percentile: str = TAIL_PERCENTILE) -> int:
    """Returns the sum of the generator's lags of sending and reading at a percentile, in ns."""
    return _lateness_ns(tally, GENERATOR_LAGS["response"], percentile)


def _lateness_ns(tally: Tally, lags: Sequence[str], statistic: str) -> int:
    return sum(_statistic_ns(getattr(tally, lag), statistic) for lag in lags)


def _explain_count(objective: Condition, check: ObjectiveCheck, tally: Tally, unsent: int) -> str:
    """Returns a sentence if a count or share would have been met without the unsent messages, else ""."""
    explainable = objective.metric.name in ("errors", "dropped") and objective.operator in ("<", "<=")
    if not unsent or check.value is None or not explainable:
        return ""
    whole = sum(getattr(tally, name) for name in DENOMINATORS[objective.metric.name])
    own = unsent / whole if objective.unit == "share" else unsent
    return _explain_unsent(unsent) if check.value - own < objective.limit else ""


def _explain_unsent(unsent: int) -> str:
    return f"{format_count(unsent)} messages were never sent, because the generator was late: use a quieter machine"


def _lateness_sentence(statistic: str, late_ns: int, effect: str, digest: Aggregate) -> str:
    scope = f"at p{statistic}" if statistic[0].isdigit() else f"by its {statistic}"
    remedy = "use a quieter machine, or add workers with -w"
    latest = ""
    if digest.hosts:
        of_host = {
            one.host.name: _lateness_ns(one.aggregate.tally, GENERATOR_LAGS["response"], statistic)
            for one in digest.hosts
        }
        name = max(of_host, key=lambda name: of_host[name])
        latest = f" (the latest host, {name}: {format_duration(of_host[name])})"
        remedy = "use quieter machines, or add hosts, or workers with -w"
    return (
        f"{scope} the generator itself was {format_duration(late_ns)} late to send and to read{latest}, which can"
        f" explain {effect}: {remedy}"
    )


def _statistic_ns(times: Histogram, statistic: str) -> int:
    if not times.count:
        return 0
    if statistic == "mean":
        return times.sum // times.count
    return (times.max if statistic == "max" else times.percentiles((statistic,))[0]) or 0
