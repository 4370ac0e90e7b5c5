"""Makes the summary of a run, or of several recordings: the object that ``--json`` prints and that ends a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.fan_out import fan_out_summary
from ws_load_test.analysis.findings import MISBEHAVIORS, FindingKind, awaits_replies, has_streams, misbehaving_counts
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.number_stats import NumberStats
from ws_load_test.analysis.per_host import error_between_hosts, host_rows, lost_worker_rows, start_skew_ns
from ws_load_test.analysis.repeat import repeat_command
from ws_load_test.analysis.scenario import ScenarioResults
from ws_load_test.analysis.summary_times import TimeStats
from ws_load_test.analysis.summary_types import (
    ByteCounts,
    Connections,
    Generator,
    Messages,
    Misbehaving,
    MisbehavingBytes,
    MisbehavingConnections,
    MixedLoad,
    Opening,
    ReconnectStorm,
    Streams,
    Summary,
    UnknownLoad,
    Warmup,
)
from ws_load_test.analysis.thresholds import evaluate
from ws_load_test.analysis.trace_types import Traces
from ws_load_test.analysis.verdict import NOTHING_MEASURED, judge
from ws_load_test.analysis.wave_types import NodesSummary, WaveSummary
from ws_load_test.common.errors import ExitCode
from ws_load_test.metrics.catalog import METRICS
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.plan.load import Load

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.findings import Finding
    from ws_load_test.analysis.thresholds import RequestedCondition
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.metrics.tally import Tally

Part = TypeVar("Part", bound=msgspec.Struct)
SCHEMA = 2
"""Version of the summary's shape, the key ``schema``: a key that is renamed or removed makes a new one."""


def summarize(
    recordings: Sequence[Recording],
    aggregated: Aggregate | None = None,
    conditions: Sequence[RequestedCondition] | None = None,
) -> Summary:
    """Returns the summary of one recording, or of several as if they were one run.

    Counts and histograms of several recordings add up. Their time is the union of their measured times:
    recordings of machines that ran together share it, repeats add theirs.

    Args:
        recordings: The recordings, at least one.
        aggregated: Their aggregate, if there is one already: making it decodes every histogram.
        conditions: Conditions to judge them by, in place of those of their plans.

    Raises:
        ValueError: No recording at all, or one whose tallies or start cannot be read.
    """
    if not recordings:
        raise ValueError("a summary needs at least one recording")
    if aggregated is None:
        aggregated = aggregate(recordings)
    tally = aggregated.tally
    findings = diagnose(recordings, aggregated)
    duration_ns = _union_ns(_measured_span(recording) for recording in recordings)
    interrupted = any(recording.trailer is None or recording.trailer.interrupted for recording in recordings)
    headers = [recording.header for recording in recordings]
    doubted = any(finding.kind is FindingKind.PAIRING for finding in findings)
    checks = evaluate(recordings, aggregated, duration_ns, conditions, pairing_doubted=doubted)
    scenario = ScenarioResults.of(recordings, tally, duration_ns)
    return _from_tally(
        Summary,
        tally,
        schema=SCHEMA,
        tool=_joined(header.tool for header in headers),
        name=_joined(filter(None, (header.name for header in headers))),
        target=_joined(header.target for header in headers),
        load=_load([header.plan.get("load") for header in headers]),
        command=repeat_command(recordings),
        started_at=min(headers, key=lambda header: header.started_ns).started_at,
        duration_s=duration_ns / 1e9,
        interrupted=interrupted,
        connections=_from_tally(Connections, tally),
        messages=_from_tally(Messages, tally),
        warmup=Warmup(sent=tally.warmup_sent, answered=tally.warmup_answered),
        bytes=_bytes(tally),
        throughput_per_s=tally.answered_in_window * 1e9 / duration_ns if duration_ns else None,
        opening=_from_tally(Opening, tally),
        streams=_streams(recordings, tally),
        fanout=fan_out_summary(
            recordings,
            tally,
            awaits_replies=awaits_replies(recordings),
            clock_error_ns=error_between_hosts(aggregated),
        ),
        sessions=scenario.sessions,
        roles=scenario.roles,
        steps=scenario.steps,
        on=scenario.on,
        reconnect_storm=_reconnect_storm(aggregated),
        waves=[WaveSummary.of(wave) for wave in aggregated.waves],
        nodes=NodesSummary.of(aggregated),
        traces=Traces.of(tally.traces),
        misbehaving=_misbehaving(recordings, tally.misbehaving),
        warnings=[finding.text for finding in findings if not finding.saturates],
        generator=_generator(recordings, aggregated, findings),
        hosts=host_rows(recordings, aggregated),
        verdict=judge(recordings, tally, checks),
    )


def exit_code(summary: Summary, lost_workers: int, *, fail_if_saturated: bool = False) -> ExitCode:
    """Returns the exit code of the process: of several reasons the one that spoils the run most.

    Saturation of the generator is a failure only with `fail_if_saturated`.
    """
    if summary.interrupted:
        return ExitCode.INTERRUPTED
    if lost_workers:
        return ExitCode.WORKER_LOST
    if summary.verdict.reason in NOTHING_MEASURED:
        return ExitCode.NOTHING_OPENED
    if not summary.verdict.passed:
        return ExitCode.THRESHOLD_FAILED
    if fail_if_saturated and summary.generator.saturated:
        return ExitCode.GENERATOR_BOUND
    return ExitCode.PASSED


