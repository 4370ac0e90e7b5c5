"""Sessions of each role: out of shares of the connections, or the numbers that roles have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_count
from ws_load_test.plan.ranges import LARGEST_CONNECTIONS

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.written_role import WrittenRole


def sessions_of(roles: Mapping[str, WrittenRole], values: Mapping[str, Any], problems: Problems) -> dict[str, int]:
    """Returns the number of sessions of each role; adds to `problems` what is wrong with them.

    Args:
        roles: Roles by their names.
        values: Parsed option values, of which `connections` counts.
        problems: Problems found so far.
    """
    fixed = {
        name: role.values.get("sessions", role.values.get("at-most"))
        for name, role in roles.items()
        if role.values.keys() & {"sessions", "arrive", "at-most"}
    }
    if not fixed:
        return _shared(roles, values.get("connections"), problems)
    numbers = {name: 1 if number is None else int(number) for name, number in fixed.items()}
    example = next(iter(fixed))
    for name, role in roles.items():
        if name in fixed:
            continue
        numbers[name] = 1
        place = (*role.place, "share") if "share" in role.values else role.place
        key = "at-most" if "arrive" in roles[example].values else "sessions"
        problems.add(
            place, f"role {example} has {key}, so that there is nothing to share; write sessions = N here, too"
        )
    total = sum(numbers.values())
    if total > LARGEST_CONNECTIONS:
        text = f"{format_count(total)} sessions are too many; a run has at most {LARGEST_CONNECTIONS:_}"
        problems.add(("role",), text)
    elif "connections" in values and values["connections"] != total and not problems.found:
        text = f"{values['connections']} are not the {total} sessions that the roles have together; leave it out"
        problems.add(("connections",), text)
    return numbers


def _shared(roles: Mapping[str, WrittenRole], connections: int | None, problems: Problems) -> dict[str, int]:
    shares = {name: float(role.values.get("share", 1)) for name, role in roles.items()}
    if connections is None:
        if len(roles) > 1 or "share" in next(iter(roles.values())).values:
            problems.add(
                ("role",), "has roles that share the connections, and nothing says how many; add connections = 1000"
            )
            # How few are too few for a share is not known either.
            return dict.fromkeys(shares, 1)
        connections = len(roles)
    numbers = dict(zip(shares, largest_remainders(connections, list(shares.values())), strict=True))
    for name, number in numbers.items():
        if number == 0:
            place = roles[name].place
            text = f"has no session: its share is too small of {connections} connections; raise one of them"
            problems.add((*place, "share") if "share" in roles[name].values else place, text)
            numbers[name] = 1
    return numbers


def largest_remainders(total: int, shares: Sequence[float]) -> list[int]:
    """Splits a number in proportion to shares, each part to within one, so that the parts add up.

    The method of largest remainders (Hamilton): every part is rounded down, and those with the largest remainders get
    one more, the first of equals.
    """
    whole = sum(shares)
    exact = [total * share / whole for share in shares]
    parts = [int(one) for one in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts
