"""``capacity --markdown``: result of a search, for a pull request or the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.report.exports.markdown import code, prose, table
from ws_load_test.report.terminal.capacity import (
    HEADS,
    generator_of,
    notes_of,
    sentence,
    table_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.capacity_types import CapacitySummary


def lines(summary: CapacitySummary) -> Iterator[str]:
    """Yields the report: the answer, the objectives, the steps and why some of them failed."""
    yield f"### ws-load-test capacity: {prose(sentence(summary))}\n\n"
    yield f"{code(summary.target)}, {prose(summary.started_at)}\n\n"
    yield from (f"- {code(one)}\n" for one in summary.objectives)
    if generator := generator_of(summary):
        yield f"\nGenerator: {prose(generator)}\n"
    if summary.steps:
        yield from table(HEADS, [[prose(cell) for cell in row] for row in table_rows(summary)])
    noted = [(step.number, "; ".join(notes_of(step))) for step in summary.steps]
    notes = [f"- step {number}: {prose(words)}\n" for number, words in noted if words]
    yield from ["\n", *notes] if notes else []
    yield "\n"
