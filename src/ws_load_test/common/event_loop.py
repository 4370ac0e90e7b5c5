"""Event loop (uvloop where it exists, asyncio's own elsewhere), and jobs beside a block on it."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on the fastest loop of this platform."""
    try:
        import uvloop  # noqa: PLC0415 - it has no Windows wheels
    except ImportError:
        return asyncio.run(main)
    keep_resource_warnings_harmless()
    return uvloop.run(main)


def keep_resource_warnings_harmless() -> None:
    """Shows a ResourceWarning where Python was asked to raise it (``PYTHONWARNINGS=error``).

    uvloop warns of what is still open while it closes it, in a callback of C: an exception there leaves the handle
    open, and the end of the loop waits for it without end. To be called before uvloop runs.
    """
    if any(action == "error" and issubclass(ResourceWarning, kind) for action, _, kind, *_ in warnings.filters):
        warnings.filterwarnings("default", category=ResourceWarning)


def run_blocking(execute: Callable[[], Coroutine[Any, Any, T]], interrupt: Callable[[], None]) -> T:
    """Runs a coroutine to its end, in a thread of its own where a loop already runs in this one.

    A notebook runs its cells inside a loop, where a second one cannot run in the same thread. `interrupt` must end the
    coroutine from another thread; it is called at Ctrl-C there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(execute())
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, execute())
        try:
            return running.result()
        except KeyboardInterrupt:
            interrupt()
            raise


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
