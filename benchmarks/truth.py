"""Truth of the reported times: percentiles of a run minus those of a capture of its packets.

    sudo python benchmarks/truth.py [--server 'CMD {port}'] [--engine NAME ...] [--realtime]

Runs an open loop over loopback at 10, 50 and 90 % of what the generator can do on its core, and captures the packets
meanwhile (`capture.py`). The wire's time of a message is that between the packets that end its request and its reply,
so the difference is what the generator's own system calls, waking and queueing add to the service time that it reports.
Messages are paired in order within each connection. Capacity is what a closed loop achieves, or the open loop where
that is less, with the capture going on.

Each row is made of several short runs: the median of their percentiles, and of the differences, which have their
extremes in parentheses. Short, because the kernel lets a realtime program have its core for 0.95 s of a second and then
stops it for 50 ms (sched(7)), which at a high rate would be in every run. Linux only, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from capture import LoopbackCapture
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


def run(server: Server, load: str, options: argparse.Namespace, *, engine: str, seconds: float) -> dict[str, Any]:
    """Runs a load, and returns its summary."""
    name, _, instant = engine.partition(":")
    chosen = (f" --engine {name}" if name else "") + (f" --reply-instant {instant}" if instant else "")
    words = (
        f"-w 1 -q -c {options.connections} {load} -d {seconds}s --size {PAYLOAD_BYTES} --json{chosen} {options.more}"
    )
    command = [sys.executable, "-m", "ws_load_test", f"ws://127.0.0.1:{server.port}/", *shlex.split(words)]
    generator = Generator(command, options.core, nice=options.nice)
    while generator.process.poll() is None and len(generator.pids) == 1:
        # Its worker gets its weight as soon as it is there.
        with contextlib.suppress(subprocess.TimeoutExpired):
            generator.process.wait(LOOK_EVERY_S)
        generator.find_processes()
    if options.realtime:
        # Not the process that adds up, whose milliseconds each second no worker should wait for.
        for pid in generator.pids[1:]:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    printed, _ = generator.process.communicate()
    if not printed:
        generator.check()
    summary: dict[str, Any] = json.loads(printed)
    return summary


def capacity_per_s(server: Server, options: argparse.Namespace, engine: str) -> float:
    """Returns the messages a second that the generator can do while its packets are captured."""

    def throughput(load: str) -> float:
        return float(run(server, load, options, engine=engine, seconds=options.seconds)["throughput_per_s"])

    with LoopbackCapture(server.port, 1 << 16):
        closed = throughput("--in-flight 1")
        return min(closed, throughput(f"--rate {closed:.0f} --max-in-flight 64"))


@dataclass(frozen=True)
class Turn:
    """One run beside a capture of its packets."""

    wire_ns: tuple[float, ...]
    """Percentiles of the packets' times."""
    more_ns: tuple[float, ...]
    """Reported percentiles minus these."""
    send_lag_ns: float
    answered: int
    missed: int
    """Messages that were answered, and are not in the capture."""
    lost_packets: int


def captured(server: Server, rate: float, options: argparse.Namespace, engine: str) -> Turn:
    """Runs an open loop once."""
    packets = int(rate * options.seconds * PACKETS_A_MESSAGE) + 64 * options.connections
    with LoopbackCapture(server.port, packets) as capture:
        summary = run(server, f"--rate {rate:.0f}", options, engine=engine, seconds=options.seconds)
        wire = capture.wire_times(REQUEST_BYTES, REPLY_BYTES)
    reported = summary["service_time_ns"]
    # The highest of so many: the same rank as a histogram's.
    there = [float(np.percentile(wire.round_trips_ns, one, method="inverted_cdf")) for one in PERCENTILES]
    answered = summary["messages"]["answered"]
    return Turn(
        wire_ns=tuple(there),
        more_ns=tuple(reported[f"p{one:g}"] - at for one, at in zip(PERCENTILES, there, strict=True)),
        send_lag_ns=summary["generator"]["send_lag_ns"]["p99"],
        answered=answered,
        missed=answered - len(wire.round_trips_ns),
        lost_packets=wire.lost_packets,
    )


def line(share: str, rate: float, turns: list[Turn]) -> str:
    """Returns a row of the table."""
    cells = [share, f"{rate:,.0f}/s"]
    for place in range(len(PERCENTILES)):
        there = statistics.median(turn.wire_ns[place] for turn in turns) / 1000
        more = sorted(turn.more_ns[place] / 1000 for turn in turns)
        cells.append(f"{there:,.0f} {statistics.median(more):+,.0f} µs ({more[0]:+,.0f} to {more[-1]:+,.0f})")
    cells.append(f"{statistics.median(turn.send_lag_ns for turn in turns) / 1000:,.0f} µs")
    answered, missed = sum(turn.answered for turn in turns), sum(turn.missed for turn in turns)
    cells.append(f"{answered:,} ({missed:,} not captured)" if missed else f"{answered:,}")
    return "| " + " | ".join(cells) + " |"


def measure(server: Server, options: argparse.Namespace, engine: str) -> None:
    """Prints the table of an engine."""
    if options.rates:
        rates = [(f"{rate:g}/s", rate) for rate in options.rates]
    else:
        capacity = capacity_per_s(server, options, engine)
        print(f"\ncapacity: {capacity:,.0f}/s over {options.connections} connections")
        rates = [(f"{share:.0%}", share * capacity) for share in SHARES]
    percentiles = [f"p{one:g}: wire, reported minus wire" for one in PERCENTILES]
    titles = ["load", "rate", *percentiles, "send lag p99", "messages"]
    print(f"{engine or 'engine of a run'}; load average {os.getloadavg()[0]:.1f}\n\n| " + " | ".join(titles) + " |")
    print("| " + " | ".join("---" for _ in titles) + " |", flush=True)
    for share, rate in rates:
        turns = [captured(server, rate, options, engine) for _ in range(options.turns)]
        print(line(share, rate, turns), flush=True)
        if lost := sum(turn.lost_packets for turn in turns):
            print(f"{lost} packets had no room in the capture: the row is not to be trusted")


def main() -> None:
    """Prints a table for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME[:INSTANT]",
        help="one of ours, with a --reply-instant; may be repeated; default: as a run without --engine",
    )
    parser.add_argument("--more", default="", metavar="WORDS", help="more options of ours, as one text")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one run (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=8, help="runs for each row (default: %(default)s)")
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
        for engine in options.engine or [""]:
            measure(server, options, engine)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
