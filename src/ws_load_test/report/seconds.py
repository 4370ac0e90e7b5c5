"""The measured time, second by second: rows of small columns for the throughput, two percentiles and the faults."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.report.letters import column
from ws_load_test.report.lines import LABEL, NOTHING, WIDTH
from ws_load_test.units import show_count, show_duration, show_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ws_load_test.measure.digest import Digest, Stretch

FEWEST = 3
"""Intervals below which there is no course over time to speak of."""
MOST_COLUMNS = 60
_GAP = 2


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    values: list[float | None]
    show: Callable[[float], str]

    @property
    def range(self) -> str:
        """The lowest and the highest value."""
        values = [value for value in self.values if value is not None]
        if not values:
            return NOTHING
        low, high = self.show(min(values)), self.show(max(values))
        return low if low == high else f"{low} to {high}"


def over_time(digest: Digest, encoding: str) -> list[Text]:
    """Returns the chart of one recording that is long enough.

    Several recordings have none: their seconds may have been the same, or hours apart.
    """
    if len(digest.parts) != 1 or len(digest.parts[0]) < FEWEST:
        return []
    stretches = _whole(digest.parts[0])
    # As many columns as the widest range leaves room for; merging only narrows ranges.
    room = WIDTH - LABEL - _GAP - max(len(row.range) for row in _rows([[one] for one in stretches]))
    together = -(-len(stretches) // min(MOST_COLUMNS, room))
    rows = _rows([stretches[at : at + together] for at in range(0, len(stretches), together)])
    length = show_duration(statistics.median(one.length_ns for one in stretches) * together)
    note = ", its slowest times" if together > 1 else ""
    lines = [Text(f"{'over time':{LABEL}}", style="bold").append(f"one column is {length}{note}", style="not bold dim")]
    for row in rows:
        line = Text(f"{row.label:{LABEL}}")
        highest = max((value for value in row.values if value is not None), default=0)
        for value in row.values:
            share = None if value is None else value / highest if highest else 0
            line.append(column(share, encoding), style="yellow" if row.label == "faults" else "cyan")
        lines.append(line.append(f"{'':{_GAP}}{row.range}", style="default"))
    return lines


def _whole(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Leaves out a beginning or an end that is much shorter than the others: its rate would be chance."""
    usual_ns = statistics.median(one.length_ns for one in stretches)
    return [one for one in stretches if one.length_ns * 2 >= usual_ns and one.length_ns]


def _rows(columns: Sequence[Sequence[Stretch]]) -> list[_Row]:
    rows = [
        _Row("throughput", [_rate_per_s(part) for part in columns], show_rate),
        _Row("50 %", [_slowest(one.response_p50_ns for one in part) for part in columns], show_duration),
        _Row("99 %", [_slowest(one.response_p99_ns for one in part) for part in columns], show_duration),
    ]
    faults: list[float | None] = [sum(one.faults for one in part) for part in columns]
    return [*rows, _Row("faults", faults, show_count)] if any(faults) else rows


def _rate_per_s(stretches: Sequence[Stretch]) -> float:
    return sum(one.answered for one in stretches) * 1e9 / sum(one.length_ns for one in stretches)


def _slowest(times_ns: Iterable[int | None]) -> float | None:
    return max((time_ns for time_ns in times_ns if time_ns is not None), default=None)
