"""Player of a role that is a coroutine: the steps of a session as its code asks for them, one after the other.

The session's frames, steps and counts are those of any player. Its code runs in a task of its own, which rests in a
future while a step is awaited: that costs some 5 µs a step more than a step of a plan file (benchmarks/scenario.py).
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.scenario.audience_player import ReceivesDeliveries
from ws_load_test.engine.scenario.compiled import AskedStep
from ws_load_test.engine.scenario.hold_ups import watch
from ws_load_test.engine.scenario.player import GONE, LEAVING, OPENING, OVER, PLAYING, WAIT, Player
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.scenario.values import wait_time
from ws_load_test.plan.scenario.python_role import Message, SessionOver, describe_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ws_load_test.engine.fan_out.deliveries import Recipient
    from ws_load_test.engine.scenario.compiled import CompiledReaction, CompiledRole, CompiledStep
    from ws_load_test.engine.scenario.player import PlayerLoad
    from ws_load_test.engine.scenario.shared import SteppingSession
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.template_field import Row

MAX_CAME = 4096
"""Messages that wait for a session's code to go on: beyond, they are taken as if it had gone on without them."""
_parse_wait = lru_cache(256)(wait_time)
_parse_duration = lru_cache(256)(option_values.duration)


class CoroutinePlayer(Player):
    """One session of a role that is a coroutine; it is the `Session` of its code."""

    __slots__ = (
        "_begun",
        "_came",
        "_done_ns",
        "_due_ns",
        "_latest",
        "_resumes",
        "_returned",
        "_task",
        "_waiter",
        "content",
    )

    def __init__(self, load: PlayerLoad, role: CompiledRole, connection: Connection, row: Row) -> None:
        """Takes what `Player` takes."""
        super().__init__(load, role, connection, row)
        self.values = {}
        self.content: str | bytes = ""
        """Content of the message that is sent next."""
        self._begun = 0
        """Iterations that the code has begun."""
        self._due_ns = 0
        """Instant at which the next step is due, where a wait or a schedule sets it; 0: when the code asks for it."""
        self._done_ns = 0
        """Instant at which the latest step was complete."""
        self._latest = b""
        self._resumes = False
        """A step is complete, and the code has not gone on yet."""
        self._came: list[tuple[bytes, int]] = []
        """Messages, and when they were read, that came before it goes on."""
        self._returned = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    # --- What the code asks for (`plan.scenario.python_role.Session`) -------------------------------------------------

    @property
    def number(self) -> int:
        """Number of the session in the run."""
        return self.connection.number

    async def exchange(
        self,
        text: str | bytes,
        *,
        until: str | Sequence[str],
        name: str = "exchange",
        timeout: float | str | None = None,  # noqa: ASYNC109 - a step's, which fails the session
        expect: str | Sequence[str] = (),
    ) -> Message:
        """Sends a message, and returns the one that completes the step."""
        return await self._step(name, text, until, timeout, expect, due_ns=monotonic_ns())

    async def send(self, text: str | bytes, *, name: str = "send") -> None:
        """Sends a message that nothing answers."""
        await self._step(name, text, (), None, (), due_ns=monotonic_ns())

    async def receive(
        self,
        check: str | Sequence[str],
        *,
        name: str = "receive",
        timeout: float | str | None = None,  # noqa: ASYNC109 - a step's, which fails the session
    ) -> Message:
        """Waits for a message, which may have come together with the one that completed the step before."""
        return await self._step(name, None, check, timeout, (), due_ns=self._done_ns or monotonic_ns())

    async def wait(self, time: float | str) -> None:
        """Waits; the next step is due when the time is over."""
        await self._go_on()
        self._catch_up()
        self.step = None
        now_ns = self._due_ns or monotonic_ns()
        self._due_ns = 0
        self.wake_ns = now_ns + _parse_wait(time).draw_ns(self.load.random)
        self.load.alarms.set(self.wake_ns, self, WAIT)
        await self._rest()
        await self._go_on()

    async def iterations(self) -> AsyncIterator[int]:
        """Yields the number of each iteration, as they are due."""
        if self.phase != OPENING:
            raise RuntimeError("a session has one loop of iterations; call session.iterations() once")
        self.step = None
        self._be_ready(monotonic_ns())
        while True:
            await self._rest()
            if self.phase == GONE:
                raise SessionOver
            if self.phase != PLAYING:
                break
            self._begun += 1
            yield self._begun - 1
            await self._go_on(at_end=True)
            self._catch_up()
            if self.leaves or not self._goes_on():
                break
        self._begin_to_leave()

    def _goes_on(self) -> bool:
        """Ends an iteration. Returns True if another follows."""
        self.step = None
        self._end_iteration(monotonic_ns())
        return not self.leaves

    async def _step(
        self,
        name: str,
        text: str | bytes | None,
        awaits: str | Sequence[str],
        timeout: float | str | None,  # noqa: ASYNC109 - of the step
        expect: str | Sequence[str],
        *,
        due_ns: int,
    ) -> Message:
        await self._go_on()
        code = self.role.code
        assert code is not None
        step = code.step(
            AskedStep(
                name,
                text is not None,
                awaits if isinstance(awaits, str) else tuple(awaits),
                expect if isinstance(expect, str) else tuple(expect),
                None if timeout is None else _parse_duration(timeout),
                opens=self.phase == OPENING,
                is_load=self.phase == PLAYING,
            )
        )
        if text is not None:
            self.content = text
        due_ns, self._due_ns = self._due_ns or due_ns, 0
        if text is not None:
            self._catch_up()
        awaits_message = self.begin(self, step, due_ns)
        # What came together with the completion of the step before may be what is waited for.
        self._catch_up()
        if awaits_message and self.deadline_ns:
            await self._rest()
        self._resumes = False
        if self.phase >= OVER or self.connection.closing:
            raise SessionOver
        return Message(self._latest)

    async def _go_on(self, *, at_end: bool = False) -> None:
        """Returns if the session may go on; raises SessionOver if not. Rests where it stays for what may still come."""
        if self.phase >= OVER or self.connection.closing:
            raise SessionOver
        if not self.finishing or self.phase == LEAVING:
            return
        if not self.leaves:
            self.step = None
            self.check_idle()
            await self._rest()
        if at_end and self.phase < OVER:
            return
        if self.phase < OVER:
            self._begin_to_leave()
        raise SessionOver

    def _begin_to_leave(self) -> None:
        self.phase = LEAVING
        self.load.leaving(self)

    async def _rest(self) -> None:
        """Rests until something has happened."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _resume(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- Playing ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begins: the session has opened, and its code runs."""
        self._done_ns = monotonic_ns()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        code = self.role.code
        assert code is not None
        try:
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
        if self.phase >= OVER:
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
        asyncio.get_running_loop().call_soon(self._resume)

    def completed(self, player: SteppingSession, at_ns: int) -> None:  # noqa: ARG002 - itself
        """Takes note that the present step was completed by a message read at an instant."""
        self._done_ns = at_ns
        self._resumes = True
        self._resume()

    def take(self, payload: bytes, at_ns: int) -> bool:
        """Takes a message; one that comes before the code has gone on waits for that."""
        if self._resumes and len(self._came) < MAX_CAME:
            self._came.append((payload, at_ns))
            return True
        return super().take(payload, at_ns)

    def _catch_up(self) -> None:
        """Takes the messages that came before the code went on."""
        self._resumes = False
        came, self._came = self._came, []
        for payload, at_ns in came:
            if not self.take(payload, at_ns):
                self.count_push(payload, at_ns)

    def _complete(self, player: SteppingSession, step: CompiledStep, payload: bytes, at_ns: int) -> None:
        self._latest = payload
        super()._complete(player, step, payload, at_ns)

    def react(self, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
        """Takes a message that a reaction is for, and hands it to its function."""
        super().react(place, reaction, payload, at_ns)
        code = self.role.code
        function = None if code is None else code.functions.get(reaction.name)
        if function is not None:
            try:
                function(self, Message(payload))
            except Exception as error:  # noqa: BLE001 - the code is the user's, and may raise anything
                self._crash(error)

    def _next_iteration(self, now_ns: int) -> None:
        if self._returned:
            return
        if self.role.plan.rate_per_s is not None:
            self.load.take_idle(self)
        else:
            self._begin_own_iteration(now_ns)

    def _wake(self, at_ns: int) -> None:
        self._due_ns = at_ns
        self._resume()

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
        if self._waiter is not None:
            self._resume()
        elif task is not asyncio.current_task():
            # It waits for something that is none of the session's.
            task.cancel()


class AudienceCoroutinePlayer(ReceivesDeliveries, CoroutinePlayer):
    """One session of a role that is a coroutine, and may receive what others publish."""

    __slots__ = ("recipient",)

    def __init__(
        self, load: PlayerLoad, role: CompiledRole, connection: Connection, row: Row, recipient: Recipient
    ) -> None:
        """Takes what `CoroutinePlayer` takes, and the session as deliveries reach it."""
        super().__init__(load, role, connection, row)
        self.recipient = recipient
        recipient.reads = {}

    def count_push(self, payload: bytes, at_ns: int) -> int:
        """Counts a message that no step and no reaction takes, unless it is a delivery. Returns 0."""
        return 0 if self.recipient.is_delivery(payload) else super().count_push(payload, at_ns)
