"""Runs of a plan with all workers in this process and loop: over real sockets, without the time that programs take."""

import asyncio
from unittest import mock

import msgspec

from engine.conftest import NO_COLLECTOR
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import Run
from ws_load_test.common.event_loop import run, run_beside
from ws_load_test.common.sharding import Shard
from ws_load_test.echo import EchoServer
from ws_load_test.engine import portable
from ws_load_test.fleet.base import Fleet
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.worker.ipc import Assignment, Command
from ws_load_test.worker.phases import WorkerRun

JOIN = '{"op": "join", "room": "{room}"}'
SAY = '{"op": "say", "room": "{room}", "text": "{marker}"}'
CHAT = {"subscribers": 12, "publishers": 3, "rooms": 3, "rate": 100, "messages": 30, "timeout": "5s"}
CHAT |= {"first_message": JOIN, "message": SAY, "workers": 1}
"""A chat of 30 messages, of which none is dropped, however late it leaves."""
EVERYONE = {"everyone": True, "connections": 12, "self_delivery": "expected", "subscribers": None, "publishers": None}
"""All members are subscribers, so that the counts of the tool and those of the server are of the same deliveries."""


class InProcessFleet(Fleet):
    """Workers as tasks, with the same lines between them and the fleet as between processes."""

    workers_of_hosts = ((0, 0),)
    """First worker and number of workers of each host; no number: one host has all."""

    async def prepare(self):
        """Needs nothing."""

    async def run(self):
        """Runs all workers."""
        count = self.plan.workers
        shares = [Shard(number, count) for number in range(count)]
        self._lost, self._runs = set(), []
        for share in shares:
            hosts = [one for one in self.workers_of_hosts if share.index in range(one[0], sum(one))]
            host = hosts[0] if hosts else (0, 0)
            assignment = Assignment(self.plan, share, self._interval_ns, tag=self.tag, host_workers=host)
            self._runs.append(WorkerRun(assignment, lambda report, worker=share.index: self._take(worker, report)))
        self._tasks = [asyncio.create_task(one.run()) for one in self._runs]
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for number, task in enumerate(self._tasks):
            if number not in self._lost:
                task.result()

    def lose(self, worker):
        """Ends a worker at once, with its sockets, as the kernel does with those of a process."""
        self._lost.add(worker)
        self._tasks[worker].cancel()
        for connection in list(self._runs[worker]._engine._pool.connections):
            connection.abort()
        self._on_worker_lost(worker, "it was killed")

    def _take(self, worker, report):
        if worker not in self._lost:
            self._on_report(worker, msgspec.json.encode(report))

    def _broadcast(self, command):
        loop = asyncio.get_running_loop()
        for number in range(len(self._runs)):
            loop.call_soon(self._carry_out, number, command)

    def _carry_out(self, number, command: Command):
        if number in self._lost:
            return
        one = self._runs[number]
        match command.kind:
            case "start":
                one.start_at(command.at_ns, command.switch)
            case "stop":
                one.stop()
            case "hold":
                one.hold(command.number, command.at_ns)
            case "switch":
                one.switch(command.switch)
            case "give_up":
                one.give_up()
            case "published":
                one.finish_publishing(command.published)

    async def shutdown(self):
        """Has nothing to end."""

    def kill(self):
        """Is not needed."""


async def measure(url, *, during=None, hosts=((0, 0),), **options):
    """Runs a plan; `during` gets the fleet and runs beside it. Returns the result and the tally of the whole run."""
    options = {name: value for name, value in (CHAT | options).items() if value is not None}
    fleets = []

    def new_fleet(*arguments):
        fleets.append(InProcessFleet(*arguments))
        fleets[-1].workers_of_hosts = hosts
        return fleets[-1]

    running = Run(read_plan({"url": url, **options}), make_fleet=new_fleet)
    if during is None:
        result = await running.execute()
    else:
        async with run_beside(during(fleets)):
            result = await running.execute()
    return result, aggregate([result.recording]).tally


AT_ONCE = 8
"""Runs side by side: most of their time is waiting, but what they compute holds up the others."""
MAX_LAG_NS = 250_000_000
"""Lateness of the generator that makes another attempt of a run, so that a busy machine fails no test."""
ATTEMPTS = 3


def was_late(tally):
    """True if the generator was late, as on a busy machine."""
    return max(tally.send_lag_ns.max or 0, tally.loop_lag_ns.max or 0) >= MAX_LAG_NS


async def measure_in_time(attempt):
    """Calls a coroutine function with the number of the attempt until its tally, which comes last, was in time."""
    for number in range(ATTEMPTS):
        *results, tally = await attempt(number)
        if not was_late(tally):
            break
    return *results, tally


async def measure_rooms(query="", *, during=None, **options):
    """Runs a plan against rooms of its own. Returns the tally, the counts of the server, and the result.

    `during` gets the fleet's list and the server, and runs beside.
    """
    for _ in range(ATTEMPTS):
        async with EchoServer() as server:
            if during is not None:
                options["during"] = lambda fleets, server=server: during(fleets, server)
            result, tally = await measure(f"{server.url}?chat{query}", **options)
            counts = server.rooms.report().total
        if not was_late(tally):
            break
    return tally, counts, result


def together(*, at_once=AT_ONCE, **runs):
    """Runs coroutines side by side, so many at once. Returns what each returned, by its name."""

    async def main():
        room = asyncio.Semaphore(at_once)

        async def one(running):
            async with room:
                return await running

        return await asyncio.gather(*map(one, runs.values()))

    with mock.patch.object(portable, "gc", NO_COLLECTOR):
        return dict(zip(runs, run(main()), strict=True))
