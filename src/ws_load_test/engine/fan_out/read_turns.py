"""Turns of the loop in which deliveries are read: by how much the last of them waits for the others.

When many deliveries arrive at once, the loop finds all their sockets readable in one turn and reads one after another.
What is read late in a turn was there when it began, so the time since then may be the generator's own.
"""

from __future__ import annotations

import asyncio
from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReadTurns:
    """Instants at which turns began to read; a read asks `is_open` and, if it is the first of its turn, `begin`."""

    def __init__(self) -> None:
        self.is_open = False
        """A read of the present turn has begun it."""
        self._starts = array("q", [0])

    def begin(self, at_ns: int) -> None:
        """Begins a turn with its first read."""
        self.is_open = True
        self._starts.append(at_ns)
        # Callbacks run once all sockets that were found readable together have been read.
        asyncio.get_running_loop().call_soon(self._end)

    def add(self, starts: bytes) -> None:
        """Adds turns of a compiled loop: the instants, as int64, at which they began to read."""
        if not starts:
            return
        merged = np.concatenate((np.array(self._starts, np.int64), np.frombuffer(starts, np.int64)))
        self._starts = array("q", np.sort(merged).tobytes())

    def _end(self) -> None:
        self.is_open = False

    def lags(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns how long after the start of its turn each read was."""
        starts = np.array(self._starts, np.int64)
        lags: NDArray[np.int64] = times_ns - starts[np.searchsorted(starts, times_ns, "right") - 1]
        return lags

    def forget(self) -> None:
        """Forgets all turns but the last."""
        del self._starts[1:-1]
