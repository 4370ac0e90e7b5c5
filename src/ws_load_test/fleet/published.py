"""Facts of a fan-out that only the whole fleet knows: how much was published, and when a publish came to the last."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.metrics.fan_out_report import NOT_KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.metrics.fan_out_report import FollowedPublish, SlowSubscriber
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.fan_out import FanOut

SLOWEST = 10
"""Subscribers that a run names because their deliveries took longest."""


class PublishedCounts:
    """Publishes of all publishers, once each worker has reported its own."""

    def __init__(self, workers: int) -> None:
        self._counts: dict[int, int] = {}
        self._missing = set(range(workers))
        self._has_any = self._is_taken = False

    def add(self, worker: int, counts: dict[int, int]) -> None:
        """Takes the counts of a worker."""
        self._counts |= counts
        self._has_any = True
        self._missing.discard(worker)

    def lose(self, worker: int) -> None:
        """Takes note that a worker is gone; how much its publishers sent last stays unknown."""
        self._missing.discard(worker)

    def take(self) -> dict[int, int] | None:
        """Returns all counts, once, as soon as no worker is missing; None also where all were lost."""
        if self._missing or self._is_taken or not self._has_any:
            return None
        self._is_taken = True
        return self._counts


@dataclass(slots=True)
class _Parts:
    """Sum of the parts of one followed publish."""

    due_ns: int = NOT_KNOWN
    first_ns: int = 0
    last_ns: int = 0
    expected: int = 0
    delivered: int = 0
    members: int = 0


class FollowedPublishes:
    """Followed publishes, of which each worker reports its own part."""

    def __init__(self, fan_out: FanOut, timeout_ns: int) -> None:
        """Takes the plan's time-out, after which the part of a worker that was lost is awaited no more."""
        self._fan_out = fan_out
        self._timeout_ns = timeout_ns
        self._parts: dict[tuple[int, int], _Parts] = defaultdict(_Parts)
        self._newest_ns = 0
        self._complete: list[_Parts] = []
        self._slowest: list[SlowSubscriber] = []

    def add(self, rows: Iterable[FollowedPublish]) -> None:
        """Takes the parts of one worker."""
        for row in rows:
            key = row.publisher, row.number
            parts = self._parts[key]
            parts.due_ns = max(parts.due_ns, row.due_ns)
            if row.last_ns:
                parts.first_ns = min(parts.first_ns or row.first_ns, row.first_ns)
                parts.last_ns = max(parts.last_ns, row.last_ns)
            parts.expected += row.expected
            parts.delivered += row.delivered
            parts.members += row.members
            self._newest_ns = max(self._newest_ns, row.due_ns)
            if parts.members >= self._members_of(row):
                self._complete.append(self._parts.pop(key))

    def add_slowest(self, slowest: Iterable[SlowSubscriber]) -> None:
        """Takes the slowest subscribers of a worker."""
        self._slowest = sorted((*self._slowest, *slowest), key=lambda one: -one.mean_ns)[:SLOWEST]

    @property
    def slowest(self) -> tuple[SlowSubscriber, ...]:
        """Subscribers whose deliveries took longest, the slowest first."""
        return tuple(self._slowest)

    def _members_of(self, row: FollowedPublish) -> int:
        """Returns the subscribers of a publish's room, over all workers."""
        fan_out, rooms = self._fan_out, len(self._fan_out.rooms)
        room = fan_out.room_of_publish(row.publisher, row.number)
        return -(-(fan_out.subscribers - room) // rooms)

    def count_into(self, tally: Tally, *, final: bool = False) -> None:
        """Counts the publishes that all workers have reported; in the end, those as well that some have not."""
        waited_ns = self._newest_ns - 4 * self._timeout_ns - 5 * NS_PER_S
        for key in [key for key, parts in self._parts.items() if final or parts.due_ns < waited_ns]:
            self._complete.append(self._parts.pop(key))
        counted, self._complete = [parts for parts in self._complete if parts.expected], []
        tally.publishes_followed += len(counted)
        tally.publishes_complete += sum(parts.delivered >= parts.expected for parts in counted)
        came = [parts for parts in counted if parts.last_ns and parts.due_ns != NOT_KNOWN]
        if not came:
            return
        due, first, last = (
            np.array([getattr(parts, name) for parts in came], np.int64) for name in ("due_ns", "first_ns", "last_ns")
        )
        # By clocks of several machines a delivery can seem to come before it was due.
        tally.first_time_ns.record_block(np.maximum(first - due, 0))
        tally.last_time_ns.record_block(np.maximum(last - due, 0))
        tally.spread_ns.record_block(last - first)
