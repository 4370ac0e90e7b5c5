"""Encoder of the compressed messages of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.connection import Connection


class DeflatingEncoder:
    """Frames of compressed messages (RFC 7692, section 6)."""

    def __init__(self, connection: Connection, opcode: int) -> None:
        self._connection = connection
        self._encoder = frames.FrameEncoder(opcode, frames.RSV1)

    def frame(self, payload: bytes) -> bytes:
        """Returns one frame."""
        deflate = self._connection.deflate
        assert deflate is not None
        self._connection.owner.tally.uncompressed_bytes_sent += len(payload)
        return self._encoder.frame(deflate.compress(payload))
