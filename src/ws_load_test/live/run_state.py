"""State of a run while it goes on, added up from its intervals: the data of a live view, without drawing.

Everything but the last seconds and a short history is a sum, so a run of a day needs no more memory or time for each
interval than one of a minute.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.aggregate import Aggregate, RunAggregator, aggregate
from ws_load_test.analysis.data_quality import pairing_findings
from ws_load_test.analysis.findings import Finding, FindingKind, RunData
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.nodes import NodeTracker, skew_of
from ws_load_test.analysis.thresholds import RequestedCondition
from ws_load_test.analysis.waves import WaveTracker
from ws_load_test.analysis.whole_run import WholeRun
from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.machine import default_workers
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import Header, Interval, Recording
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.thresholds import parse_condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.metrics.recording import CommandRun, LostWorker, Phase, WorkerUsage
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.schedule import LoadProfile

RECENT_NS = 5 * NS_PER_S
"""Length of what is shown as the last seconds: long enough for a steady p99, short enough to follow changes."""
MAX_HISTORY = 300
"""Most intervals in a history: more columns than a terminal has."""
DIAGNOSED_INTERVALS = 60
"""Intervals by which the generator is diagnosed: at least so many once there are, and at most twice as many."""
FINAL_ONLY = {
    FindingKind.PAIRING,
    FindingKind.FEW_SAMPLES,
    FindingKind.UNANSWERED,
    FindingKind.RATE,
    FindingKind.QUEUE,
    FindingKind.WRITE_BLOCKED,
}
"""Kinds of findings that are only certain once the run is over and all is counted; of pairing the live state has more
by itself."""


@dataclass(frozen=True, slots=True)
class IntervalPoint:
    """One interval of the load, for the history; rates are messages a second."""

    requested_per_s: float | None
    """Rate of the schedule; None for a closed loop, which has none."""
    sent_per_s: float
    answered_per_s: float
    pushed_per_s: float
    response_p99_ns: int | None
    deliveries_per_s: float = 0.0
    """Timed deliveries of a fan-out; those to subscribers that are not timed are settled later."""
    delivery_p99_ns: int | None = None


class RunState:
    """State of a run; `on_interval` adds an interval.

    Args:
        plan: The plan that is run.
        recent_ns: Length of what is shown as the last seconds.
        header: The recording's header, for the machines of the run; None: the run is on this machine alone.
    """

    def __init__(self, plan: Plan, recent_ns: int = RECENT_NS, header: Header | None = None) -> None:
        self.plan = plan
        self.tally = Tally()
        """Everything so far."""
        self.last = Tally()
        """The last interval alone."""
        self.commands: dict[int, CommandRun] = {}
        """Commands that have begun, by their number."""
        self.waves = WaveTracker()
        """Finder of the sessions that the target ended together."""
        self.nodes = NodeTracker()
        """Counter of the open sessions of each node."""
        self.intervals = 0
        """Number of intervals so far."""
        self.phase: Phase | None = None
        """The phase of the last interval; None before the first."""
        self.phase_from_ns = 0
        """Start of that phase; this and all instants count from the start of the run."""
        self.to_ns = 0
        """End of the last interval."""
        self.load_from_ns: int | None = None
        """Start of the load; None before."""
        self.history: deque[IntervalPoint] = deque(maxlen=MAX_HISTORY)
        """Intervals of the load, without those at its ends that are too short to have a meaningful rate."""
        self.open_history: deque[int] = deque(maxlen=MAX_HISTORY)
        """Sessions open at the end of each interval of usual length, of any phase."""
        self.worker_usages: tuple[WorkerUsage, ...] = ()
        """Resource usage of each worker in the last interval of usual length."""
        self.measured_ns = 0
        """Measured time so far."""
        self.last_measured_ns = 0
        """Measured time of the last interval."""
        self.conditions = [
            (RequestedCondition(option, text), parse_condition(text))
            for option, texts in (("fail-if", plan.fail_if), ("slo", plan.slo), ("abort-if", plan.abort_if))
            for text in texts
        ]
        """Conditions of the plan."""
        self.examples: dict[str, str] = {}
        """A sentence for each kind of fault."""
        self.lost_workers: Sequence[LostWorker] = ()
        """Workers that were lost so far; set by the owner of this state."""
        self._recent_ns = recent_ns
        self._recent: deque[tuple[int, Tally]] = deque()
        self._usual_ns = 0
        self._header = header or _local_header(plan)
        self._diagnosed = [self._new_aggregator(), self._new_aggregator()]
        self._findings: list[Finding] | None = None
        self._surplus_under_load: tuple[Interval, ...] = ()

    def on_interval(self, event: IntervalEvent) -> None:
        """Adds an interval.

        Raises:
            ValueError: It names a host that the run does not have.
        """
        interval, tally = event.interval, event.tally
        if len(self._diagnosed[-1].intervals) >= DIAGNOSED_INTERVALS:
            self._diagnosed = [self._diagnosed[-1], self._new_aggregator()]
        self._findings = None
        self._diagnosed[-1].add_event(event)
        self.tally.merge(tally)
        self.waves.add_interval(interval, tally.session_events, tally.dropped)
        self.nodes.add_interval(interval.phase, tally)
        # Those of a long run would fill the memory.
        self.tally.session_events.clear()
        self.last = tally
        self.measured_ns += interval.measured_ns
        self.last_measured_ns = interval.measured_ns
        self.intervals += 1
        if interval.phase != self.phase:
            self.phase, self.phase_from_ns = interval.phase, interval.from_ns
        if self.load_from_ns is None and interval.phase in ("warmup", "measured"):
            self.load_from_ns = interval.from_ns
        self.to_ns = interval.to_ns
        self.examples = interval.fault_examples | self.examples
        self.commands |= {run.number: run for run in interval.commands or ()}
        if interval.phase != "opening" and tally.surplus_replies and not self._surplus_under_load:
            self._surplus_under_load = (interval,)
        self._recent.append((interval.from_ns, tally))
        while len(self._recent) > 1 and self._recent[0][0] < interval.to_ns - self._recent_ns:
            self._recent.popleft()
        self._add_to_history(interval, tally)

    def _add_to_history(self, interval: Interval, tally: Tally) -> None:
        """Adds an interval to the histories if it is long enough: the rate of a very short one would be chance."""
        length_ns = interval.to_ns - interval.from_ns
        self._usual_ns = max(self._usual_ns, length_ns)
        if length_ns <= 0 or length_ns * 2 < self._usual_ns:
            return
        self.open_history.append(self.open)
        self.worker_usages = interval.workers
        if self.load_from_ns is None or interval.phase not in ("warmup", "measured"):
            return
        self.history.append(
            IntervalPoint(
                requested_per_s=self._requested_per_s(interval, self.load_from_ns),
                sent_per_s=(tally.sent + tally.warmup_sent) * 1e9 / length_ns,
                answered_per_s=(tally.answered + tally.warmup_answered) * 1e9 / length_ns,
                pushed_per_s=tally.pushed * 1e9 / length_ns,
                response_p99_ns=tally.response_time_ns.percentile(99),
                deliveries_per_s=tally.delivery_time_ns.count * 1e9 / length_ns,
                delivery_p99_ns=tally.delivery_time_ns.percentile(99),
            )
        )

    # --- Sessions ---------------------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Sessions that are open; those of a lost worker are not."""
        tally = self.tally
        lost = sum(lost.open_sessions for lost in self.lost_workers)
        return max(0, tally.opened - tally.ended - lost)

    def requested_open(self, at_ns: int) -> int:
        """Returns how many sessions the plan wants open at an instant."""
        profile = self.plan.connection_profile
        if profile is None:
            return self.plan.connections
        return round(profile.value_at(0 if self.load_from_ns is None else max(0, at_ns - self.load_from_ns)))

    @property
    def whole_run(self) -> WholeRun:
        """Values of waves and nodes that conditions compare."""
        return WholeRun(self.waves.waves, skew_of(self.nodes.end, self.nodes.open))

    # --- Messages ---------------------------------------------------------------------------------------------------

    @property
    def awaits_replies(self) -> bool:
        """True if messages are answered at all."""
        return self.plan.correlation.awaits_replies

    @property
    def schedule(self) -> LoadProfile | None:
        """The requested rate; None for a closed loop, which has none."""
        return self.plan.load.requested_rate

    @property
    def in_flight(self) -> int:
        """Messages that were sent, and neither answered nor given up."""
        return max(0, self.tally.in_flight)

    @property
    def recent_response_ns(self) -> Histogram:
        """Response times of the last seconds."""
        return self._merge_recent("response_time_ns")

    @property
    def has_streams(self) -> bool:
        """True if answers are many messages."""
        return self.plan.correlation.stream is not None

    @property
    def recent_first_ns(self) -> Histogram:
        """Times to the first message of an answer, of the last seconds."""
        return self._merge_recent("first_time_ns")

    @property
    def recent_gap_ns(self) -> Histogram:
        """Gaps between messages of an answer, of the last seconds."""
        return self._merge_recent("gap_ns")

    @property
    def has_fan_out(self) -> bool:
        """True if one session publishes and others receive."""
        return self.plan.fan_out is not None

    @property
    def recent_delivery_ns(self) -> Histogram:
        """Delivery times of the last seconds."""
        return self._merge_recent("delivery_time_ns")

    @property
    def recent_last_ns(self) -> Histogram:
        """Times to the last delivery of each publish, of the last seconds."""
        return self._merge_recent("last_time_ns")

    @property
    def reach(self) -> float | None:
        """Share of the deliveries settled so far that came; None where none is settled."""
        expected = self.tally.deliveries_expected
        return self.tally.deliveries / expected if expected else None

    @property
    def recent_lag_ns(self) -> Histogram:
        """Send lag of the last seconds."""
        return self._merge_recent("send_lag_ns")

    def recent_step_times(self) -> dict[str, Histogram]:
        """Returns the response times of each step of a scenario, of the last seconds, by its key."""
        merged: dict[str, Histogram] = {}
        for _, tally in self._recent:
            for key, step in tally.steps.items():
                merged.setdefault(key, Histogram()).merge(step.response_time_ns)
        return merged

    def _merge_recent(self, field: str) -> Histogram:
        merged = Histogram()
        for _, tally in self._recent:
            merged.merge(getattr(tally, field))
        return merged

    def _requested_per_s(self, interval: Interval, load_from_ns: int) -> float | None:
        schedule = self.schedule
        if schedule is None:
            return None
        from_ns, to_ns = interval.from_ns - load_from_ns, interval.to_ns - load_from_ns
        return (schedule.cumulative(to_ns) - schedule.cumulative(from_ns)) * 1e9 / (to_ns - from_ns)

    # --- Progress ---------------------------------------------------------------------------------------------------

    def progress(self, at_ns: int) -> float | None:
        """Returns the part of the phase that is over at an instant, 0 to 1; None if its end is not known."""
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

    def remaining_ns(self, at_ns: int) -> int | None:
        """Returns how long the load will go on after an instant; None if that is not known.

        A number of messages is expected to go on at the rate of the last five intervals.
        """
        plan, elapsed_ns = self.plan, max(0, at_ns - self.phase_from_ns)
        if self.phase not in ("warmup", "measured"):
            return None
        warmup_ns = plan.warmup_ns - elapsed_ns if self.phase == "warmup" else 0
        if plan.messages is None:
            measured_ns = (plan.duration_ns or 0) - (elapsed_ns if self.phase == "measured" else 0)
        else:
            rates = [point.answered_per_s if self.awaits_replies else point.sent_per_s for point in self.history][-5:]
            if not any(rates):
                return None
            since_ns = at_ns - self.to_ns if self.phase == "measured" else 0
            remaining = max(0, plan.messages - self._messages_done)
            measured_ns = round(remaining * 1e9 * len(rates) / sum(rates)) - since_ns
        return max(0, warmup_ns) + max(0, measured_ns)

    @property
    def _messages_done(self) -> int:
        tally = self.tally
        return tally.dropped + (tally.sent - tally.in_flight if self.awaits_replies else tally.sent)

    # --- Faults and findings ----------------------------------------------------------------------------------------

    @property
    def faults(self) -> Counter[str]:
        """Faults of the target so far, by kind."""
        return self.tally.faults

    def findings(self) -> list[Finding]:
        """Returns what makes the generator's numbers doubtful, by the last minute or two; saturation comes first."""
        # Kept: a page may be drawn several times between two intervals, and each host takes milliseconds.
        if self._findings is None:
            merged = self._new_aggregator()
            for aggregator in self._diagnosed:
                _merge(merged, aggregator)
            recordings = [Recording(self._header, self._surplus_under_load)]
            findings = diagnose(recordings, aggregate(recordings, [merged]))
            findings = [finding for finding in findings if finding.saturates or finding.kind not in FINAL_ONLY]
            self._findings = [*self.pairing_findings(), *findings]
        return self._findings

    def pairing_findings(self) -> list[Finding]:
        """Returns what makes every response time doubtful, by all of the run so far."""
        return pairing_findings(RunData([Recording(self._header, self._surplus_under_load)], Aggregate(self.tally, ())))

    def _new_aggregator(self) -> RunAggregator:
        return RunAggregator(self._header.hosts or ())


def _local_header(plan: Plan) -> Header:
    """Returns the part of a header that diagnosing a run on this machine alone needs."""
    public = plan.redacted()
    return Header(
        tool="",
        started_at="",
        plan=msgspec.to_builtins(public),
        target=public.target.url,
        host={"cores": default_workers()},
        workers=plan.workers,
    )


def _merge(merged: RunAggregator, other: RunAggregator) -> None:
    """Adds the parts of an aggregator that a diagnosis needs, those of each host as well."""
    merged.tally.merge(other.tally)
    merged.intervals += other.intervals
    for host, part in other.per_host.items():
        _merge(merged.per_host.setdefault(host, RunAggregator()), part)
