"""Number of sessions of a scenario as the load that a search varies: all roles keep their shares of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ws_load_test.common.errors import OptionProblem, PlanError
from ws_load_test.common.machine import default_workers
from ws_load_test.common.units import format_count
from ws_load_test.plan.options.scenario.problems import WrittenRoles
from ws_load_test.plan.options.scenario.shares import largest_remainders
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.target import is_on_this_machine

_NUMBERED = ("sessions", "arrive", "at-most", "at_most")
"""Keys of a role that has a number of sessions of its own, and no share of the connections."""


def has_roles(options: Mapping[str, Any]) -> bool:
    """Returns True if options are those of a plan with roles."""
    return bool({"role", "scenario"} & options.keys())


def shares_connections(options: Mapping[str, Any]) -> bool:
    """Returns True where the roles share the connections, so that these are the load."""
    written = options.get("role")
    roles = written.value if isinstance(written, WrittenRoles) else written
    if not isinstance(roles, Mapping):
        return True
    return not any(key in role for role in roles.values() if isinstance(role, Mapping) for key in _NUMBERED)


def with_sessions(plan: Plan, sessions: int, *, workers: int | None = None) -> Plan:
    """Returns a plan whose roles have so many sessions together, in proportion to those that they have.

    Args:
        plan: The plan of a scenario.
        sessions: Sessions of all roles together.
        workers: Workers that the options ask for; None: as many as suit the number of sessions.

    Raises:
        PlanError: A role would have no session.
    """
    assert plan.scenario is not None
    roles = plan.scenario.roles
    numbers = largest_remainders(sessions, [float(role.sessions) for role in roles])
    for role, number in zip(roles, numbers, strict=True):
        if not number:
            text = f"role {role.name} has no session of {format_count(sessions)}; begin with more"
            raise PlanError((OptionProblem("--from", text),))
    scaled = tuple(msgspec.structs.replace(role, sessions=number) for role, number in zip(roles, numbers, strict=True))
    usual = workers or default_workers(sessions, beside_target=is_on_this_machine(plan.target))
    return msgspec.structs.replace(
        plan,
        connections=sessions,
        workers=min(usual, sessions),
        scenario=msgspec.structs.replace(plan.scenario, roles=scaled),
    )


def arriving_roles(plan: Plan) -> list[str]:
    """Returns the names of the roles whose sessions arrive at a rate, of which a number is not the load."""
    roles = plan.scenario.roles if plan.scenario is not None else ()
    return [role.name for role in roles if role.arrive_per_s is not None]
