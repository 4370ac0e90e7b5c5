"""Faults that the query of the URL asks of the echo server.

=================== ==========================================================================================
`delay=20ms`        delays every reply by that time; the order is kept, and Linux keeps even `200us` to about 10 µs
`limit=1000`        answers at most that many messages a second, over all connections of the process with the same
                    limit; further messages wait in one queue, as in a saturated server, which a closed connection
                    leaves
`silent=0.01`       does not answer this share of the messages, evenly spread
`push=100`          sends that many unsolicited messages a second: `push 0`, `push 1`, ...
`fragment=3`        sends every reply in that many fragments
`ping=1s`           sends a ping every second; closes with 1011 if the previous one was not answered
`close=1011`        closes with that code after `after` replies (default 0: at once)
`reset`             resets the connection after `after` replies
`after=5`           see `close` and `reset`
`stream=20`         answers each message with that many; see `ws_load_test.echo.streams`, also for `gap`, `stall`, `cut`
`status=503`        answers the upgrade request with that HTTP status
=================== ==========================================================================================

They combine: `ws://127.0.0.1:3001/?delay=20ms&fragment=2`. Unknown options are ignored, so that a URL can keep the
query of the endpoint that this server replaces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ws_load_test.common.units import parse_duration_ns, parse_rate_per_s
from ws_load_test.echo.streams import StreamShape

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class InjectedFaults:
    """Faults that a connection injects; each field is an option of the query."""

    delay_ns: int = 0
    limit_per_s: float = 0.0
    silent: float = 0.0
    push_per_s: float = 0.0
    fragment: int = 1
    ping_ns: int = 0
    close: int = 0
    reset: bool = False
    after: int = 0
    status: int = 0
    stream: StreamShape | None = None
    requested: set[str] = field(default_factory=set)
    """Names of the options in the query."""


def faulty(path: bytes) -> InjectedFaults | None:
    """Parses the faults in the path of an upgrade request; returns None without any.

    Raises:
        ValueError: An option's value cannot be used; the text names the option and a valid value.
    """
    faults = InjectedFaults()
    for name, value in parse_qsl(urlsplit(path.decode("latin-1")).query, keep_blank_values=True):
        if name in _PARSERS:
            faults.requested.add(name)
            try:
                _PARSERS[name](faults, value)
            except ValueError as error:
                raise ValueError(f"{name}={value} in the query: {error}") from error
    if faults.stream is not None:
        faults.stream.check()
    return faults if faults.requested else None


def _integer(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"write a whole number from {low} to {high}")
    return int(text)


def _parse_delay(faults: InjectedFaults, text: str) -> None:
    faults.delay_ns = parse_duration_ns(text)


def _parse_limit(faults: InjectedFaults, text: str) -> None:
    faults.limit_per_s = parse_rate_per_s(text)
    if not faults.limit_per_s:
        raise ValueError("0 answers nothing; write silent=1 for that")


def _parse_silent(faults: InjectedFaults, text: str) -> None:
    try:
        faults.silent = float(text)
    except ValueError:
        faults.silent = -1.0
    if not 0 <= faults.silent <= 1:
        raise ValueError("write a share from 0 to 1, for example 0.01")


def _parse_push(faults: InjectedFaults, text: str) -> None:
    faults.push_per_s = parse_rate_per_s(text)


def _parse_fragment(faults: InjectedFaults, text: str) -> None:
    faults.fragment = _integer(text, 1, 1000)


def _parse_ping(faults: InjectedFaults, text: str) -> None:
    faults.ping_ns = parse_duration_ns(text)
    if faults.ping_ns < 1_000_000:
        raise ValueError("write 1ms or more")


def _parse_close(faults: InjectedFaults, text: str) -> None:
    faults.close = _integer(text, 1000, 4999)


def _parse_reset(faults: InjectedFaults, text: str) -> None:
    if text:
        raise ValueError("reset takes no value")
    faults.reset = True


def _parse_after(faults: InjectedFaults, text: str) -> None:
    faults.after = _integer(text, 0, 10**12)


def _parse_status(faults: InjectedFaults, text: str) -> None:
    faults.status = _integer(text, 200, 599)
    HTTPStatus(faults.status)  # ValueError for unregistered numbers


def _parser_of_streams(name: str) -> Callable[[InjectedFaults, str], None]:
    def parse(faults: InjectedFaults, text: str) -> None:
        faults.stream = faults.stream or StreamShape()
        faults.stream.read(name, text)

    return parse


_PARSERS: dict[str, Callable[[InjectedFaults, str], None]] = {
    **{name: _parser_of_streams(name) for name in ("stream", "gap", "stall", "cut")},
    "delay": _parse_delay,
    "limit": _parse_limit,
    "silent": _parse_silent,
    "push": _parse_push,
    "fragment": _parse_fragment,
    "ping": _parse_ping,
    "close": _parse_close,
    "reset": _parse_reset,
    "after": _parse_after,
    "status": _parse_status,
}
