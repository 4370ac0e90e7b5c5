"""Files that one process writes to at a time, and pipes that nothing waits for without end."""

from __future__ import annotations

import errno
import os
import select
import stat
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from io import FileIO

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}
"""Errors of file systems without locks."""


def open_locked(path: str) -> FileIO:
    """Opens a file to write it anew, and locks it until it is closed; what is no file is opened without waiting.

    It is unbuffered, so that nothing waits in this process when that is killed.

    Raises:
        UsageError: Another process has locked it.
        OSError: It cannot be opened, or is a pipe without a reader.
        ValueError: The path cannot be one.
    """
    # Emptied only once it is locked: another run may be writing to it.
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "it is a pipe that no program reads") from None
        raise
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            _lock(descriptor, path)
            os.ftruncate(descriptor, 0)
        return open(descriptor, "wb", buffering=0)  # noqa: PTH123
    except BaseException:
        os.close(descriptor)
        raise


def is_writable(file: FileIO, longest_s: float) -> bool:
    """Waits until a pipe takes more data; returns False where it does not within a time."""
    return bool(select.select((), (file,), (), longest_s)[1])


def _lock(descriptor: int, path: str) -> None:
    try:
        import fcntl  # noqa: PLC0415 - Windows has no such module
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another run is writing the recording {path}; name another file") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
