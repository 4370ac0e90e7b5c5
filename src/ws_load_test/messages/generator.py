"""Where a worker's messages come from: texts rendered, sizes drawn, feeds read, in turn over all its connections.

What it costs. A message with a number and eight random letters takes about a microsecond of processor time, rendered
and as a frame (benchmarks/varying.py). Feeds are read when a row is needed, on the same thread: from half a microsecond
for a row of a small one to four for a random line of a large one, and as long as the disk takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import count, cycle, repeat
from random import Random
from typing import Protocol

from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages.feed import Order, cycle_rows, random_rows
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.fields import Row
from ws_load_test.messages.message import Message
from ws_load_test.messages.sizes import random_payloads
from ws_load_test.messages.template import PayloadRenderer, Renderer, Template
from ws_load_test.messages.weighted_order import weighted_round_robin
from ws_load_test.websocket.frames import LARGEST_CONTROL_PAYLOAD

EMPTY_ROW: Row = ()
RECENT_ROWS = 1024
_SEED = "ws-load-test"


class FrameEncoding(Protocol):
    """What makes frames of payloads."""

    def frame(self, payload: bytes) -> bytes:
        """One frame."""
        ...


class PayloadStream:
    """The payloads of one session, or of all where none depends on its connection."""

    __slots__ = ("next", "opcode")

    def __init__(self, make: Callable[[], bytes], opcode: int) -> None:
        self.next = make
        """Gives the next payload, rendered now. Raises UsageError when a feed breaks, or a ping grows too long."""
        self.opcode = opcode


class FrameBatches:
    """Frames made when they are asked for; stands in for a list of batches made ahead of time."""

    __slots__ = ("_frame", "_next")

    def __init__(self, payloads: PayloadStream, encoder: FrameEncoding) -> None:
        self._next = payloads.next
        self._frame = encoder.frame

    def __getitem__(self, count: int) -> bytes:
        """The next `count` messages as frames, one after another."""
        make, frame = self._next, self._frame
        if count == 1:
            return frame(make())
        return b"".join([frame(make()) for _ in range(count)])


class MessageGenerator:
    """What one worker sends: opened once, shared by its connections."""

    def __init__(self, message: Message, share: Shard) -> None:
        """Opens the messages of a share.

        The same share draws the same random values in every run, so that runs compare; UUIDs alone are new each time.
        """
        self.message = message
        self.share = share
        self._columns = message.feed.columns if message.feed is not None else None
        self._random = Random(f"{_SEED} {share.index} of {share.count}")  # noqa: S311 - load, not secrets
        self._values = FieldValues(self._random, self._columns or ())
        self._fillers: dict[str, Renderer] = {}
        self._open: list[Generator[Row]] = []
        self._message_rows: Generator[Row] | None = None
        self._number = count(share.index, share.count).__next__
        self._by_connection = False
        self.recent_rows: deque[Row] = deque(maxlen=RECENT_ROWS)
        """What messages were last filled from: secrets perhaps, which a target may quote."""
        self._maker = self._all_in_turn()
        self.rows: Iterator[Row] = self._feed_rows() if message.feed is not None else repeat(EMPTY_ROW)
        """The rows of the share's connections, those with the numbers index, index + of, …, in order, without end."""
        self._shared = None if self._by_connection else self._payloads(0, EMPTY_ROW)

    def payloads(self, connection: int, row: Row = EMPTY_ROW) -> PayloadStream:
        """The payloads of a session of this connection, whose row was taken from `rows` when it was first dialled."""
        return self._shared or self._payloads(connection, row)

    def render(self, template: Template | str, connection: int, row: Row = EMPTY_ROW) -> str:
        """A text of the target or a first message, its fields filled for this connection.

        Raises:
            ValueError: a field is malformed or has no column; plans are checked for that.
        """
        text = template if isinstance(template, str) else template.text
        filler = self._fillers.get(text)
        if filler is None:
            read = Template(text, self._columns)
            if read.problems:
                raise ValueError(read.problems[0])
            filler = self._fillers[text] = read.compile(self._values)
        return filler(connection, connection, row)

    def close(self) -> None:
        """Closes the feed's files."""
        for rows in self._open:
            rows.close()

    def _payloads(self, connection: int, row: Row) -> PayloadStream:
        make, number = self._maker, self._number
        if self.message.sizes is not None:
            return PayloadStream(
                random_payloads(self.message.sizes, self._random, letters=self.message.kind != "binary"),
                self.message.opcode,
            )
        if self.message.kind != "ping":
            return PayloadStream(lambda: make(number(), connection, row), self.message.opcode)

        def ping() -> bytes:
            payload = make(number(), connection, row)
            if len(payload) > LARGEST_CONTROL_PAYLOAD:
                raise UsageError(
                    f"--ping: a ping carries at most {LARGEST_CONTROL_PAYLOAD} bytes (RFC 6455, section 5.5), "
                    f"but with its fields filled one has {len(payload)}; shorten the message or the feed's values"
                )
            return payload

        return PayloadStream(ping, self.message.opcode)

    def _all_in_turn(self) -> PayloadRenderer:
        """What makes the payload of a message, given its number, its connection's and its connection's row."""
        message = self.message
        templated = message.is_template or (False,) * (1 + len(message.alternatives))
        makers = [
            self._rendered(payload.decode()) if has_fields else _fixed(payload)
            for payload, has_fields in zip((message.payload, *message.alternatives), templated, strict=True)
        ]
        if len(makers) == 1:
            return makers[0]
        turn = cycle([makers[number] for number in weighted_round_robin(message.weights)]).__next__
        return lambda number, connection, row: turn()(number, connection, row)  # noqa: PLW0108 - turn() differs

    def _rendered(self, text: str) -> PayloadRenderer:
        feed = self.message.feed
        template = Template(text, self._columns)
        make = template.compile_bytes(self._values)
        needs_row = any(field.column for field in template.fields)
        by_row = feed is not None and needs_row and feed.order == "connection"
        self._by_connection |= by_row or any(field.per_connection for field in template.fields)
        if not needs_row or by_row:
            return make
        if self._message_rows is None:
            self._message_rows = self._feed_rows(feed.order if feed is not None else None)
        rows, remember = self._message_rows, self.recent_rows.append

        def make_of_next(number: int, connection: int, _: Row) -> bytes:
            row = next(rows)
            remember(row)
            return make(number, connection, row)

        return make_of_next

    def _feed_rows(self, order: Order | None = None) -> Generator[Row]:
        """The feed's rows: one of these for connections, another for messages, which all of them share."""
        feed = self.message.feed
        assert feed is not None
        self._open.append(random_rows(feed, self._random) if order == "random" else cycle_rows(feed, self.share))
        return self._open[-1]


def _fixed(payload: bytes) -> PayloadRenderer:
    return lambda _number, _connection, _row: payload
