"""The fleet of this machine: a process for each worker, commands to its stdin, reports from its stdout."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.sharding import Shard
from ws_load_test.fleet.base import Fleet
from ws_load_test.fleet.exit_reason import STDERR_TAIL_LINES, exit_reason
from ws_load_test.fleet.preflight.host_check import check_and_raise_limits
from ws_load_test.worker.ipc import LONGEST_LINE_BYTES, Assignment, Command

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from ws_load_test.metrics.recording import Interval
    from ws_load_test.plan.plan import Plan

EXIT_TIMEOUT_S = 5.0
"""How long a worker may take to exit after its last report."""
_encoder = msgspec.json.Encoder()


class LocalFleet(Fleet):
    """Runs a plan's workers as processes of this machine, once."""

    def __init__(self, plan: Plan, on_interval: Callable[[Interval], None], interval_ns: int = NS_PER_S) -> None:
        super().__init__(plan, on_interval, interval_ns)
        self.pids: dict[int, int] = {}
        """The process of each worker."""
        self._processes: dict[int, Process] = {}
        self._stderr_tail: dict[int, deque[str]] = {}
        self._killed = False

    async def prepare(self) -> None:
        """Raises this machine's limits as far as the plan needs."""
        check_and_raise_limits(self.plan)

    async def run(self) -> None:
        """From the first worker's start to the last one's end.

        Raises:
            WorkerError: a worker wrote something that is not a report.
        """
        try:
            for index in range(self.plan.workers):
                await self._launch(index)
            await asyncio.gather(*(self._read_reports(index) for index in self._processes))
        finally:
            await self.shutdown()

    def kill(self) -> None:
        """Ends every worker at once; what they had not reported is gone."""
        self.interrupted = self._killed = True
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _launch(self, index: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ws_load_test.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
            # Out of the terminal's reach: what Ctrl-C means is ours to say.
            start_new_session=True,
        )
        self._processes[index] = process
        self.pids[index] = process.pid
        self._stderr_tail[index] = deque(maxlen=STDERR_TAIL_LINES)
        self._send(index, Assignment(self.plan, Shard(index, self.plan.workers), self._interval_ns))
        if self.interrupted:
            self._send(index, Command("stop"))

    async def _read_reports(self, index: int) -> None:
        """Hears a worker out, and notices its death."""
        process = self._processes[index]
        assert process.stdout is not None
        listening = asyncio.create_task(self._read_stderr(index))
        try:
            # A line without its end is the last of a worker that was killed while it wrote.
            while (line := await process.stdout.readline()).endswith(b"\n"):
                self._on_report(index, line)
            code = await process.wait()
            await listening
            if self._killed:
                self.coordinator.on_worker_stopped(index)
            elif not self.coordinator.is_done(index):
                self._on_worker_lost(index, exit_reason(code, self._stderr_tail[index]))
        finally:
            listening.cancel()

    def _broadcast(self, command: Command) -> None:
        for index in self._processes:
            self._send(index, command)

    def _send(self, index: int, words: Assignment | Command) -> None:
        pipe = self._processes[index].stdin
        assert pipe is not None
        if not pipe.is_closing():
            pipe.write(_encoder.encode(words) + b"\n")

    async def _read_stderr(self, index: int) -> None:
        """Keeps the last lines that a worker wrote to standard error."""
        stream = self._processes[index].stderr
        assert stream is not None
        while line := await stream.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self._stderr_tail[index].append(text)

    async def shutdown(self) -> None:
        """Leaves no process behind."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes.values():
            try:
                async with asyncio.timeout(EXIT_TIMEOUT_S):
                    await process.wait()
            except (TimeoutError, asyncio.CancelledError):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
