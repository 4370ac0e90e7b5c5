"""Precise timers: a timerfd on Linux, the event loop's own timers elsewhere.

The timers of uvloop and of asyncio's selectors count milliseconds. A timerfd that is armed for an absolute instant and
watched like a socket wakes the loop about 10 µs late.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from array import array
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, Timer, monotonic_ns

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_EXPIRIES_BYTES = 8
_SECONDS, _NANOSECONDS = 2, 3
"""Places of an instant in ``struct itimerspec``, behind those of the interval (timerfd_settime(2))."""
_HAS_TIMERFD = sys.platform == "linux"


def new_timer(callback: Callable[[], None]) -> Timer:
    """Returns the most precise timer of this platform, on the running loop."""
    return TimerfdTimer(callback) if _HAS_TIMERFD else LoopTimer(callback)


class TimerfdTimer:
    """A timer of the kernel (timerfd_create(2))."""

    def __init__(self, callback: Callable[[], None]) -> None:
        """Creates the descriptor. Raises OSError if the kernel refuses."""
        # Python has os.timerfd_create from 3.13; one way for all versions is one way to test.
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._set_time = libc.timerfd_settime
        # Converters that are known, and a column of numbers, save half of the 3 µs of the call and of a structure.
        self._set_time.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._spec = array("l", (0, 0, 0, 0))
        """Interval and instant, each in seconds and ns: ``struct itimerspec``."""
        self._address = self._spec.buffer_info()[0]
        self._callback = callback
        self._armed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_expiry)

    def arm(self, at_ns: int) -> None:
        """Calls back once at this monotonic instant; an earlier expiry that is still unread is dropped."""
        self._armed = True
        # All zero would disarm it.
        at_ns = max(at_ns, 1)
        spec = self._spec
        spec[_SECONDS] = at_ns // NS_PER_S
        spec[_NANOSECONDS] = at_ns % NS_PER_S
        if self._set_time(self._fd, _ABSOLUTE, self._address, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def _on_expiry(self) -> None:
        self._armed = False
        self._callback()
        if not self._armed and self._fd >= 0:
            # An unread expiry stays readable, and the loop would call back again and again.
            with contextlib.suppress(BlockingIOError):
                os.read(self._fd, _EXPIRIES_BYTES)

    def close(self) -> None:
        """Closes the descriptor."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


class LoopTimer:
    """A timer of the event loop, with a resolution of a millisecond."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at_ns: int) -> None:
        """Calls back at this monotonic instant or up to a millisecond later."""
        self.close()
        delay_s = max(0, at_ns - monotonic_ns()) / NS_PER_S
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._callback)

    def close(self) -> None:
        """Cancels the callback."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
