"""Check of the audience of a scenario: the role that receives what others publish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_count
from ws_load_test.plan.options.scenario.roles import no_such_role

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.written_role import WrittenRole

COMES_BACK = ("reconnect", "disconnect", "lifetime")
"""Options by which a session comes back."""


def check_audience(
    roles: Mapping[str, WrittenRole],
    sessions: Mapping[str, int],
    rooms: tuple[str, ...],
    values: Mapping[str, Any],
    problems: Problems,
) -> None:
    """Adds to `problems` what is wrong with the role that receives deliveries, and with the rooms."""
    audience = _audience(roles, problems)
    if len(rooms) > 1 and audience and len(rooms) > sessions[audience] and not problems.found:
        text = f"{format_count(len(rooms))} rooms are more than the {format_count(sessions[audience])} sessions of"
        problems.add(("rooms",), f"{text} {audience}, so some would be empty; take fewer rooms")
    for role in roles.values():
        sends = bool(role.publishing)
        if not problems.found and sends and sessions[role.name] < len(rooms) and _joins_room(role):
            text = f"{role.name} has fewer sessions than there are rooms ({len(rooms)}), so that each sends to all"
            problems.warn(role.place, f"{text} rooms in turn, though it joins one; take fewer rooms, or more sessions")
    for name in ("recovery", "timed"):
        if name in values and not audience and not problems.found:
            problems.add((name,), "is of deliveries, and no step has deliver-to; leave it out")
    if values.get("recovery") == "expected" and not any(name in values for name in COMES_BACK):
        problems.add(("recovery",), 'no session comes back after it was lost; add reconnect = "exponential"')


def _joins_room(role: WrittenRole) -> bool:
    """Returns True if a session of a role names its room before its steps."""
    texts = [one.part.send.payload for one in role.open if one.part.send is not None]
    return any(b"{room}" in text for text in texts)


def _audience(roles: Mapping[str, WrittenRole], problems: Problems) -> str:
    """Returns the name of the role that receives deliveries; adds to `problems` those that cannot."""
    audience = self_delivery = ""
    for part, where in (one for role in roles.values() for one in role.publishing):
        is_code = where[2] == "python"
        wanted, place = part.deliver_to, where if is_code else (*where, "deliver-to")
        if problems.has(place):
            continue
        if where[2] not in {"steps", "python"}:
            text = "is of steps that belong to the load; move the step to [[role.NAME.steps]]"
            problems.add(place, text)
            continue
        if wanted not in roles:
            problems.add(place, no_such_role(wanted, roles))
        elif audience and wanted != audience:
            text = f'"{wanted}" would be a second audience beside "{audience}"; a scenario has one'
            problems.add(place, f"{text}, so let both be one role")
        elif "arrive" in roles[wanted].values:
            text = f"the sessions of {wanted} arrive and leave, so that nothing says how many must receive it"
            problems.add(place, f"{text}; give that role sessions or a share instead of arrive")
        else:
            audience = wanted
            self_delivery = self_delivery or part.self_delivery
            if part.self_delivery != self_delivery:
                text = f'"{part.self_delivery}" here, and "{self_delivery}" in another step; write the same in all'
                problems.add(where if is_code else (*where, "self-delivery"), text)
    return audience
