"""Groups of sessions: each has its own numbers, so that some sessions of a run can be measured apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection

    from ws_load_test.common.faults import Fault
    from ws_load_test.common.loop_turns import LoopTurns
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.kind_limits import KindLimits
    from ws_load_test.engine.sessions.session import Session


class GroupListener(Protocol):
    """Owner of groups: it is called when a session of any group opens, ends or fails."""

    loop_turns: LoopTurns
    """Turns of the loop, which all sessions share."""
    kinds: KindLimits
    """Names under which faults and close codes are counted."""

    def session_opened(self, session: Session) -> None:
        """A session is open."""
        ...

    def session_ended(self, session: Session, fault: Fault | None) -> None:
        """An open session is over; the fault is the target's failing that ended it, if there was one."""
        ...

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target's close frame gave a reason."""
        ...

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        ...

    def fault_counted(self, fault: Fault, number: int | None = None) -> None:
        """A fault of a well-behaved group was counted; `number` is the connection that it concerns, if known."""
        ...


class SessionGroup:
    """Some of a run's connections, and their counts since the last report. It is the owner of their sessions."""

    well_behaved: ClassVar = True
    """Its sessions owe answers to the target and are owed some by it: overdue replies are faults, the end of the run
    waits for them, and sessions end with a close handshake."""

    def __init__(self, listener: GroupListener, *, due_when_sent: bool, numbers: Collection[int] | None = None) -> None:
        """Makes an empty group.

        Args:
            listener: Called when sessions open, end or fail.
            due_when_sent: A message is due when it is sent, so that one column of samples serves for both.
            numbers: Numbers, within the run, of its connections; None: all that are in no other group.
        """
        self.numbers = numbers
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=not due_when_sent)
        self.loop_turns = listener.loop_turns
        self.kinds = listener.kinds
        self._listener = listener
        # Straight to the listener: a group has nothing to add.
        self.session_opened = listener.session_opened
        self.session_ended = listener.session_ended
        self.transport_closed = listener.transport_closed
        self.close_reason = listener.close_reason

    def __contains__(self, number: int) -> bool:
        return self.numbers is None or number in self.numbers

    def collect(self) -> Tally:
        """Returns the counts since the last call."""
        self.samples.flush()
        tally, self.tally = self.tally, Tally()
        self.samples.tally = self.tally
        return tally

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call to those of the other groups."""
        total.merge(self.collect())

    def leaves_pings_unanswered(self, number: int) -> bool:  # noqa: ARG002 - any number
        """Returns True for a connection that answers no ping."""
        return False

    def begin(self, connection: Connection) -> None:
        """Takes a session on which the load is about to begin."""

    def set_window(self, *, from_ns: int | None = None, until_ns: int | None = None) -> None:
        """Begins the measured time at one instant, or ends it at another."""
        if from_ns is not None:
            self.samples.measured_from_ns = from_ns
        if until_ns is not None:
            self.samples.measured_until_ns = until_ns
            self.samples.flush()

    def fault(self, fault: Fault, count: int = 1, *, number: int | None = None) -> None:
        """Counts a fault that ended no open session."""
        self.tally.faults[self.kinds.fault_key(fault)] += count
        # Clients that misbehave ask for their faults, so these are no examples of the target's.
        if self.well_behaved:
            self._listener.fault_counted(fault, number)
