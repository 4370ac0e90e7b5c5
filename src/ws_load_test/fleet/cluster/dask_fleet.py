"""Fleet of a Dask cluster: workers on each of its hosts, which get commands by calls and report by events.

Needs the extra ``cluster``. A load is never submitted as a task: Dask runs a task again elsewhere when its worker is
lost, and a load must not run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
from ws_load_test.fleet.cluster.clock_offset import COMPARE_AFTER_S, COMPARE_EVERY_S, REPEATED_SAMPLES
from ws_load_test.fleet.cluster.host_link import FAILURES, LEASE_NS, HostLink
from ws_load_test.fleet.cluster.membership import END_TIMEOUT_S
from ws_load_test.fleet.cluster.worker_counts import first_worker_numbers, workers_per_host
from ws_load_test.fleet.heartbeats import FIRST_REPORT_NS, HeartbeatMonitor
from ws_load_test.metrics.recording import Host
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.fleet.cluster.membership import ClusterMembership
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

LOST_AFTER_NS = 3 * NS_PER_S
"""Longest silence of a host, or of a worker beyond its interval: three lease renewals, so that one may be lost."""
PREPARE_TIMEOUT_S = 60.0
"""Longest wait for a host to receive the plan's files and to look up names, or to start its workers."""
DELIVERY_ALLOWANCE_NS = 200 * NS_PER_MS
"""Time for the start command to pass through a busy scheduler, beside that of the network."""
_CHECK_S = 0.1
"""Interval of the check for silent workers, which must be several times a second; see `HeartbeatMonitor.overdue`."""
_log = logging.getLogger(__name__)


