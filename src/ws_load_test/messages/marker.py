"""Markers: 29 letters and digits in a message that say which publish it is, when it was due and when it was sent.

    w TTT S PPPP NNNNN DDDDDDDD LLLLLL C

`w`, then the tag of the run (3), the step (1), the publisher (4), its number (5), the due instant in ns from the start
of the load (8), the time from due to sent in ns (6) and a check digit, all in base 62. Letters and digits pass through
JSON, STOMP, MessagePack and URLs as they are, so that a search for the tag finds a marker in any message. It carries
its instants, so no worker needs to know what another one has sent.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = b"w"
TAG_DIGITS, STEP_DIGITS, PUBLISHER_DIGITS, NUMBER_DIGITS, DUE_DIGITS, LAG_DIGITS = 3, 1, 4, 5, 8, 6
MARKER_BYTES = len(PREFIX) + TAG_DIGITS + STEP_DIGITS + PUBLISHER_DIGITS + NUMBER_DIGITS + DUE_DIGITS + LAG_DIGITS + 1
MAX_PUBLISHERS = 62**PUBLISHER_DIGITS
MAX_NUMBERS = 62**NUMBER_DIGITS
"""Publishes of one publisher: 916 million."""
MAX_DUE_NS = 62**DUE_DIGITS - 1
"""Latest due instant: 60 hours after the start of the load."""
MAX_LAG_NS = 62**LAG_DIGITS - 1
"""Longest time from due to sent that a marker has room for: 56 s."""
CHECK_MODULUS = 61
"""Modulus of the check digit, the remainder of all bytes before it as one number: prime, and no more than a digit has.
Of random letters and digits one in 62 passes, and then its fields must be right as well. One changed digit, or two
neighbors exchanged, are always noticed unless the two lie 61 apart in ASCII: 0 to 9, and m to v."""
_VALUES = {digit: value for value, digit in enumerate(DIGITS)}
_PAIRS = [bytes((DIGITS[high], DIGITS[low])) for high in range(62) for low in range(62)]
_STEP_AT = len(PREFIX) + TAG_DIGITS
_PUBLISHER_AT = _STEP_AT + STEP_DIGITS
_NUMBER_AT = _PUBLISHER_AT + PUBLISHER_DIGITS
_DUE_AT = _NUMBER_AT + NUMBER_DIGITS
_LAG_AT = _DUE_AT + DUE_DIGITS
_CHECK_AT = _LAG_AT + LAG_DIGITS
_ANY_MARKER = re.compile(rb"(?<![0-9A-Za-z])w[0-9A-Za-z]{28}(?![0-9A-Za-z])")
"""A marker of any run, standing alone."""


class Marker(NamedTuple):
    """A marker's content."""

    publisher: int
    number: int
    """Number of the publish among those of its publisher, from 0 without a hole."""
    due_ns: int
    """Instant at which it was due, from the start of the load."""
    sent_ns: int
    """Instant at which it was sent, from the start of the load; too early where it was over 56 s late."""


def new_tag() -> bytes:
    """Returns the tag of a run, a random one."""
    return bytes(secrets.choice(DIGITS) for _ in range(TAG_DIGITS))


class MarkerCodec:
    """Writes and reads the markers of one run.

    Cost: 1.5 µs to write one; a delivery of bytes that were seen before is not read at all.
    """

    def __init__(self, tag: bytes) -> None:
        """Takes the tag of the run."""
        self.head = PREFIX + tag

    def encode(self, publisher: int, number: int, due_ns: int, lag_ns: int) -> bytes:
        """Returns a marker; `lag_ns` is the time from due to sent, cut at `MAX_LAG_NS`."""
        lag_ns = min(max(lag_ns, 0), MAX_LAG_NS)
        body = b"".join(
            (
                self.head,
                b"0",
                _digits(publisher, PUBLISHER_DIGITS),
                _digits(number, NUMBER_DIGITS),
                _digits(due_ns, DUE_DIGITS),
                _digits(lag_ns, LAG_DIGITS),
            )
        )
        return body + _check_digit(body)

    def find(self, payload: bytes) -> Iterator[Marker]:
        """Yields the markers of this run in a message."""
        at = payload.find(self.head)
        while at >= 0:
            marker = payload[at : at + MARKER_BYTES]
            if _is_valid(marker):
                due_ns = _number(marker[_DUE_AT:_LAG_AT])
                yield Marker(
                    _number(marker[_PUBLISHER_AT:_NUMBER_AT]),
                    _number(marker[_NUMBER_AT:_DUE_AT]),
                    due_ns,
                    due_ns + _number(marker[_LAG_AT:_CHECK_AT]),
                )
                at += MARKER_BYTES - 1
            at = payload.find(self.head, at + 1)

    def has_foreign(self, payload: bytes) -> bool:
        """Returns True if a message has the marker of another run, standing alone."""
        return any(_is_valid(marker) and not marker.startswith(self.head) for marker in _ANY_MARKER.findall(payload))


def _digits(value: int, count: int) -> bytes:
    """Returns a number from 0 in base 62, with this number of digits."""
    parts = []
    for _ in range(count // 2):
        value, pair = divmod(value, 62 * 62)
        parts.append(_PAIRS[pair])
    if count % 2:
        parts.append(DIGITS[value : value + 1])
    parts.reverse()
    return b"".join(parts)


def _number(digits: bytes) -> int:
    value = 0
    for digit in digits:
        value = value * 62 + _VALUES[digit]
    return value


def _check_digit(body: bytes) -> bytes:
    value = int.from_bytes(body) % CHECK_MODULUS
    return DIGITS[value : value + 1]


def _is_valid(marker: bytes) -> bool:
    return len(marker) == MARKER_BYTES and marker.isalnum() and _check_digit(marker[:-1]) == marker[-1:]
