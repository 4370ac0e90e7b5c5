"""Costs of the live view and of a recording: processor time and throughput with both as a ratio to neither.

    python benchmarks/live.py                                       # against the built-in server
    python benchmarks/live.py --loop                                # what drawing costs the fleet's thread

The rounds take turns, and in each the order changes. The program runs on a pseudo-terminal of 80 columns and 24 rows
whose output is read and thrown away. Run it on a machine that has nothing else to do.

`--loop` draws synthetic intervals beside an event loop in the same process, as in the fleet's, and looks a thousand
times a second how late that loop is: without a view, with one, and with one whose terminal takes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import random
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test import make_plan
from ws_load_test.echo import EchoProcess
from ws_load_test.live.view import LiveView
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import Interval, WorkerUsage
from ws_load_test.metrics.recording_file import read_recording
from ws_load_test.metrics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = (sys.executable, "-m", "ws_load_test")
SECOND = 10**9


def main() -> None:
    """Prints a table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--duration", type=float, default=8, help="seconds of each run, beside one of a quarter of that"
    )
    parser.add_argument("--connections", "-c", default="100")
    parser.add_argument("--in-flight", default="1")
    parser.add_argument("--workers", "-w", default="1")
    parser.add_argument("--loop", action="store_true", help="measure the fleet's thread instead")
    arguments = parser.parse_args()
    if arguments.loop:
        lateness()
        return
    load = ["-c", arguments.connections, "--in-flight", arguments.in_flight, "-w", arguments.workers]
    with EchoProcess() as server:
        throughputs(server, load, arguments.rounds, arguments.duration)


# --- The throughput ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spent:
    """Costs of one run."""

    messages: int
    per_s: float
    """Its throughput."""
    cpu_s: float
    """Processor time of the program, its workers and the built-in server."""

    def since(self, shorter: Spent) -> float:
        """Returns the processor time of a message in µs, without what both runs spent to begin and to end."""
        return (self.cpu_s - shorter.cpu_s) * 1e6 / (self.messages - shorter.messages)


def throughputs(server: EchoProcess, load: list[str], rounds: int, duration_s: float) -> None:
    """Prints what a message costs in each round, and the ratio of the medians; and the same of throughput.

    Where generator and server fill the machine, throughput is its cores over that cost; but what else the machine does
    shows in the throughput at once, and in the cost hardly.
    """
    costs: dict[str, list[float]] = {"without": [], "with": []}
    rates: dict[str, list[float]] = {"without": [], "with": []}
    ways = {"without": without, "with": with_both}
    for number in range(rounds):
        for name in [*ways][:: 1 if number % 2 else -1]:
            longer, shorter = (
                spent(server, ways[name], [*load, "-d", f"{seconds}s"]) for seconds in (duration_s, duration_s / 4)
            )
            costs[name].append(longer.since(shorter))
            rates[name].append(longer.per_s)
        last = ", ".join(f"{name} {costs[name][-1]:.2f} µs at {rates[name][-1]:,.0f}/s" for name in ways)
        print(f"round {number + 1}: {last}", flush=True)
    for what, found, of in (("processor time of a message", costs, "without"), ("throughput", rates, "with")):
        middle = {name: statistics.median(values) for name, values in found.items()}
        other = next(name for name in ways if name != of)
        pairs = sorted(one / two for one, two in zip(found[of], found[other], strict=True))
        print(
            f"{what}: without {middle['without']:,.2f}, with {middle['with']:,.2f}; {of}/{other}: of the medians"
            f" {middle[of] / middle[other]:.3f}, median of the rounds {statistics.median(pairs):.3f}"
            f" ({pairs[0]:.3f} to {pairs[-1]:.3f})"
        )


def spent(server: EchoProcess, way: Callable[[str, list[str]], tuple[int, float]], load: list[str]) -> Spent:
    """Runs one way, and returns what it took."""

    def cpu_s() -> float:
        ours = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ours.ru_utime + ours.ru_stime + server.counts().cpu_s

    before_s = cpu_s()
    messages, per_s = way(server.url, load)
    return Spent(messages, per_s, cpu_s() - before_s)


def without(url: str, load: list[str]) -> tuple[int, float]:
    """Neither a view nor a recording."""
    done = subprocess.run([*PROGRAM, url, *load, "--json", "--no-live"], capture_output=True, check=True)
    summary = json.loads(done.stdout)
    return summary["messages"]["answered"], summary["throughput_per_s"]


