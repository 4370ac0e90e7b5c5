"""Draft of a role: steps, reactions and timers as they will stand in the plan file, with the reasons for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.exchanges import Exchange


@dataclass(eq=False)
class DraftStep:
    """A step."""

    name: str
    exchange: Exchange
    waits_ns: list[int] = field(default_factory=list)
    """Time before it, in each iteration."""
    send: str | None = None
    """Text with fields, or ``@FILE``; None if it sends nothing."""
    file: bytes | None = None
    """Contents of the file that `send` names."""
    binary: bool = False
    awaits: tuple[str, ...] = ()
    first: str = ""
    until: str = ""
    captures: dict[str, str] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    weight: int | None = None
    """Occurrences of this variant of a step."""
    remarks: list[str] = field(default_factory=list)
    deliver_to: str = ""
    """Role that receives its message; empty: none does."""
    self_delivery: str = ""
    """Delivery to the sender itself; empty: it is not said."""
    used: list[tuple[str, int]] = field(default_factory=list)
    """Names of captured values in it, and the places of the messages that they come from."""

    @property
    def shape(self) -> tuple[object, ...]:
        """The same for steps that do the same with messages of one kind."""
        sent, reply = self.exchange.sent, self.reply
        return (sent and sent.kind.key, reply and reply.kind.key, self.until, self.binary)

    @property
    def content(self) -> tuple[object, ...]:
        """The same for steps that are one and the same."""
        return (*self.shape, self.send, self.file)

    @property
    def reply(self) -> Event | None:
        """Message that completes it."""
        return self.exchange.reply


@dataclass(eq=False)
class DraftReaction:
    """A reaction."""

    name: str
    when: tuple[str, ...]
    count: int
    """Messages of the capture that it is for."""
    send: str | None = None
    file: bytes | None = None
    binary: bool = False
    captures: dict[str, str] = field(default_factory=dict)
    sequence: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(eq=False)
class DraftTimer:
    """A timer."""

    every_ns: int
    step: DraftStep


@dataclass(eq=False)
class DraftRole:
    """Everything that a session does."""

    open: list[DraftStep] = field(default_factory=list)
    steps: list[DraftStep] = field(default_factory=list)
    leave: list[DraftStep] = field(default_factory=list)
    reactions: list[DraftReaction] = field(default_factory=list)
    timers: list[DraftTimer] = field(default_factory=list)
    iterations: int = 1
    """Times that the session of the capture went through its steps."""
    most_iterations: int = 0
    """The most times, where sessions differ; 0: they do not."""
    remark: str = ""
    """Reason for the iterations."""

    @property
    def every_step(self) -> list[DraftStep]:
        """All of its steps, those of timers included."""
        return [*self.open, *self.steps, *self.leave, *(timer.step for timer in self.timers)]
