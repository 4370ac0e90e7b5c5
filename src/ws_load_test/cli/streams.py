"""The three standard streams where they are closed, or cannot be written to."""

from __future__ import annotations

import contextlib
import os
import sys

from ws_load_test.common.errors import ExitCode, cause_of
from ws_load_test.common.version import PROGRAM


def open_closed_streams() -> None:
    """Gives each standard stream that is closed a descriptor again, before a socket or a file takes its number.

    What is written to a closed standard output is an error when it is flushed; to a closed standard error it is lost,
    because there is no place left to say so.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one. Nothing can be written to what is open for reading.
            os.set_inheritable(os.open(os.devnull, flags), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def complain(text: str, code: ExitCode) -> int:
    """Writes a sentence to standard error, where it can be written, and returns the exit code."""
    try:
        sys.stderr.write(f"{PROGRAM}: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(2)
    return code


def fail_to_print(error: OSError) -> int:
    """Gives standard output up, and returns the exit code; silently where its reader has gone, as `head` does."""
    _discard(1)
    if isinstance(error, BrokenPipeError):
        return ExitCode.OUTPUT_FAILED
    return complain(f"standard output cannot be written: {cause_of(error)}", ExitCode.OUTPUT_FAILED)


def _discard(number: int) -> None:
    """Lets what is left for a stream be lost, so that Python does not fail once more at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
