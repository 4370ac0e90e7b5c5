"""Cost of a round trip: processor time of the generator, beside the least that C can do, against the same server.

    python benchmarks/cost.py --server 'CMD {port}' --yardstick 'CMD {port} {connections} {in_flight} {seconds} {bytes}'

The yardstick is any closed-loop client without checks, the server any echo server that prints ``messages=N open=N`` for
each SIGUSR1; without them the built-in server answers, and ratios are to the first of ours. Generators have one core
and their servers another. All run in short turns (see `turns.py`); a figure is the 10th percentile of the turns, a
ratio the median of those of turns that followed each other, with its quartiles. Compare ratios, not microseconds.

`--engine` names engines of ours, with a `--reply-instant` behind a colon (`native:read`), `--with NAME=CMD` any other
generator: the same of another checkout, for example. The TLS part needs a server that speaks it (`--tls-server`), and
can have a yardstick of its own. Opening a connection and keeping it cost what a run with many has more than a run with
few.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from turns import Contender, Turn, low, paired, take_turns

CASES = ["100x1", "1000x1", "100x16", "10000x1"]
TLS_CASES = ["100x1", "100x16"]
PAYLOAD_BYTES = 32
FEW, MANY, MANY_SECURE = 100, 10_100, 2100
"""Connections between which memory and processor time of opening are compared."""
LOAD = "-c {connections} --in-flight {in_flight} -d {seconds}s --size {bytes}"
IDLE = "-c {connections} --rate 1 -d {seconds}s --size {bytes}"
TITLES = ("connections", "in flight", "generator", "a round trip", "ratio", "messages/s on a core", "disturbed turns")
SETTLED_S = 1.0
"""Time from the opening of the last connection to the look at memory."""


def ours(engine: str | None, load: str, *, secure: bool = False) -> str:
    """Returns our command line for an engine; None is the default one."""
    # A message in flight waits while its generator is stopped, and no other end may come first.
    name, _, instant = (engine or "").partition(":")
    chosen = (f" --engine {name}" if name else "") + (f" --reply-instant {instant}" if instant else "")
    trusting = " --insecure" if secure else ""
    return f"{sys.executable} -m ws_load_test {{url}} -w 1 -q {load} --timeout 1h{trusting}{chosen}"


def name_of(engine: str | None) -> str:
    """Returns an engine's name in the tables."""
    return f"ours, {engine}" if engine else "ours"


def compete(
    commands: dict[str, tuple[str, bool]], case: str, options: argparse.Namespace, facts: list[dict[str, object]]
) -> dict[str, list[Turn]]:
    """Runs one case of commands by name, each with True if it speaks TLS, and prints a line for each."""
    connections, in_flight = map(int, case.split("x"))
    fields = {"connections": connections, "in_flight": in_flight, "seconds": 3600, "bytes": PAYLOAD_BYTES}
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(
                Contender(
                    name,
                    command,
                    options.tls_server if secure else options.server,
                    fields,
                    cores=(options.core, options.server_core),
                    secure=secure,
                    nice=options.nice,
                )
            )
            for name, (command, secure) in commands.items()
        ]
        found = take_turns(contenders, options.turns, options.seconds)
    base = found[next(iter(found))]
    for name, turns in found.items():
        ratio, quarter, three = paired(turns, base, lambda turn: turn.cpu_us)
        cost_us = low([turn.cpu_us for turn in turns])
        # What it would send with the core to itself, whatever others took of it.
        rate = statistics.median(turn.per_s / turn.busy for turn in turns)
        spoiled = sum(turn.spoiled for turn in turns)
        print(
            f"| {connections:,} | {in_flight} | {name} | {cost_us:.3f} µs | {ratio:.2f} ({quarter:.2f}–{three:.2f}) "
            f"| {rate:,.0f} | {spoiled}/{len(turns)} |",
            flush=True,
        )
        facts.append({"case": case, "name": name, "ratio": ratio, "turns": [asdict(turn) for turn in turns]})
    return found


