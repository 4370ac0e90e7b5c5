"""Whether this machine can carry a plan, asked before anything is opened."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from ws_load_test.engine.dial import tls_context
from ws_load_test.errors import HostError
from ws_load_test.pace import Share
from ws_load_test.plan import FILES_OF_A_WORKER, default_workers
from ws_load_test.units import show_count

if TYPE_CHECKING:
    from ws_load_test.plan import Plan


def prepare(plan: Plan) -> None:
    """Raises this machine's soft limits as far as the plan needs; workers inherit them.

    Raises:
        HostError: the machine cannot carry the plan; says the most that it can, and what to change.
        UsageError: the plan's certificates cannot be used.
    """
    tls_context(plan.target)
    _allow_open_files(plan)


def _allow_open_files(plan: Plan) -> None:
    try:
        import resource  # noqa: PLC0415 - Windows has no such limit, and no such module
    except ImportError:
        return
    needed = plan.connections_of(Share(0, plan.workers)) + FILES_OF_A_WORKER
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        room = hard - FILES_OF_A_WORKER
        remedies = [f"raise the limit with `ulimit -Hn {needed}` as root"]
        if room > 0:
            remedies.append(f"use -w {-(-plan.connections // room)} or more workers")
        remedies.append(f"lower -c to {show_count(max(0, room) * plan.workers)}")
        workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
        wanted = show_count(plan.connections)
        raise HostError(
            f"--connections: {wanted} connections on {workers} need {show_count(needed)} open files "
            f"in each, and this machine's hard limit is {show_count(hard)}; {', or '.join(remedies)}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def facts() -> dict[str, Any]:
    """What a recording says about the machine that made it."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": default_workers(),
    }
