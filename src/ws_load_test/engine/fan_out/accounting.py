"""Accounting of deliveries on one worker, without a ledger of all publishes.

A publish is known by its marker: publisher, number, instants. The numbers of a publisher grow by one, so a number that
is missing between others was sent, and did not come. A publish is *settled* once all members have it or its time-out is
over: each pair of it and a member is then expected and delivered, missing or cut off, or it is ambiguous, or out. It is
*retired* after twice the time-out, until when late and duplicate deliveries are recognized. All counts are of this
worker's members alone and add up over workers.

Cost: a delivery takes two appends until the next flush, and some 60 ns in it; to settle a publish some 30 µs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.engine.fan_out.delivery_rows import DeliveryRows
from ws_load_test.engine.fan_out.membership import NEVER_NS, Standing
from ws_load_test.engine.fan_out.publish import NO_SLOT, Publish, PublisherLog
from ws_load_test.metrics.fan_out_report import NOT_KNOWN, FollowedPublish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ws_load_test.engine.fan_out.delivery_rows import TurnStarts
    from ws_load_test.engine.fan_out.membership import MemberColumns, RoomMembers
    from ws_load_test.messages.marker import Marker
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.fan_out import FanOut

_OUT, _EXPECTED, _CUT_OFF, _AMBIGUOUS, _AWAITED, _LEFT = map(int, Standing)
"""Values of `Standing`: numbers are compared with columns several times faster than members of an enumeration."""
MAX_NUMBERS_AHEAD = 1 << 20
"""Numbers by which a marker may be ahead of its publisher's last: one that is more is no marker of ours."""
RETURN_TIMEOUTS = 3
"""Time-outs after a publish until which a subscriber that was away may come back for it."""


