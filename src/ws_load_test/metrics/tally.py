"""Counts and histograms of a part of a run, which add up exactly.

``a.merge(b)`` is exact for everything that a tally holds, in any order, so the tallies of all workers, intervals,
machines and repeats can be put together without losing anything. What a tally counts is in the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ws_load_test.metrics.catalog import Metrics
from ws_load_test.metrics.metric_set import MetricSet
from ws_load_test.metrics.scenario_metrics import PartTally, ReactionTally, RoleTally
from ws_load_test.metrics.trace_examples import TraceExamples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.metric_set import ReadHistogram, WriteHistogram


@dataclass(slots=True)
class Tally(Metrics):
    """Counts and histograms of one interval, or of any number of them."""

    due_when_sent: bool = False
    """True where a message is due when it is sent (closed loop): `response_time_ns` stands for both times, and
    `service_time_ns` is empty."""
    misbehaving: Tally | None = None
    """Counts of the connections that misbehave on purpose once they were open, which are in no other count."""
    nodes: dict[str, Tally] = field(default_factory=dict)
    """Some of the counts and times by node of the target (``--node``); they are in the totals as well."""
    steps: dict[str, Tally] = field(default_factory=dict)
    """Counts and times of a scenario's steps and timers (`PER_STEP_FIELDS`), by `part_key`.

    A step counts as sent when its message has left or, where it sends none, when it begins to wait for one. So for
    each step, too, due = sent + dropped, and sent = answered + unanswered + unawaited. Of a step that neither sends nor
    awaits there is none. Those of a role's `steps` and timers are in the totals as well, where they send.
    """
    reactions: dict[str, ReactionTally] = field(default_factory=dict)
    """Messages that reactions took, by `part_key`."""
    roles: dict[str, RoleTally] = field(default_factory=dict)
    """Sessions and iterations by the name of the role."""

    traces: TraceExamples | None = None
    """Traces of the slowest exchanges and of faults; None where messages have no trace context."""

    @property
    def ended(self) -> int:
        """Sessions that ended; misbehaving ones as well, because their opening counts like any other's."""
        return self.closed.total() + (self.misbehaving.closed.total() if self.misbehaving is not None else 0)

    @property
    def in_flight(self) -> int:
        """Messages that were sent, and neither answered nor given up, where one is awaited."""
        return self.sent - self.answered - self.unanswered - self.unawaited

    @property
    def service_times_ns(self) -> Histogram:
        """Service times, wherever they are kept; not to be changed."""
        return self.response_time_ns if self.due_when_sent else self.service_time_ns

    def merge(self, other: Tally) -> None:
        """Adds another tally to this one, exactly."""
        self._agree_on_times(other)
        if other.due_when_sent and not self.due_when_sent:
            self.service_time_ns.merge(other.response_time_ns)
        self.merge_rows(other)
        if other.misbehaving is not None:
            if self.misbehaving is None:
                self.misbehaving = Tally()
            self.misbehaving.merge(other.misbehaving)
        if other.traces is not None:
            if self.traces is None:
                self.traces = TraceExamples()
            self.traces.merge(other.traces)
        for name, kind in PARTS.items():
            own: dict[str, Tally | PartTally] = getattr(self, name)
            for key, part in getattr(other, name).items():
                own.setdefault(key, kind()).merge(part)

    def _agree_on_times(self, other: Tally) -> None:
        """Gives this tally the form in which it can take the other's times."""
        if not self._has_times:
            self.due_when_sent = other.due_when_sent or (self.due_when_sent and not other._has_times)
        elif other._has_times and not other.due_when_sent:
            self._separate_own_times()

    @property
    def _has_times(self) -> bool:
        return bool(self.response_time_ns.count or self.service_time_ns.count)

    def separate_times(self) -> None:
        """Fills `service_time_ns` where `response_time_ns` stands for both, also of misbehaving connections."""
        self._separate_own_times()
        if self.misbehaving is not None:
            self.misbehaving.separate_times()

    def _separate_own_times(self) -> None:
        if self.due_when_sent:
            self.service_time_ns = self.response_time_ns.copy()
            self.due_when_sent = False

    def complete_interval(self, *, warmup: bool) -> None:
        """Adds what the engine leaves out of an interval for speed, and leaves the warm-up out of all other counts."""
        if self.due_when_sent:
            if warmup:
                self.warmup_sent, self.sent, self.bytes_sent = self.sent, 0, 0
            self.due = self.sent + self.dropped
        if warmup:
            self.leave_out_warmup()
            self.traces = None
            for part in (*self.steps.values(), *self.reactions.values(), *self.roles.values()):
                part.leave_out_warmup()
        if self.misbehaving is not None:
            self.misbehaving.complete_interval(warmup=warmup)

    def complete_run(self) -> None:
        """Counts the messages of killed workers: those in flight got no reply, those that had not left were dropped."""
        self.unanswered += max(0, self.in_flight)
        self.dropped += max(0, self.due - self.sent - self.dropped)
        if self.misbehaving is not None:
            self.misbehaving.complete_run()
        for step in self.steps.values():
            step.complete_run()

    def total(self) -> int:
        """Returns the sum of all counts and of the sizes of all histograms, those of all parts included."""
        parts: list[MetricSet] = [part for name in PARTS for part in getattr(self, name).values()]
        if self.misbehaving is not None:
            parts.append(self.misbehaving)
        return self.total_of_rows() + sum(part.total() for part in parts)

    def subset(self, names: Iterable[str]) -> Tally:
        """Returns a tally with some of the metrics alone; it shares their histograms."""
        return Tally(**{name: getattr(self, name) for name in names}, due_when_sent=self.due_when_sent)

    def encode(self, write: WriteHistogram) -> dict[str, Any]:
        """Returns the fields that are not empty, histograms as they are to be written."""
        data = self._row_fields(write)
        if self.due_when_sent:
            data["due_when_sent"] = True
        if self.misbehaving is not None:
            data["misbehaving"] = self.misbehaving.encode(write)
        if self.traces is not None:
            data["traces"] = self.traces.encode()
        for name in PARTS:
            if parts := getattr(self, name):
                data[name] = {key: part.encode(write) for key, part in parts.items()}
        return data

    def _check(self) -> None:
        if self.due_when_sent and self.service_time_ns.count:
            raise ValueError("a tally in which messages are due when they are sent has no service times of their own")

    @classmethod
    def _read_other(cls, name: str, value: Any, read: ReadHistogram) -> object:
        if name == "due_when_sent":
            if not isinstance(value, bool):
                raise ValueError(f"a tally's {name!r} is true or false, not {value!r}")
            return value
        if name == "misbehaving":
            return _read_part(Tally, value, read)
        if name == "traces":
            return TraceExamples.read(value)
        if not isinstance(value, dict):
            raise ValueError(f"a tally's {name!r} is an object of tallies")  # noqa: TRY004 - data, not a type
        return {str(key): _read_part(PARTS[name], part, read) for key, part in value.items()}


PARTS: dict[str, type[Tally | PartTally]] = {
    "nodes": Tally,
    "steps": Tally,
    "reactions": ReactionTally,
    "roles": RoleTally,
}
"""Fields of a tally that hold parts of a run by their name, and what each part is."""


def _read_part(kind: type[MetricSet], data: Any, read: ReadHistogram) -> MetricSet:
    nested = {"misbehaving", "traces", *PARTS} & data.keys() if isinstance(data, dict) else set()
    if nested:
        raise ValueError(f"a part of a tally has no {min(nested)!r} of its own")
    return kind.read(data, read)
