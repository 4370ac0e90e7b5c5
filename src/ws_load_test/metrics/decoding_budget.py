"""Bounds on what a recorded histogram, and all of a file, may decompress to: a few bytes can stand for gigabytes."""

from __future__ import annotations

import zlib
from base64 import b64decode
from dataclasses import dataclass

from ws_load_test.metrics.hdr_buckets import SLOTS

LARGEST_HISTOGRAM_BYTES = 40 + 9 * SLOTS
"""Bytes of a histogram without its compression: a header of 40, and a number of up to 9 for each bucket."""
ANY_FILE_BYTES = 16 << 20
"""Bytes that the histograms of any file may decompress to, however small it is."""
LARGEST_RATIO = 32
"""Bytes that each byte of a larger file may decompress to: ten times what those of a long run do."""
_PREFIX_BYTES = 8
"""Bytes before the compressed part: a cookie and a length."""


def decompressed_bytes(text: str) -> int:
    """Returns the size of an encoded histogram without its compression, which takes no more memory than one has.

    Raises:
        ValueError: It is not compressed, or is larger than a histogram can be.
    """
    try:
        inflater = zlib.decompressobj()
        size_bytes = len(inflater.decompress(b64decode(text)[_PREFIX_BYTES:], LARGEST_HISTOGRAM_BYTES + 1))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"not an HdrHistogram of 3 significant digits: {error}") from error
    if size_bytes > LARGEST_HISTOGRAM_BYTES:
        raise ValueError(
            f"a histogram decompresses to more than the {LARGEST_HISTOGRAM_BYTES:,} bytes that one can have"
        )
    return size_bytes


@dataclass(slots=True)
class DecodingBudget:
    """Bytes that the histograms of a file may still decompress to."""

    left_bytes: int = ANY_FILE_BYTES

    def add_input(self, size_bytes: int) -> None:
        """Adds what a part of the file allows."""
        self.left_bytes += LARGEST_RATIO * size_bytes

    def spend(self, size_bytes: int) -> None:
        """Takes away what a histogram decompresses to.

        Raises:
            ValueError: Nothing is left.
        """
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise ValueError(
                f"the histograms so far decompress to more than {LARGEST_RATIO} times the size of the file"
            )
