"""Checks of captured values: none is used before it is taken, none that nothing takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import chain, groupby
from typing import TYPE_CHECKING

from ws_load_test.plan.options.scenario.texts import captures_in, fields_of_checks, fields_of_text, has_number

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.steps import Placed
    from ws_load_test.plan.options.scenario.written_role import WrittenRole
    from ws_load_test.plan.scenario.model import Reaction, Step


def check_captures(role: WrittenRole, problems: Problems) -> None:
    """Adds the uses of values that a session has not taken by then to `problems`.

    A session takes its steps in order: `open`, `steps`, `leave`. What a reaction or a timer takes may come at any
    time, so that anything can use it; and they can use whatever the session takes at some time.
    """
    ordered = (*role.open, *role.steps, *role.leave)
    beside: tuple[Placed[Step] | Placed[Reaction], ...] = (*role.reactions, *role.timer_steps)
    by_chance = {one.name for part in beside for one in part.part.captures}
    every = by_chance | {one.name for part in ordered for one in part.part.captures}
    taken = set(by_chance)
    numbered = False
    for alternatives in chain(*map(_in_choices, (role.open, role.steps, role.leave))):
        for placed in alternatives:
            for key, name in _uses(placed.part):
                if name not in taken:
                    problems.add((*placed.place, key), _untaken(name, every, role))
            if placed.part.send is None and not numbered and has_number(fields_of_checks(placed.part.awaits)):
                text = "can match no message: {seq} is the number of the message that was sent before, and none has it"
                problems.add((*placed.place, "await"), text)
        taken |= {one.name for placed in alternatives for one in placed.part.captures}
        numbered |= any(has_number(fields_of_text(placed.part.send)) for placed in alternatives)
    for part in beside:
        for key, name in _uses(part.part):
            if name not in every:
                problems.add((*part.place, key), _untaken(name, every, role))


def _in_choices(steps: tuple[Placed[Step], ...]) -> Iterator[tuple[Placed[Step], ...]]:
    """Yields steps one by one, those of a choice together."""
    for number, group in groupby(enumerate(steps), lambda one: -1 if one[1].part.weight is not None else one[0]):
        found = tuple(placed for _, placed in group)
        if number == -1:
            yield found
        else:
            yield from ((placed,) for placed in found)


def _uses(part: Step | Reaction) -> Iterator[tuple[str, str]]:
    """Yields the key in which a value is used, and its name."""
    yield from (("send", name) for name in captures_in(fields_of_text(part.send)))
    for key in ("awaits", "until", "first", "expect", "when"):
        checks = getattr(part, key, ())
        yield from ((key.replace("awaits", "await"), name) for name in captures_in(fields_of_checks(checks)))


def _untaken(name: str, every: set[str], role: WrittenRole) -> str:
    if name in every:
        return f"{{my.{name}}} is used before a step of role {role.name} captures it; capture it in an earlier step"
    near = difflib.get_close_matches(name, every, n=1)
    meant = f"did you mean {{my.{near[0]}}}?" if near else f'add capture = {{ {name} = "json:PATH" }} to a step'
    return f"{{my.{name}}}: nothing in role {role.name} captures it; {meant}"
