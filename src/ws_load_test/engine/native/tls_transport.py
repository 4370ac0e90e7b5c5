"""Transport under TLS for sessions that the compiled loop mostly reads and writes.

An event loop's own keeps 10 kB for each session: its buffers for a read, its queues, its handle of the socket. Once the
handshake is over, the connection of OpenSSL and a descriptor are all that is needed. So a session leaves the event loop
when it is lent for the first time, and this transport carries its last moments.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from ws_load_test.engine.connect.socket_transport import READ_BYTES, SocketTransport
from ws_load_test.engine.native.reactor import tls_put, tls_take, tls_trim

if TYPE_CHECKING:
    import socket

CLOSE_TIMEOUT_S = 30.0
"""Time that the target has to end TLS after we have, as in event loops (`ssl_shutdown_timeout`)."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """Encrypts and decrypts between a session and the transport of its socket, whose protocol it is."""

    __slots__ = ("_address", "_closing", "_session", "_timer", "_tls", "carrier")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        tls: ssl.SSLObject,
        address: int,
        session: asyncio.Protocol,
    ) -> None:
        """Goes on with a TLS connection after its handshake; `address` is OpenSSL's (`tls_of`). Not yet reading."""
        self._tls, self._address, self._session = tls, address, session
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self.carrier = SocketTransport(loop, sock, self)
        tls_trim(address)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns the TLS connection or the socket under its name."""
        return self._tls if name == "ssl_object" else self.carrier.get_extra_info(name, default)

    # --- Reading ----------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Returns True while the socket is read."""
        return self.carrier.is_reading()

    def resume_reading(self) -> None:
        """Reads from here on."""
        self.carrier.resume_reading()

    def pause_reading(self) -> None:
        """Reads no more until asked to."""
        self.carrier.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Decrypts what was read. What comes after our end of TLS is left unread."""
        tls_put(self._address, data)
        try:
            while plain := self._tls.read(READ_BYTES):
                if not self._closing:
                    self._session.data_received(plain)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()
            self._lose(error)
        else:
            # The target has ended TLS.
            self.close()
            self.carrier.close()

    # --- Writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypts bytes and hands them to the kernel at once; what it does not take waits."""
        if self.is_closing():
            return
        left = memoryview(data)
        try:
            while left:
                left = left[self._tls.write(left) :]
        except ssl.SSLError as error:
            self._lose(error)
        self._flush()

    def _flush(self) -> None:
        while data := tls_take(self._address):
            self.carrier.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets the bytes above which the session is asked to write no more; it may go on once all have left."""
        self.carrier.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Returns the bytes that the kernel has not taken."""
        return self.carrier.get_write_buffer_size()

    def pause_writing(self) -> None:
        """Hands over that the kernel takes no more."""
        self._session.pause_writing()

    def resume_writing(self) -> None:
        """Hands over that all has gone to the kernel."""
        self._session.resume_writing()

    # --- The end ----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Returns True once the connection is over, or about to be."""
        return self._closing or self.carrier.is_closing()

    def close(self) -> None:
        """Ends TLS, and the connection as soon as the target has ended TLS as well."""
        if self._closing:
            return
        self._closing = True
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            self._flush()
            self.carrier.resume_reading()
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.carrier.abort)
        except ssl.SSLError:
            self.carrier.close()
        else:
            self._flush()
            self.carrier.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._closing = True
        self.carrier.abort()

    def _lose(self, error: ssl.SSLError) -> None:
        """Ends the connection for an error."""
        self._closing = True
        self.carrier.lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hands over that the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._session.connection_lost(exc)
