"""The fleet of a Dask cluster: a party of workers on each of its hosts, told what to do and heard by events.

Needs the extra ``cluster``. A load is never submitted as a task: Dask runs a task again elsewhere when its worker is
lost, and a load must not run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.common.units import format_share
from ws_load_test.fleet.base import START_AFTER_NS, Fleet
from ws_load_test.fleet.cluster import host_agent, shipped_files
from ws_load_test.fleet.cluster.discovery import connect, discover_hosts, quiet_dask_logging
from ws_load_test.fleet.cluster.heartbeats import HeartbeatMonitor
from ws_load_test.fleet.cluster.host_link import FAILURES, LEASE_NS, HostLink
from ws_load_test.fleet.cluster.worker_counts import first_worker_numbers, workers_per_host
from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.metrics.recording import Host
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan

LOST_AFTER_NS = 3 * NS_PER_S
"""How long a host, or behind an interval a worker, may be silent."""
FIRST_REPORT_NS = 30 * NS_PER_S
"""How much longer a worker may take to its first report: it is a program that is started."""
SETTLE_TIMEOUT_S = 60.0
"""How long a host may take to receive the plan's files and to look up names."""
DELIVERY_ALLOWANCE_NS = 200 * NS_PER_MS
"""Time for the word to go through a scheduler that has other things to do, beside that of the network."""
END_TIMEOUT_S = 1.0
_LOOK_S = 0.1
_log = logging.getLogger("ws_load_test")


