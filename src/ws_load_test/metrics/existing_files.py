"""Files that are there already, and their loss: a recording is the only copy of what a run measured."""

from __future__ import annotations

import contextlib
import os
import stat

from ws_load_test.common.errors import UsageError

_HEADER_BYTES = 64
"""Bytes at the beginning of a file within which a recording shows its kind."""


def refuse_overwriting(path: str | os.PathLike[str]) -> None:
    """Checks that a recording can be written without the loss of another file; empty files, pipes and devices can be.

    Raises:
        UsageError: There is such a file.
    """
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)  # noqa: PTH116 - a path of any kind
        if stat.S_ISREG(status.st_mode) and status.st_size:
            what = "is a recording already" if is_recording(path) else "is there already, and not empty"
            raise UsageError(
                f"--output: {os.fspath(path)} {what}; name another file, or add --force to lose what it holds"
            )


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Returns True for a file that begins as a recording does."""
    try:
        # Never a pipe, which would wait for its other end.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return b'"kind":"header"' in file.read(_HEADER_BYTES).replace(b" ", b"")
    except (OSError, ValueError):
        return False
