"""Numbers of messages with zeros before them: the field ``{seq:8}``."""

from __future__ import annotations

from dataclasses import dataclass

from ws_load_test.messages.template_field import FieldScope, FieldText, TemplateField

COUNTER_DIGITS = 19
"""Digits of the largest 63-bit number: message and connection numbers are counted in 64 bits."""


@dataclass(frozen=True, slots=True)
class PaddedMessageNumber(TemplateField):
    """``{seq:8}``."""

    digits: int
    """Fewest digits."""

    name = "seq:N"
    example = "{seq:8}"
    help = "the same with 8 digits, for formats in which lengths stand before texts"

    @classmethod
    def pattern(cls) -> str:
        """Returns a regular expression of any number of digits."""
        return r"seq:\d+"

    @classmethod
    def parse(cls, text: FieldText) -> PaddedMessageNumber:
        """Reads the number of digits. Raises ValueError if it is none from 1 to 19."""
        digits = text.argument or ""
        if not (digits.isascii() and digits.isdigit() and len(digits) < 3 and 1 <= int(digits) <= COUNTER_DIGITS):
            raise ValueError(
                f"{text.written}: write a number of digits from 1 to {COUNTER_DIGITS}, for example {cls.example}"
            )
        return cls(int(digits))

    @property
    def label(self) -> str:
        """``seq:8``."""
        return f"seq:{self.digits}"

    @property
    def max_bytes(self) -> int:
        """Digits of the largest number."""
        return COUNTER_DIGITS

    def expression(self, scope: FieldScope) -> str:  # noqa: ARG002
        """The number that the renderer gets, with zeros before it."""
        return f"'%0{self.digits}d' % number"
