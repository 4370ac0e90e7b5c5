"""Text files as editors and spreadsheets write them: UTF-8, with or without a byte-order mark."""

from __future__ import annotations

import codecs

from ws_load_test.common.errors import cause_of

_OTHER_MARKS = (
    # The marks of UTF-32 begin with those of UTF-16.
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_text(path: str, largest_bytes: int) -> str:
    """Returns the text of a file, without its byte-order mark, and with the line ends of Unix.

    Raises:
        ValueError: It cannot be read, is larger than `largest_bytes`, or is not UTF-8; the text has the reason.
    """
    return decode_text(read_bytes(path, largest_bytes)).replace("\r\n", "\n")


def read_bytes(path: str, largest_bytes: int, too_large: str = "") -> bytes:
    """Returns the contents of a file, which may be one without an end, such as a device.

    The error about a larger file is `too_large`, if given, else it names the limit.

    Raises:
        ValueError: It cannot be read, or is larger than `largest_bytes`; the text has the reason.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as the user wrote it
            data = file.read(largest_bytes + 1)
    except OSError as error:
        raise ValueError(cause_of(error)) from None
    if len(data) > largest_bytes:
        raise ValueError(too_large or f"it is larger than the {largest_bytes >> 20} MiB that such a file may have")
    return data


def decode_text(data: bytes) -> str:
    """Returns UTF-8 text without its byte-order mark.

    Raises:
        ValueError: It is not UTF-8; the text has what it looks like, and the remedy.
    """
    if (other := encoding_of_mark(data)) is not None:
        raise ValueError(f"it is {other} text; save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise ValueError(f"it is no text: byte {data.index(0)} is 0; save it as UTF-8 text") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 text: line {line} has the byte 0x{data[error.start]:02x}") from None


def encoding_of_mark(data: bytes) -> str | None:
    """Returns the encoding other than UTF-8 whose byte-order mark some bytes begin with; None without one."""
    return next((name for mark, name in _OTHER_MARKS if data.startswith(mark)), None)
