"""Descriptions of how a worker's process ended, in words that hold no secret."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from ws_load_test.common.errors import ExitCode
from ws_load_test.worker.ipc import LEASE_EXPIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

STDERR_TAIL_LINES = 5
"""Lines of a worker's standard error that are kept: an error message is the last one, or close to it."""
_EXCEPTION_NAME = re.compile(r"[\s|+-]*((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt))\b")


def exit_reason(code: int, stderr_tail: Sequence[str]) -> str:
    """Describes an exit code, with as much of the last lines of standard error as may be shown.

    Args:
        code: The exit code, or the negative number of the signal that ended the process.
        stderr_tail: The last lines that the process wrote to standard error.
    """
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"its process was killed ({name})"
    if code == LEASE_EXPIRED:
        return "its lease ran out: no command reached it for too long, so it ended its load"
    if code == ExitCode.USAGE and stderr_tail:
        return f"its process ended with code {code}: {stderr_tail[-1]}"
    # Only the kind of an exception: its message may quote a secret.
    kinds = [found[1] for line in stderr_tail if (found := _EXCEPTION_NAME.match(line))]
    return f"its process ended with code {code}" + (f": {kinds[-1]}" if kinds else "")
