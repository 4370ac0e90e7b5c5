"""Faults on request: what the query of the URL may ask of the echo server.

=================== ==========================================================================================
`delay=20ms`        every reply leaves that long after its message came; the order is kept, and on Linux `200us`
                    is that long to within some ten microseconds
`limit=1000`        at most that many messages a second over all connections of the process that ask for the same;
                    the others wait in one queue, as before a saturated server; who leaves frees his places
`silent=0.01`       this share of the messages gets no reply, evenly spread
`push=100`          that many messages a second which nobody asked for, `push 0`, `push 1`, ...
`fragment=3`        every reply leaves in that many fragments
`ping=1s`           a ping every second; closes with 1011 when the one before was not answered
`close=1011`        closes with that code after `after` replies (default 0: at once)
`reset`             resets the connection after `after` replies
`after=5`           see `close` and `reset`
`status=503`        answers the upgrade request with that HTTP status
=================== ==========================================================================================

They combine: `ws://127.0.0.1:3001/?delay=20ms&fragment=2`. Options unknown here are left alone, since an
endpoint's own query may be kept when this server stands in for it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from picows import WSFrame, WSMsgType, WSTransport, WSUpgradeResponse, WSUpgradeResponseWithListener

from ws_load_test.common.units import parse_duration_ns, parse_rate_per_s
from ws_load_test.echo.delay_scheduler import DelayScheduler
from ws_load_test.echo.plain_echo import EchoCounters, PlainEcho, close_frame
from ws_load_test.echo.service_limit import ServiceLimit
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

_NS_PER_S = 1_000_000_000
_LEAST_PUSH_INTERVAL_S = 0.005  # timers have a grain of a millisecond; faster pushes leave several at a time


@dataclass(slots=True)
class InjectedFaults:
    """What a connection was asked to do wrong; the fields are the options of the query."""

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
    asked: set[str] = field(default_factory=set)

    def listener(self, tally: EchoCounters) -> PlainEcho:
        """Build the connection that behaves so."""
        if self.asked == {"limit"}:
            return LimitedEcho(tally, _limit_of(tally, self.limit_per_s))
        return FaultyEcho(tally, self)


def faulty(path: bytes) -> InjectedFaults | None:
    """Read the faults asked for in the path of an upgrade request; None when there are none.

    Raises:
        ValueError: An option's value cannot be used; the text says what to write.
    """
    faults = InjectedFaults()
    for name, value in parse_qsl(urlsplit(path.decode("latin-1")).query, keep_blank_values=True):
        if name in _READERS:
            faults.asked.add(name)
            try:
                _READERS[name](faults, value)
            except ValueError as error:
                raise ValueError(f"{name}={value} in the query: {error}") from error
    return faults if faults.asked else None


def refused(status: int) -> WSUpgradeResponseWithListener:
    """Build the answer to an upgrade request that is to be refused with `status`."""
    if status < 300:
        response = WSUpgradeResponse.create_ok_response(b"no upgrade here\n")
        response.status = HTTPStatus(status)
    elif status < 400:
        response = WSUpgradeResponse.create_redirect_response(status, "/")
        response.status = HTTPStatus(status)
    else:
        response = WSUpgradeResponse.create_error_response(status, b"refused on request\n")
    return WSUpgradeResponseWithListener(response, None)


def problem(text: str) -> WSUpgradeResponseWithListener:
    """Build the answer to an upgrade request whose query cannot be used."""
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(400, f"{text}\n".encode()), None)


def _integer(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ValueError(f"write a whole number from {least} to {most}")
    return int(text)


def _read_delay(faults: InjectedFaults, text: str) -> None:
    faults.delay_ns = parse_duration_ns(text)


def _read_limit(faults: InjectedFaults, text: str) -> None:
    faults.limit_per_s = parse_rate_per_s(text)
    if not faults.limit_per_s:
        raise ValueError("0 answers nothing; write silent=1 for that")


def _read_silent(faults: InjectedFaults, text: str) -> None:
    try:
        faults.silent = float(text)
    except ValueError:
        faults.silent = -1.0
    if not 0 <= faults.silent <= 1:
        raise ValueError("write a share from 0 to 1, for example 0.01")


def _read_push(faults: InjectedFaults, text: str) -> None:
    faults.push_per_s = parse_rate_per_s(text)


def _read_fragment(faults: InjectedFaults, text: str) -> None:
    faults.fragment = _integer(text, 1, 1000)


def _read_ping(faults: InjectedFaults, text: str) -> None:
    faults.ping_ns = parse_duration_ns(text)
    if faults.ping_ns < 1_000_000:
        raise ValueError("write 1ms or more")


def _read_close(faults: InjectedFaults, text: str) -> None:
    faults.close = _integer(text, 1000, 4999)


def _read_reset(faults: InjectedFaults, text: str) -> None:
    if text:
        raise ValueError("reset takes no value")
    faults.reset = True


def _read_after(faults: InjectedFaults, text: str) -> None:
    faults.after = _integer(text, 0, 10**12)


def _read_status(faults: InjectedFaults, text: str) -> None:
    faults.status = _integer(text, 200, 599)
    HTTPStatus(faults.status)  # ValueError for numbers nobody registered


_READERS: dict[str, Callable[[InjectedFaults, str], None]] = {
    "delay": _read_delay,
    "limit": _read_limit,
    "silent": _read_silent,
    "push": _read_push,
    "fragment": _read_fragment,
    "ping": _read_ping,
    "close": _read_close,
    "reset": _read_reset,
    "after": _read_after,
    "status": _read_status,
}


def _limit_of(tally: EchoCounters, per_s: float) -> ServiceLimit:
    if per_s not in tally.limits:
        tally.limits[per_s] = ServiceLimit(per_s)
    return tally.limits[per_s]


class LimitedEcho(PlainEcho):
    """One connection of a limit and nothing else: on a short way, so that the limit is what limits it."""

    __slots__ = ("_limit",)

    def __init__(self, tally: EchoCounters, limit: ServiceLimit) -> None:
        super().__init__(tally)
        self._limit = limit

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Let a whole message wait for its turn; leave everything rarer to `_on_rare`."""
        kind = frame.msg_type
        if (kind is not WSMsgType.TEXT and kind is not WSMsgType.BINARY) or self._opcode or not frame.fin or frame.rsv1:
            self._on_rare(frame, kind)
            return
        payload = frame.get_payload_as_bytes()
        self._tally.messages += 1
        self._tally.bytes += len(payload)
        self._limit.enqueue(self, frames.TEXT if kind is WSMsgType.TEXT else frames.BINARY, payload)
        if frame.last_in_buffer and self._pending:
            self._flush()

    def _answer(self, opcode: int, payload: bytes) -> None:
        self._limit.enqueue(self, opcode, payload)

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Reply; the turn has come."""
        self._pending.append(frames.encode_frame(opcode, payload))

    def answered_all(self) -> None:
        """Let the replies leave."""
        self._flush()


class FaultyEcho(PlainEcho):
    """One connection that misbehaves as asked; it may be slow, the plain echo must not be."""

    __slots__ = (
        "_delayed",
        "_faults",
        "_limit",
        "_loop",
        "_ping_open",
        "_pings",
        "_pushed",
        "_replies",
        "_silent_debt",
        "_started",
        "_timers",
        "_timetable",
    )

    def __init__(self, tally: EchoCounters, faults: InjectedFaults) -> None:
        super().__init__(tally)
        self._faults = faults
        self._limit: ServiceLimit | None = None
        if faults.limit_per_s:
            self._limit = _limit_of(tally, faults.limit_per_s)
        self._loop = asyncio.get_running_loop()
        self._delayed: deque[tuple[int, int, bytes]] = deque()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pings = 0
        self._ping_open = False
        self._pushed = 0
        self._replies = 0
        self._silent_debt = 0.0
        self._started = 0
        self._timetable: DelayScheduler | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start what does not wait for messages."""
        super().on_ws_connected(transport)
        self._started = time.monotonic_ns()
        if self._faults.delay_ns:
            self._timetable = DelayScheduler.join()
        if self._faults.ping_ns:
            self._later("ping", self._faults.ping_ns / _NS_PER_S, self._ping)
        if self._faults.push_per_s:
            self._push()
        self._break_if_due()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Stop the timers, and forget the replies that are delayed."""
        super().on_ws_disconnected(transport)
        self._delayed.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._timetable is not None:
            self._timetable.leave()
            self._timetable = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Send every frame the way of the rare ones, where whole messages end in `_answer`."""
        if frame.msg_type is WSMsgType.PONG:
            self._ping_open = False
        self._on_rare(frame, frame.msg_type)

    def _answer(self, opcode: int, payload: bytes) -> None:
        """Reply when the turn has come, where turns are limited."""
        if self._limit is None:
            self.answer_now(opcode, payload)
        else:
            self._limit.enqueue(self, opcode, payload)

    def answered_all(self) -> None:
        """Let the replies leave."""
        self._flush()

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Reply at once, later, or never."""
        self._silent_debt += self._faults.silent
        if self._silent_debt >= 1 - 1e-9:
            self._silent_debt -= 1
        elif self._faults.delay_ns:
            self._delayed.append((time.monotonic_ns() + self._faults.delay_ns, opcode, payload))
            if len(self._delayed) == 1 and self._timetable is not None:
                self._timetable.at(self._delayed[0][0], self._send_delayed)
        else:
            self._reply(opcode, payload)

    def _send_delayed(self) -> None:
        now = time.monotonic_ns()
        while self._delayed and self._delayed[0][0] <= now:
            _, opcode, payload = self._delayed.popleft()
            self._reply(opcode, payload)
        self._flush()
        if self._delayed and self._timetable is not None:
            self._timetable.at(self._delayed[0][0], self._send_delayed)

    def _reply(self, opcode: int, payload: bytes) -> None:
        parts = self._faults.fragment
        step = max(1, -(-len(payload) // parts))
        for part in range(parts):
            self._pending.append(
                frames.encode_frame(
                    frames.CONTINUATION if part else opcode,
                    payload[part * step : (part + 1) * step],
                    fin=part == parts - 1,
                )
            )
        self._replies += 1
        self._break_if_due()

    def _break_if_due(self) -> None:
        """Close or reset once the replies asked for have been given."""
        if self._replies != self._faults.after or self._transport is None:
            return
        if self._faults.close:
            self._close(close_frame(self._faults.close, "closed on request"))
        elif self._faults.reset:
            self._flush()
            stream = self._transport.get_extra_info("socket")
            # Lingering for no time makes the kernel send RST instead of FIN.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _ping(self) -> None:
        if self._ping_open:
            self._close(close_frame(frames.INTERNAL_ERROR, "no pong came"))
            return
        self._write(frames.encode_frame(frames.PING, str(self._pings).encode()))
        self._pings += 1
        self._ping_open = True
        self._later("ping", self._faults.ping_ns / _NS_PER_S, self._ping)

    def _push(self) -> None:
        due = int((time.monotonic_ns() - self._started) / _NS_PER_S * self._faults.push_per_s)
        for number in range(self._pushed, due):
            self._pending.append(frames.encode_frame(frames.TEXT, f"push {number}".encode()))
        self._pushed = max(due, self._pushed)
        self._flush()
        self._later("push", max(_LEAST_PUSH_INTERVAL_S, 1 / self._faults.push_per_s), self._push)

    def _later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._timers[name] = self._loop.call_later(delay_s, call)
