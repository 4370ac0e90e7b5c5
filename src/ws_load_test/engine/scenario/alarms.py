"""Alarms of all sessions of a worker, on one timer: waits, time-outs, timers, stays.

What it costs: an entry of a heap, some 150 bytes, and 1 µs to set and ring. An alarm is never taken back: its target
compares the instant with the one that it waits for, and ignores one that is out of date.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.loop_turns import TURN_NS
from ws_load_test.common.timer import new_timer

if TYPE_CHECKING:
    from ws_load_test.common.clock import Timer

ALARMS_PER_LOOK = 128
"""Alarms that ring between two looks at the clock: in an overloaded worker they ring for `TURN_NS` in one turn of the
loop, which then reads what has come."""


class AlarmTarget(Protocol):
    """One that has alarms."""

    def on_alarm(self, kind: int, at_ns: int) -> None:
        """Takes note that an alarm of a kind, set for an instant, has rung."""
        ...


class Alarms:
    """Alarms by their instants."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, AlarmTarget]] = []
        self._order = count().__next__
        self._timer: Timer | None = None
        self._ringing = False

    def set(self, at_ns: int, target: AlarmTarget, kind: int) -> None:
        """Calls the target at this instant, or in a later turn of the loop if it has passed."""
        entry = (at_ns, self._order(), kind, target)
        heappush(self._heap, entry)
        if self._heap[0] is entry and not self._ringing:
            if self._timer is None:
                self._timer = new_timer(self._ring)
            self._timer.arm(at_ns)

    def _ring(self) -> None:
        heap, now_ns, left = self._heap, monotonic_ns(), ALARMS_PER_LOOK
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
        if heap and self._timer is not None:
            self._timer.arm(heap[0][0])

    def close(self) -> None:
        """Rings no more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
