"""Who is told of a run while it goes on: the terminal, and whoever else wants each interval as it ends.

Another one is a class with the two methods of `Watcher`, and a line in `watchers`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from ws_load_test.common.version import __version__
from ws_load_test.live.observer import IntervalObserver
from ws_load_test.live.telemetry.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ws_load_test.live.view import LiveView
    from ws_load_test.metrics.recording import Header, LostWorker
    from ws_load_test.plan.plan import Plan


STOP_S = 1.0
"""How long those that linger have for stopping, where nobody is to wait for them."""
_log = logging.getLogger(__name__)


def watchers(
    plan: Plan,
    ours: Mapping[str, Any],
    *,
    taken: bool,
    lost: Callable[[], Sequence[LostWorker]] = tuple,
    header: Header | None = None,
) -> Iterator[IntervalObserver]:
    """Makes those that a run with these options has, one by one, so that what was made is closed when the next fails.

    Args:
        plan: What is run.
        ours: The options of a run that are not the plan's.
        taken: Whether standard output belongs to an export.
        lost: Tells which workers have died so far, from any thread.
        header: What the recording says of the machines; None: the run is on this one alone.
    """
    settings, _ = read_settings(ours)
    if settings:
        from ws_load_test.live.telemetry.publisher import start_publishing

        yield start_publishing(plan, settings, __version__)
    if ours.get("quiet"):
        return
    # Last, so that it is the first to be closed: nobody else's end may keep the terminal.
    yield _shown(plan, ours, taken=taken, lost=lost, header=header)


def _shown(
    plan: Plan,
    ours: Mapping[str, Any],
    *,
    taken: bool,
    lost: Callable[[], Sequence[LostWorker]],
    header: Header | None,
) -> IntervalObserver:
    """Makes what the user sees: the live view where there can be one, else a line now and then."""
    if not taken and _is_live(ours.get("live")):
        from ws_load_test.live.view import LiveView

        try:
            # What goes to another place than the terminal needs no waiting.
            view = LiveView(plan, sys.stdout, header=header, lost=lost, captures_logs=_is_terminal(sys.stderr))
        # Too few descriptors or threads are no reason not to run.
        except (OSError, RuntimeError, ValueError) as error:
            _log.warning("there can be no live view: %s; lines stand in its place", error)
        else:
            _handle_sigtstp(view)
            return view
    from ws_load_test.live.progress_lines import ProgressLogger

    return ProgressLogger(plan, lost=lost)


def wait_for_observers(watching: Sequence[IntervalObserver], *, stops: bool = False) -> None:
    """Called when a run is over and told: some watchers have a method `flush`, and wait for others there.

    Ctrl-C ends that, and changes nothing of what has been told. With `stops` there is something to tell, or somebody
    who wants to leave: they are waited for no longer than it takes to stop, `STOP_S` in all.
    """
    waits = [wait for watcher in watching if (wait := getattr(watcher, "flush", None)) is not None]
    with contextlib.suppress(KeyboardInterrupt):
        if not stops:
            for wait in waits:
                with contextlib.suppress(KeyboardInterrupt):
                    wait()
            return
        # Daemons: whoever still waits then goes with the program.
        threads = [threading.Thread(target=wait, name="lingering", daemon=True) for wait in waits]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STOP_S / len(threads))


def _handle_sigtstp(view: LiveView) -> None:
    """Has Ctrl-Z find the terminal as it was before the view, and the view come back with the program."""
    # Windows has no such signal; and only the main thread may set handlers.
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return

    before = signal.getsignal(signal.SIGTSTP)
    # Whoever started us with Ctrl-Z out of force meant it.
    if before is signal.SIG_IGN:
        return
    is_stopping = False

    def stop(*_: object) -> None:
        nonlocal is_stopping
        # A second Ctrl-Z before the first one has stopped anything.
        if is_stopping:
            return
        is_stopping = True
        try:
            view.pause()
            _log.warning("the load goes on, only its display stops; fg brings it back")
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            # It goes on here when the shell says so.
            signal.signal(signal.SIGTSTP, stop)
            view.resume()
        finally:
            is_stopping = False

    signal.signal(signal.SIGTSTP, stop)
    view.leaving.callback(signal.signal, signal.SIGTSTP, before)


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
