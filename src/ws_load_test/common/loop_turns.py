"""Fair turns of an event loop: work that comes without end is done in pieces, so that all else has its turn.

A loop turns to its timers and signals when the callbacks of the sockets that have data are over. A peer that sends
faster than its data is worked through would keep it from doing so; so would many that each take a little.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_MS, monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable

TURN_NS = 2 * NS_PER_MS
"""Time that work of this kind has in one turn of the loop: what a timer may be late because of it."""


class LoopTurns:
    """Time left in the present turn of the running loop, shared by all that may take long, and what is put off.

    Work asks `is_over` now and then; once that is True, it puts the rest of itself off (`put_off`) and returns.
    """

    def __init__(self, *, endless: bool = False) -> None:
        """Begins no turn yet; where turns are endless, `is_over` is never True."""
        self._endless = endless
        self._loop: asyncio.AbstractEventLoop | None = None
        self._until_ns = 0
        """End of the time of the present turn; 0 while nothing has asked in it."""
        self._put_off: deque[Callable[[], None]] = deque()

    def is_over(self) -> bool:
        """Returns True once the time of the present turn is used up; the first call in a turn begins it."""
        if self._endless:
            return False
        now_ns = monotonic_ns()
        if not self._until_ns:
            self._until_ns = now_ns + TURN_NS
            self._call_at_next_turn()
        return now_ns >= self._until_ns

    def put_off(self, work: Callable[[], None]) -> None:
        """Calls back in a later turn, behind all that was put off before; never within this call."""
        self._put_off.append(work)
        if not self._until_ns:
            self._until_ns = monotonic_ns()
            self._call_at_next_turn()

    def _call_at_next_turn(self) -> None:
        self._loop = self._loop or asyncio.get_running_loop()
        self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        """Does what was put off first; what is read meanwhile has the time that is left."""
        waiting, self._put_off = self._put_off, deque()
        self._until_ns = 0
        if not waiting:
            return
        self._until_ns = monotonic_ns() + TURN_NS
        self._call_at_next_turn()
        try:
            while waiting and monotonic_ns() < self._until_ns:
                waiting.popleft()()
        finally:
            # What did not have its turn comes before what was put off meanwhile.
            self._put_off.extendleft(reversed(waiting))
