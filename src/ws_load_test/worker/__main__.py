"""The program of one worker: ``python -m ws_load_test.worker``.

It reads an assignment and commands on standard input and writes reports to standard output (`ipc` has
their form), so any fleet that can start a process and hold its pipes can run it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import IO, Any

import msgspec

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.common.errors import ExitCode, UsageError, WorkerError
from ws_load_test.common.event_loop import run
from ws_load_test.worker.ipc import LEASE_EXPIRED, LONGEST_ASSIGNMENT_BYTES, Assignment, Command
from ws_load_test.worker.phases import WorkerRun


class LeaseExpiredError(Exception):
    """Nothing was read for as long as the lease."""


async def serve(assignment: Assignment, lines: asyncio.StreamReader, out: asyncio.WriteTransport) -> bool:
    """Runs a worker that reads commands from `lines` and reports to `out`; `lines` ending ends it at once.

    Returns:
        True if it came to its own end, so that its last report is awaited.

    Raises:
        LeaseExpiredError: It ended because its lease had.
    """
    encoder = msgspec.json.Encoder()
    worker = WorkerRun(assignment, lambda report: out.write(encoder.encode(report) + b"\n"))
    running = asyncio.create_task(worker.run())

    causes: list[BaseException] = []

    def broken(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A callback that fails is a bug, or a feed that cannot be read on; a worker that went on would report numbers
        # that cannot be trusted.
        error = context.get("exception")
        if isinstance(error, UsageError):
            causes.append(error)
        else:
            loop.default_exception_handler(context)
        running.cancel(context["message"])

    asyncio.get_running_loop().set_exception_handler(broken)
    obeying = asyncio.create_task(_handle_commands(worker, lines, assignment.lease_ns))
    await asyncio.wait((running, obeying), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, obeying):
        task.cancel()
    await asyncio.wait((running, obeying))
    if not running.cancelled():
        running.result()
        return True
    if causes:
        raise causes[0]
    if obeying.cancelled():
        raise WorkerError("a callback of the engine failed")
    obeying.result()
    return False


async def _handle_commands(worker: WorkerRun, lines: asyncio.StreamReader, lease_ns: int) -> None:
    """Carries out commands until its input ends.

    Raises:
        LeaseExpiredError: Nothing was read for as long as the lease.
    """
    while True:
        try:
            async with asyncio.timeout(lease_ns / NS_PER_S or None):
                line = await lines.readline()
        except TimeoutError:
            raise LeaseExpiredError from None
        if not line:
            return
        command = msgspec.json.decode(line, type=Command)
        if command.kind == "start":
            worker.start_at(command.at_ns, command.switch)
        elif command.kind == "hold":
            worker.hold(command.number, command.at_ns)
        elif command.kind == "switch":
            worker.switch(command.switch)
        elif command.kind == "give_up":
            worker.give_up()
        elif command.kind == "published":
            worker.finish_publishing(command.published)
        elif command.kind == "stop":
            worker.stop()


class _StdoutDrain(asyncio.BaseProtocol):
    """Protocol of standard output: `closed` is set once all that was written has left."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by the loop."""
        self.closed.set()


def _reports() -> IO[bytes]:
    """Returns standard output, for reports alone: what the code of a scenario prints goes to standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


async def _main() -> int:
    """Runs the worker; returns the exit code."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LONGEST_ASSIGNMENT_BYTES)
    commands, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    out, pipe = await loop.connect_write_pipe(_StdoutDrain, _reports())
    try:
        line = await lines.readline()
        if not line.endswith(b"\n"):
            # The fleet ended before the assignment had left.
            return ExitCode.PASSED
        code = 0
        try:
            is_complete = await serve(msgspec.json.decode(line, type=Assignment), lines, out)
        except LeaseExpiredError:
            is_complete, code = False, LEASE_EXPIRED
        if not is_complete:
            # The process that held the pipes is gone or stands still, and might never read what is left.
            out.abort()
            return code
        out.close()
        # The last report is the longest, and the process must not end before it has left.
        await pipe.closed.wait()
        return ExitCode.PASSED
    finally:
        commands.close()
        out.close()


def _first(errors: BaseExceptionGroup[UsageError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> None:
    """The process of one worker."""
    # The terminal's Ctrl-C goes to every process; what it means is the fleet's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code: int = ExitCode.PASSED
    try:
        code = run(_main())
    except* UsageError as errors:
        sys.stderr.write(f"{_first(errors)}\n")
        code = ExitCode.USAGE
    sys.exit(code)


if __name__ == "__main__":
    main()
