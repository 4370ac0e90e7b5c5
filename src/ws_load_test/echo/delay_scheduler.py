"""What is to be done later, to the microsecond: one alarm for all connections of an event loop.

The timers of uvloop and asyncio count milliseconds, so that a delay of 200 µs would be one of a millisecond or two.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.timer import new_timer

if TYPE_CHECKING:
    from collections.abc import Callable


class DelayScheduler:
    """Calls, each at its monotonic instant or some ten microseconds later."""

    _of_loops: dict[asyncio.AbstractEventLoop, DelayScheduler] = {}  # noqa: RUF012 - one for each loop that runs

    def __init__(self) -> None:
        self._alarm = new_timer(self._ring)
        self._calls: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # calls of one instant keep their order
        self._users = 0

    @classmethod
    def join(cls) -> DelayScheduler:
        """Return the timetable of the running loop, which lasts until as many have left as have joined."""
        loop = asyncio.get_running_loop()
        table = cls._of_loops.get(loop)
        if table is None:
            table = cls._of_loops[loop] = cls()
        table._users += 1
        return table

    def leave(self) -> None:
        """Give the alarm back with the last who leaves."""
        self._users -= 1
        if not self._users:
            self._alarm.close()
            self._of_loops.pop(asyncio.get_running_loop(), None)

    def at(self, at_ns: int, call: Callable[[], None]) -> None:
        """Call once at an instant, never before it."""
        heapq.heappush(self._calls, (at_ns, next(self._numbers), call))
        if self._calls[0][0] == at_ns:
            self._alarm.arm(at_ns)

    def _ring(self) -> None:
        try:
            while self._calls and self._calls[0][0] <= monotonic_ns():
                heapq.heappop(self._calls)[2]()
        finally:
            # A call that fails must not take the later ones with it.
            if self._calls and self._users:
                self._alarm.arm(self._calls[0][0])