class DaskFleet(Fleet):
    """Runs a plan's workers on the hosts of a Dask cluster, once."""

    def __init__(
        self,
        membership: ClusterMembership,
        plan: Plan,
        on_interval: Callable[[IntervalEvent], None],
        interval_ns: int = NS_PER_S,
        *,
        stays: bool = False,
    ) -> None:
        """Takes the membership of the cluster, and what every fleet takes; `stays` leaves the membership to others."""
        super().__init__(plan, on_interval, interval_ns)
        self.membership = membership
        self.cluster = membership.cluster
        self.links: list[HostLink] = []
        self._stays = stays
        self._run_name = secrets.token_hex(8)
        self._over = asyncio.Event()
        self._shut_down = False
        self._failure: BaseException | None = None
        self._killed = False
        self._heartbeats: HeartbeatMonitor[tuple[str, int]] = HeartbeatMonitor()
        """Signs of life of ("host", number) and ("worker", number)."""
        self._tasks: list[asyncio.Task[None]] = []

    # --- Before and after -------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Finds the hosts, and has each check that it can carry its part; see `Fleet`.

        Raises:
            LostHostError: It is not the first run on this cluster, and hosts are lost.
        """
        if self.plan.fan_out is not None and self.plan.fan_out.marker.kind != "marker":
            raise UsageError(
                "--cluster: only the worker that sent a message knows when, so --marker json and regex take one worker"
                " on this machine; take {marker}, which brings its instants with it"
            )
        contents = shipped_files.read_all(self.plan)
        hosts = await self.membership.join()
        counts = workers_per_host([host.cores for host in hosts], self.plan.connections, self.cluster.workers)
        parts = [
            (host, range(first, first + count))
            for host, first, count in zip(hosts, first_worker_numbers(counts), counts, strict=True)
            if count
        ]
        self.links = [HostLink(host, number, workers) for number, (host, workers) in enumerate(parts)]
        self.plan = msgspec.structs.replace(self.plan, workers=sum(counts))
        host_of_worker = [link.number for link in self.links for _ in link.workers]
        client = self.membership.client
        self.coordinator = self._new_coordinator(self.plan.workers, host_of_worker)
        client.subscribe_topic(host_agent.TOPIC, self._on_agent_event)
        client.subscribe_topic("all", self._on_cluster_event)
        await self._prepare_hosts(contents)
        self.hosts = tuple(map(_recorded_host, self.links))

    async def _prepare_hosts(self, contents: dict[str, bytes]) -> None:
        """Gives every host its assignment; raises all that speaks against it at once."""
        for link in self.links:
            self._heartbeats.expect(("host", link.number), LOST_AFTER_NS, monotonic_ns(), FIRST_REPORT_NS)
        shipment = shipped_files.shipment_name(self.plan, contents)
        assignments = [self._assignment(link, shipment, contents) for link in self.links]
        calls = (
            link.host.call(host_agent.prepare, assignment.sealed(), timeout_s=PREPARE_TIMEOUT_S)
            for link, assignment in zip(self.links, assignments, strict=True)
        )
        # A host that is prepared may have to wait for another one longer than its lease.
        self._tasks = [asyncio.create_task(self._keep_lease(link)) for link in self.links]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        problems, sources = [], set()
        for link, reply in zip(self.links, replies, strict=True):
            # A host that has a problem has removed the files.
            link.host.shipments.clear()
            if isinstance(reply, BaseException) and self.membership.ran:
                # It was there for the run before.
                self._lose_host(link, f"its host does not answer ({type(reply).__name__})")
            elif isinstance(reply, BaseException):
                problems.append(f"host {link.host.name}: it does not answer ({type(reply).__name__})")
            elif reply["problem"]:
                problems.append(f"host {link.host.name}: {reply['problem']}")
            else:
                link.prepared = True
                link.host.shipments.add(shipment)
                sources |= set(reply["sources"])
        if problems:
            raise HostError(
                "\n  ".join(["the cluster cannot carry the plan:", *problems] if problems[1:] else problems)
            )
        for source in self.plan.bind:
            if source not in sources:
                raise UsageError(f"--bind: {source} is not an address of any host of the cluster")

    def _assignment(self, link: HostLink, shipment: str, contents: dict[str, bytes]) -> host_agent.HostAssignment:
        machine = link.host.machine
        same_machine = [number for other in self.links if other.host.machine == machine for number in other.workers]
        return host_agent.HostAssignment(
            driver=self.membership.driver,
            tag=self.tag,
            run=self._run_name,
            host=link.number,
            plan=self.plan,
            first_worker=link.workers.start,
            workers=len(link.workers),
            interval_ns=self._interval_ns,
            lease_ns=LEASE_NS,
            machine_connections=sum(
                Shard(number, self.plan.workers).size(self.plan.connections) for number in same_machine
            ),
            machine_workers=len(same_machine),
            shipment=shipment,
            files=None if shipment in link.host.shipments else contents,
        )

    async def shutdown(self) -> None:
        """Ends what is left on the hosts, and leaves the cluster as it was, unless the membership stays."""
        if self._shut_down:
            return
        # Dask goes on handing over events for a while.
        self._over.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.membership.client is not None:
            for topic in (host_agent.TOPIC, "all"):
                with contextlib.suppress(OSError, TimeoutError, ValueError):
                    self.membership.client.unsubscribe_topic(topic)
        if self._stays:
            present = [link.host for link in self.links if not link.gone]
            calls = (host.call(host_agent.shutdown, self._run_name, timeout_s=END_TIMEOUT_S) for host in present)
            await asyncio.gather(*calls, return_exceptions=True)
            self.membership.pause()
        else:
            await self.membership.leave()
        self._shut_down = True

    # --- The run ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs the plan, from the start of the first worker to the end of the last one; see `Fleet`."""
        try:
            present = [link for link in self.links if not link.gone]
            self._tasks += [asyncio.create_task(self._launch(link)) for link in present]
            self._tasks += [asyncio.create_task(self._follow_clock(link)) for link in present]
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_S):
                        await self._over.wait()
                self._check_liveness()
            if self._failure is not None:
                raise self._failure
        finally:
            await self.shutdown()

    async def _launch(self, link: HostLink) -> None:
        """Has a host start its workers."""
        for worker in link.workers:
            timeout_ns = self._interval_ns + LOST_AFTER_NS
            self._heartbeats.expect(("worker", worker), timeout_ns, monotonic_ns(), FIRST_REPORT_NS)
        try:
            reply = await link.host.call(host_agent.launch, self._run_name, timeout_s=PREPARE_TIMEOUT_S)
        except FAILURES as error:
            self._lose_host(link, f"its host did not answer ({type(error).__name__})")
        else:
            if reply["problem"]:
                self._fail(HostError(f"host {link.host.name}: {reply['problem']}"))

    async def _follow_clock(self, link: HostLink) -> None:
        """Compares a host's clock with ours again and again."""
        for comparison in link.host.comparisons:
            self.coordinator.add_clock(link.number, comparison)
        for pause_s in itertools.chain(COMPARE_AFTER_S, itertools.repeat(COMPARE_EVERY_S)):
            await asyncio.sleep(pause_s)
            if link.gone:
                return
            # A host that does not answer is noticed elsewhere.
            with contextlib.suppress(*FAILURES):
                self.coordinator.add_clock(link.number, await link.host.compare_clocks(REPEATED_SAMPLES))

    def kill(self) -> None:
        """Ends every worker at once; what they have not reported is lost."""
        self.interrupted = self._killed = True
        for worker in range(self.plan.workers):
            if not self.coordinator.is_done(worker):
                self.coordinator.on_worker_stopped(worker)
        self._over.set()

    def _broadcast(self, command: Command) -> None:
        for link in self.links:
            if not link.gone:
                link.send(command)
                if command.kind == "start" and link.start_offset_ns is not None:
                    self.coordinator.add_start(link.number, link.start_offset_ns)

    def _start_after_ns(self) -> int:
        # A clock's error is half of the shortest round trip, so six of them are three round trips.
        largest_error_ns = max((link.host.clock.error_ns for link in self.links), default=0)
        return START_AFTER_NS + DELIVERY_ALLOWANCE_NS + 6 * largest_error_ns

    # --- Events -----------------------------------------------------------------------------------------------------

    def _on_agent_event(self, event: tuple[float, Any]) -> None:
        """Called by Dask with each event of any run's agent."""
        message = event[1]
        if not isinstance(message, dict) or message.get("run") != self._run_name or self._over.is_set():
            return
        link = next(link for link in self.links if link.number == message["host"])
        if link.gone:
            # Reports of a host that was given up do not count: its part is recorded as lost.
            return
        try:
            if message["number"] != link.events:
                self._lose_host(link, "what its host reported came with gaps")
                return
            link.events += 1
            self._on_sign_of_life(link)
            self._on_worker_event(link, message["load_worker"], message)
        except Exception as error:  # noqa: BLE001 - Dask would log it and go on; it must end the run
            self._fail(error)

    def _on_worker_event(self, link: HostLink, worker: int, message: dict[str, Any]) -> None:
        if self.coordinator.is_done(worker):
            return
        if "line" in message:
            self._heartbeats.heard(("worker", worker), monotonic_ns())
            self._on_report(worker, message["line"], link.host.clock.offset_ns)
        else:
            self._lose_workers([worker], link, message["ended"])
        if self.coordinator.is_done(worker):
            self._heartbeats.forget(("worker", worker))
        self._end_if_finished()

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        """Called by Dask with each change of the cluster."""
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker" and not self._over.is_set():
            for link in self.links:
                if link.host.address == message.get("worker"):
                    self._lose_host(link, "the Dask worker on its host is gone")

    def _on_sign_of_life(self, link: HostLink) -> None:
        self._heartbeats.heard(("host", link.number), monotonic_ns())

    async def _keep_lease(self, link: HostLink) -> None:
        """Renews a host's lease and passes commands on, until the host is lost."""
        self._lose_host(link, await link.keep_alive(self._run_name, self._on_sign_of_life))

    def _check_liveness(self) -> None:
        """Notices losses without an event: silent hosts and workers, and a scheduler that is gone."""
        if not self.membership.connected:
            for link in self.links:
                self._lose_host(link, "the cluster's scheduler is gone")
        for kind, number in self._heartbeats.overdue(monotonic_ns()):
            silence_s = (LOST_AFTER_NS + (self._interval_ns if kind == "worker" else 0)) // NS_PER_S
            for link in self.links:
                if kind == "host" and link.number == number:
                    self._lose_host(link, f"its host was silent for {silence_s} s")
                elif kind == "worker" and number in link.workers and not link.gone:
                    self._lose_workers([number], link, f"it was silent for {silence_s} s")
                    self._tasks.append(asyncio.create_task(self._kill_worker(link, number)))
        self._end_if_finished()

    async def _kill_worker(self, link: HostLink, worker: int) -> None:
        with contextlib.suppress(*FAILURES):
            await link.host.call(host_agent.kill_worker, self._run_name, worker)

    # --- Losses -----------------------------------------------------------------------------------------------------

    def _lose_host(self, link: HostLink, reason: str) -> None:
        if link.gone:
            return
        link.gone = True
        self.membership.lose(link.host)
        self._heartbeats.forget(("host", link.number))
        self._lose_workers(link.workers, link, reason)
        self._end_if_finished()

    def _lose_workers(self, workers: Iterable[int], link: HostLink, reason: str) -> None:
        lost = [worker for worker in workers if not self.coordinator.is_done(worker)]
        if self._killed or not lost:
            return
        for worker in lost:
            self._heartbeats.forget(("worker", worker))
        goes_on = self.cluster.on_worker_lost == "continue"
        share = f"{format_share(len(lost) / self.plan.workers)} of the load"
        what = f"worker {lost[0]}" if len(lost) == 1 else f"workers {lost[0]} to {lost[-1]}"
        _log.warning(
            "%s on host %s, %s, lost: %s; the others %s",
            *(what, link.host.name, share, reason, "go on" if goes_on else "stop"),
        )
        if not goes_on:
            # Workers that are not ready yet must not be started afterwards.
            self._started = True
            self._broadcast(Command("stop"))
        try:
            for worker in lost:
                self._on_worker_lost(worker, reason)
        except Exception as error:  # noqa: BLE001 - of a consumer of the intervals; Dask may be the caller, and log it
            self._fail(error)

    def _end_if_finished(self) -> None:
        if self.coordinator.finished:
            self._over.set()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._over.set()


def _recorded_host(link: HostLink) -> Host:
    """Returns a host as a recording describes it."""
    clock = link.host.clock
    return Host(
        name=link.host.name,
        address=link.host.address,
        first_worker=link.workers.start,
        workers=len(link.workers),
        facts=link.host.facts,
        clock_ahead_ns=clock.offset_ns,
        clock_error_ns=clock.error_ns,
    )
