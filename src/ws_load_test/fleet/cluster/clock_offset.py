"""One comparison of another machine's monotonic clock with ours, from round trips: pure arithmetic.

Cristian's method (Distributed Computing 3, 1989, pp. 146-158): the other clock was read somewhere between the question
and the arrival of the reply. Each round trip bounds the offset on both sides; of many, the quickest question and the
quickest reply count, which need not belong together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.common.clock_model import MAX_DRIFT, ClockComparison

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_SAMPLES = 15
"""Samples of a host's first comparison, on which the start of the load rests: enough for one that met no queue."""
REPEATED_SAMPLES = 10
"""Samples of each further comparison: the line through many of them is more exact than any of them is."""
COMPARE_AFTER_S = (1.0, 2.0)
"""Times in seconds between the first comparisons of a run, so that short runs have a line as well."""
COMPARE_EVERY_S = 5.0
"""Time in seconds between all others."""


class ClockSample(NamedTuple):
    """A question to another machine and its reply, in ns of monotonic clocks."""

    asked_ns: int
    """Instant by our clock."""
    remote_ns: int
    """The reply: the other clock's time."""
    received_ns: int
    """Instant by our clock."""

    @property
    def round_trip_ns(self) -> int:
        """Time from the question to the arrival of its reply."""
        return self.received_ns - self.asked_ns


def compare_clocks(samples: Sequence[ClockSample]) -> ClockComparison:
    """Returns the bounds of the offset at the instant of the sample with the shortest round trip.

    Raises:
        ValueError: There are no samples.
    """
    best = min(samples, key=lambda sample: sample.round_trip_ns)
    at_ns = (best.asked_ns + best.received_ns) // 2
    lows, highs = [], []
    for sample in samples:
        # The clocks have drifted between the reading of this sample, anywhere in its round trip, and that instant.
        apart_ns = max(abs(sample.asked_ns - at_ns), abs(sample.received_ns - at_ns))
        drift_ns = math.ceil(MAX_DRIFT * apart_ns)
        lows.append(sample.remote_ns - sample.received_ns - drift_ns)
        highs.append(sample.remote_ns - sample.asked_ns + drift_ns)
    lowest_ns, highest_ns = max(lows), min(highs)
    return ClockComparison(at_ns, min(lowest_ns, highest_ns), max(lowest_ns, highest_ns))
