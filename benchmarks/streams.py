"""Cost of answers of many messages: processor time of a worker for each message that comes.

    python benchmarks/streams.py ws://127.0.0.1:3001

against `ws-load-test echo`. On a machine of two cores, give each a core with taskset. The first case reads the same
messages whole, and takes all but the last of each answer for pushes: the difference is what streams cost.
"""

from __future__ import annotations

import argparse

from ws_load_test import make_plan, run

LENGTH = 100
"""Messages of an answer: as many as the words of some sentences."""
CASES = {
    "pushes and a reply, by json:id": {"match": "json:id", "ignore": 'regex:"text": "[^"]*"}$'},
    "streams in order": {"until": "contains:done"},
    "streams in order, --first": {"until": "contains:done", "first": "contains:answer"},
    "streams by json:id": {"match": "json:id", "until": "contains:done"},
    "streams by json:id, until json": {"match": "json:id", "until": "json:done=true", "count": "json:usage.tokens"},
}


def main() -> None:
    """Runs each case, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the built-in echo server")
    parser.add_argument("--duration", default="3s", help="of each run")
    arguments = parser.parse_args()
    print(f"{'µs of processor time a message':40}")
    for name, options in CASES.items():
        print(f"{name:40}{cost_us(f'{arguments.url}/?stream={LENGTH}', arguments.duration, options):>8.2f}")


def cost_us(url: str, duration: str, options: dict[str, str]) -> float:
    """Processor time of the worker for each message that came in the measured time, in µs."""
    plan = make_plan(url, connections=20, message='{"id": {seq}}', duration=duration, workers=1, **options)
    measured = [interval for interval in run(plan).recording.intervals if interval.phase == "measured"]
    cpu_ns = sum(load.cpu_ns for interval in measured for load in interval.workers)
    tallies = [interval.tally for interval in measured]
    return cpu_ns / 1000 / max(1, sum(tally.streamed or tally.pushed + tally.answered for tally in tallies))


if __name__ == "__main__":
    main()
