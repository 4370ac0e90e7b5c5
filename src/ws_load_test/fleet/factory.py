"""Choice of the fleet that runs a plan: processes of this machine, or of the hosts of a cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ws_load_test.common.errors import UsageError
from ws_load_test.fleet.local import LocalFleet

if TYPE_CHECKING:
    from ws_load_test.fleet.base import FleetFactory
    from ws_load_test.fleet.cluster.spec import Cluster


def fleet_factory(cluster: Cluster | None) -> FleetFactory:
    """Returns the factory of a run's fleet: on a cluster, or with None on this machine.

    Raises:
        UsageError: The extra ``cluster`` is not installed.
    """
    if cluster is None:
        return LocalFleet
    try:
        from ws_load_test.fleet.cluster.dask_fleet import DaskFleet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"--cluster: needs Dask distributed ({error.name} is not installed); "
            "install it with `pip install 'ws-load-test[cluster]'`"
        ) from None
    return partial(DaskFleet, cluster)
