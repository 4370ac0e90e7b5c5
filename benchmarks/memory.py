"""Memory of an idle connection: the worker's growth from few connections to many.

    python benchmarks/memory.py [--connections 10000]

Two runs against the built-in echo server, each with one worker whose connections have all opened and then wait for a
reply that never comes. The figure is the difference of the workers' proportional set sizes over the difference of
their connections. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path

from ws_load_test import Plan, make_plan
from ws_load_test.api import Run
from ws_load_test.echo import EchoProcess

FEW = 100


def set_size_bytes(pid: int) -> int:
    """The proportional set size of a process, in bytes."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def worker_bytes(url: str, connections: int) -> int:
    """The worker's memory while its connections are open and idle."""
    return await plan_bytes(
        make_plan(f"{url}?silent=1", connections=connections, duration="3s", timeout="1m", workers=1)
    )


async def plan_bytes(plan: Plan) -> int:
    """The memory of the one worker of a plan a second after all of its connections have opened."""
    run, connections = Run(plan), plan.connections
    executing = asyncio.create_task(run.execute())
    while run.fleet is None or run.fleet.coordinator.opened < connections:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    size_bytes = set_size_bytes(run.fleet.pids[0])
    run.fleet.kill()
    await executing
    return size_bytes


def main() -> None:
    """Prints bytes for each connection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    many = parser.parse_args().connections
    with EchoProcess() as server:
        small, large = (asyncio.run(worker_bytes(server.url, count)) for count in (FEW, many))
    print(f"worker with {FEW} connections: {small / 1e6:.1f} MB; with {many}: {large / 1e6:.1f} MB")
    print(f"{(large - small) / (many - FEW):.0f} bytes for each idle connection")


if __name__ == "__main__":
    main()
