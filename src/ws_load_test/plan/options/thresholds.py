"""Options of thresholds: ``--fail-if``, ``--slo``, ``--abort-if``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, PlanError, option_name
from ws_load_test.plan.condition_sense import check_objective, check_unwanted
from ws_load_test.plan.options.rows.fan_out import is_fan_out
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.scenario.condition_parts import why_no_part, with_silences
from ws_load_test.plan.scenario.model import Scenario
from ws_load_test.plan.thresholds import parse_condition, why_not_of_plan

OPTIONS = ("fail_if", "slo", "abort_if")


def read_conditions(
    name: str, texts: tuple[str, ...], problems: list[OptionProblem], *, fan_out: bool | None = None
) -> tuple[str, ...]:
    """Returns the conditions of an option, each once and in its one spelling; adds to `problems` what is wrong.

    Args:
        name: Name of the option.
        texts: Conditions as they were written.
        problems: Problems found so far.
        fan_out: True if the plan has a fan-out; None where the plan is not known.
    """
    found: dict[str, None] = {}
    for text in texts:
        try:
            condition = parse_condition(text)
            if name == "slo":
                check_objective(condition)
            else:
                check_unwanted(condition, option_name(name))
            if fan_out is not None and (lack := why_not_of_plan(condition.metric, fan_out=fan_out)):
                problems.append(OptionProblem(option_name(name), f'"{text}": {lack}'))
            found[condition.text] = None
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))
    return tuple(found)


def read_thresholds(
    values: Mapping[str, Any], problems: list[OptionProblem], *, scenario: Scenario | None = None
) -> dict[str, Any]:
    """Returns the fields of the plan that say when a run has failed; adds to `problems` what is wrong with them."""
    fan_out = is_fan_out(values) if scenario is None else bool(scenario.audience)
    return {name: read_conditions(name, values[name], problems, fan_out=fan_out) for name in OPTIONS if name in values}


def bounded_by_conditions(scenario: Scenario, thresholds: Mapping[str, tuple[str, ...]]) -> Scenario:
    """Returns the scenario, whose reactions look for the silences that conditions name."""
    return with_silences(scenario, [parse_condition(text) for texts in thresholds.values() for text in texts])


def check_condition_parts(plan: Plan) -> None:
    """Checks that the scenario has every step and reaction that a condition names.

    Raises:
        PlanError: It lacks one; with the nearest name.
    """
    problems = [
        OptionProblem(option_name(name), f'"{text}": {lack}')
        for name in OPTIONS
        for text in getattr(plan, name)
        if (lack := why_no_part(parse_condition(text).metric, plan.scenario))
    ]
    if problems:
        raise PlanError(tuple(problems))
