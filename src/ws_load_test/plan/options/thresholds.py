"""Options of thresholds: ``--fail-if``, ``--slo``, ``--abort-if``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.plan.thresholds import check_objective, check_unwanted, parse_condition

OPTIONS = ("fail_if", "slo", "abort_if")


def read_conditions(name: str, texts: tuple[str, ...], problems: list[OptionProblem]) -> tuple[str, ...]:
    """The conditions of an option, each once and in its one spelling; adds to `problems` what is wrong with each."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            condition = parse_condition(text)
            if name == "slo":
                check_objective(condition)
            else:
                check_unwanted(condition, option_name(name))
            found[condition.text] = None
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))
    return tuple(found)


def read_thresholds(values: Mapping[str, Any], problems: list[OptionProblem]) -> dict[str, Any]:
    """Returns the fields of the plan that say when a run has failed; adds to `problems` what is wrong with them."""
    return {name: read_conditions(name, values[name], problems) for name in OPTIONS if name in values}
