"""Charts of a run over time, as rows of small columns: replies and their times, and opened sessions."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.aggregate import max_known
from ws_load_test.common.units import format_count, format_duration, format_rate
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.terminal.glyphs import spark
from ws_load_test.report.terminal.layout import LABEL, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.analysis.aggregate import Aggregate, ConnectInterval, IntervalStats

FEWEST = 3
"""Intervals that a chart needs: two have no course over time."""
MOST_COLUMNS = 60
"""Columns of a chart, at most: the label and the range beside it take the other 20."""
FEWEST_OPENINGS = 2
"""Columns with an opened session that a chart needs: one has no course over time."""
MOST_OPENINGS = 40
"""Columns of the chart of opened sessions, at most: its longest range takes the rest."""
_GAP = 2
"""Spaces before the range."""


@dataclass(frozen=True, slots=True)
class _SparklineRow:
    label: str
    values: Sequence[float | None]
    show: Callable[[float], str]

    @property
    def range(self) -> str:
        """The lowest and the highest value."""
        values = [value for value in self.values if value is not None]
        if not values:
            return NO_VALUE
        low, high = self.show(min(values)), self.show(max(values))
        return low if low == high else f"{low} to {high}"


def over_time(aggregated: Aggregate, encoding: str, *, awaited: bool = True) -> list[Text]:
    """Returns the chart of one recording that is long enough; of messages sent where no reply was `awaited`.

    Several recordings have none: their seconds can be the same, or hours apart.
    """
    rows_of = _rows if awaited else _rows_unawaited
    if len(aggregated.recordings) != 1 or len(aggregated.recordings[0]) < FEWEST:
        return []
    stretches = _full_length(aggregated.recordings[0])
    # As many columns as the widest range leaves room for; merging only narrows ranges.
    room = WIDTH - LABEL - _GAP - max(len(row.range) for row in rows_of([[one] for one in stretches]))
    together = -(-len(stretches) // min(MOST_COLUMNS, room))
    rows = rows_of([stretches[at : at + together] for at in range(0, len(stretches), together)])
    length = format_duration(statistics.median(one.length_ns for one in stretches) * together)
    note = ", its highest times" if together > 1 else ""
    return _chart("over time", f"one column is {length}{note}", rows, encoding)


def opened_over_time(aggregated: Aggregate, encoding: str) -> list[Text]:
    """Returns the chart of opened sessions, from the first to the last of one recording.

    There is none where all opened in one interval, and none of several recordings.
    """
    if len(aggregated.connect_intervals) != 1 or len(aggregated.connect_intervals[0]) < FEWEST_OPENINGS:
        return []
    openings = aggregated.connect_intervals[0]
    from_ns = openings[0].from_ns
    span_ns = max(1, openings[-1].to_ns - from_ns)
    usual_ns = max(1, *(one.to_ns - one.from_ns for one in openings))
    # Not by intervals: a change of phase cuts one short, and those without a session are not there.
    count = max(1, min(MOST_OPENINGS, round(span_ns / usual_ns)))
    columns: list[list[ConnectInterval]] = [[] for _ in range(count)]
    for one in openings:
        middle_ns = (one.from_ns + one.to_ns) // 2 - from_ns
        columns[min(count - 1, middle_ns * count // span_ns)].append(one)
    if sum(map(bool, columns)) < FEWEST_OPENINGS:
        return []
    rows = [
        _SparklineRow("opened", [sum(one.opened for one in part) for part in columns], format_count),
        _SparklineRow("p50", [max_known(*(one.connect_p50_ns for one in part)) for part in columns], format_duration),
        _SparklineRow("p99", [max_known(*(one.connect_p99_ns for one in part)) for part in columns], format_duration),
    ]
    note = f"opened over time, and their connect times; one column is {format_duration(span_ns / count)}"
    return _chart("sessions", note, rows, encoding)


def _chart(title: str, note: str, rows: Sequence[_SparklineRow], encoding: str) -> list[Text]:
    lines = [Text(f"{title:{LABEL}}", style="bold").append(note, style="not bold dim")]
    for row in rows:
        line = Text(f"{row.label:{LABEL}}")
        highest = max((value for value in row.values if value is not None), default=0)
        for value in row.values:
            share = None if value is None else value / highest if highest else 0
            line.append(spark(share, encoding), style="yellow" if row.label == "faults" else "cyan")
        lines.append(line.append(f"{'':{_GAP}}{row.range}", style="default"))
    return lines


def _full_length(stretches: Sequence[IntervalStats]) -> list[IntervalStats]:
    """Leaves out a beginning or an end that is much shorter than the others: its rate would be chance."""
    usual_ns = statistics.median(one.length_ns for one in stretches)
    return [one for one in stretches if one.length_ns * 2 >= usual_ns and one.length_ns]


def _rows(columns: Sequence[Sequence[IntervalStats]]) -> list[_SparklineRow]:
    rows = [
        _SparklineRow("throughput", [_rate_per_s(part) for part in columns], format_rate),
        _SparklineRow("p50", [max_known(*(one.response_p50_ns for one in part)) for part in columns], format_duration),
        _SparklineRow("p99", [max_known(*(one.response_p99_ns for one in part)) for part in columns], format_duration),
    ]
    return rows + _faults(columns)


def _rows_unawaited(columns: Sequence[Sequence[IntervalStats]]) -> list[_SparklineRow]:
    rows = [
        _SparklineRow("sent", [_per_s(part, [one.sent for one in part]) for part in columns], format_rate),
        _SparklineRow("pushed", [_per_s(part, [one.pushed for one in part]) for part in columns], format_rate),
        _SparklineRow(
            "lag p99", [max_known(*(one.send_lag_p99_ns for one in part)) for part in columns], format_duration
        ),
    ]
    return [row for row in rows if any(row.values)] + _faults(columns)


def _faults(columns: Sequence[Sequence[IntervalStats]]) -> list[_SparklineRow]:
    faults: list[float | None] = [sum(one.faults for one in part) for part in columns]
    return [_SparklineRow("faults", faults, format_count)] if any(faults) else []


def _rate_per_s(stretches: Sequence[IntervalStats]) -> float:
    return _per_s(stretches, [one.answered for one in stretches])


def _per_s(stretches: Sequence[IntervalStats], counts: Sequence[int]) -> float:
    return sum(counts) * 1e9 / sum(one.length_ns for one in stretches)
