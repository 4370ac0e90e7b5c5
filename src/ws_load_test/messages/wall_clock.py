"""Fields of the wall clock besides that of milliseconds: seconds, and the text of ISO 8601."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ws_load_test.messages.template_field import PlainField

if TYPE_CHECKING:
    from ws_load_test.messages.template_field import FieldScope

EPOCH_S_DIGITS = 10
"""Digits of the seconds since 1970, until the year 2286."""
ISO_CHARACTERS = 24
"""Characters of a date and time with milliseconds, in UTC."""


class WallClockS(PlainField):
    """``{now_s}``."""

    __slots__ = ()

    name = "now_s"
    example = "{now_s}"
    help = "wall clock: seconds since 1970"

    @property
    def max_bytes(self) -> int:
        """Digits of the seconds since 1970."""
        return EPOCH_S_DIGITS

    def expression(self, scope: FieldScope) -> str:
        """A reading of the clock."""
        return scope.bind("time_ns", lambda: time.time_ns) + "() // 1_000_000_000"


class WallClockIso(PlainField):
    """``{now_iso}``."""

    __slots__ = ()

    name = "now_iso"
    example = "{now_iso}"
    help = "wall clock in UTC, as ISO 8601 writes it: 2026-11-28T09:30:00.123Z"

    @property
    def max_bytes(self) -> int:
        """Characters of every such text."""
        return ISO_CHARACTERS

    def expression(self, scope: FieldScope) -> str:
        """A call that reads the clock."""
        return scope.bind("iso_now", lambda: iso_now) + "()"


def iso_now() -> str:
    """Returns the wall clock with milliseconds, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
