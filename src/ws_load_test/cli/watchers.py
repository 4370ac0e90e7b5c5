"""Who is told of a run while it goes on: the terminal, and whoever else wants each interval as it ends.

Another one is a class with the two methods of `Watcher`, and a line in `watchers`.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

from ws_load_test import __version__
from ws_load_test.report.metrics.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    settings, _ = read_settings(ours)
    if settings:
        from ws_load_test.report.metrics.live import watch

        found.append(watch(plan, settings, __version__))
    return found


def linger(watching: Sequence[Watcher]) -> None:
    """Called when the results of a run have been told: some watchers have a method `linger`, and wait for others there.

    Ctrl-C ends that, and changes nothing of what has been told.
    """
    for watcher in watching:
        if (wait := getattr(watcher, "linger", None)) is not None:
            with contextlib.suppress(KeyboardInterrupt):
                wait()
