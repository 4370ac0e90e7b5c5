"""Numbers that grow by one in messages of one kind."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws_load_test.importing.events import Event

FEWEST_NUMBERS = 4
"""Numbers in a row that are no chance."""


def sequence_of(events: list[Event]) -> str:
    """Returns the place of a number that grows by one from message to message; empty for none."""
    if len(events) < FEWEST_NUMBERS:
        return ""
    for value in events[0].content.values:
        if not value.path or not value.text.isdigit():
            continue
        numbers = [
            int(one.text)
            for event in events
            if (one := event.content.value_at(value.path)) is not None and one.text.isdigit()
        ]
        if len(numbers) == len(events) and all(later == earlier + 1 for earlier, later in pairwise(numbers)):
            return f"json:{value.path}"
    return ""
