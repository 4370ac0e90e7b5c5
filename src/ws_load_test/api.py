"""Runs a plan from Python: the same run as that of the command line, without a terminal.

from ws_load_test import make_plan, run

result = run(make_plan("ws://localhost:3001", connections=100, duration="10s"))
assert result.passed, result.summary.faults
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.aggregate import Aggregate, RunAggregator, aggregate
from ws_load_test.analysis.data_quality import pairing_is_doubted
from ws_load_test.analysis.findings import RunData
from ws_load_test.analysis.summary import exit_code, summarize
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.analysis.thresholds import AbortMonitor
from ws_load_test.common.clock import monotonic_ns, utc_now
from ws_load_test.common.errors import ExitCode, OutputError
from ws_load_test.common.event_loop import run_blocking
from ws_load_test.common.version import __version__
from ws_load_test.fleet.factory import fleet_factory
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.fleet.preflight.host_check import machine_info
from ws_load_test.fleet.timed_commands import CommandRunner
from ws_load_test.metrics.existing_files import refuse_overwriting
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import AbortEvent, Header, Interval, LostWorker, Recording, Round, Trailer
from ws_load_test.metrics.recording_file import RecordingWriter
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from ws_load_test.fleet.base import Fleet, FleetFactory
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.interval_event import IntervalEvent


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a run. Times are ns; a percentile is None where no message was answered."""

    recording: Recording
    """Everything measured, interval by interval."""
    summary: Summary
    """The object that ``--json`` prints and that ends a recording."""
    aggregate: Aggregate
    """All intervals merged: the input of reports."""
    exit_code: ExitCode
    """Exit code of the command line for this run."""
    output_error: OutputError | None = None
    """Reason why the recording on disk is incomplete; None where it is complete, or was not wanted."""

    @property
    def passed(self) -> bool:
        """True where the run reached its end, measured something, lost no worker and failed no threshold."""
        return self.summary.verdict.passed

    @property
    def response_time(self) -> Histogram:
        """Response times of the run in ns, done - due: its HdrHistogram, so any percentile can be asked."""
        return self.aggregate.tally.response_time_ns

    @property
    def service_time(self) -> Histogram:
        """Service times of the run in ns, done - sent."""
        return self.aggregate.tally.service_time_ns

    @property
    def connect_time(self) -> Histogram:
        """Connect times of the run in ns, from the dial to the end of the upgrade."""
        return self.aggregate.tally.connect_time_ns

    @property
    def p50(self) -> int | None:
        """Median response time in ns."""
        return self.response_time.percentile(50)

    @property
    def p90(self) -> int | None:
        """90th percentile of the response time in ns."""
        return self.response_time.percentile(90)

    @property
    def p99(self) -> int | None:
        """99th percentile of the response time in ns."""
        return self.response_time.percentile(99)

    @property
    def p999(self) -> int | None:
        """99.9th percentile of the response time in ns."""
        return self.response_time.percentile(99.9)


def run(
    plan: Plan,
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_interval: Callable[[Interval], None] | None = None,
    interval_s: float = 1.0,
    fail_if_saturated: bool = False,
    cluster: Cluster | None = None,
) -> Result:
    """Runs a plan to its end, in a script or in a notebook's cell.

    Args:
        plan: The plan to run.
        output: File for the recording, written as the run goes.
        overwrite: True: a file of that name that is not empty is overwritten; else it is an error.
        on_interval: Called with each interval of the run as it ends, in the thread that runs the fleet.
        interval_s: Length of an interval in seconds.
        fail_if_saturated: True: the exit code is 5 where the generator was the bottleneck.
        cluster: Other machines that run the plan in place of this one.

    Raises:
        HostError: This machine, or one of the cluster, cannot carry the plan.
        UsageError: The plan's certificates cannot be used, or the cluster cannot, or `output` is there already.
        OutputError: `output` cannot be opened for writing.
    """
    running = Run(
        plan,
        output=output,
        overwrite=overwrite,
        on_interval=_without_tally(on_interval),
        interval_s=interval_s,
        fail_if_saturated=fail_if_saturated,
        make_fleet=fleet_factory(cluster),
    )
    return run_blocking(running.execute, running.interrupt)


async def run_async(
    plan: Plan,
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_interval: Callable[[Interval], None] | None = None,
    interval_s: float = 1.0,
    fail_if_saturated: bool = False,
    cluster: Cluster | None = None,
) -> Result:
    """Runs a plan to its end in the running loop; cancelling it ends the workers at once. See `run` for the rest."""
    running = Run(
        plan,
        output=output,
        overwrite=overwrite,
        on_interval=_without_tally(on_interval),
        interval_s=interval_s,
        fail_if_saturated=fail_if_saturated,
        make_fleet=fleet_factory(cluster),
    )
    return await running.execute()


