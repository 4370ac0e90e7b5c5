"""Disconnect waves: sessions that the target ended together, in a deployment, a crash or a change of a balancer.

A wave is made of the sessions that the target ended without a pause of `QUIET_NS`; fewer than `MIN_SESSIONS`, or than
`MIN_SHARE` of those that were open, are none. All is worked out of session events in slots of 10 ms, in the order of
time and in one pass, so that a run of a day needs no more memory than its waves do.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.metrics.session_events import (
    BOUNCED,
    CLOSED,
    DIALED,
    LOSS_NS,
    OPENED,
    RECONNECTED,
    REFUSED,
    SLOT_NS,
    UNANSWERED,
    bucket_end_ns,
    split_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ws_load_test.metrics.recording import Interval

QUIET_NS = 5 * NS_PER_S
"""Pause after which a session that the target ends belongs to another wave: a rolling restart waits longer between two
nodes, and clients of one node are closed faster."""
MIN_SESSIONS = 3
"""Fewest sessions of a wave: one or two end for reasons of their own."""
MIN_SHARE = 0.001
"""Smallest share of a wave of the sessions that were open: of 100,000 some end all the time."""
LAG_NS = 1_500_000_000
"""Time (1.5 s) for which events wait for those of slower workers, so that all are taken in their order."""
ANNOUNCED = frozenset(("1000", "1001", "1012", "1013"))
"""Close codes of a target that goes away in order: normal closure and going away (RFC 6455, section
7.4.1), service restart and try again later (IANA, WebSocket Close Code Number Registry). Codes from 4000 on are the
application's own, and announced as well."""
LAST_SLOT = 1 << 62
"""Slot behind those of any run."""
_SECOND_SLOTS = NS_PER_S // SLOT_NS
_DROPPED, _OTHER = "dropped", "other-changes"
"""Events of whole intervals: messages dropped, and changes in open sessions that no slot has."""


