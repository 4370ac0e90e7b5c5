"""The fleet of this machine: a process for each worker, commands to its stdin, reports from its stdout."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.engine.protocol import LONGEST_LINE_BYTES, Assignment, Command, Report
from ws_load_test.errors import ExitCode, WorkerError
from ws_load_test.fleet.conductor import Conductor
from ws_load_test.pace import Share

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Iterable

    from ws_load_test.measure.recording import Interval
    from ws_load_test.plan import Plan

START_AFTER_NS = 50 * NS_PER_MS
"""Time for the word to reach every worker."""
START_AFTER_NS_PER_CONNECTION = 20_000
"""Time for a worker to look through its memory once before the load, which grows with its connections."""
_CRASH = re.compile(r"[\s|+-]*((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt))\b")
EXIT_TIMEOUT_S = 5.0
"""How long a worker may take to exit after its last report."""
LAST_WORDS = 5
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Report)


class LocalFleet:
    """Runs a plan's workers as processes of this machine, once."""

    def __init__(self, plan: Plan, on_interval: Callable[[Interval], None], interval_ns: int = NS_PER_S) -> None:
        self.plan = plan
        self.interrupted = False
        self.conductor = Conductor(plan.workers, monotonic_ns())
        self.pids: dict[int, int] = {}
        """The process of each worker."""
        self._on_interval = on_interval
        self._interval_ns = interval_ns
        self._processes: dict[int, Process] = {}
        self._last_words: dict[int, deque[str]] = {}
        self._commanded = False
        self._killed = False
        self._deserted = False

    async def run(self) -> None:
        """From the first worker's start to the last one's end.

        Raises:
            WorkerError: a worker wrote something that is not a report.
        """
        try:
            for index in range(self.plan.workers):
                await self._launch(index)
            await asyncio.gather(*(self._follow(index) for index in self._processes))
        finally:
            await self._clear_away()

    def stop(self) -> None:
        """Nothing more is sent; replies are waited for, sessions closed, and the run counts as interrupted."""
        self.interrupted = True
        self._command(Command("stop"))

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
            "ws_load_test.engine.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
            # Out of the terminal's reach: what Ctrl-C means is ours to say.
            start_new_session=True,
        )
        self._processes[index] = process
        self.pids[index] = process.pid
        self._last_words[index] = deque(maxlen=LAST_WORDS)
        self._say(index, Assignment(self.plan, Share(index, self.plan.workers), self._interval_ns))
        if self.interrupted:
            self._say(index, Command("stop"))

    async def _follow(self, index: int) -> None:
        """Hears a worker out, and notices its death."""
        process = self._processes[index]
        assert process.stdout is not None
        listening = asyncio.create_task(self._listen(index))
        try:
            # A line without its end is the last of a worker that was killed while it wrote.
            while (line := await process.stdout.readline()).endswith(b"\n"):
                try:
                    intervals = self.conductor.report(index, _decoder.decode(line))
                except (msgspec.DecodeError, ValueError) as error:
                    raise WorkerError(f"worker {index} wrote something that is not a report: {error}") from None
                self._publish(intervals)
                self._direct()
            code = await process.wait()
            await listening
            if self._killed:
                self.conductor.dismiss(index)
            elif not self.conductor.is_done(index):
                self._publish(self.conductor.lose(index, self._reason(index, code), monotonic_ns()))
                self._direct()
        finally:
            listening.cancel()

    def _direct(self) -> None:
        """Begins the load when every worker is ready, and ends it when nobody is connected any more."""
        if self._commanded:
            if self.conductor.deserted and not self.plan.refills and not self._deserted:
                self._deserted = True
                self._command(Command("stop"))
            return
        if not self.conductor.ready:
            return
        self._commanded = True
        # Where connections follow a shape, the first is dialled when the load begins.
        worthwhile = self.conductor.opened or self.plan.connection_shape is not None
        if worthwhile and not self.interrupted:
            connections = self.plan.connections_of(Share(0, self.plan.workers))
            wait_ns = START_AFTER_NS + connections * START_AFTER_NS_PER_CONNECTION
            self._command(Command("start", monotonic_ns() + wait_ns))
        else:
            self._command(Command("stop"))

    def _publish(self, intervals: Iterable[Interval]) -> None:
        for interval in intervals:
            self._on_interval(interval)

    def _command(self, command: Command) -> None:
        for index in self._processes:
            self._say(index, command)

    def _say(self, index: int, words: Assignment | Command) -> None:
        pipe = self._processes[index].stdin
        assert pipe is not None
        if not pipe.is_closing():
            pipe.write(_encoder.encode(words) + b"\n")

    async def _listen(self, index: int) -> None:
        """Keeps the last lines that a worker wrote to standard error."""
        stream = self._processes[index].stderr
        assert stream is not None
        while line := await stream.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self._last_words[index].append(text)

    def _reason(self, index: int, code: int) -> str:
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            return f"its process was killed ({name})"
        words = self._last_words[index]
        if code == ExitCode.USAGE and words:
            return f"its process ended with code {code}: {words[-1]}"
        # Of a crash its kind and no more: what an exception quotes may be a secret.
        kinds = [found[1] for word in words if (found := _CRASH.match(word))]
        return f"its process ended with code {code}" + (f": {kinds[-1]}" if kinds else "")

    async def _clear_away(self) -> None:
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
