"""Schedule of a role: the instants at which its iterations, or its sessions, are due on one worker.

Each worker has the share of its sessions in the role, as the plan deals them. The fleet's turns are those of all
sessions together; a worker without a session of this role would be dealt iterations that it cannot begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.common.sharding import Shard
from ws_load_test.plan.load_sharing import Turns
from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants, LoadProfile

if TYPE_CHECKING:
    from ws_load_test.plan.schedule import Arrivals

BLOCK_SIZE = 1024
"""Instants that are computed together."""
LONGEST_SCHEDULE_NS = 365 * 24 * 3600 * 10**9
"""Length (a year) of the schedule of a run without an end."""


class RoleSchedule:
    """Due instants of one worker, in order, as monotonic ns; its user takes one after the other."""

    def __init__(
        self, rate_per_s: float, weights: tuple[int, ...], worker: int, arrivals: Arrivals = "constant", seed: int = 0
    ) -> None:
        """Takes the rate over all workers, and the share of each."""
        self._rate_per_s = rate_per_s
        self._arrivals: Arrivals = arrivals
        self._seed = seed
        self._worker = worker
        self._turns = Turns(weights)
        self._has_turns = bool(any(weights) and weights[worker])
        self._instants: DueInstants | None = None
        self._start_ns = 0
        self._position = 0
        """Position, in this worker's turns, of the instant behind the present block."""
        self._due: list[int] = []
        """Instants of the present block."""
        self._next = 0

    def start(self, start_ns: int, end_ns: int) -> None:
        """Begins: the schedule's instant 0 is `start_ns`; nothing is due at `end_ns` or later."""
        length_ns = min(LONGEST_SCHEDULE_NS, end_ns - start_ns)
        if self._has_turns and length_ns > 0:
            self._start_ns = start_ns
            profile = LoadProfile.constant(self._rate_per_s, length_ns)
            self._instants = DueInstants(ArrivalSchedule(profile, self._arrivals, self._seed))

    def next_due(self) -> int | None:
        """Returns the next instant, which stays; None if there is none."""
        if self._next == len(self._due) and self._instants is not None:
            positions = np.arange(self._position, self._position + BLOCK_SIZE)
            due = self._instants.of(self._turns.numbers(self._worker, positions))
            self._position += len(due)
            self._due, self._next = (due + self._start_ns).tolist(), 0
        return self._due[self._next] if self._next < len(self._due) else None

    def take(self) -> None:
        """Takes the next instant."""
        self._next += 1

    def take_all(self) -> int:
        """Takes all instants that are left. Returns how many."""
        if self._instants is None:
            return 0
        behind = self._turns.position(self._worker, self._instants.count())
        left = behind - self._position + len(self._due) - self._next
        self._instants, self._due, self._next = None, [], 0
        return left


def sessions_by_worker(first_number: int, sessions: int, workers: int) -> tuple[int, ...]:
    """Returns how many of so many sessions, the first of which has this number, each worker has."""
    shards = [Shard(worker, workers) for worker in range(workers)]
    return tuple(shard.size(first_number + sessions) - shard.size(first_number) for shard in shards)
