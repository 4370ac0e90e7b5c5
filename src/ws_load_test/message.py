"""What is sent: one message, its frames encoded and masked ahead of time."""

from __future__ import annotations

import random
import string
from typing import Literal

import msgspec

from ws_load_test import wire

DEFAULT_PAYLOAD = b"PING"
Kind = Literal["text", "binary", "ping"]
_OPCODES: dict[Kind, int] = {"text": wire.TEXT, "binary": wire.BINARY, "ping": wire.PING}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message that a run sends, over and over."""

    kind: Kind = "text"
    """``ping`` sends control frames, and takes their pongs for the replies."""
    size_bytes: int = len(DEFAULT_PAYLOAD)
    """Bytes of payload."""
    payload: bytes = DEFAULT_PAYLOAD
    """The payload itself; empty in a recording, which keeps only its size."""

    @property
    def opcode(self) -> int:
        """The opcode of its frame."""
        return _OPCODES[self.kind]

    def frames(self, count: int) -> memoryview:
        """`count` copies of the message as frames, ready for the wire, one after another and all of one size.

        Encoding and masking a message costs more than sending it, so it is done once for a run; the frames of later
        rounds repeat the masks of the first, which RFC 6455, section 5.3 asks of browsers not to do, for the sake of
        proxies, and which no server can tell.
        """
        return memoryview(b"".join(wire.client_frame(self.opcode, self.payload) for _ in range(count)))


def generated_text(size_bytes: int) -> bytes:
    """Text of `size_bytes` ASCII letters and digits, the same in every run so that runs compare."""
    letters = random.Random(size_bytes)  # noqa: S311 - filler, not a secret
    return "".join(letters.choices(string.ascii_letters + string.digits, k=size_bytes)).encode()
