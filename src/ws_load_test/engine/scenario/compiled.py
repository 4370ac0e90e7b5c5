"""Roles of a scenario, compiled once for a worker: whatever can be known before a message comes is known here."""

from __future__ import annotations

from bisect import bisect
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ws_load_test.engine.scenario.texts import place_reader
from ws_load_test.metrics.scenario_metrics import part_key
from ws_load_test.plan.correlation import number_reader
from ws_load_test.plan.scenario.model import Step
from ws_load_test.plan.scenario.python_role import PythonRole, checks_of, load_role, split_place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from ws_load_test.engine.scenario.rows import ScenarioRows, StepRow
    from ws_load_test.engine.scenario.texts import Speaker, Test, Texts
    from ws_load_test.plan.correlation import NumberReader
    from ws_load_test.plan.scenario.model import Capture, Reaction, Role
    from ws_load_test.plan.scenario.wait_time import WaitTime

    Captures = tuple[tuple[str, str, Callable[[bytes], str | None]], ...]
    """Name, place and reader of each value that is taken out of a message."""
    Expectations = tuple[tuple[str, Test], ...]
    """Name and test of each check."""


MAX_KNOWN_CONTENTS = 1024
"""Contents given by coroutines that are kept as frames or templates."""


class Publishing(Protocol):
    """Publishers of the messages that other sessions receive."""

    def prepare(self, speaker: Speaker, due_ns: int) -> None:
        """Sets the fields of the message that is due at an instant, which leaves next."""
        ...

    def confirm(self, speaker: Speaker) -> None:
        """Takes note that the message has left."""
        ...


class StepTimes(NamedTuple):
    """Bounds of the times of all steps, as far as a step has none of its own."""

    timeout_ns: int
    """Longest time until a step is complete."""
    stall_ns: int
    """Longest gap between two messages of an answer that is no stall."""


class CompiledStep:
    """A step of one role."""

    __slots__ = (
        "captures",
        "close",
        "completes",
        "counts_at_once",
        "expect",
        "is_delivered",
        "name",
        "outgoing",
        "publishing",
        "role",
        "row",
        "stream",
        "timeout_ns",
        "to_totals",
        "wait",
        "weight",
    )

    def __init__(self, role: str, step: Step, texts: Texts, row: StepRow, times: StepTimes, *, to_totals: bool) -> None:
        """Compiles a step.

        Args:
            role: Name of its role.
            step: The step of the plan.
            texts: Compiler of its texts.
            row: Its counts.
            times: Bounds of the plan, where the step has none of its own.
            to_totals: It sends messages that are part of the load, and counted in the run's totals as well.
        """
        self.role = role
        self.name = step.name
        self.row = row
        self.wait = step.wait
        self.outgoing: Frames | None = (
            None if step.send is None else texts.outgoing(step.send, to_audience=bool(step.deliver_to))
        )
        self.timeout_ns = step.timeout_ns or times.timeout_ns
        self.weight = step.weight
        self.close = step.close
        self.completes: Test | None = None
        """Test of the message that completes it; None: it awaits none."""
        self.stream: StepStream | None = None
        """Rules of its answer, where it is many messages."""
        if step.until:
            self.stream = StepStream(step, texts, times.stall_ns)
            self.completes = self.stream.is_last
        elif step.awaits:
            self.completes = texts.all_of(step.awaits)
        self.captures = compile_captures(step.captures)
        self.expect: Expectations = tuple((str(check), texts.test(check)) for check in step.expect)
        self.to_totals = to_totals
        self.counts_at_once = self.to_totals and row.totals is not None
        """Its row counts its messages in the totals as well; else their sessions' owners do."""
        self.is_delivered = bool(step.deliver_to)
        """Other sessions receive its message."""
        self.publishing: Publishing | None = None
        """Publishers of its message; None: no session receives it."""

    def pick(self, random: Random) -> CompiledStep:  # noqa: ARG002 - a Choice draws
        """Returns the step itself."""
        return self

    @property
    def pauses(self) -> bool:
        """True if it takes time, so that a session that goes through it again and again lets others have theirs."""
        return self.completes is not None or (self.wait is not None and longest_ns(self.wait) > 0)

    def __str__(self) -> str:
        return f'step "{self.name}" of role "{self.role}"'


