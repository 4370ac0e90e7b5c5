"""Log of what happens to sessions around those that the target ends, in slots of a millisecond.

Nothing is counted in a run in which the target ends no session: not a clock is read. Once it has ended one, all that
opens, closes and is dialed on this worker is counted until the lost sessions are back, and for a while after that.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.faults import FaultKind
from ws_load_test.metrics.session_events import (
    BOUNCED,
    CLOSED,
    DIALED,
    LOSS_NS,
    OPENED,
    RECONNECTED,
    REFUSED,
    UNANSWERED,
    WIRE_SLOT_NS,
    duration_bucket,
    key_of,
)
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.sessions.kind_limits import KindLimits

LOGGED_NS = 60 * NS_PER_S
"""Time for which events are counted after the target has ended a session: twice `BOUNCE_NS`."""
BOUNCE_NS = 30 * NS_PER_S
"""Age of a reconnected session below which its end by the target is a bounce: a client that is sent from one node that
goes away to the next one is back within seconds."""


class DisconnectLog:
    """Counts the events of one worker's sessions."""

    def __init__(self, kinds: KindLimits, *, reconnects: bool) -> None:
        """Takes the names of close codes; `reconnects` where a lost session is dialed again."""
        self._kinds = kinds
        self._reconnects = reconnects
        self._events: Counter[str] = Counter()
        self._until_ns = 0
        """Instant up to which events are counted; 0: none are, so that no clock need be read."""
        self._lost_ns: dict[int, int] = {}
        """Instant of the loss of each session that is not back."""
        self._reconnected_ns: dict[int, tuple[int, int]] = {}
        """Instants of the return and of the loss of sessions that are back, by their number."""

    def take(self) -> Counter[str]:
        """Returns the events since the last call."""
        events, self._events = self._events, Counter()
        return events

    def ended_by_target(self, number: int, fault: Fault, unanswered: int) -> None:
        """Counts a session that the target ended, and the messages that were in flight on it."""
        now_ns = monotonic_ns()
        self._until_ns = now_ns + LOGGED_NS
        code = int(fault.detail) if fault.kind is FaultKind.CLOSED else frames.ABNORMAL_CLOSURE
        self._count(now_ns, self._kinds.code_key(code))
        if unanswered:
            self._count(now_ns, UNANSWERED, unanswered)
        reconnected_ns, lost_ns = self._reconnected_ns.pop(number, (0, 0))
        if reconnected_ns and now_ns - reconnected_ns < BOUNCE_NS:
            self._count(_rounded(lost_ns), BOUNCED)
        if self._reconnects:
            self._lost_ns[number] = now_ns

    def closed(self) -> None:
        """Counts a session that ended in another way."""
        if self._until_ns:
            self._note(CLOSED)

    def opened(self, number: int) -> None:
        """Counts a session that opened."""
        if not self._until_ns:
            return
        now_ns = self._note(OPENED)
        lost_ns = self._lost_ns.pop(number, None)
        if lost_ns is not None:
            self._count(_rounded(lost_ns), f"{RECONNECTED}{duration_bucket(now_ns - lost_ns)}")
            self._reconnected_ns[number] = now_ns, lost_ns

    def dialed(self) -> None:
        """Counts the beginning of a dial."""
        if self._until_ns:
            self._note(DIALED)

    def refused(self) -> None:
        """Counts a dial that failed."""
        if self._until_ns:
            self._note(REFUSED)

    def _note(self, event: str) -> int:
        """Counts an event of now, unless all is quiet again; returns the instant."""
        now_ns = monotonic_ns()
        if now_ns < self._until_ns or self._lost_ns:
            self._count(now_ns, event)
        else:
            self._until_ns = 0
            self._reconnected_ns.clear()
        return now_ns

    def _count(self, at_ns: int, event: str, count: int = 1) -> None:
        self._events[key_of(at_ns // WIRE_SLOT_NS, event)] += count


def _rounded(lost_ns: int) -> int:
    return lost_ns // LOSS_NS * LOSS_NS


def is_end_by_target(fault: Fault | None) -> bool:
    """Returns True for the fault of a session that the target ended: by a close frame, a reset, or the stream's end.

    Sessions that we end for a breach of the protocol or a reply that does not come are not among them.
    """
    return fault is not None and fault.kind in (FaultKind.CLOSED, FaultKind.RESET)
