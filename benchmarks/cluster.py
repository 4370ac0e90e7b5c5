"""Costs of a cluster beside the fleet of this machine: the same plan on both, in turns, on the same cores.

    python benchmarks/cluster.py [--rounds 7] [--seconds 4] [--in-flight 1]

A Dask scheduler and as many Dask workers as processes of load, all on loopback; the built-in echo server answers.
Prints the throughput of each run and the processor time of the load for each message, which other programs on the
machine disturb less, and of both the median of the ratios of runs that followed each other. Needs the extra
``cluster``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test import make_plan, run
from ws_load_test.echo import EchoProcess
from ws_load_test.fleet.cluster.spec import Cluster

if TYPE_CHECKING:
    from ws_load_test.api import Result

PROCESSES = 2


def start(directory: Path) -> tuple[list[subprocess.Popen[bytes]], str]:
    """A scheduler and its workers; returns them, and the scheduler's address."""
    place = directory / "scheduler.json"
    with (directory / "log.txt").open("wb") as log:

        def program(name: str, *words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", "--host", "127.0.0.1", "--no-dashboard"]
            return subprocess.Popen([*command, *words], cwd=directory, stdout=log, stderr=log)

        started = [program("scheduler", "--port", "0", "--scheduler-file", str(place))]
        while not place.exists() or not place.read_text().endswith("}"):
            time.sleep(0.05)
        words = ("--scheduler-file", str(place), "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
        started += [program("worker", *words) for _ in range(PROCESSES)]
    return started, json.loads(place.read_text())["address"]


def cpu_us(result: Result) -> float:
    """Processor time of the processes of load for each message of the measured time, in µs."""
    measured = [interval for interval in result.recording.intervals if interval.phase == "measured"]
    used_ns = sum(load.cpu_ns for interval in measured for load in interval.workers)
    return used_ns / sum(interval.encoded_tally["answered"] for interval in measured) / 1000


def main() -> int:
    """Prints what each run came to, and the ratios; the exit code is 1 if the throughput's is below 0.95."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--in-flight", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"local": [], "cluster": []}
    with tempfile.TemporaryDirectory() as name, EchoProcess() as server:
        processes, address = start(Path(name))
        try:
            load: dict[str, Any] = {"connections": 100, "duration": options.seconds, "in_flight": options.in_flight}
            plan = make_plan(server.url, workers=PROCESSES, **load)
            cluster = Cluster(address, hosts=PROCESSES, workers=1)
            for number in range(options.rounds):
                order = ("local", "cluster") if number % 2 else ("cluster", "local")
                for where in order:
                    result = run(plan, cluster=cluster if where == "cluster" else None)
                    found[where].append((result.summary.throughput_per_s, cpu_us(result)))
                    print(
                        f"{where:8} {found[where][-1][0]:10,.0f}/s {found[where][-1][1]:8.2f} µs a message", flush=True
                    )
        finally:
            for process in processes:
                process.kill()
                process.wait()
    pairs = list(zip(found["cluster"], found["local"], strict=True))
    ratio, cost = (statistics.median(there[at] / here[at] for there, here in pairs) for at in (0, 1))
    print(f"throughput: cluster {ratio:.3f} of local; processor time: {cost:.3f} of local")
    return int(ratio < 0.95)


if __name__ == "__main__":
    sys.exit(main())
