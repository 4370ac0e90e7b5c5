"""Generator of a worker's messages: renders templates, draws sizes and reads feeds, in turn over all its connections.

Cost: rendering and encoding a message with a number and eight random characters takes about 1 µs of CPU time
(benchmarks/varying.py). Feeds are read when a row is needed, on the same thread: 0.5 µs for a row of a small feed,
up to 4 µs for a random line of a large one, plus the time of the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import chain, count, islice, repeat
from random import Random
from typing import Protocol

from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard, rotation
from ws_load_test.messages.captured import CAPTURED, Captured
from ws_load_test.messages.feed import BY_CONNECTION, Order, cycle_rows, random_rows, small_rows
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.message import Message
from ws_load_test.messages.publication import PUBLICATION, Publication
from ws_load_test.messages.sizes import random_payloads
from ws_load_test.messages.template import PayloadRenderer, Renderer, Template, template_text
from ws_load_test.messages.template_field import Row
from ws_load_test.messages.trace_context import DEFAULT_TRACE_SHARE, TRACE_CONTEXTS, TraceContexts
from ws_load_test.messages.weighted_order import weighted_round_robin
from ws_load_test.websocket.frames import LARGEST_CONTROL_PAYLOAD

EMPTY_ROW: Row = ()
"""The row of a connection without a feed."""
RECENT_ROWS = 1024
"""Rows remembered for redaction: a target quotes a message, if at all, soon after it was sent."""
_SEED = "ws-load-test"


class FrameEncoding(Protocol):
    """Encoder of payloads."""

    def frame(self, payload: bytes) -> bytes:
        """Encodes one frame."""
        ...


class PayloadStream:
    """The payloads of one session, or of all sessions if none depends on its connection."""

    __slots__ = ("next", "opcode")

    def __init__(self, render_next: Callable[[], bytes], opcode: int) -> None:
        self.next = render_next
        """Renders and returns the next payload. Raises UsageError if a feed's row is broken or a ping is too long."""
        self.opcode = opcode


class FrameBatches:
    """Frames encoded on access, with the interface of a list of batches that were encoded ahead of time."""

    __slots__ = ("_frame", "_next")

    def __init__(self, payloads: PayloadStream, encoder: FrameEncoding) -> None:
        self._next = payloads.next
        self._frame = encoder.frame

    def __getitem__(self, count: int) -> bytes:
        """Renders and encodes the next `count` messages, one frame after another."""
        render_next, encode = self._next, self._frame
        if count == 1:
            return encode(render_next())
        return b"".join([encode(render_next()) for _ in range(count)])


