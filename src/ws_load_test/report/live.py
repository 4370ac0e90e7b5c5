"""The live view: one page on a terminal while a run goes on, which leaves nothing behind when it ends.

It is drawn in a thread of its own, into the terminal's other screen, through a descriptor of its own. The fleet's
thread only leaves intervals for it, so a terminal that is slow, or stopped with Ctrl-S, holds up nobody: frames that
are not drawn in time are never drawn.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live

from ws_load_test.clock import NS_PER_S, monotonic_ns
from ws_load_test.report.scene import Scene
from ws_load_test.report.screen import Paper, page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from ws_load_test.measure.recording import Header, Interval, LostWorker
    from ws_load_test.plan import Plan

AFTER_S = 0.7
"""A run that is over by then would only have made the terminal flash."""
TICK_S = 0.25
"""How often is looked for something new: a resize, a second gone, a worker lost."""
PATIENCE_S = 1.0
"""How long a pause is waited for: a terminal that takes nothing cannot be given back."""
USUAL = (80, 24)
"""Columns and rows of a terminal that does not say."""
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red", logging.CRITICAL: "bold red"}


class LiveView:
    """Shows a run on a terminal; call it with each interval, and close it at the end. It never raises.

    Args:
        plan: What was asked.
        stream: The terminal; it must have a descriptor.
        header: What the recording says of the machines; None: the run is on this one alone.
        lost: Asked for the workers that have died so far, from the thread that draws.
        after_s: How long the run must have gone on for the view to appear.
        diverts: Whether what is logged meanwhile is shown on the page, and handed to its handlers only when the
            terminal is as it was: for logs that go to the same terminal.
    """

    def __init__(
        self,
        plan: Plan,
        stream: TextIO,
        *,
        header: Header | None = None,
        lost: Callable[[], Sequence[LostWorker]] = tuple,
        after_s: float = AFTER_S,
        diverts: bool = True,
    ) -> None:
        """Begins to watch for what it is called with."""
        self._scene = Scene(plan, header=header)
        self._lost = lost
        self._after_s = after_s
        # Not the stream itself: who is stopped while writing to it holds a lock that the run may need.
        self._stream = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace")
        self._arrived: deque[tuple[int, Interval]] = deque()
        self._arrived_ns = monotonic_ns()
        self._wake, self._over = threading.Event(), threading.Event()
        self._drawn: object = None
        # A plain boolean, because a signal's handler sets it: it could meet an event's lock in its own thread.
        self._paused = False
        self._left = threading.Event()
        self._left.set()
        self._notes = Notes(self._wake) if diverts else None
        self._thread = threading.Thread(target=self._watch, name="live view")
        self._thread.start()

    def __call__(self, interval: Interval) -> None:
        """Leaves an interval for the thread that draws, which takes microseconds."""
        self._arrived.append((monotonic_ns(), interval))
        self._wake.set()

    def pause(self) -> None:
        """Gives the terminal back for a while; waits for that, but not longer than `PATIENCE_S`."""
        self._paused = True
        self._left.wait(PATIENCE_S)

    def resume(self) -> None:
        """Shows the page again, within `TICK_S`."""
        self._paused = False

    def close(self) -> None:
        """Gives the terminal back as it was; harmless when that has been done."""
        self._over.set()
        self._wake.set()
        try:
            self._thread.join()
        finally:
            if self._notes is not None:
                self._notes.close()

    # --- The thread that draws --------------------------------------------------------------------------------------

    def _watch(self) -> None:
        try:
            with self._stream:
                if not self._over.wait(self._after_s):
                    self._show()
        # A terminal that hung up is no reason for anything.
        except (OSError, ValueError):
            pass

    def _show(self) -> None:
        console = Console(file=self._stream, force_terminal=True, force_interactive=True, highlight=False)
        while not self._has_ended():
            self._left.clear()
            if not self._paused:
                self._drawn = None
                self._show_page(console)
            self._left.set()
            self._over.wait(TICK_S)

    def _show_page(self, console: Console) -> None:
        with Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while not self._has_ended() and not self._paused:
                self._wake.clear()
                self._draw(console, live)
                self._wake.wait(TICK_S)

    def _has_ended(self) -> bool:
        # Without its main thread nobody would ever say that the run is over.
        return self._over.is_set() or not threading.main_thread().is_alive()

    def _draw(self, console: Console, live: Live) -> None:
        """Draws the page, if there is anything on it that has changed."""
        scene = self._scene
        while self._arrived:
            self._arrived_ns, interval = self._arrived.popleft()
            try:
                scene.take(interval)
            except ValueError:
                # Damaged: the report will say so.
                continue
        scene.lost_workers = self._lost()
        notes = self._notes.lines() if self._notes is not None else []
        size = self._size()
        since_ns = monotonic_ns() - self._arrived_ns
        seconds = (scene.to_ns - scene.phase_from_ns + since_ns) // NS_PER_S
        shown = (size, scene.intervals, len(scene.lost_workers), len(notes), seconds)
        if shown == self._drawn:
            return
        self._drawn = shown
        console.size = size
        paper = Paper(*size, encoding=console.encoding)
        live.update(Group(*page(scene, paper, since_ns=since_ns, notes=notes)), refresh=True)
        # What is typed is echoed where the cursor is; behind the last letter it would move the whole page up.
        console.control(Control.home())

    def _size(self) -> os.terminal_size:
        """Returns what the terminal itself says now: the environment's COLUMNS would not know of a resize."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns, rows = 0, 0
        return os.terminal_size((columns or USUAL[0], rows or USUAL[1]))


class Notes(logging.Handler):
    """Keeps what is logged, in the place of the root logger's handlers, until it is closed and they get it."""

    def __init__(self, wake: threading.Event) -> None:
        """Takes what is set whenever there is something new."""
        super().__init__()
        self._wake = wake
        self._kept: list[logging.LogRecord] = []
        self._instead = logging.root.handlers
        mine: list[logging.Handler] = [self]
        logging.root.handlers = mine

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self._kept.append(record)
        self._wake.set()

    def lines(self) -> list[tuple[str, str]]:
        """Returns what has been logged, each with its style."""
        return [(record.getMessage(), _STYLES.get(record.levelno, "dim")) for record in tuple(self._kept)]

    def close(self) -> None:
        """Puts the handlers back, and lets them have what was kept."""
        if self in logging.root.handlers:
            logging.root.handlers = self._instead
            for record in self._kept:
                logging.root.handle(record)
        super().close()
