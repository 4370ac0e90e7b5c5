"""Rows of a feed for the compiled loop: all of a small feed, the next of a large one, or those of the connections."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING

from ws_load_test.engine.native.reactor import MessageSource
from ws_load_test.engine.native.rules import OF_CONNECTION, source_of
from ws_load_test.messages.fields import JsonFeedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.common.sharding import Shard
    from ws_load_test.messages.generator import MessageGenerator
    from ws_load_test.messages.template_field import Row

ROWS_AT_ONCE = 64
"""Rows of a large feed that are read together: reading them takes up to 0.3 ms, for which messages wait."""


class NativeMessages:
    """The messages of one worker, which the compiled loop makes, and the rows of the feed that it fills them from."""

    def __init__(self, generator: MessageGenerator, share: Shard, row_of: Callable[[int], Row]) -> None:
        """Takes what reads the feed, and what returns the row of a connection.

        Raises:
            UsageError: The feed cannot be read.
        """
        message = generator.message
        self._generator, self._share, self._row_of = generator, share, row_of
        self._small = generator.small_feed() or []
        made = source_of(message, share, feed_is_small=bool(self._small))
        columns = () if message.feed is None else message.feed.columns
        self._readers = [(columns.index(one.column), isinstance(one, JsonFeedColumn)) for one in made.columns]
        self._is_by_connection = made.row_order == OF_CONNECTION
        self._connections = 0
        """Connections whose rows the loop has."""
        self.source = MessageSource(made, self._read_on)
        if self._small:
            self._add(self._small)

    def add_row_of(self, number: int) -> None:
        """Hands over the rows of the connections to this one, where a message has that of its connection."""
        while self._is_by_connection and self._connections <= number // self._share.count:
            self._add([self._row_of(self._share.global_index(self._connections))])
            self._connections += 1

    def recent_rows(self) -> list[Row]:
        """Returns the rows of the latest messages, where each has a row of its own."""
        return [self._small[number] for number in self.source.recent_rows()]

    def _read_on(self) -> None:
        self._add(self._generator.take_rows(ROWS_AT_ONCE))

    def _add(self, rows: Sequence[Row]) -> None:
        values = [
            (json.dumps(row[place]) if quotes else row[place]).encode()
            for row in rows
            for place, quotes in self._readers
        ]
        self.source.add_rows(b"".join(values), array("Q", map(len, values)).tobytes())
