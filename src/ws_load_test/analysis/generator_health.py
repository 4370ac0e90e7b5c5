"""Diagnosis of the generator: findings that it was the bottleneck of a run, or late.

A finding that *saturates* makes the run generator-bound: its numbers describe the generator more than the target. Other
findings are worth knowing and no more. A run is generator-bound by what is wrong typically, or most of the time; a few
late wake-ups, as every shared machine has them, are reported where they show in a percentile, and do not saturate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.data_quality import data_quality_findings, too_few_in_tail
from ws_load_test.analysis.findings import (
    MIN_INTERVALS,
    Finding,
    FindingKind,
    RunData,
    percent,
)
from ws_load_test.common.faults import HOST_ERROR_REMEDIES
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.metrics.scenario_metrics import AT_NO_STEP, IN_REACTION, split_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, HostAggregate
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.recording import Recording, WorkerUsage

MAX_CPU_SHARE = 0.95
"""CPU share above which a worker is saturated; the rest of the core goes to interrupts and to the worker's reports."""
MIN_MEASURED_NS = 500_000_000
"""Measured time below which CPU shares are not judged: a worker has hardly started, and starting is busy."""
MIN_SATURATED_TIME = 0.25
"""Share of the measured time that a worker must be saturated: a growing load can reach the limit only near its end, and
a single second can be chance."""
MAX_CLOSED_LOOP_CPU_DEMAND = 0.90
"""Share of a core, used or waited for, above which a closed loop is saturated: it has no rate to keep, so only the
target or the core limits it."""
MAX_CPU_WAIT = 0.20
"""Share of the time spent waiting for a core above which a worker is starved; competing with one other busy process for
a core takes up to half."""
MAX_MEDIAN_LAG_NS = 1_000_000
"""Median lag above which messages, or the event loop, are late. An idle machine has 0.03 ms, four busy processes on two
cores 0.1 ms, and a platform whose timers count milliseconds 0.5 ms."""
MAX_TAIL_LAG_NS = 10_000_000
"""Lag in the tail above which one message in a hundred, or one look at the loop in ten, is late: the time slices of
other processes delay a healthy worker by up to 9 ms."""
MIN_READ_LAG_NS = 500_000
"""Read lag (0.5 ms) up to which deliveries are read as fast as any: what 100 reads in a row take."""
MAX_READ_LAG_SHARE = 0.1
"""Share of the delivery time above which the generator's own reading shows in it."""
MIN_LAG_SHARE = 0.5
"""Share of the measured time that lag must make up to matter: less changes its digits and not its message."""
MIN_LATE_TIME = 0.5
"""Share of the measured time above which a late tail is no hiccup but lasts."""
MAX_PAUSE_SHARE = 0.01
"""Share of the time in pauses above which they are reported: they show in p99."""


def diagnose(recordings: Sequence[Recording], aggregate: Aggregate) -> list[Finding]:
    """Returns all findings about recordings, those that saturate first."""
    run = RunData(recordings, aggregate)
    if aggregate.hosts and all(recording.header.hosts for recording in recordings):
        # A machine that is late among others that are not would hide in their percentiles.
        findings = _merge_hosts([(one.host.name, diagnose_host(one)) for one in aggregate.hosts])
    else:
        findings = _generator_findings(run)
    late = any(finding.saturates and finding.kind is not FindingKind.HOST for finding in findings)
    findings += data_quality_findings(run, late=late)
    # Times that can be wrong altogether come before those that are late.
    return sorted(findings, key=lambda finding: (not finding.saturates, finding.kind is not FindingKind.PAIRING))


def diagnose_host(host: HostAggregate) -> list[Finding]:
    """Returns the findings about one machine of several, as if it had run alone."""
    return _generator_findings(RunData((host.recording,), host.aggregate))


