"""Iterations of a role on a schedule: each goes to the next session of the role that is idle."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import monotonic_ns

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.alarms import Alarms
    from ws_load_test.engine.scenario.role_schedule import RoleSchedule
    from ws_load_test.engine.scenario.rows import ScenarioRows

DUE = 0
"""Kind of the alarm at which an iteration is due."""


class IdleSession(Protocol):
    """A session that can take up an iteration."""

    finishing: bool
    held_until_ns: int
    """Instant before which no session was free for an iteration that waited."""

    @property
    def is_over(self) -> bool:
        """True once it takes up none any more."""
        ...

    def begin_iteration(self, due_ns: int) -> None:
        """Goes through the steps once more, as is due at an instant."""
        ...


class ScheduleParts(Protocol):
    """Parts of a worker that its schedules share."""

    alarms: Alarms
    rows: ScenarioRows


class IterationSchedule:
    """Iterations of one role on one worker."""

    def __init__(self, role: str, schedule: RoleSchedule, parts: ScheduleParts, timeout_ns: int) -> None:
        """Takes the name of the role, and how long an iteration waits for a session before it is dropped."""
        self._role = role
        self._schedule = schedule
        self._parts = parts
        self._timeout_ns = timeout_ns
        self._waiting: deque[int] = deque()
        """Instants of the iterations that are due, and for which no session was idle."""
        self._idle: deque[IdleSession] = deque()
        self._ended = False

    def start(self, start_ns: int, end_ns: int) -> None:
        """Begins: the schedule's instant 0 is `start_ns`; nothing is due at `end_ns` or later."""
        self._schedule.start(start_ns, end_ns)
        self._arm()

    def take_idle(self, session: IdleSession) -> None:
        """Takes a session that can take up an iteration, and gives it one that is due."""
        now_ns = monotonic_ns()
        self._drop_before(now_ns - self._timeout_ns)
        if self._waiting:
            due_ns = self._waiting.popleft()
            if due_ns >= self._parts.rows.measured_from_ns:
                self._parts.rows.role(self._role).iteration_wait_ns.record(max(0, now_ns - due_ns))
            # The message leaves late for want of a session, which is no lateness of the generator.
            session.held_until_ns = now_ns
            session.begin_iteration(due_ns)
        else:
            self._idle.append(session)

    def on_alarm(self, kind: int, at_ns: int) -> None:  # noqa: ARG002 - there is one
        """Gives the iteration that is due to a session."""
        if self._ended:
            return
        self._schedule.take()
        self._arm()
        self._count_due(at_ns)
        while self._idle:
            session = self._idle.popleft()
            if not session.is_over and not session.finishing:
                session.begin_iteration(at_ns)
                return
        self._waiting.append(at_ns)
        self._drop_before(monotonic_ns() - self._timeout_ns)

    def end(self, now_ns: int) -> None:
        """Begins no iteration any more; drops those that were due and have no session."""
        self._ended = True
        self._idle.clear()
        while (due_ns := self._schedule.next_due()) is not None and due_ns < now_ns:
            self._schedule.take()
            self._count_due(due_ns)
            self._waiting.append(due_ns)
        self._drop_before(now_ns)

    def give_up(self) -> None:
        """Counts all iterations that are left as due, and drops them."""
        left = self._schedule.take_all()
        tally = self._parts.rows.role(self._role)
        tally.iterations_due += left
        tally.iterations_dropped += left

    def _arm(self) -> None:
        due_ns = self._schedule.next_due()
        if due_ns is not None:
            self._parts.alarms.set(due_ns, self, DUE)

    def _count_due(self, due_ns: int) -> None:
        rows = self._parts.rows
        if due_ns >= rows.measured_from_ns:
            rows.role(self._role).iterations_due += 1

    def _drop_before(self, before_ns: int) -> None:
        """Drops iterations that have waited since before an instant."""
        waiting, rows = self._waiting, self._parts.rows
        while waiting and waiting[0] < before_ns:
            if waiting.popleft() >= rows.measured_from_ns:
                rows.role(self._role).iterations_dropped += 1
