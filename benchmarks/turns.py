"""Programs that are measured in short turns: stopped and continued by signals, so that no turn pays for a start.

A *contender* is a load generator and an echo server of its own. All of them are started once, open their connections,
and are stopped (SIGSTOP). In its turn a contender is continued for a fraction of a second, while all others stand
still. Whatever disturbs a shared machine then meets all contenders alike, and the ratio of two turns that follow each
other is worth more than the figures themselves.

Processor time is the kernel's account of the generator's processes (CLOCK_PROCESS_CPUTIME_ID of each, in nanoseconds),
messages are those that its server counted. The server is a program that listens on the port it is given and prints
``messages=N open=N``, in any order, on standard output for each SIGUSR1. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")
SETTLE_S = 0.003
"""Time for the server to finish with what a stopped generator has sent."""
OPEN_TIMEOUT_S = 180
SWITCHES_PER_S = 100
"""Involuntary switches of a generator in a second of a turn, above which the turn is repeated: other programs wanted
its core. A turn that is spoiled each time counts nevertheless."""
ATTEMPTS = 3


class Program:
    """A program and all that it has started, on one core."""

    def __init__(self, command: Sequence[str], core: int, *, nice: int | None = None) -> None:
        self.words = shlex.join(command)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the program
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self.prints else self._errors,
            stderr=self._errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._nice = nice
        self.pids: list[int] = [self.process.pid]

    prints = False
    """Its standard output is read."""

    def find_processes(self) -> None:
        """Looks up all processes of the program, and gives each its weight among other programs."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        self.pids = [self.process.pid]
        for pid in self.pids:
            self.pids.extend(children.get(pid, ()))
        if self._nice is not None:
            for pid in self.pids:
                # Each session of processes is a group of its own, beside which `nice` means nothing (sched(7)).
                with contextlib.suppress(OSError):
                    Path(f"/proc/{pid}/autogroup").write_text(str(self._nice))

    def send(self, number: int) -> None:
        """Sends a signal to all processes."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cpu_ns(self) -> int:
        """Returns the processor time of all processes so far."""
        total = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                # The clock of a process, as clock_getcpuclockid(3) makes it.
                total += time.clock_gettime_ns((~pid << 3) | 2)
        return total

    def involuntary_switches(self) -> int:
        """Returns how often the kernel took the core from one of the threads so far."""
        return sum(
            int(count)
            for pid in self.pids
            for task in Path(f"/proc/{pid}/task").glob("*/status")
            for count in re.findall(r"nonvoluntary_ctxt_switches:\s+(\d+)", task.read_text())
        )

    def set_size_bytes(self) -> int:
        """Returns the proportional set size of all processes."""
        found = (re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in self.pids)
        return sum(int(one[1]) * 1024 for one in found if one)

    def check(self) -> None:
        """Ends this program with a sentence if the other has ended."""
        if self.process.poll() is not None:
            self._errors.seek(0)
            sys.exit(f"{self.words} ended: {self._errors.read().decode(errors='replace').strip()[-2000:]}")

    def kill(self) -> None:
        """Ends all processes."""
        self.find_processes()
        self.send(signal.SIGKILL)
        self.process.wait()


class Server(Program):
    """An echo server that counts: a program of any kind, or the built-in one."""

    prints = True

    def __init__(self, command: str | None, core: int, *, secure: bool = False, nice: int | None = None) -> None:
        self.port = unused_port()
        self._is_ours = command is None
        if command is None:
            command = f"{sys.executable} -m ws_load_test.echo --follow-stdin --port {{port}}{' --tls' * secure}"
        super().__init__(shlex.split(command.format(port=self.port)), core, nice=nice)
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            time.sleep(0.02)
        self.find_processes()
        if self._is_ours:
            self._line()

    def counts(self) -> dict[str, int]:
        """Returns the numbers that the server prints."""
        if self._is_ours:
            assert self.process.stdin is not None
            self.process.stdin.write(b"counts\n")
            self.process.stdin.flush()
        else:
            self.send(signal.SIGUSR1)
        line = self._line()
        found = {name: int(value) for name, value in re.findall(r"(\w+)\W+(\d+)", line)}
        if not {"open", "messages"} <= found.keys():
            sys.exit(f'{self.words} printed "{line}", which has no messages=N or no open=N')
        return found

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], 5)[0]:
                self.check()
                sys.exit(f"{self.words} printed no counts")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                self.process.wait()
                self.check()
            line += piece
        return line.decode().rstrip()


def unused_port() -> int:
    """Returns a port of the loopback interface that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass(frozen=True)
