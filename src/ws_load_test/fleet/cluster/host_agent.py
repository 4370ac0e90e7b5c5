"""Agent of a run on each host of a cluster: the code that runs inside the host's Dask worker.

`HostWorkers` is what one run has there: worker processes like those of any fleet, whose lines it passes on as events,
and whose lease it renews as long as its own is. A driver may have several runs one after another, which share the
files that it has sent (`file_store`). The functions below it are what the driver calls by `Client.run`,
which runs a function once or fails; a task would be run again somewhere else.

None of them raises: Dask logs the arguments of a call that fails, and they hold the plan with its secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import LoadTestError
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.cluster.file_store import FileStore
from ws_load_test.fleet.preflight import host_check
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits, local_source_addresses
from ws_load_test.fleet.worker_process import WorkerProcess
from ws_load_test.plan.plan import Plan
from ws_load_test.worker.ipc import Assignment, Command

if TYPE_CHECKING:
    from collections.abc import Coroutine

TOPIC = "ws-load-test"
"""Topic of the events of all runs. The scheduler keeps the last thousand events of a topic, so a topic for each run
would fill its memory."""
PROFILE_INTERVAL_MS = 1000.0
"""Interval of Dask's profiling while a run is on the host; see `_throttle_dask_profiling`."""
_LEASE_CHECK_S = 0.25
"""Interval of checking the lease: a small part of `host_link.LEASE_NS`."""
_JOBS_TIMEOUT_S = 2.0
"""Longest wait for cancelled jobs at the end of a run; they have nothing left to wait for themselves."""


class SecretBytes:
    """Bytes that no log shows when it shows the arguments of a call."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return "SecretBytes(***)"


class HostAssignment(msgspec.Struct, frozen=True):
    """One host's part of a run."""

    driver: str
    """Unique name of the driver, for all of its runs."""
    run: str
    """Unique name of the run."""
    host: int
    """The host's number in the run."""
    plan: Plan
    first_worker: int
    workers: int
    interval_ns: int
    lease_ns: int
    machine_connections: int
    """Connections of all hosts on the same machine together, which it must carry."""
    machine_workers: int
    """Workers of all hosts on the same machine together."""
    shipment: str
    """Name of the plan's files; see `shipped_files.shipment_name`."""
    files: dict[str, bytes] | None
    """Contents of the plan's files, by option; None: the host has them from an earlier run."""
    tag: str
    """Tag of the markers of the run, where it has a fan-out."""

    def sealed(self) -> SecretBytes:
        """Returns the assignment encoded, as an argument of `prepare`."""
        return SecretBytes(msgspec.msgpack.encode(self))


class HostReply(msgspec.Struct, frozen=True):
    """A host's reply to an assignment, or to the command to launch it."""

    problem: str = ""
    """Reason why it cannot be done; empty if it can."""
    sources: tuple[str, ...] = ()
    """Source addresses of the plan that the host has."""


class HostWorkers:
    """The workers of one run on this host."""

    def __init__(self, assignment: HostAssignment, dask_worker: Any) -> None:
        """Takes the assignment, and the Dask worker that this code runs in."""
        self.assignment = assignment
        self._dask_worker = dask_worker
        self._plan = assignment.plan
        self._lease_until_ns = monotonic_ns() + assignment.lease_ns
        self._workers: dict[int, WorkerProcess] = {}
        self._stopping = False
        self._events = 0
        """Events so far. Each has its number, so that the driver notices a missing one."""
        self._jobs: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None

    async def prepare(self) -> HostReply:
        """Writes the plan's files to this host, and checks that this machine can carry its part."""
        assignment = self.assignment
        self._start_job(self._end_with_lease())
        _throttle_dask_profiling(self._dask_worker)
        try:
            store = _store_for(assignment, self._dask_worker.local_directory)
            plan = store.place(assignment.plan, assignment.shipment, assignment.files)
            plan = msgspec.structs.replace(plan, bind=local_source_addresses(plan.bind))
            if assignment.plan.bind and not plan.bind:
                return HostReply(f"--bind: none of the {len(assignment.plan.bind)} addresses named is one of this host")
            part = {"connections": assignment.machine_connections, "workers": assignment.machine_workers}
            # In a thread: looking up names may take long, and the loop has a lease to keep.
            await asyncio.to_thread(check_and_raise_limits, msgspec.structs.replace(plan, **part))
        except LoadTestError as error:
            return HostReply(str(error))
        except OSError as error:
            return HostReply(f"cannot write the plan's files to {self._dask_worker.local_directory}: {error.strerror}")
        self._plan = plan
        return HostReply(sources=plan.bind)

    async def launch(self) -> HostReply:
        """Starts the workers."""
        assignment = self.assignment
        for number in range(assignment.first_worker, assignment.first_worker + assignment.workers):
            try:
                worker = await WorkerProcess.start()
            except OSError as error:
                return HostReply(f"cannot start a worker: {error.strerror}")
            self._workers[number] = worker
            if self._ending is not None:
                # The run ended while this process was being started, so the end did not include it.
                worker.kill()
                await worker.wait()
                return HostReply("its lease has expired")
            shard = Shard(number, assignment.plan.workers)
            worker.send(
                Assignment(
                    self._plan,
                    shard,
                    assignment.interval_ns,
                    assignment.lease_ns,
                    assignment.tag,
                    (assignment.first_worker, assignment.workers),
                    multi_host=True,
                )
            )
            if self._stopping:
                worker.send(Command("stop"))
            self._start_job(self._follow(number, worker))
        return HostReply()

    def send(self, command: Command) -> None:
        """Passes a command on to every worker, and renews the lease."""
        self._lease_until_ns = monotonic_ns() + self.assignment.lease_ns
        renew_files(self.assignment.driver)
        # Workers that are started later must stop as well.
        self._stopping = self._stopping or command.kind == "stop"
        for worker in self._workers.values():
            worker.send(command)

    def kill_worker(self, number: int) -> None:
        """Ends one worker at once, whatever it is doing; harmless if there is none."""
        if number in self._workers:
            self._workers[number].kill()

    async def shutdown(self) -> None:
        """Ends every worker; may be called several times."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        _runs.pop(self.assignment.run, None)
        _restore_dask_profiling(self._dask_worker)
        for worker in list(self._workers.values()):
            worker.kill()
            await worker.wait()
        for job in self._jobs - {asyncio.current_task()}:
            job.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=_JOBS_TIMEOUT_S)

    def _start_job(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _end_with_lease(self) -> None:
        """Ends the run on this host when its lease expires: the driver is gone or cannot be reached."""
        while monotonic_ns() < self._lease_until_ns:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(_LEASE_CHECK_S)
        self._ending = self._ending or asyncio.create_task(self._end())

    async def _follow(self, number: int, worker: WorkerProcess) -> None:
        """Passes on a worker's reports, and how it ended."""
        reason = await worker.follow(lambda line: self._log_event(number, {"line": line}))
        self._log_event(number, {"ended": reason})

    def _log_event(self, worker: int, message: dict[str, Any]) -> None:
        assignment = self.assignment
        # Not "worker": Dask writes the address of its own worker there.
        identity = {"run": assignment.run, "host": assignment.host, "load_worker": worker, "number": self._events}
        event = {**identity, **message}
        self._events += 1
        # A Dask worker that is closing has lost its scheduler, and with it the driver.
        with contextlib.suppress(OSError):
            self._dask_worker.log_event(TOPIC, event)


