"""The run's doubts about its own numbers: was the generator the bottleneck, and what do the numbers lack?

A reason that *binds* makes the run generator-bound: its numbers say more about the generator than about the target.
The others are worth knowing and no more. A run is generator-bound by what is wrong typically, or most of the time; a
few late wake-ups, as every shared machine has them, are told where they show in a percentile, and do not bind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.aggregate import load_of
from ws_load_test.analysis.data_quality import data_quality_findings, too_few_in_tail
from ws_load_test.analysis.findings import (
    FEWEST_STRETCHES,
    Finding,
    FindingKind,
    RunData,
    percent,
)
from ws_load_test.common.faults import HOST_ERROR_REMEDIES
from ws_load_test.common.units import format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, HostAggregate
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.recording import Recording, WorkerUsage

BUSY = 0.95
"""Of a core: what is missing to a whole one goes to interrupts and to the reports a worker writes."""
SHORTEST_NS = 500_000_000
"""Measured for less than this, a worker has hardly done more than begin, and beginnings are busy."""
BUSY_TIME = 0.25
"""Of the measured time: a load that grows may reach the limit only near its end, and a second alone may be chance."""
WANTED_BY_A_FLOOD = 0.90
"""Of a core, used or waited for: a flood has no rate to keep, so all that holds it is the target or the core."""
STARVED = 0.20
"""Of the time spent waiting for a core: competing with another busy process for one gives up to half."""
LATE_NS = 1_000_000
"""Half of the messages, or of the looks at the loop, later than this: idle, it is 0.03 ms here, and 0.1 ms beside four
busy processes on two cores; where only timers of milliseconds exist, 0.5 ms."""
LATE_TAIL_NS = 10_000_000
"""One in a hundred later than this: the time slices of other processes delay a healthy worker by up to 9 ms."""
PART = 0.5
"""Of a time that is measured: lateness below that changes its digits and not its message."""
SUSTAINED = 0.5
"""Of the seconds: what delays one message in a hundred there is no hiccup any more."""
HELD_UP = 0.01
"""Of the time in pauses: as much as p99 lets one see."""


def diagnose(recordings: Sequence[Recording], digest: Aggregate) -> list[Finding]:
    """Returns all reasons to doubt the numbers of recordings, those that bind first."""
    evidence = RunData(recordings, digest, tuple(map(load_of, recordings)))
    if digest.hosts and all(recording.header.hosts for recording in recordings):
        # A machine that is late among others that are not would hide in their percentiles.
        reasons = _merge_hosts([(of.host.name, diagnose_host(of)) for of in digest.hosts])
    else:
        reasons = _of_generator(evidence)
    late = any(reason.saturates and reason.kind is not FindingKind.HOST for reason in reasons)
    reasons += data_quality_findings(evidence, late=late)
    # Times that may be wrong altogether come before those that are late.
    return sorted(reasons, key=lambda reason: (not reason.saturates, reason.kind is not FindingKind.PAIRING))


def diagnose_host(of: HostAggregate) -> list[Finding]:
    """Returns the reasons to doubt what one machine of several did, as if it had been alone."""
    return _of_generator(RunData((of.recording,), of.digest, (load_of(of.recording),)))


def _of_generator(evidence: RunData) -> list[Finding]:
    """What there is to say of the machines and processes that made the load."""
    reasons = [reason for look in (_processor, _throttled, _garbage, _send_lag) for reason in look(evidence)]
    # A loop that is late because its worker has no time to spare has been explained.
    if not any(reason.saturates for reason in reasons):
        reasons += _loop_lag(evidence)
    return [*_host(evidence), *reasons]


def _merge_hosts(judged: Sequence[tuple[str, Sequence[Finding]]]) -> list[Finding]:
    """Returns the reasons of several machines; what is the case on more than one is told of the first."""
    found: dict[tuple[FindingKind, bool], list[tuple[str, str]]] = {}
    for name, reasons in judged:
        for reason in reasons:
            found.setdefault((reason.kind, reason.saturates), []).append((name, reason.text))
    together = []
    for (kind, binding), told in found.items():
        (name, text), more = told[0], len({name for name, _ in told}) - 1
        who = (
            f"host {name}" if not more else f"host {name} and {format_count(more)} more of {format_count(len(judged))}"
        )
        together.append(Finding(kind, f"{who}: {text}", binding))
    return together


# --- What binds -------------------------------------------------------------------------------------------------------


def _host(evidence: RunData) -> Iterator[Finding]:
    """What the operating system refused."""
    remedies: dict[str, str] = {str(failing): remedy for failing, remedy in HOST_ERROR_REMEDIES.items()}
    for kind, times in sorted(evidence.tally.host_errors.items(), key=lambda item: (-item[1], item[0])):
        if times:
            often = "once" if times == 1 else f"{format_count(times)} times"
            sentence = f"the generator's own machine reported {kind} {often}"
            text = f"{sentence}: {remedies[kind]}" if kind in remedies else sentence
            yield Finding(FindingKind.HOST, text, saturates=True)


def _processor(evidence: RunData) -> Iterator[Finding]:
    """Workers that have a core to themselves and need it whole, and workers that do not get what they need."""
    busy: list[tuple[int, float]] = []
    starved: list[tuple[int, float]] = []
    waiting: list[tuple[int, float]] = []
    for loads in evidence.digest.worker_loads():
        if sum(load.wall_ns for load in loads) < SHORTEST_NS:
            continue
        number = loads[0].worker
        cpu, delay = (_part(loads, room) for room in ("cpu_ns", "run_delay_ns"))
        # A flood takes what it gets; a schedule that is kept has enough, however long its worker waits in between.
        wanted = cpu + delay if evidence.is_closed_loop or _is_late(evidence) else cpu
        if delay > STARVED:
            limit = WANTED_BY_A_FLOOD if evidence.is_closed_loop else BUSY
            (starved if wanted >= limit else waiting).append((number, delay))
        elif wanted >= BUSY or _busy_time(loads) >= BUSY_TIME:
            busy.append((number, max(cpu, _busiest(loads))))
    if busy:
        meaning = ", so the throughput is the generator's limit and not the target's" if evidence.is_closed_loop else ""
        text = f"{_who(busy, evidence)} used {_most(busy)} of a core{meaning}: {evidence.remedy}"
        yield Finding(FindingKind.PROCESSOR, text, saturates=True)
    if starved:
        text = (
            f"{_who(starved, evidence)} wanted a whole core and waited for it {_most(starved)} of the time, because"
            " other processes had it: end them, move the target to another machine, or use another machine"
        )
        yield Finding(FindingKind.STARVED, text, saturates=True)
    elif waiting:
        text = (
            f"{_who(waiting, evidence)} waited for a core {_most(waiting)} of the time, because other processes had it,"
            " and the slower times include that: end them, or use another machine"
        )
        yield Finding(FindingKind.STARVED, text, saturates=False)


def _throttled(evidence: RunData) -> Iterator[Finding]:
    held = _paused_share(evidence, "throttled_ns")
    if held:
        text = (
            f"{_who(held, evidence)} stood still {_most(held)} of the time, because the control group had used up its"
            " processor quota: raise the container's processor limit, or take it away"
        )
        yield Finding(FindingKind.THROTTLED, text, saturates=True)


def _garbage(evidence: RunData) -> Iterator[Finding]:
    held = _paused_share(evidence, "gc_ns")
    if held:
        text = (
            f"{_who(held, evidence)} spent {_most(held)} of the time in garbage collections, which delay every reply:"
            " give each worker fewer connections, with a higher -w or a lower -c"
        )
        yield Finding(FindingKind.GARBAGE, text, saturates=True)


def _send_lag(evidence: RunData) -> Iterator[Finding]:
    """Messages that leave late through the generator's doing."""
    lag, response = evidence.tally.send_lag_ns, evidence.tally.response_time_ns
    # What waited for room on its connection waited for the target, and its lag tells nothing of the generator.
    if not lag.count or evidence.limits_in_flight:
        return
    typical, tail = _percentiles(lag, 50, 99)
    late_time = evidence.share(lambda one: (one.send_lag_p50_ns or 0) > LATE_NS)
    tail_time = evidence.share(lambda one: _matters(one.send_lag_p99_ns, one.response_p99_ns))
    if typical > LATE_NS:
        how = f"half of the messages left more than {format_duration(typical)} late"
    elif late_time >= BUSY_TIME:
        late, when = format_duration(LATE_NS), percent(late_time)
        how = f"in {when} of the seconds half of the messages left more than {late} late"
    elif tail_time >= SUSTAINED:
        how = f"one message in a hundred left more than {format_duration(tail)} late, and not just in a few seconds"
    elif _matters(tail, _percentiles(response, 99)[0]):
        text = f"one message in a hundred left more than {format_duration(tail)} late"
        if response.count:
            text += ", which the response times from p99 on include: read the service times beside them, or"
        else:
            text += ":"
        yield Finding(FindingKind.SEND_LAG, f"{text} run longer on a quieter machine", saturates=False)
        return
    else:
        return
    # Where no reply is awaited there are no times to include it.
    included = ", and the response times include that" if response.count else ""
    yield Finding(FindingKind.SEND_LAG, f"{how}{included}: {evidence.remedy}", saturates=True)


