"""Costs of fields and matching: processor time of a message beside that of a fixed message in order.

    python benchmarks/matching.py [--server 'CMD {port}'] [--engine NAME] [--case feed stream]

All cases run in short turns on one core (see `turns.py`), each with an echo server of its own on the other: the
built-in one, or a faster one that prints ``messages=N open=N`` for each SIGUSR1. A difference is the median of those of
turns that followed each other. In a case with ``stream`` each answer is one message, which is its end mark.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from turns import Contender, Turn, low, take_turns

CONNECTIONS = 100
TEXT = '{"id": 123456, "user": "abcdefgh"}'
FIELDS = '{"id": {seq}, "user": "{random:8}"}'
FROM_FEED = '{"id": {seq}, "user": "{feed.user}"}'
FEED_ROWS = {"small": 1000, "large": 100_000}
"""Rows of feeds by their names in `CASES`: one of 9 kB is kept in memory, one of 1.2 MB is read on and on."""
CASES = {
    "fixed, in order": ["--message", TEXT],
    "fields, in order": ["--message", FIELDS],
    "fixed, echo": ["--message", TEXT, "--match", "echo"],
    "fields, json:id": ["--message", FIELDS, "--match", "json:id"],
    "fields, echo": ["--message", FIELDS, "--match", "echo"],
    "fields, regex": ["--message", FIELDS, "--match", 'regex:"id": (\\d+)'],
    "fixed, in order, a check": ["--message", TEXT, "--expect", "json:user=abcdefgh"],
    "feed, small": ["--message", FROM_FEED, "--feed", "{small}"],
    "feed, small, at random": ["--message", FROM_FEED, "--feed", "{small}", "--feed-order", "random"],
    "feed, a row for each connection": ["--message", FROM_FEED, "--feed", "{small}", "--feed-order", "connection"],
    "feed, large": ["--message", FROM_FEED, "--feed", "{large}"],
    "fixed, stream": ["--message", TEXT, "--until", "contains:user"],
    "fields, json:id, stream": ["--message", FIELDS, "--match", "json:id", "--until", "contains:user"],
}


def command(words: list[str], engine: str | None) -> str:
    """Returns our command line for a case, as a format."""
    text = shlex.join([sys.executable, "-m", "ws_load_test", *words, *(["--engine", engine] if engine else [])])
    load = " {url} -w 1 -q -c {connections} --in-flight {in_flight} -d {seconds}s --timeout 1h"
    return text.replace("{", "{{").replace("}", "}}") + load


def write_feeds(folder: Path) -> dict[str, str]:
    """Writes the feeds. Returns their paths by name."""
    paths = {name: folder / f"{name}.csv" for name in FEED_ROWS}
    for name, path in paths.items():
        path.write_text("user,rest\n" + "".join(f"{number:08},abc\n" for number in range(FEED_ROWS[name])))
    return {name: str(path) for name, path in paths.items()}


def filled(words: list[str], feeds: dict[str, str]) -> list[str]:
    """Returns a case with the paths of its feeds."""
    return [feeds.get(word.strip("{}"), word) for word in words]


def chosen(words: list[str]) -> dict[str, list[str]]:
    """Returns the first case, and those with one of the words in their names; all without words."""
    first = next(iter(CASES))
    return {
        name: case for name, case in CASES.items() if not words or name == first or any(one in name for one in words)
    }


def measure(in_flight: int, options: argparse.Namespace) -> dict[str, list[Turn]]:
    """Gives each case its turns."""
    fields = {"connections": CONNECTIONS, "in_flight": in_flight, "seconds": 3600, "bytes": len(TEXT)}
    cores = options.core, options.server_core
    with ExitStack() as stack:
        feeds = write_feeds(Path(stack.enter_context(TemporaryDirectory())))
        contenders = [
            stack.enter_context(
                Contender(
                    name,
                    command(filled(words, feeds), options.engine),
                    options.server,
                    fields,
                    cores=cores,
                    nice=options.nice,
                )
            )
            for name, words in chosen(options.case).items()
        ]
        return take_turns(contenders, options.turns, options.seconds)


def main() -> None:
    """Prints a table for 1 and for 16 in flight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--engine", help="one of ours; default: as a run without --engine")
    parser.add_argument("--case", nargs="*", default=[], metavar="WORD", help="cases with such a word beside the first")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--core", type=int, default=1, help="core of the generators")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight among other programs; below 0 as root only")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    for in_flight in (1, 16):
        print(f"\n| {in_flight} in flight | a message | more than the first |\n| --- | --- | --- |")
        found = measure(in_flight, options)
        first = found[next(iter(CASES))]
        for name, turns in found.items():
            more = statistics.median(mine.cpu_us - base.cpu_us for mine, base in zip(turns, first, strict=True))
            print(f"| {name} | {low([turn.cpu_us for turn in turns]):.2f} µs | {more:+.2f} µs |", flush=True)


if __name__ == "__main__":
    main()
