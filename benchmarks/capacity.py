"""Capacity searches with a known answer: servers with a hard limit, and a generator that is the slower side.

    python benchmarks/capacity.py [--limits 1000 5000 20000] [--step-duration 5s] [--skip-generator]

The built-in server answers no more than `?limit=R` messages a second; the search must find R within 5 %. Then a server
without a limit, on two processes, against one worker that shares its core with busy processes: the search must say that
the generator was the limit, and give no upper end. The exit code is 1 if one of these does not come out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ws_load_test import find_capacity
from ws_load_test.common.units import format_duration
from ws_load_test.echo import EchoProcess
from ws_load_test.report.terminal.capacity import step_line

if TYPE_CHECKING:
    from collections.abc import Iterator

SLO = ["p99 < 50ms", "errors < 0.1%"]
TOLERANCE = 0.05
BUSY = "while True: pass"


def describe(facts: dict[str, Any], began: float) -> str:
    """Returns what was found, in a line."""
    answer = facts["answer"]
    ends = f"{answer['lower']} to {answer['upper']}"
    contradicted = f", contradicted {answer['contradicted']}" if answer["contradicted"] else ""
    return f"{answer['ending']}, {ends}, {len(facts['steps'])} steps in {time.monotonic() - began:.0f} s{contradicted}"


def show(step: dict[str, Any]) -> None:
    """Shows that something happens."""
    late = format_duration(step["generator"]["late_p99_ns"])
    print(f"    {step_line(step, 'rate')}; generator late at p99: {late}", file=sys.stderr, flush=True)


@contextmanager
def busy_processes(core: int, count: int) -> Iterator[None]:
    """Keeps a core busy."""
    command = [sys.executable, "-c", BUSY]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        for process in processes:
            os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def limited(limit: int, step: str) -> bool:
    """Searches for a known limit; returns whether it was found."""
    began = time.monotonic()
    with EchoProcess() as server:
        url = f"{server.url}?limit={limit}"
        found = find_capacity(url, slo=SLO, step_duration=step, workers=1, on_step=show)
    answer = found.facts["answer"]
    lower = answer["lower"] or 0
    right = answer["ending"] == "found" and abs(lower / limit - 1) <= TOLERANCE
    print(
        f"limit {limit:>6}: {lower / limit - 1:+.1%}  {describe(found.facts, began)}{'' if right else '  WRONG'}",
        flush=True,
    )
    return right


def bound_generator(step: str) -> bool:
    """Searches with a worker that cannot have its core; returns whether the search says so."""
    began, cores = time.monotonic(), sorted(os.sched_getaffinity(0))
    with EchoProcess() as server:
        for pid in server.pids:
            os.sched_setaffinity(pid, {cores[-1]})
        os.sched_setaffinity(0, {cores[0]})
        try:
            with busy_processes(cores[0], 3):
                found = find_capacity(server.url, slo=SLO, step_duration=step, workers=1, from_=500, on_step=show)
        finally:
            os.sched_setaffinity(0, set(cores))
    right = found.facts["answer"]["ending"] == "generator-bound" and found.facts["answer"]["upper"] is None
    print(
        f"generator-bound: {describe(found.facts, began)}{'' if right else '  WRONG'}\n  {found.sentence}", flush=True
    )
    return right


def main() -> int:
    """Measures, prints and checks the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", type=int, nargs="*", default=[1000, 5000, 20_000])
    parser.add_argument("--step-duration", default="5s")
    parser.add_argument("--skip-generator", action="store_true")
    options = parser.parse_args()
    right = [limited(limit, options.step_duration) for limit in options.limits]
    if not options.skip_generator and hasattr(os, "sched_setaffinity"):
        right.append(bound_generator(options.step_duration))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
