"""Feeds: files of rows, read as they are needed and kept in memory only if small.

Formats: CSV (RFC 4180; the first line names the columns, and quotes let a row span several lines) and JSON lines (one
object a line; the keys of the first are the columns). Blank lines are skipped. Each worker reads the file twice in
parallel, once for its connections and once for its messages.

Errors name the file and the line, never the contents of the line, which can be a secret.
"""

from __future__ import annotations

import csv
from codecs import BOM_UTF8, BOM_UTF32_LE
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import count, islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from random import Random
from typing import BinaryIO, Literal, Self, TypeVar

import msgspec

from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.common.text_files import encoding_of_mark
from ws_load_test.messages.template_field import Row

T = TypeVar("T")
Order = Literal["round-robin", "random", "connection", "connection-shared"]
ORDERS: tuple[Order, ...] = ("round-robin", "random", "connection", "connection-shared")
BY_CONNECTION: tuple[Order, ...] = ("connection", "connection-shared")
"""Orders by which all messages of a connection use one row; the second lets connections share rows."""
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
SMALL_BYTES = 1 << 20
"""Bytes of the largest feed that is kept in memory, and checked whole with the plan: 1 MiB takes milliseconds."""
LONGEST_LINE = 16 << 20
"""Bytes of the longest line, 16 MiB: a file without line ends must not fill the memory."""
EVERYTHING = Shard(0, 1)
_PEEKED_ROWS = 100
"""Rows read to estimate sizes."""
_BLANK_LINE_ATTEMPTS = 1000
"""Random places at which a line with contents is looked for, before the feed counts as blank."""


