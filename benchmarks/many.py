"""Many connections at once: opens them to the built-in server, holds them under a small load, and accounts for all.

    python benchmarks/many.py [--connections 50000] [--hold 30] [--once] [--repeat 1]

Server and workers are processes of this machine, as many of each as the limit on open files asks for, and connections
come from as many loopback addresses as the range of ephemeral ports asks for. Everything is checked against what the
server counted; the exit code is 1 if anything was lost. Linux only: memory is read in /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import sys
import time
from pathlib import Path

from ws_load_test import Plan, Summary, TimeStats, make_plan
from ws_load_test.api import Run
from ws_load_test.common.units import format_duration
from ws_load_test.echo import EchoCounts, EchoProcess
from ws_load_test.engine.connect.source_addresses import ephemeral_ports

SPARE_FILES = 1000
"""Open files that a server process keeps free: the kernel spreads connections evenly, but not exactly."""
SPARE_PORTS = 0.2
"""Share of the ephemeral ports of an address that other programs, and connections that have just ended, may have."""


def set_size_bytes(pid: int) -> int:
    """The proportional set size of a process, in bytes."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def sources(connections: int) -> list[str]:
    """Returns as many loopback addresses as connections need: each has one set of ports for a target."""
    ports = (ephemeral_ports() or 28_000) * (1 - SPARE_PORTS)
    return [f"127.0.0.{number}" for number in range(1, 2 + int(connections / ports))]


def available_bytes() -> int:
    """Limits of this machine."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def sockstat() -> str:
    """The kernel's own count of TCP sockets."""
    return next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP"))


async def hold(server: EchoProcess, plan: Plan, hold_s: float) -> tuple[Summary, EchoCounts]:
    """One run; prints how it goes, returns its summary and what the server counted."""
    before, counted, free_bytes = server.counts(), server.counts(), available_bytes()
    from_s = time.monotonic()
    run = Run(plan)
    executing = asyncio.create_task(run.execute())
    while not executing.done() and (run.fleet is None or not run.fleet.coordinator.ready):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.1)
    opened_s = time.monotonic() - from_s
    if not executing.done():
        assert run.fleet is not None
        await asyncio.sleep(hold_s / 2)
        counted = await asyncio.to_thread(server.counts)
        workers = [set_size_bytes(pid) for pid in run.fleet.pids.values()]
        servers = [set_size_bytes(pid) for pid in server.pids]
        kernel = free_bytes - available_bytes() - sum(workers) - sum(servers)
        print(f"opened in {opened_s:.1f} s; halfway the server has {counted.open:,} open; kernel: {sockstat()}")
        print(f"workers: {_megabytes(workers)}; server: {_megabytes(servers)}; all else: {kernel / 1e6:.0f} MB")
        print(f"load average: {os.getloadavg()[0]:.1f}", flush=True)
    result = await executing
    after = server.counts()
    delta = EchoCounts(**{name: getattr(after, name) - getattr(before, name) for name in vars(after)})
    return result.summary, delta


def account(plan: Plan, summary: Summary, counted: EchoCounts) -> bool:
    """Prints what became of every connection and message; returns whether all went well."""
    connections, messages = summary.connections, summary.messages
    print(f"connections: {connections}")
    print(f"messages: {messages}; the server counted {counted.messages:,} on {counted.connections:,} connections")
    print(f"faults: {summary.faults}; generator: {summary.generator.reasons or 'no complaints'}")
    for name in ("connect_time_ns", "response_time_ns", "service_time_ns"):
        times: TimeStats | None = getattr(summary, name)
        if times:
            shown = ", ".join(f"{key} {format_duration(times.value(key))}" for key in ("p50", "p99", "p99.9", "max"))
            print(f"{name.removesuffix('_ns').replace('_', ' ')}: {shown}")
    busiest, lag = summary.generator.cpu_share, summary.generator.send_lag_ns
    late = format_duration(None if lag is None else lag.p99)
    print(f"send lag: p99 {late}; busiest worker: {busiest or 0:.0%} of a core")
    print(f"server: {counted.cpu_s:.1f} s of processor time, opening and closing included")
    checks = {
        "every connection opened": connections.opened == plan.connections and not connections.failed,
        "none was lost": not connections.lost,
        "every message was answered": messages.due == messages.sent == messages.answered,
        "the server counted the same": (counted.connections, counted.messages) == (connections.opened, messages.sent),
    }
    for check, passed in checks.items():
        print(f"{'yes' if passed else 'NO '}  {check}")
    return all(checks.values())


def _megabytes(sizes: list[int]) -> str:
    return " + ".join(f"{size / 1e6:.0f}" for size in sizes) + " MB"


def main() -> int:
    """Prints the accounts of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=50_000)
    parser.add_argument("--hold", type=int, default=30, metavar="SECONDS", help="how long they are held")
    parser.add_argument("--rate-per-connection", default="1")
    parser.add_argument("--once", action="store_true", help="send one message on each while they are held")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--repeat", type=int, default=1, help="runs, one right after the other")
    options = parser.parse_args()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES
    good = True
    with EchoProcess(processes=-(-options.connections // room)) as server:
        for _ in range(options.repeat):
            load = {"rate_per_connection": options.rate_per_connection, "duration": f"{options.hold}s"}
            if options.once:
                load = {"rate": str(options.connections / options.hold), "messages": str(options.connections)}
            plan = make_plan(
                server.url,
                connections=options.connections,
                bind=sources(options.connections),
                engine=options.engine,
                **load,
            )
            print(
                f"{plan.connections:,} connections of {len(plan.bind)} addresses, {plan.workers} workers, "
                f"{len(server.pids)} server processes"
            )
            good &= account(plan, *asyncio.run(hold(server, plan, options.hold)))
            print(flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
