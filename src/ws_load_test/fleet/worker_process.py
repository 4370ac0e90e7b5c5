"""One worker's process: started with pipes, written commands, read for reports, and its end put into words."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from typing import TYPE_CHECKING, Self

import msgspec

from ws_load_test.fleet.exit_reason import STDERR_TAIL_LINES, exit_reason
from ws_load_test.worker.ipc import LONGEST_LINE_BYTES

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from ws_load_test.worker.ipc import Assignment, Command

_encoder = msgspec.json.Encoder()


class WorkerProcess:
    """A worker that this process has started."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)

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
            limit=LONGEST_LINE_BYTES,
            # Out of the terminal's reach: what Ctrl-C means is decided by the fleet.
            start_new_session=True,
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

    async def wait(self) -> None:
        """Returns when the process has ended."""
        await self._process.wait()

    async def follow(self, on_line: Callable[[bytes], None]) -> str:
        """Calls `on_line` with each line of standard output until the process ends; returns how it ended, in words.

        The words hold nothing that could be a secret (see `exit_reason`).
        """
        stdout = self._process.stdout
        assert stdout is not None
        stderr = asyncio.create_task(self._keep_stderr_tail())
        try:
            # A line without its end is the last of a worker that was killed while it wrote.
            while (line := await stdout.readline()).endswith(b"\n"):
                on_line(line)
            code = await self._process.wait()
            await stderr
        finally:
            stderr.cancel()
        return exit_reason(code, self._stderr_tail)

    async def _keep_stderr_tail(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while line := await stream.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self._stderr_tail.append(text)