def with_both(url: str, load: list[str]) -> tuple[int, float]:
    """A view on a terminal and a recording."""
    with tempfile.TemporaryDirectory() as folder, terminal() as (end, seen):
        path = Path(folder) / "run.jsonl"
        subprocess.run([*PROGRAM, url, *load, "--live", "-o", str(path)], stdout=end, env=_environment(), check=True)
        trailer = read_recording(path).trailer
        assert trailer is not None
        while "99 %" not in "".join(seen):
            time.sleep(0.01)
    assert "\x1b[?1049h" in "".join(seen), "there was no live view"
    return trailer.summary["messages"]["answered"], trailer.summary["throughput_per_s"]


def _environment() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color"}


@contextmanager
def terminal(reads: threading.Event | None = None) -> Iterator[tuple[int, list[str]]]:
    """Opens a terminal, and yields the end for a program, and what it has written so far, read from the event on."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen: list[str] = []

    def read() -> None:
        if reads is not None:
            reads.wait()
        try:
            while data := os.read(ours, 1 << 16):
                seen.append(data.decode(errors="replace"))
        except OSError:
            pass

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield theirs, seen
    finally:
        if reads is not None:
            reads.set()
        os.close(theirs)
        reading.join()
        os.close(ours)


# --- The fleet's thread -----------------------------------------------------------------------------------------------


def lateness() -> None:
    """Prints how late a loop is beside a view, and the processor time that the view takes."""
    print(f"{'lateness of the loop':24}{'50 %':>10}{'99 %':>10}{'highest':>10}{'processor':>12}")
    for name, shows, blocked in (
        ("no view", False, False),
        ("a view", True, False),
        ("a blocked terminal", True, True),
    ):
        late_ms, share = asyncio.run(_beside(shows=shows, blocked=blocked))
        figures = statistics.quantiles(late_ms, n=100)
        print(f"{name:24}{figures[49]:>7.2f} ms{figures[98]:>7.2f} ms{max(late_ms):>7.2f} ms{share:>11.1%}")


async def _beside(*, shows: bool, blocked: bool, seconds: int = 8) -> tuple[list[float], float]:
    reads = threading.Event()
    if not blocked:
        reads.set()
    plan = make_plan("ws://127.0.0.1:3001", connections=1000, rate=50_000, duration="60s", workers=4)
    made = [IntervalEvent.decode(_interval(index)) for index in range(seconds * 2)]
    late_ms: list[float] = []
    with terminal(reads) as (end, _):
        view = None
        with os.fdopen(os.dup(end), "w", encoding="utf-8") as stream:
            view = LiveView(plan, stream, after_s=0.0, captures_logs=False) if shows else None
        await asyncio.sleep(0.5)
        cpu_from, from_s = time.process_time(), time.perf_counter()
        for event in made[:seconds]:
            if view is not None:
                view(event)
            until = time.perf_counter() + 1
            while (now := time.perf_counter()) < until:
                await asyncio.sleep(0.001)
                late_ms.append(max(0.0, (time.perf_counter() - now - 0.001) * 1000))
        share = (time.process_time() - cpu_from) / (time.perf_counter() - from_s)
        if view is not None:
            reads.set()
            view.close()
    return late_ms, share


def _interval(index: int) -> Interval:
    """Returns a second of 50,000 messages on four workers."""
    chance = random.Random(index)  # noqa: S311 - nothing secret
    tally = Tally(attempted=1000 * (not index), opened=1000 * (not index), sent=50_000, answered=50_000, due=50_000)
    tally.answered_in_window = 50_000
    for times in (tally.response_time_ns, tally.service_time_ns, tally.send_lag_ns, tally.loop_lag_ns):
        for _ in range(2_000):
            times.record(round(chance.lognormvariate(13, 1)), 25)
    tally.faults["closed:1011"] = index
    loads: list[Any] = [WorkerUsage(worker, SECOND // 2, SECOND) for worker in range(4)]
    return Interval.of(
        tally,
        index=index,
        phase="measured",
        from_ns=index * SECOND,
        to_ns=(index + 1) * SECOND,
        measured_ns=SECOND,
        workers=loads,
    )


if __name__ == "__main__":
    main()
