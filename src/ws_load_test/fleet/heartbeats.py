"""Detection of what has been silent for too long: pure arithmetic on instants that the caller gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ws_load_test.common.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
FIRST_REPORT_NS = 30 * NS_PER_S
"""Additional time for a worker's first report: the program has to start first."""
PAUSE_NS = NS_PER_S
"""Longest time between two calls of `overdue` that counts: in a longer one this process stood still, and could not
have received a sign of life."""


class HeartbeatMonitor(Generic[K]):
    """Keeps the last sign of life of each key, and finds those that are silent for too long."""

    def __init__(self) -> None:
        self._deadlines_ns: dict[K, int] = {}
        self._timeouts_ns: dict[K, int] = {}
        self._checked_ns: int | None = None

    def expect(self, key: K, timeout_ns: int, now_ns: int, grace_ns: int = 0) -> None:
        """Expects a sign of life at least every `timeout_ns`, the first one up to `grace_ns` later."""
        self._timeouts_ns[key] = timeout_ns
        self._deadlines_ns[key] = now_ns + timeout_ns + grace_ns

    def heard(self, key: K, now_ns: int) -> None:
        """Records a sign of life; ignores a key that is not expected."""
        if key in self._deadlines_ns:
            self._deadlines_ns[key] = now_ns + self._timeouts_ns[key]

    def forget(self, key: K) -> None:
        """Expects no more signs of life of a key."""
        self._deadlines_ns.pop(key, None)

    def overdue(self, now_ns: int) -> list[K]:
        """Returns the keys that have been silent for too long, and forgets them; to be called several times a second.

        Where it was not (this process was stopped, its machine asleep), every key gets that time on top.
        """
        if self._checked_ns is not None and now_ns - self._checked_ns > PAUSE_NS:
            paused_ns = now_ns - self._checked_ns
            self._deadlines_ns = {key: deadline_ns + paused_ns for key, deadline_ns in self._deadlines_ns.items()}
        self._checked_ns = now_ns
        silent = [key for key, deadline_ns in self._deadlines_ns.items() if deadline_ns < now_ns]
        for key in silent:
            self.forget(key)
        return silent