class Turn:
    """One turn of one contender."""

    cpu_us: float
    """Processor time of the generator for each message, in µs."""
    per_s: float
    """Messages a second."""
    busy: float
    """Share of its core that the generator had."""
    spoiled: bool
    """Other programs took the core, each time that it was tried."""


class Contender:
    """A generator and its server, stopped but for its turns; a context manager."""

    def __init__(
        self,
        name: str,
        command: str,
        server: str | None,
        fields: dict[str, int],
        *,
        cores: tuple[int, int],
        secure: bool = False,
        nice: int | None = None,
    ) -> None:
        """Starts both, and returns when all connections are open.

        Args:
            name: Its name in tables.
            command: Command line of the generator, with {url}, {port}, {connections}, {in_flight}, {seconds}, {bytes}.
            server: Command line of the server, with {port}; None: the built-in one.
            fields: Values of these fields, except those of the address.
            cores: The generator's core, and the server's.
            secure: The server speaks TLS.
            nice: Weight of both among other programs, where the kernel has autogroups.
        """
        self.name = name
        # As Ctrl-C, so that nothing is left behind, stopped or at work.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.server = Server(server, cores[1], secure=secure, nice=nice)
        port = self.server.port
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
        self.generator = Program(shlex.split(command.format(url=url, port=port, **fields)), cores[0], nice=nice)
        try:
            self._wait_until_open(fields["connections"])
        except BaseException:
            self.kill()
            raise
        self.generator.find_processes()
        self.stop()

    def _wait_until_open(self, connections: int) -> None:
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while self.server.counts()["open"] < connections:
            self.generator.check()
            if time.monotonic() > deadline:
                sys.exit(f"{self.name}: {self.server.counts()['open']} of {connections} connections opened")
            time.sleep(0.02)
        # Until the load has begun.
        before = self.server.counts()["messages"]
        while self.server.counts()["messages"] == before and time.monotonic() < deadline:
            self.generator.check()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the generator, then the server."""
        self.generator.send(signal.SIGSTOP)
        time.sleep(SETTLE_S)
        self.server.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets both go on."""
        self.server.send(signal.SIGCONT)
        self.generator.send(signal.SIGCONT)

    def turn(self, seconds: float) -> Turn:
        """Runs for so long, again if others disturb it."""
        found = None
        for _ in range(ATTEMPTS):
            found = self._one_turn(seconds) or found
            if found is not None and not found.spoiled:
                break
        if found is None:
            sys.exit(f"{self.name} sent nothing in {ATTEMPTS} turns of {seconds} s")
        return found

    def _one_turn(self, seconds: float) -> Turn | None:
        """Runs once; None if nothing was sent, as may be where a generator is long in coming to itself."""
        self.server.send(signal.SIGCONT)
        before = self.server.counts()["messages"]
        switches = self.generator.involuntary_switches()
        cpu_ns, began = self.generator.cpu_ns(), time.perf_counter()
        self.generator.send(signal.SIGCONT)
        time.sleep(seconds)
        self.generator.send(signal.SIGSTOP)
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        cpu_ns = self.generator.cpu_ns() - cpu_ns
        switches = self.generator.involuntary_switches() - switches
        messages = self.server.counts()["messages"] - before
        self.server.send(signal.SIGSTOP)
        self.generator.check()
        if not messages:
            return None
        return Turn(cpu_ns / 1000 / messages, messages / took, cpu_ns / 1e9 / took, switches > SWITCHES_PER_S * took)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends both."""
        self.generator.kill()
        self.server.kill()


def take_turns(contenders: Sequence[Contender], turns: int, seconds: float) -> dict[str, list[Turn]]:
    """Gives each contender its turns, in an order that alternates; the first round only warms up."""
    found: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    for number in range(turns + 1):
        for contender in contenders if number % 2 else reversed(contenders):
            one = contender.turn(seconds)
            if number:
                found[contender.name].append(one)
    return found


def low(values: Sequence[float]) -> float:
    """Returns the 10th percentile: the figure of the turns that nothing disturbed."""
    return statistics.quantiles(values, n=10)[0] if len(values) > 1 else values[0]


def paired(ours: Sequence[T], theirs: Sequence[T], value: Callable[[T], float]) -> tuple[float, float, float]:
    """Returns the median of the ratios of turns that followed each other, and their quartiles."""
    ratios = [value(mine) / value(other) for mine, other in zip(ours, theirs, strict=True)]
    quarter, median, three = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return median, quarter, three
