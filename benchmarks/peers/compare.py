"""What a message costs other load generators: the same closed loop, on one core, in short turns beside ours.

    python benchmarks/peers/compare.py --path DIR_OF_PROGRAMS [--server 'CMD {port}'] [--peer NAME='CMD {url}']

Each connection keeps one message of 32 bytes in flight. k6, Locust, Artillery and loadtest take part where their
programs are found, in --path or in PATH, with the scripts beside this file; --peer adds any other, by a command line
with {url}, {port}, {connections}, {seconds} and {bytes}. Messages are those that the server of each has counted, and
processor time is that of all processes of the generator: see `turns.py`. What a generator does with a reply differs,
and stands in the table.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from turns import Contender, Turn, low, paired, take_turns

HERE = Path(__file__).parent
PAYLOAD_BYTES = 32
LONGEST_S = 3600
"""Length of the runs, which end when all turns are over."""


@dataclass(frozen=True)
class Peer:
    """A generator, and how it runs here."""

    name: str
    program: str
    arguments: str
    counts: str = ""
    """What it does with a reply."""
    version: str = "--version"
    environment: str = ""

    def command(self) -> str | None:
        """Returns its command line; None where its program is not found."""
        found = shutil.which(self.program)
        fields = "env URL={url} CONNECTIONS={connections} SECONDS={seconds} BYTES={bytes} "
        return found and f"{fields}{self.environment}{shlex.quote(found)} {self.arguments.replace('HERE', str(HERE))}"

    def version_found(self) -> str:
        """Returns the version that the program prints."""
        found = shutil.which(self.program)
        assert found is not None
        words = subprocess.run([found, *self.version.split()], capture_output=True, text=True, check=False)
        number = re.search(r"\d+\.\d+(\.\d+)?", words.stdout + words.stderr)
        return number[0] if number else "unknown version"


OURS = (
    f"{sys.executable} -m ws_load_test {{url}} -w 1 -q -c {{connections}} -d {{seconds}}s --size {{bytes}} --timeout 1h"
)
K6 = (
    "run --quiet --no-usage-report --no-thresholds --no-summary -e URL={url} -e CONNECTIONS={connections} "
    "-e SECONDS={seconds} -e BYTES={bytes} "
)
PEERS = [
    Peer("k6", "k6", K6 + "HERE/k6.js", "counts; no times", version="version"),
    Peer(
        "k6 with times",
        "k6",
        K6 + "-e TIMES=1 HERE/k6.js",
        "counts, and a time in ms by the script (a Trend)",
        version="version",
    ),
    Peer(
        "Locust",
        "locust",
        "-f HERE/locustfile.py --headless -u {connections} -r {connections} -t {seconds}s --only-summary "
        "--loglevel ERROR --host {url}",
        "a time each by the script, kept in classes of ms",
    ),
    Peer(
        "Artillery",
        "artillery",
        "run --quiet HERE/artillery.yml",
        "matches its text, counts; no times",
        environment="WORKERS=1 ARTILLERY_DISABLE_TELEMETRY=true ",
    ),
    Peer(
        "loadtest",
        "loadtest",
        "--quiet --cores 1 -c {connections} -t {seconds} {url}",
        "parses its JSON; a time in ms; sends 18 bytes of JSON",
    ),
]


def contenders(options: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the command line of each generator by its name with its version, and what each does with a reply."""
    words = subprocess.run(
        [sys.executable, "-m", "ws_load_test", "--version"], capture_output=True, text=True, check=True
    )
    found, counts = {}, {}
    for engine in options.engine or [None]:
        name = f"{words.stdout.strip()}{f', {engine}' if engine else ''}"
        found[name] = OURS + (f" --engine {engine}" if engine else "")
        counts[name] = "checks its frame; a time in ns in an HDR histogram"
    for peer in PEERS:
        command = peer.command()
        if command is None:
            print(f"{peer.name}: no program `{peer.program}`; left out", file=sys.stderr)
        elif not options.only or peer.name in options.only:
            name = f"{peer.name} {peer.version_found()}"
            found[name], counts[name] = command, peer.counts
    for given in options.peer:
        name, _, command = given.partition("=")
        found[name], counts[name] = command, ""
    return found, counts


def measure(commands: dict[str, str], options: argparse.Namespace) -> tuple[dict[str, list[Turn]], dict[str, int]]:
    """Starts all generators, and gives each its turns; returns these, and the memory that each has at the end."""
    fields = {"connections": options.connections, "in_flight": 1, "seconds": LONGEST_S, "bytes": PAYLOAD_BYTES}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                Contender(
                    name,
                    command,
                    options.server,
                    fields,
                    cores=(options.core, options.server_core),
                    nice=options.nice,
                )
            )
            for name, command in commands.items()
        ]
        turns = take_turns(started, options.turns, options.seconds)
        return turns, {one.name: one.generator.set_size_bytes() for one in started}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--path", action="append", default=[], metavar="DIR", help="where programs are looked for first"
    )
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--engine", action="append", help="one of ours; may be repeated")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=CMD", help="another generator")
    parser.add_argument("--only", nargs="*", help="of the generators that are known here, these alone")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn")
    parser.add_argument("--core", type=int, default=1, help="core of the generators")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight among other programs; below 0 as root only")
    options = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([*options.path, os.environ["PATH"]])
    commands, counts = contenders(options)
    load = os.getloadavg()[0]
    found, memory = measure(commands, options)
    base = next(iter(found.values()))
    print(f"{options.connections} connections, 1 in flight; load average {load:.1f} before\n")
    titles = ["generator", "a message", "ratio", "messages/s on a core", "memory", "a reply"]
    print("| " + " | ".join(titles) + " |\n| " + " | ".join("---" for _ in titles) + " |")
    for name, turns in found.items():
        ratio, quarter, three = paired(turns, base, lambda turn: turn.cpu_us)
        # What it would send with the core to itself, whatever others took of it.
        rate = statistics.median(turn.per_s / turn.busy for turn in turns)
        cells = [
            name,
            f"{low([turn.cpu_us for turn in turns]):.1f} µs",
            f"{ratio:.1f} ({quarter:.1f}–{three:.1f})",
            f"{rate:,.0f}",
            f"{memory[name] / 1e6:,.0f} MB",
            counts[name],
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
