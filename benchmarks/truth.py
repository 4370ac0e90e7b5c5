"""Truth of the reported times: percentiles of a run minus those of a capture of its packets.

    sudo python benchmarks/truth.py [--server 'CMD {port}'] [--engine NAME] [--realtime]

Runs an open loop over loopback at 10, 50 and 90 % of what the generator can do on its core, and captures the packets
meanwhile (`capture.py`). The wire's time of a message is that between the packets that end its request and its reply,
so the difference is what the generator's own system calls, waking and queueing add to the service time that it reports.
Messages are paired in order within each connection. Capacity is what a closed loop achieves, or the open loop where
that is less, with the capture going on. Linux only, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
from typing import Any

import numpy as np

from capture import LoopbackCapture, WireTimes
from turns import Program, Server

PAYLOAD_BYTES = 32
REQUEST_BYTES, REPLY_BYTES = 6 + PAYLOAD_BYTES, 2 + PAYLOAD_BYTES
LOOK_EVERY_S = 0.1
"""Time between two looks for the worker of a run that starts."""
SHARES = (0.1, 0.5, 0.9)
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
PACKETS_A_MESSAGE = 5
"""Room in the capture: two packets with data, and acknowledgments."""


class Generator(Program):
    """A run of ours, whose summary is read."""

    prints = True


def run(server: Server, load: str, options: argparse.Namespace, *, seconds: float) -> dict[str, Any]:
    """Runs a load, and returns its summary."""
    engine = f" --engine {options.engine}" if options.engine else ""
    words = (
        f"-w 1 -q -c {options.connections} {load} -d {seconds}s --size {PAYLOAD_BYTES} --json{engine} {options.more}"
    )
    command = [sys.executable, "-m", "ws_load_test", f"ws://127.0.0.1:{server.port}/", *shlex.split(words)]
    generator = Generator(command, options.core, nice=options.nice)
    while generator.process.poll() is None and len(generator.pids) == 1:
        # Its worker gets its weight as soon as it is there.
        with contextlib.suppress(subprocess.TimeoutExpired):
            generator.process.wait(LOOK_EVERY_S)
        generator.find_processes()
    if options.realtime:
        for pid in generator.pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    printed, _ = generator.process.communicate()
    if not printed:
        generator.check()
    summary: dict[str, Any] = json.loads(printed)
    return summary


def capacity_per_s(server: Server, options: argparse.Namespace) -> float:
    """Returns the messages a second that the generator can do while its packets are captured."""
    with LoopbackCapture(server.port, 1 << 16):
        closed = run(server, "--in-flight 1", options, seconds=1)["throughput_per_s"]
        opened = run(server, f"--rate {closed:.0f} --max-in-flight 64", options, seconds=1)["throughput_per_s"]
    return float(min(closed, opened))


def captured(server: Server, rate: float, options: argparse.Namespace) -> tuple[dict[str, Any], WireTimes]:
    """Runs an open loop; returns its summary, and the times of its packets."""
    packets = int(rate * options.seconds * PACKETS_A_MESSAGE) + 64 * options.connections
    with LoopbackCapture(server.port, packets) as capture:
        summary = run(server, f"--rate {rate:.0f}", options, seconds=options.seconds)
        return summary, capture.wire_times(REQUEST_BYTES, REPLY_BYTES)


def line(share: str, rate: float, summary: dict[str, Any], wire: WireTimes) -> str:
    """Returns a row of the table."""
    reported = summary["service_time_ns"]
    cells = [share, f"{rate:,.0f}/s"]
    for percentile in PERCENTILES:
        # The highest of so many: the same rank as a histogram's.
        there = float(np.percentile(wire.round_trips_ns, percentile, method="inverted_cdf"))
        cells.append(f"{there / 1000:,.0f} {(reported[f'p{percentile:g}'] - there) / 1000:+,.0f} µs")
    cells.append(f"{summary['generator']['send_lag_ns']['p99'] / 1000:,.0f} µs")
    answered = summary["messages"]["answered"]
    cells.append(
        f"{answered:,}" if answered == len(wire.round_trips_ns) else f"{answered:,} ({len(wire.round_trips_ns):,})"
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--engine", help="one of ours; default: as a run without --engine")
    parser.add_argument("--more", default="", metavar="WORDS", help="more options of ours, as one text")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rates", type=float, nargs="*", help="messages a second, instead of shares of the capacity")
    parser.add_argument("--core", type=int, default=1, help="core of the generator")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight of generator and server among other programs")
    parser.add_argument(
        "--realtime", action="store_true", help="let no other program take the generator's core (SCHED_FIFO)"
    )
    options = parser.parse_args()
    server = Server(options.server, options.server_core, nice=options.nice)
    try:
        if options.rates:
            rates = [(f"{rate:g}/s", rate) for rate in options.rates]
        else:
            capacity = capacity_per_s(server, options)
            print(f"capacity: {capacity:,.0f}/s over {options.connections} connections")
            rates = [(f"{share:.0%}", share * capacity) for share in SHARES]
        titles = [
            "load",
            "rate",
            *(f"p{one:g}: wire, reported minus wire" for one in PERCENTILES),
            "send lag p99",
            "messages",
        ]
        print(f"load average {os.getloadavg()[0]:.1f}\n\n| " + " | ".join(titles) + " |")
        print("| " + " | ".join("---" for _ in titles) + " |", flush=True)
        for share, rate in rates:
            summary, wire = captured(server, rate, options)
            print(line(share, rate, summary, wire), flush=True)
            if wire.lost_packets:
                print(f"{wire.lost_packets} packets had no room in the capture: the row is not to be trusted")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
