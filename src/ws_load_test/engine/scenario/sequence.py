"""Numbers that grow by one from message to message: which of them are missing, come twice, or come late."""

from __future__ import annotations

from typing import Literal

MAX_GAPS = 64
"""Gaps of one sequence whose numbers may still come: a target that sends out of order does so among its latest few."""
Place = Literal["next", "gap", "late", "repeat"]
"""A number follows the largest one, jumps ahead of it, had been left out before, or has come before."""


class Sequence:
    """The numbers of one sequence that have come."""

    __slots__ = ("_gaps", "_largest", "_smallest", "missed")

    def __init__(self, first: int) -> None:
        """Begins with any number."""
        self._smallest = self._largest = first
        self._gaps: list[tuple[int, int]] = []
        """First and last number of each gap, the oldest gap first."""
        self.missed = 0
        """Numbers of gaps that are not waited for any more, since they were last taken."""

    def add(self, number: int) -> Place:
        """Takes the next number."""
        if number == self._largest + 1:
            self._largest = number
            return "next"
        if number > self._largest:
            self._open(self._largest + 1, number - 1)
            self._largest = number
            return "gap"
        if number < self._smallest:
            # Sent before the first one that came: it, and what is between, is as late as what a gap left out.
            if number < self._smallest - 1:
                self._open(number + 1, self._smallest - 1)
            self._smallest = number
            return "late"
        return "late" if self._close(number) else "repeat"

    def settle(self) -> int:
        """Returns how many numbers were missed since it was last asked; none of them is waited for any more."""
        missed = self.missed + sum(last - first + 1 for first, last in self._gaps)
        self.missed = 0
        self._gaps.clear()
        return missed

    def _open(self, first: int, last: int) -> None:
        self._gaps.append((first, last))
        if len(self._gaps) > MAX_GAPS:
            oldest_first, oldest_last = self._gaps.pop(0)
            self.missed += oldest_last - oldest_first + 1

    def _close(self, number: int) -> bool:
        """Takes a number out of its gap. Returns False if it is in none."""
        for place, (first, last) in enumerate(self._gaps):
            if first <= number <= last:
                self._gaps[place : place + 1] = [
                    gap for gap in ((first, number - 1), (number + 1, last)) if gap[0] <= gap[1]
                ]
                return True
        return False
