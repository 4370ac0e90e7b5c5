"""Who has not been heard of for too long: pure arithmetic on instants that the caller gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ws_load_test.common.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
PAUSE_NS = NS_PER_S
"""When nobody has listened for longer than this, nobody can have been heard."""


class HeartbeatMonitor(Generic[K]):
    """Keeps when each of some was heard last, and tells who is silent for too long."""

    def __init__(self) -> None:
        self._until_ns: dict[K, int] = {}
        self._patience_ns: dict[K, int] = {}
        self._looked_ns: int | None = None

    def expect(self, key: K, patience_ns: int, now_ns: int, grace_ns: int = 0) -> None:
        """Somebody will be heard at least every `patience_ns`, the first time up to `grace_ns` later."""
        self._patience_ns[key] = patience_ns
        self._until_ns[key] = now_ns + patience_ns + grace_ns

    def heard(self, key: K, now_ns: int) -> None:
        """Somebody was heard; nothing is made of one who is not expected."""
        if key in self._until_ns:
            self._until_ns[key] = now_ns + self._patience_ns[key]

    def forget(self, key: K) -> None:
        """Somebody need not be heard any more."""
        self._until_ns.pop(key, None)

    def overdue(self, now_ns: int) -> list[K]:
        """Returns those who have been silent for too long, and forgets them; to be called several times a second.

        Where it was not (this process was stopped, its machine asleep), everybody gets that time on top.
        """
        if self._looked_ns is not None and now_ns - self._looked_ns > PAUSE_NS:
            deaf_ns = now_ns - self._looked_ns
            self._until_ns = {key: until_ns + deaf_ns for key, until_ns in self._until_ns.items()}
        self._looked_ns = now_ns
        found = [key for key, until_ns in self._until_ns.items() if until_ns < now_ns]
        for key in found:
            self.forget(key)
        return found
