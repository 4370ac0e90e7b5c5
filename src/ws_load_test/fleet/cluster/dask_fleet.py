"""Fleet of a Dask cluster: workers on each of its hosts, which get commands by calls and report by events.

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
from ws_load_test.fleet.cluster.host_link import FAILURES, LEASE_NS, HostLink
from ws_load_test.fleet.cluster.worker_counts import first_worker_numbers, workers_per_host
from ws_load_test.fleet.heartbeats import FIRST_REPORT_NS, HeartbeatMonitor
from ws_load_test.metrics.recording import Host
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

LOST_AFTER_NS = 3 * NS_PER_S
"""Longest silence of a host, or of a worker beyond its interval: three lease renewals, so that one may be lost."""
PREPARE_TIMEOUT_S = 60.0
"""Longest wait for a host to receive the plan's files and to look up names, or to start its workers."""
DELIVERY_ALLOWANCE_NS = 200 * NS_PER_MS
"""Time for the start command to pass through a busy scheduler, beside that of the network."""
END_TIMEOUT_S = 1.0
"""Longest wait for each step of leaving the cluster: hosts that do not answer end by their lease."""
_CHECK_S = 0.1
"""Interval of the check for silent workers, which must be several times a second; see `HeartbeatMonitor.overdue`."""
_log = logging.getLogger(__name__)


