"""Parts that all charts over time share: places, texts beneath the pointer, notes, shades and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.common.units import format_duration
from ws_load_test.report.html.figures import phase_marks
from ws_load_test.report.html.marks import event_marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.report.html.timeline import TimeBucket, Timeline


def note(course: Timeline) -> str:
    """Returns a note on the length of a column that has several intervals, and on the shade, if there is one."""
    width = f" One column is {format_duration(course.width_ns)}." if course.downsampled else ""
    return width + shade(course)


def shade(course: Timeline) -> str:
    """Returns sentences about the shade and the bands, if there are any."""
    words = " What is shaded was not measured." if _marked(course, 1e9) else ""
    return f"{words} Red bands are disconnect waves, until all sessions were back." if course.bands else words


def middles(columns: Sequence[TimeBucket], unit_ns: float) -> list[float | None]:
    """Returns the middles of columns as places on an axis."""
    return [round((column.from_ns + column.to_ns) / 2 / unit_ns, 4) for column in columns]


def when(column: TimeBucket) -> str:
    """Returns the start and the end of a column."""
    return f"{format_duration(column.from_ns)} to {format_duration(column.to_ns)}"


def texts_of(columns: Sequence[TimeBucket], values: Sequence[str]) -> list[str]:
    """Returns what is shown of each column beneath the pointer."""
    return [f"{value}, {when(column)}" for column, value in zip(columns, values, strict=True)]


def _marked(course: Timeline, unit_ns: float) -> dict[str, Any]:
    """Returns the layout that shades all but the measured time."""
    measured = [column for column in course.columns if column.phase == "measured"]
    if not measured:
        return {}
    return phase_marks(measured[0].from_ns / unit_ns, measured[-1].to_ns / unit_ns, course.end_ns / unit_ns)


def layout_of(course: Timeline, unit_ns: float) -> dict[str, Any]:
    """Returns the layout of a chart over time: what was not measured is shaded, and events are marked."""
    layout, events = _marked(course, unit_ns), event_marks(course, unit_ns)
    if not events:
        return layout
    return {"shapes": [*layout.get("shapes", ()), *events["shapes"]], "annotations": events["annotations"]}
