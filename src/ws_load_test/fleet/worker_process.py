"""One worker's process: started with pipes, written commands, read for reports, and its end put into words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Self

import msgspec

from ws_load_test.common.errors import WorkerError
from ws_load_test.fleet.exit_reason import STDERR_TAIL_LINES, exit_reason
from ws_load_test.worker.ipc import LONGEST_REPORT_BYTES

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from ws_load_test.worker.ipc import Assignment, Command

EXIT_TIMEOUT_S = 5.0
"""Longest wait for a worker to exit after its last report; it only has to close its pipes."""
_LONGEST_ERROR_CHARACTERS = 10_000
"""Characters of a line of standard error that are kept."""
_encoder = msgspec.json.Encoder()


class WorkerProcess:
    """A worker that this process has started."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
        self._killing: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> Self:
        """Starts a worker, which waits for its assignment.

        Raises:
            OSError: The system does not start it.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ws_load_test.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_REPORT_BYTES,
            # Out of the terminal's reach: what Ctrl-C means is decided by the fleet.
            start_new_session=True,
            # numpy's algebra, which no worker needs, would start a thread for each core: see `tcp._connect`.
            env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def send(self, message: Assignment | Command) -> None:
        """Writes a line to the worker's standard input; does nothing once that is closed."""
        stdin = self._process.stdin
        assert stdin is not None
        if not stdin.is_closing():
            stdin.write(_encoder.encode(message) + b"\n")

    def close_stdin(self) -> None:
        """Closes the worker's standard input, upon which it ends at once."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """Ends the process at once; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def expect_exit(self) -> None:
        """Ends the process unless it ends by itself within `EXIT_TIMEOUT_S`."""
        if self._killing is None:
            self._killing = asyncio.get_running_loop().call_later(EXIT_TIMEOUT_S, self.kill)

    async def wait(self) -> None:
        """Returns when the process has ended."""
        await self._process.wait()

    async def follow(self, on_line: Callable[[bytes], None]) -> str:
        """Calls `on_line` with each line of standard output until the process ends; returns how it ended, in words.

        The words hold nothing that could be a secret (see `exit_reason`).
        """
        stderr = asyncio.create_task(self._keep_stderr_tail())
        try:
            # A line without its end is the last of a worker that was killed while it wrote.
            while (line := await self._next_line()).endswith(b"\n"):
                on_line(line)
            self.expect_exit()
            code = await self._process.wait()
            await stderr
        finally:
            stderr.cancel()
            if self._killing is not None:
                self._killing.cancel()
        return exit_reason(code, self._stderr_tail)

    async def _next_line(self) -> bytes:
        """Returns the next line of standard output, without its end if it is the last.

        Raises:
            WorkerError: The line is longer than any report.
        """
        stdout = self._process.stdout
        assert stdout is not None
        try:
            return await stdout.readline()
        except ValueError:
            raise WorkerError(f"a worker wrote a line of more than {LONGEST_REPORT_BYTES} bytes") from None

    async def _keep_stderr_tail(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        rest = ""
        while data := await stream.read(1 << 16):
            *lines, rest = (rest + data.decode(errors="replace")).split("\n")
            rest = rest[:_LONGEST_ERROR_CHARACTERS]
            self._stderr_tail.extend(text[:_LONGEST_ERROR_CHARACTERS] for line in lines if (text := line.strip()))
        if rest.strip():
            self._stderr_tail.append(rest.strip())