def _loop_lag(evidence: RunData) -> Iterator[Finding]:
    """Replies that wait to be read: measured as the target's time, and spent in the generator."""
    lag, response = evidence.tally.loop_lag_ns, evidence.tally.response_time_ns
    if not lag.count or not response.count:
        return
    typical, tail = _percentiles(lag, 50, 99)
    middle, slow = _percentiles(response, 50, 99)
    tail_time = evidence.share(lambda one: _matters(one.loop_lag_p90_ns, one.response_p90_ns))
    what = "the event loop turned to replies"
    if typical > max(LATE_NS, PART * middle):
        how = f"half of the time {what} more than {format_duration(typical)} late, at a median of {format_duration(middle)}"
        yield Finding(FindingKind.LOOP_LAG, f"{how}: {evidence.remedy}", saturates=True)
    elif tail_time >= SUSTAINED:
        late, when = format_duration(LATE_TAIL_NS), percent(tail_time)
        how = f"in {when} of the seconds {what} more than {late} late one time in ten"
        yield Finding(FindingKind.LOOP_LAG, f"{how}: {evidence.remedy}", saturates=True)
    elif not too_few_in_tail("99", lag.count) and _matters(tail, slow):
        text = (
            f"{what} more than {format_duration(tail)} late one time in a hundred, which the response times from p99 on"
            " may include: run longer, or on a quieter machine"
        )
        yield Finding(FindingKind.LOOP_LAG, text, saturates=False)


