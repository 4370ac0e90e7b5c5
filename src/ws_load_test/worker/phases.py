"""One worker's run of its share of a plan: a line of phases, and what goes on beside them.

*opening* (dial the share's sessions), *warmup*, *measured*, *closing* (wait for the last replies, close the
sessions). Policy stands here; what happens once a message stands in `flood`, `paced` and `connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from ws_load_test.common.timer import new_timer
from ws_load_test.engine.closed_loop import ClosedLoopRunner
from ws_load_test.engine.connection_pool import ConnectionPool
from ws_load_test.engine.open_loop import UNLIMITED, OpenLoopRunner
from ws_load_test.worker.ipc import Assignment, IntervalReport
from ws_load_test.worker.resource_usage import ResourceMonitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from ws_load_test.metrics.recording import Phase

TIMER_GRAIN_NS = 2 * NS_PER_MS
LOOP_CHECK_NS = 20 * NS_PER_MS
"""How often the loop's own lateness is looked at."""


class WorkerRun:
    """Runs one share of a plan; `report` is called with each interval's numbers."""

    def __init__(self, assignment: Assignment, report: Callable[[IntervalReport], None]) -> None:
        """Raises UsageError when the plan's certificates cannot be used."""
        plan = self.plan = assignment.plan
        self.share = assignment.share
        self.interval_ns = assignment.interval_ns
        self.crew = ConnectionPool(plan, assignment.share, multi_host=assignment.multi_host)
        self._send = report
        self._vitals = ResourceMonitor(assignment.share.index)
        self._phase: Phase = "opening"
        self._index = 0
        self._from_ns = monotonic_ns()
        self._started = asyncio.Event()
        self._stopping = False
        self._start_ns = self._began_ns = 0

    # --- What the fleet says ----------------------------------------------------------------------------------------

    def start_at(self, at_ns: int) -> None:
        """The load begins at this monotonic instant."""
        self._start_ns = at_ns
        self._started.set()

    def stop(self) -> None:
        """Sends nothing more; waits for the replies that are due, closes, reports."""
        self._stopping = True
        self._started.set()
        self.crew.finished.set()

    # --- The phases -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the first dial to the last report."""
        async with _run_beside(self._report_periodically()):
            await self._opening()
            self._report(ready=True)
            await self._started.wait()
            if not self._stopping:
                await self._run_load()
            await self.crew.drain()
            await self.crew.close_all()
        self._report(done=True)
        self._vitals.close()

    async def _opening(self) -> None:
        """Dials what must be open before the load begins, unless we are told to stop."""
        dialling = asyncio.create_task(self.crew.open_all())
        stopped = asyncio.create_task(self.crew.finished.wait())
        await asyncio.wait((dialling, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stopping:
            dialling.cancel()
            await asyncio.wait((dialling,))
        else:
            dialling.result()

    async def _run_load(self) -> None:
        """Warm-up and measured time."""
        # What lives now lives to the end; looking through it again and again would stall the loop for milliseconds.
        gc.collect()
        gc.freeze()
        if not self.crew.comeback.active:
            # A session that ends leaves cycles behind, and where others follow it these would pile up.
            gc.disable()
        await _sleep_until(self._start_ns)
        self._began_ns = monotonic_ns()
        crew = self.crew
        crew.loading = True
        async with _run_beside(
            crew.expire_replies(),
            crew.follow_profile(self._start_ns),
            crew.keep_alive(),
            crew.comeback.run(self._start_ns + self.plan.warmup_ns),
            self._measure_loop_lag(),
        ):
            until_ns = await (
                self._pace(crew.load) if isinstance(crew.load, OpenLoopRunner) else self._flood(crew.load)
            )
            crew.set_window(until_ns=until_ns)
            self._begin_phase("closing", until_ns)

    async def _flood(self, flood: ClosedLoopRunner) -> int:
        """The closed load, from its start to the instant that ends the measured time, which is returned."""
        plan = self.plan
        if plan.warmup_ns:
            self._begin_phase("warmup")
            flood.start(self._connected())
            await self._until(self._start_ns + plan.warmup_ns)
        # A message belongs to the warm-up if it was sent before this very moment, not before a planned one.
        self._begin_phase("measured")
        measured_from_ns = self._from_ns
        self.crew.set_window(from_ns=measured_from_ns)
        if plan.messages is not None:
            flood.remaining = self.share.size(plan.messages)
        if not plan.warmup_ns:
            flood.start(self._connected())
        if self.crew.open or self.crew.continues_without_connections:
            await self._until(None if plan.duration_ns is None else measured_from_ns + plan.duration_ns)
        if plan.messages is None or self._stopping:
            flood.end()
            return monotonic_ns()
        ended_ns = monotonic_ns()
        await self.crew.drain()
        self.crew.tally.dropped += flood.end()
        self.crew.samples.flush()
        # Without a reply it took at least until there was nothing left to send.
        return self._last_reply_ns(measured_from_ns) if self.crew.samples.last_done_ns else ended_ns

    async def _pace(self, paced: OpenLoopRunner) -> int:
        """The open load, from its start to the instant that ends the measured time, which is returned."""
        plan, start_ns = self.plan, self._start_ns
        measured_from_ns = start_ns + plan.warmup_ns
        self.crew.set_window(from_ns=measured_from_ns)
        until_ns = UNLIMITED if plan.duration_ns is None else measured_from_ns + plan.duration_ns
        self._begin_phase("warmup" if plan.warmup_ns else "measured", start_ns)
        paced.start(self._connected(), start_ns, until_ns)
        if plan.warmup_ns:
            await self._until(measured_from_ns)
            # Earlier than meant, where there was nothing left to warm up.
            self._begin_phase("measured", min(measured_from_ns, monotonic_ns()))
        if self.crew.open or self.crew.continues_without_connections:
            await self._until(None if plan.duration_ns is None else until_ns)
        ended_ns = min(monotonic_ns(), until_ns)
        paced.end(ended_ns)
        if plan.messages is None or self._stopping:
            return max(ended_ns, self._from_ns)
        await self.crew.drain()
        self.crew.samples.flush()
        # The last message may have left behind the last reply, where one is missing or none is awaited.
        return max(self._last_reply_ns(self._from_ns), ended_ns)

    def _last_reply_ns(self, from_ns: int) -> int:
        """When the last reply was read: a number of messages takes as long as that, not as its last send."""
        return max(self.crew.samples.last_done_ns, from_ns)

    def _connected(self) -> list[Any]:
        return self.crew.ready()

    async def _until(self, at_ns: int | None) -> None:
        """Returns at the instant, or as soon as there is nothing left to do."""
        try:
            async with asyncio.timeout(None if at_ns is None else max(0, at_ns - monotonic_ns()) / NS_PER_S):
                await self.crew.finished.wait()
        except TimeoutError:
            # The loop's timers count milliseconds and may be one early; the schedule's last messages would be missed.
            while at_ns is not None and monotonic_ns() < at_ns:  # noqa: ASYNC110 - a moment, not a wait
                await asyncio.sleep(0)

    # --- What goes on beside the load -------------------------------------------------------------------------------

    async def _measure_loop_lag(self) -> None:
        """Notes how late the loop turns to something that is due: what every reply may have waited."""
        rung = asyncio.Event()
        due_ns = 0

        def ring() -> None:
            self.crew.tally.loop_lag_ns.record(max(0, monotonic_ns() - due_ns))
            rung.set()

        alarm = new_timer(ring)
        try:
            while True:
                due_ns = monotonic_ns() + LOOP_CHECK_NS
                alarm.arm(due_ns)
                await rung.wait()
                rung.clear()
        finally:
            alarm.close()

    # --- What the fleet is told -------------------------------------------------------------------------------------

    async def _report_periodically(self) -> None:
        """Reports every interval; a change of phase begins a new one."""
        while True:
            due_ns = self._from_ns + self.interval_ns
            await asyncio.sleep(max(0, due_ns - monotonic_ns()) / NS_PER_S)
            if self._from_ns + self.interval_ns <= monotonic_ns():
                self._report()

    def _begin_phase(self, phase: Phase, at_ns: int | None = None) -> None:
        """One phase ends and another begins, now or at an instant that has just been."""
        self._report(at_ns=at_ns)
        self._phase, self._index = phase, 0

    def _report(self, *, at_ns: int | None = None, ready: bool = False, done: bool = False) -> None:
        tally, examples = self.crew.collect()
        tally.complete_interval(warmup=self._phase == "warmup")
        now_ns = max(at_ns or monotonic_ns(), self._from_ns)
        self._send(
            IntervalReport(
                phase=self._phase,
                index=self._index,
                from_ns=self._from_ns,
                to_ns=now_ns,
                usage=self._vitals.sample(now_ns - self._from_ns),
                tally=tally.to_wire(),
                ready=ready,
                done=done,
                examples=examples,
                began_ns=self._began_ns,
            )
        )
        self._began_ns = 0
        self._index += 1
        self._from_ns = now_ns


async def _sleep_until(at_ns: int) -> None:
    """Returns at the instant, not at the millisecond behind it that the loop's timers would make of it."""
    await asyncio.sleep(max(0, at_ns - monotonic_ns() - TIMER_GRAIN_NS) / NS_PER_S)
    while monotonic_ns() < at_ns:  # noqa: ASYNC110 - a moment, not a wait
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def _run_beside(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs beside the block, and ends them with it; one that fails ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        yield
        for task in tasks:
            task.cancel()
