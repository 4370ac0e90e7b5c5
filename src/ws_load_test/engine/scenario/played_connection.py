"""Connection of a session that takes steps: a read that is one small message goes straight to its player.

That is what most reads are in a scenario, whose sessions wait for one answer at a time. It saves three calls and the
loop over frames, a microsecond where a worker has just woken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from ws_load_test.engine.sessions.read_policy import ReadPolicy

WHOLE_MESSAGES = frozenset({frames.FIN | frames.TEXT, frames.FIN | frames.BINARY})
"""First bytes of frames that are a message."""
HEAD_BYTES = 2
"""Size of the head of a frame with up to 125 bytes of payload (RFC 6455, section 5.2)."""


class PlayedConnection(Connection):
    """A session of a role; its messages need no look before its player has them (`hands_over`)."""

    def data_received(self, data: bytes) -> None:
        """Hands the message over that was read, if it is one whole and small; else reads frames. The hot path."""
        at_ns = monotonic_ns()
        size = len(data)
        if (
            HEAD_BYTES < size < HEAD_BYTES + frames.LENGTH_IS_16_BIT
            and data[1] == size - HEAD_BYTES
            and data[0] in WHOLE_MESSAGES
            and not self._partial
            and self._fragmented_bytes < 0
            and self._unread is None
            and self._pending_end is None
            and self.deflate is None
        ):
            self.owner.tally.bytes_received += size
            self.receiver.on_message(data[0] & frames.OPCODE_BITS, data[HEAD_BYTES:], at_ns)
        else:
            super().data_received(data)


def hands_over(reading: ReadPolicy) -> bool:
    """Returns True if nothing is to be checked or answered before a session's receiver has a message."""
    return not (reading.check_utf8 or reading.answers or reading.ignore or reading.pongs)
