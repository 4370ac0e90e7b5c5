"""Rooms, and their faults of known size, that the query of the URL asks of the echo server.

==================== =========================================================================================
`room=NAME`          makes the session a member of that room; each message that it sends goes to all members
`chat`               the session joins, leaves and publishes by messages in JSON instead, or as well
`self=no`            leaves the publisher out of the deliveries of its own messages
`ack=1`              answers each message to its publisher, once its deliveries have been written
`lose=0.1%`          does not send that share of the deliveries
`duplicate=1%`       sends that share of the deliveries twice
`swap=1%`            sends that share of the deliveries after the member's next one
`misdeliver=0.1%`    sends that share of the deliveries to a member of another room as well
`stuck=1`            sends nothing to the first members, so many, since the room was empty; they stay open
`replay=5s`          sends to a session that joins what was published to the room within that time before
`nodes=2`            deals members and publishers in turn to so many nodes, whose rooms are not shared
`fan-delay=10us`     sends the deliveries of a message with that time between one member and the next
==================== =========================================================================================

`self`, `ack` and `fan-delay` are read from the URL of the publisher, the other faults from that of the member, and
`nodes` from both. A share (`0.1%` or `0.001`) is exact: of n deliveries to the members of a room whose URLs ask for the
same faults, n × share are hit (`EvenShare`); what is lost or withheld counts for no other fault. With several
processes, each has its own count.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from ws_load_test.common.units import parse_duration_ns
from ws_load_test.echo.even_share import parse_share

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_NAME_BYTES = 256
"""Bytes of a room's name: more are a mistake, and would be kept."""
_MOST_NODES = 1000
_LONGEST_REPLAY_NS = 3600 * 10**9
_LARGEST_COUNT = 10**9


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """Part that a session takes in rooms; each field is an option of the query, see the module."""

    room: str | None = None
    chat: bool = False
    to_self: bool = True
    ack: bool = False
    lose: Fraction = Fraction(0)
    duplicate: Fraction = Fraction(0)
    swap: Fraction = Fraction(0)
    misdeliver: Fraction = Fraction(0)
    stuck: int = 0
    replay_ns: int = 0
    nodes: int = 1
    fan_delay_ns: int = 0


@lru_cache(maxsize=256)
def room_options(query: str) -> RoomOptions | None:
    """Parses the options of rooms in a query; returns None where it asks for no room.

    Raises:
        ValueError: An option's value cannot be used; the text names the option and a valid value.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(name in ("room", "chat") for name, _ in pairs):
        return None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in _PARSERS:
            key, parse = _PARSERS[name]
            try:
                found[key] = parse(value)
            except ValueError as error:
                raise ValueError(f"{name}={value} in the query: {error}") from error
    options = RoomOptions(**found)
    return options if options.chat or options.room is not None else None


def query_of(target: bytes) -> str:
    """Returns the query of the path in a request line."""
    return urlsplit(target.decode("latin-1")).query


def check_name(name: str) -> str:
    """Returns the name of a room. Raises ValueError if it cannot be one."""
    if not name or len(name.encode(errors="replace")) > LONGEST_NAME_BYTES:
        raise ValueError(f"write a name of 1 to {LONGEST_NAME_BYTES} bytes")
    return name


def _parse_flag(text: str) -> bool:
    if text in ("", "1", "yes"):
        return True
    if text in ("0", "no"):
        return False
    raise ValueError("write yes or no")


def _parse_swap(text: str) -> Fraction:
    share = parse_share(text)
    if share > Fraction(1, 2):
        raise ValueError("a swap takes two deliveries, so write 50% or less")
    return share


def _parse_replay(text: str) -> int:
    time_ns = parse_duration_ns(text)
    if time_ns > _LONGEST_REPLAY_NS:
        raise ValueError("write 1h or less")
    return time_ns


def _parse_fan_delay(text: str) -> int:
    time_ns = parse_duration_ns(text)
    if time_ns > 10**9:
        raise ValueError("write 1s or less")
    return time_ns


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or len(text) > len(str(high)) or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return parse


_PARSERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "room": ("room", check_name),
    "chat": ("chat", _parse_flag),
    "self": ("to_self", _parse_flag),
    "ack": ("ack", _parse_flag),
    "lose": ("lose", parse_share),
    "duplicate": ("duplicate", parse_share),
    "swap": ("swap", _parse_swap),
    "misdeliver": ("misdeliver", parse_share),
    "stuck": ("stuck", _whole(0, _LARGEST_COUNT)),
    "replay": ("replay_ns", _parse_replay),
    "nodes": ("nodes", _whole(1, _MOST_NODES)),
    "fan-delay": ("fan_delay_ns", _parse_fan_delay),
}
"""Field of `RoomOptions` and parser of each option, by its name in the query."""