def _without_tally(on_interval: Callable[[Interval], None] | None) -> Callable[[IntervalEvent], None] | None:
    """Returns a consumer of events that hands on their intervals."""
    return None if on_interval is None else lambda event: on_interval(event.interval)


class Run:
    """One run of a plan: its fleet, its recording, its summary.

    A run ends by itself, or early in one of three ways:

    ====================  ====================================  ========================  ==========================
    method                called by                             effect                    the recording
    ====================  ====================================  ========================  ==========================
    `stop_gracefully`     ``--abort-if``; a capacity search     sends nothing more,       not interrupted;
                          whose step can no longer pass         awaits replies,           ``aborted`` lists the
                                                                closes sessions           conditions
    `interrupt_in_order`  the first Ctrl-C or SIGTERM           the same                  interrupted
    `interrupt`           the second Ctrl-C; Ctrl-C in a        kills the workers         interrupted; what they
                          notebook; a search's own `interrupt`                            had not reported is lost
    ====================  ====================================  ========================  ==========================

    Cancelling `execute` kills the workers, too, and leaves a recording without an end.
    Before the fleet runs, both interrupts cancel `execute`: there is no recording then, and a file that existed keeps
    its contents.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        output: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        on_interval: Callable[[IntervalEvent], None] | None = None,
        interval_s: float = 1.0,
        fail_if_saturated: bool = False,
        of_series: Round | None = None,
        make_fleet: FleetFactory = LocalFleet,
        on_start: Callable[[Header, Plan], None] | None = None,
    ) -> None:
        """Takes the arguments of `run`, and the factory of the fleet that runs the plan.

        Args:
            plan: As in `run`.
            output: As in `run`.
            overwrite: As in `run`.
            on_interval: As in `run`, with the decoded tallies of the interval; must not change them.
            interval_s: As in `run`.
            fail_if_saturated: As in `run`.
            of_series: Round of the series that this run belongs to; None: it is not one of a series.
            make_fleet: Makes the fleet.
            on_start: Called once, before the first worker starts and before a file is overwritten, with the header
                and with the plan as the machines settled it. An exception of it ends the run.
        """
        self.plan = plan
        self.fleet: Fleet | None = None
        """Fleet of the run, from the start of its workers on."""
        self._make_fleet = make_fleet
        self._fail_if_saturated = fail_if_saturated
        self._round = of_series
        self._interval_ns = round(interval_s * 1e9)
        self._observer = on_interval
        self._on_start = on_start
        self._intervals: list[Interval] = []
        self._aggregator = RunAggregator()
        self._abort_monitor: AbortMonitor | None = None
        self._aborted: tuple[AbortEvent, ...] = ()
        self._output_error: OutputError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        """True after an interrupt that may have come before there was a fleet."""
        self._output = output
        self._overwrite = overwrite
        self._writer: RecordingWriter | None = None
        self._commands: CommandRunner | None = None

    async def execute(self) -> Result:
        """Runs the plan; cancelling it stops the workers at once.

        Raises:
            asyncio.CancelledError: The run was interrupted before its fleet ran.
            LoadTestError: See `run`.
        """
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._interrupted:
            raise asyncio.CancelledError
        if self._output is not None and not self._overwrite:
            refuse_overwriting(self._output)
        async with contextlib.AsyncExitStack() as leaving:
            fleet = self._make_fleet(self.plan, self._on_interval, self._interval_ns)
            leaving.push_async_callback(fleet.shutdown)
            await fleet.prepare()
            return await self._record(fleet)

    async def _record(self, fleet: Fleet) -> Result:
        """Runs a prepared fleet and records its intervals."""
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
        self._aggregator = RunAggregator(fleet.hosts)
        self._abort_monitor = AbortMonitor.of(plan, Recording(header, ()))
        if self._on_start is not None:
            self._on_start(header, plan)
            # The run begins when the callers of `on_start` are ready.
            header = msgspec.structs.replace(header, started_at=utc_now())
            fleet.coordinator.started_ns = monotonic_ns()
        # Opened here and not before, so that an older file is overwritten only when there is something to write.
        self._writer = None if self._output is None else RecordingWriter(self._output)
        with contextlib.ExitStack() as closing:
            if self._writer is not None:
                closing.callback(self._keep_writing, self._writer.close)
                self._keep_writing(self._writer.write_header, header)
            self.fleet = fleet
            self._commands = CommandRunner(plan.commands, fleet.coordinator.on_command)
            self._commands.started_ns = fleet.coordinator.started_ns
            fleet.on_load_start = self._commands.start
            # An interrupt that came before could not reach a fleet.
            fleet.interrupted |= self._interrupted
            try:
                await fleet.run()
            finally:
                await self._commands.stop()
            return self._finish(header, fleet)

    @property
    def lost(self) -> tuple[LostWorker, ...]:
        """Workers that have died so far; can be read from any thread."""
        return () if self.fleet is None else tuple(self.fleet.coordinator.lost)

    @property
    def interrupted(self) -> bool:
        """True after an interrupt, even one that came too late for the summary."""
        return self._interrupted or (self.fleet is not None and self.fleet.interrupted)

    def stop_gracefully(self) -> bool:
        """Ends the run in order before its time, without an interrupt; returns False where it was interrupted."""
        fleet = self.fleet
        if fleet is None or fleet.interrupted:
            return False
        fleet.stop()
        # An interrupt of the remaining drain still counts.
        fleet.interrupted = False
        return True

    def interrupt_in_order(self) -> None:
        """Ends the run early but in order, from the thread that executes it: replies are awaited, sessions closed."""
        if self.fleet is None:
            self._interrupted = True
            self._cancel()
        else:
            self.fleet.stop()
            self._end_commands()

    def interrupt(self) -> None:
        """Ends the run at once, from any thread, before its start as well."""
        self._interrupted = True
        if self._loop is not None:
            # A closed loop means that the run is over.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._kill)

    def _kill(self) -> None:
        if self.fleet is None:
            self._cancel()
        else:
            self.fleet.kill()
            self._end_commands()

    def _end_commands(self) -> None:
        if self._commands is not None:
            self._commands.interrupt()

    def _cancel(self) -> None:
        """Ends `execute` while it waits for machines of a cluster."""
        if self._task is not None:
            self._task.cancel()

    def _finish(self, header: Header, fleet: Fleet) -> Result:
        intervals, lost = tuple(self._intervals), tuple(fleet.coordinator.lost)
        trailer = Trailer(
            ended_at=utc_now(),
            interrupted=fleet.interrupted,
            lost_workers=lost,
            aborted=self._aborted or msgspec.UNSET,
            commands=tuple(self._commands.runs.values()) or msgspec.UNSET if self._commands else msgspec.UNSET,
            summary={},
        )
        recordings = [Recording(header, intervals, trailer)]
        aggregated = aggregate(recordings, [self._aggregator])
        summary = summarize(recordings, aggregated)
        trailer = msgspec.structs.replace(trailer, summary=msgspec.to_builtins(summary))
        if self._writer is not None:
            self._keep_writing(self._writer.write_trailer, trailer)
        code = exit_code(summary, len(lost), fail_if_saturated=self._fail_if_saturated)
        if self._output_error is not None and code == ExitCode.PASSED:
            code = ExitCode.OUTPUT_FAILED
        return Result(Recording(header, intervals, trailer), summary, aggregated, code, self._output_error)

    def _on_interval(self, event: IntervalEvent) -> None:
        # The interval alone is kept, so that a long run does not keep the histograms of every interval decoded.
        self._intervals.append(event.interval)
        self._aggregator.add_event(event)
        if self._writer is not None:
            self._keep_writing(self._writer.write_interval, event.interval)
        if self._observer is not None:
            self._observer(event)
        self._check_abort(event)

    def _check_abort(self, event: IntervalEvent) -> None:
        """Ends the run in order when a condition of ``--abort-if`` holds."""
        fleet = self.fleet
        if self._abort_monitor is None or fleet is None or self._aborted or fleet.interrupted:
            return
        self._aborted = self._abort_monitor.add_event(
            event, self._aggregator.tally, self._aggregator.whole_run, pairing_doubted=self._pairing_is_doubted()
        )
        if self._aborted:
            self.stop_gracefully()

    def _pairing_is_doubted(self) -> bool:
        """True where replies are perhaps not those of their messages, by what is known so far."""
        assert self._abort_monitor is not None
        so_far = Recording(self._abort_monitor.start.header, tuple(self._intervals))
        return pairing_is_doubted(RunData([so_far], Aggregate(self._aggregator.tally, ())))

    def _keep_writing(self, write: Callable[..., None], *arguments: Any) -> None:
        """Notes a failure to write: a recording that fails must not end the run that it records."""
        try:
            write(*arguments)
        except OutputError as error:
            self._output_error = error
