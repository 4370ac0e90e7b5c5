"""Connections of the echo server that carry out the faults of `ws_load_test.echo.fault_options`."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from picows import WSFrame, WSMsgType, WSTransport, WSUpgradeResponse, WSUpgradeResponseWithListener

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.echo.delay_scheduler import DelayScheduler
from ws_load_test.echo.plain_echo import QUEUE, WRITING, EchoCounters, PlainEcho, close_frame
from ws_load_test.echo.service_limit import ServiceLimit
from ws_load_test.echo.streams import Streamer
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.echo.fault_options import InjectedFaults

MAX_QUEUED_BYTES = 64 << 20
"""Memory of the messages of one connection that wait for their replies: above it nothing more is read from its client.
A delay of one second holds 300,000 small messages in it."""
MAX_ALL_QUEUED_BYTES = 512 << 20
"""The same for all connections of a process together."""
ENTRY_BYTES = 200
"""Memory of a waiting message apart from its payload: tuple, integers, headers of objects."""
PUSH_BATCH = 256
"""Pushes that are written at once."""
_MIN_PUSH_INTERVAL_S = 0.005
"""Seconds between pushes, at least: timers count milliseconds, so faster pushes are sent several at a time."""


def faulty_listener(tally: EchoCounters, faults: InjectedFaults) -> PlainEcho:
    """Makes a connection with these faults."""
    if faults.requested == {"limit"}:
        return LimitedEcho(tally, _limit_of(tally, faults.limit_per_s))
    return FaultyEcho(tally, faults)


def refused(status: int) -> WSUpgradeResponseWithListener:
    """Builds the response that refuses an upgrade request with `status`."""
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
    """Builds the response to an upgrade request whose query cannot be used."""
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(400, f"{text}\n".encode()), None)


def _limit_of(tally: EchoCounters, per_s: float) -> ServiceLimit:
    if per_s not in tally.limits:
        tally.limits[per_s] = ServiceLimit(per_s, tally.loop_turns)
    return tally.limits[per_s]


class QueueingEcho(PlainEcho):
    """A connection whose messages may wait for their replies: those of a client that sends too many are not read."""

    __slots__ = ("_limit", "_queued_bytes")

    def __init__(self, tally: EchoCounters, limit: ServiceLimit | None) -> None:
        super().__init__(tally)
        self._limit = limit
        self._queued_bytes = 0

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forgets the messages that wait."""
        super().on_ws_disconnected(transport)
        self._tally.queued_bytes -= self._queued_bytes
        if self._limit is not None:
            self._limit.leave(self._queued_bytes)
        self._queued_bytes = 0

    def _add_to_queue(self, payload: bytes) -> None:
        """Takes note of a message that waits for its reply."""
        size_bytes, tally = len(payload) + ENTRY_BYTES, self._tally
        self._queued_bytes += size_bytes
        tally.queued_bytes += size_bytes
        if self._queued_bytes > MAX_QUEUED_BYTES or tally.queued_bytes > MAX_ALL_QUEUED_BYTES:
            self._hold(QUEUE)

    def _take_from_queue(self, payload: bytes) -> None:
        """Takes note of a message that has its reply, or gets none."""
        size_bytes = len(payload) + ENTRY_BYTES
        self._queued_bytes -= size_bytes
        self._tally.queued_bytes -= size_bytes
        if self._held & QUEUE and self._queued_bytes <= MAX_QUEUED_BYTES // 2:
            # Whatever the others have, so that no client waits for another.
            self._release(QUEUE)


class LimitedEcho(QueueingEcho):
    """A connection with a limit and no other fault: on the fast path, so that nothing but the limit slows it."""

    __slots__ = ()
    _limit: ServiceLimit

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Queues a whole message; leaves everything rarer to `_on_rare`."""
        kind = frame.msg_type
        if (kind is not WSMsgType.TEXT and kind is not WSMsgType.BINARY) or self._opcode or not frame.fin or frame.rsv1:
            self._on_rare(frame, kind)
            return
        payload = frame.get_payload_as_bytes()
        self._tally.messages += 1
        self._tally.bytes += len(payload)
        self._add_to_queue(payload)
        self._limit.enqueue(self, frames.TEXT if kind is WSMsgType.TEXT else frames.BINARY, payload)
        if frame.last_in_buffer and self._pending:
            self._flush()

    def _answer(self, opcode: int, payload: bytes) -> None:
        self._add_to_queue(payload)
        self._limit.enqueue(self, opcode, payload)

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Adds the reply to those of the next write."""
        self._take_from_queue(payload)
        self._pending.append(frames.encode_frame(opcode, payload))

    def answered_all(self) -> None:
        """Writes the replies."""
        self._flush()


