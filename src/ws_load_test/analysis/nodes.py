"""Sessions by node of the target: how many each has at the start and at the end of the load, and how even that is."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ws_load_test.metrics.recording import Phase
    from ws_load_test.metrics.tally import Tally


class NodeTracker:
    """Follows the open sessions of each node through the intervals of one run."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        """Open sessions of each node that was met."""
        self._start: Counter[str] | None = None
        self._end: Counter[str] | None = None

    def add_interval(self, phase: Phase, tally: Tally) -> None:
        """Adds an interval."""
        if self._start is None and phase != "opening":
            self._start = self.open.copy()
        if self._end is None and phase == "closing":
            self._end = self.open.copy()
        for name, part in tally.nodes.items():
            self.open[name] += part.opened - part.closed.total()

    @property
    def start(self) -> Counter[str]:
        """Open sessions when the load began."""
        return self.open if self._start is None else self._start

    @property
    def end(self) -> Counter[str]:
        """Open sessions when the load ended, or now."""
        return self.open if self._end is None else self._end


def skew_of(sessions: Counter[str], names: Iterable[str]) -> Fraction | None:
    """Returns the largest share of the sessions, relative to an even share of all nodes; None without any session.

    1 where all nodes have as many, n where one of n has all.
    """
    counts = [max(0, sessions[name]) for name in names]
    total = sum(counts)
    return Fraction(max(counts) * len(counts), total) if total else None