class MessageGenerator:
    """The messages of one worker, shared by its connections."""

    def __init__(self, message: Message, shard: Shard, room_of: Callable[[int], str] | None = None) -> None:
        """Compiles the templates, and opens the feed, of a shard.

        The same shard draws the same random values in every run, so that runs compare; only UUIDs are new each time.

        Args:
            message: Messages of the load.
            shard: The worker's share of the connections.
            room_of: Returns the name of a connection's room, where there are rooms.
        """
        self.message = message
        self.shard = shard
        self._columns = message.feed.columns if message.feed is not None else None
        self._random = Random(f"{_SEED} {shard.index} of {shard.count}")  # noqa: S311 - load, not secrets
        self._values = FieldValues(self._random, self._columns or (), message.environment)
        self.publication = Publication()
        """Values of ``{marker}`` and ``{room}``; the publisher sets both before each message of the load."""
        self._values.bind(PUBLICATION, lambda: self.publication)
        self.captured = Captured()
        """Values of ``{my.NAME}``; a session of a scenario sets its own before each of its messages."""
        self._values.bind(CAPTURED, lambda: self.captured)
        self.traces = TraceContexts(DEFAULT_TRACE_SHARE if message.trace_share is None else message.trace_share)
        """Values of ``{traceparent}``."""
        self._values.bind(TRACE_CONTEXTS, lambda: self.traces)
        self._room_of = room_of
        self._renderers: dict[str, Renderer] = {}
        self._open: list[Generator[Row]] = []
        self._message_rows: Generator[Row] | None = None
        self.next_number: Callable[[], int] = shard.numbers().__next__
        """Returns the number of the worker's next message, unique in the run."""
        self._by_connection = False
        self.recent_rows: deque[Row] = deque(maxlen=RECENT_ROWS)
        """Rows of the latest messages. They can hold secrets, which a target can quote in a close reason."""
        self._render_next = self._compile_messages()
        self.rows: Iterator[Row] = self._feed_rows() if message.feed is not None else repeat(EMPTY_ROW)
        """Rows of the shard's connections, in the order of their numbers, without end."""
        self._shared = None if self._by_connection else self._payloads(0, EMPTY_ROW)

    def payloads(self, connection: int, row: Row = EMPTY_ROW) -> PayloadStream:
        """Returns the payloads of a session; `row` was read from `rows` when the connection was first dialed."""
        return self._shared or self._payloads(connection, row)

    def render(self, template: Template | str, connection: int, row: Row = EMPTY_ROW) -> str:
        """Renders a text of the target, or a first message, for this connection, in its room.

        Raises:
            ValueError: A field is malformed or has no column; plans are checked for that.
        """
        if self._room_of is not None:
            self.publication.room = self._room_of(connection)
        return self._render(template, connection, row)

    def render_target(self, text: str, connection: int, row: Row = EMPTY_ROW) -> str:
        """Renders a text that opens a connection; all of them have the same trace context.

        Raises:
            ValueError: As of `render`.
        """
        self.traces.begin_opening(connection)
        try:
            return self.render(text, connection, row)
        finally:
            self.traces.end_opening()

    def render_publish(self, template: Template | str, publisher: int, row: Row = EMPTY_ROW) -> str:
        """Renders a text of a publish by HTTP, in the room of its message, which `publication` has.

        Raises:
            ValueError: As of `render`.
        """
        return self._render(template, publisher, row)

    def _render(self, template: Template | str, connection: int, row: Row) -> str:
        text = template if isinstance(template, str) else template.text
        renderer = self._renderers.get(text)
        if renderer is None:
            parsed = Template(text, self._columns)
            if parsed.problems:
                raise ValueError(parsed.problems[0])
            renderer = self._renderers[text] = parsed.compile(self._values)
        return renderer(connection, connection, row)

    def close(self) -> None:
        """Closes the feed's files."""
        for rows in self._open:
            rows.close()

    def _payloads(self, connection: int, row: Row) -> PayloadStream:
        render, number = self._render_next, self.next_number
        if self.message.sizes is not None:
            return PayloadStream(
                random_payloads(self.message.sizes, self._random, as_text=self.message.kind != "binary"),
                self.message.opcode,
            )
        if self.message.kind != "ping":
            return PayloadStream(lambda: render(number(), connection, row), self.message.opcode)

        def ping() -> bytes:
            payload = render(number(), connection, row)
            if len(payload) > LARGEST_CONTROL_PAYLOAD:
                raise UsageError(
                    f"--ping: a ping carries at most {LARGEST_CONTROL_PAYLOAD} bytes (RFC 6455, section 5.5), "
                    f"but with its fields filled one has {len(payload)}; shorten the message or the feed's values"
                )
            return payload

        return PayloadStream(ping, self.message.opcode)

    def _compile_messages(self) -> PayloadRenderer:
        """Returns a function that renders the next message, in the order of the weights."""
        message = self.message
        is_template = message.is_template or (False,) * (1 + len(message.alternatives))
        renderers = [
            self.compile_payload(template_text(payload)) if has_fields else _constant(payload)
            for payload, has_fields in zip((message.payload, *message.alternatives), is_template, strict=True)
        ]
        if len(renderers) == 1:
            return renderers[0]
        order = [renderers[index] for index in weighted_round_robin(message.weights)]
        turn = chain.from_iterable(_rotated(order, round_number) for round_number in count()).__next__
        return lambda number, connection, row: turn()(number, connection, row)  # noqa: PLW0108 - turn() differs

    def compile_text(self, template: Template) -> Renderer:
        """Returns a function that renders a text of which the values are the worker's."""
        return template.compile(self._values)

    def compile_payload(self, text: str) -> PayloadRenderer:
        """Returns a function that renders a message of this template."""
        feed = self.message.feed
        template = Template(text, self._columns)
        render = template.compile_bytes(self._values)
        needs_row = any(field.column for field in template.fields)
        by_row = feed is not None and needs_row and feed.order in BY_CONNECTION
        self._by_connection |= by_row or any(field.per_connection for field in template.fields)
        if not needs_row or by_row:
            return render
        if self._message_rows is None:
            self._message_rows = self._feed_rows(feed.order if feed is not None else None)
        rows, remember = self._message_rows, self.recent_rows.append

        def render_next_row(number: int, connection: int, _: Row) -> bytes:
            row = next(rows)
            remember(row)
            return render(number, connection, row)

        return render_next_row

    def small_feed(self) -> list[Row] | None:
        """Returns all rows of a small feed, where each message has a row of its own; else None.

        Raises:
            FeedError: The file cannot be read, or a row has errors.
        """
        feed = self.message.feed
        return None if feed is None or self._message_rows is None else small_rows(feed)

    def take_rows(self, count: int) -> list[Row]:
        """Returns the rows of the next messages, which are made elsewhere; each message has a row of its own.

        Raises:
            FeedError: The file cannot be read, or a row has errors.
        """
        assert self._message_rows is not None
        rows = list(islice(self._message_rows, count))
        self.recent_rows.extend(rows)
        return rows

    def _feed_rows(self, order: Order | None = None) -> Generator[Row]:
        """Opens one reading of the feed: one serves the connections, another the messages of all of them."""
        feed = self.message.feed
        assert feed is not None
        self._open.append(random_rows(feed, self._random) if order == "random" else cycle_rows(feed, self.shard))
        return self._open[-1]


def _rotated(order: list[PayloadRenderer], round_number: int) -> list[PayloadRenderer]:
    """Returns the order of one round of messages.

    Each round begins elsewhere: connections take their turns in order as well, and one would always send the same.
    """
    first = rotation(round_number, len(order))
    return order[first:] + order[:first]


def _constant(payload: bytes) -> PayloadRenderer:
    return lambda _number, _connection, _row: payload
