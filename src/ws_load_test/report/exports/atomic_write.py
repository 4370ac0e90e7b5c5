"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING

from ws_load_test.common.errors import OutputError, cause_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DESCRIPTORS = ("/dev", "/dev/fd", "/proc/self/fd")
"""Folders whose names stand for open descriptors, which a file must not replace."""


def write_atomic(path: str, parts: Iterable[str]) -> None:
    """Writes a text in UTF-8 to a temporary file beside `path`, which then takes its place.

    A reader of `path` finds the earlier contents or all of the text. A file that exists keeps its permissions,
    a link stays a link, and what is no file (a pipe, a device) is simply written to.

    Raises:
        OutputError: It cannot be written; a file that was there before is as it was.
    """
    with _with_reason(path):
        if _is_stream(path):
            with open(path, "wb", opener=_open_stream) as stream:
                stream.writelines(_encoded(parts))
            return
        # Not the link itself, which must stay a link.
        target = os.path.realpath(path)
        if os.path.isdir(target):  # noqa: PTH112
            raise IsADirectoryError(None, "is a directory")
        beside = os.path.join(os.path.dirname(target), f".ws-load-test-{secrets.token_hex(8)}.tmp")  # noqa: PTH118, PTH120
        try:
            # Not by tempfile, whose files only their owner can read: a new file has the usual permissions.
            with open(beside, "xb") as file:  # noqa: PTH123
                file.writelines(_encoded(parts))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.chmod(beside, os.stat(target).st_mode & 0o7777)  # noqa: PTH101, PTH116
            os.replace(beside, target)  # noqa: PTH105
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)  # noqa: PTH108
            raise


def _open_stream(path: str, flags: int) -> int:
    """Opens what is no file; a pipe without a reader is an error and not waited for."""
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "it is a pipe that no program reads") from None
        raise
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return descriptor


def append_atomic(path: str, parts: Iterable[str]) -> None:
    """Writes a text in UTF-8 to the end of a file that others write to as well.

    Raises:
        OutputError: It cannot be written; what was written of it is taken back.
    """
    with _with_reason(path), open(path, "ab", buffering=0) as file:  # noqa: PTH123
        data = memoryview(b"".join(_encoded(parts)))
        size, written = os.fstat(file.fileno()).st_size, 0
        try:
            while written < len(data):
                written += file.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def same_file(one: str, other: str) -> bool:
    """Returns True where two paths name the same file, which need not exist yet."""
    with contextlib.suppress(OSError, ValueError):
        return os.path.samefile(one, other)  # noqa: PTH121
    return _real(one) == _real(other)


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return path


def why_unwritable(path: str) -> str | None:
    """Returns the reason why a file cannot be written; None where it probably can, which only writing it proves."""
    try:
        if _is_stream(path):
            return None
        target = os.path.realpath(path)
        folder = os.path.dirname(target)  # noqa: PTH120
        if os.path.isdir(target):  # noqa: PTH112
            return "is a directory"
        if not os.path.isdir(folder):  # noqa: PTH112
            return f"there is no directory {folder}"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"the directory {folder} may not be written to"
    except (OSError, ValueError) as error:
        return cause_of(error)


def _is_stream(path: str) -> bool:
    if os.path.dirname(os.path.abspath(path)) in _DESCRIPTORS:  # noqa: PTH100, PTH120
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)  # noqa: PTH110, PTH112, PTH113


def _encoded(parts: Iterable[str]) -> Iterator[bytes]:
    return (part.encode("utf-8", "replace") for part in parts)


@contextlib.contextmanager
def _with_reason(path: str) -> Iterator[None]:
    if "\0" in path:
        raise OutputError("cannot write a file whose name holds a NUL character; name another file")
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {cause_of(error)}; name another file") from error
