"""Sizes of varying messages: exact where the fields determine them, estimated from a sample otherwise."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from ws_load_test.messages.feed import Feed, peek
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.publication import PUBLICATION, SAMPLE_ROOM, Publication
from ws_load_test.messages.template import BYTES_IN_TEXT, Template
from ws_load_test.messages.template_field import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLE_SIZE = 100
"""Messages rendered for the estimate: a few milliseconds' work, and the mean is then near that of a run."""
_NUMBER_STEP = 997
"""Distance of the sampled message numbers, so that they have as many digits as those of a run."""


def estimate_sizes(
    template: Template, feed: Feed | None, room: str = SAMPLE_ROOM, environment: Mapping[str, str] | None = None
) -> tuple[int, float]:
    """Returns the largest and the mean payload of a template without problems, in bytes.

    If a feed decides, the mean is that of its first rows, and the largest is twice the longest of them. ``{room}`` is
    filled with `room`, and ``{env.NAME}`` from `environment`.

    Raises:
        FeedError: Those rows are broken.
    """
    columns = feed.columns if feed is not None else ()
    rows: list[Row] = peek(feed) if feed is not None else [()]
    values = FieldValues(Random(0), columns, environment)  # noqa: S311 - a sample
    values.bind(PUBLICATION, lambda: Publication(room=room))
    render = template.compile(values)
    sizes = [
        len(render(number * _NUMBER_STEP, number * _NUMBER_STEP, rows[number % len(rows)]).encode(errors=BYTES_IN_TEXT))
        for number in range(_SAMPLE_SIZE)
    ]
    max_bytes = template.max_bytes
    return 2 * max(sizes) if max_bytes is None else max_bytes, sum(sizes) / len(sizes)
