"""Running a plan from Python: what the command line does, without a terminal.

from ws_load_test import Plan, make_plan, run

result = run(make_plan("ws://localhost:3001", connections=100, duration="10s"))
assert result.exit_code == 0, result.summary["faults"]
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.aggregate import Aggregate, RunAggregator, aggregate
from ws_load_test.analysis.summary import exit_code, summarize
from ws_load_test.analysis.thresholds import AbortMonitor
from ws_load_test.common.clock import monotonic_ns, utc_now
from ws_load_test.common.errors import ExitCode, OutputError
from ws_load_test.common.version import __version__
from ws_load_test.fleet.factory import fleet_factory
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.fleet.preflight.host_check import machine_info
from ws_load_test.metrics.recording import AbortEvent, Header, Interval, LostWorker, Recording, Round, Trailer
from ws_load_test.metrics.recording_file import RecordingWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from ws_load_test.fleet.base import Fleet, FleetFactory
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Result:
    """What a run amounted to."""

    recording: Recording
    """Everything measured, interval by interval."""
    summary: dict[str, Any]
    """The same object that ``--json`` prints and that ends a recording."""
    exit_code: ExitCode
    """What the command line would return."""
    output_error: OutputError | None = None
    """Why the recording on disk is not whole, if it is not."""


def run(
    plan: Plan,
    *,
    output: str | os.PathLike[str] | None = None,
    on_interval: Callable[[Interval], None] | None = None,
    interval_s: float = 1.0,
    strict: bool = False,
    cluster: Cluster | None = None,
) -> Result:
    """Runs a plan to its end, in a script or in a notebook's cell.

    Args:
        plan: What to run.
        output: Where to write the recording as the run goes; a file that exists is overwritten.
        on_interval: Called with each interval of the run as it ends, in the thread that runs the fleet.
        interval_s: How long an interval is.
        strict: Whether a run in which the generator was the bottleneck has failed, with exit code 5.
        cluster: Other machines that do it, in the place of this one.

    Raises:
        HostError: This machine, or one of the cluster, cannot carry the plan.
        UsageError: The plan's certificates cannot be used, or the cluster cannot.
        OutputError: `output` cannot be opened for writing.
    """
    running = Run(
        plan,
        output=output,
        on_interval=None if on_interval is None else lambda event: on_interval(event.interval),
        interval_s=interval_s,
        strict=strict,
        make_fleet=fleet_factory(cluster),
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(running.execute())
    # A notebook runs its cells inside a loop, where a second one cannot run in the same thread.
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(asyncio.run, running.execute())
        try:
            return result.result()
        except KeyboardInterrupt:
            running.interrupt()
            raise


class Run:
    """One run of a plan: its fleet, its recording, its summary."""

    def __init__(
        self,
        plan: Plan,
        *,
        output: str | os.PathLike[str] | None = None,
        on_interval: Callable[[IntervalEvent], None] | None = None,
        interval_s: float = 1.0,
        strict: bool = False,
        of_series: Round | None = None,
        make_fleet: FleetFactory = LocalFleet,
        on_start: Callable[[Header, Plan], None] | None = None,
    ) -> None:
        """Takes what makes the fleet that carries the plan out; see `run` for the rest.

        `on_start` is called once, before the first worker starts and before a file is written over, with what is known
        then: the header, and the plan as it has been settled with the machines. What it raises ends the run.
        """
        self.plan = plan
        self.fleet: Fleet | None = None
        """What runs the plan, once it runs."""
        self.digest: Aggregate | None = None
        """What its intervals come to, once it has ended."""
        self._make_fleet = make_fleet
        self._strict = strict
        self._round = of_series
        self._interval_ns = round(interval_s * 1e9)
        self._observer = on_interval
        self._on_start = on_start
        self._intervals: list[Interval] = []
        self._gathering = RunAggregator()
        self._watch: AbortMonitor | None = None
        self._aborted: tuple[AbortEvent, ...] = ()
        self._output_error: OutputError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._output = output
        self._writer: RecordingWriter | None = None

    async def execute(self) -> Result:
        """Runs the plan; cancelling it stops the workers at once. See `run` for what is raised."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._cancelled:
            raise asyncio.CancelledError
        async with contextlib.AsyncExitStack() as leaving:
            fleet = self._make_fleet(self.plan, self._on_interval, self._interval_ns)
            leaving.push_async_callback(fleet.shutdown)
            await fleet.prepare()
            return await self._record(fleet)

    async def _record(self, fleet: Fleet) -> Result:
        """Runs a mustered fleet, and keeps what it reports."""
        plan = self.plan = fleet.plan
        public = plan.redacted()
        header = Header(
            tool=f"ws-load-test {__version__}",
            started_at=utc_now(),
            plan=msgspec.to_builtins(public),
            target=public.target.url,
            host=machine_info(),
            round=self._round or msgspec.UNSET,
            workers=plan.workers,
            hosts=fleet.hosts or msgspec.UNSET,
        )
        self._gathering = RunAggregator(fleet.hosts)
        self._watch = AbortMonitor.of(plan, Recording(header, ()))
        if self._on_start is not None:
            self._on_start(header, plan)
            # The run has not begun while others got ready for it.
            header = msgspec.structs.replace(header, started_at=utc_now())
            fleet.coordinator.started_ns = monotonic_ns()
        # Not before it is known that there will be something to write over an older file.
        self._writer = None if self._output is None else RecordingWriter(self._output)
        with contextlib.ExitStack() as closing:
            if self._writer is not None:
                closing.callback(self._keep_writing, self._writer.close)
                self._keep_writing(self._writer.write_header, header)
            self.fleet = fleet
            # Whoever interrupted it before could not reach a fleet.
            fleet.interrupted |= self._cancelled
            await fleet.run()
            return self._finish(header, fleet)

    @property
    def lost(self) -> tuple[LostWorker, ...]:
        """The workers that have died so far; may be asked from any thread."""
        return () if self.fleet is None else tuple(self.fleet.coordinator.lost)

    def interrupt(self) -> None:
        """Ends the run at once, from another thread than that which executes it; before it began as well."""
        self._cancelled = True
        if self._loop is not None:
            # A loop that is closed has nothing left to end.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end_at_once)

    def _end_at_once(self) -> None:
        if self.fleet is not None:
            self.fleet.kill()
        elif self._task is not None:
            # Machines of a cluster may be waited for.
            self._task.cancel()

    def stop_gracefully(self) -> bool:
        """Ends the run in order before its time: it is not called interrupted; returns False where it is already."""
        fleet = self.fleet
        if fleet is None or fleet.interrupted:
            return False
        fleet.stop()
        # Whoever interrupts what is left of the run still does.
        fleet.interrupted = False
        return True

    def _finish(self, header: Header, fleet: Fleet) -> Result:
        intervals, lost = tuple(self._intervals), tuple(fleet.coordinator.lost)

        def trailer(summary: dict[str, Any]) -> Trailer:
            return Trailer(
                ended_at=utc_now(),
                interrupted=fleet.interrupted,
                lost_workers=lost,
                aborted=self._aborted or msgspec.UNSET,
                summary=summary,
            )

        unfinished = [Recording(header, intervals, trailer({}))]
        self.digest = aggregate(unfinished, [self._gathering])
        summary = summarize(unfinished, self.digest)
        last = trailer(summary)
        if self._writer is not None:
            self._keep_writing(self._writer.write_trailer, last)
        code = exit_code(summary, len(lost), strict=self._strict)
        if self._output_error is not None and code == ExitCode.PASSED:
            code = ExitCode.OUTPUT_FAILED
        return Result(Recording(header, intervals, last), summary, code, self._output_error)

    def _on_interval(self, event: IntervalEvent) -> None:
        # The interval alone is kept, so that a long run does not keep the histograms of every interval decoded.
        self._intervals.append(event.interval)
        self._gathering.add_event(event)
        if self._writer is not None:
            self._keep_writing(self._writer.write_interval, event.interval)
        if self._observer is not None:
            self._observer(event)
        self._abort_if(event)

    def _abort_if(self, event: IntervalEvent) -> None:
        """Ends the run in order when it is over for a condition of its plan."""
        fleet = self.fleet
        if self._watch is None or fleet is None or self._aborted or fleet.interrupted:
            return
        self._aborted = self._watch.add_event(event, self._gathering.tally)
        if self._aborted:
            self.stop_gracefully()

    def _keep_writing(self, write: Callable[..., None], *arguments: Any) -> None:
        """A recording that fails must not end the run that it records."""
        try:
            write(*arguments)
        except OutputError as error:
            self._output_error = error
