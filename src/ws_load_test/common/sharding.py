"""Shard arithmetic: worker i of n owns connections and messages i, i + n, i + 2n, …; shards never overlap."""

from __future__ import annotations

import msgspec


class Shard(msgspec.Struct, frozen=True):
    """One worker's part of everything: each `of`-th, beginning with number `index`."""

    index: int
    count: int

    def size(self, total: int) -> int:
        """How many of `total` things numbered from 0 are in this share."""
        return max(0, (total - self.index + self.count - 1) // self.count)

    def global_index(self, position: int) -> int:
        """The number among all things of this share's `position`-th."""
        return self.index + position * self.count
