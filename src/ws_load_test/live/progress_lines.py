"""Lines about a run for logs: one now and then, without anything that steers a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.live.run_state import RunState
from ws_load_test.report.content.labelled import count_of
from ws_load_test.report.terminal.glyphs import to_encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from ws_load_test.metrics.recording import Interval, LostWorker
    from ws_load_test.plan.plan import Plan

EVERY_NS = 10 * 10**9
"""From one line to the next; a shorter run has none."""
_NEARLY = 0.95
"""Of that: an interval may end a little early, and the next line must not wait for another one."""
_MOST_KINDS = 3


class ProgressLogger:
    """Writes a line about a run every ten seconds; call it with each interval. It never raises.

    Args:
        plan: What was asked.
        stream: Where to; standard error by default.
        lost: Asked for the workers that have died so far.
    """

    def __init__(
        self, plan: Plan, stream: TextIO | None = None, *, lost: Callable[[], Sequence[LostWorker]] = tuple
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._lost = lost
        self._scene = RunState(plan, EVERY_NS)
        self._before_ns = 0
        self._told: Counter[str] = Counter()
        self._silent = self._stream is None

    def __call__(self, interval: Interval) -> None:
        """Takes in one more interval, and writes a line if it is time for one."""
        if self._silent:
            return
        try:
            self._scene.on_interval(interval)
            if interval.to_ns - self._before_ns >= EVERY_NS * _NEARLY:
                self._before_ns = interval.to_ns
                self._scene.lost_workers = self._lost()
                self._stream.write(to_encodable(self._line(), self._stream.encoding or "ascii") + "\n")
                self._stream.flush()
        # ValueError: a stream that was closed, a tally that cannot be read; OSError: nobody reads any more.
        except (OSError, ValueError):
            self._silent = True

    def close(self) -> None:
        """There is nothing to give back."""
        self._silent = True

    def _line(self) -> str:
        scene = self._scene
        parts = [self._where(), f"{format_count(scene.open)} open", *self._speed()]
        if scene.tally.unanswered and scene.awaits_replies:
            parts.append(f"{format_count(scene.tally.unanswered)} unanswered")
        if scene.tally.dropped:
            parts.append(f"{format_count(scene.tally.dropped)} dropped")
        parts += self._wrong()
        return " · ".join(parts)

    def _where(self) -> str:
        """Returns the phase, and how much of what was asked of it is done."""
        scene, plan = self._scene, self._scene.plan
        elapsed = format_duration(scene.to_ns - scene.phase_from_ns)
        if scene.phase == "opening":
            return f"opening {format_count(scene.tally.attempted)} of {format_count(plan.connections)}"
        if scene.phase == "warmup":
            return f"warm-up {elapsed} of {format_duration(plan.warmup_ns)}"
        if scene.phase == "closing":
            return f"closing {elapsed}"
        if plan.messages is not None:
            done = scene.tally.answered if scene.awaits_replies else scene.tally.sent
            return f"measured {elapsed}, {format_count(done)} of {format_count(plan.messages)}"
        return f"measured {elapsed} of {format_duration(plan.duration_ns)}"

    def _speed(self) -> list[str]:
        """Returns how fast the last seconds were; nothing before the first message."""
        scene = self._scene
        if not scene.moments or scene.phase not in ("warmup", "measured"):
            return []
        last = scene.moments[-1]
        parts = [] if last.asked_per_s is None else [f"requested {format_rate(last.asked_per_s)}"]
        if not scene.awaits_replies:
            return [*parts, f"sent {format_rate(last.sent_per_s)}"]
        parts.append(f"answered {format_rate(last.answered_per_s)}")
        times = scene.recent_response_ns
        if times.count:
            middle, late = times.percentiles((50, 99))
            parts.append(f"p50 {format_duration(middle)}, p99 {format_duration(late)}")
        return parts

    def _wrong(self) -> list[str]:
        scene = self._scene
        parts = []
        if scene.faults:
            new = [kind for kind, _ in (scene.faults - self._told).most_common() if kind not in self._told]
            more = f" and {len(new) - _MOST_KINDS} more kinds" if len(new) > _MOST_KINDS else ""
            names = f", new: {', '.join(map(sanitize, new[:_MOST_KINDS]))}{more}" if new else ""
            parts.append(count_of(scene.faults.total(), "fault") + names)
            self._told = scene.faults.copy()
        if failings := scene.tally.host_errors:
            parts.append(f"this machine: {', '.join(map(sanitize, failings))}")
        if scene.lost_workers:
            parts.append(f"lost: {', '.join(f'worker {lost.worker}' for lost in scene.lost_workers)}")
        return parts
