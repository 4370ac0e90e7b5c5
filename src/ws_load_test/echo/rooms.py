"""All rooms of the echo server: what is published goes to their members, and on to the other processes.

What is published in one turn of the loop goes out together at its end, with one write for each member: a write costs
ten times the rest of a delivery, so a busy server keeps up with more messages.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

from ws_load_test.echo.fan_out_clock import FanOutClock
from ws_load_test.echo.room import Room
from ws_load_test.echo.room_counts import RoomCounts, RoomsReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.common.loop_turns import LoopTurns
    from ws_load_test.echo.room_faults import RoomSession

MAX_BATCH_BYTES = 64 << 10
"""Bytes of messages that go out together; with more, they do not wait for the end of the turn."""
MAX_EMPTY_ROOMS = 10_000
"""Rooms without members that are kept for their counts; then these are only in the total."""


class Publisher(Protocol):
    """Publisher of messages that wants to know when they are out."""

    def published(self) -> None:
        """Called once all messages that it has published have been written to the members."""


class Bus(Protocol):
    """Way to the other processes of the server."""

    def share(self, room: str, node: int, frames: list[bytes], delay_ns: int = 0) -> int:
        """Passes messages on; returns the number of those that were not, because a process does not keep up."""
        raise NotImplementedError

    def retain(self, room: str, time_ns: int) -> None:
        """Has the other processes keep the messages of a room for such a time."""


class Rooms:
    """All rooms of a process."""

    def __init__(self, turns: LoopTurns) -> None:
        """Takes the turns of the loop."""
        self._clock = FanOutClock(turns)
        self.bus: Bus | None = None
        """Way to the other processes; None where there is one process."""
        self._published: list[tuple[Room, int, bool, bytes, RoomSession | None]] = []
        """Messages that are to go out: room, node, True if published in this process, frame, who must not get it."""
        self._published_bytes = 0
        self._publishers: dict[Publisher, None] = {}
        """Publishers of these messages that wait until they are out."""
        self.overlaps = 0
        """Memberships of sessions beyond their first: only with such does the order among rooms matter."""
        self._rooms: dict[str, Room] = {}
        self._empty: dict[str, None] = {}
        """Names of the rooms without members, the longest empty first."""
        self._forgotten = RoomCounts()
        """Sum of the counts of rooms that are no longer kept."""
        self._strays = 0
        self.unread_bytes = 0
        """Bytes that wait for members that do not read."""

    def room(self, name: str) -> Room:
        """Returns the room of a name."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self)
            self.forget_some(room)
        return room

    def publish(
        self, room: Room, node: int, frame: bytes, without: RoomSession | None, publisher: Publisher | None
    ) -> None:
        """Sends a message to a room, at the end of this turn of the loop.

        Args:
            room: Room that it is published to.
            node: Node that it is published on.
            frame: Message, encoded.
            without: Member that does not get it.
            publisher: Publisher to call when it is out, if any.
        """
        if publisher is not None:
            self._publishers[publisher] = None
        self._add((room, node, True, frame, without))

    def _add(self, message: tuple[Room, int, bool, bytes, RoomSession | None]) -> None:
        if not self._published:
            asyncio.get_running_loop().call_soon(self.flush)
        self._published.append(message)
        self._published_bytes += len(message[3])
        if self._published_bytes > MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what has been published, room by room; in the order of publishing where sessions are in several."""
        if not self._published:
            return
        published, self._published, self._published_bytes = self._published, [], 0
        publishers, self._publishers = self._publishers, {}
        if not self.overlaps:
            published.sort(key=lambda message: (id(message[0]), message[1]))
        for (room, node, is_ours), messages in itertools.groupby(published, key=lambda message: message[:3]):
            frames: list[bytes] = []
            own: dict[RoomSession, set[int]] = {}
            for place, (_, _, _, frame, without) in enumerate(messages):
                frames.append(frame)
                if without is not None:
                    own.setdefault(without, set()).add(place)
            if is_ours:
                room.counts.published += len(frames)
            if is_ours and self.bus is not None:
                room.counts.unshared += self.bus.share(room.name, node, frames)
            room.fan_out(frames, node, own)
        for publisher in publishers:
            publisher.published()

    def publish_slowly(
        self,
        room: Room,
        node: int,
        frame: bytes,
        without: RoomSession | None,
        *,
        delay_ns: int,
        done: Callable[[], None],
    ) -> None:
        """Sends a message to the members of a room with a time between one and the next.

        Args:
            room: Room that it is published to.
            node: Node that it is published on.
            frame: Message, encoded.
            without: Member that does not get it.
            delay_ns: Nanoseconds between two members.
            done: Called when it has gone to all of them.
        """
        room.counts.published += 1
        if self.bus is not None:
            room.counts.unshared += self.bus.share(room.name, node, [frame], delay_ns)
        self._clock.start(*room.plan_fan_out(frame, node, without), delay_ns, done)

    def deliver_shared(self, name: str, node: int, frames: list[bytes], delay_ns: int) -> None:
        """Sends what another process has published to the members in this one."""
        room = self._rooms.get(name)
        if room is None:
            return
        for frame in frames:
            if delay_ns:
                self._clock.start(*room.plan_fan_out(frame, node, None), delay_ns, lambda: None)
            else:
                self._add((room, node, False, frame, None))

    def retain(self, room: Room, time_ns: int) -> None:
        """Keeps the messages of a room for such a time from now on, in all processes."""
        if room.retain(time_ns) and self.bus is not None:
            self.bus.retain(room.name, time_ns)

    def close(self) -> None:
        """Drops what has not been sent."""
        self._clock.close()

    def forget_some(self, empty: Room) -> None:
        """Takes note of a room without members; keeps of the longest empty ones only the sum of their counts."""
        self._empty.pop(empty.name, None)
        self._empty[empty.name] = None
        while len(self._empty) > MAX_EMPTY_ROOMS:
            name = next(iter(self._empty))
            del self._empty[name]
            if self._rooms[name].is_empty:
                self._forgotten.add(self._rooms.pop(name).counts)

    def stray(self, room: Room, frame: bytes) -> bool:
        """Sends a frame to a member of another room, of each in turn; returns False if there is none."""
        others = [other for other in self._rooms.values() if other is not room and not other.is_empty]
        for _ in range(len(others)):
            self._strays += 1
            members = list(others[self._strays % len(others)].members)
            for offset in range(len(members)):
                member = members[(self._strays // len(others) + offset) % len(members)]
                if member.session not in room and not member.stuck and not member.transport.is_closing():
                    member.transport.write(frame)
                    return True
        return False

    def report(self, *, reset: bool = False) -> RoomsReport:
        """Returns the counts so far, and starts them anew if asked to."""
        self.flush()
        report = RoomsReport(latest_ns=self._clock.latest_ns)
        report.total.add(self._forgotten)
        for name, room in self._rooms.items():
            report.add(RoomsReport(room.counts, {name: room.counts}))
        if reset:
            self._restart()
        return report

    def _restart(self) -> None:
        """Starts all counts anew; members stay, and rooms without any are forgotten."""
        self._clock.latest_ns = 0
        self._forgotten = RoomCounts()
        self._empty.clear()
        self._rooms = {name: room for name, room in self._rooms.items() if not room.is_empty}
        for room in self._rooms.values():
            room.restart()
