"""Recording files: JSON lines, written while a run goes on, and read back."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from ws_load_test.common.errors import OutputError, RecordingError, cause_of
from ws_load_test.metrics.locked_file import is_writable, open_locked
from ws_load_test.metrics.recording import FORMAT, Header, Interval, Recording, Trailer
from ws_load_test.metrics.recording_checks import IntervalChecker, check_header
from ws_load_test.metrics.recording_v1 import upgrade_header, upgrade_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from types import TracebackType


LONGEST_LINE = 64 << 20
"""Bytes of the longest line: a thousand times those of an interval on a hundred machines."""
LONGEST_STALL_S = 2.0
"""Seconds that the reader of a pipe may stand still, while the run waits for it."""
LONGEST_REASON = 300
"""Characters of what a decoder has to say."""


class RecordingWriter:
    """Writes a recording line by line; each line is with the operating system when its method returns.

    A file that exists is overwritten (callers ask `refuse_overwriting` first), and locked as long as it is written to,
    so that no other run writes to it as well. A pipe needs a reader, which may stand still for `LONGEST_STALL_S`. When
    a write fails (the disk is full), the writer takes back the half-written line where the file allows it, closes, and
    raises once; all later calls do nothing, so that the run can go on without its recording.

    Raises:
        UsageError: Another run writes to the file (on construction).
        OutputError: The file cannot be opened for writing (on construction), or a line cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._file: FileIO | None = open_locked(self.path)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"cannot write the recording {self.path}: {cause_of(error)}; name another file"
            ) from error

    @property
    def closed(self) -> bool:
        """True once nothing more will be written, after `close` or a failure."""
        return self._file is None

    def write_header(self, header: Header) -> None:
        """Writes the first line."""
        self._write(header)

    def write_interval(self, interval: Interval) -> None:
        """Writes the line of one interval."""
        self._write(interval)

    def write_trailer(self, trailer: Trailer) -> None:
        """Writes the last line."""
        self._write(trailer)

    def close(self) -> None:
        """Closes the file; harmless when it is closed already."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            raise self._failure(error) from error

    def _write(self, line: Header | Interval | Trailer) -> None:
        if self._file is None:
            return
        data = memoryview(msgspec.json.encode(line) + b"\n")
        written = 0
        try:
            while written < len(data):
                count = self._file.write(data[written:])
                if not count and not is_writable(self._file, LONGEST_STALL_S):
                    raise BlockingIOError(f"its reader has taken no more data for {LONGEST_STALL_S:g} s")
                written += count or 0
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._file.tell() - written)
            with contextlib.suppress(OutputError):
                self.close()
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot go on writing the recording {self.path}: {cause_of(error)}; the run goes on without it"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Probe(msgspec.Struct):
    """The part of a header that every format version has."""

    kind: str
    format: int


_probe = msgspec.json.Decoder(_Probe)


_line = msgspec.json.Decoder(Header | Interval | Trailer)


def _decode(line: bytes, version: int) -> Header | Interval | Trailer:
    if version >= FORMAT:
        entry: Header | Interval | Trailer = _line.decode(line)
        return entry
    data = msgspec.json.decode(line)
    if not isinstance(data, dict):
        raise msgspec.ValidationError("Expected `object`")
    data = upgrade_header(data) if data.get("kind") == "header" else upgrade_line(data)
    return cast("Header | Interval | Trailer", msgspec.convert(data, Header | Interval | Trailer))


def read_recording(
    path: str | os.PathLike[str], check_plan: Callable[[dict[str, Any]], None] | None = None
) -> Recording:
    """Reads a recording; a missing trailer and a torn last line, as a killed run leaves them, are no errors.

    Ranges and order are checked as well as types, so that whatever is read can be reported. What the histograms of a
    file decompress to is bounded by its size (`DecodingBudget`), and with it the memory and the time that it takes.

    Args:
        path: The file.
        check_plan: Raises ValueError where a header's plan is none.

    Raises:
        RecordingError: The file cannot be read or is not a recording, with the line where that shows.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - a path of any kind
            if not (start := file.peek(1)[:1]):
                raise RecordingError(f"{name} is empty, so it is not a recording; give a file that a run wrote")
            if start != b"{":
                raise RecordingError(_no_recording(name))
            return _read_lines(name, iter(partial(file.readline, LONGEST_LINE + 1), b""), check_plan)
    except (OSError, ValueError) as error:
        raise RecordingError(f"cannot read the recording {name}: {cause_of(error)}") from error


def _read_lines(name: str, lines: Iterator[bytes], check_plan: Callable[[dict[str, Any]], None] | None) -> Recording:
    first = next(lines)
    header, version = _read_header(name, first, check_plan)
    checker = IntervalChecker(header)
    checker.budget.add_input(len(first))
    intervals: list[Interval] = []
    trailer: Trailer | None = None
    for number, line in enumerate(lines, 2):
        if trailer is not None:
            raise RecordingError(f"{name}, line {number}: something follows the end of the recording")
        try:
            if len(line) > LONGEST_LINE:
                raise RecordingError(f"{name}, line {number}: is longer than {LONGEST_LINE >> 20} MiB, as no line is")
            entry = _decode(line, version)
            if isinstance(entry, Header):
                raise RecordingError(f"{name}, line {number}: a second recording begins; keep each in its own file")
            if isinstance(entry, Trailer):
                trailer = entry
            else:
                if header.due_when_sent:
                    _mark_due_when_sent(entry)
                # Decoded once and dropped, so that damage is found here and not in the middle of a report.
                checker.budget.add_input(len(line))
                checker.check(entry)
                intervals.append(entry)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            if not line.endswith(b"\n"):
                break
            raise RecordingError(f"{name}, line {number}: not a line of a recording: {_reason(error)}") from error
    return Recording(header, tuple(intervals), trailer)


def _reason(error: Exception) -> str:
    """Returns an error's message on one line; a decoder may quote what it read."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _mark_due_when_sent(interval: Interval) -> None:
    """Adds to an interval's tallies what older versions left to the plan: that one histogram stands for two times."""
    for tally in (interval.encoded_tally, *(host.record for host in interval.hosts or ())):
        for part in (tally, tally.get("misbehaving")):
            # The oldest versions kept both.
            if isinstance(part, dict) and "service_time_ns" not in part:
                part.setdefault("due_when_sent", True)


def _read_header(name: str, line: bytes, check_plan: Callable[[dict[str, Any]], None] | None) -> tuple[Header, int]:
    try:
        probe = _probe.decode(line)
        if probe.kind == "header" and probe.format > FORMAT:
            raise RecordingError(
                f"{name}, line 1: written by a newer version (format {probe.format}, "
                f"this one reads up to {FORMAT}); update ws-load-test"
            )
        header = _decode(line, probe.format)
        if isinstance(header, Header) and probe.format >= 1:
            _ = header.started_ns
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RecordingError(f"{_no_recording(name)} ({_reason(error)})") from error
    if isinstance(header, Header) and probe.format >= 1:
        try:
            if check_plan is not None:
                check_plan(header.plan)
            check_header(header)
        except (ValueError, RecursionError) as error:
            raise RecordingError(f"{name}, line 1: {_reason(error)}") from error
        return header, probe.format
    raise RecordingError(_no_recording(name))


def _no_recording(name: str) -> str:
    return f"{name}, line 1: not the header of a recording; give a file that a run wrote"
