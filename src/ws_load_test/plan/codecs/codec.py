"""Form of a codec: what finds a value in messages of one encoding. Codecs are pure functions of payloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

ValueReader = Callable[[bytes], str | None]
"""Function of a payload that returns the value at one place, as text; None where there is none."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Encoding of messages in which a path leads to a value."""

    place: str
    """Its paths in the words of help pages: ``PATH``."""
    reader: Callable[[str], ValueReader]
    """Compiles a path to what reads the value there.

    Raises ValueError if it is no path. The reader never raises: a payload of another encoding, malformed, or nested
    deeper than an application does has no value.
    """
    example: str
    """A message of it with a number of its own, as an option takes it; empty where no command line holds one."""


def value_text(value: Any) -> str | None:
    """Returns a decoded value as text: texts as they are, all else as JSON writes it; None for null.

    Bytes are text where they are UTF-8, else hexadecimal digits, as identifiers are shown elsewhere.
    """
    if type(value) is str:
        return value
    if value is None or value is msgspec.UNSET:
        return None
    if type(value) is bytes:
        return bytes_text(value)
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        return None


def bytes_text(value: bytes) -> str:
    """Returns bytes as text where they are UTF-8, else as hexadecimal digits."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _plain(value: Any) -> Any:
    """Returns what stands for a value that JSON lacks: the content of an extension type of MessagePack.

    Raises:
        TypeError: There is nothing that stands for it.
    """
    if isinstance(value, msgspec.msgpack.Ext):
        return bytes_text(bytes(value.data))
    raise TypeError(type(value).__name__)
