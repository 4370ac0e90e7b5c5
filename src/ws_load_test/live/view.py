"""The live view: one page on a terminal while a run goes on, which leaves nothing behind when it ends.

It is drawn in a thread of its own, into the terminal's other screen, through a descriptor of its own. The fleet's
thread only leaves intervals for it, so a terminal that is slow, or stopped with Ctrl-S, holds up nobody: frames that
are not drawn in time are never drawn.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.live.layout import MOST_NOTES, Viewport, render
from ws_load_test.live.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from ws_load_test.metrics.recording import Header, Interval, LostWorker
    from ws_load_test.plan.plan import Plan

AFTER_S = 0.7
"""A run that is over by then would only have made the terminal flash."""
TICK_S = 0.25
"""How often is looked for something new: a resize, a second gone, a worker lost."""
PAUSE_TIMEOUT_S = 1.0
"""How long a pause is waited for: a terminal that takes nothing cannot be given back."""
USUAL = (80, 24)
"""Columns and rows of a terminal that does not say."""
MOST_KEPT = 1000
"""Log records that wait for the end of the view: a program that logs without end must not grow without end."""
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red", logging.CRITICAL: "bold red"}
_log = logging.getLogger("ws_load_test")


class LiveView:
    """Shows a run on a terminal; call it with each interval, and close it at the end; once made it never raises.

    Args:
        plan: What was asked.
        stream: The terminal; it must have a descriptor.
        header: What the recording says of the machines; None: the run is on this one alone.
        lost: Asked for the workers that have died so far, from the thread that draws.
        after_s: How long the run must have gone on for the view to appear.
        diverts: Whether what is logged meanwhile is shown on the page, and handed to its handlers only when the
            terminal is as it was: for logs that go to the same terminal.

    Raises:
        OSError, RuntimeError, ValueError: There is no descriptor or no thread left for it, or `stream` is closed.
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
        self._scene = RunState(plan, header=header)
        self._lost = lost
        self._after_s = after_s
        # Not the stream itself: who is stopped while writing to it holds a lock that the run may need.
        self._stream = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace")
        self._arrived: deque[tuple[int, Interval]] = deque()
        self._arrived_ns = monotonic_ns()
        self._wake, self._over = _WakeEvent(), threading.Event()
        self._drawn: object = None
        # A plain boolean, because a signal's handler sets it: it could meet an event's lock in its own thread.
        self._paused = False
        self._left = threading.Event()
        self._left.set()
        self.leaving = contextlib.ExitStack()
        """What is undone when the view has been closed."""
        self._notes: BufferedLogHandler | None = None
        self._thread = threading.Thread(target=self._watch, name="live view")
        try:
            self._thread.start()
        except BaseException:
            self._stream.close()
            raise
        # Not before: without a thread nobody would show what is kept.
        if diverts:
            self._notes = BufferedLogHandler(self._wake.ring)

    def __call__(self, interval: Interval) -> None:
        """Leaves an interval for the thread that draws, which takes microseconds."""
        self._arrived.append((monotonic_ns(), interval))
        self._wake.ring()

    def pause(self) -> None:
        """Gives the terminal back for a while; waits for that, but not longer than `PATIENCE_S`."""
        self._paused = True
        self._wake.ring()
        if self._left.wait(PAUSE_TIMEOUT_S) and self._notes is not None:
            self._notes.aside = True

    def resume(self) -> None:
        """Shows the page again, within `TICK_S`."""
        if self._notes is not None:
            self._notes.aside = False
        self._paused = False

    def close(self) -> None:
        """Gives the terminal back as it was; harmless when that has been done."""
        self._over.set()
        self._wake.ring()
        with self.leaving:
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
                scene.on_interval(interval)
            except ValueError:
                # Damaged: the report will say so.
                continue
        scene.lost_workers = self._lost()
        kept = self._notes
        count, notes = (0, []) if kept is None else (kept.count, kept.lines())
        size = self._size()
        since_ns = monotonic_ns() - self._arrived_ns
        seconds = (scene.to_ns - scene.phase_from_ns + since_ns) // NS_PER_S
        shown = (size, scene.intervals, len(scene.lost_workers), count, seconds)
        if shown == self._drawn:
            return
        self._drawn = shown
        console.size = size
        paper = Viewport(*size, encoding=console.encoding)
        live.update(Group(*render(scene, paper, since_ns=since_ns, notes=notes)), refresh=True)
        # What is typed is echoed where the cursor is; behind the last letter it would move the whole page up.
        console.control(Control.home())

    def _size(self) -> os.terminal_size:
        """Returns what the terminal itself says now: the environment's COLUMNS would not know of a resize."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns, rows = 0, 0
        return os.terminal_size((columns or USUAL[0], rows or USUAL[1]))


class _WakeEvent:
    """Wakes the thread that waits for it.

    An event would do, but for a signal's handler: it could find the event's lock taken by the very code it interrupts.
    """

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Ends a wait, or the next one."""
        self._rung.put(None)

    def wait(self, timeout_s: float) -> None:
        """Returns when it has been rung since the last wait, or after that time."""
        with contextlib.suppress(Empty):
            self._rung.get(timeout=timeout_s)
            while True:
                self._rung.get_nowait()


class BufferedLogHandler(logging.Handler):
    """Keeps what is logged, in the place of the root logger's handlers, until it is closed and they get it.

    Of more than `MOST_KEPT` records the oldest are gone then, and their number is told.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Takes what is called whenever there is something new."""
        super().__init__()
        self.count = 0
        """How many have been kept so far."""
        self.aside = False
        """Whether the terminal is as it was for now, so that the handlers may have what comes."""
        self._wake = wake
        self._kept: deque[logging.LogRecord] = deque(maxlen=MOST_KEPT)
        self._instead = logging.root.handlers
        mine: list[logging.Handler] = [self]
        logging.root.handlers = mine

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        if self.aside:
            for handler in self._instead:
                if record.levelno >= handler.level:
                    handler.handle(record)
            return
        self._kept.append(record)
        self.count += 1
        self._wake()

    def lines(self) -> list[tuple[str, str]]:
        """Returns the last that were logged, each with its style."""
        return [(_words(record), _STYLES.get(record.levelno, "dim")) for record in tuple(self._kept)[-MOST_NOTES:]]

    def close(self) -> None:
        """Puts the handlers back, and lets them have what was kept."""
        if self in logging.root.handlers:
            logging.root.handlers = self._instead
            if gone := self.count - len(self._kept):
                _log.warning("of what was logged during the run the first %d lines are left out", gone)
            for record in self._kept:
                logging.root.handle(record)
        super().close()


def _words(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whoever logs may give arguments that do not fit, and the handlers say so
        return str(record.msg)
