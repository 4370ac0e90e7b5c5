"""Clusters on the command line: the options that have a run carried out there, and `cluster up`, which starts one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ws_load_test.cli.signals import on_signals
from ws_load_test.common.errors import (
    ExitCode,
    PlanError,
    UsageError,
)
from ws_load_test.fleet.cluster.spec import Cluster
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options.catalog import BY_NAME, missing_companions, owned_by, parse_options
from ws_load_test.plan.options.spec import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.plan.plan import Plan


def pop_cluster_options(options: dict[str, Any]) -> dict[str, Cluster]:
    """Takes what is a cluster's out of the options, and returns it as ``cluster``; nothing where none is named.

    Raises:
        PlanError: with every problem that these options have.
    """
    given = {
        option.name: value
        for option in owned_by(Owner.CLUSTER)
        # A flag that says no asks for nothing.
        if (value := options.pop(option.name, None)) is not None and value is not False
    }
    rows = owned_by(Owner.CLUSTER)
    if "cluster" in given and options.get("workers") is not None:
        # Workers of each host there; of the whole plan where it is run here.
        given["workers"] = options.pop("workers")
        rows = (*rows, BY_NAME["workers"])
    values, problems = parse_options(given, rows)
    problems += missing_companions(values, given)
    if problems:
        raise PlanError(tuple(problems))
    if "cluster" not in given:
        return {}
    cluster = Cluster(
        values["cluster"],
        hosts=values.get("hosts"),
        workers=values.get("workers"),
        on_worker_lost=values.get("on_worker_lost", "continue"),
        insecure=values.get("insecure_cluster", False),
        ca=values.get("cluster_ca"),
        cert=values.get("cluster_cert"),
        key=values.get("cluster_key"),
    )
    cluster.resolve_address()
    return {"cluster": cluster}


def describe(plan: Plan, cluster: Cluster | None) -> list[tuple[str, str]]:
    """The plan in words, and where it is carried out."""
    lines = describe_plan(plan)
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
