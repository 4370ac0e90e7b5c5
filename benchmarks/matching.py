"""Costs of fields and matching: processor time of a worker for each message, beside a fixed message in order.

    python benchmarks/matching.py ws://127.0.0.1:3001

against an echo server that is not the slow side: `echo_limit` of the yardstick, or `ws-load-test echo`. On a machine of
two cores, give each a core with taskset.
"""

from __future__ import annotations

import argparse

from ws_load_test import make_plan, run

TEXT = '{"id": 123456, "user": "abcdefgh"}'
FIELDS = '{"id": {seq}, "user": "{random:8}"}'
CASES = {
    "fixed, in order": {"message": TEXT},
    "fields, in order": {"message": FIELDS},
    "fields, json:id": {"message": FIELDS, "match": "json:id"},
    "fields, echo": {"message": FIELDS, "match": "echo"},
}


def main() -> None:
    """Runs each case at 1 and at 16 in flight, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="an echo server")
    parser.add_argument("--duration", default="3s", help="of each run")
    arguments = parser.parse_args()
    print(f"{'µs of processor time a message':32}{'1 in flight':>14}{'16 in flight':>14}")
    for name, options in CASES.items():
        costs = [cost_us(arguments.url, arguments.duration, in_flight, options) for in_flight in (1, 16)]
        print(f"{name:32}{costs[0]:>14.2f}{costs[1]:>14.2f}")


def cost_us(url: str, duration: str, in_flight: int, options: dict[str, str]) -> float:
    """Processor time of the worker for each reply read in the measured time, in µs."""
    plan = make_plan(url, connections=100, in_flight=in_flight, duration=duration, workers=1, **options)
    measured = [interval for interval in run(plan).recording.intervals if interval.phase == "measured"]
    cpu_ns = sum(load.cpu_ns for interval in measured for load in interval.workers)
    return cpu_ns / 1000 / max(1, sum(interval.tally.answered_in_window for interval in measured))


if __name__ == "__main__":
    main()
