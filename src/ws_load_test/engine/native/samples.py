"""Samples of sessions that are lent: the compiled loop has histograms and counts of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ws_load_test.engine.sessions.connection import check_failure
from ws_load_test.metrics.sample_buffer import SampleBuffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.engine.native.reactor import Reactor
    from ws_load_test.engine.sessions.session_group import SessionGroup

TIMES = (
    *("response_time_ns", "service_time_ns", "send_lag_ns", "unread_time_ns"),
    *("first_time_ns", "gap_ns", "answer_messages", "answer_bytes", "answer_messages_per_ks", "answer_bytes_per_ks"),
    *("answer_count", "answer_count_per_ks"),
)
"""Histograms of the compiled loop, in its order."""


class NativeSamples(SampleBuffer):
    """Samples of sessions that are lent, which the compiled loop counts itself, and of those that came back."""

    __slots__ = ("_faults", "_group", "_reactor")

    def __init__(self, group: SessionGroup, reactor: Reactor, *, on_schedule: bool, checks: Sequence[str] = ()) -> None:
        """Counts for a group of sessions; `checks` are those of replies, by name."""
        self._reactor = reactor
        self._group = group
        self._faults = [check_failure(name) for name in checks]
        super().__init__(group.tally, on_schedule=on_schedule)

    @property
    def measured_from_ns(self) -> int:
        """Start of the measured time."""
        return self._reactor.measured_from

    @measured_from_ns.setter
    def measured_from_ns(self, at_ns: int) -> None:
        self._reactor.measured_from = at_ns

    @property
    def measured_until_ns(self) -> int:
        """End of the measured time."""
        return self._reactor.measured_until

    @measured_until_ns.setter
    def measured_until_ns(self, at_ns: int) -> None:
        self._reactor.measured_until = at_ns

    def flush(self) -> None:
        """Counts into the tally what both have counted since the last time."""
        super().flush()
        tally, reactor = self.tally, self._reactor
        self.last_done_ns = max(self.last_done_ns, reactor.last_done)
        for name, count in reactor.take_counts().items():
            if count:
                setattr(tally, name, getattr(tally, name) + count)
        for fault, count in zip(self._faults, reactor.take_failed(), strict=True):
            if count:
                self._group.fault(fault, count)
        for number, name in enumerate(TIMES):
            values = reactor.take_histogram(number)
            if values is not None:
                first, counts, low_ns, high_ns, sum_ns = values
                getattr(tally, name).add_buckets(first, np.frombuffer(counts, np.int64), low_ns, high_ns, sum_ns)
