"""Transport of a socket that is connected already, for sessions that asyncio mostly does not read.

An event loop's own transport takes as long to make as a session takes to open, and some kilobytes. A session of the
compiled engine needs one only for its last moments. So this one costs nothing until it is asked to read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

READ_BYTES = 1 << 16
"""Bytes of one read: as many as are worked through in one go."""
_NOTHING = bytearray()


class SocketTransport(asyncio.Transport):
    """Reads and writes a socket that does not block, with the reader and the writer of a loop. Not yet reading."""

    __slots__ = ("_closing", "_is_reading", "_loop", "_most_unsent", "_paused", "_protocol", "_sock", "_unsent")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._unsent = _NOTHING
        self._most_unsent = READ_BYTES
        """Bytes that may wait before the protocol is asked to write no more."""
        self._is_reading = self._closing = self._paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns the socket under its name, which is all that there is."""
        return self._sock if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands what is read to another protocol from here on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Returns the protocol that gets what is read."""
        return self._protocol

    # --- Reading ----------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Returns True while the socket is read."""
        return self._is_reading

    def resume_reading(self) -> None:
        """Reads from here on."""
        if not self._is_reading and not self._closing:
            self._is_reading = True
            self._loop.add_reader(self._sock.fileno(), self._read)

    def pause_reading(self) -> None:
        """Reads no more until asked to."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._sock.fileno())

    def _read(self) -> None:
        protocol = self._protocol
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            # The protocols of this program take what is read as bytes.
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(data)
        else:
            self.pause_reading()
            self.close()

    # --- Writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Hands bytes to the kernel at once, and keeps what it does not take."""
        if self._unsent:
            self._unsent += data
        elif self._closing:
            return
        else:
            try:
                data = data[self._sock.send(data) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._end(error)
                return
            if not data:
                return
            self._unsent = bytearray(data)
            self._loop.add_writer(self._sock.fileno(), self._write_on)
        if len(self._unsent) > self._most_unsent and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def _write_on(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if self._unsent:
            return
        self._loop.remove_writer(self._sock.fileno())
        if self._paused:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing:
            self._lose(None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002 - its own
        """Sets the bytes above which the protocol is asked to write no more; it may go on once all have left."""
        self._most_unsent = READ_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        """Returns the bytes that the kernel has not taken."""
        return len(self._unsent)

    # --- The end ----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Returns True once the connection is over, or about to be."""
        return self._closing

    def close(self) -> None:
        """Ends the connection once all has left that waits."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        """Ends the connection at once."""
        self._end(None)

    def _end(self, error: OSError | None) -> None:
        """Ends the connection at once, for an error if there is one."""
        lost = self._closing and not self._unsent
        self.pause_reading()
        self._closing = True
        if self._unsent:
            self._loop.remove_writer(self._sock.fileno())
            self._unsent = _NOTHING
        if not lost:
            self._lose(error)

    def _lose(self, error: OSError | None) -> None:
        self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
