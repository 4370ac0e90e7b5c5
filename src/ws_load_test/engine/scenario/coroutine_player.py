"""Player of a role that is a coroutine: its code begins, goes on with what has come, and ends with its session.

The session's frames, steps and counts are those of any player.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.scenario.code_session import CodeSession
from ws_load_test.engine.scenario.hold_ups import note_hold_up, watch
from ws_load_test.engine.scenario.player import GONE, OPENING, OVER, PLAYING
from ws_load_test.metrics.scenario_metrics import IN_REACTION
from ws_load_test.plan.scenario.python_role import Message, SessionOver, describe_failure

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.compiled import CompiledReaction
    from ws_load_test.engine.scenario.compiled_step import CompiledStep
    from ws_load_test.engine.scenario.shared import SteppingSession

MAX_CAME = 4096
"""Messages that wait for a session's code to go on: beyond, they are taken as if it had gone on without them."""


class CoroutinePlayer(CodeSession):
    """One session of a role that is a coroutine, as the worker plays it."""

    __slots__ = ()

    # --- Playing ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begins: the session has opened, and its code runs in the next turn of the loop."""
        self._done_ns = monotonic_ns()
        # What came together with the answer to the upgrade waits for it.
        self._resumes = True
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        code = self.role.code
        assert code is not None
        try:
            await self._go_through(self.role.open)
            await watch(code.coroutine(self), self)
        except SessionOver:
            pass
        except Exception as error:  # noqa: BLE001 - the code is the user's, and may raise anything
            self._returned = True
            self._crash(error)
            return
        self._returned = True
        self._end()

    def _end(self) -> None:
        """Goes on behind the end of the code."""
        self._catch_up()
        if self.phase >= OVER or self.connection.closing:
            return
        if self.phase == OPENING:
            # Without iterations it is there to listen, until the end.
            self.step = None
            self._be_ready(monotonic_ns())
            return
        left = self.leaves
        self.finishing, self.leaves, self.phase, self.step = True, True, OVER, None
        self.load.no_longer_carries(self)
        if left:
            self.check_idle()
        else:
            self.load.retire(self)

    def _crash(self, error: Exception) -> None:
        """Ends the session, whose code has raised an exception."""
        if self.phase >= OVER:
            return
        self.give_up(self)
        code = self.role.code
        assert code is not None
        text = f'played by role "{self.role.name}": {code.file} {describe_failure(error, code.path)}'
        fault = Fault(FaultKind.SCENARIO_FAILED, type(error).__name__, text)
        if self.step is not None:
            self.step.row.count_fault(fault, self.connection.owner)
        self.load.end_failed(self, fault)

    def begin_iteration(self, due_ns: int) -> None:
        """Lets the code go through its loop once more, as is due at an instant."""
        self.iteration_due_ns = self._due_ns = due_ns
        if due_ns >= self.load.rows.measured_from_ns:
            self.load.rows.role(self.role.name).iterations_begun += 1
        self.phase = PLAYING
        self._resume()

    def completed(self, player: SteppingSession, at_ns: int) -> None:  # noqa: ARG002 - itself
        """Takes note that the present step was completed by a message read at an instant: the code goes on."""
        if self._on_part is not None:
            self._hand_part(self._latest)
        self._done_ns = at_ns
        self._resumes = True
        self._resting_place.end()

    def take(self, payload: bytes, at_ns: int) -> bool:
        """Takes a message; one that comes before the code has gone on waits for that."""
        if self._resumes and len(self._came) < MAX_CAME:
            self._came.append((payload, at_ns))
            return True
        return super().take(payload, at_ns)

    def _complete(self, player: SteppingSession, step: CompiledStep, payload: bytes, at_ns: int) -> None:
        self._latest = payload
        super()._complete(player, step, payload, at_ns)

    def _add_part(self, player: SteppingSession, payload: bytes, at_ns: int, *, is_first: bool, is_last: bool) -> None:
        super()._add_part(player, payload, at_ns, is_first=is_first, is_last=is_last)
        if self._on_part is not None and not is_last:
            self._hand_part(payload)

    def _hand_part(self, payload: bytes) -> None:
        """Hands a message of an answer to the function that takes them."""
        assert self._on_part is not None
        try:
            self._on_part(Message(payload))
        except Exception as error:  # noqa: BLE001 - the code is the user's, and may raise anything
            self._crash(error)

    def react(self, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
        """Takes a message that a reaction is for, and hands it to its function."""
        super().react(place, reaction, payload, at_ns)
        code = self.role.code
        function = None if code is None else code.functions.get(reaction.name)
        if function is not None:
            begun_ns = monotonic_ns()
            try:
                function(self, Message(payload))
            except Exception as error:  # noqa: BLE001 - the code is the user's, and may raise anything
                self._crash(error)
            note_hold_up(self, IN_REACTION + reaction.name, begun_ns)

    def _next_iteration(self, now_ns: int) -> None:
        if self._returned:
            return
        if self.role.plan.rate_per_s is not None:
            self.load.take_idle(self)
        else:
            self._begin_own_iteration(now_ns)

    def _wake(self, at_ns: int) -> None:
        self._due_ns = at_ns
        self._resting_place.end()

    # --- Ending -------------------------------------------------------------------------------------------------------

    def _finish(self, now_ns: int) -> None:
        """Lets the code end: at once where the session leaves, or it stays for what may still come."""
        if self._returned or self.phase == OPENING:
            self._leave(now_ns)
        elif self.leaves:
            self._resume()
        else:
            self.step = None
            self.check_idle()

    def _leave(self, now_ns: int) -> None:  # noqa: ARG002 - its code goes on when it is resumed
        if self.phase != OPENING and not self._returned:
            self.leaves = True
            self._resume()
            return
        self.step, self.leaves = None, True
        self.load.leaving(self)
        self.phase = OVER
        self._settle()
        self._resume()
        self.check_idle()

    def on_ended(self) -> None:
        """Takes note that the session has ended: its code ends, wherever it is."""
        if self.phase == GONE:
            return
        self._catch_up()
        super().on_ended()
        task = self._task
        if task is None or task.done():
            return
        if self._resting_place.is_taken:
            self._resume()
        elif task is not asyncio.current_task():
            # It waits for something that is none of the session's.
            task.cancel()
