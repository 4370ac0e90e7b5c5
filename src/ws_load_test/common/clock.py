"""Monotonic clock in nanoseconds, and the interface of timers."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

monotonic_ns = time.monotonic_ns
"""Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share, so workers can start at one instant."""


class Timer(Protocol):
    """One callback at one instant; arming again replaces the instant."""

    def arm(self, at_ns: int) -> None:
        """Calls back at this monotonic instant, or as soon as possible if it has passed."""
        ...

    def close(self) -> None:
        """Disarms for good."""
        ...
