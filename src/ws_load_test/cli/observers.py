"""Observers of a run while it goes on: the terminal, and exporters that take each interval as it ends.

Another one is a class with the two methods of `IntervalObserver`, and a line in `watchers`.
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
"""Seconds that all exporters together have to stop after an interrupted or failed run: enough for one request."""
_log = logging.getLogger(__name__)


def watchers(
    plan: Plan,
    output_options: Mapping[str, Any],
    *,
    taken: bool,
    lost: Callable[[], Sequence[LostWorker]] = tuple,
    header: Header | None = None,
) -> Iterator[IntervalObserver]:
    """Yields the observers of a run, one by one, so that those made are closed when the next cannot be made.

    Args:
        plan: The plan of the run.
        output_options: The options of a run that are not the plan's.
        taken: True if standard output belongs to an export.
        lost: Returns the workers that have died so far; safe to call from any thread.
        header: Header of the recording, with the machines; None: the run is on this one alone.
    """
    settings, _ = read_settings(output_options)
    if settings:
        from ws_load_test.live.telemetry.publisher import start_publishing

        yield start_publishing(plan, settings, __version__)
    if output_options.get("quiet"):
        return
    # Last, so that it is the first to be closed: no other observer's end can keep the terminal.
    yield _shown(plan, output_options, taken=taken, lost=lost, header=header)


def _shown(
    plan: Plan,
    output_options: Mapping[str, Any],
    *,
    taken: bool,
    lost: Callable[[], Sequence[LostWorker]],
    header: Header | None,
) -> IntervalObserver:
    """Makes what the user sees: the live view where there can be one, else a line now and then."""
    if not taken and _is_live(output_options.get("live")):
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
    """Lets observers with a method `flush` finish once the results are printed, for example until a last scrape.

    Ctrl-C ends the wait and changes no result. With `stops` the run was interrupted or failed, and the wait is
    `STOP_S` in all.
    """
    waits = [wait for watcher in watching if (wait := getattr(watcher, "flush", None)) is not None]
    with contextlib.suppress(KeyboardInterrupt):
        if not stops:
            for wait in waits:
                with contextlib.suppress(KeyboardInterrupt):
                    wait()
            return
        # Daemons: a thread that still waits then ends with the program.
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
    # A parent that has put Ctrl-Z out of force meant it.
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
    """Returns True if standard output is a terminal in use that can show a page."""
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
