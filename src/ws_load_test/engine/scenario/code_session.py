"""Session of a role that is a coroutine: the steps that its code asks for, one after the other.

The code runs in a task of its own. It rests while a step is awaited (`RestingPlace`), and goes on within the read that
completes the step, or the alarm that ends the wait: a step costs some 4 µs more than one of a plan file
(benchmarks/scenario.py).
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.scenario.player import GONE, LEAVING, OPENING, OVER, PLAYING, WAIT, Player
from ws_load_test.engine.scenario.resting_place import RestingPlace
from ws_load_test.engine.scenario.role_code import MARKER, AskedStep, AskedStream
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.scenario.values import wait_time
from ws_load_test.plan.scenario.python_role import Message, SessionOver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from typing import Any

    from ws_load_test.engine.scenario.compiled import CompiledRole, Section
    from ws_load_test.engine.scenario.compiled_step import CompiledStep
    from ws_load_test.engine.scenario.player import PlayerLoad
    from ws_load_test.engine.scenario.role_code import Checks
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.template_field import Row

_parse_wait = lru_cache(256)(wait_time)
_parse_duration = lru_cache(256)(option_values.duration)
_ONLY_OF_STREAMS = (
    'each, count and on_part are of an answer of many messages; add first="any", or the check of its first'
)
_NOT_SETTLED = (
    f"{MARKER} is of messages within session.iterations(): before, and behind it, it is not settled which sessions must"
    " receive them"
)
_NO_CHECK = "until has no check of the reply; add one, or call session.send for a message that nothing answers"


class CodeSession(Player):
    """Calls that the code of a session has (`plan.scenario.python_role.Session`)."""

    __slots__ = (
        "_begun",
        "_came",
        "_done_ns",
        "_due_ns",
        "_latest",
        "_on_part",
        "_resting_place",
        "_resumes",
        "_returned",
        "_task",
        "_was_at_rest",
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
        self._on_part: Callable[[Message], object] | None = None
        """Takes each message of the answer that comes; None where that is one, or nothing takes them."""
        self._resumes = False
        """A step is complete, and the code has not gone on yet."""
        self._came: list[tuple[bytes, int]] = []
        """Messages, and when they were read, that came before it goes on."""
        self._returned = False
        self._resting_place = RestingPlace()
        self._was_at_rest = False
        """The code has rested in the present iteration, so that others had their turn."""
        self._task: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """Number of the session in the run."""
        return self.connection.number

    # A call that is a step returns the coroutine of it, not one more around that: each that is nested is gone through
    # whenever the code goes on.

    def exchange(
        self,
        text: str | bytes,
        *,
        until: str | Sequence[str],
        name: str = "exchange",
        timeout: float | str | None = None,
        expect: str | Sequence[str] = (),
        first: str | Sequence[str] | None = None,
        each: str | Sequence[str] = (),
        count: str = "",
        on_part: Callable[[Message], object] | None = None,
    ) -> Coroutine[Any, Any, Message]:
        """Sends a message, and returns the one that completes the step."""
        now_ns, stream = monotonic_ns(), None
        if not until:
            raise ValueError(_NO_CHECK)
        if first is not None:
            stream = AskedStream(_checks(first), _checks(each), count)
        elif each or count or on_part is not None:
            raise TypeError(_ONLY_OF_STREAMS)
        return self._step(name, text, until, timeout, expect, due_ns=now_ns, stream=stream, on_part=on_part)

    async def send(self, text: str | bytes, *, name: str = "send") -> None:
        """Sends a message that nothing answers."""
        await self._step(name, text, (), None, (), due_ns=monotonic_ns())

    def receive(
        self,
        check: str | Sequence[str],
        *,
        name: str = "receive",
        timeout: float | str | None = None,
    ) -> Coroutine[Any, Any, Message]:
        """Waits for a message, which may have come together with the one that completed the step before."""
        if not check:
            raise ValueError("there is no check of the message to wait for; add one")
        return self._step(name, None, check, timeout, (), due_ns=self._done_ns or monotonic_ns())

    async def wait(self, time: float | str) -> None:
        """Waits; the next step is due when the time is over."""
        if self._is_held:
            await self._go_on()
        self._catch_up()
        self.step = None
        now_ns = self._due_ns or monotonic_ns()
        self._due_ns = 0
        await self._until(now_ns + _parse_wait(time).draw_ns(self.load.random))
        if self._is_held:
            await self._go_on()

    async def _until(self, at_ns: int) -> None:
        """Rests until an instant, at which the next step is due, or the session is over."""
        self.wake_ns = at_ns
        self.load.alarms.set(at_ns, self, WAIT)
        self._was_at_rest = True
        try:
            await self._resting_place
        except asyncio.CancelledError:
            self.wake_ns = 0
            raise

    async def iterations(self) -> AsyncIterator[int]:
        """Yields the number of each iteration, as they are due."""
        if self.phase != OPENING:
            raise RuntimeError("a session has one loop of iterations; call session.iterations() once")
        self.step = None
        self._be_ready(monotonic_ns())
        while True:
            if self.phase != PLAYING:
                await self._rest()
            elif not self._was_at_rest:
                # An iteration that takes no time lets others have their turn.
                await self._resting_place.for_a_turn()
            if self.phase == GONE:
                raise SessionOver
            if self.phase != PLAYING:
                break
            self._was_at_rest = False
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
        stream: AskedStream | None = None,
        on_part: Callable[[Message], object] | None = None,
    ) -> Message:
        if self._is_held:
            await self._go_on()
        code = self.role.code
        assert code is not None
        publishes = code.publishes and isinstance(text, str) and MARKER in text
        if publishes and self.phase != PLAYING:
            raise RuntimeError(_NOT_SETTLED)
        asked = (
            name,
            text is not None,
            awaits if isinstance(awaits, str) else tuple(awaits),
            expect if isinstance(expect, str) else tuple(expect),
            None if timeout is None else _parse_duration(timeout),
            self.phase == OPENING,
            self.phase == PLAYING,
            stream,
            publishes,
        )
        # It is found by a plain tuple, which takes a third of the time to make.
        step = code.steps.get(asked) or code.step(AskedStep(*asked))
        if text is not None:
            self.content = text
        due_ns, self._due_ns = self._due_ns or due_ns, 0
        self._on_part = on_part
        await self._until_complete(step, due_ns)
        return Message(self._latest)

    async def _go_through(self, section: Section) -> None:
        """Takes the steps that every session of the role takes before its code."""
        for entry in section:
            step = entry.pick(self.load.random)
            due_ns = self._done_ns
            if step.wait is not None:
                await self._until(due_ns + step.wait.draw_ns(self.load.random))
                due_ns, self._due_ns = self._due_ns, 0
            await self._until_complete(step, due_ns)

    async def _until_complete(self, step: CompiledStep, due_ns: int) -> None:
        """Takes a step, and rests until it is complete. Raises SessionOver if that is the end of the session."""
        if step.outgoing is not None:
            self._catch_up()
        awaits_message = self.begin(self, step, due_ns)
        # What came together with the completion of the step before may be what is waited for.
        self._catch_up()
        if awaits_message and self.deadline_ns:
            self._was_at_rest = True
            try:
                await self._resting_place
            except asyncio.CancelledError:
                # A step that is called off is unanswered.
                self.give_up(self)
                raise
        self._resumes = False
        if self.phase >= OVER or self.connection.closing:
            raise SessionOver

    @property
    def _is_held(self) -> bool:
        """True unless the code may surely take another step (`_go_on`)."""
        return self.finishing or self.phase >= LEAVING or self.connection.closing or self._resting_place.is_taken

    async def _go_on(self, *, at_end: bool = False) -> None:
        """Returns if the session may go on; raises SessionOver if not. Rests where it stays for what may still come."""
        if self._resting_place.is_taken:
            raise RuntimeError("the session is at another call; it takes one step after the other, so await that first")
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
        self._was_at_rest = True
        await self._resting_place

    def _resume(self) -> None:
        """Lets the code go on in the next turn of the loop, whatever it is within that has happened."""
        self._resting_place.end(later=True)

    def _catch_up(self) -> None:
        """Takes the messages that came before the code went on."""
        self._resumes = False
        if not self._came:
            return
        came, self._came = self._came, []
        for payload, at_ns in came:
            if not self.take(payload, at_ns):
                self.count_push(payload, at_ns)


def _checks(written: str | Sequence[str]) -> Checks:
    return written if isinstance(written, str) else tuple(written)
