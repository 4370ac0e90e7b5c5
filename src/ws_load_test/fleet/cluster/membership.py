"""A driver's membership of a cluster, for one run or for all runs of an experiment.

Joining is slow: a client connects, hosts are found and asked for their versions and facts, and files are sent to each.
So an experiment joins once, with its first run; what may change in between (lost hosts, clocks) is looked at anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import HostError, LostHostError
from ws_load_test.common.units import format_count
from ws_load_test.fleet.cluster import host_agent
from ws_load_test.fleet.cluster.discovery import connect, discover_hosts, quiet_dask_logging, running_workers
from ws_load_test.fleet.cluster.host_link import CALL_TIMEOUT_S, FAILURES, RENEW_S, ClusterHost

if TYPE_CHECKING:
    from ws_load_test.fleet.cluster.spec import Cluster

END_TIMEOUT_S = 1.0
"""Longest wait for each step of leaving the cluster: hosts that do not answer end by their lease."""
_log = logging.getLogger(__name__)


class ClusterMembership:
    """Membership of a cluster: `join` before each run, `pause` after it, `leave` in the end."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client: Any = None
        """Dask's client, which has hardly any types; None before the first run and after the last."""
        self.driver = secrets.token_hex(8)
        """Name of this driver on the hosts."""
        self.hosts: list[ClusterHost] = []
        """Hosts that joined and are not lost."""
        self._joined = 0
        """Number of hosts that joined."""
        self.ran = False
        """True once a run has ended."""
        self._keep_awake: Any = None
        self._leases: asyncio.Task[None] | None = None
        self._leaving = contextlib.ExitStack()

    @property
    def connected(self) -> bool:
        """True while the scheduler can be reached."""
        return self.client is not None and self.client.status == "running"

    async def join(self) -> list[ClusterHost]:
        """Returns the hosts of the next run, their clocks compared; a host that was lost once never takes part again.

        Raises:
            HostError: The cluster cannot be reached, or its hosts do not join in time.
            UsageError: Its address or our certificate cannot be used.
            LostHostError: It was joined before, and is lost; or a host is, and ``--on-worker-lost`` is ``stop``.
        """
        if self._leases is not None:
            self._leases.cancel()
            self._leases = None
        if self.client is None:
            self.client = await connect(self.cluster)
            self._leaving.enter_context(quiet_dask_logging())
            self.hosts = await discover_hosts(self.client, self.cluster)
            self._joined = len(self.hosts)
            # A task that no host can run: a scheduler without tasks shuts down when its idle time-out is over.
            self._keep_awake = self.client.submit(int, resources={"ws-load-test": 1}, pure=False)
        else:
            await self._look_again()
        hosts = list(self.hosts)
        replies = await asyncio.gather(*(host.compare_clocks() for host in hosts), return_exceptions=True)
        for host, reply in zip(hosts, replies, strict=True):
            if isinstance(reply, FAILURES):
                self._drop(host, f"it does not answer ({type(reply).__name__})")
            elif isinstance(reply, BaseException):
                raise reply
        if not self.hosts:
            raise LostHostError(f"--cluster: {self._all_lost()}")
        return list(self.hosts)

    async def _look_again(self) -> None:
        """Notices hosts that were lost since the run before.

        Raises:
            LostHostError: See `join`.
        """
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                identity = await self.client.scheduler.identity(n_workers=-1)
        except FAILURES:
            raise LostHostError("--cluster: the scheduler is gone, so there can be no further run") from None
        present = running_workers(identity)
        for host in [host for host in self.hosts if host.address not in present]:
            self._drop(host, "its Dask worker is gone")

    def _drop(self, host: ClusterHost, reason: str) -> None:
        """Goes on without a host that was lost between two runs, unless all are to stop."""
        if not self.ran:
            raise HostError(f"--cluster: host {host.name}: {reason}; look at its log")
        self.lose(host)
        if self.cluster.on_worker_lost == "stop":
            raise LostHostError(f"--cluster: host {host.name} was lost between two runs: {reason}")
        _log.warning("host %s was lost between two runs: %s; the others go on", host.name, reason)

    def _all_lost(self) -> str:
        return "the only host is lost" if self._joined == 1 else f"all {format_count(self._joined)} hosts are lost"

    def lose(self, host: ClusterHost) -> None:
        """Leaves a host that was lost in a run out of the next ones."""
        if host in self.hosts:
            self.hosts.remove(host)

    def pause(self) -> None:
        """Keeps what the hosts have of this driver until the next run."""
        self.ran = True
        if self._leases is None and self.client is not None:
            self._leases = asyncio.create_task(self._renew_leases())

    async def _renew_leases(self) -> None:
        while True:
            calls = (host.call(host_agent.renew_files, self.driver) for host in self.hosts)
            # A host that does not answer is noticed by the next run.
            await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(RENEW_S)

    async def leave(self) -> None:
        """Ends what is left on the hosts, and leaves the cluster as it was; harmless when called again."""
        if self._leases is not None:
            self._leases.cancel()
            self._leases = None
        client, self.client = self.client, None
        if client is not None:
            calls = (host.call(host_agent.leave, self.driver, timeout_s=END_TIMEOUT_S) for host in self.hosts)
            await asyncio.gather(*calls, return_exceptions=True)
            if self._keep_awake is not None:
                self._keep_awake.release()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2 * END_TIMEOUT_S):
                    await client.close(timeout=END_TIMEOUT_S)
        self._leaving.close()
