"""Cost of a round trip: processor time of the generator, beside the least that C can do, against the same server.

    python benchmarks/cost.py --yardstick DIR

DIR holds the yardstick: C sources and a Makefile that builds `echo_limit` (an echo server on epoll) and `flood_limit`
(a closed-loop client without any checks) into $BUILD. The server polls without sleep on one core, the generators run
in turn on another. Each figure is the difference between a long and a short run, so that start-up drops out, over the
messages that the *server* counted. Processor time is the operating system's account of the whole process tree.
Compare ratios, not microseconds: machines differ and drift.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

SHORT_S, LONG_S = 1, 4
CASES = [(100, 1), (100, 16), (1000, 1), (1000, 16)]
PAYLOAD_BYTES = 32


@dataclass(frozen=True)
class Figure:
    """One case, both generators."""

    connections: int
    in_flight: int
    yardstick_us: float
    ours_us: float
    ratio: float
    ratio_low: float
    ratio_high: float


class Server:
    """The yardstick's echo server, spinning on one core."""

    def __init__(self, program: Path, port: int, core: int) -> None:
        self.port = port
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), program, str(port), "127.0.0.1", "spin"], stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.3)

    def messages(self) -> int:
        """Messages that it has seen so far."""
        assert self._process.stdout is not None
        # A signal that comes while the server still answers the one before is lost.
        time.sleep(0.05)
        self._process.send_signal(signal.SIGUSR1)
        if not select.select([self._process.stdout], [], [], 5)[0]:
            sys.exit("the server did not tell its counts")
        found = re.search(r"messages=(\d+)", self._process.stdout.readline())
        assert found is not None
        return int(found[1])

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def processor_time_s(command: list[str | Path], core: int) -> float:
    """User and system time of a command and of all that it started and waited for."""
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def cost_us(server: Server, command: list[list[str | Path]], core: int) -> float:
    """Processor time per round trip, from a short and a long run."""
    spent: list[tuple[float, int]] = []
    for one in command:
        before = server.messages()
        seconds = processor_time_s(one, core)
        spent.append((seconds, server.messages() - before))
    (short_s, short_count), (long_s, long_count) = spent
    return (long_s - short_s) * 1e6 / (long_count - short_count)


def ours(port: int, connections: int, in_flight: int, seconds: float) -> list[str | Path]:
    """Our command line for a case."""
    program = shutil.which("ws-load-test", path=str(Path(sys.executable).parent)) or "ws-load-test"
    options = f"-w 1 -q -c {connections} --in-flight {in_flight} -d {seconds}s --size {PAYLOAD_BYTES}"
    return [program, f"ws://127.0.0.1:{port}/", *options.split()]


def measure(server: Server, flood_limit: Path, case: tuple[int, int], *, rounds: int, core: int) -> Figure:
    """One case: both generators in turn, several times."""
    connections, in_flight = case
    pairs: list[tuple[float, float]] = []
    for _ in range(rounds):
        arguments = [str(server.port), str(connections), str(in_flight)]
        theirs = cost_us(
            server, [[flood_limit, *arguments, str(s), str(PAYLOAD_BYTES)] for s in (SHORT_S, LONG_S)], core
        )
        mine = cost_us(server, [ours(server.port, connections, in_flight, s) for s in (SHORT_S, LONG_S)], core)
        pairs.append((theirs, mine))
    ratios = [mine / theirs for theirs, mine in pairs]
    return Figure(
        connections,
        in_flight,
        statistics.median(theirs for theirs, _ in pairs),
        statistics.median(mine for _, mine in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def main() -> None:
    """Prints a table, and JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yardstick", type=Path, required=True, help="directory of the C yardstick's sources")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--core", type=int, default=1, help="core of the generators")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as build:
        subprocess.run(["make", "-s", "-C", options.yardstick, f"BUILD={build}"], check=True, stdout=sys.stderr)
        server = Server(Path(build, "echo_limit"), 19101, options.server_core)
        try:
            if not options.json:
                print("connections  in flight   yardstick        ours   ratio (lowest–highest)")
            for case in CASES:
                figure = measure(server, Path(build, "flood_limit"), case, rounds=options.rounds, core=options.core)
                if options.json:
                    print(json.dumps(asdict(figure)), flush=True)
                else:
                    print(
                        f"{figure.connections:>11}  {figure.in_flight:>9}"
                        f"  {figure.yardstick_us:>7.3f} µs  {figure.ours_us:>7.3f} µs"
                        f"   {figure.ratio:.2f}  ({figure.ratio_low:.2f}–{figure.ratio_high:.2f})",
                        flush=True,
                    )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
