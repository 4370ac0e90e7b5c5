"""Choice of the fleet that runs a plan: processes of this machine, or of the hosts of a cluster."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError
from ws_load_test.fleet.local import LocalFleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ws_load_test.fleet.base import FleetFactory
    from ws_load_test.fleet.cluster.dask_fleet import DaskFleet
    from ws_load_test.fleet.cluster.membership import ClusterMembership
    from ws_load_test.fleet.cluster.spec import Cluster


def fleet_factory(cluster: Cluster | None) -> FleetFactory:
    """Returns the factory of a run's fleet: on a cluster, or with None on this machine.

    Raises:
        UsageError: The extra ``cluster`` is not installed.
    """
    if cluster is None:
        return LocalFleet
    fleet, membership = _cluster_classes()
    return lambda plan, on_interval, interval_ns: fleet(membership(cluster), plan, on_interval, interval_ns)


@contextlib.asynccontextmanager
async def shared_fleets(cluster: Cluster | None) -> AsyncIterator[FleetFactory]:
    """Yields the factory of the fleets of several runs, one after another: the first joins the cluster for all.

    The end of the block leaves it, and leaves no process and no file on any host.

    Raises:
        UsageError: The extra ``cluster`` is not installed.
    """
    if cluster is None:
        yield LocalFleet
        return
    fleet, membership = _cluster_classes()
    shared = membership(cluster)
    try:
        yield partial(fleet, shared, stays=True)
    finally:
        await shared.leave()


def _cluster_classes() -> tuple[type[DaskFleet], type[ClusterMembership]]:
    try:
        from ws_load_test.fleet.cluster.dask_fleet import DaskFleet  # noqa: PLC0415 - an extra
        from ws_load_test.fleet.cluster.membership import ClusterMembership  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"--cluster: needs Dask distributed ({error.name} is not installed); "
            "install it with `pip install 'ws-load-test[cluster]'`"
        ) from None
    return DaskFleet, ClusterMembership
