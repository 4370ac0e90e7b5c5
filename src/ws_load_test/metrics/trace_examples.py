"""Traces of a run that are worth a look: those of the slowest exchanges, and one of each kind of fault."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from typing import Any

from ws_load_test.common.units import quoted

MOST_SLOWEST = 20
"""Slowest exchanges whose traces are kept, and as many of those that the target was asked to record."""
_MOST_FAULTS = 1000
"""Kinds of faults whose traces are read: far more than a run counts apart (`KindLimits`)."""
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
Exchange = tuple[int, str]
"""Response time in ns of an exchange, and its trace id."""


@dataclass(slots=True)
class TraceExamples:
    """Trace ids of the slowest exchanges and of faults; merging keeps the slowest of all, exactly."""

    slowest: list[Exchange] = field(default_factory=list)
    """The slowest exchanges that were not sampled, in no order."""
    slowest_sampled: list[Exchange] = field(default_factory=list)
    """The slowest exchanges with the flag *sampled*, in no order."""
    faults: dict[str, str] = field(default_factory=dict)
    """A trace id for each kind of fault; a sampled one where there was one."""
    sampled_faults: set[str] = field(default_factory=set)
    """Kinds of faults whose trace id is sampled."""

    def note(self, took_ns: int, trace_id: str, *, sampled: bool) -> None:
        """Takes note of an exchange and its response time."""
        heap = self.slowest_sampled if sampled else self.slowest
        if len(heap) < MOST_SLOWEST:
            heapq.heappush(heap, (took_ns, trace_id))
        elif took_ns > heap[0][0]:
            heapq.heapreplace(heap, (took_ns, trace_id))

    def note_fault(self, kind: str, trace_id: str, *, sampled: bool) -> None:
        """Takes note of a fault; the first of its kind is kept, or the first sampled one."""
        if kind not in self.faults or (sampled and kind not in self.sampled_faults):
            self.faults[kind] = trace_id
            if sampled:
                self.sampled_faults.add(kind)

    def merge(self, other: TraceExamples) -> None:
        """Adds the exchanges and faults of another."""
        for took_ns, trace_id in other.slowest:
            self.note(took_ns, trace_id, sampled=False)
        for took_ns, trace_id in other.slowest_sampled:
            self.note(took_ns, trace_id, sampled=True)
        for kind, trace_id in other.faults.items():
            self.note_fault(kind, trace_id, sampled=kind in other.sampled_faults)

    def encode(self) -> dict[str, Any]:
        """Returns the form on the wire and in recordings."""
        return {
            "slowest": [[*one] for one in sorted(self.slowest, reverse=True)],
            "slowest_sampled": [[*one] for one in sorted(self.slowest_sampled, reverse=True)],
            "faults": self.faults,
            "sampled_faults": sorted(self.sampled_faults),
        }

    @classmethod
    def read(cls, data: Any) -> TraceExamples:
        """Reads the form of `encode`.

        Raises:
            ValueError: The data are of another form.
        """
        if not isinstance(data, dict):
            raise ValueError("a tally's 'traces' is an object")  # noqa: TRY004 - data, not a type
        found = cls()
        for name, sampled in (("slowest", False), ("slowest_sampled", True)):
            exchanges = data.get(name, [])
            if not isinstance(exchanges, list):
                raise ValueError(f"a tally's {name!r} is a list of exchanges")  # noqa: TRY004 - as above
            for exchange in exchanges[:MOST_SLOWEST]:
                found.note(*_read_exchange(exchange), sampled=sampled)
        faults, sampled_faults = data.get("faults", {}), data.get("sampled_faults", [])
        if not isinstance(faults, dict) or not isinstance(sampled_faults, list) or len(faults) > _MOST_FAULTS:
            raise ValueError("the 'faults' of a tally's traces are an object of trace ids")
        for kind, trace_id in faults.items():
            if not _is_trace_id(trace_id):
                raise ValueError(f"the fault {quoted(kind)} of a tally's traces has no trace id")
            found.note_fault(str(kind), trace_id, sampled=kind in sampled_faults)
        return found


def _read_exchange(data: Any) -> Exchange:
    """Returns an exchange. Raises ValueError if the data are none."""
    if isinstance(data, list) and len(data) == 2:
        took_ns, trace_id = data
        if type(took_ns) is int and took_ns >= 0 and _is_trace_id(trace_id):
            return took_ns, trace_id
    raise ValueError(f"an exchange of a tally's traces is its time in ns and its trace id, not {quoted(data)}")


def _is_trace_id(value: Any) -> bool:
    return isinstance(value, str) and _TRACE_ID.fullmatch(value) is not None
