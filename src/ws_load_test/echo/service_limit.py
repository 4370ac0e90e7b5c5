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


class QueuedConnection(Protocol):
    """A connection with messages in the queue."""

    @property
    def gone(self) -> bool:
        """Whether it is closed, so that nobody waits for a reply any more."""
        raise NotImplementedError

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Called when a message's turn has come."""

    def answered_all(self) -> None:
        """Called when that is all for now, so that replies may leave together."""


class ServiceLimit:
    """The queue of all connections that share a limit.

    A client that has left frees its places: its messages take no turn, so that who comes after it does not wait
    behind them.
    """

    def __init__(self, per_s: float) -> None:
        """Takes the most messages a second."""
        self._gap_ns = 1e9 / per_s
        self._loop = asyncio.get_running_loop()
        # Small numbers, so that adding fractions of a nanosecond never loses them.
        self._start_ns = time.monotonic_ns()
        self._free_ns = 0.0
        self._queue: deque[tuple[float, QueuedConnection, int, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def enqueue(self, connection: QueuedConnection, opcode: int, payload: bytes) -> None:
        """Takes a message in; its reply is asked for at once where nothing is before it."""
        now_ns = self._now_ns()
        if self._free_ns <= now_ns and not self._queue:
            self._free_ns = now_ns + self._gap_ns
            connection.answer_now(opcode, payload)
            return
        self._queue.append((now_ns, connection, opcode, payload))
        if self._timer is None:
            self._wake_at(self._free_ns, now_ns)

    def close(self) -> None:
        """Forgets whatever waits, and wakes up no more."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        now_ns = self._now_ns()
        queue, answered = self._queue, {}
        try:
            while queue:
                came_ns, connection, opcode, payload = queue[0]
                turn_ns = max(came_ns, self._free_ns)
                if not connection.gone and turn_ns > now_ns:
                    break
                queue.popleft()
                if connection.gone:
                    continue
                self._free_ns = turn_ns + self._gap_ns
                answered[id(connection)] = connection
                connection.answer_now(opcode, payload)
        finally:
            # What fails in one connection is no reason to leave the others without an answer.
            if queue:
                self._wake_at(self._free_ns, now_ns)
            for connection in answered.values():
                connection.answered_all()

    def _wake_at(self, turn_ns: float, now_ns: float) -> None:
        self._timer = self._loop.call_later(max(_GRAIN_S, (turn_ns - now_ns) / 1e9), self._wake)

    def _now_ns(self) -> float:
        return float(time.monotonic_ns() - self._start_ns)