def _generator_findings(run: RunData) -> list[Finding]:
    """Returns findings about the machine and the processes that made the load."""
    findings = [finding for check in (_processor, _throttled, _garbage, _send_lag) for finding in check(run)]
    # A saturated worker explains a late loop already.
    if not any(finding.saturates for finding in findings):
        findings += _loop_lag(run)
        findings += _read_lag(run)
    return [*_host(run), *_held_up(run), *findings]


def _merge_hosts(per_host: Sequence[tuple[str, Sequence[Finding]]]) -> list[Finding]:
    """Returns the findings of all machines, each kind once, with the text of the first machine that has it."""
    groups: dict[tuple[FindingKind, bool], list[tuple[str, str]]] = {}
    for name, findings in per_host:
        for finding in findings:
            groups.setdefault((finding.kind, finding.saturates), []).append((name, finding.text))
    merged = []
    for (kind, saturates), group in groups.items():
        (name, text), more = group[0], len({name for name, _ in group}) - 1
        rest = f" and {format_count(more)} more of {format_count(len(per_host))}" if more else ""
        merged.append(Finding(kind, f"host {name}{rest}: {text}", saturates))
    return merged


# --- Checks -----------------------------------------------------------------------------------------------------------


def _host(run: RunData) -> Iterator[Finding]:
    """Yields a finding for each kind of system call that the operating system refused."""
    remedies: dict[str, str] = {str(failing): remedy for failing, remedy in HOST_ERROR_REMEDIES.items()}
    for kind, times in sorted(run.tally.host_errors.items(), key=lambda item: (-item[1], item[0])):
        if times:
            often = "once" if times == 1 else f"{format_count(times)} times"
            sentence = f"the generator's own machine reported {kind} {often}"
            text = f"{sentence}: {remedies[kind]}" if kind in remedies else sentence
            yield Finding(FindingKind.HOST, text, saturates=True)


def _processor(run: RunData) -> Iterator[Finding]:
    """Yields findings about workers that use a whole core, and about workers that wait for one."""
    busy: list[tuple[int, float]] = []
    starved: list[tuple[int, float]] = []
    waiting: list[tuple[int, float]] = []
    for usages in run.aggregate.worker_loads():
        if sum(usage.wall_ns for usage in usages) < MIN_MEASURED_NS:
            continue
        number = usages[0].worker
        cpu, delay = (_share(usages, field) for field in ("cpu_ns", "run_delay_ns"))
        # A closed loop takes all it gets; a schedule that is kept has enough, however long its worker waits in between.
        wanted = cpu + delay if run.due_when_sent or _is_late(run) else cpu
        if delay > MAX_CPU_WAIT:
            limit = MAX_CLOSED_LOOP_CPU_DEMAND if run.due_when_sent else MAX_CPU_SHARE
            (starved if wanted >= limit else waiting).append((number, delay))
        elif wanted >= MAX_CPU_SHARE or _saturated_time(usages) >= MIN_SATURATED_TIME:
            busy.append((number, max(cpu, _busiest(usages))))
    if busy:
        meaning = ", so the throughput is the generator's limit and not the target's" if run.due_when_sent else ""
        text = f"{_who(busy, run)} used {_most(busy)} of a core{meaning}: {run.remedy}"
        yield Finding(FindingKind.PROCESSOR, text, saturates=True)
    if starved:
        text = (
            f"{_who(starved, run)} wanted a whole core and waited for it {_most(starved)} of the time, because"
            " other processes had it: end them, move the target to another machine, or use another machine"
        )
        yield Finding(FindingKind.STARVED, text, saturates=True)
    elif waiting:
        text = (
            f"{_who(waiting, run)} waited for a core {_most(waiting)} of the time, because other processes had it,"
            " and the slower times include that: end them, or use another machine"
        )
        yield Finding(FindingKind.STARVED, text, saturates=False)


def _throttled(run: RunData) -> Iterator[Finding]:
    """Yields a finding if a control group's CPU quota held workers up."""
    paused = _paused_share(run, "throttled_ns")
    if paused:
        text = (
            f"{_who(paused, run)} stood still {_most(paused)} of the time, because the control group had used up its"
            " processor quota: raise the container's processor limit, or take it away"
        )
        yield Finding(FindingKind.THROTTLED, text, saturates=True)


