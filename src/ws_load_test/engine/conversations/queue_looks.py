"""Looks at a queue of messages in flight, by which a lost reply shows while the load goes on.

Where replies are paired in order and one is lost, the next takes its place, and so on: from then on one message more is
in flight, and the queue is never empty again. Where a target answers before the next message is due, it is often empty.
So a queue that was often found empty, and is not any more although replies come, is a sign of it. It is no proof:
the target can have become slower.
"""

from __future__ import annotations

import math

FEWEST_LOOKS = 10
"""Looks before which nothing is concluded."""
LONGEST_BUSY_SHARE = 0.75
"""Share of looks that found a message in flight above which a queue is too seldom empty for it to mean anything."""
CHANCE = 1e-9
"""Probability that a queue is called suspicious by chance: few in a run of an hour with thousands of sessions."""


class QueueLooks:
    """Looks at one session's queue, at random instants, so that they do not beat with the schedule."""

    __slots__ = ("_busy", "_empty", "_oldest_ns", "_streak", "is_suspicious")

    def __init__(
        self, empty: int = 0, busy: int = 0, streak: int = 0, oldest_ns: int = 0, *, is_suspicious: bool = False
    ) -> None:
        self._empty = empty
        """Looks that found nothing in flight."""
        self._busy = busy
        """Looks that found a message in flight, before the present streak."""
        self._streak = streak
        """Looks in a row that found another message in flight than the look before."""
        self._oldest_ns = oldest_ns
        self.is_suspicious = is_suspicious
        """True while the queue is empty no more."""

    def add(self, oldest_ns: int) -> int:
        """Adds a look that found the oldest message in flight sent at an instant, 0 without one.

        Returns:
            1 where the queue has become suspicious by it, -1 where it is no more, else 0.
        """
        if not oldest_ns:
            self._empty += 1
            self._busy += self._streak
            self._streak = 0
            was, self.is_suspicious = self.is_suspicious, False
            return -was
        # While no reply comes, the target is merely slow, or stuck.
        self._streak += oldest_ns != self._oldest_ns
        self._oldest_ns = oldest_ns
        if self.is_suspicious or self._streak < FEWEST_LOOKS or self._empty < FEWEST_LOOKS:
            return 0
        looks = self._empty + self._busy
        share = (self._busy + 1) / (looks + 2)
        self.is_suspicious = share <= LONGEST_BUSY_SHARE and self._streak * math.log(share) <= math.log(CHANCE)
        return int(self.is_suspicious)
