"""Values of ``{my.NAME}``: what a session has captured, set before a message of it is rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPTURED = "captured"
"""Name of the `Captured` in the expressions of fields."""


class Captured:
    """Values that the session has captured whose message is rendered next; the same object for all of a worker.

    A session sets `values` to a mapping of its own before it renders. A value that it has not captured, as one that a
    reaction would have brought, is an empty text.
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values: Mapping[str, str] = {} if values is None else values
        """Name of each capture -> its value, as text."""
