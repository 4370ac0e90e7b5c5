"""A run as far as it has come, gathered from its intervals: what a live view shows, and no drawing.

Everything but the last seconds and a short history is a sum, so a run of a day needs no more memory or time for each
interval than one of a minute.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.aggregate import RunAggregator, aggregate
from ws_load_test.analysis.findings import Finding, FindingKind
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.common.machine import default_workers
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import Header, Interval, Recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import OpenLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.recording import LostWorker, Phase, WorkerUsage
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.schedule import LoadProfile

RECENT_NS = 5 * 10**9
"""How much *the last seconds* are."""
LONGEST_HISTORY = 300
"""Intervals in a history: more columns than a terminal has."""
JUDGED_TOGETHER = 60
"""The generator is judged by the last intervals: so many at least, as soon as there are, and twice that at most."""
FINAL_ONLY = {
    FindingKind.FEW_SAMPLES,
    FindingKind.UNANSWERED,
    FindingKind.RATE,
    FindingKind.QUEUE,
    FindingKind.WRITE_BLOCKED,
}
"""Reasons that can only be given when all is counted."""


@dataclass(frozen=True, slots=True)
class IntervalPoint:
    """One interval of a load, for the history; rates are messages a second."""

    asked_per_s: float | None
    """What the schedule asked; None for a flood, which asks for nothing."""
    sent_per_s: float
    answered_per_s: float
    pushed_per_s: float
    response_p99_ns: int | None


class RunState:
    """What is known of a run while it goes on; `take` adds an interval.

    Args:
        plan: What was asked.
        recent_ns: How long *the last seconds* are.
        header: What the recording says of the machines; None: the run is on this one alone.
    """

    def __init__(self, plan: Plan, recent_ns: int = RECENT_NS, header: Header | None = None) -> None:
        self.plan = plan
        self.tally = Tally()
        """Everything so far."""
        self.last = Tally()
        """The last interval alone."""
        self.intervals = 0
        """How many there have been."""
        self.phase: Phase | None = None
        """The phase of the last interval; None before the first."""
        self.phase_from_ns = 0
        """When that phase began; this and all instants count from the start of the run."""
        self.to_ns = 0
        """When the last interval ended."""
        self.load_from_ns: int | None = None
        """When the load began; None before."""
        self.moments: deque[IntervalPoint] = deque(maxlen=LONGEST_HISTORY)
        """The intervals of the load, but no beginnings and ends that are too short to tell a rate."""
        self.open_history: deque[int] = deque(maxlen=LONGEST_HISTORY)
        """How many sessions were open at the end of each interval of usual length, of any phase."""
        self.loads: tuple[WorkerUsage, ...] = ()
        """What each worker used in the last interval of usual length."""
        self.examples: dict[str, str] = {}
        """A sentence for each kind of fault."""
        self.lost_workers: Sequence[LostWorker] = ()
        """Workers that have died; set by whoever knows."""
        self._recent_ns = recent_ns
        self._recent: deque[tuple[int, Tally]] = deque()
        self._usual_ns = 0
        self._header = header or _of_this_machine(plan)
        self._judged = [self._gathering(), self._gathering()]
        self._reasons: list[Finding] | None = None
        self._surplus_under_load: tuple[Interval, ...] = ()

    def on_interval(self, interval: Interval) -> None:
        """Adds an interval.

        Raises:
            ValueError: Its tally cannot be read.
        """
        if len(self._judged[-1].intervals) >= JUDGED_TOGETHER:
            self._judged = [self._judged[-1], self._gathering()]
        self._reasons = None
        tally = self._judged[-1].add_interval(interval)
        self.tally.merge(tally)
        self.last = tally
        self.intervals += 1
        if interval.phase != self.phase:
            self.phase, self.phase_from_ns = interval.phase, interval.from_ns
        if self.load_from_ns is None and interval.phase in ("warmup", "measured"):
            self.load_from_ns = interval.from_ns
        self.to_ns = interval.to_ns
        self.examples = interval.fault_examples | self.examples
        if interval.phase != "opening" and tally.surplus_replies and not self._surplus_under_load:
            self._surplus_under_load = (interval,)
        self._recent.append((interval.from_ns, tally))
        while len(self._recent) > 1 and self._recent[0][0] < interval.to_ns - self._recent_ns:
            self._recent.popleft()
        self._note(interval, tally)

    def _note(self, interval: Interval, tally: Tally) -> None:
        """Adds to the history what is long enough for it: the rate of a moment would be chance."""
        length_ns = interval.to_ns - interval.from_ns
        self._usual_ns = max(self._usual_ns, length_ns)
        if length_ns <= 0 or length_ns * 2 < self._usual_ns:
            return
        self.open_history.append(self.open)
        self.loads = interval.workers
        if self.load_from_ns is None or interval.phase not in ("warmup", "measured"):
            return
        self.moments.append(
            IntervalPoint(
                asked_per_s=self._asked_per_s(interval, self.load_from_ns),
                sent_per_s=(tally.sent + tally.warmup_sent) * 1e9 / length_ns,
                answered_per_s=(tally.answered + tally.warmup_answered) * 1e9 / length_ns,
                pushed_per_s=tally.pushed * 1e9 / length_ns,
                response_p99_ns=tally.response_time_ns.percentile(99),
            )
        )

    # --- Sessions ---------------------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Sessions that are open; those of a worker that died are not."""
        tally = self.tally
        gone = sum(lost.open_sessions for lost in self.lost_workers)
        return max(0, tally.opened - tally.ended - gone)

    def asked_open(self, at_ns: int) -> int:
        """How many sessions the plan wants open at an instant."""
        shape = self.plan.connection_profile
        if shape is None:
            return self.plan.connections
        return round(shape.value_at(0 if self.load_from_ns is None else max(0, at_ns - self.load_from_ns)))

    # --- Messages ---------------------------------------------------------------------------------------------------

    @property
    def awaits_replies(self) -> bool:
        """Whether messages are answered at all."""
        return self.plan.correlation.rule != "none"

    @property
    def schedule(self) -> LoadProfile | None:
        """The rate that was asked; None for a flood."""
        load = self.plan.load
        return load.rate if isinstance(load, OpenLoop) else None

    @property
    def in_flight(self) -> int:
        """Messages that were sent and are neither answered nor given up."""
        return max(0, self.tally.sent - self.tally.answered - self.tally.unanswered)

    @property
    def recent_response_ns(self) -> Histogram:
        """Response times of the last seconds."""
        return self._of_recent("response_time_ns")

    @property
    def recent_lag_ns(self) -> Histogram:
        """Send lag of the last seconds."""
        return self._of_recent("send_lag_ns")

    def _of_recent(self, room: str) -> Histogram:
        together = Histogram()
        for _, tally in self._recent:
            together.merge(getattr(tally, room))
        return together

    def _asked_per_s(self, interval: Interval, load_from_ns: int) -> float | None:
        schedule = self.schedule
        if schedule is None:
            return None
        from_ns, to_ns = interval.from_ns - load_from_ns, interval.to_ns - load_from_ns
        return (schedule.cumulative(to_ns) - schedule.cumulative(from_ns)) * 1e9 / (to_ns - from_ns)

    # --- How far it is ----------------------------------------------------------------------------------------------

    def done(self, at_ns: int) -> float | None:
        """Which part of the phase is over at an instant, 0 to 1; None where nobody can tell."""
        plan, elapsed_ns = self.plan, max(0, at_ns - self.phase_from_ns)
        if self.phase == "opening":
            settled = self.tally.opened + self.tally.failed
            return min(1.0, settled / plan.connections)
        if self.phase == "warmup":
            return min(1.0, elapsed_ns / plan.warmup_ns) if plan.warmup_ns else None
        if self.phase == "measured":
            if plan.messages is not None:
                return min(1.0, self._messages_done / plan.messages)
            return min(1.0, elapsed_ns / plan.duration_ns) if plan.duration_ns else None
        return None

    def left_ns(self, at_ns: int) -> int | None:
        """How long the load will go on, seen from an instant; None where nobody can tell.

        A number of messages takes as long as the last intervals lead one to expect.
        """
        plan, elapsed_ns = self.plan, max(0, at_ns - self.phase_from_ns)
        if self.phase not in ("warmup", "measured"):
            return None
        warmup_ns = plan.warmup_ns - elapsed_ns if self.phase == "warmup" else 0
        if plan.messages is None:
            measured_ns = (plan.duration_ns or 0) - (elapsed_ns if self.phase == "measured" else 0)
        else:
            rates = [one.answered_per_s if self.awaits_replies else one.sent_per_s for one in self.moments][-5:]
            if not any(rates):
                return None
            since_ns = at_ns - self.to_ns if self.phase == "measured" else 0
            rest = max(0, plan.messages - self._messages_done)
            measured_ns = round(rest * 1e9 * len(rates) / sum(rates)) - since_ns
        return max(0, warmup_ns) + max(0, measured_ns)

    @property
    def _messages_done(self) -> int:
        tally = self.tally
        return tally.dropped + (tally.answered + tally.unanswered if self.awaits_replies else tally.sent)

    # --- What goes wrong --------------------------------------------------------------------------------------------

    @property
    def faults(self) -> Counter[str]:
        """What the target did wrong so far, by kind."""
        return self.tally.faults

    def reasons(self) -> list[Finding]:
        """Why the generator's numbers are to be doubted, by the last minute or two; those that bind first."""
        # A page may be drawn several times between two intervals, and each machine of a cluster takes milliseconds.
        if self._reasons is None:
            together = self._gathering()
            for one in self._judged:
                _add(together, one)
            recordings = [Recording(self._header, self._surplus_under_load)]
            found = diagnose(recordings, aggregate(recordings, [together]))
            self._reasons = [reason for reason in found if reason.saturates or reason.kind not in FINAL_ONLY]
        return self._reasons

    def _gathering(self) -> RunAggregator:
        return RunAggregator(self._header.hosts or ())


def _of_this_machine(plan: Plan) -> Header:
    public = plan.redacted()
    return Header(
        tool="",
        started_at="",
        plan=msgspec.to_builtins(public),
        target=public.target.url,
        host={"cores": default_workers()},
        workers=plan.workers,
    )


def _add(together: RunAggregator, one: RunAggregator) -> None:
    """Adds what a judgement needs, of each machine as well."""
    together.tally.merge(one.tally)
    together.intervals += one.intervals
    for host, part in one.per_host.items():
        _add(together.per_host.setdefault(host, RunAggregator()), part)
