"""Deterministic choice of a share of events: exact in number, spread without a period.

The k-th hit lies within the k-th stretch of 1/share events, at the fractional part of k × the golden ratio (a
low-discrepancy sequence: Knuth, The Art of Computer Programming, volume 3, section 6.4). A fixed distance would hit the
same member of a room again and again where the size of the room divides it.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{0,12})?|\.\d{1,12})\s*(%?)", re.ASCII)
"""A decimal number with at most 12 decimals, and a percent sign."""
_BITS = 32
_GOLDEN = 2654435769
"""Fractional part of the golden ratio, in 2^-32."""
_MASK = (1 << _BITS) - 1


class EvenShare:
    """Hits a share of the events: of n events, n × share rounded down or up; exactly that where it is whole."""

    __slots__ = ("_events", "_hits", "_next", "_share")

    def __init__(self, share: Fraction) -> None:
        """Takes the share, from 0 to 1."""
        self._share = share
        self.restart()

    def restart(self) -> None:
        """Starts anew, as without any events so far."""
        self._events = self._hits = 0
        self._next = self._place(0) if self._share else -1

    def hit(self) -> bool:
        """Counts an event, and returns True if it is one of the share."""
        event = self._events
        self._events = event + 1
        if event != self._next:
            return False
        self._hits += 1
        self._next = max(event + 1, self._place(self._hits))
        return True

    def _place(self, hit: int) -> int:
        """Returns the event that a hit falls on; both count from 0."""
        within = (hit + 1) * _GOLDEN & _MASK
        return ((hit << _BITS) + within) * self._share.denominator // (self._share.numerator << _BITS)


def parse_share(text: str) -> Fraction:
    """Parses a share such as ``1%`` or ``0.01``. Raises ValueError."""
    number = _SHARE.fullmatch(text.strip())
    share = Fraction(number[1]) / (100 if number[2] else 1) if number else Fraction(-1)
    if not 0 <= share <= 1:
        raise ValueError("write a share from 0 to 1, for example 1% or 0.01")
    return share
