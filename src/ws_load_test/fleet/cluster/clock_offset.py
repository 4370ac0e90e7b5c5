"""How far another machine's monotonic clock is before ours, told from pings: pure arithmetic.

Cristian's method (Distributed Computing 3, 1989, pp. 146-158): a reply that tells the other clock was made somewhere
between the question and its arrival. Taken to be half-way, the error is at most half of the round trip, so that of
several pings the one with the shortest round trip is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PINGS = 15
"""Enough for one that met no queue on its way."""


class ClockSample(NamedTuple):
    """A question to another machine and its reply, in ns of monotonic clocks."""

    asked_ns: int
    """By ours."""
    told_ns: int
    """What the other clock said."""
    heard_ns: int
    """By ours."""

    @property
    def round_trip_ns(self) -> int:
        """From the question to its reply."""
        return self.heard_ns - self.asked_ns


class ClockOffset(NamedTuple):
    """How far another clock is before ours."""

    ahead_ns: int
    error_ns: int
    """By how much that may be wrong, at most."""

    def to_remote(self, ours_ns: int) -> int:
        """What the other clock says when ours says that."""
        return ours_ns + self.ahead_ns


def estimate_offset(pings: Iterable[ClockSample]) -> ClockOffset:
    """Returns what the best of some pings tells.

    Raises:
        ValueError: there is none.
    """
    best = min(pings, key=lambda ping: ping.round_trip_ns)
    # Rounded up, so that the true value is never outside.
    error_ns = -(-best.round_trip_ns // 2)
    return ClockOffset(best.told_ns - (best.asked_ns + best.heard_ns) // 2, error_ns)
