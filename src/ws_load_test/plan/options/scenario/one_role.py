"""The option ``--scenario game.py:player``: one role of Python over all connections, without a plan file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import OptionProblem
from ws_load_test.plan.options.scenario.values import python_role
from ws_load_test.plan.scenario.model import Role, Scenario, split_place

if TYPE_CHECKING:
    from ws_load_test.plan.plan import Plan

BESIDE_ROLES = 'cannot stand beside roles: it is the only one; write python = "FILE.py:NAME" in a role\'s table'


def with_one_role(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[OptionProblem]]:
    """Returns the options with the table of the role that ``--scenario`` stands for, and what keeps it from that.

    The role has the name of the coroutine, and ``--rate`` is that of its iterations. A value that names no coroutine
    is reported with the other options.
    """
    options = dict(given)
    if "scenario" not in options:
        return options, []
    if "role" in options:
        return options, [OptionProblem("--scenario", BESIDE_ROLES)]
    try:
        place = python_role(options["scenario"])
    except (ValueError, TypeError):
        return options, []
    role = {"python": place}
    if "rate" in options:
        role["rate"] = options.pop("rate")
    options["role"] = {split_place(place)[1]: role}
    return options, []


def named_by_option(problems: Iterable[OptionProblem], given: Mapping[str, Any]) -> Iterator[OptionProblem]:
    """Yields problems, those of the role of ``--scenario`` under the option that they come from."""
    of_option = "scenario" in given
    for problem in problems:
        if of_option and problem.option.startswith("role"):
            name = "--rate" if problem.option.endswith(".rate") else "--scenario"
            yield OptionProblem(name, problem.text)
        else:
            yield problem


def only_python_role(plan: Plan) -> Role | None:
    """Returns the role of a plan that ``--scenario`` stands for; None where only a plan file has its roles."""
    scenario = plan.scenario
    if scenario is None:
        return None
    role = scenario.roles[0]
    # Its reactions are those of its file.
    plain = Role(
        role.name,
        role.sessions,
        rate_per_s=role.rate_per_s,
        reactions=role.reactions,
        python=role.python,
        deliver_to=role.deliver_to,
        self_delivery=role.self_delivery,
    )
    is_plain = scenario == Scenario(roles=(plain,), rooms=scenario.rooms)
    return role if is_plain and split_place(role.python)[1] == role.name else None
