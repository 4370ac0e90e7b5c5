"""Shard arithmetic: worker i of n owns connections and messages i, i + n, i + 2n, …; shards never overlap."""

from __future__ import annotations

import msgspec


class Shard(msgspec.Struct, frozen=True):
    """One worker's part of the connections and messages: every `count`-th, beginning with number `index`."""

    index: int
    """Number of the shard, from 0."""
    count: int
    """Number of shards."""

    def size(self, total: int) -> int:
        """Number of items of this shard if `total` items are numbered from 0."""
        return max(0, (total - self.index + self.count - 1) // self.count)

    def global_index(self, position: int) -> int:
        """Number, over all shards, of this shard's item at `position`."""
        return self.index + position * self.count
