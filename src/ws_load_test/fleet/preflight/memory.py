"""Whether a plan's connections find memory: what they take, against what the system and its control groups leave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.common.units import format_bytes, format_count
from ws_load_test.fleet.preflight.shortage import Shortage
from ws_load_test.plan.load import ClosedLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.plan.plan import Plan

WORKER_BYTES = 40_000_000
"""A worker without connections: the interpreter, numpy, the histograms. As `benchmarks/memory.py` measures it."""
CONNECTION_BYTES = 4_500
"""What a worker keeps for an open connection, 3,400 to 4,400 depending on the load. As `benchmarks/memory.py`
measures it."""
TLS_BYTES = 37_000
"""What TLS adds to that."""
DEFLATE_BYTES = 310_000
"""What compression adds: zlib's windows and tables, (1 << 17) + (1 << 17) to deflate and (1 << 15) to inflate, as its
zconf.h has them for the default settings, and some more for what uses them."""
SOCKET_BYTES = 4_500
"""What the kernel keeps for an idle TCP socket, by its own account in /proc/slabinfo; what is on its way comes on top,
and so does the target, should it stand on the same machine."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


class MemoryHeadroom(NamedTuple):
    """Memory that may still be taken, and the setting that says so."""

    free_bytes: int
    remedy: str


def check_memory(plan: Plan) -> Shortage | None:
    """What is missing, as far as it can be told; None where nothing is, or nothing can be read."""
    room = min(headrooms(), default=None)
    if room is None:
        return None
    in_flight = plan.load.in_flight if isinstance(plan.load, ClosedLoop) else 1
    workers_bytes = plan.workers * (WORKER_BYTES + plan.message.max_bytes * in_flight)
    each_bytes = CONNECTION_BYTES + SOCKET_BYTES + (TLS_BYTES if plan.target.secure else 0)
    each_bytes += DEFLATE_BYTES if plan.target.deflate is not None else 0
    needed_bytes = workers_bytes + plan.connections * each_bytes
    if needed_bytes <= room.free_bytes:
        return None
    text = (
        f"{format_count(plan.connections)} connections need about {format_bytes(needed_bytes)} of memory "
        f"({format_bytes(each_bytes)} each, in worker and kernel, and {format_bytes(workers_bytes)} for the workers), "
        f"and {format_bytes(room.free_bytes)} are available"
    )
    return Shortage(text, (room.remedy,), max(0, room.free_bytes - workers_bytes) // each_bytes)


def headrooms() -> Iterator[MemoryHeadroom]:
    """What the machine leaves, and each control group that this process is in."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(_MEMINFO), re.MULTILINE)
    if found is not None:
        yield MemoryHeadroom(int(found[1]) * 1024, "free memory on this machine")
    for line in _read(_CGROUP).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _rooms_of(_CGROUPS, path, ("memory.max", "memory.high"), "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes",)
            yield from _rooms_of(_CGROUPS / "memory", path, names, "memory.usage_in_bytes", "total_inactive_file")


def _rooms_of(root: Path, path: str, limits: tuple[str, ...], usage: str, cache: str) -> Iterator[MemoryHeadroom]:
    """The limits of a control group and of those above it (Linux, Documentation/admin-guide/cgroup-v2.rst)."""
    group = root / path.strip("/")
    # Inside a container the path may be that of the world outside, and the root is the container's own group.
    for directory in (group, *(above for above in group.parents if above.is_relative_to(root))):
        used = _read(directory / usage)
        for name in limits:
            limit = _read(directory / name).strip()
            if not limit.isdigit() or not used.strip().isdigit():
                continue
            # What is merely cached is given back when it is wanted.
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
