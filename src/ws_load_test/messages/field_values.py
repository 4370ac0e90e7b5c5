"""What fields are filled with: numbers, letters, UUIDs, the clock, rows."""

from __future__ import annotations

import json
import os
import string
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any

from ws_load_test.messages.fields import TemplateField

LETTERS = string.ascii_letters + string.digits
_REPEATS = 256 // len(LETTERS)
_TO_LETTERS = (LETTERS * (_REPEATS + 1)).encode()[:256]
_ONE_TOO_MANY = bytes(range(len(LETTERS) * _REPEATS, 256))
"""Bytes that are left out, so that every letter stands for as many bytes as any other."""
_AHEAD_BYTES = 8192
_FEW = 1 << 32
"""Of so few numbers, scaling a random fraction of 53 bits favours none by more than one in two million."""
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in string.hexdigits}


class FieldValues:
    """Gives each kind of field a Python expression, and the names that these use."""

    def __init__(self, random: Random, columns: Sequence[str] = ()) -> None:
        """Takes what decides about everything random but UUIDs, and the columns that rows have."""
        self._random = random
        self._columns = columns
        self.names: dict[str, Any] = {
            "now_ns": time.time_ns,
            "random": random.random,
            "randint": random.randint,
            "uuid": chain.from_iterable(_uuids()).__next__,
            "as_json": json.dumps,
        }

    def expression(self, field: TemplateField) -> str:
        """What a field becomes, as Python that also knows ``number``, ``connection`` and ``row``."""
        if field.name == "feed":
            value = f"row[{self._columns.index(field.column)}]"
            return f"as_json({value})" if field.as_json else value
        if field.name == "random":
            name = f"letters_{field.size}"
            if name not in self.names:
                self.names[name] = self.random_text(field.size)
            return f"{name}()"
        if field.name == "int":
            span = field.high - field.low + 1
            return f"{field.low} + int(random() * {span})" if span <= _FEW else f"randint({field.low}, {field.high})"
        return {"seq": "number", "connection": "connection", "now_ms": "now_ns() // 1_000_000", "uuid": "uuid()"}[
            field.name
        ]

    def random_text(self, size: int) -> Callable[[], str]:
        """What gives `size` fresh letters at each call."""
        return chain.from_iterable(self._letters(size)).__next__

    def _letters(self, size: int) -> Iterator[list[str]]:
        rest = ""
        while True:
            made = rest + random_letters(self._random, max(size, _AHEAD_BYTES)).decode()
            end = len(made) - len(made) % size
            rest = made[end:]
            yield [made[at : at + size] for at in range(0, end, size)]


def random_letters(random: Random, about: int) -> bytes:
    """About `about` ASCII letters and digits, all equally likely; up to a tenth fewer."""
    return random.randbytes(about).translate(_TO_LETTERS, _ONE_TOO_MANY)


def _uuids() -> Iterator[list[str]]:
    """UUIDs of random bits (RFC 9562, section 5.4) by the system's entropy: no run repeats those of another."""
    while True:
        digits = os.urandom(_AHEAD_BYTES).hex()
        yield [
            f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{_VARIANT[one[16]]}{one[17:20]}-{one[20:]}"
            for one in (digits[at : at + 32] for at in range(0, len(digits), 32))
        ]
