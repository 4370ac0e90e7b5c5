"""How a worker's process ended, in words that hold no secret."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from ws_load_test.common.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

STDERR_TAIL_LINES = 5
"""Lines of a worker's standard error that are kept."""
_CRASH = re.compile(r"[\s|+-]*((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt))\b")


def exit_reason(code: int, words: Sequence[str]) -> str:
    """Tells of an exit code, and of the last words to standard error as much as may be told."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"its process was killed ({name})"
    if code == ExitCode.USAGE and words:
        return f"its process ended with code {code}: {words[-1]}"
    # Of a crash its kind and no more: what an exception quotes may be a secret.
    kinds = [found[1] for word in words if (found := _CRASH.match(word))]
    return f"its process ended with code {code}" + (f": {kinds[-1]}" if kinds else "")
