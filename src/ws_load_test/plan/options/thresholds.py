"""Options of thresholds: ``--fail-if``, ``--abort-if``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ws_load_test.common.errors import Problem, option_name
from ws_load_test.plan import values as option_values
from ws_load_test.plan.thresholds import parse_condition

READERS: dict[str, Callable[[Any], Any]] = {
    "fail_if": option_values.texts,
    "abort_if": option_values.texts,
    "abort_after": option_values.duration,
}


def read_conditions(name: str, texts: tuple[str, ...], problems: list[Problem]) -> tuple[str, ...]:
    """The conditions of an option, each once and in its one spelling; adds to `problems` what is wrong with each."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[parse_condition(text).text] = None
        except ValueError as error:
            problems.append(Problem(option_name(name), str(error)))
    return tuple(found)


def read_verdict(values: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The fields of the plan that say when a run has failed; adds to `problems` what is wrong with the options."""
    if "abort_after" in values and "abort_if" not in values:
        problems.append(Problem("--abort-after", "there is nothing to stop for; add --abort-if CONDITION"))
    fields: dict[str, Any] = {
        name: read_conditions(name, values[name], problems) for name in ("fail_if", "abort_if") if name in values
    }
    if "abort_after" in values:
        fields["abort_after_ns"] = values["abort_after"]
    return fields
