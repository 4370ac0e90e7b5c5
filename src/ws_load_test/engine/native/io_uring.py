"""Reasons why io_uring cannot be used. It is tried: containers often forbid it, and old kernels lack a part of it."""

from __future__ import annotations

import errno
import os
from functools import cache

from ws_load_test.engine.native import reactor

HINTS = {
    errno.ENOSYS: "this kernel has none",
    errno.EPERM: "forbidden here, as in most containers, or by kernel.io_uring_disabled",
    errno.EINVAL: "this kernel is older than 6.1",
}
"""For an errno, what it usually means."""


@cache
def why_no_io_uring() -> str:
    """Returns why this process cannot use io_uring; empty if it can."""
    found = reactor.why_no_io_uring()
    if found is None:
        return ""
    call, error = found
    if not error:
        return f"{call} does not work here"
    hint = f", {HINTS[error]}" if error in HINTS else ""
    return f"{call}: {os.strerror(error)}{hint}"
