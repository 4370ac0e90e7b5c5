"""``--csv``: a row for each interval of the measured time, after RFC 4180.

The columns are an interface: names stay, new ones come at the end.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.report.results import RESPONSE, SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.recording import Interval, Recording
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.report.results import Results


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One measured interval."""

    number: int
    """Of its recording, from 1."""
    recording: Recording
    interval: Interval
    tally: Tally
    measured_from_ns: int
    """Start of the measured time, from the start of the run."""
    service: Histogram
    open: int
    """Sessions that were open at the interval's end."""


Cell = int | str | None


def _percentile(room: str, percentile: str) -> Callable[[CsvRow], Cell]:
    def cell(row: CsvRow) -> Cell:
        times: Histogram = row.service if room == SERVICE else getattr(row.tally, room)
        return times.max if percentile == "max" else times.percentiles((percentile,))[0]

    return cell


def _count(room: str) -> Callable[[CsvRow], Cell]:
    return lambda row: int(getattr(row.tally, room))


def _share(row: CsvRow) -> Cell:
    share = row.interval.cpu_share
    return None if share is None else f"{share:.4f}"


COLUMNS: dict[str, Callable[[CsvRow], Cell]] = {
    "recording": lambda row: row.number,
    "start_s": lambda row: _seconds(row.interval.from_ns - row.measured_from_ns),
    "length_s": lambda row: _seconds(row.interval.to_ns - row.interval.from_ns),
    "start_unix_s": lambda row: _seconds(row.recording.header.started_ns + row.interval.from_ns),
    "due": _count("due"),
    "sent": _count("sent"),
    "answered": _count("answered"),
    "unanswered": _count("unanswered"),
    "dropped": _count("dropped"),
    "pushed": _count("pushed"),
    "faults": lambda row: row.tally.faults.total(),
    "connections_open": lambda row: row.open,
    "connections_opened": _count("opened"),
    "connections_failed": _count("failed"),
    "connections_lost": _count("lost"),
    "sent_bytes": _count("bytes_sent"),
    "received_bytes": _count("bytes_received"),
    "response_p50_ns": _percentile(RESPONSE, "50"),
    "response_p90_ns": _percentile(RESPONSE, "90"),
    "response_p99_ns": _percentile(RESPONSE, "99"),
    "response_p999_ns": _percentile(RESPONSE, "99.9"),
    "response_max_ns": _percentile(RESPONSE, "max"),
    "service_p50_ns": _percentile(SERVICE, "50"),
    "service_p99_ns": _percentile(SERVICE, "99"),
    "service_max_ns": _percentile(SERVICE, "max"),
    "send_lag_p99_ns": _percentile("send_lag_ns", "99"),
    "send_lag_max_ns": _percentile("send_lag_ns", "max"),
    "connect_p50_ns": _percentile("connect_time_ns", "50"),
    "connect_p99_ns": _percentile("connect_time_ns", "99"),
    "connect_max_ns": _percentile("connect_time_ns", "max"),
    "cpu_share": _share,
}
"""Every column by its name, which ends in its unit; a count has none."""


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
    yield list(COLUMNS)
    for number, recording in enumerate(results.recordings, 1):
        for row in _measured(number, recording, results.service_field(recording)):
            yield [cell(row) for cell in COLUMNS.values()]


def _measured(number: int, recording: Recording, service: str) -> Iterator[CsvRow]:
    is_open, measured_from_ns = 0, None
    for interval in recording.intervals:
        # Of all phases: most sessions open before the measured time.
        is_open += interval.open_delta
        if interval.phase != "measured":
            continue
        if measured_from_ns is None:
            measured_from_ns = interval.from_ns
        tally = interval.tally
        yield CsvRow(number, recording, interval, tally, measured_from_ns, getattr(tally, service), max(0, is_open))


def _seconds(ns: int) -> str:
    whole, rest = divmod(ns // 1_000, 10**6)
    return f"{whole}.{rest:06}"
