"""Steps of roles, compiled once for a worker: whatever can be known of a step before it is taken is known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ws_load_test.engine.scenario.texts import place_reader
from ws_load_test.plan.correlation import number_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from ws_load_test.engine.scenario.rows import StepRow
    from ws_load_test.engine.scenario.texts import Speaker, Test, Texts
    from ws_load_test.plan.correlation import NumberReader
    from ws_load_test.plan.scenario.model import Capture, Step
    from ws_load_test.plan.scenario.wait_time import WaitTime

    Captures = tuple[tuple[str, str, Callable[[bytes], str | None]], ...]
    """Name, place and reader of each value that is taken out of a message."""
    Expectations = tuple[tuple[str, Test], ...]
    """Name and test of each check."""


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
            self.stream = StepStream.of(step, texts, times.stall_ns)
            self.completes = self.stream.is_last
        elif step.awaits:
            self.completes = texts.all_of(step.awaits)
        self.captures = compile_captures(step.captures)
        self.expect: Expectations = tuple((str(check), texts.test(check)) for check in step.expect)
        self.to_totals = to_totals
        self.counts_at_once = to_totals and row.totals is not None
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

    def __init__(
        self, *, is_last: Test, is_first: Test | None, belongs: Test | None, stall_ns: int, count: str
    ) -> None:
        """Takes the tests of its messages, the longest gap that is no stall, and the place of a number in the last."""
        self.belongs = belongs
        """Test of all messages of the answer; None: they need not have anything in common."""
        self.is_last: Test = is_last if belongs is None else _both(belongs, is_last)
        """Test of the message that completes the step."""
        self.is_first = is_first
        """Test of the message that counts as the first; None: the first that comes."""
        self.stall_ns = stall_ns
        """Longest gap that is no stall."""
        self.read_count: NumberReader | None = number_reader(count) if count else None
        """Reads a number in the last message; None: there is none to read."""

    @classmethod
    def of(cls, step: Step, texts: Texts, stall_ns: int) -> StepStream:
        """Returns the rules of a step of a plan file."""
        return cls(
            is_last=texts.any_of(step.until),
            is_first=texts.any_of(step.first) if step.first else None,
            belongs=texts.all_of(step.awaits) if step.awaits else None,
            stall_ns=stall_ns,
            count=step.count,
        )


def compile_captures(captures: Sequence[Capture]) -> Captures:
    """Returns the name, the place and the reader of each value."""
    return tuple((one.name, one.place, place_reader(one.place)) for one in captures)


def longest_ns(wait: WaitTime) -> int:
    """Returns a time in ns that few waits exceed."""
    # Beyond 4 times the mean is one in fifty of an exponential distribution, and none of a usual normal one.
    return {"fixed": wait.ns, "uniform": wait.longest_ns}.get(wait.kind, 4 * wait.ns + 4 * wait.deviation_ns)


def _both(one: Test, other: Test) -> Test:
    return lambda payload, seq, speaker: one(payload, seq, speaker) and other(payload, seq, speaker)
