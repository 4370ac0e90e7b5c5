"""``--hdr``: an interval log of HdrHistogram, which HistogramLogProcessor and its relatives read.

The format is version 1.3, as HistogramLogWriter of the Java library documents it: comments, a legend, and one line for
each interval with its start (seconds after the base time), its length (seconds), its longest time (ms) and its
histogram (ns, in the standard V2 encoding).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ws_load_test.common.sanitize import sanitize
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.report.results import RESPONSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.metrics.recording import Interval
    from ws_load_test.report.results import Results

_LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


def lines(results: Results) -> Iterator[str]:
    """Yields the log: every measured interval, and what was answered after them, in order of time.

    Several recordings share one log, since a reader stops at the first line behind the range that it was asked for;
    adding its lines up gives the histograms of the summary.
    """
    base_ns = results.started_ns
    base_s = _decimal(base_ns // 1_000, 6)
    started = datetime.fromtimestamp(base_ns // 10**9, UTC)
    yield f"#[Logged with {sanitize(results.summary.tool)}]\n"
    yield f"#[Target: {sanitize(results.summary.target)}]\n"
    yield "#[Histogram log format version 1.3]\n"
    yield f"#[StartTime: {base_s} (seconds since epoch), {started:%a %b %d %H:%M:%S} UTC {started:%Y}]\n"
    yield f"#[BaseTime: {base_s} (seconds since epoch)]\n"
    yield "#[Histograms are in nanoseconds, Interval_Max is in milliseconds]\n"
    yield _LEGEND + "\n"
    tagged = any(map(results.has_service_times, results.recordings))
    for start_ns, interval in _in_order(results):
        if tagged:
            yield from _line("Tag=response,", start_ns - base_ns, interval, RESPONSE)
            yield from _line("Tag=service,", start_ns - base_ns, interval, interval.service_field)
        else:
            yield from _line("", start_ns - base_ns, interval, RESPONSE)


def _in_order(results: Results) -> Iterator[tuple[int, Interval]]:
    """Yields each interval's start in ns since 1970, and the interval."""
    found: list[tuple[int, Interval]] = []
    for recording in results.recordings:
        started_ns = recording.header.started_ns
        found += ((started_ns + interval.from_ns, interval) for interval in recording.intervals)
    yield from sorted(found, key=lambda entry: entry[0])


def _line(tag: str, start_ns: int, interval: Interval, name: str) -> Iterator[str]:
    recorded: dict[str, Any] | None = interval.encoded_tally.get(name)
    if recorded is None and interval.phase != "measured":
        return
    # Encoded anew and not copied: text of a recording could hold a line feed.
    histogram = Histogram() if recorded is None else Histogram.from_record(recorded)
    start_us, end_us = start_ns // 1_000, (start_ns + interval.to_ns - interval.from_ns) // 1_000
    times = f"{_decimal(start_us, 6)},{_decimal(end_us - start_us, 6)},{_decimal(histogram.max or 0, 6)}"
    yield f"{tag}{times},{histogram.encode()}\n"


def _decimal(amount: int, places: int) -> str:
    """Returns an amount divided by a power of ten, without the rounding of a double."""
    whole, rest = divmod(amount, 10**places)
    return f"{whole}.{rest:0{places}}"
