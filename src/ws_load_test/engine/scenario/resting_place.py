"""Resting place of the code of a session, from where it goes on within the call that ends the rest.

A future of asyncio goes on in the next turn of the loop: that is another look for sockets that have data, and a few
objects, some 10 µs where a worker has just woken. To a task this is a future like any other (`asyncio.isfuture`): a
task looks for the five names below, and `asyncio.timeout` and `Task.cancel` work as always.
"""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context


class RestingPlace:
    """The place of one session; the code of one task rests there at a time, again and again."""

    __slots__ = ("_asyncio_future_blocking", "_call_off", "_context", "_go_on", "_loop", "is_taken")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asyncio_future_blocking = False
        self._go_on: Callable[[RestingPlace], object] | None = None
        """Lets the task that rests go on; None: none does."""
        self._context: Context | None = None
        self._call_off: asyncio.CancelledError | None = None
        """The task is to be cancelled as soon as it goes on."""
        self.is_taken = False
        """Code rests here, or has not gone on yet."""

    def __await__(self) -> Generator[RestingPlace, None, None]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self.is_taken = self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.is_taken = False

    @types.coroutine
    def for_a_turn(self) -> Generator[None, None, None]:
        """Rests for one turn of the loop, which nothing ends before."""
        self.is_taken = True
        try:
            yield
        finally:
            self.is_taken = False

    def end(self, *, later: bool = False) -> None:
        """Lets the code go on, if some rests: at once, or in the next turn of the loop.

        At once is impossible within another task: one of asyncio does not begin within one.
        """
        go_on, context, loop = self._go_on, self._context, self._loop
        if go_on is None or context is None or loop is None:
            return
        self._go_on = None
        if later or asyncio.current_task(loop) is not None:
            loop.call_soon(go_on, self, context=context)
        else:
            context.run(go_on, self)

    # --- What a task looks for ----------------------------------------------------------------------------------------

    def add_done_callback(self, callback: Callable[[RestingPlace], object], *, context: Context) -> None:
        """Keeps what lets the task go on, and the context that its code runs in."""
        self._go_on, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """Lets the task go on with a cancellation. Returns False if it is going on already."""
        if self._go_on is None:
            return False
        self._call_off = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.end(later=True)
        return True

    def result(self) -> None:
        """Returns at once; raises CancelledError if the task is to be cancelled."""
        if self._call_off is not None:
            error, self._call_off = self._call_off, None
            raise error
