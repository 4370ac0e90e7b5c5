"""Lag of a worker's event loop: how late it turns to something that is due, which every reply may have waited for."""

from __future__ import annotations

import asyncio
from array import array
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.common.clock import NS_PER_MS, monotonic_ns
from ws_load_test.common.timer import new_timer

if TYPE_CHECKING:
    from ws_load_test.common.clock import Timer
    from ws_load_test.metrics.histogram import Histogram

LOOP_CHECK_NS = 20 * NS_PER_MS
"""Time between two checks of the loop's own lateness: fifty samples a second cost nothing and catch pauses of 20 ms."""


class LoopLag:
    """Checks of the running loop, each set by the one before; what they find is counted by the block."""

    def __init__(self) -> None:
        self._found_ns = array("q")
        self._due_ns = 0
        self._timer: Timer | None = None

    async def measure(self) -> None:
        """Checks until it is cancelled."""
        self._timer = new_timer(self._check)
        try:
            self._set_next()
            await asyncio.Event().wait()
        finally:
            self._timer.close()
            self._timer = None

    def _check(self) -> None:
        self._found_ns.append(max(0, monotonic_ns() - self._due_ns))
        self._set_next()

    def _set_next(self) -> None:
        if self._timer is not None:
            self._due_ns = monotonic_ns() + LOOP_CHECK_NS
            self._timer.arm(self._due_ns)

    def collect_into(self, lags: Histogram) -> None:
        """Adds what was found since the last call."""
        found, self._found_ns = self._found_ns, array("q")
        lags.record_block(np.frombuffer(found, np.int64))
