"""Coroutine of a role, compiled once for a worker, and the steps that it asks for, each when it is asked for first."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.engine.scenario.compiled_step import CompiledStep, StepStream
from ws_load_test.messages.fields import PublishMarker
from ws_load_test.plan.correlation import parse_number_place
from ws_load_test.plan.scenario.model import Step, split_place
from ws_load_test.plan.scenario.python_role import PythonRole, checks_of

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.compiled_step import Publishing, StepTimes
    from ws_load_test.engine.scenario.rows import ScenarioRows
    from ws_load_test.engine.scenario.texts import Outgoing, Speaker, Texts
    from ws_load_test.plan.correlation import Check
    from ws_load_test.plan.scenario.model import Role

MAX_KNOWN_CONTENTS = 1024
"""Contents given by coroutines that are kept as frames or templates."""
MAX_KNOWN_STEPS = 4096
"""Steps of one role that are kept compiled, of some 2 kB each: where a check has the number of a turn in it, each turn
has another."""
MARKER = PublishMarker.example
"""Field of a message that other sessions receive."""
ANY = "any"
"""Value of `first` of an answer whose first message is the first that comes."""


class RoleCode:
    """Coroutine of a role, and the steps that it asks for."""

    def __init__(self, role: Role, found: PythonRole, texts: Texts, rows: ScenarioRows, times: StepTimes) -> None:
        """Takes the role as its file has it, and what `CompiledRole` takes."""
        self.coroutine = found.coroutine
        self.functions = found.functions
        """Functions that take messages, by the name of the reaction."""
        path = Path(split_place(role.python)[0])
        self.file = path.name
        """Name of its file: its folder may be that of another machine."""
        self.path = str(path.absolute())
        self.timeout_ns = times.timeout_ns
        """Time-out of steps that have none of their own."""
        self.publishes = bool(role.deliver_to)
        """Other sessions receive what it sends with a marker."""
        self.publishing: Publishing | None = None
        """Publishers of these messages; None: no session receives them."""
        self._role = role.name
        self._texts = texts
        self._rows = rows
        self._times = times
        self._spoken = SpokenText(texts, publishes=self.publishes)
        self.steps: dict[tuple[object, ...], CompiledStep] = {}
        """Steps that have been asked for, by the fields of `AskedStep`."""

    def step(self, asked: AskedStep) -> CompiledStep:
        """Returns a step, compiled when it is asked for first.

        Raises:
            ValueError: A check is none, or the place of a count.
        """
        step = self.steps.get(asked)
        if step is None:
            if len(self.steps) >= MAX_KNOWN_STEPS:
                del self.steps[next(iter(self.steps))]
            step = self.steps[asked] = self._compiled(asked)
        return step

    def _checks(self, written: Checks) -> tuple[Check, ...]:
        found = checks_of(written)
        for check in found:
            self._texts.has_values(self._texts.template(str(check)))
        return found

    def _compiled(self, asked: AskedStep) -> CompiledStep:
        stream = asked.stream
        model = Step(
            name=asked.name,
            awaits=self._checks(asked.awaits),
            timeout_ns=asked.timeout_ns,
            expect=self._checks(asked.expect),
        )
        to_totals = asked.sends and asked.is_load
        row = self._rows.step(self._role, asked.name, always=asked.opens, to_totals=to_totals)
        step = CompiledStep(self._role, model, self._texts, row, self._times, to_totals=to_totals)
        if asked.sends:
            step.outgoing = self._spoken
        if asked.publishes:
            step.is_delivered, step.publishing = True, self.publishing
        if stream is not None and step.completes is not None:
            first, each = stream.first, self._checks(stream.each)
            step.stream = StepStream(
                is_last=step.completes,
                is_first=None if first == ANY else self._texts.all_of(self._checks(first)),
                belongs=self._texts.all_of(each) if each else None,
                stall_ns=self._times.stall_ns,
                count=parse_number_place(stream.count_at) if stream.count_at else "",
            )
            step.completes = step.stream.is_last
        return step


Checks = str | tuple[str, ...]
"""One check, or several that must all hold."""


class AskedStream(NamedTuple):
    """Rules of an answer of many messages, as a coroutine asks for it."""

    first: Checks
    """Checks of the message that counts as the first; `ANY`: the first that comes."""
    each: Checks
    """Checks of all its messages."""
    count_at: str
    """Place of a number in the last one; empty: none is read."""


class AskedStep(NamedTuple):
    """A step as a coroutine asks for it."""

    name: str
    sends: bool
    awaits: Checks
    expect: Checks
    timeout_ns: int | None
    opens: bool
    """It is taken before the load begins on the session."""
    is_load: bool
    """Its messages are part of the load."""
    stream: AskedStream | None
    """Rules of its answer, where that is many messages; None elsewhere."""
    publishes: bool
    """Other sessions receive its message."""


class SpokenText:
    """Message whose content the code of a session has given."""

    def __init__(self, texts: Texts, *, publishes: bool) -> None:
        """Takes what compiles it; `publishes`: other sessions receive those that have a marker."""
        self._texts = texts
        self._publishes = publishes
        self._outgoing = lru_cache(MAX_KNOWN_CONTENTS)(self._compiled)

    def _compiled(self, content: str | bytes) -> Outgoing:
        has_marker = isinstance(content, str) and MARKER in content
        if has_marker and not self._publishes:
            raise ValueError(f'{MARKER} is for deliveries; write @role(deliver_to="ROLE"), the role that receives them')
        return self._texts.spoken(content, to_audience=has_marker)

    def frame(self, number: int, speaker: Speaker) -> bytes:
        """Returns the content as a frame; fields in it are filled in."""
        return self._outgoing(speaker.content).frame(number, speaker)
