"""Looks at the queues of sessions that are asleep: `QueueLooks`, for all of them at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.engine.conversations.queue_looks import CHANCE, FEWEST_LOOKS, LONGEST_BUSY_SHARE, QueueLooks

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SleepingLooks:
    """Looks by the slots of sessions, in 21 bytes each."""

    def __init__(self) -> None:
        self._empty = np.zeros(0, np.int32)
        self._busy = np.zeros(0, np.int32)
        self._streak = np.zeros(0, np.int32)
        self._oldest_ns = np.zeros(0, np.int64)
        self._suspicious = np.zeros(0, np.bool_)

    def add(self, oldest_ns: NDArray[np.int64]) -> tuple[int, int]:
        """Adds a look at each slot: when its oldest message in flight was sent, 0 without one, -1: no look.

        Returns:
            How many queues have become suspicious by it, and how many are no more.
        """
        self._make_room(len(oldest_ns))
        empty = np.flatnonzero(oldest_ns == 0)
        cleared = int(self._suspicious[empty].sum())
        self._empty[empty] += 1
        self._busy[empty] += self._streak[empty]
        self._streak[empty] = 0
        self._suspicious[empty] = False
        others = np.flatnonzero(oldest_ns > 0)
        self._streak[others] += oldest_ns[others] != self._oldest_ns[others]
        self._oldest_ns[others] = oldest_ns[others]
        judged = others[
            ~self._suspicious[others] & (self._streak[others] >= FEWEST_LOOKS) & (self._empty[others] >= FEWEST_LOOKS)
        ]
        share = (self._busy[judged] + 1) / (self._empty[judged] + self._busy[judged] + 2)
        unlikely = self._streak[judged] * np.log(share) <= math.log(CHANCE)
        self._suspicious[judged] = (share <= LONGEST_BUSY_SHARE) & unlikely
        return int(self._suspicious[judged].sum()), cleared

    def begin(self, slot: int) -> None:
        """Forgets the looks at the session that had a slot before."""
        if slot < len(self._empty):
            for column in self._columns:
                column[slot] = 0

    def of(self, slot: int) -> QueueLooks:
        """Returns the looks at a session."""
        if slot >= len(self._empty):
            return QueueLooks()
        empty, busy, streak, oldest_ns, suspicious = (int(column[slot]) for column in self._columns)
        return QueueLooks(empty, busy, streak, oldest_ns, is_suspicious=bool(suspicious))

    @property
    def _columns(self) -> tuple[NDArray[np.int32 | np.int64 | np.bool_], ...]:
        return self._empty, self._busy, self._streak, self._oldest_ns, self._suspicious

    def _make_room(self, slots: int) -> None:
        if slots > len(self._empty):
            more = slots - len(self._empty)
            self._empty, self._busy, self._streak = (
                np.pad(column, (0, more)) for column in (self._empty, self._busy, self._streak)
            )
            self._oldest_ns = np.pad(self._oldest_ns, (0, more))
            self._suspicious = np.pad(self._suspicious, (0, more))
