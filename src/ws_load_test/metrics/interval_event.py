"""An interval together with its decoded tallies: the form in which a run hands it to everything that follows it.

Recordings keep tallies encoded, which takes a tenth of the memory, and decoding one takes about a millisecond. The
coordinator of a run has merged the tallies just before, so no consumer of a running run needs to decode anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from ws_load_test.metrics.recording import Interval


@dataclass(frozen=True, slots=True)
class IntervalEvent:
    """An interval that has ended, and its tallies.

    All consumers share the tallies, some of them in threads of their own: they read them and must never change them.
    A consumer that keeps events keeps their histograms in memory; what is to be kept for long is `interval`.
    """

    interval: Interval
    tally: Tally
    """The tally that `interval.encoded_tally` holds."""
    host_tallies: tuple[Tally, ...] = ()
    """The tally of each of `interval.hosts`, in the same order; empty for a run on one machine."""

    @classmethod
    def decode(cls, interval: Interval) -> Self:
        """Returns the event of a recorded interval; takes about a millisecond for each tally.

        Raises:
            ValueError: The interval or one of its hosts does not hold an encoded tally.
        """
        return cls(interval, interval.tally, tuple(Tally.from_record(host.record) for host in interval.hosts or ()))
