"""Steps and reactions that conditions name: ``steps.join.p99`` needs a step of that name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.metrics.catalog import CONDITION_METRICS
from ws_load_test.metrics.scenario_metrics import REACTION, STEP, names_part, part_key
from ws_load_test.plan.thresholds import LONGEST_SILENCE, is_of_scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ws_load_test.metrics.metric_spec import MetricSpec
    from ws_load_test.plan.scenario.model import Reaction, Role, Scenario, Step
    from ws_load_test.plan.thresholds import Condition, ConditionMetric

MOST_NAMES = 10
"""Names that a sentence lists, where none of them is near to the one that was written."""
_OF_SEQUENCE = ("gaps", "missed", "repeats", "out_of_order", "restarts", "unnumbered")
_OF_STREAM = ("first", "gap", "stalls", "broken_off")
_OF_REPLY = ("response", "service", "answered", "unanswered")


def steps_of(role: Role) -> list[Step]:
    """Returns the steps of a role that are counted, in its order, timers as well."""
    every = (*role.open, *role.steps, *(timer.step for timer in role.timers), *role.leave)
    return [step for step in every if step.send is not None or step.awaits_message]


def why_no_part(metric: ConditionMetric, scenario: Scenario | None) -> str:
    """Returns the reason why a scenario has no such step or reaction, with the nearest name; empty where it has."""
    if not is_of_scenario(metric):
        return ""
    if scenario is None:
        return f"{_shown(metric)} is of a scenario, and the plan has no roles"
    if not metric.part or _may_have_it(metric, scenario):
        return ""
    found = _parts(CONDITION_METRICS[metric.name], scenario)
    if any(names_part(metric.part, key) for key in found):
        return ""
    noun = "step" if CONDITION_METRICS[metric.name].unit_name == STEP else "reaction"
    names = list(dict.fromkeys(one.name for parts in found.values() for one in parts))
    near = difflib.get_close_matches(metric.part, [*names, *found], n=1)
    listed = f"{', '.join(names[:MOST_NAMES])}{' and more' * (len(names) > MOST_NAMES)}"
    known = f"did you mean {near[0]}?" if near else f"there are {listed}" if names else "there is none"
    return f'there is no {noun} "{metric.part}"; {known}'


def why_part_uncounted(metric: ConditionMetric, scenario: Scenario | None) -> str:
    """Returns the reason why nothing would count what a metric of a scenario is about; empty where something does."""
    if lack := why_no_part(metric, scenario):
        return lack
    spec = CONDITION_METRICS[metric.name]
    if scenario is None or not metric.part or _may_have_it(metric, scenario):
        return ""
    named = [one for key, parts in _parts(spec, scenario).items() if names_part(metric.part, key) for one in parts]
    short = metric.name.rpartition(".")[2]
    return _lack_of_step(short, metric.part, named) if spec.unit_name == STEP else _lack_of_reaction(short, named)


def _may_have_it(metric: ConditionMetric, scenario: Scenario) -> bool:
    """Returns True where a step may be that of a coroutine, which names its steps as it goes."""
    return CONDITION_METRICS[metric.name].unit_name == STEP and any(role.python for role in scenario.roles)


def _lack_of_step(short: str, name: str, steps: Sequence[Step | Reaction]) -> str:
    awaited = [one for one in steps if getattr(one, "awaits_message", False)]
    if short in (*_OF_REPLY, *_OF_STREAM) and not awaited:
        return f"step {name} awaits no message"
    if short in _OF_STREAM and not any(getattr(one, "until", ()) for one in steps):
        return f"an answer to step {name} is one message without until"
    return ""


def _lack_of_reaction(short: str, reactions: Sequence[Step | Reaction]) -> str:
    needed = {"age": "age", "undated": "age", "silence": "silence_ns", "silence_time": "silence_ns"}
    needed["max_silence"] = "silence_ns"
    needed |= dict.fromkeys(_OF_SEQUENCE, "sequence")
    field = needed.get(short, "")
    if not field or any(getattr(one, field) for one in reactions):
        return ""
    return f"reaction {reactions[0].name} has no {field.removesuffix('_ns')}"


def _parts(spec: MetricSpec, scenario: Scenario) -> Mapping[str, list[Step | Reaction]]:
    """Returns the steps or reactions by their keys; several of one name share it."""
    found: dict[str, list[Step | Reaction]] = {}
    for role in scenario.roles:
        for one in role.reactions if spec.unit_name == REACTION else steps_of(role):
            found.setdefault(part_key(role.name, one.name), []).append(one)
    return found


def with_silences(scenario: Scenario, conditions: Iterable[Condition]) -> Scenario:
    """Returns the scenario with the bounds of silence that conditions name where its reactions have none.

    ``on.head.silence > 30s`` needs no ``silence``: the time itself is one that is looked for.
    """
    bounds = [(one.metric.part, int(one.limit)) for one in conditions if one.metric.name == LONGEST_SILENCE]
    if not any(limit_ns > 0 for _, limit_ns in bounds):
        return scenario

    def bounded(role: Role, reaction: Reaction) -> Reaction:
        key = part_key(role.name, reaction.name)
        limits = [limit_ns for part, limit_ns in bounds if limit_ns > 0 and names_part(part, key)]
        if reaction.silence_ns is not None or not limits:
            return reaction
        return msgspec.structs.replace(reaction, silence_ns=min(limits))

    roles = [
        msgspec.structs.replace(role, reactions=tuple(bounded(role, one) for one in role.reactions))
        for role in scenario.roles
    ]
    return msgspec.structs.replace(scenario, roles=tuple(roles))


def _shown(metric: ConditionMetric) -> str:
    return metric.name.replace("NAME", metric.part)
