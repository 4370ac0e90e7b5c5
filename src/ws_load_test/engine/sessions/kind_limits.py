"""Limits on the kinds of faults and close codes that are counted each by itself: a target may send thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_KINDS = 50
"""Kinds of faults of one worker that are counted each by itself, and as many close codes."""
OTHER = "other"


class KindLimits:
    """Names under which a worker counts its faults and close codes: the first are counted by their own."""

    def __init__(self, conditions: Iterable[str] = ()) -> None:
        """Takes the conditions of the run: what they name is always counted by its own name."""
        self._named = " ".join(conditions)
        self._faults: set[str] = set()
        self._codes: set[str] = set()

    def fault_key(self, fault: Fault) -> str:
        """Returns the name under which a fault is counted."""
        key = fault.key
        if key in self._faults:
            return key
        if not fault.detail or len(self._faults) < MAX_KINDS or key in self._named:
            self._faults.add(key)
            return key
        return Fault(fault.kind, OTHER).key

    def code_key(self, code: int) -> str:
        """Returns the name under which a close code is counted."""
        key = str(code)
        if key not in self._codes and len(self._codes) >= MAX_KINDS and key not in self._named:
            return OTHER
        self._codes.add(key)
        return key
