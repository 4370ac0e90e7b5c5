"""Clusters on the command line: the options that have a run carried out there, and `cluster up`, which starts one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ws_load_test.cli.signals import on_signals
from ws_load_test.common.errors import (
    ExitCode,
    OptionProblem,
    PlanError,
    UsageError,
    option_name,
)
from ws_load_test.fleet.cluster.spec import ON_WORKER_LOST, Cluster
from ws_load_test.plan.values import positive_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.plan.plan import Plan

_FILES = ("cluster_ca", "cluster_cert", "cluster_key")
_OF_CLUSTERS = ("hosts", "on_worker_lost", "insecure_cluster", *_FILES)


def pop_cluster_options(options: dict[str, Any]) -> dict[str, Cluster]:
    """Takes what is a cluster's out of the options, and returns it as ``cluster``; nothing where none is named.

    Raises:
        PlanError: with every problem that these options have.
    """
    found = {name: value for name in _OF_CLUSTERS if (value := options.pop(name, None)) is not None}
    place = options.pop("cluster", None)
    if place is None:
        problems = [OptionProblem(option_name(name), "needs a cluster; add --cluster ADDRESS") for name in found]
        if problems:
            raise PlanError(tuple(problems))
        return {}
    # Of each host there, and of the whole plan where it is run here.
    found["workers"] = options.pop("workers", None)
    problems = [OptionProblem("--cluster", f'"{place}" is not text')] if not isinstance(place, str) else []
    values: dict[str, Any] = {}
    for name in ("hosts", "workers"):
        try:
            values[name] = None if found.get(name) is None else positive_int(found[name])
        except (ValueError, TypeError) as error:
            problems.append(OptionProblem(option_name(name), str(error)))
    lost = found.get("on_worker_lost", "continue")
    if lost not in ON_WORKER_LOST:
        problems.append(OptionProblem("--on-worker-lost", f'"{lost}" is neither {" nor ".join(ON_WORKER_LOST)}'))
    if not isinstance(found.get("insecure_cluster", False), bool):
        problems.append(OptionProblem("--insecure-cluster", f'"{found["insecure_cluster"]}" is not true or false'))
    problems += [
        OptionProblem(option_name(name), f'"{found[name]}" is not text')
        for name in _FILES
        if name in found and not isinstance(found[name], str)
    ]
    if problems:
        raise PlanError(tuple(problems))
    files = {name.removeprefix("cluster_"): found.get(name) for name in _FILES}
    cluster = Cluster(str(place), on_worker_lost=lost, insecure=bool(found.get("insecure_cluster")), **values, **files)
    cluster.resolve_address()
    return {"cluster": cluster}


def describe(plan: Plan, cluster: Cluster | None) -> list[tuple[str, str]]:
    """The plan in words, and where it is carried out."""
    lines = plan.describe()
    if cluster is None:
        return lines
    theirs = cluster.describe()
    return [line for line in lines if line[0] not in dict(theirs)] + theirs


def cluster_up(
    ssh: Sequence[str], python: str | None = None, config: str | None = None, port: int = 8786, idle: str = "1 h"
) -> int:
    """``ws-load-test cluster up``: until Ctrl-C."""
    try:
        from ws_load_test.fleet.cluster.ssh import (
            RunningCluster,
            SshClusterSpec,
            keep_running,
            read_names,
        )
    except ImportError as error:
        raise UsageError(
            f"cluster: {error.name} is not installed; install it with `pip install 'ws-load-test[cluster]'`"
        ) from None
    hosts = SshClusterSpec(read_names(ssh), python=python, config=config, port=port, idle_timeout=idle)

    def ready(up: RunningCluster) -> None:
        print(f"the cluster is up; Ctrl-C ends it, and so does {hosts.idle_timeout} without a run. Run on it with")
        print(f"  ws-load-test URL {up.options}", flush=True)

    async def main() -> None:
        over = asyncio.Event()
        holding = asyncio.create_task(keep_running(hosts, ready, over))

        def end() -> None:
            # The second time, or while it is still starting, as well.
            if over.is_set():
                holding.cancel()
            over.set()

        on_signals(end)
        await holding

    asyncio.run(main())
    return ExitCode.PASSED