def _garbage(run: RunData) -> Iterator[Finding]:
    """Yields a finding if garbage collections held workers up."""
    paused = _paused_share(run, "gc_ns")
    if paused:
        text = (
            f"{_who(paused, run)} spent {_most(paused)} of the time in garbage collections, which delay every reply:"
            " give each worker fewer connections, with a higher -w or a lower -c"
        )
        yield Finding(FindingKind.GARBAGE, text, saturates=True)


def _send_lag(run: RunData) -> Iterator[Finding]:
    """Yields a finding if messages left late because of the generator."""
    lag, response = run.tally.send_lag_ns, run.tally.response_time_ns
    # A message held back by --max-in-flight waited for the target, so its lag is not the generator's.
    if not lag.count or run.limits_in_flight:
        return
    typical, tail = _percentiles(lag, 50, 99)
    late_time = run.share(lambda one: (one.send_lag_p50_ns or 0) > MAX_MEDIAN_LAG_NS)
    tail_time = run.share(lambda one: _matters(one.send_lag_p99_ns, one.response_p99_ns))
    if typical > MAX_MEDIAN_LAG_NS:
        how = f"half of the messages left more than {format_duration(typical)} late"
    elif late_time >= MIN_SATURATED_TIME:
        late, when = format_duration(MAX_MEDIAN_LAG_NS), percent(late_time)
        how = f"in {when} of the seconds half of the messages left more than {late} late"
    elif tail_time >= MIN_LATE_TIME:
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
    yield Finding(FindingKind.SEND_LAG, f"{how}{included}: {run.remedy}", saturates=True)


def _loop_lag(run: RunData) -> Iterator[Finding]:
    """Yields a finding if replies waited in the generator to be read, which counts as the target's time."""
    lag, response = run.tally.loop_lag_ns, run.tally.response_time_ns
    if not lag.count or not response.count:
        return
    typical, tail = _percentiles(lag, 50, 99)
    middle, slow = _percentiles(response, 50, 99)
    tail_time = run.share(lambda one: _matters(one.loop_lag_p90_ns, one.response_p90_ns))
    what = "the event loop turned to replies"
    if typical > max(MAX_MEDIAN_LAG_NS, MIN_LAG_SHARE * middle):
        late, median = format_duration(typical), format_duration(middle)
        how = f"half of the time {what} more than {late} late, at a median of {median}"
        yield Finding(FindingKind.LOOP_LAG, f"{how}: {run.remedy}", saturates=True)
    elif tail_time >= MIN_LATE_TIME:
        late, when = format_duration(MAX_TAIL_LAG_NS), percent(tail_time)
        how = f"in {when} of the seconds {what} more than {late} late one time in ten"
        yield Finding(FindingKind.LOOP_LAG, f"{how}: {run.remedy}", saturates=True)
    elif not too_few_in_tail("99", lag.count) and _matters(tail, slow):
        text = (
            f"{what} more than {format_duration(tail)} late one time in a hundred, which the response times from p99 on"
            " may include: run longer, or on a quieter machine"
        )
        yield Finding(FindingKind.LOOP_LAG, text, saturates=False)


def _held_up(run: RunData) -> Iterator[Finding]:
    """Yields a finding if the code of a role kept the event loop, and so all sessions of its worker waiting."""
    times, at = run.tally.hold_up_ns, run.tally.held_up_at
    if not times.count or not at:
        return
    role, step = split_key(min(at, key=lambda key: (-at[key], key)))
    where = "at no step" if step == AT_NO_STEP else f'behind step "{step}"'
    if step.startswith(IN_REACTION):
        where = f'in the function of reaction "{step.removeprefix(IN_REACTION)}"'
    often = "once" if times.count == 1 else f"{format_count(times.count)} times"
    text = (
        f'code of role "{role}" {where} held up all sessions of its worker: the code of roles kept the event loop'
        f" {often} for more than 50 ms, at most {format_duration(times.max or 0)}; await what takes long, or call it by"
        " asyncio.to_thread"
    )
    yield Finding(FindingKind.HOLD_UP, text, saturates=False)


