"""Names of what a target speaks instead of HTTP or WebSocket, from the first bytes of it."""

from __future__ import annotations

from ws_load_test.common.sanitize import sanitize

_BEGINNINGS = (
    (b"HTTP/", "HTTP"),
    (b"SSH-", "SSH"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
    (b"\x17\x03", "TLS"),
    (b"220 ", "a mail or FTP server"),
    (b"220-", "a mail or FTP server"),
    (b"554 ", "a mail server"),
    (b"421 ", "a mail or FTP server"),
    (b"+OK", "a POP3 or Redis server"),
    (b"-ERR", "a Redis server"),
    (b"-DENIED", "a Redis server"),
    (b"* OK", "an IMAP server"),
    (b"AMQP", "AMQP"),
    (b"RFB ", "VNC"),
    (b"ERROR\r\n", "a memcached server"),
    (b"PRI * HTTP/2", "HTTP/2"),
    (b"<", "a document without HTTP"),
)
"""First bytes, and the protocol that begins so."""
_HTTP2_SETTINGS = b"\x04\x00\x00\x00\x00\x00"
"""Type, flags and stream of a SETTINGS frame without flags (RFC 9113, section 6.5); three bytes of length go before."""
_FRAME_HEADS = frozenset({0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xC2})
"""First bytes of whole frames of WebSocket (RFC 6455, section 5.2), compressed ones too."""
LONGEST_QUOTE = 60
"""Characters of the first line that a sentence quotes."""
SHORTEST_TEXT = 4
"""Characters that are called a text: two or three letters are often none."""
_TEXT = frozenset((*range(0x20, 0x7F), 0x09, 0x0A, 0x0D))
_LINE_ENDS = {0x09: " ", 0x0A: " ", 0x0D: " "}


def protocol_of(data: bytes) -> str:
    """Returns the protocol that begins with these bytes, as a noun; "" if none is known."""
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    return "HTTP/2" if data[3:9] == _HTTP2_SETTINGS else ""


def begins_with_frame(data: bytes) -> bool:
    """Returns True if the first byte is that of a whole frame of WebSocket."""
    return bool(data) and data[0] in _FRAME_HEADS


def described(data: bytes) -> str:
    """Returns a description of bytes that are not what they should be, to stand behind a colon.

    ``this looks like SSH: "SSH-2.0-OpenSSH_9.6"``, ``this looks like TLS``, ``this is text: "Bad request"``; "" where
    nothing can be said.
    """
    name = protocol_of(data)
    if name:
        line = _quotable(data.splitlines()[0])
        return f'this looks like {name}: "{line}"' if line else f"this looks like {name}"
    text = _quotable(data) if len(data) >= SHORTEST_TEXT else ""
    return f'this is text: "{text}"' if text else ""


def _quotable(data: bytes) -> str:
    """Returns a text on one line, cut to what a sentence can quote; "" for what is no text."""
    if not _TEXT.issuperset(data):
        return ""
    text = " ".join(sanitize(data.decode("ascii").translate(_LINE_ENDS)).split())
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE].rstrip() + "…"
