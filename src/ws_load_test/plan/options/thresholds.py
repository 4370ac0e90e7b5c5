"""Options of thresholds: ``--fail-if``, ``--abort-if``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.plan import values as option_values
from ws_load_test.plan.thresholds import parse_condition

PARSERS: dict[str, Callable[[Any], Any]] = {
    "fail_if": option_values.strings,
    "abort_if": option_values.strings,
    "abort_grace": option_values.duration,
}


def read_conditions(name: str, texts: tuple[str, ...], problems: list[OptionProblem]) -> tuple[str, ...]:
    """The conditions of an option, each once and in its one spelling; adds to `problems` what is wrong with each."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[parse_condition(text).text] = None
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))
    return tuple(found)


def read_verdict(values: Mapping[str, Any], problems: list[OptionProblem]) -> dict[str, Any]:
    """The fields of the plan that say when a run has failed; adds to `problems` what is wrong with the options."""
    if "abort_grace" in values and "abort_if" not in values:
        problems.append(OptionProblem("--abort-grace", "there is nothing to stop for; add --abort-if CONDITION"))
    fields: dict[str, Any] = {
        name: read_conditions(name, values[name], problems) for name in ("fail_if", "abort_if") if name in values
    }
    if "abort_grace" in values:
        fields["abort_grace_ns"] = values["abort_grace"]
    return fields
