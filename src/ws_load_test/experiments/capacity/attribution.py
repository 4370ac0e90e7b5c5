"""Whose doing a miss was, where the generator was not the bottleneck as a whole: its lateness may still be enough.

A run is called generator-bound by what is wrong typically, so that a few late wake-ups do not spoil it. An objective at
the 99th percentile can be missed by just these. So what the generator itself was late, at the same percentile, is taken
off what was found: sends that left late, and replies that waited to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_count, format_duration
from ws_load_test.experiments.capacity.backlog import LEFT_OUT
from ws_load_test.plan.thresholds import DENOMINATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.thresholds import Condition

OF_REPLIES = {"response": ("send_lag_ns", "loop_lag_ns"), "service": ("loop_lag_ns",)}
"""Times with a part that is the generator's own, and where that part is."""
TAIL = "99"
PART = 0.5
"""Of what was found: where the generator itself made that much of it, nobody can tell what is the target's."""


def attribute_to_generator(
    objectives: Sequence[Condition],
    checks: Sequence[dict[str, Any]],
    tally: Tally,
    *,
    grown_ns: float | None = None,
    unsent: int = 0,
) -> str:
    """Returns why a miss may be the generator's doing altogether; "" where some of it is not.

    Args:
        objectives: What had to hold.
        checks: What became of each, in the same order.
        tally: What was measured.
        grown_ns: By how much time's worth of messages the queue grew, if it did.
        unsent: Messages that never left because the generator was late.
    """
    excuses = [_unsent(unsent)] if unsent > LEFT_OUT * tally.due else []
    for objective, check in zip(objectives, checks, strict=True):
        if not check["met"]:
            excuses.append(_late(objective, check, tally) or _dropped(objective, check, tally, unsent))
    if grown_ns is not None:
        late_ns = generator_lateness_ns(tally)
        excuses.append(_words(TAIL, late_ns, "the queue") if late_ns >= PART * grown_ns else "")
    return excuses[0] if excuses and all(excuses) else ""


def _late(objective: Condition, check: dict[str, Any], tally: Tally) -> str:
    """Returns how late the generator was, where an objective would have been met without that."""
    metric = objective.metric
    rooms = OF_REPLIES.get(metric.name, ()) if metric.kind == "time" else ()
    if not rooms or check.get("value") is None or metric.statistic in ("min", "stdev"):
        return ""
    late_ns = sum(_at(getattr(tally, room), metric.statistic) for room in rooms)
    would_be_ns = max(0, check["value"] - late_ns)
    enough = would_be_ns < objective.limit or late_ns >= PART * check["value"]
    excused = bool(late_ns) and objective.operator in ("<", "<=") and enough
    return _words(metric.statistic, late_ns, objective.text) if excused else ""


def generator_lateness_ns(tally: Tally, part: str = TAIL) -> int:
    """Returns how late the generator was to send and to read together, in ns, at a percentile."""
    return sum(_at(getattr(tally, room), part) for room in OF_REPLIES["response"])


def _dropped(objective: Condition, check: dict[str, Any], tally: Tally, unsent: int) -> str:
    """Returns that messages were not sent, where an objective would have been met if they had been."""
    if not unsent or objective.metric.name not in ("errors", "dropped") or objective.operator not in ("<", "<="):
        return ""
    whole = sum(getattr(tally, name) for name in DENOMINATORS[objective.metric.name])
    own = unsent / whole if objective.unit == "share" else unsent
    return _unsent(unsent) if check["value"] - own < objective.limit else ""


def _unsent(unsent: int) -> str:
    return f"{format_count(unsent)} messages never left, because the generator was late: use a quieter machine"


def _words(part: str, late_ns: int, what: str) -> str:
    where = f"at p{part}" if part[0].isdigit() else f"by its {part}"
    return (
        f"{where} the generator itself was {format_duration(late_ns)} late to send and to read, which may be all that"
        f" there is to {what}: use a quieter machine, or add workers with -w"
    )


def _at(times: Histogram, part: str) -> int:
    if not times.count:
        return 0
    if part == "mean":
        return times.sum // times.count
    return (times.max if part == "max" else times.percentiles((part,))[0]) or 0