@dataclass(slots=True)
class Wave:
    """One wave. Instants are exact to about `SLOT_NS`."""

    from_ns: int
    """Instant of the first end, from the start of the run."""
    open_before: int
    """Sessions that were open just before."""
    to_ns: int = 0
    """Instant of the last end."""
    closed: Counter[str] = field(default_factory=Counter)
    """Sessions that the target ended, by close code; one that came back and was ended again counts twice."""
    peak_closes_per_s: int = 0
    """Most sessions that ended within a second."""
    peak_dials_per_s: int = 0
    """Most dials that began within a second, until the sessions were back."""
    fewest_open: int = 0
    """Fewest sessions open until they were back, the next wave, or the end of the load."""
    back_ns: int | None = None
    """Instant from which as many sessions were open again as before; None where they were not."""
    reconnected: Counter[int] = field(default_factory=Counter)
    """Sessions that came back, by the bucket of the time it took (`duration_bucket`)."""
    bounced: int = 0
    """Sessions that the target ended again within 30 s of their return."""
    refused: int = 0
    """Dials that failed until the sessions were back."""
    unanswered: int = 0
    """Messages that were in flight on sessions that the target ended."""
    dropped: int = 0
    """Messages that were dropped in the intervals until the sessions were back."""

    @property
    def sessions(self) -> int:
        """Sessions that the target ended."""
        return self.closed.total()

    @property
    def announced(self) -> int:
        """Sessions that ended with an announced code."""
        return sum(count for code, count in self.closed.items() if is_announced(code))

    @property
    def abrupt(self) -> int:
        """Sessions that ended without an announced code."""
        return self.sessions - self.announced

    @property
    def back_after_ns(self) -> int | None:
        """Time from the first end until as many sessions were open as before; None where they were not."""
        return None if self.back_ns is None else self.back_ns - self.from_ns

    @property
    def is_wave(self) -> bool:
        """True once enough sessions have ended."""
        return self.sessions >= max(MIN_SESSIONS, MIN_SHARE * self.open_before)

    def reconnect_percentile_ns(self, percentile: float) -> int | None:
        """Returns the end of the bucket that holds a percentile of the reconnect times; None where none came back."""
        rank = max(1, -(-self.reconnected.total() * percentile // 100))
        for bucket in sorted(self.reconnected):
            rank -= self.reconnected[bucket]
            if rank <= 0:
                return bucket_end_ns(bucket)
        return None


def is_announced(code: str) -> bool:
    """Returns True for a close code with which a target goes away in order."""
    return code in ANNOUNCED or (len(code) == 4 and code.startswith("4"))


class SlidingCount:
    """Count of the last second, by slots that come in their order."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, slot: int, count: int) -> int:
        """Adds what happened in a slot; returns the count of the second that ends with it."""
        self._slots.append((slot, count))
        self._total += count
        while self._slots[0][0] <= slot - _SECOND_SLOTS:
            self._total -= self._slots.popleft()[1]
        return self._total


class WaveTracker:
    """Finds the waves of one run in its intervals, as these end."""

    def __init__(self) -> None:
        self._groups: list[Wave] = []
        """Groups of sessions that ended together, the last of which may still grow; all others are waves."""
        self._missing: list[Wave] = []
        """Groups that are not back. The open sessions that each waits for are fewer from one to the next."""
        self._open = 0
        self._pending: defaultdict[int, Counter[str]] = defaultdict(Counter)
        """Events by slot that wait for those of slower workers."""
        self._later: list[tuple[int, str, int]] = []
        """Events by the slot of an earlier loss, which may wait themselves."""
        self._closes, self._dials = SlidingCount(), SlidingCount()
        self._interval_ns = 0
        """Length of the latest interval."""

    @property
    def waves(self) -> tuple[Wave, ...]:
        """Waves so far."""
        return tuple(group for group in self._groups if group.is_wave)

    @property
    def current(self) -> Wave | None:
        """The last wave, if it is still on: sessions end, or are not back."""
        last = self._groups[-1] if self._groups else None
        return last if last is not None and last.is_wave and last.back_ns is None else None

    def add_interval(self, interval: Interval, events: Mapping[str, int], dropped: int) -> None:
        """Adds an interval, its session events, and the number of messages that were dropped in it."""
        changes = 0
        for key, count in events.items():
            slot, event = split_key(key)
            if event == BOUNCED or event.startswith(RECONNECTED):
                self._later.append((slot, event, count))
                continue
            self._pending[slot][event] += count
            changes += count * _change(event)
        end = (interval.to_ns - 1) // SLOT_NS
        self._interval_ns = interval.to_ns - interval.from_ns
        if interval.phase != "closing":
            self._pending[end][_OTHER] += interval.open_delta - changes
            self._pending[end][_DROPPED] += dropped
        self._take_until(end - LAG_NS // SLOT_NS)

    def finish(self) -> tuple[Wave, ...]:
        """Takes all events that wait; returns the waves of the run."""
        self._take_until(LAST_SLOT)
        return self.waves

    def _take_until(self, last: int) -> None:
        for slot in sorted(slot for slot in self._pending if slot <= last):
            self._take(slot, self._pending.pop(slot))
        self._later = [event for event in self._later if not self._add_later(*event, last)]

    def _take(self, slot: int, events: Counter[str]) -> None:
        """Adds the events of the next slot."""
        codes = {event: count for event, count in events.items() if event[0].isdigit() or event == "other"}
        ended = sum(codes.values())
        at_ns = slot * SLOT_NS
        if ended:
            self._group_at(at_ns).closed.update(codes)
        self._open += sum(count * _change(event) for event, count in events.items()) + events[_OTHER]
        closes, dials = self._closes.add(slot, ended), self._dials.add(slot, events[DIALED])
        group = self._groups[-1] if self._groups else None
        if group is not None:
            group.unanswered += events[UNANSWERED]
            group.peak_closes_per_s = max(group.peak_closes_per_s, closes)
            if group.back_ns is None:
                group.peak_dials_per_s = max(group.peak_dials_per_s, dials)
                group.refused += events[REFUSED]
                group.fewest_open = max(0, min(group.fewest_open, self._open))
            if group.back_ns is None or group.back_ns > at_ns - self._interval_ns:
                group.dropped += events[_DROPPED]
        while self._missing and self._open >= self._missing[-1].open_before:
            self._missing.pop().back_ns = at_ns

    def _group_at(self, at_ns: int) -> Wave:
        """Returns the group of an end at an instant: the last one, unless there was a pause."""
        group = self._groups[-1] if self._groups else None
        if group is None or at_ns - group.to_ns >= QUIET_NS:
            if group is not None and not group.is_wave:
                self._groups.pop()
                self._missing = [one for one in self._missing if one is not group]
            group = Wave(at_ns, self._open, fewest_open=self._open)
            self._groups.append(group)
            # What happened before the wave is none of its peaks.
            self._closes, self._dials = SlidingCount(), SlidingCount()
        if not self._missing or self._missing[-1] is not group:
            # Back it is only after its last end.
            group.back_ns = None
            self._missing.append(group)
        group.to_ns = max(group.to_ns, at_ns)
        return group

    def _add_later(self, slot: int, event: str, count: int, taken: int) -> bool:
        """Adds an event to the group that holds an earlier loss; returns False where that loss is still to come."""
        if slot + LOSS_NS // SLOT_NS > taken:
            return False
        from_ns = slot * SLOT_NS
        for group in reversed(self._groups):
            if group.from_ns < from_ns + LOSS_NS + SLOT_NS and group.to_ns >= from_ns - SLOT_NS:
                if event == BOUNCED:
                    group.bounced += count
                else:
                    group.reconnected[int(event.removeprefix(RECONNECTED))] += count
                break
        return True


def _change(event: str) -> int:
    """Returns by how much an event changes the number of open sessions."""
    if event == OPENED:
        return 1
    return -1 if event in (CLOSED, "other") or event[0].isdigit() else 0


def find_waves(intervals: Iterable[Interval]) -> tuple[Wave, ...]:
    """Returns the waves of a recording's intervals."""
    tracker = WaveTracker()
    for interval in intervals:
        record = interval.encoded_tally
        tracker.add_interval(interval, record.get("session_events", {}), record.get("dropped", 0))
    return tracker.finish()
