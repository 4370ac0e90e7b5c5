"""Losses of workers in an experiment of several runs, which end it under ``--on-worker-lost stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.per_host import lost_worker_rows
from ws_load_test.common.errors import LostHostError

if TYPE_CHECKING:
    from ws_load_test.api import Result
    from ws_load_test.fleet.cluster.spec import Cluster


def loss_that_ends(result: Result, cluster: Cluster | None) -> LostHostError | None:
    """Returns the error that ends an experiment after a run; None where it goes on.

    Args:
        result: Result of the run.
        cluster: Cluster of the experiment; None: it runs on this machine, and always goes on.
    """
    if cluster is None or cluster.on_worker_lost == "continue":
        return None
    lost = lost_worker_rows([result.recording])
    if not lost:
        return None
    first = lost[0]
    return LostHostError(
        f"worker {first.worker} on host {first.host} was lost ({first.reason}), and --on-worker-lost is stop"
    )
