"""Monotonic clock in nanoseconds, time of day, and the interface of timers."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

monotonic_ns = time.monotonic_ns
"""Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share, so workers can start at one instant."""


def utc_now() -> str:
    """Returns the time of day as recordings have it: ISO 8601 in UTC, ``2026-03-01T12:00:00.123456Z``."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Timer(Protocol):
    """One callback at one instant; arming again replaces the instant."""

    def arm(self, at_ns: int) -> None:
        """Calls back at this monotonic instant, or as soon as possible if it has passed."""
        ...

    def close(self) -> None:
        """Disarms for good."""
        ...
