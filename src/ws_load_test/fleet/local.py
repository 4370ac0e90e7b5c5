"""Fleet of this machine: a process for each worker, commands to its stdin, reports from its stdout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.base import Fleet
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits
from ws_load_test.fleet.worker_process import WorkerProcess
from ws_load_test.worker.ipc import Assignment, Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.metrics.interval_event import IntervalEvent
    from ws_load_test.plan.plan import Plan

EXIT_TIMEOUT_S = 5.0
"""Longest wait for a worker to exit after its last report; it only has to close its pipes."""


class LocalFleet(Fleet):
    """Runs a plan's workers as processes of this machine, once."""

    def __init__(self, plan: Plan, on_interval: Callable[[IntervalEvent], None], interval_ns: int = NS_PER_S) -> None:
        super().__init__(plan, on_interval, interval_ns)
        self.pids: dict[int, int] = {}
        """Process number of each worker."""
        self._workers: dict[int, WorkerProcess] = {}
        self._killed = False

    async def prepare(self) -> None:
        """Raises this machine's limits as far as the plan needs; see `Fleet`."""
        check_and_raise_limits(self.plan)

    async def run(self) -> None:
        """Runs the plan, from the start of the first worker to the end of the last one; see `Fleet`."""
        try:
            for number in range(self.plan.workers):
                await self._launch(number)
            await asyncio.gather(*(self._follow(number, worker) for number, worker in self._workers.items()))
        finally:
            await self.shutdown()

    def kill(self) -> None:
        """Ends every worker at once; what they have not reported is lost."""
        self.interrupted = self._killed = True
        for worker in self._workers.values():
            worker.kill()

    async def _launch(self, number: int) -> None:
        worker = await WorkerProcess.start()
        self._workers[number] = worker
        self.pids[number] = worker.pid
        worker.send(Assignment(self.plan, Shard(number, self.plan.workers), self._interval_ns))
        if self.interrupted:
            worker.send(Command("stop"))

    async def _follow(self, number: int, worker: WorkerProcess) -> None:
        """Adds a worker's reports to the run until it ends, and records its loss if it ended too early."""
        reason = await worker.follow(lambda line: self._on_report(number, line))
        if self._killed:
            self.coordinator.on_worker_stopped(number)
        elif not self.coordinator.is_done(number):
            self._on_worker_lost(number, reason)

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
