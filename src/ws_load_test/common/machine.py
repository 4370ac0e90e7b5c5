"""Facts of this machine: cores, open files."""

from __future__ import annotations

import os

BASE_FDS_PER_WORKER = 64
"""Descriptors that a worker needs beside its connections: pipes, the loop's own, libraries; rounded up."""


UNLIMITED_FILES = 1 << 40


def default_workers(connections: int = 1) -> int:
    """One worker per core that this process may use; more where one process may not have that many files open."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    room = max_open_files() - BASE_FDS_PER_WORKER
    return max(cores, -(-connections // room)) if room > 0 else cores


def max_open_files() -> int:
    """The hard limit on a process's open files; where there is none, more than anyone needs."""
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return UNLIMITED_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard
