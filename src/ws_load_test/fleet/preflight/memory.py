"""Check that a plan's connections fit into memory: what they need against what system and control groups leave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.common.machine import CGROUP_MOUNT, control_group
from ws_load_test.common.units import format_bytes, format_count
from ws_load_test.fleet.preflight.shortage import Shortage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.plan.plan import Plan

WORKER_BYTES = 40_000_000
"""Memory of a worker without connections: the interpreter, numpy, the histograms; measured by
`benchmarks/memory.py`."""
CONNECTION_BYTES = 4_500
"""Memory of a worker for each open connection: 3,400 to 4,400 depending on the load, measured by
`benchmarks/memory.py`, rounded up."""
TLS_BYTES = 37_000
"""Memory that TLS adds to that."""
DEFLATE_BYTES = 310_000
"""Memory that compression adds: zlib's windows and tables, (1 << 17) + (1 << 17) to deflate and (1 << 15) to inflate by
its zconf.h for the default settings, and the objects around them."""
SOCKET_BYTES = 4_500
"""Memory of the kernel for an idle TCP socket, by its own account in /proc/slabinfo. Data in flight comes on top, and
so does the target if it is on the same machine."""
COPIES_OF_CONTENTS = 4
"""Copies of the contents of messages for each worker: two of the assignment that holds them in base64, on its way, and
the decoded one."""
_MEMINFO = Path("/proc/meminfo")


class MemoryHeadroom(NamedTuple):
    """Memory that is left under one limit."""

    free_bytes: int
    remedy: str
    """The setting to change, in words that follow an "or"."""


def check_memory(plan: Plan) -> Shortage | None:
    """Returns the lack of memory; None when there is none, or no limit can be read."""
    headroom = min(headrooms(), default=None)
    if headroom is None:
        return None
    contents_bytes = COPIES_OF_CONTENTS * plan.message.contents_bytes
    in_flight_bytes = plan.message.max_bytes * plan.load.usual_in_flight
    workers_bytes = plan.workers * (WORKER_BYTES + contents_bytes + in_flight_bytes)
    each_bytes = CONNECTION_BYTES + SOCKET_BYTES + (TLS_BYTES if plan.target.secure else 0)
    each_bytes += DEFLATE_BYTES if plan.target.deflate is not None else 0
    needed_bytes = workers_bytes + plan.connections * each_bytes
    if needed_bytes <= headroom.free_bytes:
        return None
    text = (
        f"{format_count(plan.connections)} connections need about {format_bytes(needed_bytes)} of memory "
        f"({format_bytes(each_bytes)} each, in worker and kernel, and {format_bytes(workers_bytes)} for the workers), "
        f"and {format_bytes(headroom.free_bytes)} are available"
    )
    return Shortage(text, (headroom.remedy,), max(0, headroom.free_bytes - workers_bytes) // each_bytes)


def headrooms() -> Iterator[MemoryHeadroom]:
    """Yields what is left of the machine's memory, and under the limits of the control groups of this process."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(_MEMINFO), re.MULTILINE)
    if found is not None:
        yield MemoryHeadroom(int(found[1]) * 1024, "free memory on this machine")
    if (group := control_group()) is not None:
        limits = ("memory.max", "memory.high")
        yield from _group_headrooms(CGROUP_MOUNT, group, limits, "memory.current", "inactive_file")
    if (group := control_group("memory")) is not None:
        limits_v1, root = ("memory.limit_in_bytes",), CGROUP_MOUNT / "memory"
        yield from _group_headrooms(root, group, limits_v1, "memory.usage_in_bytes", "total_inactive_file")


def _group_headrooms(
    root: Path, group: Path, limits: tuple[str, ...], usage: str, cache: str
) -> Iterator[MemoryHeadroom]:
    """Yields what is left under each limit of a control group and of its parents.

    See Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

    Args:
        root: Directory of the topmost group. In a container, where the path of `group` may be that of the world
            outside, it is the container's own.
        group: Directory of the process's group.
        limits: Files that hold limits in bytes.
        usage: File that holds the bytes in use.
        cache: Line of ``memory.stat`` with the bytes that are merely cached.
    """
    for directory in (group, *(above for above in group.parents if above.is_relative_to(root))):
        used = _read(directory / usage)
        for name in limits:
            limit = _read(directory / name).strip()
            if not limit.isdigit() or not used.strip().isdigit():
                continue
            # The kernel gives back what is merely cached when memory is needed.
            cached = re.search(rf"^{cache} (\d+)$", _read(directory / "memory.stat"), re.MULTILINE)
            free_bytes = int(limit) - int(used) + (int(cached[1]) if cached else 0)
            yield MemoryHeadroom(
                max(0, free_bytes), f"raise {directory / name}, the memory limit of this container or service"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
