"""Messages in flight, found by the id that their replies carry: what pairing in order does with a queue.

What it costs: with reading messages whole and finding their ids, some 4 µs a message (benchmarks/matching.py).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.correlation import CorrelationId

MAX_RECENT_IDS = 1 << 16
"""Ids of one worker that are known to have been answered or given up; older ones are forgotten."""
LONGEST_KEPT = 64
"""Characters or bytes of an id that is remembered as it is; of a longer one, an echo's message perhaps, its hash."""
Fate = Literal["duplicate", "late"]
"""Kind of a further reply to a message that is not in flight: the message was answered, or it was given up."""
_ANSWERED: Fate = "duplicate"
_GIVEN_UP: Fate = "late"


class RecentIds:
    """Fates of the ids that are no longer in flight, over all connections of a worker."""

    def __init__(self) -> None:
        self._fates: OrderedDict[tuple[int, CorrelationId | int | None], Fate] = OrderedDict()

    def note(self, connection: int, key: CorrelationId, fate: Fate) -> None:
        """Remembers that a message was answered or given up."""
        place = connection, _short(key)
        self._fates[place] = fate
        self._fates.move_to_end(place)
        if len(self._fates) > MAX_RECENT_IDS:
            self._fates.popitem(last=False)

    def classify(self, connection: int, key: CorrelationId) -> Fate | None:
        """Returns the kind of another reply to a message; None if nothing is known of it."""
        place = connection, _short(key)
        fate = self._fates.get(place)
        if fate == _GIVEN_UP:
            # The one reply that it is due: the next is one too many.
            self._fates[place] = _ANSWERED
        return fate

    def knows(self, connection: int, key: CorrelationId) -> bool:
        """True if a message with this id was answered or given up, and is not forgotten."""
        return (connection, _short(key)) in self._fates


class InFlightTable:
    """The messages in flight on one connection."""

    def __init__(self, memory: RecentIds, connection: int) -> None:
        self._memory = memory
        self._connection = connection
        self.about_to_send: list[CorrelationId | None] = []
        """The ids of the messages that have been made and are about to leave."""
        self._open: dict[CorrelationId | None, list[tuple[int, int, int]]] = {}
        self._sent = 0
        self._latest_answered = -1
        self._count = 0

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def __len__(self) -> int:
        return self._count

    def append(self, instants: tuple[int, int]) -> None:
        """The messages that were leaving have left: when they were due and sent."""
        for key in self.about_to_send:
            self._note(key, *instants)

    def _note(self, key: CorrelationId | None, due_ns: int, sent_ns: int) -> None:
        # Nothing answers a message without an id.
        row = (due_ns, sent_ns, self._sent)
        self._sent += 1
        self._count += 1
        others = self._open.get(key)
        if others is None:
            self._open[key] = [row]
        else:
            others.append(row)

    def take_over(
        self, rows: Iterable[tuple[CorrelationId | None, int, int, int]], sent: int, latest_answered: int
    ) -> None:
        """Goes on with messages that were in flight elsewhere.

        Args:
            rows: Of each message its id, when it was due and sent, and its number; oldest first.
            sent: Number of the session's next message.
            latest_answered: Number of the latest message that was answered; -1: none.
        """
        for key, due_ns, sent_ns, number in rows:
            self._open.setdefault(key, []).append((due_ns, sent_ns, number))
            self._count += 1
        self._sent, self._latest_answered = sent, latest_answered

    def match(self, key: CorrelationId, tally: Tally) -> tuple[int, int] | None:
        """Returns when the oldest message with this id was due and sent; None if none in flight has it."""
        rows = self._open.get(key)
        if rows is None:
            return None
        due_ns, sent_ns, number = rows.pop(0)
        if not rows:
            del self._open[key]
        self._count -= 1
        if number < self._latest_answered:
            tally.out_of_order += 1
        else:
            self._latest_answered = number
        self._memory.note(self._connection, key, _ANSWERED)
        return due_ns, sent_ns

    def oldest(self, key: CorrelationId) -> tuple[int, int] | None:
        """Returns when the oldest message with this id was due and sent, which stays; None if none in flight has it."""
        rows = self._open.get(key)
        return None if rows is None else rows[0][:2]

    def was_sent(self, key: CorrelationId) -> bool:
        """True if a message with this id is known to have been answered or given up."""
        return self._memory.knows(self._connection, key)

    def classify(self, key: CorrelationId) -> Fate | None:
        """Returns the kind of another reply with this id: ``duplicate``, ``late``, or None if nothing is known."""
        return self._memory.classify(self._connection, key)

    def expire(self, before_ns: int) -> list[tuple[int, int]]:
        """Takes out what was sent before an instant: when each was due and sent."""
        expired: list[tuple[int, int]] = []
        for key in [key for key, rows in self._open.items() if rows[0][1] < before_ns]:
            rows = self._open[key]
            while rows and rows[0][1] < before_ns:
                expired.append(rows.pop(0)[:2])
            if not rows:
                del self._open[key]
            if key is not None:
                self._memory.note(self._connection, key, _GIVEN_UP)
        self._count -= len(expired)
        return expired

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for rows in self._open.values():
            for due_ns, sent_ns, _ in rows:
                yield due_ns, sent_ns

    def clear(self) -> None:
        """Forgets everything."""
        self._open.clear()
        self._count = 0


def _short(key: CorrelationId | None) -> CorrelationId | int | None:
    return key if key is None or len(key) <= LONGEST_KEPT else hash(key)
