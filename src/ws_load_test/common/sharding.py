"""Shard arithmetic: of every n connections, one is each worker's; shards never overlap.

Connection k is in block k // n, which has one place for each worker. From block to block the places move on by a
multiple of the golden ratio, so that what is dealt in turn over the numbers (URLs, addresses, rows of a feed) is dealt
over each worker's numbers as well. Every n-th number would be one worker's share of the connections and, with as many
URLs as workers, one URL's.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_GOLDEN_RATIO = 0x9E3779B97F4A7C15
"""Fraction of the golden ratio times 2^64 (D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4)."""
_MASK = (1 << 64) - 1


def rotation(number: int, size: int) -> int:
    """Returns the place from 0 to `size` - 1 at which turn `number` of a repeated cycle begins.

    The places are spread evenly over the turns, and over every regular choice of turns (each second, each third one):
    two cycles of which one is rotated never go in step.
    """
    return ((number * _GOLDEN_RATIO & _MASK) * size) >> 64


class Shard(msgspec.Struct, frozen=True):
    """One worker's part of the connections and messages: one of each `count`."""

    index: int
    """Number of the shard, from 0."""
    count: int
    """Number of shards."""

    def size(self, total: int) -> int:
        """Number of items of this shard if `total` items are numbered from 0."""
        blocks, rest = divmod(total, self.count)
        return blocks + (self._place(blocks) < rest)

    def global_index(self, position: int) -> int:
        """Number, over all shards, of this shard's item at `position`."""
        return position * self.count + self._place(position)

    def numbers(self) -> Iterator[int]:
        """Yields the numbers of all items of this shard, in order, without end."""
        return count() if self.count == 1 else map(self.global_index, count())

    def _place(self, block: int) -> int:
        return (self.index + rotation(block, self.count)) % self.count


def shard_of(number: int, shards: int) -> int:
    """Returns the index of the shard, of so many, that has an item: the inverse of `Shard.global_index`."""
    block, place = divmod(number, shards)
    return (place - rotation(block, shards)) % shards


def largest_size(total: int, shards: int) -> int:
    """Number of items of the largest of so many shards."""
    return -(-total // shards)
