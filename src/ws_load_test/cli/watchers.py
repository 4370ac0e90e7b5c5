"""Who is told of a run while it goes on: the terminal, and whoever else wants each interval as it ends.

Another one is a class with the two methods of `Watcher`, and a line in `watchers`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from ws_load_test import __version__
from ws_load_test.report.metrics.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ws_load_test.measure.recording import Interval, LostWorker
    from ws_load_test.plan import Plan
    from ws_load_test.report.live import LiveView


class Watcher(Protocol):
    """Takes the intervals of one run in; it never raises, because a run must not end for who watches it."""

    def __call__(self, interval: Interval) -> None:
        """Called with each interval, in the thread of the fleet, which waits for it."""

    def close(self) -> None:
        """Called once when the run is over."""


def watchers(
    plan: Plan, ours: Mapping[str, Any], *, taken: bool, lost: Callable[[], Sequence[LostWorker]] = tuple
) -> list[Watcher]:
    """Returns those that a run with these options has.

    Args:
        plan: What is run.
        ours: The options of a run that are not the plan's.
        taken: Whether standard output belongs to an export.
        lost: Tells which workers have died so far, from any thread.
    """
    found: list[Watcher] = []
    # First, because it can find its port taken, and nobody would close what had begun before.
    settings, _ = read_settings(ours)
    if settings:
        from ws_load_test.report.metrics.live import watch

        found.append(watch(plan, settings, __version__))
    if ours.get("quiet"):
        return found
    if not taken and _is_live(ours.get("live")):
        from ws_load_test.report.live import LiveView

        # What goes to another place than the terminal needs no waiting.
        view = LiveView(plan, sys.stdout, lost=lost, diverts=_is_terminal(sys.stderr))
        found.append(view)
        _step_aside(view)
    else:
        from ws_load_test.report.plain import PlainLines

        found.append(PlainLines(plan, lost=lost))
    return found


def linger(watching: Sequence[Watcher]) -> None:
    """Called when the results of a run have been told: some watchers have a method `linger`, and wait for others there.

    Ctrl-C ends that, and changes nothing of what has been told.
    """
    for watcher in watching:
        if (wait := getattr(watcher, "linger", None)) is not None:
            with contextlib.suppress(KeyboardInterrupt):
                wait()


def _step_aside(view: LiveView) -> None:
    """Has Ctrl-Z find the terminal as it was before the view, and the view come back with the program."""
    # Windows has no such signal; and only the main thread may set handlers.
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return

    def stop(*_: object) -> None:
        view.pause()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # It goes on here when the shell says so.
        signal.signal(signal.SIGTSTP, stop)
        view.resume()

    signal.signal(signal.SIGTSTP, stop)


def _is_live(asked: bool | None) -> bool:  # noqa: FBT001 - an option's value
    """Returns whether standard output is a terminal that somebody watches, and that can show a page."""
    # Most services that build and test set CI; some give their programs a terminal, whose every frame they would log.
    if asked is False or (asked is None and os.environ.get("CI", "").lower() not in ("", "0", "false")):
        return False
    if not _is_terminal(sys.stdout):
        return False
    if sys.platform == "win32":
        from rich.console import Console

        return not Console().legacy_windows
    return os.environ.get("TERM", "dumb").lower() not in ("", "dumb", "unknown")


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False
