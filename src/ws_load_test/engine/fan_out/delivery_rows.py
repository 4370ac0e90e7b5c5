"""Rows of deliveries on their way into a tally: counted by vector arithmetic, those of many publishes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ws_load_test.engine.fan_out.membership import MemberColumns
    from ws_load_test.engine.fan_out.publish import Publish, PublisherLog
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.fan_out import SelfDelivery

FAR_NS = 1 << 62


class Rows(NamedTuple):
    """Columns of deliveries."""

    times: NDArray[np.int64]
    due: NDArray[np.int64]
    sent: NDArray[np.int64]
    slots: NDArray[np.int64]

    def chosen(self, rows: NDArray[np.bool_]) -> Rows:
        """Returns some of the rows."""
        return Rows(*(column[rows] for column in self))


class TurnStarts(Protocol):
    """Instants at which turns of the loop began to read."""

    def lags(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns how long after the start of its turn each read was."""
        ...


class DeliveryRows:
    """Counts the deliveries that have come since the last time."""

    def __init__(
        self, columns: MemberColumns, timeout_ns: int, *, reaches_publishers: bool, self_delivery: SelfDelivery
    ) -> None:
        self._columns = columns
        self._timeout_ns = timeout_ns
        self._leaves_out_own = reaches_publishers and self_delivery != "expected"
        self._own_is_wrong = self_delivery == "excluded"
        self.groups: NDArray[np.int64] = np.zeros(len(columns.timed), np.int64)
        """Group of each slot, by which reports show where deliveries are slow."""
        self.group_names: Sequence[str] = ("",)
        self._batches: list[tuple[PublisherLog, list[Publish]]] = []

    def add(self, log: PublisherLog, publishes: list[Publish]) -> None:
        """Adds publishes of one publisher that have rows, in the order of their numbers."""
        self._batches.append((log, publishes))

    def count(self, tally: Tally, turns: TurnStarts, measured_from_ns: int) -> None:
        """Counts all rows of the publishes that were added, and empties them."""
        batches, self._batches = self._batches, []
        publishes = [publish for _, batch in batches for publish in batch]
        if not publishes:
            return
        lengths = [len(publish.times) for publish in publishes]
        times = np.frombuffer(b"".join([publish.times for publish in publishes]), np.int64)
        slots = np.frombuffer(b"".join([publish.slots for publish in publishes]), np.int64)
        of = np.repeat(np.arange(len(publishes)), lengths)
        for publish in publishes:
            # Emptied, not replaced: what adds to them is bound.
            del publish.times[:], publish.slots[:]
        own = np.array([publish.publisher_slot for publish in publishes])
        if self._leaves_out_own and (is_own := slots == own[of]).any():
            self._count_own(tally, int(np.count_nonzero(is_own)))
            times, slots, of = times[~is_own], slots[~is_own], of[~is_own]
        is_first = self._note_arrivals(publishes, times, slots, of)
        due = np.array([publish.due_ns for publish in publishes])[of]
        sent = np.array([publish.sent_to_ns for publish in publishes])[of]
        columns = self._columns
        in_time = is_first & (times <= sent + self._timeout_ns)
        # What was published before the subscriber came is a replay, however long ago.
        joining = columns.joining_ns[slots]
        # What came before its present stay began came in an earlier one.
        judged = in_time & (due >= measured_from_ns) & ((joining <= sent) | (times < joining))
        timed = judged & columns.timed[slots]
        rows = Rows(times, due, sent, slots)
        self._count_times(tally, turns, rows.chosen(timed))
        if any(log.same_host for log, _ in batches):
            same_host = (
                timed & np.repeat([log.same_host for log, _ in batches], [len(batch) for _, batch in batches])[of]
            )
            tally.same_host_delivery_time_ns.record_block(np.maximum(times[same_host] - due[same_host], 0))
        starts = np.concatenate(([0], np.cumsum(np.bincount(of, minlength=len(publishes)))))
        self._note_ends(publishes, times, timed, starts)
        self._count_order(tally, batches, rows, judged, starts)

    def _count_own(self, tally: Tally, count: int) -> None:
        if self._own_is_wrong:
            tally.deliveries_misdelivered += count
        else:
            tally.deliveries_to_publisher += count

    def _note_arrivals(
        self, publishes: list[Publish], times: NDArray[np.int64], slots: NDArray[np.int64], of: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Adds the rows to the publishes. Returns which rows are the first delivery to their member."""
        sizes = np.array([publish.room.size for publish in publishes], np.int64)
        ends = np.cumsum(sizes)
        # Where the places of each publish begin, less the slot of the first one.
        bases = ends - sizes - np.array([publish.room.first_slot for publish in publishes], np.int64)
        keys: NDArray[np.int64] = slots + bases[of]
        came = np.concatenate([publish.came for publish in publishes])
        numbers = np.arange(len(keys))
        first_row = np.full(len(came), -1)
        # Of several rows with one key the last that is written stays: the first of them, backwards.
        first_row[keys[::-1]] = numbers[::-1]
        is_first: NDArray[np.bool_] = (first_row[keys] == numbers) & (came[keys] == 0)
        arrivals = came + np.bincount(keys, minlength=len(came))
        deadlines = np.array([publish.sent_to_ns + self._timeout_ns for publish in publishes])[of]
        in_time = np.zeros(len(came), bool)
        in_time[keys[is_first & (times <= deadlines)]] = True
        for publish, end, size in zip(publishes, ends, sizes, strict=True):
            publish.came[:] = np.minimum(arrivals[end - size : end], 255)
            publish.in_time |= in_time[end - size : end]
        return is_first

    def _count_times(self, tally: Tally, turns: TurnStarts, rows: Rows) -> None:
        """Records the times of the first delivery of each publish to each timed member."""
        times, due, sent, slots = rows
        if not len(times):
            return
        delivery = times - due
        negative = delivery < 0
        if negative.any():
            tally.deliveries_negative += int(np.count_nonzero(negative))
            delivery = np.maximum(delivery, 0)
        tally.delivery_time_ns.record_block(delivery)
        transit = times - sent
        tally.deliveries_before_sent += int(np.count_nonzero(transit < 0))
        tally.transit_time_ns.record_block(np.maximum(transit, 0))
        tally.read_lag_ns.record_block(turns.lags(times))
        columns = self._columns
        size = len(columns.timed)
        columns.delivery_sum_ns += np.bincount(slots, weights=delivery, minlength=size)
        columns.delivery_count += np.bincount(slots, minlength=size)
        groups = self.groups[slots]
        counts = np.bincount(groups)
        sums = np.bincount(groups, weights=delivery / 1e3)
        for group in np.flatnonzero(counts).tolist():
            tally.delivery_groups[self.group_names[group]] += int(counts[group])
            tally.delivery_group_time_us[self.group_names[group]] += round(sums[group])

    def _note_ends(
        self,
        publishes: list[Publish],
        times: NDArray[np.int64],
        timed: NDArray[np.bool_],
        starts: NDArray[np.int64],
    ) -> None:
        """Notes the first and the last timed delivery of each publish."""
        firsts, lasts = np.where(timed, times, FAR_NS), np.where(timed, times, 0)
        with_rows = np.flatnonzero(np.diff(starts))
        if not len(with_rows):
            return
        first = np.minimum.reduceat(firsts, starts[with_rows])
        last = np.maximum.reduceat(lasts, starts[with_rows])
        for index, first_ns, last_ns in zip(with_rows, first, last, strict=True):
            publish = publishes[index]
            if last_ns:
                publish.first_ns = min(publish.first_ns or FAR_NS, int(first_ns))
                publish.last_ns = max(publish.last_ns, int(last_ns))

    @staticmethod
    def _count_order(
        tally: Tally,
        batches: list[tuple[PublisherLog, list[Publish]]],
        rows: Rows,
        judged: NDArray[np.bool_],
        starts: NDArray[np.int64],
    ) -> None:
        """Counts the deliveries that came behind one of a later publish of the same publisher."""
        index = len(starts) - 1
        for log, batch in reversed(batches):
            earliest: dict[int, NDArray[np.int64]] = {}
            for publish in reversed(batch):
                index -= 1
                room, own = publish.room, slice(starts[index], starts[index + 1])
                chosen = judged[own]
                places, at = rows.slots[own][chosen] - room.first_slot, rows.times[own][chosen]
                latest = log.latest.get(room.room)
                if latest is None:
                    latest = log.latest[room.room] = np.full(room.size, -1)
                behind = earliest.get(room.room)
                if behind is None:
                    behind = earliest[room.room] = np.full(room.size, FAR_NS)
                late = (behind[places] < at) | (latest[places] > publish.number)
                tally.deliveries_out_of_order += int(np.count_nonzero(late))
                behind[places] = np.minimum(behind[places], at)
            for position, publish in enumerate(batch):
                own = slice(starts[index + position], starts[index + position + 1])
                places = rows.slots[own][judged[own]] - publish.room.first_slot
                latest = log.latest[publish.room.room]
                latest[places] = np.maximum(latest[places], publish.number)
