"""Clients that behave badly on purpose: slow readers, deaf ones, and those that never answer a ping.

What they amount to is kept apart, so that the others can be measured beside them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.engine.session import SMALL_BUFFER_BYTES
from ws_load_test.metrics.sample_buffer import SampleBuffer
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.session import Session, SessionListener

SHORTEST_STEP_S = 0.1


class SeparateStats:
    """The owner of unkind connections: a tally of its own, and the crew's word in everything else."""

    def __init__(self, crew: SessionListener, *, on_schedule: bool) -> None:
        self._crew = crew
        self.tally = Tally()
        self.samples = SampleBuffer(self.tally, on_schedule=on_schedule)

    def cut(self) -> Tally:
        """What has come since the last cut."""
        self.samples.flush()
        tally, self.tally = self.tally, Tally()
        self.samples.tally = self.tally
        return tally

    def session_opened(self, session: Session) -> None:
        """A session is open."""
        self._crew.session_opened(session)

    def session_ended(self, session: Session, fault: Fault | None) -> None:
        """An open session is over."""
        self._crew.session_ended(session, fault)

    def transport_closed(self, session: Session) -> None:
        """The TCP connection of a session that was open is closed."""
        self._crew.transport_closed(session)

    def fault(self, fault: Fault) -> None:
        """Such faults are what such clients ask for."""
        self.tally.faults[fault.key] += 1

    def close_reason(self, session: Session, code: int, reason: str) -> None:
        """The target said why it closes."""
        self._crew.close_reason(session, code, reason)


class SlowReader:
    """Reads a session no faster than so many bytes a second, in sips."""

    def __init__(self, session: Session, bytes_per_s: float, *, secure: bool) -> None:
        # Under TLS a sip is a buffer full, so that sips are as far apart as that takes.
        sip_bytes = SMALL_BUFFER_BYTES if secure else max(1.0, bytes_per_s * SHORTEST_STEP_S)
        self._session = session
        self._sip_bytes = round(sip_bytes)
        self._step_s = sip_bytes / bytes_per_s
        session.pause_reading()
        self._next()

    def _next(self) -> None:
        if not self._session.ended:
            self._session.read_some(self._sip_bytes)
            asyncio.get_running_loop().call_later(self._step_s, self._next)
