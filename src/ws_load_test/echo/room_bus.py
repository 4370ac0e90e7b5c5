"""Way between the processes of an echo server: what is published in one reaches the members in all.

Each two processes share a socket pair, which their parent has made. Everything that one process sends to another goes
through it in order, so each member gets the messages of a publisher in order, whichever process has which of them.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING, cast

import msgspec

from ws_load_test.echo.room_counts import RoomsReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.echo.rooms import Rooms

MAX_WAITING_BYTES = 64 << 20
"""Bytes that may wait for another process: beyond, messages are counted as not shared instead of passed on."""
_LENGTH_BYTES = 4
"""Bytes of the length in front of everything that is sent."""


class Publication(msgspec.Struct, tag="p", array_like=True):
    """Messages for the members of a room on a node, encoded, and the time between two members."""

    room: str
    node: int
    delay_ns: int
    frames: list[bytes]


class Retention(msgspec.Struct, tag="r", array_like=True):
    """Time for which a room keeps its messages."""

    room: str
    time_ns: int


class Question(msgspec.Struct, tag="q", array_like=True):
    """Request for the counts of all rooms, which start anew if asked to."""

    number: int
    reset: bool


class Answer(msgspec.Struct, tag="a", array_like=True):
    """Counts of all rooms of a process, as JSON."""

    number: int
    report: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Publication | Retention | Question | Answer).decode


class RoomBus:
    """Connections to the other processes."""

    def __init__(self, rooms: Rooms) -> None:
        """Takes the rooms of this process."""
        self._rooms = rooms
        self._peers: list[Peer] = []
        self._numbers = itertools.count()
        self._collections: dict[int, Collection] = {}
        """Questions that wait for answers, by their number."""

    async def open(self, descriptors: Sequence[int]) -> None:
        """Opens the connections, by the descriptors of their sockets."""
        loop = asyncio.get_running_loop()
        for descriptor in descriptors:
            _, peer = await loop.create_unix_connection(lambda: Peer(self), sock=socket.socket(fileno=descriptor))
            self._peers.append(peer)

    def close(self) -> None:
        """Closes the connections."""
        for peer in self._peers:
            peer.close()

    def share(self, room: str, node: int, frames: list[bytes], delay_ns: int = 0) -> int:
        """Passes messages on; returns the number of those that were not, because a process does not keep up."""
        data = _framed(Publication(room, node, delay_ns, frames))
        return len(frames) * sum(not peer.send(data) for peer in self._peers)

    def retain(self, room: str, time_ns: int) -> None:
        """Has the other processes keep the messages of a room for such a time."""
        data = _framed(Retention(room, time_ns))
        for peer in self._peers:
            peer.send(data)

    def collect(self, done: Callable[[RoomsReport], None], *, reset: bool) -> None:
        """Calls back with the counts of all processes; those of a process that has ended are left out."""
        number = next(self._numbers)
        data = _framed(Question(number, reset))
        waiting = {peer for peer in self._peers if peer.is_open}
        for peer in waiting:
            peer.send(data, always=True)
        self._collections[number] = Collection(self._rooms.report(reset=reset), waiting, done)
        self._finish(number)

    def received(self, peer: Peer, data: bytes) -> None:
        """Called with what another process has sent."""
        match message := _decode(data):
            case Publication():
                self._rooms.deliver_shared(message.room, message.node, message.frames, message.delay_ns)
            case Retention():
                self._rooms.room(message.room).retain(message.time_ns)
            case Question():
                report = self._rooms.report(reset=message.reset)
                peer.send(_framed(Answer(message.number, report.to_json())), always=True)
            case Answer():
                collection = self._collections.get(message.number)
                if collection is not None:
                    collection.report.add(RoomsReport.from_json(message.report))
                    collection.waiting.discard(peer)
                    self._finish(message.number)

    def lost(self, peer: Peer) -> None:
        """Called when the connection to another process has ended."""
        for number, collection in tuple(self._collections.items()):
            collection.waiting.discard(peer)
            self._finish(number)

    def _finish(self, number: int) -> None:
        if not self._collections[number].waiting:
            collection = self._collections.pop(number)
            collection.done(collection.report)


class Collection:
    """Counts of several processes that come together."""

    def __init__(self, report: RoomsReport, waiting: set[Peer], done: Callable[[RoomsReport], None]) -> None:
        """Takes the counts of this process, the other processes that will answer, and what to call with the sum."""
        self.report = report
        self.waiting = waiting
        self.done = done


class Peer(asyncio.Protocol):
    """Connection to another process."""

    def __init__(self, bus: RoomBus) -> None:
        """Takes the bus that it belongs to."""
        self._bus = bus
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    @property
    def is_open(self) -> bool:
        """True until the other process has ended."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forgets the other process, which is ending; the parent notices where it should not."""
        self._transport = None
        self._bus.lost(self)

    def data_received(self, data: bytes) -> None:
        """Hands over what has come whole."""
        self._data += data
        start = 0
        while len(self._data) - start >= _LENGTH_BYTES:
            end = start + _LENGTH_BYTES + int.from_bytes(self._data[start : start + _LENGTH_BYTES])
            if end > len(self._data):
                break
            self._bus.received(self, bytes(self._data[start + _LENGTH_BYTES : end]))
            start = end
        del self._data[:start]

    def send(self, data: bytes, *, always: bool = False) -> bool:
        """Sends data unless too much waits already; returns False if not, and True after the other one's end."""
        transport = self._transport
        if transport is None:
            return True
        if not always and transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            return False
        transport.write(data)
        return True

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.abort()


def _framed(message: Publication | Retention | Question | Answer) -> bytes:
    data = _encode(message)
    return len(data).to_bytes(_LENGTH_BYTES) + data
