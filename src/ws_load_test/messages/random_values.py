"""Generators of random text and UUIDs, made in blocks: a value then costs a fifth to a tenth of one made alone."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator
from random import Random

ALPHABET = string.ascii_letters + string.digits
_REPEATS = 256 // len(ALPHABET)
_TO_ALPHABET = (ALPHABET * (_REPEATS + 1)).encode()[:256]
_SURPLUS_BYTES = bytes(range(len(ALPHABET) * _REPEATS, 256))
"""Byte values that are left out, so that every character stands for as many of them as any other."""
_BLOCK_BYTES = 8192
"""Random bytes drawn at once: enough to make the call's cost per value negligible, too few to cause a pause."""
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in string.hexdigits}
"""Hexadecimal digit -> the same with the variant bits of RFC 9562, section 4.1."""


def random_characters(random: Random, size_bytes: int) -> bytes:
    """About `size_bytes` ASCII letters and digits, all equally likely; up to a tenth fewer."""
    return random.randbytes(size_bytes).translate(_TO_ALPHABET, _SURPLUS_BYTES)


def text_blocks(random: Random, size: int) -> Iterator[list[str]]:
    """Yields lists of texts of `size` ASCII letters and digits each, without end."""
    remainder = ""
    while True:
        block = remainder + random_characters(random, max(size, _BLOCK_BYTES)).decode()
        end = len(block) - len(block) % size
        remainder = block[end:]
        yield [block[start : start + size] for start in range(0, end, size)]


def uuid_blocks() -> Iterator[list[str]]:
    """Yields lists of random UUIDs (RFC 9562, section 5.4), without end.

    The bits are the system's entropy, so no run repeats the UUIDs of another.
    """
    while True:
        digits = os.urandom(_BLOCK_BYTES).hex()
        yield [
            f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{_VARIANT[bits[16]]}{bits[17:20]}-{bits[20:]}"
            for bits in (digits[start : start + 32] for start in range(0, len(digits), 32))
        ]
