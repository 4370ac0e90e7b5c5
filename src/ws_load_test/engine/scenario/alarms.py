"""Alarms of all sessions of a worker, on one timer: waits, time-outs, timers, stays.

What it costs: an entry of a heap, some 150 bytes, and 1 µs to set and ring. An alarm is never taken back: its target
compares the instant with the one that it waits for, and ignores one that is out of date.

Most time-outs are out of date long before their instant, and each would wake the worker: they are kept apart, and
looked at a little ahead of it, while other alarms ring.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import NS_PER_MS, monotonic_ns
from ws_load_test.common.loop_turns import TURN_NS
from ws_load_test.common.timer import new_timer

if TYPE_CHECKING:
    from ws_load_test.common.clock import Timer

ALARMS_PER_LOOK = 128
"""Alarms that ring between two looks at the clock: in an overloaded worker they ring for `TURN_NS` in one turn of the
loop, which then reads what has come."""


DEADLINE = 1
"""Kind of the alarm at the time-out of a step."""
LOOK_AHEAD_NS = 20 * NS_PER_MS
"""Time before its instant from which a time-out is looked at: in a worker with 100 alarms a second, none that is out of
date wakes it."""


class AlarmTarget(Protocol):
    """One that has alarms."""

    def on_alarm(self, kind: int, at_ns: int) -> None:
        """Takes note that an alarm of a kind, set for an instant, has rung."""
        ...


class DeadlineTarget(AlarmTarget, Protocol):
    """One that has a time-out."""

    def has_deadline(self, at_ns: int) -> bool:
        """Returns True if an alarm for a time-out at an instant, which is near, is still needed."""
        ...


class Alarms:
    """Alarms by their instants."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, AlarmTarget]] = []
        self._deadlines: list[tuple[int, int, DeadlineTarget]] = []
        """Time-outs whose instant is not near."""
        self._order = count().__next__
        self._timer: Timer | None = None
        self._ringing = False

    def set(self, at_ns: int, target: AlarmTarget, kind: int) -> None:
        """Calls the target at this instant, or in a later turn of the loop if it has passed."""
        entry = (at_ns, self._order(), kind, target)
        heappush(self._heap, entry)
        if self._heap[0] is entry and not self._ringing and not (self._deadlines and self._deadlines[0][0] <= at_ns):
            self._arm(at_ns)

    def set_deadline(self, at_ns: int, target: DeadlineTarget) -> None:
        """Calls the target at this instant, if it needs that when the instant is near."""
        entry = (at_ns, self._order(), target)
        heappush(self._deadlines, entry)
        if self._deadlines[0] is entry and not self._ringing and not (self._heap and self._heap[0][0] <= at_ns):
            self._arm(at_ns)

    def _arm(self, at_ns: int) -> None:
        if self._timer is None:
            self._timer = new_timer(self._ring)
        self._timer.arm(at_ns)

    def _look_ahead(self, until_ns: int) -> None:
        """Takes the time-outs until an instant for alarms like any other, as far as they are needed."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= until_ns:
            at_ns, number, target = heappop(deadlines)
            if target.has_deadline(at_ns):
                heappush(self._heap, (at_ns, number, DEADLINE, target))

    def _ring(self) -> None:
        heap, now_ns, left = self._heap, monotonic_ns(), ALARMS_PER_LOOK
        if self._deadlines and self._deadlines[0][0] <= now_ns + LOOK_AHEAD_NS:
            self._look_ahead(now_ns + LOOK_AHEAD_NS)
        latest = self._order()
        # What the targets set meanwhile is armed for once, below.
        self._ringing = True
        try:
            while heap:
                at_ns, number, kind, target = heap[0]
                # An alarm that is set for a passed instant while these ring is one of the next turn.
                if at_ns > now_ns or number > latest:
                    break
                if not left:
                    if monotonic_ns() >= now_ns + TURN_NS:
                        break
                    left = ALARMS_PER_LOOK
                left -= 1
                heappop(heap)
                target.on_alarm(kind, at_ns)
        finally:
            self._ringing = False
        if self._timer is None:
            return
        if heap and not (self._deadlines and self._deadlines[0][0] < heap[0][0]):
            self._timer.arm(heap[0][0])
        elif self._deadlines:
            self._timer.arm(self._deadlines[0][0])

    def close(self) -> None:
        """Rings no more."""
        self._heap.clear()
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
