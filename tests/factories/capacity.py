"""Searches that the tests share: targets that answer by arithmetic, so that nothing is opened and nobody waits."""

import asyncio

import msgspec

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.summary import exit_code, summarize
from ws_load_test.api import Result
from ws_load_test.common.errors import ExitCode
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.experiments.capacity.search_runner import CapacitySearch
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    LostWorker,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.load import ClosedLoop

SECOND, MILLI = 10**9, 10**6
INTERVALS = 5
URL = "ws://h:1/?token=secret"


def waits(count, low_ns, high_ns):
    """A histogram of times evenly from one to the other."""
    made, points = Histogram(), min(count, 20)
    for k in range(points):
        many = count // points + (k < count % points)
        made.record(int(low_ns + (high_ns - low_ns) * (k + 0.5) / points), many)
    return made


def recorded(plan, tallies, *, cpu=0.1, interrupted=False, lost=()):
    """The recording of a run whose opening and measured intervals had these tallies."""
    public = plan.redacted()
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at="2026-03-01T12:00:07Z",
        plan=msgspec.to_builtins(public),
        target=public.target.url,
        host={"cores": 8},
        workers=1,
    )
    length_ns = (plan.duration_ns or 0) // max(1, len(tallies) - 1)
    intervals = [
        Interval.of(
            tally,
            index=index,
            phase="measured" if index else "opening",
            from_ns=index * length_ns,
            to_ns=(index + 1) * length_ns,
            measured_ns=length_ns if index else 0,
            workers=[WorkerUsage(0, int(cpu * length_ns), length_ns)],
        )
        for index, tally in enumerate(tallies)
    ]
    lost = tuple(LostWorker(0, reason, SECOND) for reason in lost)
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, lost_workers=lost, summary={})
    return Recording(header, tuple(intervals), trailer)


def result_of(recording):
    """The result of a run, and its digest."""
    digested = aggregate([recording])
    summary = summarize([recording], digested)
    return Result(recording, summary, digested, exit_code(summary, 0)), digested


def served(plan, *, limit, generator=float("inf"), opened=None):
    """What a target answers that takes so many messages a second, and queues the others."""
    connections = plan.connections
    opened = connections if opened is None else opened
    opening = Tally(attempted=connections, opened=opened, failed=connections - opened)
    per_s = 0 if isinstance(plan.load, ClosedLoop) else plan.load.rate.peak
    length_ns = plan.duration_ns // INTERVALS
    count = round(per_s * length_ns / 1e9)
    measured, queue = [], 0.0
    for _ in range(INTERVALS if opened else 0):
        answered = min(count + int(queue), round(limit * length_ns / 1e9))
        wait_ns = queue / limit * 1e9
        queue += count - answered
        times = waits(count, wait_ns + MILLI, queue / limit * 1e9 + MILLI)
        numbers = {"due": count, "sent": count, "answered": count, "answered_in_window": answered}
        measured.append(Tally(**numbers, response_time_ns=times))
    return recorded(plan, [opening, *measured], cpu=1.0 if per_s > generator else 0.1)


def searched(serve, *, output=None, rest=None, begun=None, **options):
    """A search that is over, against `serve(plan)`, which makes recordings."""
    searching = CapacitySearch(read_spec({"url": URL, "workers": 1, **options}), output)
    if begun is not None:
        begun(searching)

    async def attend(run):
        result, _ = result_of(serve(run.plan))
        if run._writer is not None:
            run._writer.close()
        return result

    async def at_once(_seconds):
        return False

    asyncio.run(searching.run(attend, rest or at_once))
    return searching


def found(serve, **options):
    """What such a search found: the object of JSON, and the exit code."""
    searching = searched(serve, **options)
    return msgspec.to_builtins(searching.summary()), ExitCode(searching.exit_code)
