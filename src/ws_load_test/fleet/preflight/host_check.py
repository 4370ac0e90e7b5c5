"""Check that this machine can carry a plan, before anything is opened."""

from __future__ import annotations

import contextlib
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import HostError
from ws_load_test.common.machine import BASE_FDS_PER_WORKER, UNLIMITED_FILES, default_workers
from ws_load_test.common.sharding import largest_size
from ws_load_test.common.units import format_count
from ws_load_test.engine.connect.source_addresses import bind, family_of
from ws_load_test.engine.connect.tls_contexts import TlsContexts
from ws_load_test.fleet.preflight.memory import check_memory
from ws_load_test.fleet.preflight.ports import check_ports
from ws_load_test.fleet.preflight.shortage import Shortage, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.plan.plan import Plan

FILES_PER_WORKER = 4
"""Files that the fleet has open for each worker: three pipes, and one while it starts."""
_NR_OPEN = Path("/proc/sys/fs/nr_open")


def check_and_raise_limits(plan: Plan) -> None:
    """Raises this process's soft limits as far as the plan needs; workers inherit them.

    Checks open files, ephemeral ports and memory, as far as the system lets them be read. Limits of the whole machine
    are not changed: the error names them.

    Raises:
        HostError: The machine cannot carry the plan; names the most that it can, and the settings to change.
        UsageError: The plan's certificates or source addresses cannot be used.
    """
    TlsContexts(plan.target)
    checks = (check_open_files(plan), check_ports(plan), check_memory(plan))
    shortages = [shortage for shortage in checks if shortage is not None]
    if shortages:
        raise HostError(explain(plan, shortages))
    _allow_open_files(plan)


def check_open_files(plan: Plan) -> Shortage | None:
    """Returns the lack of open files beyond the hard limit; None when there is none, or no limit can be read."""
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return None
    needed = _open_files(plan)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return None
    available = max(0, hard - BASE_FDS_PER_WORKER)
    # Not even root can set a limit above this one (Linux, Documentation/admin-guide/sysctl/fs.rst).
    first = f"`sysctl -w fs.nr_open={needed}` and " if needed > _highest_limit() else ""
    remedies = [f"raise the limit with {first}`ulimit -Hn {needed}` as root"]
    if available:
        remedies.append(f"use -w {-(-plan.connections // available)} or more workers")
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    text = (
        f"{format_count(plan.connections)} connections on {workers} need {format_count(needed)} open files "
        f"in each, and this machine's hard limit is {format_count(hard)}"
    )
    return Shortage(text, tuple(remedies), available * plan.workers)


def _allow_open_files(plan: Plan) -> None:
    """Raises the soft limit where it is too low.

    Raises:
        HostError: The system does not allow it.
    """
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return
    needed = _open_files(plan)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pipes = plan.workers * FILES_PER_WORKER + BASE_FDS_PER_WORKER
    needed = max(needed, pipes if hard == resource.RLIM_INFINITY else min(pipes, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):
        # macOS reports no hard limit, but has one.
        raise HostError(
            f"--connections: this system does not allow a process {format_count(needed)} open files; "
            f"raise `sysctl -w kern.maxfilesperproc={needed}` as root, or use more workers with -w"
        ) from None


def _highest_limit() -> int:
    """Returns the highest limit on open files that root can set."""
    try:
        return int(_NR_OPEN.read_text())
    except (OSError, ValueError):
        return UNLIMITED_FILES


def _open_files(plan: Plan) -> int:
    """Returns the number of files that the worker with the largest share opens."""
    return largest_size(plan.connections, plan.workers) + BASE_FDS_PER_WORKER


def local_source_addresses(sources: Sequence[str]) -> tuple[str, ...]:
    """Returns the source addresses among these that this machine has."""
    local = []
    for source in sources:
        with contextlib.suppress(OSError), socket.socket(family_of(source), socket.SOCK_STREAM) as sock:
            bind(sock, source)
            local.append(source)
    return tuple(local)


def machine_info() -> dict[str, Any]:
    """Returns the facts of this machine that a recording keeps."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": default_workers(),
    }
