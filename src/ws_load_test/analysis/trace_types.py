"""Types of the part of a summary that is about traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

from ws_load_test.metrics.trace_examples import MOST_SLOWEST

if TYPE_CHECKING:
    from ws_load_test.metrics.trace_examples import TraceExamples

TraceId = Annotated[str, Meta(description="Trace id of {traceparent} (W3C Trace Context): 32 hexadecimal digits.")]
Sampled = Annotated[bool, Meta(description="The target was asked to record the trace (flag 01).")]


class TracedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """A message and its reply."""

    trace_id: TraceId
    response_time_ns: Annotated[int, Meta(description="Response time: done - due.")]
    sampled: Sampled


class TracedFault(msgspec.Struct, frozen=True, kw_only=True):
    """The trace of a fault."""

    trace_id: TraceId
    sampled: Sampled


class Traces(msgspec.Struct, frozen=True, kw_only=True):
    """Traces that are worth a look."""

    slowest: Annotated[list[TracedExchange], Meta(description="The 20 slowest exchanges, the slowest first.")]
    slowest_sampled: Annotated[
        list[TracedExchange], Meta(description="The 20 slowest exchanges that were sampled, the slowest first.")
    ]
    faults: Annotated[
        dict[str, TracedFault],
        Meta(
            description="A trace of each kind of fault, a sampled one where there was one: of the message in question, "
            "of the oldest in flight on a session that was lost, or of the connection."
        ),
    ]

    @classmethod
    def of(cls, found: TraceExamples | None) -> Self | None:
        """Returns the part of a summary; None where messages had no trace context."""
        if found is None:
            return None
        sampled = [(took_ns, trace_id, True) for took_ns, trace_id in sorted(found.slowest_sampled, reverse=True)]
        every = [*sampled, *((took_ns, trace_id, False) for took_ns, trace_id in found.slowest)]
        every.sort(reverse=True)
        return cls(
            slowest=list(map(_exchange, every[:MOST_SLOWEST])),
            slowest_sampled=list(map(_exchange, sampled)),
            faults={
                kind: TracedFault(trace_id=trace_id, sampled=kind in found.sampled_faults)
                for kind, trace_id in sorted(found.faults.items())
            },
        )


def _exchange(row: tuple[int, str, bool]) -> TracedExchange:
    took_ns, trace_id, sampled = row
    return TracedExchange(trace_id=trace_id, response_time_ns=took_ns, sampled=sampled)
