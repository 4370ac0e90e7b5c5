"""Answers of many messages, of known size and at known instants, as the query of the URL asks of the echo server.

=================== ==========================================================================================
`stream=20`         answers each message with 20, in JSON: `{"id": 7, "index": 0, "text": "word"}`, ...; the last has
                    `"done": true, "usage": {"tokens": 20}` besides. The id is that of the message, if it has one
`gap=20ms`          sends them that far apart (default: all at once), the first as soon as an echo would be sent
`stall=1s@10`       lengthens one gap, in the middle, by a second in every tenth answer of a connection
`cut=10`            leaves out the last quarter of every tenth answer, and so its end; nothing else shows it
=================== ==========================================================================================

Each message leaves at its own instant from the beginning of its answer, so that one that is late delays no other.
Answers to messages that were sent together are interleaved. Each connection begins to count its answers one later than
the one before, so that many connections with few answers have their share of stalls and cuts as well. To close or reset
the session within an answer, add `close` or `reset`, and `after` for the number of messages before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.units import parse_duration_ns
from ws_load_test.echo.delay_scheduler import DelayScheduler

if TYPE_CHECKING:
    from ws_load_test.common.loop_turns import LoopTurns

MOST_MESSAGES = 10_000
"""Messages of an answer, at most: one that is asked for by mistake must not fill the memory."""
FEWEST_TO_BREAK = 3
"""Messages of an answer that can stall or be cut: one before, one after the stall, and one that is left out."""
RETRY_NS = 5_000_000
"""Time after which it is tried again to send to a client that does not read: 5 ms."""
_WORDS = ("The", " answer", " is", " forty", "-two", ".")
"""Texts of the messages, in turn."""


@dataclass(slots=True)
class StreamShape:
    """Size and instants of answers; each field is an option of the query."""

    messages: int = 0
    gap_ns: int = 0
    stall_ns: int = 0
    stall_every: int = 0
    cut_every: int = 0
    requested: set[str] = field(default_factory=set)
    """Names of the options in the query."""

    def read(self, name: str, text: str) -> None:
        """Reads the value of an option.

        Raises:
            ValueError: It cannot be used; with what to write instead.
        """
        self.requested.add(name)
        if name == "stream":
            self.messages = _whole(text, MOST_MESSAGES)
        elif name == "gap":
            self.gap_ns = parse_duration_ns(text)
        elif name == "cut":
            self.cut_every = _whole(text, 10**9)
        else:
            length, at, every = text.partition("@")
            self.stall_ns = parse_duration_ns(length)
            self.stall_every = _whole(every, 10**9) if at else 1

    def check(self) -> None:
        """Raises ValueError if the options do not fit each other."""
        if not self.messages:
            raise ValueError(f"{min(self.requested)} in the query: there is no stream; add stream=20")
        if (self.stall_every or self.cut_every) and self.messages < FEWEST_TO_BREAK:
            raise ValueError(f"stream={self.messages} in the query: write {FEWEST_TO_BREAK} or more with stall or cut")

    def length_of(self, number: int) -> int:
        """Returns how many messages of the answer with this number leave."""
        if not self.cut_every or number % self.cut_every:
            return self.messages
        return max(self.messages // 2 + 1, self.messages * 3 // 4)

    def instant_ns(self, number: int, place: int) -> int:
        """Returns when the message at a place of the answer with this number leaves, from its beginning."""
        has_stalled = self.stall_every and number % self.stall_every == 0 and place >= self.messages // 2
        return place * self.gap_ns + (self.stall_ns if has_stalled else 0)

    def text(self, place: int, request_id: object) -> bytes:
        """Returns the message at a place of the answer to a request with this id, None where it has none."""
        message: dict[str, object] = {} if request_id is None else {"id": request_id}
        message |= {"index": place, "text": _WORDS[place % len(_WORDS)]}
        if place == self.messages - 1:
            message |= {"done": True, "usage": {"tokens": self.messages}}
        return json.dumps(message).encode()


class StreamingConnection(Protocol):
    """Connection whose messages are answered with streams."""

    @property
    def takes_more(self) -> bool:
        """True while its client reads."""
        ...

    def send_part(self, opcode: int, payload: bytes) -> None:
        """Adds a message of an answer to the next write."""
        ...

    def flush(self) -> None:
        """Writes them."""
        ...

    def answer_ended(self, request: bytes) -> None:
        """Takes note that all messages of the answer to a request have left."""
        ...


class Streamer:
    """Answers of one connection that are under way."""

    def __init__(
        self, shape: StreamShape, first_number: int, connection: StreamingConnection, turns: LoopTurns
    ) -> None:
        """Takes the number of the first answer, and the turns of the server's loop."""
        self.shape = shape
        self.connection = connection
        self.turns = turns
        self.scheduler = DelayScheduler.join()
        self.stopped = False
        self._number = first_number - 1

    def stop(self) -> None:
        """Sends nothing more."""
        if not self.stopped:
            self.stopped = True
            self.scheduler.leave()

    def answer(self, opcode: int, request: bytes, delay_ns: int) -> None:
        """Answers a message after a delay."""
        self._number += 1
        _Answer(self, self._number, opcode, request, monotonic_ns() + delay_ns).go_on()


class _Answer:
    """One answer under way: small, since a client can have hundreds of thousands."""

    __slots__ = ("_begin_ns", "_id", "_number", "_opcode", "_place", "_request", "_streamer")

    def __init__(self, streamer: Streamer, number: int, opcode: int, request: bytes, begin_ns: int) -> None:
        self._streamer, self._number, self._opcode, self._begin_ns = streamer, number, opcode, begin_ns
        self._request = request
        self._id = _id_of(request)
        self._place = 0

    def go_on(self) -> None:
        """Sends what is due, and waits for what is next."""
        streamer = self._streamer
        connection, shape, scheduler = streamer.connection, streamer.shape, streamer.scheduler
        length, waits_until_ns = shape.length_of(self._number), 0
        while self._place < length and not streamer.stopped:
            waits_until_ns = self._begin_ns + shape.instant_ns(self._number, self._place)
            if waits_until_ns > (now_ns := monotonic_ns()):
                break
            if not connection.takes_more:
                waits_until_ns = now_ns + RETRY_NS
                break
            if streamer.turns.is_over():
                streamer.turns.put_off(self.go_on)
                waits_until_ns = 0
                break
            connection.send_part(self._opcode, shape.text(self._place, self._id))
            self._place += 1
        if streamer.stopped:
            return
        connection.flush()
        if self._place == length:
            connection.answer_ended(self._request)
        elif waits_until_ns:
            scheduler.at(waits_until_ns, self.go_on)


def _id_of(request: bytes) -> object:
    """Returns the id of a message in JSON, of whatever type; None where it has none."""
    try:
        message = json.loads(request)
    except (ValueError, RecursionError):
        return None
    return message.get("id") if isinstance(message, dict) else None


def _whole(text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise ValueError(f"write a whole number from 1 to {most}")
    return int(text)
