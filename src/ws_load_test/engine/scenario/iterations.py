"""Iterations of a role on a schedule: each goes to the next session of the role that is idle.

Each worker has the share of its sessions in the role, as the plan deals them. The fleet's turns are those of all
sessions together; a worker without a session of this role would be dealt iterations that it cannot begin.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.sharding import Shard
from ws_load_test.plan.load_sharing import Turns
from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants, LoadProfile

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.alarms import Alarms
    from ws_load_test.engine.scenario.compiled import CompiledRole
    from ws_load_test.engine.scenario.rows import ScenarioRows

BLOCK_SIZE = 1024
"""Iterations whose instants are computed together."""
LONGEST_SCHEDULE_NS = 365 * 24 * 3600 * 10**9
"""Length (a year) of the schedule of a run without an end."""
DUE = 0
"""Kind of the alarm at which an iteration is due."""


class IdleSession(Protocol):
    """A session that can take up an iteration."""

    finishing: bool

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

    def __init__(self, role: CompiledRole, share: Shard, parts: ScheduleParts, timeout_ns: int) -> None:
        """Takes the role, and how long an iteration waits for a session before it is dropped."""
        self._role = role
        self._parts = parts
        self._timeout_ns = timeout_ns
        self._worker = share.index
        self._turns = Turns(sessions_by_worker(role.first_number, role.plan.sessions, share.count))
        self._instants: DueInstants | None = None
        self._start_ns = 0
        self._position = 0
        """Position, in this worker's turns, of the iteration behind the present block."""
        self._due: list[int] = []
        """Instants of the present block."""
        self._next = 0
        self._waiting: deque[int] = deque()
        """Instants of the iterations that are due, and for which no session was idle."""
        self._idle: deque[IdleSession] = deque()
        self._ended = False

    def start(self, start_ns: int, end_ns: int) -> None:
        """Begins: the schedule's instant 0 is `start_ns`; nothing is due at `end_ns` or later."""
        if not self._turns.weights[self._worker]:
            return
        rate_per_s = self._role.plan.rate_per_s
        assert rate_per_s is not None
        length_ns = min(LONGEST_SCHEDULE_NS, end_ns - start_ns)
        self._start_ns = start_ns
        self._instants = DueInstants(ArrivalSchedule(LoadProfile.constant(rate_per_s, length_ns)))
        self._arm()

    def take_idle(self, session: IdleSession) -> None:
        """Takes a session that can take up an iteration, and gives it one that is due."""
        self._drop_before(monotonic_ns() - self._timeout_ns)
        if self._waiting:
            session.begin_iteration(self._waiting.popleft())
        else:
            self._idle.append(session)

    def on_alarm(self, kind: int, at_ns: int) -> None:  # noqa: ARG002 - there is one
        """Gives the iteration that is due to a session."""
        if self._ended:
            return
        self._next += 1
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
        due_ns = self._next_due()
        while due_ns is not None and due_ns < now_ns:
            self._next += 1
            self._count_due(due_ns)
            self._waiting.append(due_ns)
            due_ns = self._next_due()
        self._drop_before(now_ns)

    def give_up(self) -> None:
        """Counts all iterations that are left as due, and drops them."""
        if self._instants is None:
            return
        count = self._instants.count()
        left = self._turns.position(self._worker, count) - self._position + len(self._due) - self._next
        tally = self._parts.rows.role(self._role.name)
        tally.iterations_due += left
        tally.iterations_dropped += left
        self._instants, self._due, self._next = None, [], 0

    def _arm(self) -> None:
        due_ns = self._next_due()
        if due_ns is not None:
            self._parts.alarms.set(due_ns, self, DUE)

    def _next_due(self) -> int | None:
        """Returns the instant of the next iteration; None if there is none."""
        if self._next == len(self._due) and self._instants is not None:
            positions = np.arange(self._position, self._position + BLOCK_SIZE)
            due = self._instants.of(self._turns.numbers(self._worker, positions))
            self._position += len(due)
            self._due, self._next = (due + self._start_ns).tolist(), 0
        return self._due[self._next] if self._next < len(self._due) else None

    def _count_due(self, due_ns: int) -> None:
        rows = self._parts.rows
        if due_ns >= rows.measured_from_ns:
            rows.role(self._role.name).iterations_due += 1

    def _drop_before(self, before_ns: int) -> None:
        """Drops iterations that have waited since before an instant."""
        waiting, rows = self._waiting, self._parts.rows
        while waiting and waiting[0] < before_ns:
            if waiting.popleft() >= rows.measured_from_ns:
                rows.role(self._role.name).iterations_dropped += 1


def sessions_by_worker(first_number: int, sessions: int, workers: int) -> tuple[int, ...]:
    """Returns how many of so many sessions, the first of which has this number, each worker has."""
    shards = [Shard(worker, workers) for worker in range(workers)]
    return tuple(shard.size(first_number + sessions) - shard.size(first_number) for shard in shards)
