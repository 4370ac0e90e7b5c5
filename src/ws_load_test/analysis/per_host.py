"""Results of each machine of a run on several, and the workers that were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ws_load_test.analysis.aggregate import lost_workers
from ws_load_test.analysis.generator_health import diagnose_host
from ws_load_test.analysis.summary_times import TimeStats
from ws_load_test.analysis.summary_types import HostSummary, LostWorkerSummary
from ws_load_test.common.clock_model import ClockOffset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, HostAggregate
    from ws_load_test.common.clock_model import ClockDrift
    from ws_load_test.metrics.recording import Host, LostWorker, Recording


CLOCK_INSTANTS = 20
"""Parts of the measured time between which the error of a clock's offset is looked at."""


def host_rows(recordings: Sequence[Recording], aggregate: Aggregate) -> list[HostSummary]:
    """Returns a row for each machine; none where the runs were on one machine each.

    ``path_time_ns`` is the shortest TCP handshake with the target, which is a round trip on the network and hardly
    anything else. ``began_after_ns`` is how much later than the first machine it began the load.
    """
    began = [host.began_ns[0] for host in aggregate.hosts if host.began_ns is not None]
    return [_row(host, min(began, default=0), alone=len(recordings) == 1) for host in aggregate.hosts]


def _row(share: HostAggregate, first_ns: int, *, alone: bool) -> HostSummary:
    host, tally = share.host, share.aggregate.tally
    clock = clock_over_run(share)
    reasons = [finding.text for finding in diagnose_host(share) if finding.saturates]
    usages = share.aggregate.worker_loads()
    fans_out = share.recording.header.plan.get("fan_out") is not None
    measured_ns = max((sum(usage.wall_ns for usage in own) for own in usages), default=0)
    cpu_shares = share.aggregate.cpu_shares()
    return HostSummary(
        name=host.name,
        address=host.address,
        workers=host.workers,
        # Several runs number their workers each for itself.
        first_worker=host.first_worker if alone else None,
        sent=tally.sent,
        answered=tally.answered,
        throughput_per_s=tally.answered_in_window * 1e9 / measured_ns if measured_ns else None,
        sent_per_s=_sent_in_window(share) * 1e9 / measured_ns if measured_ns else None,
        deliveries_per_s=tally.deliveries * 1e9 / measured_ns if fans_out and measured_ns else None,
        response_time_ns=TimeStats.of(tally.response_time_ns),
        send_lag_ns=TimeStats.of(tally.send_lag_ns),
        cpu_share=round(max(cpu_shares), 4) if cpu_shares else None,
        path_time_ns=tally.tcp_time_ns.min if tally.tcp_time_ns.count else None,
        clock_ahead_ns=clock.offset.offset_ns,
        clock_error_ns=clock.offset.error_ns,
        clock_drift_ppm=None if clock.drift is None else round(clock.drift.rate * 1e6, 2),
        clock_drift_error_ppm=None if clock.drift is None else round(clock.drift.error * 1e6, 2),
        began_after_ns=None if share.began_ns is None else share.began_ns[0] - first_ns,
        saturated=bool(reasons),
        reasons=reasons,
        lost_workers=len(share.lost_workers),
        lost_since_ns=min((worker.at_ns for worker in share.lost_workers), default=None),
    )


class ClockOverRun(NamedTuple):
    """Clock of a machine over its measured time."""

    offset: ClockOffset
    """At the start of its load, with the greatest error that its offset has at any time of the run."""
    drift: ClockDrift | None
    """None where the clocks were compared once."""


def clock_over_run(share: HostAggregate) -> ClockOverRun:
    """Returns the offset of a machine's clock from the leading machine's, and its drift."""
    instants = _instants(share)
    start_ns, end_ns = instants[0], instants[-1]
    error_ns = max(share.clock.offset_at(at_ns).error_ns for at_ns in instants)
    compared_once = len(share.clock.comparisons) == 1
    return ClockOverRun(
        ClockOffset(share.clock.offset_at(start_ns).offset_ns, error_ns),
        None if compared_once else share.clock.drift_at((start_ns + end_ns) // 2),
    )


def _instants(share: HostAggregate) -> list[int]:
    """Returns instants from the start of a machine's measured time to its end."""
    intervals = [interval for intervals in share.aggregate.recordings for interval in intervals]
    start_ns = intervals[0].from_ns if intervals else 0
    end_ns = intervals[-1].to_ns if intervals else start_ns
    return [start_ns + (end_ns - start_ns) * step // CLOCK_INSTANTS for step in range(CLOCK_INSTANTS + 1)]


def error_between_hosts(aggregate: Aggregate) -> int | None:
    """Returns by how many ns a time between instants of two machines can be wrong; None where there are not two.

    The instants of each machine count from a start that it was given in its own clock, by the offset as it was known
    then. What that was wrong by is in all of them, whatever later comparisons have found, and so is what the clock has
    gained since, and the error of what is known of it: the sum over the two worst machines.
    """
    errors = sorted(max(_errors(share)) for share in aggregate.hosts)
    return sum(errors[-2:]) if len(errors) > 1 else None


def _errors(share: HostAggregate) -> Iterator[int]:
    """Yields how wrong a machine's instants can be, at instants all over its run."""
    instants = _instants(share)
    given_ns = share.start_offset_ns
    if given_ns is None:
        given_ns = share.clock.offset_at(instants[0]).offset_ns
    for at_ns in instants:
        offset = share.clock.offset_at(at_ns)
        yield abs(offset.offset_ns - given_ns) + offset.error_ns


def _sent_in_window(share: HostAggregate) -> int:
    """Returns the messages that a machine sent within the measured time."""
    return sum(interval.sent for intervals in share.aggregate.recordings for interval in intervals)


def start_skew_ns(aggregate: Aggregate) -> int | None:
    """Returns the time from the first worker's beginning of the load to the last's; None for runs on one machine.

    It is the largest of several runs, since each had a start of its own.
    """
    spans: dict[str, tuple[int, int]] = {}
    for host in aggregate.hosts:
        if host.began_ns is not None:
            started = host.recording.header.started_at
            first, last = spans.get(started, host.began_ns)
            spans[started] = min(first, host.began_ns[0]), max(last, host.began_ns[1])
    return max((last - first for first, last in spans.values()), default=None)


def lost_worker_rows(recordings: Sequence[Recording]) -> list[LostWorkerSummary]:
    """Returns the lost workers: number, machine, instant, reason, and share of the whole load."""
    return [
        LostWorkerSummary(
            worker=worker.worker,
            host=host_of(worker, recording.header.hosts or ()),
            at_ns=worker.at_ns,
            share=1 / recording.header.workers,
            reason=worker.reason,
        )
        for recording in recordings
        for worker in lost_workers(recording)
    ]


def host_of(worker: LostWorker, hosts: Sequence[Host]) -> str | None:
    """Returns the name of a worker's machine; None where there is only one."""
    for host in hosts:
        if host.first_worker <= worker.worker < host.first_worker + host.workers:
            return host.name
    return None
