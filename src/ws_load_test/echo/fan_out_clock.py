"""Fan-outs with a time between two members: deliveries leave at the instant of publishing + i × delay.

The timer wakes the loop ahead of the next delivery, and the rest is waited for by reading the clock again and again,
since a timer is 10 µs late and more. That is bounded by the turn of the loop (`LoopTurns`): after it, everything else
has its turn, and the deliveries that fell due meanwhile leave at once.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.timer import new_timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.clock import Timer
    from ws_load_test.common.loop_turns import LoopTurns

_SPIN_NS = 100_000
"""Nanoseconds before a delivery from which on the clock is read again and again: more than a timer is late."""


class FanOutClock:
    """Deliveries of several fan-outs, each at its instant."""

    def __init__(
        self,
        turns: LoopTurns,
        *,
        now_ns: Callable[[], int] = monotonic_ns,
        make_timer: Callable[[Callable[[], None]], Timer] = new_timer,
    ) -> None:
        """Takes the turns of the loop, the clock, and a maker of the timer, which is called at first use."""
        self._turns = turns
        self._now_ns = now_ns
        self._make_timer = make_timer
        self._timer: Timer | None = None
        self._numbers = itertools.count()  # deliveries of one instant keep their order
        self._waiting: list[tuple[int, int, _FanOut]] = []
        self._is_put_off = False
        self.latest_ns = 0
        """Nanoseconds that the latest delivery left after its instant."""

    def start(self, deliver: Callable[[int], None], count: int, delay_ns: int, done: Callable[[], None]) -> None:
        """Calls `deliver` with 0 to `count` - 1, each at its instant, the first now, and `done` after the last."""
        if not count:
            done()
            return
        fan_out = _FanOut(self._now_ns(), deliver, count, delay_ns, done)
        heapq.heappush(self._waiting, (fan_out.start_ns, next(self._numbers), fan_out))
        if not self._is_put_off:
            self._work()

    def close(self) -> None:
        """Drops what has not been sent, and closes the timer."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _go_on(self) -> None:
        self._is_put_off = False
        self._work()

    def _work(self) -> None:
        waiting, now_ns = self._waiting, self._now_ns
        while waiting:
            due_ns, number, fan_out = waiting[0]
            if due_ns - now_ns() > _SPIN_NS:
                self._timer = self._timer or self._make_timer(self._work)
                self._timer.arm(due_ns - _SPIN_NS)
                return
            if self._turns.is_over():
                self._is_put_off = True
                self._turns.put_off(self._go_on)
                return
            while (leaves_ns := now_ns()) < due_ns:
                pass
            self.latest_ns = max(self.latest_ns, leaves_ns - due_ns)
            fan_out.deliver(fan_out.sent)
            fan_out.sent += 1
            if fan_out.sent == fan_out.count:
                heapq.heappop(waiting)
                fan_out.done()
            else:
                heapq.heapreplace(waiting, (fan_out.start_ns + fan_out.sent * fan_out.delay_ns, number, fan_out))


class _FanOut:
    __slots__ = ("count", "delay_ns", "deliver", "done", "sent", "start_ns")

    def __init__(
        self, start_ns: int, deliver: Callable[[int], None], count: int, delay_ns: int, done: Callable[[], None]
    ) -> None:
        self.start_ns = start_ns
        self.deliver = deliver
        self.count = count
        self.delay_ns = delay_ns
        self.done = done
        self.sent = 0