class FaultyEcho(QueueingEcho):
    """A connection with faults; unlike the plain echo, it need not be fast."""

    __slots__ = (
        "_delayed",
        "_faults",
        "_loop",
        "_outbox",
        "_ping_open",
        "_pings",
        "_pushed",
        "_replies",
        "_scheduler",
        "_silent_debt",
        "_started",
        "_streamer",
        "_timers",
    )

    def __init__(self, tally: EchoCounters, faults: InjectedFaults) -> None:
        super().__init__(tally, _limit_of(tally, faults.limit_per_s) if faults.limit_per_s else None)
        self._faults = faults
        self._outbox: deque[tuple[int, bytes]] = deque()
        """Replies that are not cut into fragments yet, which take far more memory."""
        self._loop = asyncio.get_running_loop()
        self._delayed: deque[tuple[int, int, bytes]] = deque()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pings = 0
        self._ping_open = False
        self._pushed = 0
        self._replies = 0
        self._silent_debt = 0.0
        self._started = 0
        self._scheduler: DelayScheduler | None = None
        self._streamer: Streamer | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Starts pings, pushes, and a close or reset that needs no reply."""
        super().on_ws_connected(transport)
        self._started = time.monotonic_ns()
        if self._faults.delay_ns:
            self._scheduler = DelayScheduler.join()
        if self._faults.stream is not None:
            self._streamer = Streamer(self._faults.stream, self._tally.connections, self, self._tally.loop_turns)
        if self._faults.ping_ns:
            self._later("ping", self._faults.ping_ns / NS_PER_S, self._ping)
        if self._faults.push_per_s:
            self._push()
        self._break_if_due()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Stops the timers, and drops delayed replies."""
        super().on_ws_disconnected(transport)
        self._delayed.clear()
        self._outbox.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._scheduler is not None:
            self._scheduler.leave()
            self._scheduler = None
        if self._streamer is not None:
            self._streamer.stop()
            self._streamer = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Handles every frame like a rare one, so that whole messages arrive in `_answer`."""
        if frame.msg_type is WSMsgType.PONG:
            self._ping_open = False
        self._on_rare(frame, frame.msg_type)

    def _answer(self, opcode: int, payload: bytes) -> None:
        """Replies, after the queue if there is a limit."""
        self._add_to_queue(payload)
        if self._limit is None:
            self.answer_now(opcode, payload)
        else:
            self._limit.enqueue(self, opcode, payload)

    def answered_all(self) -> None:
        """Writes the replies."""
        self._flush()

    def answer_now(self, opcode: int, payload: bytes) -> None:
        """Replies at once, after the delay, or not at all."""
        self._silent_debt += self._faults.silent
        if self._silent_debt >= 1 - 1e-9:
            self._silent_debt -= 1
            self._take_from_queue(payload)
        elif self._streamer is not None:
            # It waits in the queue until its answer has ended, so that a client cannot have any number under way.
            self._streamer.answer(opcode, payload, self._faults.delay_ns)
        elif self._faults.delay_ns:
            self._delayed.append((time.monotonic_ns() + self._faults.delay_ns, opcode, payload))
            if len(self._delayed) == 1 and self._scheduler is not None:
                self._scheduler.at(self._delayed[0][0], self._send_delayed)
        else:
            self._reply(opcode, payload)

    @property
    def takes_more(self) -> bool:
        """True while the client reads its replies."""
        return not self._held & WRITING

    def send_part(self, opcode: int, payload: bytes) -> None:
        """Adds one message of an answer of several to the next write."""
        self._add_to_queue(payload)
        self._reply(opcode, payload)

    def flush(self) -> None:
        """Writes what waits for it."""
        self._flush()

    def answer_ended(self, request: bytes) -> None:
        """Takes note that an answer of several messages has left."""
        self._take_from_queue(request)

    def _send_delayed(self) -> None:
        now, turns = time.monotonic_ns(), self._tally.loop_turns
        while self._delayed and self._delayed[0][0] <= now and not turns.is_over():
            _, opcode, payload = self._delayed.popleft()
            self._reply(opcode, payload)
        self._flush()
        if self._delayed and self._scheduler is not None:
            if self._delayed[0][0] <= now:
                turns.put_off(self._send_delayed)
            else:
                self._scheduler.at(self._delayed[0][0], self._send_delayed)

    def resume_writing(self) -> None:
        """Goes on with what waited until the client had received its replies."""
        super().resume_writing()
        self._send_outbox()

    def _reply(self, opcode: int, payload: bytes) -> None:
        if self._faults.fragment == 1:
            self._send(opcode, payload)
            return
        self._outbox.append((opcode, payload))
        if len(self._outbox) == 1:
            self._send_outbox()

    def _send_outbox(self) -> None:
        """Cuts replies into fragments, as far as the client reads them and the turn has time."""
        turns = self._tally.loop_turns
        while self._outbox and not self._held & WRITING:
            if turns.is_over():
                turns.put_off(self._send_outbox)
                return
            self._send(*self._outbox.popleft())
            self._flush()

    def _send(self, opcode: int, payload: bytes) -> None:
        self._take_from_queue(payload)
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
        """Closes or resets the connection after the requested number of replies."""
        if self._replies != self._faults.after or self._transport is None:
            return
        if self._faults.close:
            self._close(close_frame(self._faults.close, "closed on request"))
        elif self._faults.reset:
            self._flush()
            stream = self._transport.get_extra_info("socket")
            # With a linger time of 0 the kernel sends RST instead of FIN.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _ping(self) -> None:
        if self._ping_open:
            self._close(close_frame(frames.INTERNAL_ERROR, "no pong came"))
            return
        self._write(frames.encode_frame(frames.PING, str(self._pings).encode()))
        self._pings += 1
        self._ping_open = True
        self._later("ping", self._faults.ping_ns / NS_PER_S, self._ping)

    def _push(self) -> None:
        turns = self._tally.loop_turns
        due = int((time.monotonic_ns() - self._started) / NS_PER_S * self._faults.push_per_s)
        # To a client that does not read, pushes are sent when it does.
        while self._pushed < due and not self._held & WRITING:
            if self._transport is None or self._transport.is_closing():
                return
            if turns.is_over():
                turns.put_off(self._push)
                return
            batch = range(self._pushed, min(due, self._pushed + PUSH_BATCH))
            self._pending += [frames.encode_frame(frames.TEXT, f"push {number}".encode()) for number in batch]
            self._pushed = batch.stop
            self._flush()
        self._later("push", max(_MIN_PUSH_INTERVAL_S, 1 / self._faults.push_per_s), self._push)

    def _later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._timers[name] = self._loop.call_later(delay_s, call)
