"""Choice of the event loop: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on the fastest loop of this platform."""
    try:
        import uvloop  # noqa: PLC0415 - it has no Windows wheels
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
