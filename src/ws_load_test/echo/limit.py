"""A hard limit on the messages a second, as a saturated server has one: what is above it waits in one queue.

A message is answered when its turn comes, and turns come at even distances, first in first out over all connections;
a server that is idle answers at once. Turns are kept by arithmetic, not by timers: these have a grain of a millisecond,
so each wake-up answers all whose turn has come by then, and the rate stays what was asked, to the message.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

_GRAIN_S = 0.001


class Waiting(Protocol):
    """A connection with messages in the queue."""

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Called when a message's turn has come."""

    def answered_all(self) -> None:
        """Called when that is all for now, so that replies may leave together."""


class Limit:
    """The queue of all connections that share a limit."""

    def __init__(self, per_s: float) -> None:
        """Takes the most messages a second."""
        self._gap_ns = 1e9 / per_s
        self._loop = asyncio.get_running_loop()
        # Small numbers, so that adding fractions of a nanosecond never loses them.
        self._start_ns = time.monotonic_ns()
        self._free_ns = 0.0
        self._queue: deque[tuple[float, Waiting, int, bytes]] = deque()

    def take(self, connection: Waiting, opcode: int, payload: bytes) -> None:
        """Takes a message in; its reply is asked for at once where nothing is before it."""
        now_ns = float(time.monotonic_ns() - self._start_ns)
        turn_ns = max(now_ns, self._free_ns)
        self._free_ns = turn_ns + self._gap_ns
        if turn_ns <= now_ns and not self._queue:
            connection.answer_now(opcode, payload)
            return
        self._queue.append((turn_ns, connection, opcode, payload))
        if len(self._queue) == 1:
            self._wake_at(turn_ns, now_ns)

    def _wake(self) -> None:
        now_ns = float(time.monotonic_ns() - self._start_ns)
        queue, answered = self._queue, {}
        while queue and queue[0][0] <= now_ns:
            _, connection, opcode, payload = queue.popleft()
            connection.answer_now(opcode, payload)
            answered[id(connection)] = connection
        for connection in answered.values():
            connection.answered_all()
        if queue:
            self._wake_at(queue[0][0], now_ns)

    def _wake_at(self, turn_ns: float, now_ns: float) -> None:
        self._loop.call_later(max(_GRAIN_S, (turn_ns - now_ns) / 1e9), self._wake)
