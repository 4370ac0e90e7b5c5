"""The interface of everything that follows a run while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ws_load_test.metrics.recording import Interval


class IntervalObserver(Protocol):
    """Takes the intervals of one run in; it never raises, because a run must not end for who watches it."""

    def __call__(self, interval: Interval) -> None:
        """Called with each interval, in the thread of the fleet, which waits for it."""

    def close(self) -> None:
        """Called once when the run is over."""
