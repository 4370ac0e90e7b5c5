"""Event loop (uvloop where it exists, asyncio's own elsewhere), and jobs beside a block on it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on the fastest loop of this platform."""
    try:
        import uvloop  # noqa: PLC0415 - it has no Windows wheels
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


@contextlib.asynccontextmanager
async def run_beside(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs beside the block, and cancels them with its end; a job that fails ends the block.

    Raises:
        ExceptionGroup: The error of a job, or of the block.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        yield
        for task in tasks:
            task.cancel()
