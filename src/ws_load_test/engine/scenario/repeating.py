"""Timers of a session: steps that it takes every so often, beside its others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.scenario.alarms import DEADLINE
from ws_load_test.engine.scenario.exchange import Exchange

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.compiled import CompiledTimer
    from ws_load_test.engine.scenario.shared import SteppingSession

TICK = 0
"""Kind of the alarm at which the step is due."""


class RepeatingStep(Exchange):
    """A timer of one session."""

    __slots__ = ("player", "timer")

    def __init__(self, player: SteppingSession, timer: CompiledTimer, now_ns: int) -> None:
        """Takes the session, and the instant from which the time counts."""
        super().__init__()
        self.player = player
        self.timer = timer
        player.load.alarms.set(now_ns + timer.every_ns, self, TICK)

    def on_alarm(self, kind: int, at_ns: int) -> None:
        """Takes the step that is due, or gives up one that is overdue."""
        player = self.player
        if kind == DEADLINE:
            self.ring(player, at_ns)
            return
        if player.finishing or player.is_over or player.connection.closing:
            return
        player.load.alarms.set(at_ns + self.timer.every_ns, self, TICK)
        if self.deadline_ns:
            self._drop(at_ns)
        else:
            self.begin(player, self.timer.step, at_ns)

    def has_deadline(self, at_ns: int) -> bool:
        """Returns True if an alarm for the deadline is needed at an instant (`DeadlineTarget`)."""
        return self.needs_alarm(self.player, at_ns)

    def completed(self, player: SteppingSession, at_ns: int) -> None:  # noqa: ARG002 - it goes on by the clock
        """Takes note that the step is complete: the session may have waited for it to end."""
        player.check_idle()

    def _drop(self, due_ns: int) -> None:
        """Counts a message that is due while the one before awaits its reply: a session sends one after the other."""
        step, owner = self.timer.step, self.player.connection.owner
        if step.outgoing is None:
            return
        if due_ns >= step.row.samples.measured_from_ns:
            step.row.is_used = True
            step.row.tally.due += 1
            step.row.tally.dropped += 1
        if due_ns >= owner.samples.measured_from_ns:
            owner.tally.due += 1
            owner.tally.dropped += 1
