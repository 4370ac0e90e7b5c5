"""Descriptions of what a machine lacks for a plan, and of the settings to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.common.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.plan.plan import Plan


class Shortage(NamedTuple):
    """One resource of which there is too little."""

    text: str
    """Sentence with what the plan needs, and what there is."""
    remedies: tuple[str, ...]
    """Settings to change, each in words that follow an "or"."""
    max_connections: int
    """Most connections that there is enough for."""


def explain(plan: Plan, shortages: Sequence[Shortage]) -> str:
    """Returns all shortages as an error's text: one line, or a line for each below a heading."""
    most = min(shortage.max_connections for shortage in shortages)
    option = "--connections" if plan.connection_profile is None else "--connection-stages"
    lower = "lower -c to" if plan.connection_profile is None else "let it rise to no more than"
    last = (f"{lower} {format_count(most)}",) if most else ()
    lines = [f"{shortage.text}; {', or '.join(shortage.remedies + last)}" for shortage in shortages]
    if len(lines) == 1:
        return f"{option}: {lines[0]}"
    heading = f"{option}: this machine cannot carry {format_count(plan.connections)} connections as it is:"
    return "\n  ".join([heading, *lines])