class FeedError(UsageError):
    """A feed cannot be read, or has errors."""

    def __init__(self, text: str) -> None:
        super().__init__(f"--feed: {text}")
        self.text = text
        """The sentence, without the option."""


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rows, and the order in which messages use them."""

    path: str
    """Name of the file."""
    format: Literal["csv", "json"]
    """Rows with a header line of columns, or a JSON object on each line."""
    columns: tuple[str, ...]
    """Every column, in the order of the file."""
    order: Order = "round-robin"
    """Row of the next message: the next one, a random one, or the one of the connection, its own or shared."""
    used: tuple[str, ...] = ()
    """Columns that fields name: every row must have them. Others are empty if a JSON object lacks them."""

    def describe(self) -> str:
        """Describes the feed in a phrase."""
        kind = "CSV" if self.format == "csv" else "JSON lines"
        columns = f"{len(self.columns)} column{'' if len(self.columns) == 1 else 's'}"
        orders = {
            "round-robin": "a row for each message in turn, from the first again after the last",
            "random": "a random row for each message",
            "connection": "a row of its own for each connection",
            "connection-shared": "a row for each connection in turn, from the first again after the last",
        }
        return f"{self.path}, {kind} of {columns}, {orders[self.order]}"


def inspect(path: str, order: Order = "round-robin") -> Feed:
    """Determines format and columns from the beginning of the file.

    Raises:
        FeedError: The file cannot be read, names no columns, has no rows, or its beginning has errors.
    """
    if not Path(path).is_file():
        raise FeedError(
            f'"{path}" is not a file' if Path(path).exists() else f'cannot read "{path}": there is no such file'
        )
    file_format: Literal["csv", "json"] = "json" if Path(path).suffix.lower() in JSON_SUFFIXES else "csv"
    with FeedReader(Feed(path, file_format, ())) as reader:
        feed = Feed(path, file_format, reader.columns(), order)
    for _ in islice(cycle_rows(feed), 1):
        pass
    return feed


def count_rows_to(feed: Feed, most: int) -> int:
    """Returns the number of rows, or `most` where there are more; reads no further.

    Raises:
        FeedError: The file cannot be read, or a row has errors.
    """
    with FeedReader(feed) as reader:
        return sum(1 for _ in islice(reader.rows(), most))


def peek(feed: Feed) -> list[Row]:
    """Returns the first rows."""
    with FeedReader(feed) as reader:
        return list(islice(reader.rows(), _PEEKED_ROWS))


def small_rows(feed: Feed) -> list[Row] | None:
    """Returns all rows of a feed that is small enough to be kept in memory; else None.

    Raises:
        FeedError: The file cannot be read, has no rows, or a row has errors.
    """
    with FeedReader(feed) as reader:
        return reader.all_rows() if reader.size_bytes <= SMALL_BYTES else None


def cycle_rows(feed: Feed, shard: Shard = EVERYTHING) -> Generator[Row]:
    """Yields the rows of a shard without end: message or connection k gets row k modulo the number of rows.

    Raises:
        FeedError: The file cannot be read, has no rows, or a row has errors.
    """
    with FeedReader(feed) as reader:
        if reader.size_bytes <= SMALL_BYTES:
            kept = reader.all_rows()
            for number in shard.numbers():
                yield kept[number % len(kept)]
    position = read_before = 0
    while True:
        with FeedReader(feed) as reader:
            before = read_before
            for row in reader.rows(shard.global_index(later) - before for later in count(position)):
                yield row
                position += 1
            read_before += reader.count_rows()


def random_rows(feed: Feed, random: Random) -> Generator[Row]:
    """Yields random rows without end: all equally likely in a small feed, else the next line after a random place.

    In a larger file, a row after a long line is therefore drawn more often than one after a short line, and every row
    must be one line.

    Raises:
        FeedError: The file cannot be read, has no rows, or a row has errors.
    """
    with FeedReader(feed) as reader:
        if reader.size_bytes <= SMALL_BYTES:
            kept = reader.all_rows()
            while True:
                yield kept[int(random.random() * len(kept))]
        reader.columns()
        start = reader.position()
        with mmap(reader.file.fileno(), 0, access=ACCESS_READ) as memory:
            while True:
                begin, line = _line_after(memory, start, random)
                if not line:
                    raise FeedError(f'"{feed.path}" has hardly anything but blank lines')
                yield reader.row(begin, line)


def _pick(items: Iterator[T], numbers: Iterable[int] | None) -> Iterator[T]:
    if numbers is None:
        yield from items
        return
    passed = 0
    for number in numbers:
        found = next(islice(items, number - passed, None), None)
        if found is None:
            return
        passed = number + 1
        yield found


def _line_after(memory: mmap, start: int, random: Random) -> tuple[int, bytes]:
    """Returns the offset and the contents of the next whole line after a random place; empty if all are blank."""
    for _ in range(_BLANK_LINE_ATTEMPTS):
        begin = memory.find(b"\n", start + int(random.random() * (len(memory) - start))) + 1
        if begin in {0, len(memory)}:
            begin = start
        end = memory.find(b"\n", begin, begin + LONGEST_LINE)
        line = memory[begin : end if end >= 0 else begin + LONGEST_LINE]
        if line.strip():
            return begin, line
    return start, b""


class FeedReader:
    """One pass over a feed's file, from its beginning."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._width = len(feed.columns)
        self._row_count = count()
        try:
            self.file: BinaryIO = Path(feed.path).open("rb")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise FeedError(f'cannot read "{feed.path}": {error.strerror}') from None
        self.size_bytes = Path(feed.path).stat().st_size
        start = self.file.read(len(BOM_UTF32_LE))
        if (other := encoding_of_mark(start)) is not None:
            self.file.close()
            raise FeedError(f'"{feed.path}" is {other} text; save it as UTF-8')
        self.file.seek(len(BOM_UTF8) if start.startswith(BOM_UTF8) else 0)
        self._lines: Iterator[bytes] = iter(partial(self.file.readline, LONGEST_LINE), b"")
        self._csv = csv.reader(map(bytes.decode, self._lines), strict=True)
        self._line: list[str] = []
        """The line that `row` parses next. Making a CSV reader for each line would take longer than parsing it."""
        self._csv_of_line = csv.reader(iter(self._line.pop, None), strict=True)
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._row_begins = 0
        """Byte at which the last row of JSON that `rows` read begins."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self.file.tell()

    def columns(self) -> tuple[str, ...]:
        """Returns the names of the columns; reads the header of CSV."""
        if self.feed.format == "json":
            before = self.position()
            line = next(filter(bytes.strip, self._lines), None)
            if line is None:
                raise FeedError(f'"{self.feed.path}" is empty; write an object a line')
            begin = self.position() - len(line)
            keys = tuple(self._object(begin, line))
            if not keys:
                raise self._wrong(self._line_at(begin), "holds no values; write an object with a key for each column")
            self.file.seek(before)
            return keys
        try:
            header = next(filter(None, self._csv), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken_csv(error) from None
        if header is None:
            raise FeedError(f'"{self.feed.path}" is empty; its first line names the columns')
        columns = tuple(name.strip() for name in header)
        names = [name for name in columns if name]
        if len(set(names)) != len(names) or not names:
            problem = "names a column twice" if names else "names no columns"
            raise self._wrong(self._csv.line_num, problem)
        return columns

    def rows(self, numbers: Iterable[int] | None = None) -> Generator[Row]:
        """Yields the rows with these numbers, which rise from 0, to the end of the file; None: all rows."""
        if self.feed.format == "json":
            lines = zip(filter(bytes.strip, self._lines), self._row_count, strict=False)
            for line, _ in _pick(lines, numbers):
                self._row_begins = self.position() - len(line)
                yield self._json_row(self._row_begins, line)
            return
        self.columns()
        rows = zip(filter(None, self._csv), self._row_count, strict=False)
        try:
            for row, _ in _pick(rows, numbers):
                if len(row) != self._width:
                    raise self._ragged(self._csv.line_num, len(row))
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken_csv(error) from None

    def line_number(self, row: Row) -> int:
        """Returns the line of the file on which a row begins, the one that `rows` read last."""
        if self.feed.format == "json":
            return self._line_at(self._row_begins)
        return self._csv.line_num - sum(value.count("\n") for value in row)

    def count_rows(self) -> int:
        """Returns the number of rows in the file, once they have all been read.

        Raises:
            FeedError: There is none: the file has only blank lines, or was emptied in the meantime.
        """
        total = next(self._row_count)
        if not total:
            raise FeedError(f'"{self.feed.path}" has no rows')
        return total

    def all_rows(self) -> list[Row]:
        """Reads every row. Raises FeedError if there is none."""
        rows = list(self.rows())
        self.count_rows()
        return rows

    def row(self, begin: int, line: bytes) -> Row:
        """Parses the line that begins at byte `begin` of the file."""
        if self.feed.format == "json":
            return self._json_row(begin, line)
        try:
            self._line.append(line.decode())
            row = next(self._csv_of_line)
        except (csv.Error, UnicodeDecodeError, IndexError):
            row = []
        if len(row) != self._width:
            raise self._wrong(
                self._line_at(begin),
                f"is no whole row of {self._width} values; a random order needs each row on one line",
            )
        return row

    def _json_row(self, begin: int, line: bytes) -> Row:
        values = self._object(begin, line)
        row = []
        for column in self.feed.columns:
            if column in values:
                row.append(values[column])
            elif column in self.feed.used:
                raise self._wrong(self._line_at(begin), f'lacks "{column}"')
            else:
                row.append("")
        return row

    def _object(self, begin: int, line: bytes) -> dict[str, str]:
        """Returns the values of a JSON line: strings decoded, everything else as it is written."""
        try:
            return {
                name: msgspec.json.decode(raw, type=str) if bytes(raw[:1]) == b'"' else bytes(raw).decode()
                for name, raw in ((name, memoryview(raw)) for name, raw in self._decode(line).items())
            }
        except msgspec.ValidationError:
            raise self._wrong(self._line_at(begin), 'is no JSON object; write one a line, {"name": "value"}') from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._wrong(self._line_at(begin), "is not JSON; write an object a line") from None

    def _broken_csv(self, error: csv.Error | UnicodeDecodeError) -> FeedError:
        if isinstance(error, UnicodeDecodeError):
            return self._wrong(self._csv.line_num + 1, "is not UTF-8 text")
        if "limit" in str(error):
            return self._wrong(self._csv.line_num, "is within a value of over 128 KiB; is a quote missing?")
        return self._wrong(self._csv.line_num, "is not CSV: a quote stands where none may, or is never closed")

    def _ragged(self, line: int, width: int) -> FeedError:
        return self._wrong(line, f"has {width} value{'' if width == 1 else 's'}, but there are {self._width} columns")

    def _wrong(self, line: int, problem: str) -> FeedError:
        return FeedError(f'"{self.feed.path}", line {line} {problem}')

    def _line_at(self, begin: int) -> int:
        """Number of the line that begins at byte `begin`, counted from 1."""
        line, left = 1, begin
        with Path(self.feed.path).open("rb") as file:
            while left and (block := file.read(min(left, 1 << 20))):
                line += block.count(b"\n")
                left -= len(block)
        return line
