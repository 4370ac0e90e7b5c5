"""Cost of scenarios: processor time of a step beside that of a paced message, and the memory of a session.

    python benchmarks/scenario.py [--memory]

All cases send as many messages a second from 1,000 sessions to the built-in echo server, in runs of some seconds, one
after the other: paced, by ``json:id``, and as steps whose answers have the same id. A difference is the median of those
of runs that followed each other. On a machine of two cores, give each a core with taskset. Memory is the growth of a
worker from few sessions that await an answer to many (see `memory.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tomllib

from memory import plan_bytes
from ws_load_test import Plan, make_plan, run
from ws_load_test.echo import EchoProcess
from ws_load_test.plan.options.read_plan import read_plan

SESSIONS = 1000
STEPS = 5
MESSAGE = '{"id": {seq}, "user": "{random:8}"}'
PACED = "paced, json:id"
STEP = f"""
[[role.user.steps]]
name = "step"
send = '{MESSAGE}'
await = "json:id={{seq}}"
"""
FEW, MANY = 100, 5000
"""Sessions of the two runs whose memory is compared."""


def cases(per_s: int) -> dict[str, str]:
    """Returns a plan file for each scenario that sends so many messages a second."""
    iterations = per_s / STEPS
    think = f'[[role.user.steps]]\nwait = "exp:{SESSIONS / iterations:.3f}s"\n'
    pause = STEP.replace("name", f'wait = "exp:{SESSIONS / per_s:.3f}s"\nname', 1)
    rest = "\n[[role.user.on]]\nwhen = 'json:op=tick'\nname = 'tick'\n[[role.user.leave]]\nsend = 'bye'\n"
    return {
        f"{STEPS} steps and a think time": f"[role.user]\n{think}{STEP * STEPS}",
        f"{STEPS} steps, each with a wait": f"[role.user]\n{pause * STEPS}",
        f"{STEPS} steps on a schedule": f'[role.user]\nrate = "{iterations:.0f}/s"\n{STEP * STEPS}',
        f"{STEPS} steps, a think time, a reaction": f"[role.user]\n{think}{STEP * STEPS}{rest}",
    }


def plans(url: str, per_s: int, seconds: float) -> dict[str, Plan]:
    """Returns the plan of each case."""
    load = {"connections": SESSIONS, "duration": f"{seconds}s", "workers": 1, "engine": "portable"}
    found = {PACED: make_plan(url, message=MESSAGE, match="json:id", rate=per_s, **load)}
    for name, text in cases(per_s).items():
        found[name] = read_plan({"url": url, **load, **tomllib.loads(text)})
    return found


def cost_us(plan: Plan) -> tuple[float, float]:
    """Runs a plan. Returns the worker's processor time for each message that it sent, in µs, and messages a second."""
    measured = [interval for interval in run(plan).recording.intervals if interval.phase == "measured"]
    cpu_ns = sum(load.cpu_ns for interval in measured for load in interval.workers)
    took_ns = sum(interval.to_ns - interval.from_ns for interval in measured)
    sent = sum(interval.tally.sent for interval in measured)
    return cpu_ns / 1000 / max(1, sent), sent * 1e9 / max(1, took_ns)


def print_costs(options: argparse.Namespace) -> None:
    """Prints the processor time of a message in each case."""
    found: dict[str, list[tuple[float, float]]] = {}
    with EchoProcess() as server:
        kinds = plans(server.url, options.rate, options.seconds)
        for _ in range(options.turns):
            for name, plan in kinds.items():
                found.setdefault(name, []).append(cost_us(plan))
    print("| case | a message | more than paced | messages/s |\n| --- | --- | --- | --- |")
    for name, turns in found.items():
        more = statistics.median(mine[0] - base[0] for mine, base in zip(turns, found[PACED], strict=True))
        per_s = statistics.median(turn[1] for turn in turns)
        print(f"| {name} | {min(turn[0] for turn in turns):.2f} µs | {more:+.2f} µs | {per_s:,.0f} |", flush=True)


def print_memory() -> None:
    """Prints the bytes of a session that awaits an answer, which never comes, paced and in a scenario."""
    kinds = {
        PACED: {"message": MESSAGE, "match": "json:id"},
        "a step": tomllib.loads(f"[role.user]\n{STEP * STEPS}"),
    }
    with EchoProcess() as server:
        load = {"url": f"{server.url}?silent=1", "duration": "3s", "timeout": "1m", "workers": 1, "engine": "portable"}
        for name, options in kinds.items():
            few, many = (
                asyncio.run(plan_bytes(read_plan({**load, "connections": count, **options}))) for count in (FEW, MANY)
            )
            print(f"{name}: {(many - few) / (MANY - FEW):.0f} bytes a session")


def main() -> None:
    """Prints the costs, or the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5000, help="messages a second of each case")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument("--memory", action="store_true", help="measure the memory of a session instead")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    if options.memory:
        print_memory()
    else:
        print_costs(options)


if __name__ == "__main__":
    main()
