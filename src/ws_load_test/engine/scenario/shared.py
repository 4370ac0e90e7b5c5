"""Seams between the parts of a scenario: a session that takes steps, and the parts that all sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ws_load_test.engine.scenario.texts import Speaker

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.scenario.alarms import Alarms
    from ws_load_test.engine.scenario.compiled import CompiledRole
    from ws_load_test.engine.scenario.compiled_step import Captures, CompiledStep
    from ws_load_test.engine.scenario.rows import ScenarioRows


class SharedParts(Protocol):
    """Parts of a worker that its sessions share."""

    alarms: Alarms
    random: Random
    """Decides about waits, choices and numbers of iterations."""
    rows: ScenarioRows
    next_number: Callable[[], int]
    """Returns the number of the worker's next message, unique in the run."""


class SteppingSession(Speaker, Protocol):
    """A session that takes steps."""

    finishing: bool
    """It takes no further step but those of `leave`."""

    @property
    def load(self) -> SharedParts:
        """Parts that it shares with the other sessions of the worker."""
        ...

    @property
    def role(self) -> CompiledRole:
        """Its role."""
        ...

    @property
    def is_over(self) -> bool:
        """True once there is nothing left to do, or the session has ended."""
        ...

    @property
    def has_ended(self) -> bool:
        """True once the session has ended."""
        ...

    def write(self, frame: bytes) -> bool:
        """Writes a message. Returns False if it cannot leave."""
        ...

    def capture(self, captures: Captures, payload: bytes, where: str) -> Fault | None:
        """Keeps values of a message. Returns the last fault of a place that has none."""
        ...

    def fail(self, step: CompiledStep, fault: Fault) -> None:
        """Ends the session, which has failed at a step."""
        ...

    def check_idle(self) -> None:
        """Reports that nothing is left to do, once nothing is."""
        ...
