"""Metric families of a scenario: counts and times of steps, reactions and roles, labeled with their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.catalog import METRICS
from ws_load_test.metrics.metric_families import Family, Sample
from ws_load_test.metrics.metric_set import rows_of
from ws_load_test.metrics.scenario_metrics import REACTION, STEP, ReactionTally, RoleTally, split_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ws_load_test.metrics.metric_spec import MetricSpec
    from ws_load_test.metrics.tally import Tally

STEP_COUNTS = ("due", "sent", "answered", "unanswered", "unawaited", "dropped", "stalls", "broken_off")
"""Counts of steps that are exported."""
STEP_TIMES = ("response_time_ns", "first_time_ns")
"""Times of steps that are exported: each has some 20 buckets for every step."""

REACTION_TIMES = ("age_ns", "age_ahead_ns")
"""Times of reactions that are exported: ages, and those below 0 without their sign."""


def scenario_families(tally: Tally) -> Iterator[Family]:
    """Yields the families of a scenario's parts; none without a scenario. Times are copies."""
    if not tally.roles:
        return
    steps = {key: _labels(key, STEP) for key in tally.steps}
    for name in STEP_COUNTS:
        points = [Sample(labels, getattr(tally.steps[key], name)) for key, labels in steps.items()]
        yield _counter(f"step_{name}", METRICS[name], points, STEP)
    points = [
        Sample({**labels, "kind": sanitize(kind)}, count)
        for key, labels in steps.items()
        for kind, count in tally.steps[key].faults.items()
    ]
    yield _counter("step_faults", METRICS["faults"], points, STEP)
    for name in STEP_TIMES:
        series = [(labels, getattr(tally.steps[key], name)) for key, labels in steps.items()]
        filled = tuple((labels, times.copy()) for labels, times in series if times.count)
        family = f"step_{name.removesuffix('_ns')}_seconds"
        yield Family(family, "histogram", METRICS[name].help, series=filled, unit="seconds")
    yield from _reactions(tally.reactions)
    yield from _roles(tally.roles)


def _reactions(reactions: Mapping[str, ReactionTally]) -> Iterator[Family]:
    for name, spec in rows_of(ReactionTally).items():
        if spec.kind == "count":
            points = [Sample(_labels(key, REACTION), getattr(one, name)) for key, one in reactions.items()]
            yield _counter(f"reaction_{name}", spec, points, REACTION)
    # Apart, as in the tally: the sum of a histogram grows, and an age can be below 0.
    for name in REACTION_TIMES:
        series = [(_labels(key, REACTION), getattr(one, name)) for key, one in reactions.items()]
        filled = tuple((labels, times.copy()) for labels, times in series if times.count)
        family, text = f"reaction_{name.removesuffix('_ns')}_seconds", rows_of(ReactionTally)[name].help
        yield Family(family, "histogram", text, series=filled, unit="seconds")


def _roles(roles: Mapping[str, RoleTally]) -> Iterator[Family]:
    for name, spec in rows_of(RoleTally).items():
        if spec.kind == "count":
            points = [Sample({"role": sanitize(role)}, getattr(one, name)) for role, one in roles.items()]
            yield _counter(f"role_{name}", spec, points, spec.unit_name)
        elif spec.kind == "labeled":
            points = [
                Sample({"role": sanitize(role), spec.label: sanitize(step)}, count)
                for role, one in roles.items()
                for step, count in one.failed_at.items()
            ]
            yield _counter("role_sessions_failed", spec, points, spec.unit_name)
        else:
            times = [(role, getattr(one, name)) for role, one in roles.items()]
            series = tuple(({"role": sanitize(role)}, found.copy()) for role, found in times if found.count)
            family = f"role_{name.removesuffix('_ns')}_seconds"
            yield Family(family, "histogram", spec.help, series=series, unit="seconds")


def _counter(name: str, spec: MetricSpec, points: list[Sample], unit_name: str) -> Family:
    return Family(name, "counter", spec.help, tuple(points), unit_name=unit_name)


def _labels(key: str, noun: str) -> dict[str, str]:
    role, name = split_key(key)
    return {"role": sanitize(role), noun: sanitize(name)}
