"""Reading of roles: their keys, what they take from others by `like`, and what is wrong with each by itself."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.plan.options.scenario.captures import check_captures
from ws_load_test.plan.options.scenario.keys import ROLE, read_table
from ws_load_test.plan.options.scenario.steps import Placed, read_reactions, read_steps, read_timers
from ws_load_test.plan.options.scenario.values import role_name
from ws_load_test.plan.options.scenario.written_role import WrittenRole
from ws_load_test.plan.scenario.model import Step, Timer, split_place
from ws_load_test.plan.scenario.python_role import load_role, texts_in
from ws_load_test.plan.values import kind_of

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.problems import Problems
    from ws_load_test.plan.options.scenario.texts import Texts
    from ws_load_test.plan.options.scenario.toml_lines import Path

_CONTENTS = ("open", "steps", "leave", "on", "timer", "python")
_OF_ARRIVALS = ("arrivals", "seed", "at-most")


def read_roles(
    written: Mapping[str, Any], texts: Texts, problems: Problems, every: Mapping[str, Any]
) -> dict[str, WrittenRole]:
    """Returns the roles by their names, with what they take from others; adds to `problems` what is wrong.

    Args:
        written: The roles as they are written.
        texts: Reads texts and their fields.
        problems: Takes what is wrong.
        every: What every role does before its own.
    """
    roles: dict[str, WrittenRole] = {}
    for name, table in written.items():
        place = ("role", str(name))
        try:
            role_name(str(name))
        except ValueError as error:
            problems.add(place, str(error))
            continue
        if isinstance(table, dict):
            roles[str(name)] = _read_role(str(name), table, place, texts, problems)
        else:
            problems.add(place, f"takes a table such as [role.{name}], not {kind_of(table)}")
    _check_empty_roles(roles, problems)
    first = _first_of_every_role(every, texts, problems)
    for role in roles.values():
        _check_names_of_code(role, first, problems)
    complete = {name: _named(_after(first, _with_base(role, roles, problems))) for name, role in roles.items()}
    for role in complete.values():
        # Without what it takes from another, it would seem to lack it.
        if not _lacks_base(role, roles):
            _check_restarts(role, problems)
            check_captures(role, problems)
    return complete


def _lacks_base(role: WrittenRole, roles: Mapping[str, WrittenRole]) -> bool:
    """Returns True for a role that is like one that does not exist, or like itself, over others perhaps."""
    names = {role.name}
    while "like" in role.values:
        base = role.values["like"]
        if base in names or base not in roles:
            return True
        names.add(base)
        role = roles[base]
    return False


def _check_empty_roles(roles: Mapping[str, WrittenRole], problems: Problems) -> None:
    """Finds roles without contents to which no step delivers: an audience that its URL puts into a room needs none."""
    audiences = {one.deliver_to for role in roles.values() for one, _ in role.publishing}
    for name, role in roles.items():
        empty = not any(role.values.get(key) for key in (*_CONTENTS, "like"))
        if empty and name not in audiences and not problems.has(role.place):
            problems.add(role.place, "does nothing; give it steps, open, on, timer or like")


def _first_of_every_role(every: Mapping[str, Any], texts: Texts, problems: Problems) -> WrittenRole:
    """Returns what a preset has for every role; problems with it are those of the key `protocol`."""
    place = ("protocol",)
    return WrittenRole(
        "every",
        place,
        {},
        open=read_steps(every.get("open", ()), place, texts, problems),
        reactions=read_reactions(every.get("on", ()), place, texts, problems),
        timers=read_timers(every.get("timer", ()), place, texts, problems),
    )


def _after(first: WrittenRole, role: WrittenRole) -> WrittenRole:
    """Returns a role that does first what every role does."""
    return replace(
        role,
        open=first.open + role.open,
        reactions=first.reactions + role.reactions,
        timers=first.timers + role.timers,
    )


def _read_role(name: str, table: Mapping[str, Any], place: Path, texts: Texts, problems: Problems) -> WrittenRole:
    values = read_table(table, ROLE, place, problems)
    role = WrittenRole(
        name,
        place,
        values,
        open=read_steps(values.get("open", ()), (*place, "open"), texts, problems),
        steps=read_steps(values.get("steps", ()), (*place, "steps"), texts, problems),
        leave=read_steps(values.get("leave", ()), (*place, "leave"), texts, problems),
        reactions=read_reactions(values.get("on", ()), (*place, "on"), texts, problems),
        timers=read_timers(values.get("timer", ()), (*place, "timer"), texts, problems),
    )
    _check_role(role, problems)
    if "python" in values and not problems.has(place):
        role = _with_code(role, texts, problems)
    return role


def _check_names_of_code(role: WrittenRole, first: WrittenRole, problems: Problems) -> None:
    """Finds reactions of a coroutine's file whose name a preset has, so that its messages would be taken for others."""
    taken = {one.part.name for one in first.reactions}
    if "python" in role.values:
        for one in role.reactions:
            if one.part.name in taken:
                text = f'its reaction "{one.part.name}" has the name of one of the preset; give it another name'
                problems.add(one.place, text)


def _with_code(role: WrittenRole, texts: Texts, problems: Problems) -> WrittenRole:
    """Returns a role of Python with the reactions of its file, which is found beside the plan file or here."""
    here, written = (*role.place, "python"), role.values["python"]
    beside = os.path.join(problems.folder, written)  # noqa: PTH118 - an absolute path stays what it is
    found_at = beside if os.path.exists(split_place(beside)[0]) else written  # noqa: PTH110
    try:
        found = load_role(found_at)
    except ValueError as error:
        problems.add(here, str(error))
        return role
    for text in texts_in(found_at):
        texts.keep_fields(text, here)
    reactions = tuple(Placed(one, here) for one in found.reactions)
    return replace(
        role,
        values={**role.values, "python": found_at},
        reactions=reactions,
        deliver_to=found.deliver_to,
        self_delivery=found.self_delivery,
    )


