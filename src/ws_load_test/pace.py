"""When, and whose: pure arithmetic that every worker does for itself, so that nobody paces anyone.

Worker i of n takes the connections and messages i, i + n, i + 2n, …; together the shares are everything, and no two
overlap.
"""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct, frozen=True):
    """One worker's part of everything: each `of`-th, beginning with number `index`."""

    index: int
    of: int

    def count(self, total: int) -> int:
        """How many of `total` things numbered from 0 are in this share."""
        return max(0, (total - self.index + self.of - 1) // self.of)

    def number(self, position: int) -> int:
        """The number among all things of this share's `position`-th."""
        return self.index + position * self.of


def spaced_ns(number: int, per_s: float) -> int:
    """When thing `number` is due, in ns from the start, if things happen evenly at `per_s`, the first at 0."""
    return round(number * 1e9 / per_s)
