"""The portable engine's connection as the suite's client: every message is sent back as what it came as.

The engine's `Dialer` opens it, and the engine's `Connection` reads it and checks UTF-8; only the echo is added here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test import make_plan
from ws_load_test.common.event_loop import run
from ws_load_test.common.loop_turns import LoopTurns
from ws_load_test.engine.connect.dialer import Dialer
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.kind_limits import KindLimits
from ws_load_test.engine.sessions.read_policy import ReadPolicy
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.sessions.session import Session

__all__ = ["run", "talk"]

CONNECT_TIMEOUT = "100s"
"""Longest wait for an answer to the upgrade: the suite gives none while another case keeps its processor busy."""
READING = ReadPolicy(needs_payload=True, check_utf8=True)


class SessionOwner:
    """Listens to one session, and signals its end."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally)
        self.loop_turns = LoopTurns()
        self.kinds = KindLimits(())
        self.gone = asyncio.Event()
        self.why: Fault | None = None
        """The fault of the suite, in the connection's view."""

    def session_opened(self, session: Session) -> None:
        """A session is open."""

    def session_ended(self, session: Session, fault: Fault | None) -> None:  # noqa: ARG002 - there is but one
        """An open session is over."""
        self.why = fault

    def transport_closed(self, session: Session) -> None:  # noqa: ARG002 - there is but one
        """Its TCP connection is closed."""
        self.gone.set()

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """A close frame gave a reason."""

    def fault(self, fault: Fault) -> None:
        """A reply failed a check; none is checked."""


class Echo:
    """Receiver of a session's messages that sends them back."""

    blocks_load = False

    def __init__(self, connection: Connection, *, echoes: bool) -> None:
        self._connection = connection
        self._echoes = echoes
        self.first: bytes | None = None
        """The first message that came."""

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:  # noqa: ARG002 - the instant is the engine's
        """A message was read whole; nothing is counted as a reply."""
        if self.first is None:
            self.first = payload
        if self._echoes and not self._connection.closing:
            self._connection.write_message(opcode, payload)
        return 0

    def on_ended(self) -> None:
        """The session has ended; nothing was in flight."""


async def talk(url: str, offer: str | None, echoes: bool) -> bytes:  # noqa: FBT001 - a callback of the runner's
    """Opens a session, lets it run until its TCP connection is closed, and returns the first message that came."""
    owner = SessionOwner()
    connection = Connection(owner, READING)
    return await until_closed(connection, owner, Echo(connection, echoes=echoes), url, offer)


async def until_closed(
    connection: Connection, owner: SessionOwner, receiver: Echo, url: str, offer: str | None = None
) -> bytes:
    """Opens a session on a connection, and does with it what `talk` says."""
    options = {} if offer is None else {"deflate": offer}
    dialer = Dialer(make_plan(url, messages=1, connect_timeout=CONNECT_TIMEOUT, **options))
    await dialer.resolve()
    connection.set_receiver(receiver)
    await dialer.dial(connection, 0)
    try:
        await owner.gone.wait()
    except asyncio.CancelledError:
        connection.abort()
        raise
    return receiver.first or b""
