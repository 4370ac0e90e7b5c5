"""Cost of opening a plain connection: processor time, rate and memory of an engine, from the first dial to the last.

    python benchmarks/opening.py [--server 'CMD {port}'] [--connections 5000] [--engine native --engine portable]

Each turn is a process of its own on one core, which opens all connections and ends; the server has another core, and
counts what has opened. Engines take turns, so that what disturbs the machine meets all of them; a figure is the 10th
percentile of the turns, a ratio the median of those of turns that followed each other, with its quartiles. `--with
NAME=DIRECTORY` adds the native engine of another checkout. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from turns import Server, low, paired
from ws_load_test import make_plan
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.engine.registry import ENGINES

SPARE = 10
"""Connections that open before the others, so that what the first one loads is in no figure."""


@dataclass(frozen=True)
class Opening:
    """One turn of one engine."""

    cpu_us: float
    """Processor time for each connection, in µs."""
    per_s: float
    """Connections a second."""
    kept_bytes: float
    """Growth of the process for each connection."""
    server_us: float
    """Processor time of the server for each connection, in µs: where it is more than ours, it limits the rate."""


def set_size_bytes() -> int:
    """Returns the proportional set size of this process."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def open_all(engine: str, url: str, connections: int) -> None:
    """Opens sessions, and prints what that took."""
    took: list[tuple[float, float, int]] = []
    for count in (SPARE, connections):
        one = ENGINES[engine]()(make_plan(url, connections=count, rate=1, workers=1), Shard(0, 1))
        gc.collect()
        size_bytes, cpu_s, began_s = set_size_bytes(), time.process_time(), time.perf_counter()
        await one.open()
        took.append((time.process_time() - cpu_s, time.perf_counter() - began_s, set_size_bytes() - size_bytes))
        opened = one.status.open_sessions
        if opened != count:
            sys.exit(f"{opened} of {count} connections opened: {one.collect().fault_examples}")
    cpu_s, took_s, grown_bytes = took[1]
    print(json.dumps([cpu_s * 1e6 / connections, connections / took_s, grown_bytes / connections]), flush=True)
    # Until the server's time has been read. Then without the end of the sessions, which is no part of what is measured.
    sys.stdin.read()
    os._exit(0)


def turn(engine: str, server: Server, options: argparse.Namespace, checkout: str | None) -> Opening:
    """Has another process open all connections."""
    path = [] if checkout is None else [str(Path(checkout) / "src")]
    words = ["--one", engine, "--url", f"ws://127.0.0.1:{server.port}/", "--connections", str(options.connections)]
    before_ns = server.cpu_ns()
    with subprocess.Popen(
        ["taskset", "-c", str(options.core), sys.executable, __file__, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])},
    ) as opening:
        assert opening.stdin is not None
        assert opening.stdout is not None
        found = opening.stdout.readline()
        server_ns = server.cpu_ns() - before_ns
        opening.stdin.close()
        if opening.wait() or not found:
            sys.exit(f"the turn of {engine} has failed")
    return Opening(*json.loads(found), server_ns / 1000 / options.connections)


def main() -> None:
    """Prints a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--engine", action="append", help="one of ours; may be repeated; default: native, portable")
    parser.add_argument("--with", dest="with_", action="append", default=[], metavar="NAME=DIRECTORY")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--core", type=int, default=0, help="core of the engines")
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run(open_all(options.one, options.url, options.connections))
        return
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"load average of the machine: {load}; {options.turns} turns of {options.connections:,} connections")
    contenders: dict[str, tuple[str, str | None]] = {
        one: (one, None) for one in options.engine or ["native", "portable"]
    }
    contenders |= {name: ("native", checkout) for name, _, checkout in (one.partition("=") for one in options.with_)}
    server = Server(options.server, options.server_core)
    found: dict[str, list[Opening]] = {name: [] for name in contenders}
    try:
        for number in range(options.turns):
            for name in contenders if number % 2 else reversed(contenders):
                found[name].append(turn(contenders[name][0], server, options, contenders[name][1]))
    finally:
        server.kill()
    print("\n| engine | opening a connection | ratio | a second | kept for it | time of the server |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = found[next(iter(found))]
    for name, openings in found.items():
        ratio, quarter, three = paired(openings, base, lambda one: one.cpu_us)
        cost_us, kept = low([one.cpu_us for one in openings]), low([one.kept_bytes for one in openings])
        rate, server_us = max(one.per_s for one in openings), low([one.server_us for one in openings])
        ratios = f"{ratio:.2f} ({quarter:.2f}–{three:.2f})"
        print(f"| {name} | {cost_us:.0f} µs | {ratios} | {rate:,.0f} | {kept:,.0f} B | {server_us:.0f} µs |")


if __name__ == "__main__":
    main()