class DaskFleet(Fleet):
    """Runs a plan's workers on the hosts of a Dask cluster, once."""

    def __init__(
        self, cluster: Cluster, plan: Plan, on_interval: Callable[[Interval], None], interval_ns: int = NS_PER_S
    ) -> None:
        """Takes where, and what every fleet does."""
        super().__init__(plan, on_interval, interval_ns)
        self.cluster = cluster
        self.links: list[HostLink] = []
        self._name = secrets.token_hex(8)
        self._client: Any = None
        """Dask's own, which is hardly typed."""
        self._awake: Any = None
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._killed = False
        self._silence: HeartbeatMonitor[tuple[str, int]] = HeartbeatMonitor()
        self._keepers: list[asyncio.Task[None]] = []
        self._leaving = contextlib.ExitStack()

    # --- Before and after -------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Finds the hosts, and has each look whether it can carry its part; see `Fleet`."""
        contents = shipped_files.read_all(self.plan)
        client = self._client = await connect(self.cluster)
        self._leaving.enter_context(quiet_dask_logging())
        links = await discover_hosts(client, self.cluster)
        # A task that no host can take: a scheduler without one shuts down when its idle time-out is over.
        self._awake = client.submit(int, resources={"ws-load-test": 1}, pure=False)
        counts = workers_per_host([link.cores for link in links], self.plan.connections, self.cluster.workers)
        for link, first, count in zip(links, first_worker_numbers(counts), counts, strict=True):
            link.workers = range(first, first + count)
        self.links = [link for link in links if link.workers]
        for number, link in enumerate(self.links):
            link.number = number
        self.plan = msgspec.structs.replace(self.plan, workers=sum(counts))
        of_worker = [link.number for link in self.links for _ in link.workers]
        self.coordinator = Coordinator(self.plan.workers, monotonic_ns(), of_worker)
        client.subscribe_topic(host_agent.TOPIC, self._on_event)
        client.subscribe_topic("all", self._on_change)
        await self._prepare_hosts(contents)
        self.hosts = tuple(map(_host, self.links))

    async def _prepare_hosts(self, contents: dict[str, bytes]) -> None:
        """Every host gets its order, and all that it has against it is told at once."""
        for link in self.links:
            self._silence.expect(("host", link.number), LOST_AFTER_NS, monotonic_ns(), FIRST_REPORT_NS)
        orders = [self._order(link, contents) for link in self.links]
        calls = (
            link.call(host_agent.settle, order.sealed(), timeout_s=SETTLE_TIMEOUT_S)
            for link, order in zip(self.links, orders, strict=True)
        )
        # One who has settled may have to wait for another longer than its lease.
        self._keepers = [asyncio.create_task(self._keep_lease(link)) for link in self.links]
        found = await asyncio.gather(*calls, return_exceptions=True)
        problems, sources = [], set()
        for link, answer in zip(self.links, found, strict=True):
            if isinstance(answer, BaseException):
                problems.append(f"host {link.name}: it does not answer ({type(answer).__name__})")
            elif answer["problem"]:
                problems.append(f"host {link.name}: {answer['problem']}")
            else:
                link.settled = True
                sources |= set(answer["sources"])
        if problems:
            raise HostError(
                "\n  ".join(["the cluster cannot carry the plan:", *problems] if problems[1:] else problems)
            )
        for source in self.plan.bind:
            if source not in sources:
                raise UsageError(f"--bind: {source} is not an address of any host of the cluster")

    def _order(self, link: HostLink, contents: dict[str, bytes]) -> host_agent.HostAssignment:
        beside = [number for other in self.links if other.machine == link.machine for number in other.workers]
        return host_agent.HostAssignment(
            run=self._name,
            host=link.number,
            plan=self.plan,
            first_worker=link.workers.start,
            workers=len(link.workers),
            interval_ns=self._interval_ns,
            lease_ns=LEASE_NS,
            machine_connections=sum(Shard(number, self.plan.workers).size(self.plan.connections) for number in beside),
            machine_workers=len(beside),
            files=contents,
        )

    async def shutdown(self) -> None:
        """Ends what is left on the hosts, and leaves the cluster as it was."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        present = [link for link in self.links if not link.gone]
        calls = (link.call(host_agent.end, self._name, timeout_s=END_TIMEOUT_S) for link in present)
        await asyncio.gather(*calls, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            if self._awake is not None:
                self._awake.release()
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                for topic in (host_agent.TOPIC, "all"):
                    client.unsubscribe_topic(topic)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2 * END_TIMEOUT_S):
                    await client.close(timeout=END_TIMEOUT_S)
        self._leaving.close()

    # --- The run ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the first worker's start to the last one's end; see `Fleet`."""
        try:
            self._keepers += [asyncio.create_task(self._launch(link)) for link in self.links]
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._over.wait()
                self._check_liveness()
            if self._failure is not None:
                raise self._failure
        finally:
            await self.shutdown()

    async def _launch(self, link: HostLink) -> None:
        """Has a host start its workers."""
        for worker in link.workers:
            patience_ns = self._interval_ns + LOST_AFTER_NS
            self._silence.expect(("worker", worker), patience_ns, monotonic_ns(), FIRST_REPORT_NS)
        try:
            answer = await link.call(host_agent.launch, self._name, timeout_s=SETTLE_TIMEOUT_S)
        except FAILURES as error:
            self._lose_host(link, f"its host did not answer ({type(error).__name__})")
        else:
            if answer["problem"]:
                self._fail(HostError(f"host {link.name}: {answer['problem']}"))

    def kill(self) -> None:
        """Ends every worker at once; what they had not reported is gone."""
        self.interrupted = self._killed = True
        for worker in range(self.plan.workers):
            if not self.coordinator.is_done(worker):
                self.coordinator.on_worker_stopped(worker)
        self._over.set()

    def _broadcast(self, command: Command) -> None:
        for link in self.links:
            if not link.gone:
                link.send(command)

    def _start_after_ns(self) -> int:
        slowest_ns = max((link.clock.error_ns for link in self.links), default=0)
        return START_AFTER_NS + DELIVERY_ALLOWANCE_NS + 6 * slowest_ns

    # --- What is heard ----------------------------------------------------------------------------------------------

    def _on_event(self, event: tuple[float, Any]) -> None:
        """An event of any run on the cluster."""
        message = event[1]
        if not isinstance(message, dict) or message.get("run") != self._name or self._over.is_set():
            return
        link = next(link for link in self.links if link.number == message["host"])
        if link.gone:
            # What a host says that was given up is not counted: its part is told as lost.
            return
        try:
            if message["number"] != link.events:
                self._lose_host(link, "what its host reported came with gaps")
                return
            link.events += 1
            self._heard(link)
            self._take(link, message["of"], message)
        except Exception as error:  # noqa: BLE001 - Dask would log it and go on; it is the run's
            self._fail(error)

    def _take(self, link: HostLink, worker: int, message: dict[str, Any]) -> None:
        if self.coordinator.is_done(worker):
            return
        if "line" in message:
            self._silence.heard(("worker", worker), monotonic_ns())
            self._on_report(worker, message["line"], link.clock.ahead_ns)
        else:
            self._lose_workers([worker], link, message["ended"])
        if self.coordinator.is_done(worker):
            self._silence.forget(("worker", worker))
        self._end_if_finished()

    def _on_change(self, event: tuple[float, Any]) -> None:
        """Something has happened to the cluster."""
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            for link in self.links:
                if link.address == message.get("worker"):
                    self._lose_host(link, "the Dask worker on its host is gone")

    def _heard(self, link: HostLink) -> None:
        self._silence.heard(("host", link.number), monotonic_ns())

    async def _keep_lease(self, link: HostLink) -> None:
        """Renews a host's lease and passes commands on, until it is lost."""
        self._lose_host(link, await link.keep_alive(self._name, self._heard))

    def _check_liveness(self) -> None:
        """Notices what tells nothing of itself: who is silent, and a scheduler that is gone."""
        if self._client is not None and self._client.status != "running":
            for link in self.links:
                self._lose_host(link, "the cluster's scheduler is gone")
        for kind, number in self._silence.overdue(monotonic_ns()):
            seconds = (LOST_AFTER_NS + (self._interval_ns if kind == "worker" else 0)) // NS_PER_S
            for link in self.links:
                if kind == "host" and link.number == number:
                    self._lose_host(link, f"its host was silent for {seconds} s")
                elif kind == "worker" and number in link.workers and not link.gone:
                    self._lose_workers([number], link, f"it was silent for {seconds} s")
                    self._keepers.append(asyncio.create_task(self._kill_worker(link, number)))
        self._end_if_finished()

    async def _kill_worker(self, link: HostLink, worker: int) -> None:
        with contextlib.suppress(*FAILURES):
            await link.call(host_agent.drop, self._name, worker)

    # --- What is lost -----------------------------------------------------------------------------------------------

    def _lose_host(self, link: HostLink, reason: str) -> None:
        if link.gone:
            return
        link.gone = True
        self._silence.forget(("host", link.number))
        self._lose_workers(link.workers, link, reason)
        self._end_if_finished()

    def _lose_workers(self, workers: Iterable[int], link: HostLink, reason: str) -> None:
        lost = [worker for worker in workers if not self.coordinator.is_done(worker)]
        if self._killed or not lost:
            return
        for worker in lost:
            self._silence.forget(("worker", worker))
        goes_on = self.cluster.on_worker_lost == "continue"
        share = f"{format_share(len(lost) / self.plan.workers)} of the load"
        what = f"worker {lost[0]}" if len(lost) == 1 else f"workers {lost[0]} to {lost[-1]}"
        _log.warning(
            "%s on host %s, %s, lost: %s; the others %s",
            *(what, link.name, share, reason, "go on" if goes_on else "stop"),
        )
        if not goes_on:
            # Whoever is not ready yet must not be told to start afterwards.
            self._commanded = True
            self._broadcast(Command("stop"))
        try:
            for worker in lost:
                self._on_worker_lost(worker, reason)
        except Exception as error:  # noqa: BLE001 - of whoever is told of intervals; this may be called by Dask
            self._fail(error)

    def _end_if_finished(self) -> None:
        if self.coordinator.finished:
            self._over.set()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._over.set()


def _host(link: HostLink) -> Host:
    """What a recording says of a host."""
    return Host(
        name=link.name,
        address=link.address,
        first_worker=link.workers.start,
        workers=len(link.workers),
        facts=link.facts,
        clock_ahead_ns=link.clock.ahead_ns,
        clock_error_ns=link.clock.error_ns,
    )
