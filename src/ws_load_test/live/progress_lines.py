"""Progress of a run as lines for logs: one every ten seconds, without terminal control sequences."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.analysis.scenario import SessionCounts
from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.live.run_state import RunState
from ws_load_test.report.content.fan_out import format_reach
from ws_load_test.report.content.labeled import count_of
from ws_load_test.report.content.scenario import failed_places
from ws_load_test.report.terminal.glyphs import to_encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from ws_load_test.analysis.findings import Finding
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import LostWorker
    from ws_load_test.plan.plan import Plan

LINE_INTERVAL_NS = 10 * NS_PER_S
"""Time from one line to the next; a shorter run has none."""
_NEARLY = 0.95
"""Part of that time after which a line is due: an interval may end a little early, and the line must not wait for
another one."""
_MAX_KINDS = 3
"""Most new kinds of faults that a line names."""


class ProgressLogger:
    """Writes a line about a run every ten seconds, as an `IntervalObserver`; it never raises.

    Args:
        plan: The plan that is run.
        stream: Destination; standard error by default.
        lost: Returns the workers that were lost so far.
    """

    def __init__(
        self, plan: Plan, stream: TextIO | None = None, *, lost: Callable[[], Sequence[LostWorker]] = tuple
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._lost = lost
        self._state = RunState(plan, LINE_INTERVAL_NS)
        self._last_line_ns = 0
        self._reported: Counter[str] = Counter()
        """Faults that the lines so far have counted."""
        self._pairing: Sequence[Finding] = ()
        self._doubted = False
        """The doubt about the pairing has had a line of its own."""
        self._closed = self._stream is None

    def __call__(self, event: IntervalEvent) -> None:
        """Adds an interval, and writes a line if one is due."""
        if self._closed:
            return
        try:
            self._state.on_interval(event)
            to_ns = event.interval.to_ns
            self._pairing = self._state.pairing_findings()
            if self._pairing and not self._doubted:
                self._doubted = True
                self._write(f"pairing in doubt: {sanitize(self._pairing[0].text)}")
            if to_ns - self._last_line_ns >= LINE_INTERVAL_NS * _NEARLY:
                self._last_line_ns = to_ns
                self._state.lost_workers = self._lost()
                self._write(self._line())
        # ValueError: the stream was closed, or the interval is damaged; OSError: its reader is gone.
        except (OSError, ValueError):
            self._closed = True

    def close(self) -> None:
        """Writes no more lines; the stream stays open."""
        self._closed = True

    def _write(self, line: str) -> None:
        self._stream.write(to_encodable(line, self._stream.encoding or "ascii") + "\n")
        self._stream.flush()

    def _line(self) -> str:
        state = self._state
        parts = [self._position(), f"{format_count(state.open)} open", *self._rates()]
        if state.tally.unanswered and state.awaits_replies:
            parts.append(f"{format_count(state.tally.unanswered)} unanswered")
        if state.has_streams:
            counts = (("stalls", state.tally.stalls), ("broken off", state.tally.broken_off))
            parts += [f"{format_count(count)} {word}" for word, count in counts if count]
        parts += self._deliveries()
        parts += self._scenario()
        if state.tally.dropped:
            parts.append(f"{format_count(state.tally.dropped)} dropped")
        parts += self._problems()
        return " · ".join(parts)

    def _deliveries(self) -> list[str]:
        """Returns the reach of a fan-out so far, and its missing deliveries."""
        reach, tally = self._state.reach, self._state.tally
        if not self._state.has_fan_out or reach is None:
            return []
        flaws = (("missing", tally.deliveries_missing), ("cut off", tally.deliveries_cut_off))
        return [f"reach {format_reach(reach)}", *(f"{format_count(count)} {word}" for word, count in flaws if count)]

    def _scenario(self) -> list[str]:
        """Returns the slowest step of the last seconds, and the sessions that failed and where."""
        tally = self._state.tally
        if not tally.roles:
            return []
        timed = {
            key: times.percentile(99) or 0 for key, times in self._state.recent_step_times().items() if times.count
        }
        slowest = max(timed, key=timed.__getitem__, default="")
        parts = [f"slowest {sanitize(slowest)} p99 {format_duration(timed[slowest])}"] if slowest else []
        counts = SessionCounts.of(tally.roles)
        if counts.failed:
            parts.append(f"{count_of(counts.failed, 'session')} failed{failed_places(counts)}")
        flaws = [("gaps", sum(one.gaps for one in tally.reactions.values()))]
        flaws.append(("silences", sum(one.stalls for one in tally.reactions.values())))
        return [*parts, *(f"{format_count(count)} {word}" for word, count in flaws if count)]

    def _position(self) -> str:
        """Returns the phase, and how much of it is done."""
        state, plan = self._state, self._state.plan
        elapsed = format_duration(state.to_ns - state.phase_from_ns)
        if state.phase == "opening":
            return f"opening {format_count(state.tally.attempted)} of {format_count(plan.connections)}"
        if state.phase == "warmup":
            return f"warm-up {elapsed} of {format_duration(plan.warmup_ns)}"
        if state.phase == "closing":
            return f"closing {elapsed}"
        if plan.messages is not None:
            done = state.tally.answered if state.awaits_replies else state.tally.sent
            return f"measured {elapsed}, {format_count(done)} of {format_count(plan.messages)}"
        return f"measured {elapsed} of {format_duration(plan.duration_ns)}"

    def _rates(self) -> list[str]:
        """Returns rates and times of the last seconds; nothing before the first message."""
        state = self._state
        if not state.history or state.phase not in ("warmup", "measured"):
            return []
        last = state.history[-1]
        parts = [] if last.requested_per_s is None else [f"requested {format_rate(last.requested_per_s)}"]
        if state.has_fan_out:
            parts += [f"published {format_rate(last.sent_per_s)}", f"delivered {format_rate(last.deliveries_per_s)}"]
            return [*parts, *_percentiles(state.recent_delivery_ns)]
        if not state.awaits_replies:
            return [*parts, f"sent {format_rate(last.sent_per_s)}"]
        parts.append(f"answered {format_rate(last.answered_per_s)}")
        parts += _percentiles(state.recent_response_ns)
        if state.has_streams and (first := state.recent_first_ns).count:
            parts.append(f"first p99 {format_duration(first.percentile(99))}")
        return parts

    def _problems(self) -> list[str]:
        """Returns the faults, errors of this machine and lost workers, new kinds of faults by name."""
        state = self._state
        parts = ["pairing in doubt"] if self._pairing else []
        if wave := state.waves.current:
            parts.append(f"wave of {count_of(wave.sessions, 'session')}, not back")
        if state.faults:
            new = [kind for kind, _ in (state.faults - self._reported).most_common() if kind not in self._reported]
            more = f" and {len(new) - _MAX_KINDS} more kinds" if len(new) > _MAX_KINDS else ""
            names = f", new: {', '.join(map(sanitize, new[:_MAX_KINDS]))}{more}" if new else ""
            parts.append(count_of(state.faults.total(), "fault") + names)
            self._reported = state.faults.copy()
        if host_errors := state.tally.host_errors:
            parts.append(f"this machine: {', '.join(map(sanitize, host_errors))}")
        if state.lost_workers:
            parts.append(f"lost: {', '.join(f'worker {lost.worker}' for lost in state.lost_workers)}")
        return parts


def _percentiles(times: Histogram) -> list[str]:
    if not times.count:
        return []
    p50, p99 = times.percentiles((50, 99))
    return [f"p50 {format_duration(p50)}, p99 {format_duration(p99)}"]