_runs: dict[str, HostWorkers] = {}
_stores: dict[str, FileStore] = {}
"""Files of each driver."""
_dask_intervals_ms: dict[str, float] = {}
"""Intervals of Dask's periodic callbacks before they were throttled, by callback."""


def _throttle_dask_profiling(dask_worker: Any) -> None:
    """Has Dask profile its own threads and loop once a second instead of 150 times.

    The profiling takes 4 % of a core, which the load needs; it is there to diagnose tasks, and a run has none.
    """
    callbacks = getattr(dask_worker, "periodic_callbacks", {})
    for name in ("profile", "tick"):
        if name in callbacks and name not in _dask_intervals_ms:
            _dask_intervals_ms[name] = callbacks[name].callback_time
            callbacks[name].callback_time = PROFILE_INTERVAL_MS


def _restore_dask_profiling(dask_worker: Any) -> None:
    """Has Dask profile as before, once the last run on this host is over."""
    callbacks = getattr(dask_worker, "periodic_callbacks", {})
    while not _runs and _dask_intervals_ms:
        name, interval_ms = _dask_intervals_ms.popitem()
        callbacks[name].callback_time = interval_ms


# --- Functions that the driver calls ----------------------------------------------------------------------------------


def now_ns() -> int:
    """Returns the monotonic clock of this machine."""
    return monotonic_ns()


def machine_info() -> dict[str, Any]:
    """Returns this machine's name, an id of the machine, and the facts that a recording keeps of it."""
    return {"name": platform.node(), "machine": _machine_id(), "facts": host_check.machine_info()}


async def prepare(assignment: SecretBytes, dask_worker: Any = None) -> dict[str, Any]:
    """Prepares a host for a run, without touching the target; returns the fields of a `HostReply`.

    After a problem nothing of the driver is left here, the files of earlier runs included.
    """
    decoded = msgspec.msgpack.decode(assignment.data, type=HostAssignment)
    workers = _runs[decoded.run] = HostWorkers(decoded, dask_worker)
    reply = await workers.prepare()
    if reply.problem:
        await leave(decoded.driver)
    return msgspec.structs.asdict(reply)


async def launch(run: str) -> dict[str, Any]:
    """Starts a run's workers; returns the fields of a `HostReply`."""
    workers = _runs.get(run)
    reply = HostReply("its lease has expired") if workers is None else await workers.launch()
    return msgspec.structs.asdict(reply)


async def send(run: str, command: bytes) -> bool:
    """Sends a command to a run's workers, and renews its lease; returns False if the host knows no such run."""
    workers = _runs.get(run)
    if workers is None:
        return False
    workers.send(msgspec.json.decode(command, type=Command))
    return True


def renew_files(driver: str) -> None:
    """Keeps a driver's files, between its runs as well."""
    if driver in _stores:
        _stores[driver].renew()


async def kill_worker(run: str, number: int) -> None:
    """Ends one worker of a run at once."""
    if run in _runs:
        _runs[run].kill_worker(number)


async def shutdown(run: str) -> None:
    """Ends a run on this host."""
    if run in _runs:
        await _runs[run].shutdown()


async def leave(driver: str) -> None:
    """Ends every run of a driver on this host, and removes its files."""
    for workers in [workers for workers in _runs.values() if workers.assignment.driver == driver]:
        await workers.shutdown()
    if driver in _stores:
        _stores.pop(driver).remove()


def _store_for(assignment: HostAssignment, parent: str) -> FileStore:
    """Returns the driver's files on this host; none of them are there at first, or after its lease has expired.

    Raises:
        OSError: Their directory cannot be made.
    """
    for driver in [driver for driver, store in _stores.items() if store.expired]:
        del _stores[driver]
    if assignment.driver not in _stores:
        _stores[assignment.driver] = FileStore(parent, assignment.lease_ns)
    _stores[assignment.driver].renew()
    return _stores[assignment.driver]


def _machine_id() -> str:
    """Returns the same text for all Dask workers that share ports and memory: the boot and its network namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/net').readlink()}"
    except OSError:
        return platform.node()