def opening(name: str, command: str, options: argparse.Namespace, *, secure: bool) -> dict[str, object]:
    """Prints what opening and keeping a connection cost: what many take more than few."""
    cpu_ns: list[int] = []
    size_bytes: list[int] = []
    counts = (FEW, MANY_SECURE if secure else MANY)
    for connections in counts:
        fields = {"connections": connections, "in_flight": 1, "seconds": 3600, "bytes": PAYLOAD_BYTES}
        cores = options.core, options.server_core
        server = options.tls_server if secure else options.server
        with Contender(name, command, server, fields, cores=cores, secure=secure, nice=options.nice) as one:
            cpu_ns.append(one.generator.cpu_ns())
            one.resume()
            time.sleep(SETTLED_S)
            size_bytes.append(one.generator.set_size_bytes())
    more = counts[1] - counts[0]
    opening_us, kept_bytes = (cpu_ns[1] - cpu_ns[0]) / 1000 / more, (size_bytes[1] - size_bytes[0]) / more
    print(f"| {name} | {'wss' if secure else 'ws'} | {opening_us:.0f} µs | {kept_bytes / 1000:.1f} kB |", flush=True)
    return {"name": name, "secure": secure, "opening_us": opening_us, "kept_bytes": kept_bytes}


def head(*titles: str) -> None:
    """Prints the head of a table."""
    print("\n| " + " | ".join(titles) + " |\n| " + " | ".join("---" for _ in titles) + " |", flush=True)


def measure_plain(options: argparse.Namespace) -> list[dict[str, object]]:
    """Prints what a round trip costs without TLS."""
    facts: list[dict[str, object]] = []
    if options.cases:
        head(*TITLES)
    commands = {"yardstick": (options.yardstick, False)} if options.yardstick else {}
    commands |= {name_of(engine): (ours(engine, LOAD), False) for engine in options.engine}
    commands |= {name: (command, False) for name, command in named(options.with_)}
    for case in options.cases:
        compete(commands, case, options, facts)
    return facts


def measure_tls(options: argparse.Namespace) -> list[dict[str, object]]:
    """Prints what a round trip costs under TLS, beside the same without."""
    facts: list[dict[str, object]] = []
    if options.tls_cases:
        head(*TITLES)
    commands = {f"{name_of(engine)}, ws": (ours(engine, LOAD), False) for engine in options.engine}
    if options.tls_yardstick:
        commands["yardstick, wss"] = (options.tls_yardstick, True)
    commands |= {f"{name_of(engine)}, wss": (ours(engine, LOAD, secure=True), True) for engine in options.engine}
    commands |= {f"{name}, wss": (command, True) for name, command in named(options.with_tls)}
    for case in options.tls_cases:
        compete(commands, case, options, facts)
    return facts


def measure_opening(options: argparse.Namespace, *, has_tls: bool) -> list[dict[str, object]]:
    """Prints what a connection costs, with and without TLS."""
    if options.skip_opening:
        return []
    head("generator", "scheme", "opening a connection", "kept for it")
    return [
        opening(name_of(engine), ours(engine, IDLE, secure=secure), options, secure=secure)
        for secure in ((False, True) if has_tls else (False,))
        for engine in options.engine
    ]


def named(words: list[str]) -> list[tuple[str, str]]:
    """Returns the names and commands of NAME=CMD."""
    return [(name, command) for name, _, command in (word.partition("=") for word in words)]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="command line of an echo server, with {port}; default: the built-in one")
    parser.add_argument("--tls-server", help="the same under TLS")
    parser.add_argument("--yardstick", help="command line of the generator to which the others are compared")
    parser.add_argument("--tls-yardstick", help="the same under TLS")
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME[:INSTANT]",
        help="one of ours, with a --reply-instant; may be repeated; default: as a run without --engine",
    )
    parser.add_argument("--with", dest="with_", action="append", default=[], metavar="NAME=CMD", help="another one")
    parser.add_argument("--with-tls", action="append", default=[], metavar="NAME=CMD", help="another one under TLS")
    parser.add_argument("--cases", nargs="*", default=CASES, help="connections x messages in flight")
    parser.add_argument("--tls-cases", nargs="*", default=TLS_CASES)
    parser.add_argument("--skip-opening", action="store_true", help="leave out memory and opening")
    parser.add_argument("--turns", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--core", type=int, default=1, help="core of the generators")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight of generators and servers; below 0 as root only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all turns")
    options = parser.parse_args()
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"load average of the machine: {load}; {options.turns} turns of {options.seconds} s", flush=True)
    options.engine = options.engine or [None]
    has_tls = bool(options.tls_server) or not options.server
    facts = {"plain": measure_plain(options)}
    if has_tls:
        facts["tls"] = measure_tls(options)
    facts["opening"] = measure_opening(options, has_tls=has_tls)
    if options.json:
        options.json.write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
