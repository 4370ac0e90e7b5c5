"""RFC 6455 protocol constants, and encoding of frames.

Frames are decoded in `engine.sessions.connection`: that runs once per message, and is inlined there for speed.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RESERVED_BITS, OPCODE_BITS, MASKED = 0x80, 0x70, 0x0F, 0x80
RSV1 = 0x40
"""Set on the first frame of a compressed message (RFC 7692, section 6)."""
LENGTH_IS_16_BIT, LENGTH_IS_64_BIT = 126, 127
LARGEST_CONTROL_PAYLOAD = 125
"""RFC 6455, section 5.5: a control frame's payload is at most 125 bytes."""

NORMAL_CLOSURE, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS_RCVD, ABNORMAL_CLOSURE = 1000, 1001, 1002, 1005, 1006
INVALID_DATA, MESSAGE_TOO_BIG, INTERNAL_ERROR, TLS_FAILED = 1007, 1009, 1011, 1015
LARGEST_CLOSE_CODE = 4999
_SMALL_PAYLOAD = 1024
"""Bytes of payload up to which masking as one large integer is faster than with numpy."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def close_code_is_valid(code: int) -> bool:
    """True if a peer is allowed to send this close code (RFC 6455, section 7.4; 1012 to 1014: IANA registry)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in {1004, NO_STATUS_RCVD, ABNORMAL_CLOSURE})


def why_invalid(code: int) -> str:
    """Returns why no peer may send a close code, with the clause, to stand behind "which"."""
    if code in {NO_STATUS_RCVD, ABNORMAL_CLOSURE, TLS_FAILED}:
        return "only stands for a close that came otherwise, and is never sent (RFC 6455, section 7.4.1)"
    if code < NORMAL_CLOSURE or code > LARGEST_CLOSE_CODE:
        return "is none: codes are from 1000 to 4999 (RFC 6455, section 7.4.2)"
    return "is reserved and has no meaning (RFC 6455, section 7.4)"


def accept_key(key: str) -> str:
    """Returns the ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key`` (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def new_key() -> str:
    """Makes a ``Sec-WebSocket-Key``: 16 random bytes in base64 (RFC 6455, section 4.1)."""
    return base64.b64encode(os.urandom(16)).decode()


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Masks or unmasks a payload (RFC 6455, section 5.3)."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def encode_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes | None = None, rsv: int = 0
) -> bytes:
    """Encodes one frame (RFC 6455, section 5.2).

    Args:
        opcode: Kind of frame.
        payload: Its contents.
        fin: True for the last frame of a message.
        mask: Four bytes from a client, None from a server.
        rsv: The reserved bits in their place (0x70).
    """
    size, masked = len(payload), 0 if mask is None else MASKED
    first = (FIN if fin else 0) | (rsv & RESERVED_BITS) | opcode
    if size < LENGTH_IS_16_BIT:
        head = bytes((first, masked | size))
    elif size < 1 << 16:
        head = bytes((first, masked | LENGTH_IS_16_BIT)) + size.to_bytes(2)
    else:
        head = bytes((first, masked | LENGTH_IS_64_BIT)) + size.to_bytes(8)
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def encode_client_frame(opcode: int, payload: bytes = b"") -> bytes:
    """Encodes one whole message as a client sends it, under a fresh random mask."""
    return encode_frame(opcode, payload, mask=os.urandom(4))


def close_payload(code: int, reason: str = "") -> bytes:
    """Returns the body of a close frame (RFC 6455, section 5.5.1); a reason too long for a control frame is cut."""
    return code.to_bytes(2) + reason.encode()[: LARGEST_CONTROL_PAYLOAD - 2].decode(errors="ignore").encode()


class FrameEncoder:
    """Encodes a client's frames faster than `encode_client_frame`: payloads of one size share a mask.

    RFC 6455, section 5.3 demands a fresh mask for each frame, to protect proxies from scripts in browsers. The
    generator is no such script, and a fresh mask would cost more than the rest of the frame.
    """

    def __init__(self, opcode: int, rsv: int = 0) -> None:
        """Takes the opcode of all its frames, and the reserved bits in their place (0x70)."""
        self._first = FIN | (rsv & RESERVED_BITS) | opcode
        self._max_bytes = LARGEST_CONTROL_PAYLOAD if opcode >= CLOSE else (1 << 63) - 1
        self._key = os.urandom(4)
        self._known: dict[int, tuple[bytes, int]] = {}
        """Size of the payload -> header with masking key, and the mask repeated over the payload as an integer."""
        self._repeated_key: Any = None
        """The masking key repeated over the largest payload so far that is not small; a numpy array."""

    def frame(self, payload: bytes) -> bytes:
        """Encodes one frame. Raises ValueError if a control frame would be too long (RFC 6455, section 5.5)."""
        size = len(payload)
        known = self._known.get(size)
        if known is None:
            if size > self._max_bytes:
                raise ValueError(f"a control frame carries at most {self._max_bytes} bytes, not {size}")
            if size > _SMALL_PAYLOAD:
                return self._large(payload)
            key = os.urandom(4)
            known = self._head(size) + key, int.from_bytes((key * (size // 4 + 1))[:size], "little")
            self._known[size] = known
        head, mask = known
        return head + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")

    def _head(self, size: int) -> bytes:
        if size < LENGTH_IS_16_BIT:
            return bytes((self._first, MASKED | size))
        if size < 1 << 16:
            return bytes((self._first, MASKED | LENGTH_IS_16_BIT)) + size.to_bytes(2)
        return bytes((self._first, MASKED | LENGTH_IS_64_BIT)) + size.to_bytes(8)

    def _large(self, payload: bytes) -> bytes:
        """Encodes with numpy, which is faster from about a kilobyte on."""
        import numpy as np  # noqa: PLC0415 - plans are read without it

        size = len(payload)
        if self._repeated_key is None or len(self._repeated_key) < size:
            self._repeated_key = np.resize(np.frombuffer(self._key, dtype=np.uint8), size)
        masked = np.frombuffer(payload, dtype=np.uint8) ^ self._repeated_key[:size]
        return b"".join((self._head(size), self._key, masked.data))
