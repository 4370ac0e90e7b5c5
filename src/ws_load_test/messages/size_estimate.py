"""How large varying messages are: known where it can be, estimated from the first of them where not."""

from __future__ import annotations

from random import Random

from ws_load_test.messages.feed import Feed, peek
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.fields import Row
from ws_load_test.messages.template import Template

_MESSAGES = 100
_FAR_APART = 997
"""Sampled numbers of messages are this far apart, so that they are as long as those of a run."""


def estimate_sizes(template: Template, feed: Feed | None) -> tuple[int, float]:
    """The largest payload that a template without problems becomes, and the mean, in bytes.

    Where a feed decides, its first rows are taken for the mean, and twice the longest that they give for the largest.

    Raises:
        FeedError: those rows are broken.
    """
    columns = feed.columns if feed is not None else ()
    rows: list[Row] = peek(feed) if feed is not None else [()]
    render = template.compile(FieldValues(Random(0), columns))  # noqa: S311 - a sample
    sizes = [
        len(render(number * _FAR_APART, number * _FAR_APART, rows[number % len(rows)]).encode())
        for number in range(_MESSAGES)
    ]
    longest = template.longest_bytes
    return 2 * max(sizes) if longest is None else longest, sum(sizes) / len(sizes)