def _check_role(role: WrittenRole, problems: Problems) -> None:
    """Finds keys of a role that do not fit each other."""
    values, place = role.values, role.place
    if "python" in values:
        _check_python(role, problems)
    for key, text in _problems_of_numbers(values):
        problems.add((*place, key), text)
    if "steps" not in values and "python" not in values:
        for key in ("rate", "iterations"):
            if key in values:
                problems.add(
                    (*place, key), f"is of iterations, and the role has no steps; add [[role.{role.name}.steps]]"
                )
    never_waits = not any(one.part.wait or one.part.awaits_message or one.part.close for one in role.steps)
    if role.steps and "rate" not in values and never_waits and not problems.has((*place, "steps")):
        text = "neither wait nor await, so that iterations would follow each other without end"
        problems.add((*place, "steps"), f"{text}; add wait or await to one, or rate to the role")


def _check_python(role: WrittenRole, problems: Problems) -> None:
    for key in (*_CONTENTS[:-1], "like"):
        if key in role.values:
            text = "cannot stand beside python, whose coroutine does it; leave one of them out"
            problems.add((*role.place, key), text)


def _problems_of_numbers(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the keys that say how many sessions there are and do not fit each other, and why."""
    found = []
    if "share" in values and "sessions" in values:
        found.append(("sessions", "cannot stand beside share: both say how many sessions there are"))
    if "arrive" in values:
        found += [
            (key, "cannot stand beside arrive: at-most says how many of the arriving sessions there can be")
            for key in ("share", "sessions")
            if key in values
        ]
        if "at-most" not in values:
            found.append(("arrive", "needs a bound on the sessions at the same time; add at-most = 200"))
        closes = any("close" in one for one in values.get("steps", ()) if isinstance(one, dict))
        if not closes and not values.keys() & {"stay", "iterations", "python"}:
            found.append(("arrive", "brings sessions that never leave; add stay or iterations"))
    else:
        found += [(key, "is of sessions that arrive; add arrive") for key in _OF_ARRIVALS if key in values]
    if "arrive" in values and "seed" in values and values.get("arrivals") != "poisson":
        found.append(("seed", 'only arrivals = "poisson" is random'))
    return found


def _with_base(role: WrittenRole, roles: Mapping[str, WrittenRole], problems: Problems) -> WrittenRole:
    """Returns a role with what it takes from the one that it is like, and so on."""
    chain, names = [role], [role.name]
    while "like" in chain[-1].values:
        base = chain[-1].values["like"]
        place = (*chain[-1].place, "like")
        if base in names:
            if any(problems.has((*one.place, "like")) for one in chain):
                # Of a circle, one problem suffices.
                return role
            text = "is the role itself" if base == chain[-1].name else f"leads back to it: {' → '.join((*names, base))}"
            problems.add(place, f'"{base}" {text}; a role is like another one')
            return role
        if base not in roles:
            problems.add(place, no_such_role(base, roles))
            return role
        chain.append(roles[base])
        names.append(base)
    for base_role in chain[1:]:
        role = replace(
            role,
            open=base_role.open + role.open,
            leave=role.leave + base_role.leave,
            reactions=role.reactions + base_role.reactions,
            timers=base_role.timers + role.timers,
        )
    return role


def no_such_role(name: str, roles: Sequence[str] | Mapping[str, Any]) -> str:
    """Returns a sentence about a role that does not exist."""
    near = difflib.get_close_matches(name, list(roles), n=1)
    others = f"did you mean {near[0]}?" if near else f"there are {', '.join(roles)}"
    return f'there is no role "{name}"; {others}'


def _named(role: WrittenRole) -> WrittenRole:
    """Returns a role in which every step and every reaction has a name, reactions each another."""

    def named(steps: tuple[Placed[Step], ...], word: str) -> tuple[Placed[Step], ...]:
        return tuple(
            one if one.part.name else Placed(msgspec.structs.replace(one.part, name=f"{word}-{number}"), one.place)
            for number, one in enumerate(steps, 1)
        )

    timers = []
    for number, timer in enumerate(role.timers, 1):
        step = timer.part.step
        step = step if step.name else msgspec.structs.replace(step, name=f"timer-{number}")
        timers.append(Placed(Timer(timer.part.every_ns, step), timer.place))
    taken: set[str] = set()
    reactions = []
    for one in role.reactions:
        name, number = one.part.name, 1
        while name in taken:
            number += 1
            name = f"{one.part.name} ({number})"
        taken.add(name)
        reactions.append(Placed(msgspec.structs.replace(one.part, name=name), one.place))
    return replace(
        role,
        open=named(role.open, "open"),
        steps=named(role.steps, "step"),
        leave=named(role.leave, "leave"),
        timers=tuple(timers),
        reactions=tuple(reactions),
    )


def _check_restarts(role: WrittenRole, problems: Problems) -> None:
    """Finds reactions that restart the numbers of one that does not exist, or has none."""
    by_name = {one.part.name: one.part for one in role.reactions}
    for one in role.reactions:
        wanted = one.part.restarts
        if not wanted:
            continue
        place = (*one.place, "restarts")
        if wanted not in by_name:
            near = difflib.get_close_matches(wanted, by_name, n=1)
            meant = f"did you mean {near[0]}?" if near else "write the name of one that has sequence"
            problems.add(place, f'there is no reaction "{wanted}" in role {role.name}; {meant}')
        elif not by_name[wanted].sequence:
            problems.add(place, f'"{wanted}" has no sequence, whose numbers would begin anew')
