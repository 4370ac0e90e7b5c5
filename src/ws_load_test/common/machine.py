"""Facts of this machine: cores, open files, control groups."""

from __future__ import annotations

import os
from pathlib import Path

BASE_FDS_PER_WORKER = 64
"""File descriptors of a worker besides its connections: for pipes, the event loop and libraries; rounded up."""
UNLIMITED_FILES = 1 << 40
"""Stands for no limit on open files: more than any plan needs."""
CGROUP_MOUNT = Path("/sys/fs/cgroup")
"""Directory in which Linux shows its control groups."""
_OWN_CGROUPS = Path("/proc/self/cgroup")


def default_workers(connections: int = 1, *, beside_target: bool = False) -> int:
    """Returns one worker per core of this process, or more if the connections need more open files than that allows.

    Beside a target on the same machine, which needs cores as well, it is half of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if beside_target:
        cores = max(1, cores // 2)
    connections_per_worker = max_open_files() - BASE_FDS_PER_WORKER
    return max(cores, -(-connections // connections_per_worker)) if connections_per_worker > 0 else cores


def max_open_files() -> int:
    """Returns the hard limit on the open files of a process; `UNLIMITED_FILES` if there is none."""
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return UNLIMITED_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard


def control_group(controller: str = "") -> Path | None:
    """Returns the directory of the control group that this process is in; None where there is none to be read.

    See cgroups(7). Inside a container the path may be that of the world outside, where it does not exist.

    Args:
        controller: Of version 1, whose controllers have groups of their own, such as ``memory``; empty: version 2.
    """
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if controller and controller in controllers.split(","):
            return CGROUP_MOUNT / controller / path.strip("/")
        if not controller and number == "0":
            return CGROUP_MOUNT / path.strip("/")
    return None
