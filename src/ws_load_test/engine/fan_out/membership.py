"""Membership of rooms over time: which of a worker's subscribers had to receive what was published at an instant.

A subscriber joins from its dial until it is set up, is a member until its session ends, and may come back. Its place
among the worker's members of the room stays the same, so that facts about all of them are columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEVER_NS = 1 << 62
"""An instant after any run."""


class Standing(IntEnum):
    """Claim of a subscriber to a delivery."""

    OUT = 0
    """It was no member."""
    EXPECTED = 1
    """It was a member from before the publish until its time-out, or came back in time where that is expected."""
    CUT_OFF = 2
    """The target ended its session before the time-out: expected, and cut off unless it came before."""
    AMBIGUOUS = 3
    """It was joining: not judged."""
    AWAITED = 4
    """It was away and may yet come back, where what was missed is expected to come then."""
    LEFT = 5
    """We ended its session before the time-out: delivered if it came before, else not judged."""


@dataclass(slots=True)
class Stay:
    """One session of a subscriber in its room."""

    joining_ns: int
    """Start of its dial."""
    member_from_ns: int = NEVER_NS
    """End of its set-up."""
    until_ns: int = NEVER_NS
    """End of its session."""
    ended_by_target: bool = False


class MemberColumns:
    """Facts about all subscribers of a worker, by their slots; those of one room are next to each other."""

    def __init__(self, timed: Sequence[bool]) -> None:
        """Takes whether the deliveries to each one are timed."""
        size = len(timed)
        self.timed = np.array(timed, bool)
        self.joining_ns = np.full(size, NEVER_NS)
        """Start of each one's present or last stay."""
        self.member_from_ns = np.full(size, NEVER_NS)
        """End of its set-up."""
        self.until_ns = np.full(size, NEVER_NS)
        """End of its session."""
        self.ended_by_target = np.zeros(size, bool)
        self.delivery_sum_ns = np.zeros(size)
        """Sum of the times of its timed deliveries."""
        self.delivery_count = np.zeros(size, np.int64)
        """Timed deliveries."""
        self.expected = np.zeros(size, np.int64)
        self.delivered = np.zeros(size, np.int64)
        self.had_gap = np.zeros(size, bool)
        """It has missed a delivery."""


class RoomMembers:
    """The subscribers of one room that a worker has, by their places: their slots less the first one's."""

    def __init__(self, room: int, subscribers: Sequence[int], columns: MemberColumns, first_slot: int) -> None:
        """Takes the room's number, the numbers of the subscribers, and their columns."""
        self.room = room
        self.subscribers = subscribers
        self.size = len(subscribers)
        self.first_slot = first_slot
        own = slice(first_slot, first_slot + self.size)
        self.joining_ns = columns.joining_ns[own]
        self.member_from_ns = columns.member_from_ns[own]
        self.until_ns = columns.until_ns[own]
        self.expected, self.delivered = columns.expected[own], columns.delivered[own]
        self.had_gap = columns.had_gap[own]
        self._by_target = columns.ended_by_target[own]
        self._earlier: dict[int, list[Stay]] = {}
        """Stays that are over, of those places that have joined again."""
        self._restless_until_ns = -NEVER_NS
        """Instant of the latest change in membership."""

    # --- Changes ----------------------------------------------------------------------------------------------------

    def joining(self, place: int, at_ns: int) -> None:
        """Takes note of the start of a dial."""
        if self.joining_ns[place] != NEVER_NS:
            past = Stay(
                int(self.joining_ns[place]),
                int(self.member_from_ns[place]),
                min(int(self.until_ns[place]), at_ns),
                ended_by_target=bool(self._by_target[place]),
            )
            self._earlier.setdefault(place, []).append(past)
        self.joining_ns[place] = at_ns
        self.member_from_ns[place] = self.until_ns[place] = NEVER_NS
        self._restless_until_ns = max(self._restless_until_ns, at_ns)

    def joined(self, place: int, at_ns: int) -> None:
        """Takes note of the end of a set-up."""
        if self.member_from_ns[place] == NEVER_NS:
            self.member_from_ns[place] = at_ns
            self._restless_until_ns = max(self._restless_until_ns, at_ns)

    def left(self, place: int, at_ns: int, *, by_target: bool) -> None:
        """Takes note of the end of a session; the first note counts."""
        if self.until_ns[place] == NEVER_NS:
            self.until_ns[place] = at_ns
            self._by_target[place] = by_target
            self._restless_until_ns = max(self._restless_until_ns, at_ns)

    def forget_before(self, at_ns: int) -> None:
        """Forgets stays that ended before an instant."""
        for place in list(self._earlier):
            kept = [stay for stay in self._earlier[place] if stay.until_ns >= at_ns]
            if kept:
                self._earlier[place] = kept
            else:
                del self._earlier[place]

    # --- Questions --------------------------------------------------------------------------------------------------

    def all_are_members_since(self, at_ns: int) -> bool:
        """Returns True if every subscriber has been a member since before an instant, and is; cheap."""
        if self._restless_until_ns > at_ns or not self.size:
            return False
        return bool(self.present_since(at_ns).all())

    def present_since(self, at_ns: int) -> NDArray[np.bool_]:
        """Returns for each place whether its subscriber has been a member since before an instant, and is."""
        present: NDArray[np.bool_] = (self.member_from_ns <= at_ns) & (self.until_ns == NEVER_NS)
        return present

    def standings(
        self, from_ns: int, to_ns: int, timeout_ns: int, *, recovery: bool = False, now_ns: int = NEVER_NS
    ) -> NDArray[np.int8]:
        """Returns the `Standing` of each place to a publish that was sent between two instants.

        The time-out after them must be over, or what is asked about have come. With `recovery`, a subscriber that was
        away is to receive it once it is back, until the time-out after its return; `now_ns` is the present instant.
        """
        steady = self.present_since(from_ns)
        found: NDArray[np.int8] = steady.astype(np.int8)
        if steady.all():
            return found
        for place in np.flatnonzero(~steady & (self.joining_ns != NEVER_NS)):
            returned_by_ns = now_ns - timeout_ns if recovery else None
            found[place] = self._standing(int(place), from_ns, to_ns, timeout_ns, returned_by_ns)
        return found

    def _stays(self, place: int) -> list[Stay]:
        last = Stay(
            int(self.joining_ns[place]),
            int(self.member_from_ns[place]),
            int(self.until_ns[place]),
            ended_by_target=bool(self._by_target[place]),
        )
        return [*self._earlier.get(place, ()), last]

    def _standing(self, place: int, from_ns: int, to_ns: int, timeout_ns: int, returned_by_ns: int | None) -> Standing:
        recovery, was_member = returned_by_ns is not None, False
        for stay in self._stays(place):
            if stay.joining_ns > to_ns:
                if returned_by_ns is not None and was_member:
                    # It came back behind the publish, which is on its way to it until the time-out after its return.
                    return Standing.EXPECTED if stay.member_from_ns <= returned_by_ns else Standing.AWAITED
                break
            if stay.until_ns <= from_ns:
                was_member |= stay.member_from_ns < stay.until_ns
                continue
            if stay.member_from_ns > from_ns or stay.until_ns <= to_ns:
                return Standing.AMBIGUOUS
            if stay.until_ns >= to_ns + timeout_ns:
                return Standing.EXPECTED
            if not stay.ended_by_target:
                return Standing.LEFT
            if not recovery:
                # Between the two it is either cut off or missing.
                return Standing.CUT_OFF if stay.until_ns < from_ns + timeout_ns else Standing.AMBIGUOUS
            was_member = True
        return Standing.AWAITED if recovery and was_member else Standing.OUT
