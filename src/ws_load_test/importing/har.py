"""HAR files of browsers and of Playwright, whose entries of WebSocket sessions have a list `_webSocketMessages`.

The list is an extension of HAR 1.2 by Chrome: ``{"type": "send" | "receive", "time": S, "opcode": N, "data": TEXT}``,
with the time in seconds since 1970 and the data of binary messages in base64.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

import msgspec

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.importing.capture import Capture, CapturedMessage, Direction
from ws_load_test.websocket import frames

_DIRECTIONS: dict[str, Direction] = {
    "send": "sent",
    "sent": "sent",
    "receive": "received",
    "received": "received",
}
_NS_PER_TICK = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000))
"""Instants above the first number are in units of so many ns: programs write s, ms, µs or ns since 1970, and each of
these numbers is years away from the present in any other unit."""
_EPOCH_S = 10**9
"""Seconds since 1970 of a wall clock are more than this; a smaller number counts from elsewhere."""


class _Header(msgspec.Struct):
    name: str = ""
    value: str = ""


class _Request(msgspec.Struct):
    url: str = ""
    headers: list[_Header] = []


class _Message(msgspec.Struct):
    type: str = ""
    time: float | str | None = None
    opcode: int | None = None
    data: str | None = ""


class _Entry(msgspec.Struct, rename={"messages": "_webSocketMessages", "started": "startedDateTime"}):
    request: _Request = msgspec.field(default_factory=_Request)
    started: str = ""
    messages: list[_Message] | None = None


class _Log(msgspec.Struct):
    entries: list[_Entry] = []


class _Har(msgspec.Struct):
    log: _Log


_decoder = msgspec.json.Decoder(_Har, strict=False)


def is_har(data: bytes) -> bool:
    """Returns True for a JSON object with a log, which no line of a session file is."""
    try:
        found: Any = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return "log" in found


def read_har(data: bytes) -> list[Capture]:
    """Returns the WebSocket sessions of a HAR file, in its order.

    Raises:
        ValueError: The file is no HAR file; the text has the reason.
    """
    try:
        entries = _decoder.decode(data).log.entries
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no HAR file: {error}") from None
    return [_capture(entry) for entry in entries if entry.messages is not None]


def _capture(entry: _Entry) -> Capture:
    started_ns = _started_ns(entry.started)
    timed = [(_instant_ns(one.time), message) for one in entry.messages or () if (message := _message(one))]
    first_ns = next((at_ns for at_ns, _ in timed if at_ns is not None), 0)
    # Instants of a wall clock count from the beginning of the session, others from the first message.
    zero_ns = started_ns if started_ns is not None and first_ns > _EPOCH_S * NS_PER_S else first_ns
    messages, before_ns = [], 0
    for at_ns, message in timed:
        # A message never comes before the one that stands above it.
        before_ns = max(before_ns, 0 if at_ns is None else at_ns - zero_ns)
        messages.append(msgspec.structs.replace(message, at_ns=before_ns))
    headers = tuple((one.name, one.value) for one in entry.request.headers)
    offered = next((value for name, value in headers if name.lower() == "sec-websocket-protocol"), "")
    return Capture(
        url=entry.request.url,
        headers=headers,
        subprotocols=tuple(part.strip() for part in offered.split(",") if part.strip()),
        started_ns=started_ns if zero_ns == started_ns or not first_ns else _wall_clock(first_ns, started_ns),
        messages=tuple(messages),
    )


def _wall_clock(first_ns: int, started_ns: int | None) -> int | None:
    return first_ns if first_ns > _EPOCH_S * NS_PER_S else started_ns


def _message(one: _Message) -> CapturedMessage | None:
    direction = _DIRECTIONS.get(one.type.lower())
    opcode = frames.TEXT if one.opcode is None else one.opcode
    if direction is None or opcode not in {frames.TEXT, frames.BINARY}:
        return None
    data = one.data or ""
    if opcode == frames.TEXT:
        return CapturedMessage(0, direction, data.encode(errors="replace"))
    try:
        payload = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        # Some programs write the bytes as characters.
        payload = data.encode("latin-1", "replace")
    return CapturedMessage(0, direction, payload, binary=True)


def _instant_ns(time: float | str | None) -> int | None:
    """Returns an instant in ns, in whatever unit it was written; None where there is none."""
    if isinstance(time, str):
        return _started_ns(time)
    if time is None:
        return None
    scale = next((ns for above, ns in _NS_PER_TICK if time > above), NS_PER_S)
    return round(time * scale)


def _started_ns(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(at.timestamp() * 1_000_000) * 1_000
