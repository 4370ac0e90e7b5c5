"""Values that conditions compare and that only a whole run has: those of its disconnect waves and of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.analysis.waves import Wave


@dataclass(frozen=True, slots=True)
class WholeRun:
    """Waves and nodes of a run, or of a run so far."""

    waves: tuple[Wave, ...] = ()
    skew: Fraction | None = None
    """Largest share of the sessions that a node has, relative to an even share; None where no node is known."""

    def value(self, name: str, *, is_share: bool = False) -> Fraction | None:
        """Returns the value of a metric by its name in conditions, times in ns; None without one.

        Where there was no wave nothing had to come back, which took no time; of none, no part has bounced.

        Args:
            name: Name of the metric.
            is_share: Return the share of the sessions that came back, not their number.
        """
        if name == "nodes.skew":
            return self.skew
        if name == "waves.back":
            back = [wave.back_after_ns for wave in self.waves]
            known = [time_ns for time_ns in back if time_ns is not None]
            return Fraction(max(known, default=0)) if len(known) == len(back) else None
        reconnected = sum(wave.reconnected.total() for wave in self.waves)
        counts = {
            "waves": len(self.waves),
            "waves.abrupt": sum(wave.abrupt for wave in self.waves),
            "waves.bounced": sum(wave.bounced for wave in self.waves),
            "waves.reconnected": reconnected,
            "waves.closes_per_s": max((wave.peak_closes_per_s for wave in self.waves), default=0),
        }
        return Fraction(counts[name], max(1, reconnected)) if is_share else Fraction(counts[name])


NO_WAVES = WholeRun()
"""A run without waves and nodes."""
