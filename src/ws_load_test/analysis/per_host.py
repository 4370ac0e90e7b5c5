"""Results of each machine of a run on several, and the workers that were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.aggregate import lost_workers
from ws_load_test.analysis.generator_health import diagnose_host
from ws_load_test.analysis.summary_types import HostSummary, LostWorkerSummary, TimeStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate, HostAggregate
    from ws_load_test.metrics.recording import Host, LostWorker, Recording


def host_rows(recordings: Sequence[Recording], digested: Aggregate) -> list[HostSummary]:
    """Returns a row for each machine; none where the runs were on one machine each.

    ``path_time_ns`` is the shortest TCP handshake with the target, which is a round trip on the network and hardly
    anything else. ``began_after_ns`` is how much later than the first machine it began the load.
    """
    began = [of.began_ns[0] for of in digested.hosts if of.began_ns is not None]
    return [_row(of, min(began, default=0), alone=len(recordings) == 1) for of in digested.hosts]


def _row(of: HostAggregate, first_ns: int, *, alone: bool) -> HostSummary:
    host, tally, reasons = of.host, of.digest.tally, [one for one in diagnose_host(of) if one.saturates]
    measured_ns = max((sum(load.wall_ns for load in loads) for loads in of.digest.worker_loads()), default=0)
    shares = of.digest.cpu_shares()
    return HostSummary(
        name=host.name,
        address=host.address,
        workers=host.workers,
        # Of several runs each has its own.
        first_worker=host.first_worker if alone else None,
        sent=tally.sent,
        answered=tally.answered,
        throughput_per_s=tally.answered_in_window * 1e9 / measured_ns if measured_ns else None,
        sent_per_s=_sent_in_time(of) * 1e9 / measured_ns if measured_ns else None,
        response_time_ns=TimeStats.of(tally.response_time_ns),
        send_lag_ns=TimeStats.of(tally.send_lag_ns),
        cpu_share=round(max(shares), 4) if shares else None,
        path_time_ns=tally.tcp_time_ns.min if tally.tcp_time_ns.count else None,
        clock_ahead_ns=host.clock_ahead_ns,
        clock_error_ns=host.clock_error_ns,
        began_after_ns=None if of.began_ns is None else of.began_ns[0] - first_ns,
        saturated=bool(reasons),
        reasons=[reason.text for reason in reasons],
        lost_workers=len(of.lost_workers),
        lost_since_ns=min((one.at_ns for one in of.lost_workers), default=None),
    )


def _sent_in_time(of: HostAggregate) -> int:
    return sum(stretch.sent for part in of.digest.recordings for stretch in part)


def start_skew_ns(digested: Aggregate) -> int | None:
    """Returns the time between the first and the last worker's beginning of the load; None for one machine each.

    Of several runs the largest, since each had a start of its own.
    """
    spreads: dict[str, tuple[int, int]] = {}
    for of in digested.hosts:
        if of.began_ns is not None:
            started = of.recording.header.started_at
            first, last = spreads.get(started, of.began_ns)
            spreads[started] = min(first, of.began_ns[0]), max(last, of.began_ns[1])
    return max((last - first for first, last in spreads.values()), default=None)


def lost_worker_rows(recordings: Sequence[Recording]) -> list[LostWorkerSummary]:
    """Returns the workers that were lost: which, where, since when, and which part of the whole load they had."""
    return [
        LostWorkerSummary(
            worker=one.worker,
            host=host_of(one, recording.header.hosts or ()),
            at_ns=one.at_ns,
            share=1 / recording.header.workers,
            reason=one.reason,
        )
        for recording in recordings
        for one in lost_workers(recording)
    ]


def host_of(worker: LostWorker, hosts: Sequence[Host]) -> str | None:
    """Returns the name of a worker's machine; None where there is only one."""
    for host in hosts:
        if host.first_worker <= worker.worker < host.first_worker + host.workers:
            return host.name
    return None