class Frames(Protocol):
    """A message that sessions send, as frames."""

    def frame(self, number: int, speaker: Speaker) -> bytes:
        """Returns the message of this number as a frame."""
        ...


class StepStream:
    """Rules of an answer that is many messages."""

    __slots__ = ("belongs", "is_first", "is_last", "read_count", "stall_ns")

    def __init__(self, step: Step, texts: Texts, stall_ns: int) -> None:
        last = texts.any_of(step.until)
        self.belongs: Test | None = texts.all_of(step.awaits) if step.awaits else None
        """Test of all messages of the answer; None: they need not have anything in common."""
        self.is_last: Test = last if self.belongs is None else _both(self.belongs, last)
        """Test of the message that completes the step."""
        self.is_first: Test | None = texts.any_of(step.first) if step.first else None
        """Test of the message that counts as the first; None: the first that comes."""
        self.stall_ns = stall_ns
        """Longest gap that is no stall."""
        self.read_count: NumberReader | None = number_reader(step.count) if step.count else None
        """Reads a number in the last message; None: there is none to read."""


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


class RoleCode:
    """Coroutine of a role, and the steps that it asks for."""

    def __init__(self, role: Role, found: PythonRole, texts: Texts, rows: ScenarioRows, times: StepTimes) -> None:
        """Takes the role as its file has it, and what `CompiledRole` takes."""
        self.coroutine = found.coroutine
        self.functions = found.functions
        """Functions that take messages, by the name of the reaction."""
        self.file = split_place(role.python)[0]
        """Path of its file, as it is written."""
        self.path = str(Path(self.file).absolute())
        self.timeout_ns = times.timeout_ns
        """Time-out of steps that have none of their own."""
        self._role = role.name
        self._texts = texts
        self._rows = rows
        self._times = times
        self._spoken = SpokenText(texts)
        self._steps: dict[AskedStep, CompiledStep] = {}

    def step(self, asked: AskedStep) -> CompiledStep:
        """Returns a step, compiled when it is asked for first.

        Raises:
            ValueError: A check is none.
        """
        step = self._steps.get(asked)
        if step is None:
            model = Step(
                name=asked.name,
                awaits=checks_of(asked.awaits),
                timeout_ns=asked.timeout_ns,
                expect=checks_of(asked.expect),
            )
            to_totals = asked.sends and asked.is_load
            row = self._rows.step(self._role, asked.name, always=asked.opens, to_totals=to_totals)
            step = CompiledStep(self._role, model, self._texts, row, self._times, to_totals=to_totals)
            if asked.sends:
                step.outgoing = self._spoken
            self._steps[asked] = step
        return step


class AskedStep(NamedTuple):
    """A step as a coroutine asks for it."""

    name: str
    sends: bool
    awaits: str | tuple[str, ...]
    expect: str | tuple[str, ...]
    timeout_ns: int | None
    opens: bool
    """It is taken before the load begins on the session."""
    is_load: bool
    """Its messages are part of the load."""


class SpokenText:
    """Message whose content the code of a session has given."""

    def __init__(self, texts: Texts) -> None:
        self._outgoing = lru_cache(MAX_KNOWN_CONTENTS)(texts.spoken)

    def frame(self, number: int, speaker: Speaker) -> bytes:
        """Returns the content as a frame; fields in it are filled in."""
        return self._outgoing(speaker.content).frame(number, speaker)


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


def compile_captures(captures: Sequence[Capture]) -> Captures:
    """Returns the name, the place and the reader of each value."""
    return tuple((one.name, one.place, place_reader(one.place)) for one in captures)


def longest_ns(wait: WaitTime) -> int:
    """Returns a time in ns that few waits exceed."""
    # Beyond 4 times the mean is one in fifty of an exponential distribution, and none of a usual normal one.
    return {"fixed": wait.ns, "uniform": wait.longest_ns}.get(wait.kind, 4 * wait.ns + 4 * wait.deviation_ns)


def _both(one: Test, other: Test) -> Test:
    return lambda payload, seq, speaker: one(payload, seq, speaker) and other(payload, seq, speaker)
