"""The option catalogue: every option of a run, of `capacity`, `ab` and `compare`, one row each.

The same names serve the command line (``--in-flight 4``), a plan file (``in-flight = 4``) and Python (``in_flight=4``).
A new option is a row in `rows`, with its Python type at the end of that module. If the row names a `field` of the plan,
the value goes there; otherwise the code that builds that part of the plan reads it. Parsers, refusals, help pages and
docs/reference/cli.md follow from the rows; ``python tools/generate_cli_docs.py`` writes the latter two anew.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.common.units import one_line
from ws_load_test.plan.options.rows import experiments, fan_out, load, messages, output, sessions, target
from ws_load_test.plan.options.spec import Group, OptionSpec, Owner

RUN_OPTIONS: tuple[OptionSpec, ...] = (
    *target.TARGET,
    *target.TLS,
    *load.LOAD,
    *messages.MESSAGE,
    *messages.REPLIES,
    *fan_out.FAN_OUT,
    *sessions.SESSIONS,
    *sessions.VERDICT,
    *sessions.LIMITS,
    *output.MACHINES,
    *output.RESULTS,
    *output.WHILE_IT_RUNS,
    *output.PLAN,
)
"""Options of a run, in the order of the help page."""
OPTIONS: tuple[OptionSpec, ...] = (*RUN_OPTIONS, *experiments.SEARCH, *experiments.COMPARISON)
BY_NAME: Mapping[str, OptionSpec] = {option.name: option for option in OPTIONS}
PARSERS: Mapping[str, Callable[[Any], Any]] = {
    option.name: option.parse for option in RUN_OPTIONS if option.owner is Owner.PLAN
}
"""Parser of each option that a plan is made of."""
MUTUALLY_EXCLUSIVE: tuple[tuple[str, str, str], ...] = tuple(
    (option.name, other, why) for option in RUN_OPTIONS for other, why in option.excludes.items()
)
"""Pairs of options that cannot be given together, and why."""
EXPORTS: tuple[str, ...] = tuple(option.name for option in RUN_OPTIONS if option.export_module)
"""Formats of `report.exports`, which is too slow to import for their names."""
ALIASES: Mapping[str, str] = {alias: option.name for option in OPTIONS for alias in option.aliases}
FORMER_NAMES: Mapping[str, str] = {former: option.name for option in OPTIONS for former in option.former_names}
"""Names that options had once, and their present ones."""


class PlanOptions(
    target.TargetOptions,
    load.LoadOptions,
    messages.MessageOptions,
    fan_out.FanOutOptions,
    sessions.SessionOptions,
    total=False,
):
    """Keyword arguments of `make_plan`: every option that a plan is made of, but for the URL."""

    role: Mapping[str, Mapping[str, Any]] | None
    """Roles of a scenario by their names, each a table as in a plan file."""


class CapacityOptions(PlanOptions, experiments.SearchOptions, total=False):
    """Keyword arguments of `find_capacity`; it refuses those of a run that the search sets itself."""


class ABOptions(PlanOptions, experiments.PairedOptions, total=False):
    """Keyword arguments of `ab`; it refuses those of a run that rounds set themselves."""


def owned_by(*owners: Owner) -> tuple[OptionSpec, ...]:
    """Returns the options that these parts of the program use."""
    return tuple(option for option in OPTIONS if option.owner in owners)


def names_in(group: Group) -> tuple[str, ...]:
    """Returns the names of the options under a heading of the help page."""
    return tuple(option.name for option in OPTIONS if option.group is group)


def refused_by(*commands: str) -> dict[str, str]:
    """Returns the options that a command or mode does not take, and what to do instead."""
    return {
        option.name: option.refused_by[command]
        for command in commands
        for option in OPTIONS
        if command in option.refused_by
    }


def fields_of(values: Mapping[str, Any], part: str = "") -> dict[str, Any]:
    """Returns the fields of the plan, or of a part of it such as ``target``, that take parsed values as they are."""
    found = {}
    for option in RUN_OPTIONS:
        where, _, name = option.field.rpartition(".")
        if name and where == part and option.name in values:
            found[name] = values[option.name]
    return found


def parse_options(options: Mapping[str, Any], rows: Iterable[OptionSpec]) -> tuple[dict[str, Any], list[OptionProblem]]:
    """Returns the parsed values of those of the rows that are given, and what is wrong with the others."""
    values: dict[str, Any] = {}
    problems: list[OptionProblem] = []
    for option in rows:
        if option.name not in options:
            continue
        value = options[option.name]
        try:
            values[option.name] = option.parse(value)
        except ValueError as error:
            problems.append(OptionProblem(option_name(option.name), one_line(str(error))))
        except TypeError:
            # Not quoted: a table or a list may hold a secret.
            problems.append(OptionProblem(option_name(option.name), f"takes no {type(value).__name__}"))
    return values, problems


def conflicts(values: Mapping[str, Any]) -> Iterator[OptionProblem]:
    """Yields the pairs of options that cannot be given together; a flag that is off counts as not given."""
    for one, other, why in MUTUALLY_EXCLUSIVE:
        if _is_given(values.get(one)) and _is_given(values.get(other)):
            yield OptionProblem(option_name(one), f"cannot stand beside {option_name(other)}: {why}")


def missing_companions(values: Mapping[str, Any], given: Container[str]) -> Iterator[OptionProblem]:
    """Yields the options that have no effect without another one.

    Args:
        values: Parsed values.
        given: Names of all options that were given: one whose value could not be parsed is not missing.
    """
    for option in RUN_OPTIONS:
        if option.name not in values:
            continue
        for others, text in option.requires.items():
            if not any(other in given for other in others):
                yield OptionProblem(option_name(option.name), text)


def _is_given(value: Any) -> bool:
    return value is not None and value is not False
