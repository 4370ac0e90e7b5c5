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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SETTLE_S = 0.003
"""Time for the server to finish with what a stopped generator has sent."""
OPEN_TIMEOUT_S = 60
SWITCHES_PER_S = 60
"""Involuntary switches of generator and server in a second of a turn, above which the turn is repeated: other programs
wanted their cores. A turn that is spoiled each time counts nevertheless."""
ATTEMPTS = 3


class Program:
    """A program and all that it has started, on one core."""

    def __init__(self, command: Sequence[str], core: int, *, nice: int | None = None) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._nice = nice
        self.pids: list[int] = [self.process.pid]

    def find_processes(self) -> None:
        """Looks up all processes of the program, and gives each its share of the processor."""
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
                with contextlib.suppress(OSError):
                    Path(f"/proc/{pid}/autogroup").write_text(str(self._nice))

    def send(self, number: int) -> None:
        """Sends a signal to all processes."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cpu_ns(self) -> int:
        """Returns the processor time of all processes so far."""
        # The clock of a process, as clock_getcpuclockid(3) makes it.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids)

    def involuntary_switches(self) -> int:
        """Returns how often the kernel took the core from one of the threads so far."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found = re.search(r"nonvoluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text())
                total += int(found[1]) if found else 0
        return total

    def resident_bytes(self) -> int:
        """Returns the proportional set size of all processes."""
        total = 0
        for pid in self.pids:
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
        return total

    def check(self) -> None:
        """Ends this program with a sentence if the other has ended."""
        if self.process.poll() is not None:
            assert self.process.stderr is not None
            words = self.process.stderr.read().decode(errors="replace").strip()
            sys.exit(f"{shlex.join(map(str, self.process.args))} ended: {words[-2000:]}")  # type: ignore[arg-type]

    def kill(self) -> None:
        """Ends all processes."""
        with contextlib.suppress(OSError):
            self.find_processes()
        self.send(signal.SIGKILL)
        self.process.wait()


class Server(Program):
    """An echo server that counts."""

    def __init__(self, command: str, core: int, *, nice: int | None = None) -> None:
        self.port = unused_port()
        super().__init__(shlex.split(command.format(port=self.port)), core, nice=nice)
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            time.sleep(0.02)
        self.find_processes()

    def counts(self) -> dict[str, int]:
        """Returns the numbers that the server prints."""
        assert self.process.stdout is not None
        self.send(signal.SIGUSR1)
        if not select.select([self.process.stdout], [], [], 5)[0]:
            self.check()
            sys.exit(f"{shlex.join(map(str, self.process.args))} printed no counts for SIGUSR1")  # type: ignore[arg-type]
        line = os.read(self.process.stdout.fileno(), 4096).decode()
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


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
        server: str,
        fields: dict[str, object],
        *,
        cores: tuple[int, int],
        nice: int | None,
    ) -> None:
        """Starts both, and returns when all connections are open.

        Args:
            name: Its name in tables.
            command: Command line of the generator, with {port}, {connections}, {in_flight}, {seconds}, {bytes}.
            server: Command line of the server, with {port}.
            fields: Values of these fields, except the port.
            cores: The generator's core, and the server's.
            nice: Weight of both among other programs, where the kernel has autogroups.
        """
        self.name = name
        self.server = Server(server, cores[1], nice=nice)
        words = shlex.split(command.format(port=self.server.port, **fields))
        self.generator = Program(words, cores[0], nice=nice)
        self._wait_until_open(int(str(fields["connections"])))
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

    def turn(self, seconds: float) -> Turn:
        """Runs for so long, again if others disturb it."""
        for attempt in range(ATTEMPTS):
            found = self._one_turn(seconds)
            if not found.spoiled or attempt == ATTEMPTS - 1:
                break
        return found

    def _one_turn(self, seconds: float) -> Turn:
        self.server.send(signal.SIGCONT)
        before = self.server.counts()["messages"]
        switches = self.generator.involuntary_switches() + self.server.involuntary_switches()
        cpu_ns, began = self.generator.cpu_ns(), time.perf_counter()
        self.generator.send(signal.SIGCONT)
        time.sleep(seconds)
        self.generator.send(signal.SIGSTOP)
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        cpu_ns = self.generator.cpu_ns() - cpu_ns
        switches = self.generator.involuntary_switches() + self.server.involuntary_switches() - switches
        messages = self.server.counts()["messages"] - before
        self.server.send(signal.SIGSTOP)
        self.generator.check()
        if not messages:
            sys.exit(f"{self.name} sent nothing in a turn of {seconds} s")
        return Turn(cpu_ns / 1000 / messages, messages / took, cpu_ns / 1e9 / took, switches > SWITCHES_PER_S * took)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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


def paired(ours: Sequence[Turn], theirs: Sequence[Turn], value: Callable[[Turn], float]) -> tuple[float, float, float]:
    """Returns the median of the ratios of turns that followed each other, and their quartiles."""
    ratios = [value(mine) / value(other) for mine, other in zip(ours, theirs, strict=True)]
    quarter, median, three = statistics.quantiles(ratios, n=4)
    return median, quarter, three
