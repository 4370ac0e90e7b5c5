"""The part of a run on a cluster that is on each of its hosts, inside its Dask worker.

A *party* is what one run has there: worker processes like those of any fleet, whose lines it passes on as events, and
whose lease it renews as long as its own is. The functions below are what the driver calls by `Client.run`, which runs
a function once or fails, where a task would be run again somewhere else.

None of them raises: Dask logs the arguments of what fails, and they hold the plan with its secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import LoadTestError
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.cluster import shipped_files
from ws_load_test.fleet.exit_reason import STDERR_TAIL_LINES, exit_reason
from ws_load_test.fleet.preflight import host_check
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits, local_source_addresses
from ws_load_test.plan.plan import Plan
from ws_load_test.worker.ipc import LONGEST_LINE_BYTES, Assignment, Command

if TYPE_CHECKING:
    from asyncio.subprocess import Process

TOPIC = "ws-load-test"
"""Of all events: the scheduler keeps the last thousand of a topic, so that one for each run would fill its memory."""
CALM_MS = 1000.0
_LOOK_S = 0.25
_END_TIMEOUT_S = 2.0
_encoder = msgspec.json.Encoder()


class SecretBytes:
    """Bytes that no log shows, whoever logs the arguments of a call."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return "SecretBytes(***)"


class HostAssignment(msgspec.Struct, frozen=True):
    """What a host is to do."""

    run: str
    """The run's name, which is unique."""
    host: int
    """The host's number in the run."""
    plan: Plan
    first_worker: int
    workers: int
    interval_ns: int
    lease_ns: int
    machine_connections: int
    """Of all hosts on the same machine: what it must carry in all."""
    machine_workers: int
    files: dict[str, bytes]
    """What the plan's files hold, by option."""

    def sealed(self) -> SecretBytes:
        """The order on its way."""
        return SecretBytes(msgspec.msgpack.encode(self))


class HostReply(msgspec.Struct, frozen=True):
    """What a host says to an order."""

    problem: str = ""
    """Why it cannot be done; empty if it can."""
    sources: tuple[str, ...] = ()
    """Of the plan's source addresses those that are the host's."""


