"""Traces of slow and failed exchanges in words: a line, and a table."""

from __future__ import annotations

from collections.abc import Iterator

from ws_load_test.analysis.trace_types import TracedExchange, TracedFault, Traces
from ws_load_test.common.units import format_duration
from ws_load_test.report.content.labeled import LabeledText

HEADINGS = ("trace of", "trace id", "sampled")


def rows(traces: Traces) -> Iterator[tuple[str, str, str]]:
    """Yields the cells of each exchange, the slowest first, and of each kind of fault."""
    # The slowest of all are mostly not sampled; those that are can be looked at.
    listed = {one.trace_id for one in traces.slowest}
    for one in (*traces.slowest, *(one for one in traces.slowest_sampled if one.trace_id not in listed)):
        yield (f"{format_duration(one.response_time_ns)}", one.trace_id, _mark(one))
    for kind, fault in traces.faults.items():
        yield (kind, fault.trace_id, _mark(fault))


def trace_line(traces: Traces | None) -> Iterator[LabeledText]:
    """Yields the slowest exchange whose trace can be looked at."""
    if traces is None or not traces.slowest:
        return
    one = (traces.slowest_sampled or traces.slowest)[0]
    which = "slowest sampled exchange" if one.sampled else "no exchange was sampled; the slowest"
    yield LabeledText("traces", f"{which} {format_duration(one.response_time_ns)}: {one.trace_id}")


def _mark(one: TracedExchange | TracedFault) -> str:
    return "yes" if one.sampled else "no"
