"""Live view: one page on a terminal while a run goes on, which leaves nothing behind when it ends.

It is drawn in a thread of its own, into the terminal's alternate screen, through a descriptor of its own. The fleet's
thread only queues intervals for it, so a terminal that is slow, or stopped with Ctrl-S, delays nothing: frames that
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
from ws_load_test.live.layout import MAX_NOTES, render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import Header, LostWorker
    from ws_load_test.plan.plan import Plan

AFTER_S = 0.7
"""Age of the run at which the view appears: a run that is over by then would only make the terminal flash."""
TICK_S = 0.25
"""Interval of redrawing for changes without an interval: a resize, a second gone, a worker lost."""
PAUSE_TIMEOUT_S = 1.0
"""Longest wait for the view to leave the terminal: one that takes no output cannot be left."""
DEFAULT_SIZE = (80, 24)
"""Columns and rows of a terminal that does not report its size."""
MAX_RECORDS = 1000
"""Most log records that are kept until the view ends: a program that logs without end must not grow without end."""
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red", logging.CRITICAL: "bold red"}
_log = logging.getLogger(__name__)


class LiveView:
    """Shows a run on a terminal, as an `IntervalObserver`; once made it never raises.

    Args:
        plan: The plan that is run.
        stream: The terminal; it must have a descriptor.
        header: The recording's header, for the machines of the run; None: the run is on this machine alone.
        lost: Returns the workers that were lost so far; called in the thread that draws.
        after_s: Age of the run at which the view appears.
        captures_logs: True shows log messages on the page, and hands them to their handlers only when the view has
            left the terminal: for logs that go to the same terminal.

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
        captures_logs: bool = True,
    ) -> None:
        """Starts the thread that draws."""
        self._state = RunState(plan, header=header)
        self._lost = lost
        self._after_s = after_s
        # Not the stream itself: a thread that is stopped while it writes holds a lock that the run may need.
        self._stream = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace")
        self._arrived: deque[tuple[int, IntervalEvent]] = deque()
        self._arrived_ns = monotonic_ns()
        self._wake, self._over = _WakeEvent(), threading.Event()
        self._drawn: object = None
        """Everything that the page on the terminal depends on."""
        # A plain boolean, because a signal's handler sets it: an event's lock could be held by the code it interrupts.
        self._paused = False
        self._left = threading.Event()
        self._left.set()
        self.leaving = contextlib.ExitStack()
        """Callbacks for when the view has been closed."""
        self._notes: BufferedLogHandler | None = None
        self._thread = threading.Thread(target=self._watch, name="live view")
        try:
            self._thread.start()
        except BaseException:
            self._stream.close()
            raise
        # Not before: without the thread, the messages would be kept and never shown.
        if captures_logs:
            self._notes = BufferedLogHandler(self._wake.set)

    def __call__(self, event: IntervalEvent) -> None:
        """Queues an interval for the thread that draws, which takes microseconds."""
        self._arrived.append((monotonic_ns(), event))
        self._wake.set()

    def pause(self) -> None:
        """Leaves the terminal for a while; waits for that, but not longer than `PAUSE_TIMEOUT_S`."""
        self._paused = True
        self._wake.set()
        if self._left.wait(PAUSE_TIMEOUT_S) and self._notes is not None:
            self._notes.passes_on = True

    def resume(self) -> None:
        """Shows the page again, within `TICK_S`."""
        if self._notes is not None:
            self._notes.passes_on = False
        self._paused = False

    def close(self) -> None:
        """Leaves the terminal as it was; harmless when that has been done."""
        self._over.set()
        self._wake.set()
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
        # A terminal that hung up must not disturb the run.
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
        # When the main thread has ended, nothing is left to call `close`.
        return self._over.is_set() or not threading.main_thread().is_alive()

    def _draw(self, console: Console, live: Live) -> None:
        """Draws the page if anything on it has changed."""
        state = self._state
        while self._arrived:
            self._arrived_ns, event = self._arrived.popleft()
            # A damaged interval is left out here; the report names the damage.
            with contextlib.suppress(ValueError):
                state.on_interval(event)
        state.lost_workers = self._lost()
        handler = self._notes
        count, notes = (0, []) if handler is None else (handler.count, handler.lines())
        size = self._size()
        since_ns = monotonic_ns() - self._arrived_ns
        seconds = (state.to_ns - state.phase_from_ns + since_ns) // NS_PER_S
        page = (size, state.intervals, len(state.lost_workers), count, seconds)
        if page == self._drawn:
            return
        self._drawn = page
        console.size = size
        viewport = Viewport(*size, encoding=console.encoding)
        # The terminal echoes keys at the cursor; behind the last character they would scroll the page. In one write, so
        # that no key comes between the page and the move.
        with console:
            live.update(Group(*render(state, viewport, since_ns=since_ns, notes=notes)), refresh=True)
            console.control(Control.home())

    def _size(self) -> os.terminal_size:
        """Returns the size that the terminal itself reports now: the environment's COLUMNS does not follow a resize."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns, rows = 0, 0
        return os.terminal_size((columns or DEFAULT_SIZE[0], rows or DEFAULT_SIZE[1]))


class _WakeEvent:
    """Wakes the thread that waits for it; `set` may be called in a signal's handler.

    A `threading.Event` may not: its lock could be held by the very code that the handler interrupts.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Ends a wait, or the next one."""
        self._calls.put(None)

    def wait(self, timeout_s: float) -> None:
        """Returns when it has been set since the last wait, or after that time."""
        with contextlib.suppress(Empty):
            self._calls.get(timeout=timeout_s)
            while True:
                self._calls.get_nowait()


class BufferedLogHandler(logging.Handler):
    """Keeps log records instead of the root logger's handlers, which get them when it is closed.

    Of more than `MAX_RECORDS` records the oldest are dropped, and their number is logged then.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Replaces the handlers; `wake` is called after each record."""
        super().__init__()
        self.count = 0
        """Number of records that were kept so far."""
        self.passes_on = False
        """True while the view has left the terminal, so that the handlers get records at once."""
        self._wake = wake
        self._kept: deque[logging.LogRecord] = deque(maxlen=MAX_RECORDS)
        self._replaced = logging.root.handlers
        mine: list[logging.Handler] = [self]
        logging.root.handlers = mine

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record, or passes it on."""
        if self.passes_on:
            for handler in self._replaced:
                if record.levelno >= handler.level:
                    handler.handle(record)
            return
        self._kept.append(record)
        self.count += 1
        self._wake()

    def lines(self) -> list[tuple[str, str]]:
        """Returns the last messages, each with its style."""
        return [(_message(record), _STYLES.get(record.levelno, "dim")) for record in tuple(self._kept)[-MAX_NOTES:]]

    def close(self) -> None:
        """Restores the handlers, and passes them what was kept."""
        if self in logging.root.handlers:
            logging.root.handlers = self._replaced
            if dropped := self.count - len(self._kept):
                _log.warning("of what was logged during the run the first %d lines are left out", dropped)
            for record in self._kept:
                logging.root.handle(record)
        super().close()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments may not fit the message, and the handlers report that
        return str(record.msg)
