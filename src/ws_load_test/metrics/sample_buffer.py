"""Samples on their way into a tally: instants noted in preallocated columns, counted by the block.

The hot path writes ``sent[used]``, ``done[used]``, ``count[used]`` and moves ``used``, some 0.1 µs in all; when the
columns are full, or an interval ends, `flush` turns them into bucket counts with vector arithmetic, about 30 µs for a
block of 4,096.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ws_load_test.metrics.tally import Tally

CAPACITY = 4096
LAST_ROW = CAPACITY - 1
"""Row after which a buffer is full."""
FAR_FUTURE_NS = 2**63 - 1


class SampleBuffer:
    """Answered messages of one worker that have not been counted yet.

    A row stands for `count` messages that were due, sent and answered together. Of rows due before `measured_from_ns`
    only their number is kept: they belong to the warm-up.
    """

    __slots__ = (
        "count",
        "done",
        "due",
        "gaps",
        "held",
        "last_done_ns",
        "length",
        "measured_from_ns",
        "measured_until_ns",
        "sent",
        "tally",
    )

    def __init__(self, tally: Tally, *, on_schedule: bool = False) -> None:
        self.tally = tally
        self.sent = array("q", bytes(8 * CAPACITY))
        self.done = array("q", bytes(8 * CAPACITY))
        self.count = array("q", bytes(8 * CAPACITY))
        # Under a closed load a message is due when it is sent, so one column serves for both.
        self.due = array("q", bytes(8 * CAPACITY)) if on_schedule else self.sent
        self.gaps = array("q")
        """Gaps in ns within answers of many messages, which are counted by the block as well."""
        self.held: dict[int, int] = {}
        """Instants before which the messages of some rows could not be sent, whatever the generator did."""
        self.length = 0
        self.measured_from_ns = FAR_FUTURE_NS
        self.measured_until_ns = FAR_FUTURE_NS
        self.last_done_ns = 0

    def append(self, due_ns: int, sent_ns: int, done_ns: int, count: int) -> None:
        """Notes `count` messages; the hottest callers write the row themselves, which saves the call (0.1 µs)."""
        row = self.length
        self.due[row] = due_ns
        self.sent[row] = sent_ns
        self.done[row] = done_ns
        self.count[row] = count
        self.length = row + 1
        if row == LAST_ROW:
            self.flush()

    def hold_next(self, until_ns: int) -> None:
        """Notes that the message of the next row could not be sent before an instant: its send lag is from then."""
        self.held[self.length] = until_ns

    def note_gap(self, gap_ns: int) -> None:
        """Notes a gap between two messages of an answer, which is of the measured time."""
        gaps = self.gaps
        gaps.append(gap_ns)
        if len(gaps) == CAPACITY:
            self._flush_gaps()

    def note_unanswered(self, due_ns: int, sent_ns: int, count: int, held_until_ns: int = 0) -> None:
        """Counts the send lag of messages that will have no row: of each message that was sent, it is known."""
        if self.due is not self.sent and due_ns >= self.measured_from_ns:
            self.tally.send_lag_ns.record(max(0, sent_ns - max(due_ns, held_until_ns)), count)

    def flush(self) -> None:
        """Counts what the columns hold into the tally, and empties them."""
        used, self.length = self.length, 0
        self.tally.due_when_sent = self.due is self.sent
        if self.gaps:
            self._flush_gaps()
        if not used:
            return
        columns = (self.due, self.sent, self.done, self.count)
        due, sent, done, count = (np.frombuffer(column, np.int64, used) for column in columns)
        free = due
        if self.held:
            free, held, self.held = due.copy(), self.held, {}
            for row, until_ns in held.items():
                free[row] = until_ns
        self.count_rows(due, free, sent, done, count)

    def count_rows(
        self,
        due: NDArray[np.int64],
        free: NDArray[np.int64],
        sent: NDArray[np.int64],
        done: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> None:
        """Counts rows into the tally; `free`: instants from which they could be sent, not before they were due."""
        tally = self.tally
        self.last_done_ns = max(self.last_done_ns, int(done[-1]))
        in_time = (done >= self.measured_from_ns) & (done <= self.measured_until_ns)
        tally.answered_in_window += int(count[in_time].sum())
        measured = due >= self.measured_from_ns
        if not measured.all():
            tally.warmup_answered += int(count[~measured].sum())
            due, free, sent, done, count = (column[measured] for column in (due, free, sent, done, count))
        tally.answered += int(count.sum())
        tally.response_time_ns.record_block(done - due, count)
        if self.due is not self.sent:
            tally.service_time_ns.record_block(done - sent, count)
            tally.send_lag_ns.record_block(np.maximum(sent - free, 0), count)

    def _flush_gaps(self) -> None:
        gaps, self.gaps = self.gaps, array("q")
        self.tally.gap_ns.record_block(np.frombuffer(gaps, np.int64))
