"""Players whose messages carry a trace context: which steps were slow, and which failed.

A scenario without ``{traceparent}`` has none of them. Timers are left out: they run beside the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.scenario.audience_player import AudienceCoroutinePlayer, AudiencePlayer
from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
from ws_load_test.engine.scenario.player import Player

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.exchange_traces import TraceLog
    from ws_load_test.engine.scenario.compiled_step import Captures, CompiledStep
    from ws_load_test.engine.scenario.shared import SteppingSession


class TracingPlayer(Player):
    """One session of a role, whose steps are noted with their trace contexts."""

    __slots__ = ()

    def open(self) -> None:
        """Begins: the session has opened, in the place of another perhaps."""
        self._log.forget(self.connection.number)
        super().open()

    @property
    def _log(self) -> TraceLog:
        log = self.load.traces
        assert log is not None
        return log

    def _send(self, player: SteppingSession, step: CompiledStep, due_ns: int) -> bool:
        log = self._log
        log.contexts.latest = ""
        has_left = super()._send(player, step, due_ns)
        log.sent_step(self.connection.number, log.contexts.latest)
        return has_left

    def _complete(self, player: SteppingSession, step: CompiledStep, payload: bytes, at_ns: int) -> None:
        if step.to_totals and self.due_ns >= self.connection.owner.samples.measured_from_ns:
            self._log.answered(self._traceparent, at_ns - self.due_ns)
        super()._complete(player, step, payload, at_ns)

    def _check(self, player: SteppingSession, step: CompiledStep, payload: bytes) -> Fault | None:
        self._log.at_fault = self._traceparent
        fault = super()._check(player, step, payload)
        self._log.at_fault = ""
        return fault

    def capture(self, captures: Captures, payload: bytes, where: str) -> Fault | None:
        """Keeps values of a message; a place that has none is a fault of its step."""
        self._log.at_fault = self._traceparent
        fault = super().capture(captures, payload, where)
        self._log.at_fault = ""
        return fault

    def fail(self, step: CompiledStep, fault: Fault) -> None:
        """Ends the session, which has failed at a step."""
        self._log.session_ended(self.connection.number, self._traceparent)
        super().fail(step, fault)

    def on_ended(self) -> None:
        """Takes note that the session has ended."""
        if self.awaiting:
            self._log.session_ended(self.connection.number, self._traceparent)
        super().on_ended()

    @property
    def _traceparent(self) -> str:
        """Trace context of the present step's message; empty where it has none."""
        return self._log.of_step(self.connection.number)


class TracingAudiencePlayer(TracingPlayer, AudiencePlayer):
    """The same in a scenario with a fan-out."""

    __slots__ = ()


class TracingCoroutinePlayer(TracingPlayer, CoroutinePlayer):
    """The same of a role that is a coroutine: an exception in it is traced as its latest message is."""

    __slots__ = ()

    def _crash(self, error: Exception) -> None:
        self._log.session_ended(self.connection.number, self._traceparent)
        super()._crash(error)


class TracingAudienceCoroutinePlayer(TracingCoroutinePlayer, AudienceCoroutinePlayer):
    """The same in a scenario with a fan-out."""

    __slots__ = ()
