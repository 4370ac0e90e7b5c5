"""Offset of another machine's monotonic clock from ours, estimated from round trips: pure arithmetic.

Cristian's method (Distributed Computing 3, 1989, pp. 146-158): the other clock was read somewhere between the question
and the arrival of the reply. Assumed to be half-way, the error is at most half of the round trip; of several samples
the one with the shortest round trip is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CLOCK_SAMPLES = 15
"""Samples for each host: enough for one that met no queue on its way."""


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


class ClockOffset(NamedTuple):
    """Time by which another clock is ahead of ours, and how exactly that is known."""

    offset_ns: int
    error_ns: int
    """Greatest possible error of the offset."""

    def to_remote(self, local_ns: int) -> int:
        """Returns the other clock's time at an instant of ours."""
        return local_ns + self.offset_ns


def estimate_offset(samples: Iterable[ClockSample]) -> ClockOffset:
    """Returns the offset by the sample with the shortest round trip.

    Raises:
        ValueError: There are no samples.
    """
    best = min(samples, key=lambda sample: sample.round_trip_ns)
    # Rounded up, so that the true value is never outside.
    error_ns = -(-best.round_trip_ns // 2)
    return ClockOffset(best.remote_ns - (best.asked_ns + best.received_ns) // 2, error_ns)
