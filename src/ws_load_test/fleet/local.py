"""Fleet of this machine: a process for each worker, commands to its stdin, reports from its stdout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import HostError, cause_of
from ws_load_test.common.sharding import Shard
from ws_load_test.common.units import format_duration
from ws_load_test.fleet.base import Fleet
from ws_load_test.fleet.heartbeats import FIRST_REPORT_NS, HeartbeatMonitor
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits
from ws_load_test.fleet.worker_process import EXIT_TIMEOUT_S, WorkerProcess
from ws_load_test.worker.ipc import Assignment, Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

LOST_AFTER_NS = 10 * NS_PER_S
"""Longest silence of a worker beyond its interval: one that was stopped, or hangs, would hold up the run for ever. Ten
seconds are more than a busy machine makes a process wait."""
_CHECK_S = 0.2
"""Interval of the check for silent workers, which must be several times a second; see `HeartbeatMonitor.overdue`."""


class LocalFleet(Fleet):
    """Runs a plan's workers as processes of this machine, once."""

    def __init__(self, plan: Plan, on_interval: Callable[[IntervalEvent], None], interval_ns: int = NS_PER_S) -> None:
        super().__init__(plan, on_interval, interval_ns)
        self.pids: dict[int, int] = {}
        """Process number of each worker."""
        self._workers: dict[int, WorkerProcess] = {}
        self._killed = False
        self._heartbeats: HeartbeatMonitor[int] = HeartbeatMonitor()
        self._reporting: set[int] = set()
        """Workers that have reported."""
        self._silent: set[int] = set()
        """Workers that were ended because they were silent for too long."""

    async def prepare(self) -> None:
        """Raises this machine's limits as far as the plan needs; see `Fleet`."""
        check_and_raise_limits(self.plan)

    async def run(self) -> None:
        """Runs the plan, from the start of the first worker to the end of the last one; see `Fleet`."""
        watching = asyncio.create_task(self._end_silent_workers())
        try:
            for number in range(self.plan.workers):
                await self._launch(number)
            await asyncio.gather(*(self._follow(number, worker) for number, worker in self._workers.items()))
        finally:
            watching.cancel()
            await self.shutdown()

    def kill(self) -> None:
        """Ends every worker at once; what they have not reported is lost."""
        self.interrupted = self._killed = True
        for worker in self._workers.values():
            worker.kill()

    async def _launch(self, number: int) -> None:
        try:
            worker = await WorkerProcess.start()
        except OSError as error:
            raise HostError(f"cannot start worker {number}: {cause_of(error)}; -w starts fewer") from None
        self._workers[number] = worker
        self.pids[number] = worker.pid
        self._heartbeats.expect(number, self._interval_ns + LOST_AFTER_NS, monotonic_ns(), FIRST_REPORT_NS)
        worker.send(Assignment(self.plan, Shard(number, self.plan.workers), self._interval_ns, tag=self.tag))
        if self.interrupted:
            worker.send(Command("stop"))

    async def _follow(self, number: int, worker: WorkerProcess) -> None:
        """Adds a worker's reports to the run until it ends, and records its loss if it ended too early."""

        def on_line(line: bytes) -> None:
            self._heartbeats.heard(number, monotonic_ns())
            self._reporting.add(number)
            self._on_report(number, line)
            if self.coordinator.is_done(number):
                worker.expect_exit()

        reason = await worker.follow(on_line)
        self._heartbeats.forget(number)
        if number in self._silent:
            first_ns = 0 if number in self._reporting else FIRST_REPORT_NS
            reason = f"it was silent for {format_duration(self._interval_ns + LOST_AFTER_NS + first_ns)}"
        if self._killed:
            self.coordinator.on_worker_stopped(number)
        elif not self.coordinator.is_done(number):
            self._on_worker_lost(number, reason)

    async def _end_silent_workers(self) -> None:
        """Ends workers that were stopped, or hang; `_follow` records their loss."""
        while True:
            await asyncio.sleep(_CHECK_S)
            for number in self._heartbeats.overdue(monotonic_ns()):
                self._silent.add(number)
                self._workers[number].kill()

    def _broadcast(self, command: Command) -> None:
        for worker in self._workers.values():
            worker.send(command)

    async def shutdown(self) -> None:
        """Ends every process that is left."""
        for worker in self._workers.values():
            worker.close_stdin()
        for worker in self._workers.values():
            try:
                async with asyncio.timeout(EXIT_TIMEOUT_S):
                    await worker.wait()
            except (TimeoutError, asyncio.CancelledError):
                worker.kill()
                await worker.wait()
