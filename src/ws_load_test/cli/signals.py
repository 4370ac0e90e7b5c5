"""A run, and the signals that end it early."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.api import Result, Run

_log = logging.getLogger(__name__)


async def run_with_signals(run: Run) -> Result:
    """Runs to the end; the first signal ends the run in order; the second, or SIGQUIT, at once."""
    executing = asyncio.create_task(run.execute())
    received = 0

    def interrupt() -> None:
        nonlocal received
        received += 1
        if received > 1:
            run.interrupt()
            return
        if run.fleet is not None:
            _log.warning("stopping: waiting for replies, then the report; once more to leave at once")
        run.interrupt_in_order()

    on_signals(interrupt)
    _handle(run.interrupt, ("SIGQUIT",))
    try:
        return await executing
    except asyncio.CancelledError:
        # Ctrl-C before there was anything to stop.
        raise KeyboardInterrupt from None


def on_signals(interrupt: Callable[[], None]) -> None:
    """Calls `interrupt` at SIGINT (Ctrl-C), at SIGTERM, and at SIGHUP (the terminal goes away)."""
    _handle(interrupt, ("SIGINT", "SIGTERM", "SIGHUP"))


def _handle(action: Callable[[], None], names: Sequence[str]) -> None:
    for name in names:
        number = getattr(signal, name, None)
        # What was started with `nohup` goes on without its terminal.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        try:
            asyncio.get_running_loop().add_signal_handler(number, action)
        except NotImplementedError:
            # Windows: Ctrl-C ends the run as it ends any program there.
            break
