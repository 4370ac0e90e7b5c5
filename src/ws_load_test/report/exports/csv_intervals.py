"""``--csv``: a row for each interval of the measured time, after RFC 4180.

The columns are an interface: names stay, new ones come at the end. Those of streams, of fan-outs and of scenarios are
there where a recording has such.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ws_load_test.analysis.scenario import failures_of
from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.catalog import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.metric_spec import MetricSpec
    from ws_load_test.metrics.recording import Interval, Recording
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.report.results import Results


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One measured interval."""

    number: int
    """Number of its recording, from 1."""
    recording: Recording
    interval: Interval
    tally: Tally
    measured_from_ns: int
    """Start of the measured time, from the start of the run."""
    open: int
    """Sessions that were open at the interval's end."""


Cell = int | str | None


def _percentile(field: str, percentile: str) -> Callable[[CsvRow], Cell]:
    def cell(row: CsvRow) -> Cell:
        tally = row.tally
        times: Histogram = tally.service_times_ns if field == "service_time_ns" else getattr(tally, field)
        return times.max if percentile == "max" else times.percentiles((percentile,))[0]

    return cell


def _count(field: str) -> Callable[[CsvRow], Cell]:
    return lambda row: int(getattr(row.tally, field))


def _total(field: str) -> Callable[[CsvRow], Cell]:
    return lambda row: int(getattr(row.tally, field).total())


def _share(row: CsvRow) -> Cell:
    share = row.interval.cpu_share
    return None if share is None else f"{share:.4f}"


def _metric_columns() -> Iterator[tuple[str, Callable[[CsvRow], Cell]]]:
    """Yields the columns that the rows of the metric catalogue ask for."""
    for field, spec in METRICS.items():
        yield from _columns_of_metric(field, spec)


def _columns_of_metric(field: str, spec: MetricSpec) -> Iterator[tuple[str, Callable[[CsvRow], Cell]]]:
    if spec.kind == "time":
        name = field.removesuffix("_ns").removesuffix("_time")
        for percentile in spec.csv:
            statistic = percentile if percentile == "max" else f"p{percentile.replace('.', '')}"
            yield f"{name}_{statistic}_ns", _percentile(field, percentile)
    else:
        yield from ((column, (_total if spec.kind == "labeled" else _count)(field)) for column in spec.csv)


FIRST_COLUMNS = [
    "recording",
    "start_s",
    "length_s",
    "start_unix_s",
    "due",
    "sent",
    "answered",
    "unanswered",
    "dropped",
    "pushed",
    "faults",
    "connections_open",
    "connections_opened",
    "connections_failed",
    "connections_lost",
    "sent_bytes",
    "received_bytes",
    "response_p50_ns",
    "response_p90_ns",
    "response_p99_ns",
    "response_p999_ns",
    "response_max_ns",
    "service_p50_ns",
    "service_p99_ns",
    "service_max_ns",
    "send_lag_p99_ns",
    "send_lag_max_ns",
    "connect_p50_ns",
    "connect_p99_ns",
    "connect_max_ns",
    "cpu_share",
]
"""Order of the columns of the first version. Columns that are not among them come behind, so it never changes."""
_AVAILABLE: dict[str, Callable[[CsvRow], Cell]] = {
    "recording": lambda row: row.number,
    "start_s": lambda row: _seconds(row.interval.from_ns - row.measured_from_ns),
    "length_s": lambda row: _seconds(row.interval.to_ns - row.interval.from_ns),
    "start_unix_s": lambda row: _seconds(row.recording.header.started_ns + row.interval.from_ns),
    "connections_open": lambda row: row.open,
    "cpu_share": _share,
    **dict(_metric_columns()),
}
COLUMNS = {name: _AVAILABLE[name] for name in dict.fromkeys([*FIRST_COLUMNS, *_AVAILABLE])}
"""Every column by its name, which ends in its unit; a count has none."""


def columns_of(results: Results) -> dict[str, Callable[[CsvRow], Cell]]:
    """Returns the columns of recordings: without those of streams, fan-outs or scenarios where there are none."""
    streams, fan_out = results.summary.streams is not None, results.summary.fanout is not None
    absent = {
        name
        for field, spec in METRICS.items()
        if not spec.is_of(streams=streams, fan_out=fan_out)
        for name, _ in _columns_of_metric(field, spec)
    }
    kept = {name: cell for name, cell in COLUMNS.items() if name not in absent}
    return kept | dict(_scenario_columns(results.summary))


def _scenario_columns(summary: Summary) -> Iterator[tuple[str, Callable[[CsvRow], Cell]]]:
    """Yields the columns of a scenario, which conditions name alike: ``steps.reader/join.p99_ns``; none without one."""
    if summary.sessions is None:
        return
    yield "unawaited", _count("unawaited")
    for name in ("due", "begun", "completed", "failed", "dropped"):
        yield f"sessions.{name}", partial(_sessions, name=name)
    for step in summary.steps:
        shown = sanitize(step.key)
        for name in ("answered", "failed"):
            yield f"steps.{shown}.{name}", partial(_step_count, key=step.key, name=name)
        for percentile in ("50", "99", "max"):
            column = f"steps.{shown}.{percentile if percentile == 'max' else f'p{percentile}'}_ns"
            yield column, partial(_step_time, key=step.key, percentile=percentile)
    for reaction in summary.on:
        for name in ("seen", "gaps", "missed", "repeats", "out_of_order", "stalls"):
            if getattr(reaction, name) is not None:
                yield f"on.{sanitize(reaction.key)}.{name}", partial(_reaction_count, key=reaction.key, name=name)


def _sessions(row: CsvRow, name: str) -> Cell:
    return sum(int(getattr(role, f"sessions_{name}")) for role in row.tally.roles.values())


def _step_count(row: CsvRow, key: str, name: str) -> Cell:
    step = row.tally.steps.get(key)
    if step is None:
        return 0
    return failures_of(step) if name == "failed" else step.answered


def _step_time(row: CsvRow, key: str, percentile: str) -> Cell:
    step = row.tally.steps.get(key)
    if step is None:
        return None
    times = step.response_time_ns
    return times.max if percentile == "max" else times.percentiles((percentile,))[0]


def _reaction_count(row: CsvRow, key: str, name: str) -> Cell:
    reaction = row.tally.reactions.get(key)
    return 0 if reaction is None else int(getattr(reaction, name))


def lines(results: Results) -> Iterator[str]:
    """Yields a header row and the rows of one recording after another; a time of nothing is an empty field."""
    buffer = io.StringIO(newline="")
    # Its own dialect is RFC 4180's, CR LF and all.
    writer = csv.writer(buffer)
    for cells in _rows(results):
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _rows(results: Results) -> Iterator[list[Cell]]:
    columns = columns_of(results)
    yield list(columns)
    for number, recording in enumerate(results.recordings, 1):
        for row in _measured(number, recording):
            yield [cell(row) for cell in columns.values()]


def _measured(number: int, recording: Recording) -> Iterator[CsvRow]:
    is_open, measured_from_ns = 0, None
    for interval in recording.intervals:
        # Of all phases: most sessions open before the measured time.
        is_open += interval.open_delta
        if interval.phase != "measured":
            continue
        if measured_from_ns is None:
            measured_from_ns = interval.from_ns
        tally = interval.tally
        yield CsvRow(number, recording, interval, tally, measured_from_ns, max(0, is_open))


def _seconds(ns: int) -> str:
    whole, rest = divmod(ns // 1_000, 10**6)
    return f"{whole}.{rest:06}"
