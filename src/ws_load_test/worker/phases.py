"""One worker's run of its share of a plan: the order of its phases, and its reports.

*opening* (dial the share's sessions), *warmup*, *measured*, *closing* (wait for the last replies, close the
sessions). The worker drives an engine, which does everything that happens once a message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.event_loop import run_beside
from ws_load_test.engine.engine import LoadWindow
from ws_load_test.engine.registry import engine_for
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.worker.ipc import Assignment, IntervalReport, Published, Report
from ws_load_test.worker.resource_usage import ResourceMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ws_load_test.engine.engine import Engine, LoadPhase
    from ws_load_test.metrics.recording import Phase
    from ws_load_test.plan.load_sharing import LoadState

WHOLE_LOAD = LoadSwitch()
"""Share of a worker that has no others beside it."""
PUBLISHED_TIMEOUT_S = 5.0
"""Longest wait for what other workers have published: they end at the same instant, so it is a round trip."""
STATE_DELAY_S = 0.02
"""Time from a change in the worker's sessions to its report, which holds all changes meanwhile."""


class WorkerRun:
    """Runs one share of a plan; `report` is called with each interval's numbers, and the state of a shared load."""

    def __init__(self, assignment: Assignment, report: Callable[[Report], None]) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        self.plan = assignment.plan
        self.share = assignment.share
        self.interval_ns = assignment.interval_ns
        self._engine: Engine = engine_for(self.plan, self.plan.engine)(
            self.plan, self.share, multi_host=assignment.multi_host
        )
        self._send = report
        self._resources = ResourceMonitor(assignment.share.index, self._engine.name)
        self._phase: Phase = "opening"
        self._index = 0
        self._from_ns = monotonic_ns()
        """Start of the interval that has not been reported yet."""
        self._tag = assignment.tag.encode()
        self._host_workers = assignment.host_workers
        self._published: dict[int, int] = {}
        self._all_known = asyncio.Event()
        """Each worker's publishes are known to all."""
        self._started = asyncio.Event()
        self._stopping = False
        self._start_ns = self._began_ns = 0
        self._report_steps: Iterable[None] = ()
        """Rest of the report that is being made."""
        self._next_state: asyncio.TimerHandle | None = None
        self._reported_sessions = self._latest_switch = 0
        if assignment.share.count > 1:
            self._engine.on_load_change = self._on_load_change

    # --- Commands of the fleet --------------------------------------------------------------------------------------

    def start_at(self, at_ns: int, switch: LoadSwitch = WHOLE_LOAD) -> None:
        """Begins the load at this monotonic instant, with this share of it."""
        self._start_ns = at_ns
        if not self._stopping:
            self._engine.start(self._window(switch), self._begin_phase)
        self._started.set()

    def hold(self, number: int, until_ns: int) -> None:
        """Settles what this worker leaves to others, and reports it."""
        self._send(msgspec.structs.replace(self._engine.hold(until_ns), number=number, after=self._latest_switch))

    def switch(self, switch: LoadSwitch) -> None:
        """Goes on with a new share of the load."""
        self._latest_switch = switch.number
        self._engine.switch(switch)

    def give_up(self) -> None:
        """Drops what is left of the load, and ends: there is no session that could send it."""
        self._engine.give_up()

    def finish_publishing(self, published: dict[int, int]) -> None:
        """Takes note of how much each publisher of the run has sent, now that none sends any more."""
        self._published = published
        self._all_known.set()

    def stop(self) -> None:
        """Sends nothing more; waits for the replies that are due, closes, reports."""
        self._stopping = True
        self._started.set()
        self._engine.stop()

    # --- The phases -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Goes from the first dial to the last report."""
        engine = self._engine
        async with run_beside(self._report_periodically()):
            await engine.open()
            if self.share.count > 1:
                self._report_state()
            self._report(ready=True)
            await self._started.wait()
            await engine.wait()
            await engine.drain(await self._all_published())
            await engine.close()
        self._report(done=True)
        if self._next_state is not None:
            self._next_state.cancel()
        self._resources.close()

    async def _all_published(self) -> dict[int, int]:
        """Returns how much each publisher of the run has sent, as far as it is known."""
        if self.plan.fan_out is None:
            return {}
        own = self._engine.published
        if self.share.count == 1:
            return own
        self._send(Published(own))
        try:
            async with asyncio.timeout(PUBLISHED_TIMEOUT_S):
                await self._all_known.wait()
        except TimeoutError:
            return own
        return self._published

    def _window(self, switch: LoadSwitch) -> LoadWindow:
        plan = self.plan
        measure_from_ns = self._start_ns + plan.warmup_ns
        return LoadWindow(
            start_ns=self._start_ns,
            measure_from_ns=measure_from_ns,
            end_ns=None if plan.duration_ns is None else measure_from_ns + plan.duration_ns,
            switch=switch,
            tag=self._tag,
            host_workers=self._host_workers,
        )

    # --- Reports ----------------------------------------------------------------------------------------------------

    def _on_load_change(self, state: LoadState) -> None:
        """Reports a change in the sessions: at once where messages wait for it."""
        urgent = not state.sessions or not self._reported_sessions or state.waiting
        if self._next_state is not None:
            if not urgent:
                return
            self._next_state.cancel()
        self._next_state = asyncio.get_running_loop().call_later(0 if urgent else STATE_DELAY_S, self._report_state)

    def _report_state(self) -> None:
        self._next_state = None
        state = self._engine.load_state
        self._reported_sessions = state.sessions
        self._send(msgspec.structs.replace(state, after=self._latest_switch))

    async def _report_periodically(self) -> None:
        """Reports every interval; a change of phase begins a new one."""
        while True:
            due_ns = self._from_ns + self.interval_ns
            await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
            if self._from_ns + self.interval_ns <= monotonic_ns():
                self._end_report()
                self._report_steps = self._report_in_steps()
                # Whole, it takes 3 ms of 50,000 messages a second, which as many messages would wait for.
                for _ in self._report_steps:
                    await asyncio.sleep(0)

    def _begin_phase(self, phase: LoadPhase, at_ns: int) -> None:
        """Ends one phase and begins another at an instant that has just been."""
        if self._phase == "opening":
            self._began_ns = monotonic_ns()
        self._report(at_ns=at_ns)
        self._phase, self._index = phase, 0

    def _report(self, *, at_ns: int | None = None, ready: bool = False, done: bool = False) -> None:
        self._end_report()
        for _ in self._report_in_steps(at_ns=at_ns, ready=ready, done=done):
            pass

    def _end_report(self) -> None:
        """Sends the report that is being made, if any: reports leave in their order."""
        for _ in self._report_steps:
            pass

    def _report_in_steps(
        self, *, at_ns: int | None = None, ready: bool = False, done: bool = False
    ) -> Generator[None, None, None]:
        """Collects an interval at once, and sends its report in steps, between which messages can leave."""
        collected = self._engine.collect()
        now_ns = max(at_ns or monotonic_ns(), self._from_ns)
        report = IntervalReport(
            phase=self._phase,
            index=self._index,
            from_ns=self._from_ns,
            to_ns=now_ns,
            usage=self._resources.sample(now_ns - self._from_ns),
            ready=ready,
            done=done,
            examples=collected.fault_examples,
            began_ns=self._began_ns,
            followed=collected.followed,
            slowest=collected.slowest,
        )
        self._began_ns = 0
        self._index += 1
        self._from_ns = now_ns
        yield
        tally = yield from collected.tally.to_wire_in_steps()
        yield
        self._send(msgspec.structs.replace(report, tally=tally))