def _measured_span(recording: Recording) -> tuple[int, int]:
    """Returns the start and end of a recording's measured time, in ns since 1970."""
    measured = [interval for interval in recording.intervals if interval.measured_ns]
    if not measured:
        return 0, 0
    length = sum(interval.measured_ns for interval in measured)
    # Of an interval that is measured in part, the measured part is its end when more follow.
    first = measured[0]
    offset = first.to_ns - first.measured_ns if len(measured) > 1 else first.from_ns
    start = recording.header.started_ns + offset
    return start, start + length


def _union_ns(spans: Iterable[tuple[int, int]]) -> int:
    """Returns the length in ns of the union of the spans."""
    covered, reached = 0, None
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if reached is None or start >= reached:
            covered += end - start
            reached = end
        elif end > reached:
            covered += end - reached
            reached = end
    return covered


def _from_tally(part: type[Part], tally: Tally, **others: object) -> Part:
    """Returns a part of the summary: each field that has the name of a metric takes its value from the tally.

    Args:
        part: Type of the part.
        tally: Counts and times of the run.
        others: Values of the fields that are no metric's.
    """
    return part(**{name: _value(name, getattr(tally, name)) for name in _metrics_of(part)}, **others)


_METRICS_OF: dict[type[msgspec.Struct], list[str]] = {}


def _metrics_of(part: type[msgspec.Struct]) -> list[str]:
    """Returns the fields of a part that have the name of a metric; kept, because looking them up takes 2 ms."""
    if part not in _METRICS_OF:
        _METRICS_OF[part] = [one.name for one in msgspec.structs.fields(part) if one.name in METRICS]
    return _METRICS_OF[part]


def _value(name: str, metric: int | Counter[str] | Histogram) -> int | dict[str, int] | TimeStats | NumberStats | None:
    if isinstance(metric, Histogram):
        return TimeStats.of(metric) if METRICS[name].kind == "time" else NumberStats.of(metric)
    return metric if isinstance(metric, int) else _ranked(metric)


def _bytes(tally: Tally) -> ByteCounts:
    return ByteCounts(
        sent=tally.bytes_sent,
        received=tally.bytes_received,
        # Where messages are merely counted, the size of the pushes among them is unknown.
        pushed=None if tally.pushed and not tally.pushed_bytes else tally.pushed_bytes,
        uncompressed_sent=tally.uncompressed_bytes_sent,
        uncompressed_received=tally.uncompressed_bytes_received,
    )


def _streams(recordings: Sequence[Recording], tally: Tally) -> Streams | None:
    """Returns the results of answers that are many messages; None where no plan has such, and no step had one."""
    if not has_streams(recordings) and not (tally.roles and tally.streamed):
        return None
    return _from_tally(
        Streams,
        tally,
        messages_per_s=NumberStats.of(tally.answer_messages_per_ks, per=1000),
        bytes_per_s=NumberStats.of(tally.answer_bytes_per_ks, per=1000),
        count_per_s=NumberStats.of(tally.answer_count_per_ks, per=1000),
    )


def _reconnect_storm(aggregated: Aggregate) -> ReconnectStorm | None:
    """Returns the recovery of sessions that were cut off at once; None where none was."""
    tally = aggregated.tally
    times = tally.storm_recovery_time_ns
    if not tally.storm_disconnected:
        return None
    not_back = max(0, tally.storm_disconnected - times.count)
    return ReconnectStorm(
        disconnected=tally.storm_disconnected,
        back=times.count,
        not_back=not_back,
        all_back_after_ns=None if not_back else times.max,
        worst_connect_ns=aggregated.storm_connect_ns,
        unanswered=tally.storm_unanswered,
        back_time_ns=TimeStats.of(times),
    )


def _misbehaving(recordings: Sequence[Recording], tally: Tally | None) -> Misbehaving | None:
    """Returns the results of misbehaving clients, which no other number includes; None where there were none."""
    if tally is None:
        return None
    counts = [misbehaving_counts(recording.header.plan) for recording in recordings]
    of_kind = {kind: sum(one.get(kind, 0) for one in counts) for kind in MISBEHAVIORS}
    return Misbehaving(
        connections=MisbehavingConnections(**of_kind, lost=tally.lost, closed=_ranked(tally.closed)),
        messages=_from_tally(Messages, tally),
        bytes=MisbehavingBytes(sent=tally.bytes_sent, received=tally.bytes_received),
        faults=_ranked(tally.faults),
        response_time_ns=TimeStats.of(tally.response_time_ns),
    )


def _generator(recordings: Sequence[Recording], aggregated: Aggregate, findings: Sequence[Finding]) -> Generator:
    reasons = [finding.text for finding in findings if finding.saturates]
    shares = aggregated.cpu_shares()
    return Generator(
        workers=sum(recording.header.workers for recording in recordings),
        engines=aggregated.engines(),
        cpu_share=round(max(shares), 4) if shares else None,
        send_lag_ns=TimeStats.of(aggregated.tally.send_lag_ns),
        saturated=bool(reasons),
        reasons=reasons,
        lost=lost_worker_rows(recordings),
        start_spread_ns=start_skew_ns(aggregated),
    )


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Returns the counts that are not zero, the highest first, equal ones by name."""
    return {kind: count for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _load(loads: Sequence[object]) -> Load | MixedLoad | UnknownLoad:
    """Returns the load that all recordings share, or all distinct ones as a mixed load."""
    read = [_read_load(load) for load in loads]
    distinct = [load for place, load in enumerate(read) if load not in read[:place]]
    return distinct[0] if len(distinct) == 1 else MixedLoad(loads=distinct)


def _read_load(recorded: object) -> Load | UnknownLoad:
    try:
        load: Load = msgspec.convert(recorded, Load)
    except (msgspec.ValidationError, ValueError):
        return UnknownLoad(recorded=recorded)
    return load
