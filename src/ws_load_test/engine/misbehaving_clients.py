"""Clients that misbehave on purpose: slow readers, clients that never read, and clients that answer no ping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.engine.sessions.session import SMALL_BUFFER_BYTES

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.session import Session

MIN_READ_INTERVAL_S = 0.1
"""Time between two reads of a slow reader, at least: rarer reads cost less, and the target cannot tell."""


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
