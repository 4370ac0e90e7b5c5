"""A run, and the signals that end it early."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.api import Result, Run

_log = logging.getLogger("ws_load_test")


async def run_with_signals(run: Run) -> Result:
    """Runs to the end, and hears the signals: the first stops the run, the second ends it at once."""
    executing = asyncio.create_task(run.execute())
    asked = 0

    def interrupt() -> None:
        nonlocal asked
        asked += 1
        if run.fleet is None:
            executing.cancel()
        elif asked == 1:
            _log.warning("stopping: waiting for replies, then the report; once more to leave at once")
            run.fleet.stop()
        else:
            run.fleet.kill()

    on_signals(interrupt)
    try:
        return await executing
    except asyncio.CancelledError:
        # Ctrl-C before there was anything to stop.
        raise KeyboardInterrupt from None


def on_signals(interrupt: Callable[[], None]) -> None:
    """Calls `interrupt` at Ctrl-C, and when the process is told to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        except NotImplementedError:
            # Windows: Ctrl-C ends the run as it ends any program there.
            break
