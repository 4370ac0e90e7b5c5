"""Runs the commands of a plan at instants of its load, on the machine that leads the run, each in a process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import cause_of
from ws_load_test.metrics.recording import CommandRun
from ws_load_test.plan.redaction import public_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.plan.timed_commands import TimedCommand

MAX_OUTPUT_BYTES = 4096
"""Bytes of a command's output that are kept, the last ones: an error stands at the end."""
END_TIMEOUT_S = 1.0
"""Time that a command has to end after SIGTERM, before it is killed: the results of the run wait for it."""
OUTPUT_TIMEOUT_S = 0.2
"""Time for which the rest of the output is read once the shell has ended: its background may hold it open."""


class CommandRunner:
    """Runs the commands of one run; each change is reported to `on_change`, in the thread of the loop."""

    def __init__(self, commands: tuple[TimedCommand, ...], on_change: Callable[[CommandRun], None]) -> None:
        """Takes the commands; `started_ns`, the monotonic instant of the run's start, is set before `start`."""
        self.started_ns = 0
        self.runs: dict[int, CommandRun] = {}
        """Commands that have begun, by their number from 0."""
        self._commands = commands
        self._on_change = on_change
        self._tasks: list[asyncio.Task[None]] = []
        self._transports: list[asyncio.SubprocessTransport] = []
        self._groups: set[int] = set()
        """Process groups that may have processes."""
        self._ending = False
        self._begun: set[int] = set()
        """Numbers of the commands whose processes are being started, or were."""

    def start(self, load_start_ns: int) -> None:
        """Begins to wait for the instants of the commands, from a monotonic instant on."""
        self._tasks = [
            asyncio.create_task(self._run(number, one, load_start_ns + one.at_ns))
            for number, one in enumerate(self._commands)
        ]

    def interrupt(self) -> None:
        """Begins no more commands, and asks those that run to end."""
        self._ending = True
        self._signal(signal.SIGTERM)

    async def stop(self) -> None:
        """Ends all commands with their process groups; harmless when called again."""
        self.interrupt()
        # A process that is just being started would be lost with its task.
        begun = [task for number, task in enumerate(self._tasks) if number in self._begun]
        for task in self._tasks:
            if task not in begun:
                task.cancel()
        if begun:
            await asyncio.wait(begun, timeout=END_TIMEOUT_S)
        if hasattr(signal, "SIGKILL"):
            self._signal(signal.SIGKILL)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            # A process that has left the group may hold its output open for ever.
            transport.close()
        self._groups.clear()

    async def _run(self, number: int, timed: TimedCommand, at_ns: int) -> None:
        await asyncio.sleep(max(0, at_ns - monotonic_ns()) / NS_PER_S)
        if self._ending:
            return
        self._begun.add(number)
        run = CommandRun(number=number, command=timed.redacted().command, at_ns=monotonic_ns() - self.started_ns)
        try:
            transport, shell = await asyncio.get_running_loop().subprocess_shell(
                _Shell,
                timed.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # A group of its own: ended as a whole, and out of the reach of a terminal's Ctrl-C.
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            problem = f"could not be started: {cause_of(error)}"
            self._note(msgspec.structs.replace(run, ended_ns=monotonic_ns() - self.started_ns, problem=problem))
            return
        self._transports.append(transport)
        self._groups.add(transport.get_pid())
        self._note(run)
        self._end_late()
        await self._follow(transport, shell, run)

    def _end_late(self) -> None:
        """Asks a process to end that had only begun when the run ended."""
        if self._ending:
            self._signal(signal.SIGTERM)

    async def _follow(self, transport: asyncio.SubprocessTransport, shell: _Shell, run: CommandRun) -> None:
        """Waits for the end of a command, and reports it."""
        await shell.ended.wait()
        ended_ns = monotonic_ns() - self.started_ns
        problem = "was still running at the end of the run, and was ended with it" if self._ending else ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_TIMEOUT_S):
                await shell.output_ended.wait()
        if not _exists(transport.get_pid()):
            self._groups.discard(transport.get_pid())
        status, text = transport.get_returncode(), public_payload(shell.output.decode("utf-8", "replace"))
        self._note(msgspec.structs.replace(run, ended_ns=ended_ns, status=status, output=text, problem=problem))

    def _note(self, run: CommandRun) -> None:
        self.runs[run.number] = run
        self._on_change(run)

    def _signal(self, number: signal.Signals) -> None:
        for group in self._groups:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(group, number)
                else:
                    os.kill(group, number)


class _Shell(asyncio.SubprocessProtocol):
    """End and output of a shell: not those of `asyncio.subprocess`, whose `wait` awaits the end of the output as well.

    What a command leaves in the background, such as a server, has the same output, which is read to the end of the run.
    """

    def __init__(self) -> None:
        self.ended, self.output_ended = asyncio.Event(), asyncio.Event()
        self.output = bytearray()
        """The last of the output."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one
        """Keeps the last of the output."""
        self.output += data
        del self.output[:-MAX_OUTPUT_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - there is one
        """Takes note of the end of the output."""
        self.output_ended.set()

    def process_exited(self) -> None:
        """Takes note of the end of the shell."""
        self.ended.set()


def _exists(group: int) -> bool:
    """Returns True if a process group still has a process: one that a shell has left in the background."""
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True
