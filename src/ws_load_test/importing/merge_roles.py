"""Roles of several sessions: those that do the same become one role, whose contents vary as theirs do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ws_load_test.importing.draft import DraftRole
from ws_load_test.importing.loops import as_one, can_be_one, is_choice_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ws_load_test.importing.draft import DraftReaction, DraftStep

ROLE = "user"
LISTENER = "listener"


@dataclass(frozen=True, slots=True)
class Group:
    """A role, and the sessions of the capture that it was made of."""

    name: str
    role: DraftRole
    sessions: tuple[int, ...]


def merge_roles(roles: Sequence[DraftRole], labels: Sequence[str]) -> list[Group]:
    """Returns the roles of the sessions, those that do the same as one; `labels` has the names of sessions, or none."""
    groups: list[tuple[DraftRole, list[int]]] = []
    for number, draft in enumerate(roles):
        # A session that only comes and goes as others do is there to listen.
        role = next((found for one in roles if (found := _as_listener(draft, one)) is not None), draft)
        for place, (other, numbers) in enumerate(groups):
            merged = _merged(other, len(numbers), role) if labels[number] == labels[numbers[0]] else None
            if merged is not None:
                groups[place] = merged, [*numbers, number]
                break
        else:
            groups.append((role, [number]))
    # The role of most sessions comes first.
    groups.sort(key=lambda one: -len(one[1]))
    names: list[str] = []
    for role, numbers in groups:
        name = labels[numbers[0]] or (ROLE if role.steps or role.timers or len(groups) == 1 else LISTENER)
        count = 2
        while name in names:
            name, count = f"{name.rstrip('0123456789')}{count}", count + 1
        names.append(name)
    return [Group(name, role, tuple(numbers)) for name, (role, numbers) in zip(names, groups, strict=True)]


def _slots(steps: Sequence[DraftStep]) -> list[list[DraftStep]]:
    """Returns steps in their order, those of a choice together."""
    found: list[list[DraftStep]] = []
    for is_choice, group in groupby(steps, lambda step: step.weight is not None):
        together = list(group)
        found += [together] if is_choice else [[step] for step in together]
    return found


def _shapes(steps: Sequence[DraftStep]) -> list[Hashable]:
    return [slot[0].shape for slot in _slots(steps)]


def _merged(one: DraftRole, sessions: int, other: DraftRole) -> DraftRole | None:
    """Returns the role of both, of which the first has stood for so many sessions; None where they differ."""
    arranged = _arranged_as(one, other)
    if arranged is None:
        back = _arranged_as(other, one)
        if back is None:
            return None
        one, arranged = back, other
    reactions = _reactions(one.reactions, arranged.reactions)
    parts = {}
    for part in ("open", "steps", "leave"):
        counts = (one.iterations, arranged.iterations) if part == "steps" else (sessions, 1)
        steps = _section(getattr(one, part), getattr(arranged, part), counts)
        if steps is None:
            return None
        parts[part] = steps
    timers = {(timer.step.content, timer.every_ns // 10**9) for timer in (*one.timers, *arranged.timers)}
    if reactions is None or len(timers) != len(one.timers) or len(one.timers) != len(arranged.timers):
        return None
    return DraftRole(
        **parts,
        reactions=reactions,
        timers=one.timers,
        iterations=min(one.iterations, arranged.iterations),
        most_iterations=max(one.most_iterations or one.iterations, arranged.most_iterations or arranged.iterations),
        remark=one.remark if one.iterations > 1 or arranged.iterations == 1 else arranged.remark,
    )


def _arranged_as(one: DraftRole, other: DraftRole) -> DraftRole | None:
    """Returns a role with its steps in the parts in which another has its own; None where they are not the same.

    A session that went through its steps once shows no repetition, and has them all in one part.
    """
    parts = [len(_slots(part)) for part in (one.open, one.steps, one.leave)]
    wanted = [_shapes(part) for part in (one.open, one.steps, one.leave)]
    if [_shapes(part) for part in (other.open, other.steps, other.leave)] == wanted:
        return other
    every = [*other.open, *other.steps, *other.leave]
    if other.iterations > 1 or any(step.weight is not None for step in every):
        return None
    if _shapes(every) != [shape for part in wanted for shape in part]:
        return None
    opened, left = parts[0], parts[0] + parts[1]
    return DraftRole(
        every[:opened], every[opened:left], every[left:], other.reactions, other.timers, remark=other.remark
    )


def _as_listener(role: DraftRole, other: DraftRole) -> DraftRole | None:
    """Returns a role with its steps as those by which another one comes and goes; None if it has more or others."""
    every, opened = [*role.open, *role.steps, *role.leave], len(_slots(other.open))
    shapes = [*_shapes(other.open), *_shapes(other.leave)]
    is_once = role.iterations == 1 and not any(step.weight is not None for step in every)
    if not other.steps or other is role or not shapes or not is_once or _shapes(every) != shapes:
        return None
    left = every[opened:]
    if left:
        # How long it listened: in a run, that is up to the run.
        left[0].waits_ns = []
    return DraftRole(every[:opened], [], left, role.reactions, role.timers)


def _section(one: Sequence[DraftStep], other: Sequence[DraftStep], counts: tuple[int, int]) -> list[DraftStep] | None:
    """Returns the steps of two sections of the same shapes; None where they are too different to be one.

    Args:
        one: Steps of a section.
        other: Steps of the other.
        counts: How often either is gone through.
    """
    found: list[DraftStep] = []
    for ours, theirs in zip(_slots(one), _slots(other), strict=True):
        variants = [*ours, *theirs]
        if not can_be_one(variants):
            return None
        weights = [step.weight or counts[0] for step in ours] + [step.weight or counts[1] for step in theirs]
        merged = as_one(variants, weights)
        if len(merged) > 1 and found and found[-1].weight is not None:
            # Two choices that follow each other would be one.
            return None
        if not is_choice_of(merged):
            return None
        found += merged
    return found


def _reactions(one: Sequence[DraftReaction], other: Sequence[DraftReaction]) -> list[DraftReaction] | None:
    """Returns the reactions of both; None where one answers what the other does not, or in another way."""
    by_checks = {reaction.when: reaction for reaction in one}
    found = list(one)
    for reaction in other:
        same = by_checks.get(reaction.when)
        if same is None:
            if any(each.name == reaction.name for each in found):
                return None
            found.append(reaction)
            continue
        if (same.send, same.captures) != (reaction.send, reaction.captures):
            return None
        same.count += reaction.count
        same.sequence = same.sequence if same.sequence == reaction.sequence else ""
    return sorted(found, key=lambda each: -len(each.when))
