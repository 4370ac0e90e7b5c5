"""Delays with microsecond resolution: one precise timer for all connections of an event loop.

The timers of uvloop and asyncio count milliseconds, so a delay of 200 µs would become one of 1 to 2 ms.
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
    """Callbacks, each called at its monotonic instant or about 10 µs later."""

    _by_loop: dict[asyncio.AbstractEventLoop, DelayScheduler] = {}  # noqa: RUF012 - one for each running loop

    def __init__(self) -> None:
        self._timer = new_timer(self._on_expiry)
        self._calls: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # calls of one instant keep their order
        self._users = 0

    @classmethod
    def join(cls) -> DelayScheduler:
        """Returns the scheduler of the running loop; each call needs a later call of `leave`."""
        loop = asyncio.get_running_loop()
        scheduler = cls._by_loop.get(loop)
        if scheduler is None:
            scheduler = cls._by_loop[loop] = cls()
        scheduler._users += 1
        return scheduler

    def leave(self) -> None:
        """Releases the scheduler; the last release closes its timer."""
        self._users -= 1
        if not self._users:
            self._timer.close()
            self._by_loop.pop(asyncio.get_running_loop(), None)

    def at(self, at_ns: int, call: Callable[[], None]) -> None:
        """Calls back once at a monotonic instant, never before it."""
        heapq.heappush(self._calls, (at_ns, next(self._numbers), call))
        if self._calls[0][0] == at_ns:
            self._timer.arm(at_ns)

    def _on_expiry(self) -> None:
        try:
            while self._calls and self._calls[0][0] <= monotonic_ns():
                heapq.heappop(self._calls)[2]()
        finally:
            # An exception in one callback must not lose the later ones.
            if self._calls and self._users:
                self._timer.arm(self._calls[0][0])
