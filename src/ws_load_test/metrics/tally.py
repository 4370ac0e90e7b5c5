"""Counts and histograms of a part of a run, which add up exactly.

``a.merge(b)`` is exact for everything that a tally holds, in any order, so the tallies of all workers, intervals,
machines and repeats can be put together without losing anything. What a tally counts is in the catalogue.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ws_load_test.common.units import quoted
from ws_load_test.metrics.catalog import COUNT_FIELDS, EXCLUDED_FROM_WARMUP, HISTOGRAM_FIELDS, LABELED_FIELDS, Metrics
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.session_events import is_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.metrics.decoding_budget import DecodingBudget

LARGEST_COUNT = 1 << 53
"""Largest count that is read: what a run counts in a thousand years, and what doubles have exactly."""


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

    @property
    def ended(self) -> int:
        """Sessions that ended; misbehaving ones as well, because their opening counts like any other's."""
        return self.closed.total() + (self.misbehaving.closed.total() if self.misbehaving is not None else 0)

    @property
    def service_times_ns(self) -> Histogram:
        """Service times, wherever they are kept; not to be changed."""
        return self.response_time_ns if self.due_when_sent else self.service_time_ns

    def merge(self, other: Tally) -> None:
        """Adds another tally to this one, exactly."""
        self._agree_on_times(other)
        if other.due_when_sent and not self.due_when_sent:
            self.service_time_ns.merge(other.response_time_ns)
        for name in COUNT_FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in LABELED_FIELDS:
            getattr(self, name).update(getattr(other, name))
        for name in HISTOGRAM_FIELDS:
            getattr(self, name).merge(getattr(other, name))
        if other.misbehaving is not None:
            if self.misbehaving is None:
                self.misbehaving = Tally()
            self.misbehaving.merge(other.misbehaving)
        for name, part in other.nodes.items():
            self.nodes.setdefault(name, Tally()).merge(part)

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
            for name in EXCLUDED_FROM_WARMUP:
                if name in HISTOGRAM_FIELDS:
                    getattr(self, name).clear()
                else:
                    setattr(self, name, 0)
        if self.misbehaving is not None:
            self.misbehaving.complete_interval(warmup=warmup)

    def complete_run(self) -> None:
        """Counts the messages of killed workers: those in flight got no reply, those that had not left were dropped."""
        self.unanswered += max(0, self.sent - self.answered - self.unanswered)
        self.dropped += max(0, self.due - self.sent - self.dropped)
        if self.misbehaving is not None:
            self.misbehaving.complete_run()

    def subset(self, names: Iterable[str]) -> Tally:
        """Returns a tally with some of the metrics alone; it shares their histograms."""
        return Tally(**{name: getattr(self, name) for name in names}, due_when_sent=self.due_when_sent)

    def to_wire(self) -> dict[str, Any]:
        """Returns the form that a worker sends: as little work as possible, histograms as raw buckets."""
        return self._fields(Histogram.to_wire)

    def to_record(self) -> dict[str, Any]:
        """Returns the form that a recording keeps: histograms in the standard HdrHistogram encoding."""
        return self._fields(Histogram.to_record)

    def _fields(self, write: Callable[[Histogram], dict[str, Any]]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Histogram):
                if value.count:
                    data[one.name] = write(value)
            elif isinstance(value, Tally):
                data[one.name] = value._fields(write)
            elif one.name == "nodes":
                if value:
                    data[one.name] = {name: part._fields(write) for name, part in value.items()}
            elif value:
                data[one.name] = value if isinstance(value, int) else dict(value)
        return data

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Self:
        """Reads the form of `to_wire`.

        Raises:
            ValueError: The data are not a tally's.
        """
        return cls._read(data, Histogram.from_wire)

    @classmethod
    def from_record(cls, data: dict[str, Any], budget: DecodingBudget | None = None) -> Self:
        """Reads the form of `to_record`; with a budget, what its histograms decompress to counts there.

        Raises:
            ValueError: The data are not a tally's, or decompress to more than the budget has.
        """
        return cls._read(data, partial(Histogram.from_record, budget=budget))

    @classmethod
    def _read(cls, data: dict[str, Any], read: Callable[[dict[str, Any]], Histogram], *, is_part: bool = False) -> Self:
        if not isinstance(data, dict):
            raise ValueError("a tally is an object of counts and histograms")  # noqa: TRY004 - data, not a type
        tally = cls()
        unknown = data.keys() - {field.name for field in fields(cls)}
        if unknown:
            # A count that is not added up would be lost silently.
            raise ValueError(f"a tally has no {min(map(str, unknown))!r}")
        if is_part and "misbehaving" in data:
            raise ValueError("the misbehaving connections of a tally have no misbehaving ones of their own")
        if is_part and "nodes" in data:
            raise ValueError("a part of a tally has no nodes of its own")
        for name, value in data.items():
            setattr(tally, name, cls._read_field(name, value, read))
        if tally.due_when_sent and tally.service_time_ns.count:
            raise ValueError("a tally in which messages are due when they are sent has no service times of their own")
        return tally

    @classmethod
    def _read_field(cls, name: str, value: Any, read: Callable[[dict[str, Any]], Histogram]) -> object:
        if name in HISTOGRAM_FIELDS:
            return read(value)
        if name in COUNT_FIELDS:
            return _count(name, value)
        if name == "misbehaving":
            return cls._read(value, read, is_part=True)
        if name == "nodes" and isinstance(value, dict):
            return {str(node): cls._read(part, read, is_part=True) for node, part in value.items()}
        if name == "due_when_sent":
            if not isinstance(value, bool):
                raise ValueError(f"a tally's {name!r} is true or false, not {value!r}")
            return value
        if not isinstance(value, dict):
            raise ValueError(f"a tally's {name!r} is an object of counts")  # noqa: TRY004 - data, not a type
        if name == "session_events" and not all(map(is_key, value)):
            raise ValueError("a tally's 'session_events' holds a key that is no slot and event")
        return Counter({kind: _count(name, count) for kind, count in value.items()})


def _count(name: str, value: object) -> int:
    # Not isinstance: True is an int there.
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        shown = value if isinstance(value, (int, float, str)) else type(value).__name__
        raise ValueError(f"a tally's {name!r} holds {quoted(shown)}, which is no count up to 2^53")
    return value
