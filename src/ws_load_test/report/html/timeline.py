"""Course of one recording over time: its intervals merged to as many columns as a chart can show.

Merging is exact: counts are added and histograms merged, so that the percentiles of a column are those of
all its replies. Each interval is read once, and only the histograms that are drawn are decoded.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import NS_PER_UNIT
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.scenario_metrics import part_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ws_load_test.metrics.recording import Interval, Recording

MOST_COLUMNS = 300
"""Columns of a chart, at most: each has a few pixels then, and the page of an hour stays small."""
FEWEST = 3
"""Columns that a chart needs: two have no course over time."""
_ROUND_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600)
"""Lengths of a column in seconds, where one interval is too short."""
_STEP_NS = 10_000_000
"""Interval lengths are rounded to this: a second that took some ms longer is a second."""
_COUNTS = (
    *("sent", "answered", "dropped", "unanswered", "pushed", "opened", "failed", "lost"),
    *("deliveries_expected", "deliveries"),
)
"""Counts of a tally that charts show."""
_TIMES = (
    *("response_time_ns", "send_lag_ns", "loop_lag_ns", "first_time_ns", "gap_ns"),
    *("delivery_time_ns", "last_time_ns", "spread_ns"),
)
"""Times of a tally that charts show."""


@dataclass(slots=True)
class TimeBucket:
    """Some intervals of one phase that follow each other."""

    from_ns: int
    """Start of the column, from the start of the run."""
    to_ns: int
    phase: str
    counts: Counter[str] = field(default_factory=Counter)
    """Messages and sessions, by their names in a tally; warm-up and misbehaving clients included."""
    open: int = 0
    """Sessions that were open at its end."""
    lowest_open: int = 0
    """Fewest sessions that were open at an instant of it."""
    faults: Counter[str] = field(default_factory=Counter)
    response_time_ns: Histogram = field(default_factory=Histogram)
    send_lag_ns: Histogram = field(default_factory=Histogram)
    loop_lag_ns: Histogram = field(default_factory=Histogram)
    first_time_ns: Histogram = field(default_factory=Histogram)
    """Times from when a message was due to the first message of its streamed answer, or to its first delivery."""
    gap_ns: Histogram = field(default_factory=Histogram)
    """Times between two messages of an answer."""
    delivery_time_ns: Histogram = field(default_factory=Histogram)
    """Times from when a message was due to each delivery of it, in a fan-out."""
    last_time_ns: Histogram = field(default_factory=Histogram)
    """Times to the last delivery of each publish."""
    spread_ns: Histogram = field(default_factory=Histogram)
    """Times from the first to the last delivery of each publish."""
    delivery_groups: Counter[str] = field(default_factory=Counter)
    """Timed deliveries by room or group of subscribers."""
    delivery_group_time_us: Counter[str] = field(default_factory=Counter)
    """Sum of their delivery times, by the same."""
    step_times_ns: dict[str, Histogram] = field(default_factory=dict)
    """Response times of each step of a scenario, by its key."""
    sessions_failed: Counter[str] = field(default_factory=Counter)
    """Sessions of a scenario that failed, by the key of the step at which they did."""
    cpu_ns: Counter[int] = field(default_factory=Counter)
    """Processor time, by worker."""
    wall_ns: Counter[int] = field(default_factory=Counter)
    """Time that passed, by worker."""

    @property
    def length_ns(self) -> int:
        """Length of the column."""
        return self.to_ns - self.from_ns

    def per_s(self, name: str) -> float:
        """Returns a count as a rate, of a column that has a length."""
        return self.counts[name] * 1e9 / self.length_ns


@dataclass(frozen=True, slots=True)
class Timeline:
    """One recording from its start to its end."""

    columns: tuple[TimeBucket, ...]
    width_ns: int
    """Length of most columns."""
    downsampled: bool
    """True where a column has several intervals."""
    events: tuple[tuple[int, str], ...] = ()
    """Instants from the start of the run, and what happened then in words."""
    bands: tuple[tuple[int, int], ...] = ()
    """Beginnings and ends, from the start of the run, of times that charts shade: those of disconnect waves."""

    def with_events(self, events: Iterable[tuple[int, str]], bands: Iterable[tuple[int, int]] = ()) -> Timeline:
        """Returns the same course with events that its charts mark, and times that they shade."""
        return replace(self, events=tuple(events), bands=tuple(bands))

    @property
    def end_ns(self) -> int:
        """The end of the last column, from the start of the run."""
        return max((column.to_ns for column in self.columns), default=0)

    @property
    def load(self) -> list[TimeBucket]:
        """The columns under load, warm-up included."""
        return [column for column in self.columns if column.phase in ("warmup", "measured")]

    @property
    def whole(self) -> list[TimeBucket]:
        """Columns under load that are long enough for a rate: that of a short one would be chance."""
        return [column for column in self.load if column.length_ns * 2 >= self.width_ns and column.length_ns]

    def start_ns(self, *phases: str) -> int | None:
        """Returns the start of the first column of these phases; None where there was none."""
        return min((column.from_ns for column in self.columns if column.phase in phases), default=None)


def course(recording: Recording) -> Timeline:
    """Returns the course of a recording.

    Raises:
        ValueError: A histogram cannot be read; never for a recording that `read_recording` returned.
    """
    intervals = [one for one in recording.intervals if one.to_ns > one.from_ns or one.encoded_tally]
    usual_ns = int(statistics.median(one.to_ns - one.from_ns for one in intervals)) if intervals else 0
    if usual_ns > _STEP_NS:
        # A second that took a little longer is a second.
        usual_ns = round(usual_ns / _STEP_NS) * _STEP_NS
    length_ns = max((one.to_ns for one in intervals), default=0)
    width_ns = _width_ns(length_ns, usual_ns)
    columns: list[TimeBucket] = []
    is_open, last = 0, None
    for interval in intervals:
        # A boundary of the columns, or of the phases: what is measured is not mixed with what is not.
        key = (interval.phase, (interval.from_ns + usual_ns // 2) // max(1, width_ns))
        if key != last:
            columns.append(TimeBucket(interval.from_ns, interval.to_ns, interval.phase))
            last = key
            columns[-1].lowest_open = max(0, is_open)
        _add(columns[-1], interval)
        lowest = is_open - interval.encoded_tally.get("open_dip", 0)
        is_open += interval.open_delta
        columns[-1].open = max(0, is_open)
        columns[-1].lowest_open = max(0, min(columns[-1].lowest_open, lowest, is_open))
    return Timeline(tuple(columns), width_ns, width_ns > usual_ns * 1.5)


def _width_ns(length_ns: int, usual_ns: int) -> int:
    """Returns the length of a column: that of one interval, or a round number of seconds."""
    least_ns = length_ns / MOST_COLUMNS
    if usual_ns >= least_ns:
        return usual_ns
    days = (86_400 * day for day in range(1, 400))
    seconds = next(s for s in (*_ROUND_S, *days) if s * NS_PER_UNIT["s"] >= max(least_ns, usual_ns))
    return seconds * NS_PER_UNIT["s"]


def _add(column: TimeBucket, interval: Interval) -> None:
    record = interval.encoded_tally
    column.to_ns = interval.to_ns
    for part in (record, record.get("misbehaving", {})):
        for name in _COUNTS:
            column.counts[name] += part.get(name, 0)
        column.faults.update(part.get("faults", {}))
    for name in ("sent", "answered"):
        column.counts[name] += record.get(f"warmup_{name}", 0)
    column.delivery_groups.update(record.get("delivery_groups", {}))
    column.delivery_group_time_us.update(record.get("delivery_group_time_us", {}))
    for name in _TIMES:
        if name in record:
            getattr(column, name).merge(Histogram.from_record(record[name]))
    _add_scenario(column, record)
    for load in interval.workers:
        column.cpu_ns[load.worker] += load.cpu_ns
        column.wall_ns[load.worker] += load.wall_ns


def _add_scenario(column: TimeBucket, record: dict[str, Any]) -> None:
    for key, step in record.get("steps", {}).items():
        if "response_time_ns" in step:
            times = column.step_times_ns.setdefault(key, Histogram())
            times.merge(Histogram.from_record(step["response_time_ns"]))
    for name, role in record.get("roles", {}).items():
        for step, count in role.get("failed_at", {}).items():
            column.sessions_failed[part_key(name, step)] += count


def all_of(columns: Iterable[TimeBucket], name: str) -> Histogram:
    """Returns the histograms of columns as one."""
    total = Histogram()
    for column in columns:
        total.merge(getattr(column, name))
    return total


def edges_ns(columns: Sequence[TimeBucket]) -> list[int]:
    """Returns the starts of columns, and the end of the last one."""
    return [*(column.from_ns for column in columns), columns[-1].to_ns] if columns else []


def histogram_of(recording: Recording, name: str) -> Histogram:
    """Returns one histogram of a whole recording."""
    total = Histogram()
    found: Iterable[Any] = (interval.encoded_tally.get(name) for interval in recording.intervals)
    for data in found:
        if data is not None:
            total.merge(Histogram.from_record(data))
    return total
