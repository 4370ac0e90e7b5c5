"""Arrivals of sessions: each is dialed when it is due, if a place of its role is free."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ws_load_test.engine.scenario.alarms import Alarms
    from ws_load_test.engine.scenario.role_schedule import RoleSchedule
    from ws_load_test.engine.scenario.rows import ScenarioRows

    Dial = Callable[[int], Awaitable[bool]]

DUE = 0
"""Kind of the alarm at which a session is due."""


class ArrivalParts(Protocol):
    """Parts of a worker that arrivals need."""

    alarms: Alarms
    rows: ScenarioRows


class RoleArrivals:
    """Sessions of one role that arrive on one worker.

    A place is the number of a session. More than there are places for are dropped; a session that is dialed again
    after a loss keeps its place meanwhile.
    """

    def __init__(self, role: str, schedule: RoleSchedule, numbers: Sequence[int], parts: ArrivalParts) -> None:
        """Takes the name of the role, and the numbers of its sessions on this worker."""
        self._role = role
        self._schedule = schedule
        self._parts = parts
        self._free = deque(numbers)
        self._taken: set[int] = set()
        self._due: set[int] = set()
        """Numbers of the sessions that are due, and whose dial has not begun."""
        self._dial: Dial | None = None
        self._dials: asyncio.TaskGroup | None = None

    def begin(self, dials: asyncio.TaskGroup, dial: Dial, start_ns: int, end_ns: int) -> None:
        """Begins to dial the sessions that are due, as tasks of a group."""
        self._dials, self._dial = dials, dial
        self._schedule.start(start_ns, end_ns)
        self._arm()

    def end(self, now_ns: int) -> None:
        """Dials no session any more; drops those that were due and have no place."""
        self._dials = None
        while (due_ns := self._schedule.next_due()) is not None and due_ns < now_ns:
            self._schedule.take()
            self._drop()

    def drop_undialed(self) -> None:
        """Drops the sessions that were due, and whose dial had to wait for others until it was called off."""
        tally = self._parts.rows.role(self._role)
        tally.sessions_dropped += len(self._due)
        self._due.clear()

    def give_up(self) -> None:
        """Counts all sessions that are left as due, and drops them."""
        left = self._schedule.take_all()
        tally = self._parts.rows.role(self._role)
        tally.sessions_due += left
        tally.sessions_dropped += left

    def take_due(self, number: int) -> bool:
        """Takes note that a dial begins. Returns True for that of a session that has arrived."""
        if number in self._due:
            self._due.remove(number)
            return True
        return False

    def release(self, number: int) -> None:
        """Makes the place of a session free, once, which is over for good."""
        if number in self._taken:
            self._taken.remove(number)
            self._free.append(number)

    def on_alarm(self, kind: int, at_ns: int) -> None:  # noqa: ARG002 - there is one, and the dial has its own times
        """Dials the session that is due, or drops it."""
        if self._dials is None or self._dial is None:
            return
        self._schedule.take()
        self._arm()
        if not self._free:
            self._drop()
            return
        number = self._free.popleft()
        self._taken.add(number)
        self._due.add(number)
        self._parts.rows.role(self._role).sessions_due += 1
        self._dials.create_task(self._dial_one(self._dial, number))

    async def _dial_one(self, dial: Dial, number: int) -> None:
        if not await dial(number):
            self.release(number)

    def _drop(self) -> None:
        tally = self._parts.rows.role(self._role)
        tally.sessions_due += 1
        tally.sessions_dropped += 1

    def _arm(self) -> None:
        due_ns = self._schedule.next_due()
        if due_ns is not None:
            self._parts.alarms.set(due_ns, self, DUE)
