"""Cost of a scenario in other load generators: five exchanges by an id with a time to think, on one core, run by run.

    python benchmarks/peers/scenario.py --path DIR_OF_PROGRAMS

Each session thinks for 500 ms on average and then exchanges a message, so 1,000 sessions send 2,000 messages a second
in every generator: a plan file of ours, a role in Python, k6 and Locust, each by its script beside this file. Runs
follow each other in turns, since in a generator that is stopped and continued (`turns.py`) all think times end at once.
Messages are those that the server counted in the measured seconds, processor time is that of all processes of the
generator meanwhile. Lost is the difference between messages that the server answered and replies that the generator
reports, over the whole run.

A last run of each stands still for a second (SIGSTOP), so that messages are sent late by up to a second. A time that
counts from when a message was due has that second, one from when it was sent has not.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from compare import K6, Peer
from scenario_role import STEPS

from turns import Program, Server, paired

SETTLE_S = 3.0
"""Time from the last opened connection to the first measured message: the load has become even by then."""
STARTING_S = 20.0
"""Most time that a generator may take to open its connections; its run is so much longer than what is measured."""
FREEZE_S = 1.0
"""Time for which a generator stands still: twice the time to think, so that most sessions are due meanwhile."""
CLOSING_S = 60
"""Most time from the end of what is measured to the end of the generator."""

OURS = "-m ws_load_test {url} -w 1 -c {connections} -d {seconds}s --json "
TOOLS = [
    Peer("plan file", sys.executable, OURS + "--plan HERE/scenario.toml"),
    Peer("role in Python", sys.executable, OURS + "--scenario HERE/scenario_role.py:user"),
    Peer(
        "k6",
        "k6",
        K6.replace("--no-summary", "--summary-export={report}.k6") + "HERE/scenario_k6.js",
        version="version",
    ),
    Peer(
        "Locust",
        "locust",
        "-f HERE/scenario_locust.py --headless -u {connections} -r {connections} -t {seconds}s --json "
        "--loglevel ERROR --host {url}",
    ),
]


@dataclass(frozen=True)
class Report:
    """Replies in a generator's own report."""

    replies: int
    p99_ms: float
    """99th percentile of its times."""
    lag_ms: float | None = None
    """Median of the time from due to sent, where the generator has it."""


@dataclass(frozen=True)
class Run:
    """One run of a generator."""

    cpu_us: float
    """Processor time of the generator for each message, in µs."""
    per_s: float
    """Messages a second."""
    lost: int
    """Messages that the server answered and the generator's report has no reply to."""
    p99_ms: float
    """99th percentile of the times in its report."""
    lag_ms: float | None
    """Median of the time from due to sent, where its report has it."""


def read_ours(text: str) -> Report:
    """Reads the summary of our own generator."""
    found = json.loads(text)
    replies = found["messages"]["answered"] + found["warmup"]["answered"]
    return Report(replies, found["response_time_ns"]["p99"] / 1e6, found["generator"]["send_lag_ns"]["p50"] / 1e6)


def read_k6(text: str) -> Report:
    """Reads the summary that k6 exports; it has percentiles of each step alone, of which the middle one is taken."""
    metrics = json.loads(text)["metrics"]
    times = [metrics[step] for step in STEPS]
    return Report(sum(one["count"] for one in times), statistics.median(one["p(99)"] for one in times))


def read_locust(text: str) -> Report:
    """Reads the statistics of Locust; they have a class of times for each ms, then for each 10 and each 100."""
    classes: dict[float, int] = {}
    for step in json.loads(text):
        for took, count in step["response_times"].items():
            classes[float(took)] = classes.get(float(took), 0) + count
    replies = sum(classes.values())
    at = 0
    for took in sorted(classes):
        at += classes[took]
        if at >= replies * 0.99:
            return Report(replies, took)
    return Report(0, 0.0)


def read_report(name: str, path: Path) -> Report:
    """Reads the report of a generator."""
    if name == "k6":
        return read_k6(path.with_name(f"{path.name}.k6").read_text())
    return (read_locust if name == "Locust" else read_ours)(path.read_text())


def freeze(generator: Program) -> None:
    """Stops the generator for a while."""
    generator.send(signal.SIGSTOP)
    time.sleep(FREEZE_S)
    generator.send(signal.SIGCONT)