class DaskFleet(Fleet):
    """Runs a plan's workers on the hosts of a Dask cluster, once."""

    def __init__(
        self, cluster: Cluster, plan: Plan, on_interval: Callable[[IntervalEvent], None], interval_ns: int = NS_PER_S
    ) -> None:
        """Takes the cluster, and what every fleet takes."""
        super().__init__(plan, on_interval, interval_ns)
        self.cluster = cluster
        self.links: list[HostLink] = []
        self._run_name = secrets.token_hex(8)
        self._client: Any = None
        """Dask's client, which has hardly any types."""
        self._keep_awake: Any = None
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._killed = False
        self._heartbeats: HeartbeatMonitor[tuple[str, int]] = HeartbeatMonitor()
        """Signs of life of ("host", number) and ("worker", number)."""
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = contextlib.ExitStack()

    # --- Before and after -------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Finds the hosts, and has each check that it can carry its part; see `Fleet`."""
        if self.plan.fan_out is not None and self.plan.fan_out.marker.kind != "marker":
            raise UsageError(
                "--cluster: only the worker that sent a message knows when, so --marker json and regex take one worker"
                " on this machine; take {marker}, which brings its instants with it"
            )
        contents = shipped_files.read_all(self.plan)
        client = self._client = await connect(self.cluster)
        self._leaving.enter_context(quiet_dask_logging())
        links = await discover_hosts(client, self.cluster)
        # A task that no host can run: a scheduler without tasks shuts down when its idle time-out is over.
        self._keep_awake = client.submit(int, resources={"ws-load-test": 1}, pure=False)
        counts = workers_per_host([link.cores for link in links], self.plan.connections, self.cluster.workers)
        for link, first, count in zip(links, first_worker_numbers(counts), counts, strict=True):
            link.workers = range(first, first + count)
        self.links = [link for link in links if link.workers]
        for number, link in enumerate(self.links):
            link.number = number
        self.plan = msgspec.structs.replace(self.plan, workers=sum(counts))
        host_of_worker = [link.number for link in self.links for _ in link.workers]
        self.coordinator = self._new_coordinator(self.plan.workers, host_of_worker)
        client.subscribe_topic(host_agent.TOPIC, self._on_agent_event)
        client.subscribe_topic("all", self._on_cluster_event)
        await self._prepare_hosts(contents)
        self.hosts = tuple(map(_recorded_host, self.links))

    async def _prepare_hosts(self, contents: dict[str, bytes]) -> None:
        """Gives every host its assignment; raises all that speaks against it at once."""
        for link in self.links:
            self._heartbeats.expect(("host", link.number), LOST_AFTER_NS, monotonic_ns(), FIRST_REPORT_NS)
        assignments = [self._assignment(link, contents) for link in self.links]
        calls = (
            link.call(host_agent.prepare, assignment.sealed(), timeout_s=PREPARE_TIMEOUT_S)
            for link, assignment in zip(self.links, assignments, strict=True)
        )
        # A host that is prepared may have to wait for another one longer than its lease.
        self._tasks = [asyncio.create_task(self._keep_lease(link)) for link in self.links]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        problems, sources = [], set()
        for link, reply in zip(self.links, replies, strict=True):
            if isinstance(reply, BaseException):
                problems.append(f"host {link.name}: it does not answer ({type(reply).__name__})")
            elif reply["problem"]:
                problems.append(f"host {link.name}: {reply['problem']}")
            else:
                link.prepared = True
                sources |= set(reply["sources"])
        if problems:
            raise HostError(
                "\n  ".join(["the cluster cannot carry the plan:", *problems] if problems[1:] else problems)
            )
        for source in self.plan.bind:
            if source not in sources:
                raise UsageError(f"--bind: {source} is not an address of any host of the cluster")

    def _assignment(self, link: HostLink, contents: dict[str, bytes]) -> host_agent.HostAssignment:
        same_machine = [number for other in self.links if other.machine == link.machine for number in other.workers]
        return host_agent.HostAssignment(
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
            files=contents,
        )

    async def shutdown(self) -> None:
        """Ends what is left on the hosts, and leaves the cluster as it was."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        present = [link for link in self.links if not link.gone]
        calls = (link.call(host_agent.shutdown, self._run_name, timeout_s=END_TIMEOUT_S) for link in present)
        await asyncio.gather(*calls, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            if self._keep_awake is not None:
                self._keep_awake.release()
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                for topic in (host_agent.TOPIC, "all"):
                    client.unsubscribe_topic(topic)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2 * END_TIMEOUT_S):
                    await client.close(timeout=END_TIMEOUT_S)
        self._leaving.close()

    # --- The run ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs the plan, from the start of the first worker to the end of the last one; see `Fleet`."""
        try:
            self._tasks += [asyncio.create_task(self._launch(link)) for link in self.links]
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
            reply = await link.call(host_agent.launch, self._run_name, timeout_s=PREPARE_TIMEOUT_S)
        except FAILURES as error:
            self._lose_host(link, f"its host did not answer ({type(error).__name__})")
        else:
            if reply["problem"]:
                self._fail(HostError(f"host {link.name}: {reply['problem']}"))

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

    def _start_after_ns(self) -> int:
        # A clock's error is half of the shortest round trip, so six of them are three round trips.
        largest_error_ns = max((link.clock.error_ns for link in self.links), default=0)
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
            self._on_report(worker, message["line"], link.clock.offset_ns)
        else:
            self._lose_workers([worker], link, message["ended"])
        if self.coordinator.is_done(worker):
            self._heartbeats.forget(("worker", worker))
        self._end_if_finished()

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        """Called by Dask with each change of the cluster."""
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            for link in self.links:
                if link.address == message.get("worker"):
                    self._lose_host(link, "the Dask worker on its host is gone")

    def _on_sign_of_life(self, link: HostLink) -> None:
        self._heartbeats.heard(("host", link.number), monotonic_ns())

    async def _keep_lease(self, link: HostLink) -> None:
        """Renews a host's lease and passes commands on, until the host is lost."""
        self._lose_host(link, await link.keep_alive(self._run_name, self._on_sign_of_life))

    def _check_liveness(self) -> None:
        """Notices losses without an event: silent hosts and workers, and a scheduler that is gone."""
        if self._client is not None and self._client.status != "running":
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
            await link.call(host_agent.kill_worker, self._run_name, worker)

    # --- Losses -----------------------------------------------------------------------------------------------------

    def _lose_host(self, link: HostLink, reason: str) -> None:
        if link.gone:
            return
        link.gone = True
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
            *(what, link.name, share, reason, "go on" if goes_on else "stop"),
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
    return Host(
        name=link.name,
        address=link.address,
        first_worker=link.workers.start,
        workers=len(link.workers),
        facts=link.facts,
        clock_ahead_ns=link.clock.offset_ns,
        clock_error_ns=link.clock.error_ns,
    )
