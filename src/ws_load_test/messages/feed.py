"""Feeds: files of values, one row after another, read as they are needed and never kept whole unless small.

CSV (RFC 4180: a first line names the columns; a row may go over several lines within quotes), or JSON lines (an
object a line; the columns are the keys of the first). Blank lines are no rows. A feed is read by every worker for
itself: for its connections one reading, for its messages another.

Errors name the file and the line, never what stands there, which may be a secret.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from functools import partial
from itertools import count, islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from random import Random
from typing import BinaryIO, Literal, Self

import msgspec

from ws_load_test.common.errors import UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages.fields import Row

Order = Literal["round-robin", "random", "connection"]
ORDERS: tuple[Order, ...] = ("round-robin", "random", "connection")
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
SMALL_BYTES = 1 << 20
"""A feed of up to this size is checked whole when the plan is made, and kept in memory."""
LONGEST_LINE = 16 << 20
_MARK = b"\xef\xbb\xbf"
"""The byte order mark that some programs put before UTF-8."""
EVERYTHING = Shard(0, 1)
_SAMPLES = 100
_TRIES = 1000


class FeedError(UsageError):
    """A feed cannot be read, or does not hold what it should."""

    def __init__(self, text: str) -> None:
        super().__init__(f"--feed: {text}")
        self.text = text
        """The sentence, without the option."""


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of values, and in which order messages take its rows."""

    path: str
    format: Literal["csv", "json"]
    columns: tuple[str, ...]
    """All of them, in the order of the file."""
    order: Order = "round-robin"
    used: tuple[str, ...] = ()
    """Columns that fields name: every row must have them. Others may be missing from JSON, and are empty then."""

    def describe(self) -> str:
        """The feed in words."""
        kind = "CSV" if self.format == "csv" else "JSON lines"
        columns = f"{len(self.columns)} column{'' if len(self.columns) == 1 else 's'}"
        turns = {
            "round-robin": "a row for each message in turn",
            "random": "a random row for each message",
            "connection": "a row for each connection",
        }
        return f"{self.path}, {kind} of {columns}, {turns[self.order]}"


def inspect(path: str, order: Order = "round-robin") -> Feed:
    """What the file is, from its beginning.

    Raises:
        FeedError: it cannot be read, names no columns, has no rows, or its beginning is broken.
    """
    if not Path(path).is_file():
        raise FeedError(
            f'"{path}" is not a file' if Path(path).exists() else f'cannot read "{path}": there is no such file'
        )
    kind: Literal["csv", "json"] = "json" if Path(path).suffix.lower() in JSON_SUFFIXES else "csv"
    with FeedReader(Feed(path, kind, ())) as reader:
        feed = Feed(path, kind, reader.columns(), order)
    for _ in islice(cycle_rows(feed), 1):
        pass
    return feed


def peek(feed: Feed) -> list[Row]:
    """The first rows."""
    with FeedReader(feed) as reader:
        return list(islice(reader.rows(), _SAMPLES))


