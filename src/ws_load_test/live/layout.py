"""Page of the live view: the state of a run drawn as lines that fit a terminal of any size.

Each line has a rank. Where the terminal has too few rows, the lines of the highest rank are left out first; where it
has too few columns, a line loses its parts from the right, which are the less important ones. Nothing ever wraps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.common.sanitize import sanitize
from ws_load_test.live.lines import Line, Part, Viewport, cut
from ws_load_test.live.rows.problems import condition_rows, fault_rows, generator_rows, lost_worker_rows
from ws_load_test.live.rows.progress import head_rows
from ws_load_test.live.rows.scenario import reaction_rows, session_rows, step_rows
from ws_load_test.live.rows.times import histogram_rows, time_rows
from ws_load_test.live.rows.traffic import command_rows, connection_rows, delivery_rows, message_rows, wave_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.live.run_state import RunState

MIN_COLUMNS = 20
"""Fewest columns that lines are made for; a narrower terminal shows their beginnings."""
MAX_NOTES = 5
"""Most log messages that are shown, the last ones: enough for the end of a run without hiding it."""
CHARTS = 2
"""Charts over time that grow with the terminal: rates and p99; connections are mostly all open, a full block."""
MAX_CHART_ROWS = 5
"""Most rows of a chart: eighths of a row make 40 steps, more than a reader can tell apart."""


def render(state: RunState, viewport: Viewport, *, since_ns: int = 0, notes: Sequence[Part] = ()) -> list[Text]:
    """Returns the lines of a page: no more than the viewport has rows, none wider than it, and each with its styles.

    Args:
        state: State of the run.
        viewport: Size and encoding of the terminal.
        since_ns: Time since the end of the last interval.
        notes: Log messages with their styles, the oldest first.
    """
    terminal, viewport = viewport, replace(viewport, width=max(viewport.width, MIN_COLUMNS))
    now_ns = state.to_ns + since_ns
    lines = _lines(state, viewport, now_ns, notes)
    # The number of lines that do not change with the height of charts decides how high these can be.
    spare = viewport.height - len(lines)
    if spare >= CHARTS:
        rows = min(MAX_CHART_ROWS, 1 + spare // CHARTS)
        lines = _lines(state, replace(viewport, chart_rows=rows), now_ns, notes)
        lines += histogram_rows(state, viewport, viewport.height - len(lines))
    while len(lines) > max(1, viewport.height):
        # The last line of the highest rank: among faults that is the rarest kind.
        highest = max(line.rank for line in lines)
        del lines[max(index for index, line in enumerate(lines) if line.rank == highest)]
    return [cut(line.text, terminal) for line in lines]


def _lines(state: RunState, viewport: Viewport, now_ns: int, notes: Sequence[Part]) -> list[Line]:
    return [
        *head_rows(state, viewport, now_ns),
        Line(9, Text()),
        *connection_rows(state, viewport, now_ns),
        *wave_rows(state, viewport),
        *command_rows(state, viewport),
        *message_rows(state, viewport),
        *delivery_rows(state, viewport),
        *session_rows(state, viewport),
        *reaction_rows(state, viewport),
        Line(9, Text()),
        *time_rows(state, viewport),
        *step_rows(state, viewport),
        *condition_rows(state, viewport),
        Line(10, Text()),
        *fault_rows(state, viewport),
        *lost_worker_rows(state, viewport),
        *generator_rows(state, viewport),
        *_notes(notes),
    ]


def _notes(notes: Sequence[Part]) -> list[Line]:
    lines = [Line(1 if not age else 5, Text(sanitize(text), style)) for age, (text, style) in enumerate(notes[::-1])]
    return lines[:MAX_NOTES][::-1]
