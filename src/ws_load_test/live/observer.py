"""Interface of everything that follows a run while it goes on: the terminal's views and the exporters of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ws_load_test.metrics.interval_event import IntervalEvent


class IntervalObserver(Protocol):
    """Follows the intervals of one run. It never raises: a run must not end because of what observes it."""

    def __call__(self, event: IntervalEvent) -> None:
        """Called with each interval in the thread of the fleet, which waits for it to return.

        All observers share the event's tallies, so they must not change them.
        """

    def close(self) -> None:
        """Called once when the run is over."""