def _read_lag(run: RunData) -> Iterator[Finding]:
    """Yields a finding if deliveries waited in the generator for others to be read."""
    lag, delivery = run.tally.read_lag_ns, run.tally.delivery_time_ns
    if not lag.count or not delivery.count:
        return
    waited, slow = _percentiles(lag, 99)[0], _percentiles(delivery, 99)[0]
    if waited <= MIN_READ_LAG_NS or waited <= MAX_READ_LAG_SHARE * slow:
        return
    text = (
        f"one delivery in a hundred was read more than {format_duration(waited)} behind others that came with it, at a"
        f" delivery p99 of {format_duration(slow)}, so up to that much of last and spread is the generator's own:"
        f" {run.remedy}"
    )
    yield Finding(FindingKind.READ_LAG, text, saturates=True)


# --- Arithmetic and phrases -------------------------------------------------------------------------------------------


def _percentiles(histogram: Histogram, *ps: float) -> list[int]:
    return [value or 0 for value in histogram.percentiles(ps)]


def _matters(lag_ns: int | None, response_ns: int | None) -> bool:
    """True where lag in the tail is long and makes up much of the response time."""
    return lag_ns is not None and lag_ns > MAX_TAIL_LAG_NS and lag_ns > MIN_LAG_SHARE * (response_ns or 0)


def _share(usages: Sequence[WorkerUsage], field: str) -> float:
    wall_ns = sum(usage.wall_ns for usage in usages)
    return sum(getattr(usage, field) for usage in usages) / wall_ns if wall_ns else 0.0


def _is_late(run: RunData) -> bool:
    """True where the median lag of messages or of the event loop is late."""
    lags = [run.tally.loop_lag_ns]
    if not run.limits_in_flight:
        lags.append(run.tally.send_lag_ns)
    return any(_percentiles(lag, 50)[0] > MAX_MEDIAN_LAG_NS for lag in lags)


def _saturated_time(usages: Sequence[WorkerUsage]) -> float:
    """Returns the share of the time in which a worker was saturated; 0 where it is too short to tell."""
    wall_ns = sum(usage.wall_ns for usage in usages)
    if len(usages) < MIN_INTERVALS or not wall_ns:
        return 0.0
    return sum(usage.wall_ns for usage in usages if usage.cpu_ns >= MAX_CPU_SHARE * usage.wall_ns) / wall_ns


def _busiest(usages: Sequence[WorkerUsage]) -> float:
    """Returns the CPU share in the saturated intervals alone."""
    busy = [usage for usage in usages if usage.cpu_ns >= MAX_CPU_SHARE * usage.wall_ns]
    return _share(busy, "cpu_ns")


def _paused_share(run: RunData, field: str) -> list[tuple[int, float]]:
    """Returns the workers that paused for long, each with the share of the time."""
    shares = [(usages[0].worker, _share(usages, field)) for usages in run.aggregate.worker_loads()]
    return [(worker, share) for worker, share in shares if share > MAX_PAUSE_SHARE]


def _who(workers: Sequence[tuple[int, float]], run: RunData) -> str:
    """Returns the subject of a sentence about some workers of a run."""
    total = len(run.aggregate.worker_loads())
    if total == 1:
        return "the worker"
    if len(workers) == 1:
        return f"worker {workers[0][0]}" if len(run.recordings) == 1 else f"one of {format_count(total)} workers"
    return f"{'all' if len(workers) == total else format_count(len(workers))} of {format_count(total)} workers"


def _most(workers: Sequence[tuple[int, float]]) -> str:
    """Returns the highest share of some workers in words."""
    shares = [share for _, share in workers]
    return f"{'' if len(shares) == 1 else 'up to '}{percent(max(shares))}"
