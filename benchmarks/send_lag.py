"""Send lag of an open loop, and the verdict on the generator, at rates that it can keep and one that it cannot.

    sudo python benchmarks/send_lag.py [--server 'CMD {port}'] [--engine NAME ...] [--realtime]

Each rate is run several times; the table has medians of the runs' percentiles, and the lowest in parentheses: other
programs only add to them. A run that keeps its rate must not be called saturated, and one that does not must be. The
exit code is 1 if a verdict is wrong. `--realtime` judges the code and not the neighbors: it lets no other program take
the worker's core. Linux only; `--realtime` and `--nice` below 0 as root.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import Any

from truth import run
from turns import Server

PERCENTILES = ("p50", "p99", "p99.9")
KEPT_NS = 1_000_000
"""Median lag (1 ms) above which a rate is not kept: an event loop that keeps up is a hundred times faster."""
SLICE_NS = 10_000_000
"""p99 (10 ms) above which a rate that is kept may be called saturated: no time slice of another program is as long."""


def is_wrong(summary: dict[str, Any]) -> bool:
    """True if a run is called saturated although it kept its rate, or is not although it did not."""
    lag = summary["generator"]["send_lag_ns"]
    if summary["generator"]["saturated"]:
        return bool(lag["p50"] <= KEPT_NS and lag["p99"] <= SLICE_NS)
    return bool(lag["p50"] > KEPT_NS)


def line(engine: str, rate: float, summaries: list[dict[str, Any]]) -> str:
    """Returns a row of the table."""
    lags = [summary["generator"]["send_lag_ns"] for summary in summaries]
    cells = [engine or "as a run", f"{rate:,.0f}/s"]
    for name in PERCENTILES:
        values = [lag[name] / 1000 for lag in lags]
        cells.append(f"{statistics.median(values):,.0f} µs ({min(values):,.0f})")
    cells.append(f"{statistics.median(one['generator']['cpu_share'] for one in summaries):.0%}")
    cells.append(f"{sum(one['generator']['saturated'] for one in summaries)} of {len(summaries)}")
    return "| " + " | ".join([*cells, str(sum(map(is_wrong, summaries)))]) + " |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--engine", action="append", help="one of ours; may be repeated; default: native")
    parser.add_argument("--more", default="", metavar="WORDS", help="more options of ours, as one text")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rates", type=float, nargs="*", default=[5_000, 50_000, 400_000])
    parser.add_argument("--seconds", type=float, default=2.5, help="of one run (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="runs for each row (default: %(default)s)")
    parser.add_argument("--core", type=int, default=1, help="core of the generator")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight of generator and server among other programs")
    parser.add_argument(
        "--realtime", action="store_true", help="let no other program take the worker's core (SCHED_FIFO)"
    )
    options = parser.parse_args()
    server = Server(options.server, options.server_core, nice=options.nice)
    wrong = 0
    try:
        titles = ["engine", "rate", *(f"send lag {name}" for name in PERCENTILES), "core", "saturated", "wrong"]
        print(f"load average {os.getloadavg()[0]:.1f}\n\n| " + " | ".join(titles) + " |")
        print("| " + " | ".join("---" for _ in titles) + " |", flush=True)
        for engine in options.engine or ["native"]:
            for rate in options.rates:
                load = f"--rate {rate:.0f}"
                summaries = [
                    run(server, load, options, engine=engine, seconds=options.seconds) for _ in range(options.turns)
                ]
                wrong += sum(map(is_wrong, summaries))
                print(line(engine, rate, summaries), flush=True)
    finally:
        server.kill()
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
