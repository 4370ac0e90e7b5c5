"""Roles of a scenario, compiled once for a worker: whatever can be known before a message comes is known here."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from ws_load_test.engine.scenario.compiled_step import CompiledStep, compile_captures, longest_ns
from ws_load_test.engine.scenario.role_code import RoleCode
from ws_load_test.engine.scenario.texts import place_reader
from ws_load_test.metrics.scenario_metrics import part_key
from ws_load_test.plan.correlation import number_reader
from ws_load_test.plan.scenario.python_role import load_role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from ws_load_test.engine.scenario.compiled_step import Frames, Publishing, StepTimes
    from ws_load_test.engine.scenario.rows import ScenarioRows
    from ws_load_test.engine.scenario.texts import Texts
    from ws_load_test.plan.correlation import NumberReader
    from ws_load_test.plan.scenario.model import Reaction, Role, Step


class Choice:
    """Steps of which one is taken each time, by their weights."""

    __slots__ = ("_reached", "steps")

    def __init__(self, steps: Sequence[CompiledStep]) -> None:
        self.steps = tuple(steps)
        self._reached = list(accumulate(step.weight or 0.0 for step in steps))

    def pick(self, random: Random) -> CompiledStep:
        """Returns one of the steps."""
        place = bisect(self._reached, random.random() * self._reached[-1])
        return self.steps[min(place, len(self.steps) - 1)]

    @property
    def pauses(self) -> bool:
        """True if each of its steps does."""
        return all(step.pauses for step in self.steps)


Section = tuple[CompiledStep | Choice, ...]
"""Steps that follow each other."""


class CompiledReaction:
    """A reaction of one role."""

    def __init__(self, role: Role, reaction: Reaction, texts: Texts) -> None:
        self.name = reaction.name
        self.key = part_key(role.name, reaction.name)
        self.test = texts.all_of(reaction.when)
        self.outgoing: Frames | None = None if reaction.send is None else texts.outgoing(reaction.send)
        self.captures = compile_captures(reaction.captures)
        self.fault = reaction.fault
        self.read_number: NumberReader | None = number_reader(reaction.sequence) if reaction.sequence else None
        self.read_key = place_reader(reaction.per) if reaction.per else None
        self.read_stamp_ms: NumberReader | None = number_reader(reaction.age) if reaction.age else None
        self.silence_ns = reaction.silence_ns
        self.restarts: int | None = next(
            (place for place, other in enumerate(role.reactions) if reaction.restarts == other.name), None
        )
        """Place of the reaction whose numbers begin anew with such a message."""

    @property
    def needs_state(self) -> bool:
        """True if each session remembers something of its messages."""
        return self.read_number is not None or self.silence_ns is not None


class CompiledTimer:
    """A step that a session takes every so often."""

    def __init__(self, every_ns: int, step: CompiledStep) -> None:
        self.every_ns = every_ns
        self.step = step


class CompiledRole:
    """A role, as all of its sessions on a worker share it."""

    def __init__(
        self, role: Role, texts: Texts, rows: ScenarioRows, times: StepTimes, *, first_number: int, rooms: Sequence[str]
    ) -> None:
        """Compiles a role.

        Args:
            role: The role of the plan.
            texts: Compiler of its texts.
            rows: Counts of the worker.
            times: Bounds of steps that have none of their own.
            first_number: Number of the role's first session.
            rooms: Names of all rooms.
        """
        self.plan = role
        self.name = role.name
        self.first_number = first_number
        self._rooms = rooms

        def compiled(step: Step, *, always: bool = False, to_totals: bool = False) -> CompiledStep:
            to_totals = to_totals and step.send is not None
            row = rows.step(role.name, step.name, always=always, to_totals=to_totals)
            return CompiledStep(role.name, step, texts, row, times, to_totals=to_totals)

        self.open = in_choices([compiled(step, always=True) for step in role.open])
        self.steps = in_choices([compiled(step, to_totals=True) for step in role.steps])
        self.leave = in_choices([compiled(step) for step in role.leave])
        self.timers = tuple(
            CompiledTimer(timer.every_ns, compiled(timer.step, to_totals=True)) for timer in role.timers
        )
        self.reactions = tuple(CompiledReaction(role, reaction, texts) for reaction in role.reactions)
        self.needs_states = any(reaction.needs_state for reaction in self.reactions)
        self.has_captures = any(step.captures for step in self.all_steps()) or any(
            reaction.captures for reaction in self.reactions
        )
        self.code = RoleCode(role, load_role(role.python), texts, rows, times) if role.python else None
        """Code of its sessions, where that is a coroutine; None elsewhere."""
        self.pauses = any(entry.pauses for entry in self.steps)
        """True if an iteration takes time, whatever is chosen."""
        self.only_receives = not (self.steps or self.timers or self.reactions or self.code)
        """True if a session that is ready needs to look at no message."""

    def run_code(self, code: RoleCode) -> None:
        """Makes its sessions run a coroutine."""
        self.code, self.only_receives = code, False

    def publish_by(self, publishing: Publishing) -> None:
        """Makes the steps whose messages others receive publish them."""
        for step in self.all_steps():
            if step.is_delivered:
                step.publishing = publishing
        if self.code is not None:
            self.code.publishing = publishing

    def all_steps(self) -> list[CompiledStep]:
        """Returns every step, those of timers included."""
        entries = (*self.open, *self.steps, *self.leave)
        steps = [step for entry in entries for step in (entry.steps if isinstance(entry, Choice) else (entry,))]
        return steps + [timer.step for timer in self.timers]

    @property
    def longest_end_ns(self) -> int:
        """Time that a session can take from the end of the load to its close: the step in flight, and leaving."""
        longest = max((step.timeout_ns for step in self.all_steps()), default=0)
        if self.code is not None:
            # The step that a coroutine is at, and one to leave with.
            longest = max(longest, 2 * self.code.timeout_ns)
        leaving = sum(
            max(step.timeout_ns + (longest_ns(step.wait) if step.wait else 0) for step in steps)
            for steps in (entry.steps if isinstance(entry, Choice) else (entry,) for entry in self.leave)
        )
        return longest + leaving

    def room_of(self, connection: int) -> str:
        """Returns the name of the room that a session is in; empty without rooms."""
        return self._rooms[(connection - self.first_number) % len(self._rooms)] if self._rooms else ""


def in_choices(steps: Sequence[CompiledStep]) -> Section:
    """Returns the steps in order, those that follow each other and have a weight as a choice."""
    section: list[CompiledStep | Choice] = []
    alternatives: list[CompiledStep] = []
    for step in (*steps, None):
        if step is not None and step.weight is not None:
            alternatives.append(step)
            continue
        if alternatives:
            section.append(Choice(alternatives))
            alternatives = []
        if step is not None:
            section.append(step)
    return tuple(section)
