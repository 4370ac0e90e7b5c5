"""Clients that misbehave on purpose: slow readers, clients that never read, and clients that answer no ping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.engine.sessions.session import SMALL_BUFFER_BYTES
from ws_load_test.engine.sessions.session_group import SessionGroup

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.session import Session
    from ws_load_test.engine.sessions.session_group import GroupListener
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.session_policy import MisbehavingClients

MIN_READ_INTERVAL_S = 0.1
"""Time between two reads of a slow reader, at least: rarer reads cost less, and the target cannot tell."""


class MisbehavingGroup(SessionGroup):
    """The connections that misbehave on purpose; measured apart: their counts are in no total."""

    well_behaved = False

    def __init__(self, listener: GroupListener, plan: Plan, clients: MisbehavingClients) -> None:
        """Assigns a behavior to some of the plan's connections."""
        self._behaviors = clients.assign(plan.connections)
        super().__init__(listener, due_when_sent=plan.load.due_when_sent, numbers=self._behaviors.keys())
        self._slow_reader_bytes_per_s = clients.slow_reader_bytes_per_s
        self._secure = plan.target.secure

    def leaves_pings_unanswered(self, number: int) -> bool:
        """Returns True for a connection that answers no ping."""
        return self._behaviors[number] == "no_pong"

    def begin(self, connection: Connection) -> None:
        """Stops reading, or reads slowly from here on."""
        behavior = self._behaviors[connection.number]
        if behavior == "stalled_reader":
            connection.pause_reading()
        elif behavior == "slow_reader":
            SlowReader(connection, self._slow_reader_bytes_per_s, secure=self._secure)

    def collect_into(self, total: Tally) -> None:
        """Puts the counts since the last call beside those of the other groups."""
        total.misbehaving = self.collect()


class SlowReader:
    """Reads a session no faster than so many bytes a second, a little at a time."""

    def __init__(self, session: Session, bytes_per_s: float, *, secure: bool) -> None:
        # Under TLS each read takes a buffer full, so reads are as far apart as that takes.
        read_bytes = SMALL_BUFFER_BYTES if secure else max(1.0, bytes_per_s * MIN_READ_INTERVAL_S)
        self._session = session
        self._read_bytes = round(read_bytes)
        self._interval_s = read_bytes / bytes_per_s
        session.pause_reading()
        self._read()

    def _read(self) -> None:
        if not self._session.ended:
            self._session.read_some(self._read_bytes)
            asyncio.get_running_loop().call_later(self._interval_s, self._read)
