"""The native engine's connection as the suite's client: every message is sent back as what it came as.

It is `NativeConnection`, lent to the compiled loop from the first byte behind the upgrade. The loop has Python look for
an id in each message, as for a rule that only Python knows, and that question is the echo's way to the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from adapter import READING, Echo, SessionOwner, run, until_closed

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import UsageError
from ws_load_test.engine.native.io_uring import why_no_io_uring
from ws_load_test.engine.native.lending import NOT_LENT, Lender, NativeConnection
from ws_load_test.engine.native.reactor import Reactor
from ws_load_test.engine.native.rules import BY_QUESTION, rules_of
from ws_load_test.plan.plan import DEFAULT_MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from ws_load_test.engine.native.reactor import Loan

__all__ = ["run", "talk"]


class LentEcho(Echo):
    """Echo of a session that is lent: what the loop asks about is sent back once it has turned, as replies are."""

    def __init__(self, connection: NativeConnection, *, echoes: bool) -> None:
        super().__init__(connection, echoes=echoes)
        self.waiting: list[tuple[int, bytes]] = []
        """Opcode and payload of messages that are to be sent back."""

    def send_back(self) -> None:
        """Sends back what waits."""
        waiting, self.waiting = self.waiting, []
        for opcode, payload in waiting:
            self.on_message(opcode, payload, 0)

    def lent(self) -> None:
        """The session is lent; nothing is in flight."""

    def take_back(self, loan: Loan) -> None:
        """The session came back; nothing is in flight."""


class EchoingReactor:
    """The compiled loop of one session, whose messages are sent back between its turns."""

    def __init__(self, echo: LentEcho) -> None:
        self._echo = echo
        # By what a closed loop takes; the frame of a message is never sent.
        by_io_uring = not why_no_io_uring()
        self._reactor = Reactor(False, b"\x81\x80mask", 1, DEFAULT_MAX_MESSAGE_BYTES, by_io_uring)
        rules = rules_of(make_plan("ws://localhost/", match="regex:(.*)").correlation, READING)
        self._reactor.match(rules._replace(by=BY_QUESTION), True, self._ask)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _ask(self, what: int, place: int, payload: bytes) -> None:  # noqa: ARG002 - of any kind of question
        """Takes a message that the loop has read; it has no id."""
        self._echo.waiting.append((self._reactor.opcode, payload))

    def run(self, until_ns: int, beside: int = -1) -> bool:  # noqa: ARG002 - an echo must not wait for more
        """Works off what there is to read."""
        news = self._reactor.run(monotonic_ns())
        self._echo.send_back()
        return news


class LentSession(NativeConnection):
    """A session that is lent before its first byte is looked at."""

    def attach(self, *arguments: Any, early: bytes, **others: Any) -> None:
        """Takes over from the upgrade."""
        super().attach(*arguments, early=b"", **others)
        self._unread = early or None
        if not self.lender.lend(self):
            raise UsageError("the compiled loop cannot take the session")
        # What came with the upgrade has been read, and may be all for now.
        cast("LentEcho", self.sender).send_back()


async def talk(url: str, offer: str | None, echoes: bool) -> bytes:  # noqa: FBT001 - a callback of the runner's
    """Does what `talk` of the portable engine does, without compression."""
    if offer is not None:
        raise UsageError("the native engine does not compress")
    owner = SessionOwner()
    connection = LentSession(owner, READING)
    connection.slot = NOT_LENT
    echo = LentEcho(connection, echoes=echoes)
    connection.lender = Lender(cast("Reactor", EchoingReactor(echo)))
    connection.sender = cast("Any", echo)
    try:
        return await until_closed(connection, owner, echo, url)
    finally:
        connection.lender.close()
