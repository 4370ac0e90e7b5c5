"""``capacity --markdown``: result of a search, for a pull request or the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.report.exports.markdown import code, prose, table
from ws_load_test.report.terminal.capacity import (
    HEADS,
    notes_of,
    sentence,
    table_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yields the report: the answer, the objectives, the steps and why some of them failed."""
    yield f"### ws-load-test capacity: {prose(sentence(facts))}\n\n"
    yield f"{code(facts['target'])}, {prose(facts['started_at'])}\n\n"
    yield from (f"- {code(one)}\n" for one in facts["objectives"])
    if facts["steps"]:
        yield from table(HEADS, [[prose(cell) for cell in row] for row in table_rows(facts)])
    noted = [(step["number"], "; ".join(notes_of(step))) for step in facts["steps"]]
    notes = [f"- step {number}: {prose(words)}\n" for number, words in noted if words]
    yield from ["\n", *notes] if notes else []
    yield "\n"
