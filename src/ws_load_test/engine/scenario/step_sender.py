"""Sender of a session that takes steps: it writes their messages, and keeps what it captures for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.conversations.send_only import SendOnlyConversation
from ws_load_test.engine.scenario.exchange import Exchange

if TYPE_CHECKING:
    from ws_load_test.engine.scenario.compiled import CompiledRole
    from ws_load_test.engine.scenario.compiled_step import Captures
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.sender import Conversation, FrameSource
    from ws_load_test.messages.template_field import Row

MAX_QUEUED_BYTES = 1 << 20
"""Bytes that may wait for the kernel on one connection: a role that awaits nothing goes on although its target does not
read, and memory must not."""
NO_VALUES: dict[str, str] = {}


class StepSender(Exchange):
    """The part of a `Sender` that does not depend on which step comes next."""

    __slots__ = ("carries_load", "connection", "role", "row", "values")

    sends_load = True
    batches: FrameSource = (b"",)
    content: str | bytes = ""
    """Content of its next message, where its code gives it."""

    def __init__(self, role: CompiledRole, connection: Connection, row: Row) -> None:
        """Takes the role of a session, and its row of the feed."""
        super().__init__()
        self.role = role
        self.connection = connection
        connection.max_buffered_bytes = MAX_QUEUED_BYTES
        self.row = row
        self.carries_load = False
        self.values: dict[str, str] = {} if role.has_captures else NO_VALUES
        """Values that it has captured, by name."""

    @property
    def room(self) -> str:
        """Name of the room that the session is in; empty without rooms."""
        return self.role.room_of(self.connection.number)

    @property
    def conversation(self) -> Conversation:
        """A conversation without any message: steps are looked after here."""
        return SendOnlyConversation(self.connection)

    def is_awaited(self, payload: bytes) -> bool:
        """True if a message completes the present step."""
        step = self.step
        if not self.awaiting or step is None or step.completes is None:
            return False
        return step.completes(payload, self.seq, self)

    def count_push(self, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - a session that is followed notes it
        """Counts a message that no step and no reaction takes. Returns 0."""
        return self.connection.count_unsolicited(payload)

    def on_replies(self, count: int, at_ns: int) -> None:
        """Does nothing: no message is counted as a reply here."""

    def send_due(self, due_ns: int) -> bool:  # noqa: ARG002 - steps say when
        """Returns False: nothing is due but what a step sends."""
        return False

    def drop_overdue(self, before_ns: int) -> None:
        """Does nothing: no message of a session waits to leave."""

    def give_up_on(self, before_ns: int, timeout_ns: int) -> bool:  # noqa: ARG002 - each step has its own
        """Returns False: the time-outs of steps have alarms."""
        return False

    def write(self, frame: bytes) -> bool:
        """Writes a message. Returns False if it cannot leave: the session ends, or the target reads nothing."""
        connection = self.connection
        if connection.closing:
            return False
        try:
            written = connection.write(frame)
        except BlockingIOError:
            written = 0
        except OSError as error:
            if isinstance(error, ConnectionResetError):
                connection.reset_by = error
            return False
        if written != len(frame):
            connection.write_buffered(frame[written:])
        return True

    def capture(self, captures: Captures, payload: bytes, where: str) -> Fault | None:
        """Keeps values of a message; a place that has none is a fault, and the value stays what it was.

        Returns:
            The last such fault; None if all places have values.
        """
        fault = None
        for name, place, read in captures:
            value = read(payload)
            if value is not None:
                self.values[name] = value
                continue
            text = f"completed {where} with a message that has no {place} to capture"
            fault = Fault(FaultKind.CHECK_FAILED, text=text)
            self.connection.owner.fault(fault)
        return fault
