"""Player: one session of a role, from its opening to its end. It is the receiver and the sender of its session.

A message that comes is tried in this order: the step that awaits one, the timers whose steps await one, the reactions,
a further message of an answer that has begun. What is left is a push.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Protocol

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.faults import Fault
from ws_load_test.engine.scenario.alarms import DEADLINE
from ws_load_test.engine.scenario.reactions import ReactionState, react
from ws_load_test.engine.scenario.repeating import RepeatingStep
from ws_load_test.engine.scenario.shared import SharedParts, SteppingSession
from ws_load_test.engine.scenario.step_sender import StepSender
from ws_load_test.metrics.scenario_metrics import AT_NO_STEP
from ws_load_test.websocket.frames import NORMAL_CLOSURE

if TYPE_CHECKING:
    from ws_load_test.engine.exchange_traces import TraceLog
    from ws_load_test.engine.scenario.compiled import CompiledReaction, CompiledRole, Section
    from ws_load_test.engine.scenario.compiled_step import CompiledStep
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.messages.template_field import Row

WAIT, STAY = 0, 2
"""Kinds of alarms: the wait before a step is over; the session has stayed for its time."""
OPENING, READY, PLAYING, LEAVING, OVER, GONE = range(6)
"""Phases: going through `open`; at no step; in an iteration; going through `leave`; nothing is left to do; ended."""


class PlayerLoad(SharedParts, Protocol):
    """The load of all players of a worker."""

    traces: TraceLog | None
    """Traces of steps that are worth a look; None where no message has a trace context."""

    def draw_stay_ns(self, player: Player) -> int:
        """Returns the time that a session stays, from now on."""
        ...

    def take_idle(self, player: Player) -> None:
        """Takes a session that can take up an iteration, and gives it one that is due."""
        ...

    def count_iteration(self, player: Player, done_ns: int) -> None:
        """Counts an iteration whose last step was complete at an instant."""
        ...

    def count_end(self, player: Player) -> None:
        """Counts the end of a session, which has failed or not."""
        ...

    def leaving(self, player: Player) -> None:
        """Takes note that a session goes through `leave`."""
        ...

    def retire(self, player: Player, code: int = NORMAL_CLOSURE) -> None:
        """Lets a session end on purpose, and another take its place where its role asks for it."""
        ...

    def end_failed(self, player: Player, fault: Fault) -> None:
        """Ends a session that has failed."""
        ...

    def no_longer_carries(self, player: Player) -> None:
        """Counts a session less, once."""
        ...

    def on_idle(self, connection: Connection, /) -> None:
        """Takes note that a session has nothing left to do."""
        ...


class Player(StepSender):
    """One session of a role."""

    __slots__ = (
        "finishing",
        "iteration_due_ns",
        "iterations_left",
        "leaves",
        "load",
        "phase",
        "position",
        "section",
        "settled",
        "states",
        "timers",
        "wake_ns",
    )

    timer_type: ClassVar[type[RepeatingStep]] = RepeatingStep

    def __init__(self, load: PlayerLoad, role: CompiledRole, connection: Connection, row: Row) -> None:
        """Takes what the sessions of a worker share, and the feed's row of this one."""
        super().__init__(role, connection, row)
        self.load = load
        self.phase = OPENING
        self.section: Section = role.open
        self.position = -1
        self.wake_ns = 0
        """Instant at which the wait before the present step is over; 0: it does not wait."""
        self.finishing = False
        """The session takes no further step but those of `leave`."""
        self.leaves = False
        """It goes through `leave` as soon as the present step is complete."""
        self.iterations_left = 0
        """Iterations after which it leaves, the present one included; 0: no bound."""
        self.iteration_due_ns = 0
        """Instant at which the present iteration was due; before the first one, at which the session was ready."""
        self.states: tuple[ReactionState | None, ...] = ()
        self.timers: tuple[RepeatingStep, ...] = ()
        self.settled: asyncio.Future[None] | None = None
        """Set once the session is ready or has ended, where that is waited for."""

    # --- Receiver of the session --------------------------------------------------------------------------------------

    @property
    def blocks_load(self) -> bool:
        """True until the steps of `open` are done."""
        return self.phase == OPENING

    @property
    def is_over(self) -> bool:
        """True once there is nothing left to do, or the session has ended."""
        return self.phase >= OVER

    @property
    def has_ended(self) -> bool:
        """True once the session has ended."""
        return self.phase == GONE

    @property
    def in_flight(self) -> int:
        """Number of steps that are awaited, `leave` included once the session goes through it."""
        pending = sum(1 for timer in self.timers if timer.deadline_ns)
        if self.phase >= OVER:
            return pending if self.phase == OVER else 0
        return pending + (self.leaves or self.deadline_ns > 0)

    async def until_ready(self, timeout_ns: int) -> None:  # noqa: ARG002 - each step has its own
        """Waits until the steps of `open` are done, or the session has ended."""
        self.settled = asyncio.get_running_loop().create_future()
        await self.settled
        self.settled = None

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - text or binary
        """Takes a message read at an instant. Returns 0: steps count what completes them themselves."""
        return 0 if self.take(payload, at_ns) else self.count_push(payload, at_ns)

    def take(self, payload: bytes, at_ns: int) -> bool:
        """Takes a message read at an instant. Returns False if no step and no reaction takes it."""
        if self.awaiting:
            step = self.step
            assert step is not None
            assert step.completes is not None
            if step.stream is not None:
                if self.offer(self, payload, at_ns):
                    return True
            # What was read before the step's message left answers something else.
            elif at_ns >= self.sent_ns and step.completes(payload, self.seq, self):
                self._complete(self, step, payload, at_ns)
                return True
        for timer in self.timers:
            if timer.awaiting and timer.offer(self, payload, at_ns):
                return True
        seq = self.seq
        for place, reaction in enumerate(self.role.reactions):
            if reaction.test(payload, seq, self):
                self.react(place, reaction, payload, at_ns)
                return True
        if self.answer is not None and self.offer_part(self, payload, at_ns):
            return True
        return bool(self.timers) and any(
            timer.answer is not None and timer.offer_part(self, payload, at_ns) for timer in self.timers
        )

    def react(self, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
        """Takes a message that the reaction at a place is for."""
        react(self, place, reaction, payload, at_ns)

    # --- Playing ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begins: the session has opened."""
        self._play(self.role.open, OPENING, monotonic_ns())

    def start(self, now_ns: int) -> None:
        """Begins with the iterations, and the time that the session stays."""
        role = self.role
        self.carries_load = True
        if self.phase != READY or self.finishing:
            return
        if role.plan.iterations is not None:
            self.iterations_left = self.load.random.randint(*role.plan.iterations)
        if role.plan.stay is not None:
            self.load.alarms.set(now_ns + self.load.draw_stay_ns(self), self, STAY)
        self._next_iteration(now_ns)

    def begin_iteration(self, due_ns: int) -> None:
        """Goes through the steps once more, as is due at an instant."""
        self.iteration_due_ns = due_ns
        if due_ns >= self.load.rows.measured_from_ns:
            self.load.rows.role(self.role.name).iterations_begun += 1
        self._play(self.role.steps, PLAYING, due_ns)

    def on_alarm(self, kind: int, at_ns: int) -> None:
        """Takes note of an alarm, if it is not out of date."""
        if kind == WAIT:
            if at_ns == self.wake_ns and self.phase < OVER:
                self.wake_ns = 0
                self._wake(at_ns)
        elif kind == DEADLINE:
            self.ring(self, at_ns)
        elif self.phase < LEAVING and not self.finishing:
            self.load.retire(self)

    def has_deadline(self, at_ns: int) -> bool:
        """Returns True if an alarm for the deadline is needed at an instant (`DeadlineTarget`)."""
        return self.needs_alarm(self, at_ns)

    def completed(self, player: SteppingSession, at_ns: int) -> None:  # noqa: ARG002 - itself
        """Takes note that the present step was completed by a message read at an instant."""
        step = self.step
        if step is not None and step.close is not None:
            self._close(step.close)
        else:
            self._advance(at_ns)

    def _play(self, section: Section, phase: int, now_ns: int) -> None:
        self.section, self.phase, self.position = section, phase, -1
        self._advance(now_ns)

    def _wake(self, at_ns: int) -> None:
        step = self.step
        if step is None:
            self._begin_own_iteration(at_ns)
        elif not self.connection.closing and not self.begin(self, step, at_ns):
            done_ns = self._end_of(step)
            if done_ns:
                self._advance(done_ns)

    def _advance(self, done_ns: int) -> None:
        """Goes on behind a step that was complete at an instant, as far as nothing is to be waited for."""
        section, random = self.section, self.load.random
        while True:
            if self.finishing and self.phase != LEAVING:
                self._finish(done_ns)
                return
            self.position += 1
            if self.position == len(section):
                self.step = None
                self._end_section(done_ns)
                return
            step = self.step = section[self.position].pick(random)
            if step.wait is not None:
                due_ns = done_ns + step.wait.draw_ns(random)
                if due_ns > done_ns:
                    # By an alarm even if it has passed: a session that is late is not to keep all others waiting.
                    self.wake_ns = due_ns
                    self.load.alarms.set(due_ns, self, WAIT)
                    return
            if self.connection.closing or self.begin(self, step, done_ns):
                return
            done_ns = self._end_of(step)
            if not done_ns:
                return

    def _end_of(self, step: CompiledStep) -> int:
        """Returns the instant at which a step that awaits nothing was complete; 0 if the session is at its end."""
        if step.close is not None:
            self._close(step.close)
            return 0
        return self.sent_ns if not self.connection.closing else 0

    def _end_section(self, done_ns: int) -> None:
        phase = self.phase
        if phase == PLAYING:
            self._end_iteration(done_ns)
        elif phase == OPENING:
            self._be_ready(done_ns)
        else:
            self.phase = OVER
            self.check_idle()

    def _be_ready(self, now_ns: int) -> None:
        self.phase, self.iteration_due_ns = READY, now_ns
        role = self.role
        if role.needs_states:
            self.states = tuple(
                ReactionState(self, reaction, now_ns) if reaction.needs_state else None for reaction in role.reactions
            )
        self.timers = tuple(self.timer_type(self, timer, now_ns) for timer in role.timers)
        self._settle()

    def _settle(self) -> None:
        if self.settled is not None and not self.settled.done():
            self.settled.set_result(None)

    def _end_iteration(self, done_ns: int) -> None:
        self.phase = READY
        self.load.count_iteration(self, done_ns)
        if self.iterations_left:
            self.iterations_left -= 1
            if not self.iterations_left:
                self.load.retire(self)
                return
        self._next_iteration(done_ns)

    def _next_iteration(self, now_ns: int) -> None:
        """Begins another iteration, as soon as one is due."""
        if not self.role.steps:
            return
        if self.role.plan.rate_per_s is not None:
            self.load.take_idle(self)
        elif self.role.pauses:
            self._begin_own_iteration(now_ns)
        else:
            # Iterations that take no time would never let the loop turn to anything else.
            self.wake_ns = now_ns
            self.load.alarms.set(now_ns, self, WAIT)

    def _begin_own_iteration(self, due_ns: int) -> None:
        if due_ns >= self.load.rows.measured_from_ns:
            self.load.rows.role(self.role.name).iterations_due += 1
        self.begin_iteration(due_ns)

    # --- Ending -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Takes no further step once the present one is complete, until the session leaves."""
        if self.finishing or self.phase >= OVER:
            return
        self.finishing = True
        self.load.no_longer_carries(self)
        if not self.deadline_ns:
            self.wake_ns = 0
            self._finish(monotonic_ns())

    def stop_sending(self) -> None:
        """Leaves, as soon as the present step is complete."""
        if self.leaves or self.phase >= OVER:
            return
        self.leaves = True
        if self.finishing and not self.deadline_ns:
            self._leave(monotonic_ns())
        else:
            self.finish()

    def _finish(self, now_ns: int) -> None:
        """Goes on behind the last step of the load: leaves, or stays for what may still come."""
        if self.leaves or self.phase == OPENING:
            self._leave(now_ns)
        else:
            self.step, self.phase = None, READY
            self.check_idle()

    def _leave(self, now_ns: int) -> None:
        self.step, self.leaves = None, True
        self.load.leaving(self)
        if self.phase == OPENING:
            # It never came in.
            self.phase = OVER
            self._settle()
            self.check_idle()
        else:
            self._play(self.role.leave, LEAVING, now_ns)

    def check_idle(self) -> None:
        """Reports that nothing is left to do, once nothing is."""
        if (self.finishing or self.phase == OVER) and not self.in_flight:
            self.load.on_idle(self.connection)

    def _close(self, code: int) -> None:
        """Ends the session on purpose, by a step."""
        self.finishing, self.leaves, self.phase = True, True, OVER
        self.load.no_longer_carries(self)
        self._settle()
        self.load.retire(self, code)

    def fail(self, step: CompiledStep, fault: Fault) -> None:
        """Ends the session, which has failed at a step."""
        self.give_up(self)
        for timer in self.timers:
            timer.give_up(self)
        self.step = step
        step.row.count_fault(fault, self.connection.owner)
        self.load.end_failed(self, fault)

    def on_ended(self) -> None:
        """Takes note that the session has ended."""
        if self.phase == GONE:
            return
        self.load.count_end(self)
        self.give_up(self)
        for timer in self.timers:
            timer.give_up(self)
        for state in self.states:
            if state is not None:
                state.end(self)
        self.phase, self.wake_ns = GONE, 0
        self.load.no_longer_carries(self)
        self._settle()
        self.load.on_idle(self.connection)

    @property
    def place(self) -> str:
        """Name of the step that the session is at, or what stands for none."""
        return AT_NO_STEP if self.step is None else self.step.name

    def state_of(self, place: int) -> ReactionState | None:
        """Returns what the session remembers for a reaction; None before it is ready."""
        return self.states[place] if self.states else None