def open_all(generator: Program, server: Server, sessions: int) -> None:
    """Waits until all sessions are open and the load has become even."""
    deadline = time.monotonic() + STARTING_S
    while server.counts()["open"] < sessions:
        generator.check()
        if time.monotonic() > deadline:
            sys.exit(f"{generator.words}: {server.counts()['open']} of {sessions} connections opened")
        time.sleep(0.05)
    time.sleep(SETTLE_S)
    generator.find_processes()


def run_once(tool: Peer, options: argparse.Namespace, *, frozen: bool = False) -> Run:
    """Runs a generator against a server of its own."""
    command = tool.command()
    assert command is not None
    server = Server(None, options.server_core, nice=options.nice)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report"
        line = command.format(
            url=f"ws://127.0.0.1:{server.port}/",
            connections=options.sessions,
            seconds=round(SETTLE_S + options.seconds + 4),
            bytes=0,
            report=report,
        )
        generator = Program(["sh", "-c", f"exec {line} >{shlex.quote(str(report))}"], options.core, nice=options.nice)
        if options.realtime:
            for pid in (*server.pids, *generator.pids):
                # What they start inherits it.
                os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
        try:
            open_all(generator, server, options.sessions)
            messages, cpu_ns, began = server.counts()["messages"], generator.cpu_ns(), time.perf_counter()
            if frozen:
                freeze(generator)
            time.sleep(options.seconds)
            cpu_ns, took = generator.cpu_ns() - cpu_ns, time.perf_counter() - began
            counts = server.counts()
            messages = counts["messages"] - messages
            if counts["open"] < options.sessions:
                sys.exit(f"{tool.name}: {counts['open']} of {options.sessions} connections were open at the end")
            generator.process.wait(CLOSING_S)
            found = read_report(tool.name, report)
            lost = server.counts()["messages"] - found.replies
        finally:
            generator.kill()
            server.kill()
    return Run(cpu_ns / 1000 / messages, messages / took, lost, found.p99_ms, found.lag_ms)


def present(options: argparse.Namespace) -> dict[str, Peer]:
    """Returns the generators whose programs are found, by their names with versions."""
    found = {}
    for tool in TOOLS:
        if tool.command() is None:
            print(f"{tool.name}: no program `{tool.program}`; left out", file=sys.stderr)
        elif not options.only or tool.name in options.only:
            ours = tool.program == sys.executable
            found[f"ws-load-test, {tool.name}" if ours else f"{tool.name} {tool.version_found()}"] = tool
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--path", action="append", default=[], metavar="DIR", help="where programs are looked for first"
    )
    parser.add_argument("--only", nargs="*", help="of the generators, these alone")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of a run")
    parser.add_argument("--core", type=int, default=1, help="core of the generators")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=-10, help="weight among other programs; below 0 as root only")
    parser.add_argument(
        "--realtime", action="store_true", help="before all other programs (SCHED_FIFO), as root, on a busy machine"
    )
    options = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([*options.path, os.environ["PATH"]])
    tools, load = present(options), os.getloadavg()[0]
    runs: dict[str, list[Run]] = {name: [] for name in tools}
    for _ in range(options.turns):
        for name, tool in tools.items():
            runs[name].append(run_once(tool, options))
    frozen = {name: run_once(tool, options, frozen=True) for name, tool in tools.items()}
    version = subprocess.check_output([sys.executable, "-m", "ws_load_test", "--version"], text=True).strip()
    print(f"{version}; {options.sessions} sessions; load average {load:.1f} before\n")
    titles = ["generator", "messages/s", "a message", "ratio", "lost", "send lag p50", "p99"]
    titles.append("p99 of a run that stands still for 1 s")
    print("| " + " | ".join(titles) + " |\n| " + " | ".join("---" for _ in titles) + " |")
    base = next(iter(runs.values()))
    for name, mine in runs.items():
        lags = [run.lag_ms for run in mine if run.lag_ms is not None]
        ratio, quarter, three = paired(mine, base, lambda run: run.cpu_us)
        cells = [
            name,
            f"{statistics.median(run.per_s for run in mine):,.0f}",
            f"{statistics.median(run.cpu_us for run in mine):.1f} µs",
            f"{ratio:.1f} ({quarter:.1f}–{three:.1f})",
            f"{sum(run.lost for run in mine)}",
            f"{statistics.median(lags) * 1000:.0f} µs" if lags else "not known",
            f"{statistics.median(run.p99_ms for run in mine):.1f} ms",
            f"{frozen[name].p99_ms:,.0f} ms",
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
