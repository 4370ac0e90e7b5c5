"""Checks of what a recording holds beyond its types: ranges, order, and that its parts fit together."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import quoted
from ws_load_test.metrics.decoding_budget import DecodingBudget
from ws_load_test.metrics.recording import LARGEST, PHASES
from ws_load_test.metrics.session_events import SLOT_NS, split_key
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from ws_load_test.metrics.recording import Header, Interval

DEEPEST = 32
"""Lists and tables within each other that a plan or the facts of a machine have at most."""
LARGEST_TOTAL = 1 << 56
"""Bound on the counts of a whole recording, so that those of hundreds still add up within 64 bits."""
FIRST_YEAR, LAST_YEAR = 1971, 9998
"""Years within which an instant of any time zone is one in every other."""


def check_header(header: Header) -> None:
    """Checks that the start is an instant, and that what other versions may have written into a header can be shown.

    Raises:
        ValueError: It is not, or a number is out of range.
    """
    if not FIRST_YEAR <= datetime.fromisoformat(header.started_at).year <= LAST_YEAR:
        raise ValueError(f"its start, {quoted(header.started_at)}, is at no time of any run")
    for part in (header.plan, header.host, *(host.facts for host in header.hosts or ())):
        check_values(part)


def check_values(value: Any, depth: int = 0) -> None:
    """Checks that numbers are in range and nesting is shallow in data of which no more is known.

    Raises:
        ValueError: They are not.
    """
    if depth > DEEPEST:
        raise ValueError(f"it has more than {DEEPEST} lists or tables within each other")
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            check_values(one, depth + 1)
    elif isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) <= LARGEST):
        raise ValueError(f"it has the number {quoted(value)}, which is out of range")


LONGEST_OVERLAP_NS = 60 * 10**9
"""Time by which an interval may begin before that of the line before: each worker begins a phase when it is ready."""


class IntervalChecker:
    """Checks of the intervals of a recording, one after the other."""

    def __init__(self, header: Header) -> None:
        self.budget = DecodingBudget()
        self._hosts = len(header.hosts or ())
        self._total = 0
        self._phase = 0
        self._index = -1
        self._from_ns = -LARGEST

    def check(self, interval: Interval) -> None:
        """Checks that an interval follows the one before, and that all its tallies can be read and added up.

        Raises:
            ValueError: It does not, or they cannot.
        """
        phase = PHASES.index(interval.phase)
        if (phase, interval.index) <= (self._phase, self._index):
            raise ValueError("its interval does not come after that of the line before")
        if interval.from_ns < self._from_ns - LONGEST_OVERLAP_NS:
            raise ValueError("it begins before the interval of the line before")
        if interval.to_ns < interval.from_ns:
            raise ValueError("it ends before it begins")
        self._phase, self._index, self._from_ns = phase, interval.index, interval.from_ns
        tally = Tally.from_record(interval.encoded_tally, self.budget)
        if any(split_key(key)[0] > LARGEST // SLOT_NS for key in tally.session_events):
            raise ValueError("it has session events at no time of any run")
        self._add(tally)
        for part in interval.hosts or ():
            if part.host >= self._hosts:
                raise ValueError(f"it has a share of host {part.host}, and the header has {self._hosts} hosts")
            Tally.from_record(part.record, self.budget)
        for reading in interval.clocks or ():
            if reading.host >= self._hosts:
                raise ValueError(
                    f"it compares the clock of host {reading.host}, and the header has {self._hosts} hosts"
                )

    def _add(self, tally: Tally) -> None:
        self._total += tally.total()
        if self._total > LARGEST_TOTAL:
            raise ValueError("the counts so far add up to more than 2^56, which no run has")
