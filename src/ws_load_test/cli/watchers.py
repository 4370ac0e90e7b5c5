"""Who is told of a run while it goes on: the terminal, and whoever else wants each interval as it ends.

Another one is a class with the two methods of `Watcher`, and a line in `watchers`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ws_load_test.measure.recording import Interval
    from ws_load_test.plan import Plan


class Watcher(Protocol):
    """Takes the intervals of one run in; it never raises, because a run must not end for who watches it."""

    def __call__(self, interval: Interval) -> None:
        """Called with each interval, in the thread of the fleet, which waits for it."""

    def close(self) -> None:
        """Called once when the run is over."""


def watchers(plan: Plan, ours: Mapping[str, Any], *, taken: bool) -> list[Watcher]:
    """Returns those that a run with these options has; `taken`: standard output belongs to an export."""
    found: list[Watcher] = []
    # Where a program reads our output, a line that moves would only be in its way.
    if not (taken or ours.get("quiet")) and sys.stdout.isatty():
        from ws_load_test.report.progress import ProgressLine

        found.append(ProgressLine(plan))
    return found
