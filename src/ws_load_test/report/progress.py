"""One line on the terminal while a run goes on; nothing where nobody is watching."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ws_load_test.report.letters import writable
from ws_load_test.units import show_count, show_duration, show_rate

if TYPE_CHECKING:
    from typing import TextIO

    from ws_load_test.measure.recording import Interval
    from ws_load_test.measure.tally import Tally
    from ws_load_test.plan import Plan

_NARROWEST = 20
_USUAL_COLUMNS = 80


class ProgressLine:
    """Keeps one line about a run up to date; call it with each interval. It never raises.

    Args:
        plan: What was asked, to show how far the run is.
        stream: Where to; standard error by default. Nothing is written where that is no terminal.
    """

    def __init__(self, plan: Plan, stream: TextIO | None = None) -> None:
        self._plan = plan
        self._stream = sys.stderr if stream is None else stream
        self._drawn = 0
        self._opened = self._attempted = self._ended = self._answered = self._faults = self._lost = 0
        self._phase = ""
        self._phase_from_ns = 0
        self._live = _is_terminal(self._stream)

    def __call__(self, interval: Interval) -> None:
        """Takes in one more interval and draws the line anew."""
        if not self._live:
            return
        try:
            self._draw(self._next(interval))
        # ValueError: a stream that was closed, a tally that cannot be read; OSError: a terminal that hung up.
        except (OSError, ValueError):
            self._live = False

    def close(self) -> None:
        """Clears the line; harmless when there is none, and the end of the drawing."""
        if self._live:
            self._live = False
            try:
                self._draw("")
                self._stream.write("\r")
                self._stream.flush()
            except (OSError, ValueError):
                pass

    def _next(self, interval: Interval) -> str:
        """Adds an interval to what is known, and returns the line that says so, as wide as it likes."""
        tally = interval.tally
        self._opened += tally.opened
        self._attempted += tally.attempted
        self._ended += tally.closed.total() + (tally.unkind.closed.total() if tally.unkind is not None else 0)
        self._answered += tally.answered
        self._faults += tally.faults.total() + tally.host_errors.total()
        self._lost += len(interval.lost_workers or ())
        if interval.phase != self._phase:
            self._phase, self._phase_from_ns = interval.phase, interval.from_ns
        parts = [self._where(interval), f"{show_count(self._opened - self._ended)} open"]
        parts += _speed(interval, tally, awaited=self._plan.matching.rule != "none")
        if self._faults:
            parts.append(f"{show_count(self._faults)} {'fault' if self._faults == 1 else 'faults'}")
        if self._lost:
            parts.append(f"{show_count(self._lost)} {'worker' if self._lost == 1 else 'workers'} lost")
        return " · ".join(parts)

    def _where(self, interval: Interval) -> str:
        """Returns the phase, and how much of what was asked of it is done."""
        plan, elapsed = self._plan, show_duration(interval.to_ns - self._phase_from_ns)
        if interval.phase == "opening":
            return f"opening {show_count(self._attempted)} of {show_count(plan.connections)}"
        if interval.phase == "warmup":
            return f"warm-up {elapsed} of {show_duration(plan.warmup_ns)}"
        if interval.phase == "closing":
            return f"closing {elapsed}"
        if plan.messages is not None:
            return f"measured {elapsed}, {show_count(self._answered)} of {show_count(plan.messages)}"
        return f"measured {elapsed} of {show_duration(plan.duration_ns)}"

    def _draw(self, line: str) -> None:
        # The last column stays free: many terminals begin a new line when it is written.
        line = writable(line, self._stream.encoding or "ascii")[: _columns(self._stream) - 1]
        self._stream.write(f"\r{line:{self._drawn}}")
        self._stream.flush()
        self._drawn = len(line)


def _speed(interval: Interval, tally: Tally, *, awaited: bool) -> list[str]:
    """Returns how fast the interval was; nothing before the first message."""
    answered, length_ns = tally.answered + tally.warmup_answered, interval.to_ns - interval.from_ns
    if interval.phase == "opening" or length_ns <= 0:
        return []
    if not awaited:
        return [f"{show_rate((tally.sent + tally.warmup_sent) * 1e9 / length_ns)} sent"]
    times = tally.response_time_ns
    if not times.count:
        return [show_rate(answered * 1e9 / length_ns)]
    middle, late = times.percentiles((50, 99))
    return [
        show_rate(answered * 1e9 / length_ns),
        f"p50 {show_duration(middle)}",
        f"p99 {show_duration(late)}",
    ]


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(columns, _NARROWEST) if columns else _USUAL_COLUMNS
