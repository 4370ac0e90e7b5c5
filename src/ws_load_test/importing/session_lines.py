"""Session files: JSON lines of what one session or several sent and received, as ``--probe -o`` writes them.

A line that begins a session names its number, its URL and its headers; each line after it is a message, with its
direction, instant, opcode, and its content as text or in base64. Messages stand there in full, whatever they hold.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.units import quoted
from ws_load_test.importing.capture import Capture, CapturedMessage, Direction

if TYPE_CHECKING:
    from collections.abc import Iterable

SESSION_SCHEMA = "ws-load-test/session/1"
_OPCODES = frozenset({"text", "binary"})


class SessionLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Beginning of a session."""

    schema: str
    session: int = 0
    """Number of the session in the file."""
    name: str = ""
    """Part that the session plays; empty for none."""
    url: str = ""
    """URL without its secrets."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the upgrade request that a user gave, without their secrets."""
    subprotocols: tuple[str, ...] = ()
    started_ns: int = 0
    """Wall clock at its beginning, in ns since 1970."""


class MessageLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of a session."""

    at_ns: int
    """Instant, from the beginning of the file."""
    direction: Direction
    opcode: str
    """``text``, ``binary``, ``close``, ``ping`` or ``pong``."""
    text: str | None = None
    """Content, if it is text."""
    base64: str | None = None
    """Content in base64, if it is no text."""
    session: int = 0


_decode_any = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_session = msgspec.json.Decoder(SessionLine).decode
_decode_message = msgspec.json.Decoder(MessageLine).decode


def message_line(at_ns: int, direction: Direction, opcode: str, payload: bytes, session: int = 0) -> MessageLine:
    """Returns the line of a message: as text where its bytes are UTF-8 and it is no binary message."""
    if opcode == "text":
        try:
            return MessageLine(at_ns, direction, opcode, text=payload.decode(), session=session)
        except UnicodeDecodeError:
            pass
    return MessageLine(at_ns, direction, opcode, base64=base64.b64encode(payload).decode(), session=session)


def encode_lines(lines: Iterable[SessionLine | MessageLine]) -> bytes:
    """Returns the file."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def is_session_file(data: bytes) -> bool:
    """Returns True if the first line is that of a session."""
    first = data.lstrip().partition(b"\n")[0]
    try:
        return _decode_session(first).schema == SESSION_SCHEMA
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def read_session_lines(data: bytes) -> list[Capture]:
    """Returns the sessions of a file, in the order of their first lines.

    Raises:
        ValueError: A line is none of a session; the text has its number and the reason.
    """
    heads: dict[int, SessionLine] = {}
    messages: dict[int, list[CapturedMessage]] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            if "schema" in _decode_any(line):
                head = _decode_session(line)
                if head.schema != SESSION_SCHEMA:
                    raise ValueError(f"line {number}: {quoted(head.schema)} is no schema that this version reads")
                heads[head.session] = head
                messages.setdefault(head.session, [])
                continue
            one = _decode_message(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if one.session not in heads:
            raise ValueError(f"line {number}: there is no line above it that begins session {one.session}")
        if one.opcode in _OPCODES:
            content = _content(one, number)
            messages[one.session].append(CapturedMessage(one.at_ns, one.direction, content, one.opcode == "binary"))
    return [
        Capture(head.url, head.headers, head.subprotocols, head.started_ns or None, tuple(messages[session]), head.name)
        for session, head in heads.items()
    ]


def _content(one: MessageLine, number: int) -> bytes:
    if one.text is not None:
        return one.text.encode()
    try:
        return base64.b64decode(one.base64 or "", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f'line {number}: "base64" is no base64') from None
