"""Permessage-deflate (RFC 7692): compression of the messages of one session."""

from __future__ import annotations

import zlib

from ws_load_test.websocket.deflate_negotiation import MAX_WINDOW_BITS, DeflateError, DeflateParams

TAIL = b"\x00\x00\xff\xff"
"""End of a sync flush, which is removed from a message on the wire (RFC 7692, section 7.2.1)."""


class PerMessageDeflate:
    """Compressor and decompressor of one session, made at the first message that needs them.

    A compressor with the largest window takes some 260 kB, a decompressor 40 kB: with many connections, offer smaller
    windows.
    """

    def __init__(self, agreement: DeflateParams) -> None:
        self.agreement = agreement
        # zlib has no raw window of 8 bits; it looks back 262 bytes less than its window, so 9 bits reach 250 bytes.
        self._client_bits = max(9, agreement.client_max_window_bits or MAX_WINDOW_BITS)
        self._server_bits = max(9, agreement.server_max_window_bits or MAX_WINDOW_BITS)
        self._deflater: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None
        self._window: bytes | None = None
        """The latest decompressed bytes, from the first final block on: after one, zlib must start again with them."""

    def compress(self, payload: bytes) -> bytes:
        """Compresses a message (RFC 7692, section 7.2.1)."""
        deflater = self._deflater
        if deflater is None:
            # A hash table larger than the window would be of no use.
            level = zlib.Z_DEFAULT_COMPRESSION
            deflater = zlib.compressobj(level, zlib.DEFLATED, -self._client_bits, self._client_bits - 7)
            self._deflater = deflater
        data = deflater.compress(payload)
        # A full flush resets the window, as a new compressor would, at a fraction of its cost.
        mode = zlib.Z_FULL_FLUSH if self.agreement.client_no_context_takeover else zlib.Z_SYNC_FLUSH
        return (data + deflater.flush(mode)).removesuffix(TAIL)

    def decompress(self, payload: bytes, max_bytes: int) -> bytes:
        """Decompresses a message (RFC 7692, section 7.2.2).

        Raises:
            DeflateError: The payload is not valid compressed data.
            DeflateTooLargeError: The message has more than `max_bytes`; no more than that is decompressed.
        """
        inflater = self._inflater
        if inflater is None or self.agreement.server_no_context_takeover:
            inflater, self._window = zlib.decompressobj(-self._server_bits), None
        parts: list[bytes] = []
        left, data = max_bytes, payload + TAIL
        try:
            while True:
                parts.append(inflater.decompress(data, left + 1))
                left -= len(parts[-1])
                if left < 0:
                    raise DeflateTooLargeError(
                        f"compressed data of more than {max_bytes} bytes when inflated (RFC 7692, section 8.2)"
                    )
                if not inflater.eof:
                    break
                # A final block is allowed (RFC 7692, section 7.2.3.4); later blocks can still refer to data before it.
                data = inflater.unused_data
                inflater = self._reset_context(parts)
        except zlib.error:
            raise DeflateError("compressed data that cannot be inflated (RFC 7692, section 7.2.2)") from None
        self._inflater = inflater
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._window is not None:
            self._window = (self._window + whole)[-(1 << self._server_bits) :]
        return whole

    def _reset_context(self, parts: list[bytes]) -> zlib._Decompress:
        self._window = self._window or b""
        before = (self._window + b"".join(parts))[-(1 << self._server_bits) :]
        return zlib.decompressobj(-self._server_bits, zdict=before)


class DeflateTooLargeError(DeflateError):
    """A message is larger than the limit; the close code for that is 1009 (RFC 6455, section 7.4.1)."""