def cycle_rows(feed: Feed, share: Shard = EVERYTHING) -> Generator[Row]:
    """The rows of a share, over and over: thing k takes row k modulo the number of rows.

    Raises:
        FeedError: the file cannot be read, has no rows, or a row is broken.
    """
    with FeedReader(feed) as reader:
        if reader.size_bytes <= SMALL_BYTES:
            kept = reader.all_rows()
            at = share.index % len(kept)
            while True:
                yield kept[at]
                at = (at + share.count) % len(kept)
    at = share.index
    while True:
        with FeedReader(feed) as reader:
            yield from reader.rows(at, share.count)
            total = reader.passed()
        # Of the numbers at, at + of, …, the first one that this round did not reach.
        if at < total:
            at += -(-(total - at) // share.count) * share.count
        at -= total


def random_rows(feed: Feed, random: Random) -> Generator[Row]:
    """Random rows: of a small feed, all equally likely; of a larger one, the next whole line behind a random place.

    In a larger file a row behind a long line therefore comes up more often than one behind a short line, and every
    row must be one line.

    Raises:
        FeedError: the file cannot be read, has no rows, or a row is broken.
    """
    with FeedReader(feed) as reader:
        if reader.size_bytes <= SMALL_BYTES:
            kept = reader.all_rows()
            while True:
                yield kept[int(random.random() * len(kept))]
        reader.columns()
        start = reader.at()
        with mmap(reader.file.fileno(), 0, access=ACCESS_READ) as memory:
            while True:
                begin, line = _line_behind(memory, start, random)
                if not line:
                    raise FeedError(f'"{feed.path}" has next to nothing but blank lines')
                yield reader.row(begin, line)


def _line_behind(memory: mmap, start: int, random: Random) -> tuple[int, bytes]:
    """The next whole line behind a random place, and where it begins; an empty one if there are none but blank ones."""
    for _ in range(_TRIES):
        begin = memory.find(b"\n", start + int(random.random() * (len(memory) - start))) + 1
        if begin in {0, len(memory)}:
            begin = start
        end = memory.find(b"\n", begin, begin + LONGEST_LINE)
        line = memory[begin : end if end >= 0 else begin + LONGEST_LINE]
        if line.strip():
            return begin, line
    return start, b""


class FeedReader:
    """One reading of a feed's file, from its beginning."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._width = len(feed.columns)
        self._passed = count()
        try:
            self.file: BinaryIO = Path(feed.path).open("rb")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise FeedError(f'cannot read "{feed.path}": {error.strerror}') from None
        self.size_bytes = Path(feed.path).stat().st_size
        if self.file.read(len(_MARK)) != _MARK:
            self.file.seek(0)
        # Lines without end would fill the memory.
        self._lines: Iterator[bytes] = iter(partial(self.file.readline, LONGEST_LINE), b"")
        self._csv = csv.reader(map(bytes.decode, self._lines), strict=True)
        self._line: list[str] = []
        """The one line that `row` reads; a reader made for each line would take longer than reading it."""
        self._csv_of_line = csv.reader(iter(self._line.pop, None), strict=True)
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def at(self) -> int:
        """How far the file has been read, in bytes."""
        return self.file.tell()

    def columns(self) -> tuple[str, ...]:
        """The names of the columns; of CSV, reads the line that has them."""
        if self.feed.format == "json":
            before = self.at()
            line = next(filter(bytes.strip, self._lines), None)
            if line is None:
                raise FeedError(f'"{self.feed.path}" is empty; write an object a line')
            begin = self.at() - len(line)
            found = tuple(self._object(begin, line))
            if not found:
                raise self._wrong(self._line_at(begin), "holds no values; write an object with a key for each column")
            self.file.seek(before)
            return found
        try:
            names = next(filter(None, self._csv), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken_csv(error) from None
        if names is None:
            raise FeedError(f'"{self.feed.path}" is empty; its first line names the columns')
        found = tuple(name.strip() for name in names)
        named = [name for name in found if name]
        if len(set(named)) != len(named) or not named:
            what = "names a column twice" if named else "names no columns"
            raise self._wrong(self._csv.line_num, what)
        return found

    def rows(self, first: int = 0, step: int = 1) -> Generator[Row]:
        """Row `first`, and each `step`-th behind it, to the end of the file."""
        if self.feed.format == "json":
            lines = zip(filter(bytes.strip, self._lines), self._passed, strict=False)
            for line, _ in islice(lines, first, None, step):
                yield self._json_row(self.at() - len(line), line)
            return
        self.columns()
        cells = zip(filter(None, self._csv), self._passed, strict=False)
        try:
            for row, _ in islice(cells, first, None, step):
                if len(row) != self._width:
                    raise self._ragged(self._csv.line_num, len(row))
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken_csv(error) from None

    def passed(self) -> int:
        """How many rows the file has, once they have all been read.

        Raises:
            FeedError: none, although it is no small file; or it has been emptied meanwhile.
        """
        total = next(self._passed)
        if not total:
            raise FeedError(f'"{self.feed.path}" has no rows')
        return total

    def all_rows(self) -> list[Row]:
        """Every row, of which there is at least one."""
        found = list(self.rows())
        self.passed()
        return found

    def row(self, begin: int, line: bytes) -> Row:
        """The row that a line is, which begins at byte `begin` of the file."""
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
        """The values of a JSON line: strings as they are, everything else as it is written."""
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

    def _ragged(self, line: int, found: int) -> FeedError:
        return self._wrong(line, f"has {found} value{'' if found == 1 else 's'}, but there are {self._width} columns")

    def _wrong(self, line: int, what: str) -> FeedError:
        return FeedError(f'"{self.feed.path}", line {line} {what}')

    def _line_at(self, begin: int) -> int:
        """The number of the line that begins at byte `begin`, counted from 1."""
        line, left = 1, begin
        with Path(self.feed.path).open("rb") as file:
            while left and (block := file.read(min(left, 1 << 20))):
                line += block.count(b"\n")
                left -= len(block)
        return line
