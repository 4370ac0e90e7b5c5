"""What the live view and a recording cost a run: its throughput with both as a ratio to that with neither.

    python benchmarks/live.py                                       # against the built-in server
    python benchmarks/live.py --url ws://127.0.0.1:3001             # or another one
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
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ws_load_test import Plan
from ws_load_test.echo import EchoProcess
from ws_load_test.measure.recording import Interval, WorkerLoad, read_recording
from ws_load_test.measure.tally import Tally
from ws_load_test.report.live import LiveView

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = (sys.executable, "-m", "ws_load_test")
SECOND = 10**9


def main() -> None:
    """Prints a table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="an echo server; the built-in one by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--duration", default="5s", help="of each run")
    parser.add_argument("--connections", "-c", default="100")
    parser.add_argument("--in-flight", default="1")
    parser.add_argument("--workers", "-w", default="1")
    parser.add_argument("--loop", action="store_true", help="measure the fleet's thread instead")
    arguments = parser.parse_args()
    if arguments.loop:
        lateness()
        return
    load = ["-c", arguments.connections, "--in-flight", arguments.in_flight, "-w", arguments.workers]
    load += ["-d", arguments.duration]
    with EchoProcess() if arguments.url is None else nullcontext() as server:
        throughputs(server.url if server is not None else arguments.url, load, arguments.rounds)


# --- The throughput ---------------------------------------------------------------------------------------------------


def throughputs(url: str, load: list[str], rounds: int) -> None:
    """Prints messages a second of each round, and the ratio of the medians."""
    found: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    ways = {"without": without, "with": with_both}
    for number in range(rounds):
        for name in [*ways][:: 1 if number % 2 else -1]:
            found[name].append(ways[name](url, load))
        last = {name: values[-1][0] for name, values in found.items()}
        print(f"round {number + 1}: without {last['without']:>10,.0f}/s, with {last['with']:>10,.0f}/s", flush=True)
    middle, cores = (
        {name: statistics.median(v[at] for v in values) for name, values in found.items()} for at in (0, 1)
    )
    pairs = sorted(one[0] / other[0] for one, other in zip(found["with"], found["without"], strict=True))
    print(f"medians: without {middle['without']:,.0f}/s, with {middle['with']:,.0f}/s")
    print(f"ratio of the medians {middle['with'] / middle['without']:.3f}")
    print(f"ratios of rounds: median {statistics.median(pairs):.3f}, from {pairs[0]:.3f} to {pairs[-1]:.3f}")
    print(f"the fleet's process, of a core: without {cores['without']:.1%}, with {cores['with']:.1%}")


def without(url: str, load: list[str]) -> tuple[float, float]:
    """Neither a view nor a recording."""
    with tempfile.TemporaryFile() as out:
        cpu_s = processor_s([*PROGRAM, url, *load, "--json", "--no-live"], stdout=out)
        out.seek(0)
        summary = json.load(out)
    return summary["throughput_per_s"], cpu_s / summary["duration_s"]


def with_both(url: str, load: list[str]) -> tuple[float, float]:
    """A view on a terminal and a recording."""
    with tempfile.TemporaryDirectory() as folder, terminal() as (end, seen):
        path = Path(folder) / "run.jsonl"
        cpu_s = processor_s([*PROGRAM, url, *load, "--live", "-o", str(path)], stdout=end, env=_environment())
        trailer = read_recording(path).trailer
        assert trailer is not None
        while "99 %" not in "".join(seen):
            time.sleep(0.01)
    assert "\x1b[?1049h" in "".join(seen), "there was no live view"
    return trailer.summary["throughput_per_s"], cpu_s / trailer.summary["duration_s"]


def processor_s(command: list[str], **options: Any) -> float:
    """Runs a program to its end; returns the processor time of its own process, workers not included."""
    process = subprocess.Popen(command, **options)
    ticks = 0
    while process.poll() is None:
        words = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # A process that has ended and was not waited for still tells all of it.
        ticks = int(words[11]) + int(words[12]) or ticks
        time.sleep(0.02)
    assert not process.returncode, f"the run ended with exit code {process.returncode}"
    return ticks / os.sysconf("SC_CLK_TCK")


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
    plan = Plan.of("ws://127.0.0.1:3001", connections=1000, rate=50_000, duration="60s", workers=4)
    made = [_interval(index) for index in range(seconds * 2)]
    late_ms: list[float] = []
    with terminal(reads) as (end, _):
        view = None
        with os.fdopen(os.dup(end), "w", encoding="utf-8") as stream:
            view = LiveView(plan, stream, after_s=0.0, diverts=False) if shows else None
        await asyncio.sleep(0.5)
        cpu_from, from_s = time.process_time(), time.perf_counter()
        for interval in made[:seconds]:
            if view is not None:
                view(interval)
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
    tally.answered_in_time = 50_000
    for times in (tally.response_time_ns, tally.service_time_ns, tally.send_lag_ns, tally.loop_lag_ns):
        for _ in range(2_000):
            times.record(round(chance.lognormvariate(13, 1)), 25)
    tally.faults["closed:1011"] = index
    loads: list[Any] = [WorkerLoad(worker, SECOND // 2, SECOND) for worker in range(4)]
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