# --- Arithmetic and words ---------------------------------------------------------------------------------------------


def _percentiles(histogram: Histogram, *ps: float) -> list[int]:
    return [value or 0 for value in histogram.percentiles(ps)]


def _matters(lag_ns: int | None, response_ns: int | None) -> bool:
    """Returns whether a tail of lateness is long, and makes up much of the times that are measured."""
    return lag_ns is not None and lag_ns > LATE_TAIL_NS and lag_ns > PART * (response_ns or 0)


def _part(loads: Sequence[WorkerUsage], room: str) -> float:
    wall_ns = sum(load.wall_ns for load in loads)
    return sum(getattr(load, room) for load in loads) / wall_ns if wall_ns else 0.0


def _is_late(evidence: RunData) -> bool:
    """Returns whether half of what the workers do comes late."""
    lags = [evidence.tally.loop_lag_ns]
    if not evidence.limits_in_flight:
        lags.append(evidence.tally.send_lag_ns)
    return any(_percentiles(lag, 50)[0] > LATE_NS for lag in lags)


def _busy_time(loads: Sequence[WorkerUsage]) -> float:
    """Returns the part of the time in which a worker used all of a core; 0 where it is too short to tell."""
    wall_ns = sum(load.wall_ns for load in loads)
    if len(loads) < FEWEST_STRETCHES or not wall_ns:
        return 0.0
    return sum(load.wall_ns for load in loads if load.cpu_ns >= BUSY * load.wall_ns) / wall_ns


def _busiest(loads: Sequence[WorkerUsage]) -> float:
    """Returns the share of a core in the busy intervals alone."""
    busy = [load for load in loads if load.cpu_ns >= BUSY * load.wall_ns]
    return _part(busy, "cpu_ns")


def _paused_share(evidence: RunData, room: str) -> list[tuple[int, float]]:
    parts = [(loads[0].worker, _part(loads, room)) for loads in evidence.digest.worker_loads()]
    return [(number, part) for number, part in parts if part > HELD_UP]


def _who(workers: Sequence[tuple[int, float]], evidence: RunData) -> str:
    of = len(evidence.digest.worker_loads())
    if of == 1:
        return "the worker"
    if len(workers) == 1:
        return f"worker {workers[0][0]}" if len(evidence.recordings) == 1 else f"one of {format_count(of)} workers"
    return f"{'all' if len(workers) == of else format_count(len(workers))} of {format_count(of)} workers"


def _most(workers: Sequence[tuple[int, float]]) -> str:
    parts = [part for _, part in workers]
    return f"{'' if len(parts) == 1 else 'up to '}{percent(max(parts))}"