class HostWorkers:
    """The workers of one run on this host."""

    def __init__(self, order: HostAssignment, dask_worker: Any) -> None:
        self.order = order
        self._dask_worker = dask_worker
        self._plan = order.plan
        self._directory: Path | None = None
        self._until_ns = monotonic_ns() + order.lease_ns
        self._processes: dict[int, Process] = {}
        self._stopping = False
        self._told = 0
        """Events so far: the driver would notice if one were missing."""
        self._jobs: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None

    async def prepare(self) -> HostReply:
        """Brings the plan's files here, and looks whether this machine can carry its part."""
        order = self.order
        self._begin(self._guard())
        _throttle_dask_profiling(self._dask_worker)
        try:
            directory = Path(tempfile.mkdtemp(prefix="ws-load-test-", dir=self._dask_worker.local_directory))
            self._directory = directory
            plan = shipped_files.write_all(order.plan, order.files, directory)
            plan = msgspec.structs.replace(plan, bind=local_source_addresses(plan.bind))
            if order.plan.bind and not plan.bind:
                return HostReply(f"--bind: none of the {len(order.plan.bind)} addresses named is one of this host")
            part = {"connections": order.machine_connections, "workers": order.machine_workers}
            # Looking up names may take long, and the loop has leases to keep.
            await asyncio.to_thread(check_and_raise_limits, msgspec.structs.replace(plan, **part))
        except LoadTestError as error:
            return HostReply(str(error))
        except OSError as error:
            return HostReply(f"cannot write the plan's files to {self._dask_worker.local_directory}: {error.strerror}")
        self._plan = plan
        return HostReply(sources=plan.bind)

    async def launch(self) -> HostReply:
        """Starts the workers."""
        order = self.order
        for number in range(order.first_worker, order.first_worker + order.workers):
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "ws_load_test.worker",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=LONGEST_LINE_BYTES,
                    start_new_session=True,
                )
            except OSError as error:
                return HostReply(f"cannot start a worker: {error.strerror}")
            self._processes[number] = process
            if self._ending is not None:
                # Nobody else would end one that has just come into being.
                self.kill_worker(number)
                await process.wait()
                return HostReply("its lease has expired")
            share = Shard(number, order.plan.workers)
            assignment = Assignment(self._plan, share, order.interval_ns, order.lease_ns, multi_host=True)
            self._write(process, _encoder.encode(assignment) + b"\n")
            if self._stopping:
                self._write(process, _encoder.encode(Command("stop")) + b"\n")
            self._begin(self._follow(number, process))
        return HostReply()

    def send(self, command: Command) -> None:
        """Passes a command on to every worker; that renews the lease."""
        self._until_ns = monotonic_ns() + self.order.lease_ns
        # Whoever is still to be started is to hear of that as well.
        self._stopping = self._stopping or command.kind == "stop"
        line = _encoder.encode(command) + b"\n"
        for process in self._processes.values():
            self._write(process, line)

    def kill_worker(self, number: int) -> None:
        """Ends one worker at once, wherever it hangs."""
        process = self._processes.get(number)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def shutdown(self) -> None:
        """Ends every worker, and leaves nothing behind."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        _runs.pop(self.order.run, None)
        _restore_dask_profiling(self._dask_worker)
        for number, process in list(self._processes.items()):
            self.kill_worker(number)
            await process.wait()
        for job in self._jobs - {asyncio.current_task()}:
            job.cancel()
        await asyncio.wait(self._jobs, timeout=_END_TIMEOUT_S) if self._jobs else None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _begin(self, work: Any) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _guard(self) -> None:
        """Ends the party when its lease has: the driver is gone, or cannot be reached."""
        while monotonic_ns() < self._until_ns:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(_LOOK_S)
        self._ending = self._ending or asyncio.create_task(self._end())

    async def _follow(self, number: int, process: Process) -> None:
        """Passes on what a worker reports, and how it ended."""
        assert process.stdout is not None
        words: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
        listening = asyncio.create_task(_listen(process, words))
        try:
            # A line without its end is the last of a worker that was killed while it wrote.
            while (line := await process.stdout.readline()).endswith(b"\n"):
                self._post(number, {"line": line})
            code = await process.wait()
            await listening
            self._post(number, {"ended": exit_reason(code, words)})
        finally:
            listening.cancel()

    def _post(self, number: int, message: dict[str, Any]) -> None:
        order = self.order
        event = {"run": order.run, "host": order.host, "of": number, "number": self._told, **message}
        self._told += 1
        # A Dask worker that is closing has lost its scheduler, and with it the driver.
        with contextlib.suppress(OSError):
            self._dask_worker.log_event(TOPIC, event)

    @staticmethod
    def _write(process: Process, line: bytes) -> None:
        assert process.stdin is not None
        if not process.stdin.is_closing():
            process.stdin.write(line)


_runs: dict[str, HostWorkers] = {}
_hurried: dict[str, float] = {}
"""How often Dask looks at itself when it is not kept from it, in ms."""


def _throttle_dask_profiling(dask_worker: Any) -> None:
    """Has Dask look at its own threads and loop once a second, and not 150 times.

    That takes 4 % of a core, of which load is made here; what it is for, diagnosing tasks, there is none of.
    """
    callbacks = getattr(dask_worker, "periodic_callbacks", {})
    for name in ("profile", "tick"):
        if name in callbacks and name not in _hurried:
            _hurried[name] = callbacks[name].callback_time
            callbacks[name].callback_time = CALM_MS


def _restore_dask_profiling(dask_worker: Any) -> None:
    """Has it do as before, when the last party is over."""
    callbacks = getattr(dask_worker, "periodic_callbacks", {})
    while not _runs and _hurried:
        name, interval_ms = _hurried.popitem()
        callbacks[name].callback_time = interval_ms


async def _listen(process: Process, words: deque[str]) -> None:
    """Keeps the last lines that a worker wrote to standard error."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        text = line.decode(errors="replace").strip()
        if text:
            words.append(text)


# --- What the driver calls --------------------------------------------------------------------------------------------


def now_ns() -> int:
    """The monotonic clock of this machine."""
    return monotonic_ns()


def machine_info() -> dict[str, Any]:
    """What there is to know of this machine."""
    return {"name": platform.node(), "machine": _machine(), "facts": host_check.machine_info()}


async def settle(order: SecretBytes, dask_worker: Any = None) -> dict[str, Any]:
    """Prepares a party; nothing of the target is touched."""
    read = msgspec.msgpack.decode(order.data, type=HostAssignment)
    party = _runs[read.run] = HostWorkers(read, dask_worker)
    answer = await party.prepare()
    if answer.problem:
        await party.shutdown()
    return msgspec.structs.asdict(answer)


async def launch(run: str) -> dict[str, Any]:
    """Starts a party's workers."""
    party = _runs.get(run)
    answer = HostReply("its lease has expired") if party is None else await party.launch()
    return msgspec.structs.asdict(answer)


async def tell(run: str, command: str, at_ns: int) -> bool:
    """Tells a party's workers a command, and renews its lease; returns whether there is such a party."""
    party = _runs.get(run)
    if party is None:
        return False
    party.send(msgspec.convert({"kind": command, "at_ns": at_ns}, Command))
    return True


async def drop(run: str, number: int) -> None:
    """Ends one worker of a party."""
    if run in _runs:
        _runs[run].kill_worker(number)


async def end(run: str) -> None:
    """Ends a party."""
    if run in _runs:
        await _runs[run].shutdown()


def _machine() -> str:
    """The same for all Dask workers that share ports and memory: the kernel's run, and its network namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/net').readlink()}"
    except OSError:
        return platform.node()
