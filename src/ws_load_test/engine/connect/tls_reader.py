"""Reading under TLS into one buffer for all sessions of a worker.

For a `Protocol`, event loops have OpenSSL decrypt each read into a new object of 256 KiB, which the allocator maps and
unmaps: half of what a small message under TLS cost. For a `BufferedProtocol` they decrypt into what it hands them, and
what was read is copied out at its size: 0.1 µs for a small message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.engine.connect.dialed_session import DialedSession

FIRST_BUFFER_BYTES = 1 << 16
"""Size of the buffer at first: four records of TLS (RFC 8446, section 5.1). It grows to the longest read there was,
which event loops keep below some 512 KiB."""


class TlsReadBuffer:
    """The buffer of one event loop: between a read of OpenSSL's and its end no other session reads."""

    __slots__ = ("view",)

    def __init__(self) -> None:
        self.view = memoryview(bytearray(FIRST_BUFFER_BYTES))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Returns the buffer, which holds all that is there to be read: no rest is left for a later turn."""
        if sizehint > len(self.view):
            self.view = memoryview(bytearray(sizehint))
        return self.view


class TlsReader(asyncio.BufferedProtocol):
    """The protocol of a transport under TLS: hands a session what is read and what happens."""

    __slots__ = ("_buffer", "_session")

    def __init__(self, session: DialedSession, buffer: TlsReadBuffer) -> None:
        self._session, self._buffer = session, buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Returns the buffer to decrypt into."""
        return self._buffer.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Hands over what was read."""
        self._session.data_received(bytes(self._buffer.view[:nbytes]))

    def eof_received(self) -> bool | None:
        """Hands over that the target sends nothing more."""
        return self._session.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hands over that the connection is gone."""
        self._session.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hands over that the kernel takes no more."""
        self._session.pause_writing()

    def resume_writing(self) -> None:
        """Hands over that all has gone to the kernel."""
        self._session.resume_writing()
