"""Hard limit on the messages a second, as of a saturated server: further messages wait in one queue.

Messages are answered at even intervals, first in first out over all connections; an idle server answers at once. The
intervals are kept by arithmetic, since timers count milliseconds: each wake-up answers every message that is due by
then, so the rate is exact to the message.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from ws_load_test.common.loop_turns import LoopTurns

MAX_DEAD_BYTES = 16 << 20
"""Memory of messages of closed connections above which they are taken out of the queue; below, they leave in turn."""
_MIN_DELAY_S = 0.001
"""Seconds of the shortest timer, the resolution of the event loop's timers."""


class QueuedConnection(Protocol):
    """A connection with messages in the queue."""

    @property
    def gone(self) -> bool:
        """True once it is closed, so that its messages need no reply."""
        raise NotImplementedError

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Called when a message is due for its reply."""

    def answered_all(self) -> None:
        """Called after the replies of one wake-up, so that they can be sent together."""


class ServiceLimit:
    """The queue of all connections that share a limit.

    Messages of a closed connection leave the queue, so that later messages do not wait behind them.
    """

    def __init__(self, per_s: float, turns: LoopTurns | None = None) -> None:
        """Takes the limit in messages per second, and the turns of the loop; without, it makes its own."""
        self._turns = turns or LoopTurns()
        self._dead_bytes = 0
        self._gap_ns = 1e9 / per_s
        self._loop = asyncio.get_running_loop()
        # Instants count from here: in numbers so small, added fractions of a nanosecond are not lost.
        self._start_ns = time.monotonic_ns()
        self._free_ns = 0.0
        self._queue: deque[tuple[float, QueuedConnection, int, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def enqueue(self, connection: QueuedConnection, opcode: int, payload: bytes) -> None:
        """Queues a message, or has it answered at once if the queue is empty and the server idle."""
        now_ns = self._now_ns()
        if self._free_ns <= now_ns and not self._queue:
            self._free_ns = now_ns + self._gap_ns
            connection.answer_now(opcode, payload)
            return
        self._queue.append((now_ns, connection, opcode, payload))
        if self._timer is None:
            self._wake_at(self._free_ns, now_ns)

    def leave(self, queued_bytes: int) -> None:
        """Takes note that a connection is closed whose waiting messages take so much memory."""
        self._dead_bytes += queued_bytes
        if self._dead_bytes > MAX_DEAD_BYTES:
            self._dead_bytes = 0
            kept = [entry for entry in self._queue if not entry[1].gone]
            self._queue.clear()
            self._queue.extend(kept)

    def close(self) -> None:
        """Drops the queue, and stops the timer."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        now_ns = self._now_ns()
        queue = self._queue
        answered: dict[int, QueuedConnection] = {}
        try:
            while queue and not (answered and self._turns.is_over()):
                received_ns, connection, opcode, payload = queue[0]
                due_ns = max(received_ns, self._free_ns)
                if not connection.gone and due_ns > now_ns:
                    break
                queue.popleft()
                if connection.gone:
                    continue
                self._free_ns = due_ns + self._gap_ns
                answered[id(connection)] = connection
                connection.answer_now(opcode, payload)
        finally:
            # An exception in one connection must not leave the others without a reply.
            if queue:
                self._wake_at(self._free_ns, now_ns)
            for connection in answered.values():
                connection.answered_all()

    def _wake_at(self, due_ns: float, now_ns: float) -> None:
        self._timer = self._loop.call_later(max(_MIN_DELAY_S, (due_ns - now_ns) / 1e9), self._wake)

    def _now_ns(self) -> float:
        return float(time.monotonic_ns() - self._start_ns)