class Accounting:
    """Publishes that may still be delivered to this worker's members, and the counts of those that are settled."""

    def __init__(
        self,
        fan_out: FanOut,
        rooms: Sequence[RoomMembers],
        columns: MemberColumns,
        timeout_ns: int,
        *,
        slot_of: Callable[[int], int] = lambda _: NO_SLOT,
        follow_every: int = 1,
    ) -> None:
        """Begins without any publish.

        Args:
            fan_out: The plan of the fan-out.
            rooms: Members of each room, by its number.
            columns: The columns of all members.
            timeout_ns: Time from when a publish was sent in which its deliveries must come.
            slot_of: Returns the slot of the subscriber that a publisher is; `NO_SLOT` if it is none of this worker.
            follow_every: One publish of so many is followed over all workers.
        """
        self.start_ns = 0
        """Start of the load."""
        self.measured_from_ns = 0
        """Publishes that were due before this instant belong to the warm-up, and are not counted."""
        self.is_on_this_host: Callable[[int], bool] | None = None
        """Returns True for a publisher of this machine; None in a run on one."""
        self._fan_out = fan_out
        self._rooms = rooms
        self._timeout_ns = timeout_ns
        self._slot_of = slot_of
        self._follow_every = follow_every
        self._rows = DeliveryRows(
            columns, timeout_ns, reaches_publishers=fan_out.reaches_publishers, self_delivery=fan_out.self_delivery
        )
        self._logs: dict[int, PublisherLog] = {}
        self._followed: list[FollowedPublish] = []
        self.on_missing: Callable[[int, int], None] | None = None
        """Called with publisher and number of a publish that is missing somewhere; None: it is not."""
        self.on_retired: Callable[[Publish], None] = lambda _: None
        """Called with a publish of which no delivery is recognized any more."""

    def group_by(self, groups: NDArray[np.int64], names: Sequence[str]) -> None:
        """Divides the members into groups, by which their deliveries are counted: the group of each slot, and names."""
        self._rows.groups, self._rows.group_names = groups, names

    # --- Publishes --------------------------------------------------------------------------------------------------

    def publish_of(self, marker: Marker) -> Publish | None:
        """Returns the publish that a marker names; None if there is none, or it is retired."""
        log = self._log(marker.publisher)
        known = log.window.get(marker.number)
        if known is not None and known.due_ns:
            return known
        due_ns, sent_ns = self.start_ns + marker.due_ns, self.start_ns + marker.sent_ns
        if known is None:
            return None if marker.number < log.settled else self._publish(log, marker.number, due_ns, sent_ns)
        # It was settled before anything of it came, so its instants were not known.
        known.due_ns, known.sent_from_ns, known.sent_to_ns = due_ns, sent_ns, sent_ns
        return known

    def room_of(self, marker: Marker) -> int:
        """Returns the number of the room that a publish is for."""
        return self._fan_out.room_of_publish(marker.publisher, marker.number)

    def is_measured(self, marker: Marker) -> bool:
        """Returns False for a publish of the warm-up."""
        return self.start_ns + marker.due_ns >= self.measured_from_ns

    def sent_ns(self, marker: Marker) -> int:
        """Returns the instant at which a publish was sent."""
        return self.start_ns + marker.sent_ns

    def is_possible(self, marker: Marker) -> bool:
        """Returns False for a marker that no publisher of the run can have made."""
        if marker.publisher >= self._fan_out.publishers:
            return False
        log = self._logs.get(marker.publisher)
        return marker.number - (0 if log is None else log.newest) <= MAX_NUMBERS_AHEAD

    def _log(self, publisher: int) -> PublisherLog:
        log = self._logs.get(publisher)
        if log is None:
            same_host = self.is_on_this_host is not None and self.is_on_this_host(publisher)
            log = self._logs[publisher] = PublisherLog(publisher, same_host, sent_ns=self.start_ns)
        return log

    def _publish(self, log: PublisherLog, number: int, due_ns: int, sent_ns: int) -> Publish | None:
        known = log.window.get(number)
        if known is not None:
            return known
        log.newest = max(log.newest, number + 1)
        room = self._rooms[self._fan_out.room_of_publish(log.number, number)]
        if not room.size:
            return None
        publish = Publish(number, room, self._slot_of(log.number), due_ns=due_ns, sent_ns=(sent_ns, sent_ns))
        own = publish.publisher_slot - room.first_slot
        if 0 <= own < room.size and self._fan_out.self_delivery != "expected":
            # Nothing is awaited there, so the publish is settled as soon as the others have it.
            publish.in_time[own] = True
        log.window[number] = publish
        return publish

    # --- Counting ---------------------------------------------------------------------------------------------------

    def flush(self, tally: Tally, turns: TurnStarts) -> None:
        """Counts the times of what has come since the last flush."""
        for log in self._logs.values():
            dirty = [publish for publish in log.window.values() if publish.times]
            if dirty:
                dirty.sort(key=lambda publish: publish.number)
                self._rows.add(log, dirty)
        self._rows.count(tally, turns, self.measured_from_ns)

    def settle(self, now_ns: int, tally: Tally) -> None:
        """Settles the publishes whose time-out is over or that have come to all, and retires old ones."""
        for log in self._logs.values():
            while log.settled < log.newest and self._settle_next(log, now_ns, tally):
                log.settled += 1
            while log.retired < log.settled and self._retire_next(log, now_ns, tally):
                log.retired += 1
        for room in self._rooms:
            room.forget_before(now_ns - 2 * RETURN_TIMEOUTS * self._timeout_ns)

    def finish(self, now_ns: int, counts: Mapping[int, int], tally: Tally) -> None:
        """Settles and retires everything; `counts` are the publishes of each publisher, as far as they are known."""
        self.expect(counts)
        for log in self._logs.values():
            while log.settled < log.newest:
                self._settle_next(log, now_ns, tally, final=True)
                log.settled += 1
            while log.retired < log.settled:
                self._retire_next(log, now_ns, tally, final=True)
                log.retired += 1
            for room, missed in log.missed.items():
                self._count_gaps(tally, missed[missed > 0])
                log.missed[room] = np.zeros_like(missed)

    def expect(self, counts: Mapping[int, int]) -> None:
        """Takes note of how many publishes each publisher has sent in all."""
        for publisher, count in counts.items():
            log = self._log(publisher)
            log.newest = max(log.newest, count)

    def can_end(self) -> bool:
        """Returns True if no delivery is outstanding of what is known to have been sent.

        Some publishes may not be settled then: where members have come and gone, claims are judged when the time-out is
        over, but nothing comes to those who have left.
        """
        return all(
            self._is_everywhere(log, number) for log in self._logs.values() for number in range(log.settled, log.newest)
        )

    def _is_everywhere(self, log: PublisherLog, number: int) -> bool:
        """Returns True if a publish has come to every member that was there before it, and still is."""
        publish = log.window.get(number)
        if publish is None or self._recovers:
            return not self._rooms[self._fan_out.room_of_publish(log.number, number)].size
        return bool((publish.in_time | ~publish.room.present_since(publish.sent_from_ns)).all())

    def take_followed(self) -> list[FollowedPublish]:
        """Returns the followed publishes that were settled since the last call."""
        followed, self._followed = self._followed, []
        return followed

    # --- Settling ---------------------------------------------------------------------------------------------------

    def _settle_next(self, log: PublisherLog, now_ns: int, tally: Tally, *, final: bool = False) -> bool:
        """Settles the next publish of a publisher, unless it is too early. Returns True if it did."""
        number = log.settled
        room = self._rooms[self._fan_out.room_of_publish(log.number, number)]
        if not room.size:
            return True
        publish = log.window.get(number)
        if publish is None:
            until_ns = next((later.sent_to_ns for later in self._after(log, number)), now_ns)
            if not final and now_ns <= until_ns + self._timeout_ns:
                return False
            publish = Publish(number, room, self._slot_of(log.number), sent_ns=(log.sent_ns, until_ns))
            log.window[number] = publish
        elif not final and now_ns <= publish.sent_to_ns + self._timeout_ns and not self._is_complete(publish):
            return False
        log.sent_ns = publish.sent_from_ns
        is_last_chance = final or now_ns > publish.sent_to_ns + RETURN_TIMEOUTS * self._timeout_ns
        standings = room.standings(
            publish.sent_from_ns,
            publish.sent_to_ns,
            self._timeout_ns,
            recovery=self._recovers,
            now_ns=NEVER_NS if is_last_chance else now_ns,
        )
        if self._recovers:
            standings[(standings == _AWAITED) & (publish.came > 0)] = _EXPECTED
            if (standings == _AWAITED).any():
                if not is_last_chance:
                    return False
                standings[standings == _AWAITED] = _AMBIGUOUS
        self._count(log, publish, standings, tally)
        return True

    @property
    def _recovers(self) -> bool:
        return self._fan_out.recovery == "expected"

    @staticmethod
    def _after(log: PublisherLog, number: int) -> Iterator[Publish]:
        """Yields the publishes behind a number that have come, in order."""
        for later in range(number + 1, log.newest):
            if later in log.window:
                yield log.window[later]

    @staticmethod
    def _is_complete(publish: Publish) -> bool:
        """Returns True if a publish has come to every member, and no member has come or gone since before it."""
        return publish.room.all_are_members_since(publish.sent_from_ns) and bool(publish.in_time.all())

    def _count(self, log: PublisherLog, publish: Publish, standings: NDArray[np.int8], tally: Tally) -> None:
        """Counts each pair of a publish and a member once."""
        room = publish.room
        place = publish.publisher_slot - room.first_slot
        if 0 <= place < room.size and self._fan_out.self_delivery != "expected":
            standings[place] = _OUT
        came = publish.came > 0 if self._recovers else publish.in_time
        left = standings == _LEFT
        standings[left] = np.where(came[left], _EXPECTED, _AMBIGUOUS)
        publish.standings = standings
        due_ns = publish.due_ns or publish.sent_from_ns
        if due_ns < self.measured_from_ns:
            if not publish.due_ns and publish.sent_to_ns >= self.measured_from_ns:
                # It may have been due in the warm-up or behind it.
                tally.deliveries_ambiguous += int(np.count_nonzero(standings))
            publish.standings = np.zeros_like(standings)
            return
        member, cut = standings == _EXPECTED, standings == _CUT_OFF
        expected = member | cut
        delivered, missing = expected & came, member & ~came
        tally.deliveries_expected += (expected_count := int(np.count_nonzero(expected)))
        tally.deliveries += (delivered_count := int(np.count_nonzero(delivered)))
        tally.deliveries_missing += int(np.count_nonzero(missing))
        tally.deliveries_cut_off += int(np.count_nonzero(cut & ~came))
        tally.deliveries_ambiguous += int(np.count_nonzero(standings == _AMBIGUOUS))
        room.expected += expected
        room.delivered += delivered
        if self.on_missing is not None and missing.any():
            self.on_missing(log.number, publish.number)
        self._note_gaps(log, room, missing, delivered, tally)
        if (log.number + publish.number * self._fan_out.publishers) % self._follow_every == 0:
            self._follow(log, publish, expected_count, delivered_count)

    def _follow(self, log: PublisherLog, publish: Publish, expected: int, delivered: int) -> None:
        start_ns = self.start_ns
        self._followed.append(
            FollowedPublish(
                publisher=log.number,
                number=publish.number,
                due_ns=max(0, publish.due_ns - start_ns) if publish.due_ns else NOT_KNOWN,
                first_ns=publish.first_ns and publish.first_ns - start_ns,
                last_ns=publish.last_ns and publish.last_ns - start_ns,
                expected=expected,
                delivered=delivered,
                members=publish.room.size,
            )
        )

    def _note_gaps(
        self,
        log: PublisherLog,
        room: RoomMembers,
        missing: NDArray[np.bool_],
        delivered: NDArray[np.bool_],
        tally: Tally,
    ) -> None:
        """Counts the gaps that a publish ends, and lengthens those in which it is missing."""
        missed = log.missed.get(room.room)
        if missed is None:
            if not missing.any():
                return
            missed = log.missed[room.room] = np.zeros(room.size, np.int64)
        over = delivered & (missed > 0)
        if over.any():
            self._count_gaps(tally, missed[over])
            missed[over] = 0
        missed += missing
        new = missing & ~room.had_gap
        tally.subscribers_with_gaps += int(np.count_nonzero(new))
        room.had_gap |= new

    @staticmethod
    def _count_gaps(tally: Tally, lengths: NDArray[np.int64]) -> None:
        for length in lengths:
            tally.delivery_gaps[str(length)] += 1

    # --- Retiring ---------------------------------------------------------------------------------------------------

    def _retire_next(self, log: PublisherLog, now_ns: int, tally: Tally, *, final: bool = False) -> bool:
        """Retires the oldest settled publish, unless it is too early. Returns True if it did."""
        publish = log.window.get(log.retired)
        if publish is None:
            return True
        if not final and now_ns <= publish.sent_to_ns + 2 * self._timeout_ns:
            return False
        del log.window[log.retired]
        self.on_retired(publish)
        standings = publish.standings
        assert standings is not None
        if not publish.came.any() or not publish.due_ns or publish.due_ns < self.measured_from_ns:
            return True
        expected = (standings == _EXPECTED) | (standings == _CUT_OFF)
        came = publish.came.astype(np.int64)
        if not self._recovers:
            tally.deliveries_late += int(np.count_nonzero((standings == _EXPECTED) & (came > 0) & ~publish.in_time))
        tally.deliveries_duplicate += int(np.maximum(came[expected] - 1, 0).sum())
        tally.deliveries_replayed += int(came[standings == _OUT].sum())
        return True
