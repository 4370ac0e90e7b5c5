"""Rooms of the echo server: their members, and the fan-out of what is published.

Frames are encoded once, and written straight to the connections of the members in order of joining: a write hands the
frame to the kernel before it returns, unless earlier bytes still wait in the connection's buffer. A room without faults
and without members that read too slowly takes one loop over the connections, and nothing else for each delivery.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ws_load_test.echo.room_counts import RoomCounts, RoomsReport
from ws_load_test.echo.room_faults import DeliveryFaults, Membership, RoomSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ws_load_test.echo.room_options import RoomOptions

MAX_UNREAD_BYTES = 4 << 20
"""Bytes that may wait for a member that does not read, before it is closed: a second of 4 MB/s."""
MAX_ALL_UNREAD_BYTES = 512 << 20
"""The same for all members of a process together."""
MAX_HISTORY_BYTES = 64 << 20
"""Bytes of earlier messages that a room keeps for `replay`; the oldest go first."""
MAX_BATCH_BYTES = 64 << 10
"""Bytes of messages that go out together; with more, they do not wait for the end of the turn."""
MAX_EMPTY_ROOMS = 10_000
"""Rooms without members that are kept for their counts; then these are only in the total."""


class Audience:
    """Members of a room on one node, as of now."""

    __slots__ = ("elsewhere", "is_special", "members", "transports")

    def __init__(self, members: list[Membership], elsewhere: int) -> None:
        """Takes the members on the node in order of joining, and the number of those on other nodes."""
        self.members = members
        self.transports = [member.transport for member in members]
        self.is_special = any(member.is_special for member in members)
        self.elsewhere = elsewhere


class Room:
    """A room: its members in order of joining, its counts, and what it keeps for those who join later."""

    def __init__(self, name: str, rooms: Rooms) -> None:
        self.name = name
        self.counts = RoomCounts()
        self._rooms = rooms
        self._members: dict[RoomSession, Membership] = {}
        self._audiences: dict[int, Audience] = {}
        self._faults: dict[RoomOptions, DeliveryFaults] = {}
        self._history: deque[tuple[int, int, bytes]] = deque()
        """Instant of publishing, node and frame of each message."""
        self._history_bytes = 0
        self._retention_ns = 0
        self._joined = 0
        """Sessions that have joined since the room was last empty."""
        self._dealt = 0
        """Members that have been dealt to nodes."""
        self._publishers = 0
        """Publishers without membership that have been dealt to nodes."""

    def __contains__(self, session: RoomSession) -> bool:
        return session in self._members

    @property
    def is_empty(self) -> bool:
        """True without members."""
        return not self._members

    @property
    def members(self) -> Iterator[Membership]:
        """Members in order of joining."""
        return iter(self._members.values())

    def join(self, session: RoomSession, transport: asyncio.Transport, options: RoomOptions) -> None:
        """Makes a session a member; one that is a member already stays as it is."""
        if session in self._members:
            return
        self._rooms.flush()  # what was published before does not reach it
        node = self._dealt % options.nodes
        self._dealt += 1
        member = Membership(session, transport, node, self._faults_of(options))
        member.stuck = self._joined < options.stuck
        self._joined += 1
        self._members[session] = member
        self._audiences.clear()
        self.counts.members += 1
        self.counts.stuck += member.stuck

    def replay(self, session: RoomSession, replay_ns: int) -> None:
        """Sends what was published within a time before to a member, and keeps such messages from now on."""
        member = self._members[session]
        self._retention_ns = max(self._retention_ns, replay_ns)
        since_ns = time.monotonic_ns() - replay_ns
        frames = [frame for at_ns, node, frame in self._history if at_ns >= since_ns and node == member.node]
        if frames and not member.stuck:
            member.transport.write(b"".join(frames))
            self.counts.replayed += len(frames)

    def leave(self, session: RoomSession) -> None:
        """Ends a membership, if there is one."""
        if session not in self._members:
            return
        self._rooms.flush()  # what was published before still reaches it
        member = self._members.pop(session, None)
        if member is None:  # it did not read, and has left meanwhile
            return
        self._audiences.clear()
        counts = self.counts
        counts.members -= 1
        counts.stuck -= member.stuck
        if member.held:
            counts.held -= 1
            counts.gone += 1
            member.held = []
        self._rooms.unread_bytes -= member.unread_bytes
        member.slow, member.unread_bytes = False, 0
        if not self._members:
            self._joined = self._dealt = self._publishers = 0
            self._rooms.forget_some(self)

    def set_slow(self, session: RoomSession, *, slow: bool) -> None:
        """Takes note that a member's connection holds more than it should, or no longer does."""
        member = self._members[session]
        member.slow = slow
        self._rooms.unread_bytes -= member.unread_bytes
        member.unread_bytes = 0
        self._audiences.clear()

    def node_of(self, session: RoomSession | None, nodes: int) -> int:
        """Returns the node that a session publishes on: that of its membership, else it is dealt to the next one."""
        member = self._members.get(session) if session is not None else None
        if member is not None or nodes == 1:
            return member.node if member is not None else 0
        self._publishers += 1
        return (self._publishers - 1) % nodes

    def audience(self, node: int) -> Audience:
        """Returns the members on a node."""
        audience = self._audiences.get(node)
        if audience is None:
            here = [member for member in self._members.values() if member.node == node]
            audience = self._audiences[node] = Audience(here, len(self._members) - len(here))
        return audience

    def fan_out(self, frames: list[bytes], node: int, own: dict[RoomSession, set[int]]) -> None:
        """Sends messages to the members on a node.

        Args:
            frames: Messages that were published together, encoded.
            node: Node that they were published on.
            own: Places of the messages that must not go to a session, because it has published them.
        """
        audience, counts = self.audience(node), self.counts
        counts.published += len(frames)
        counts.unreached += audience.elsewhere * len(frames)
        counts.due += audience.elsewhere * len(frames)
        if self._retention_ns:
            self._keep(frames, node)
        if audience.is_special or not own.keys().isdisjoint(self._members):
            self._deliver_each(audience, frames, own)
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        sent = 0
        for transport in audience.transports:
            if not transport.is_closing():
                transport.write(data)
                sent += 1
        counts.deliveries += sent * len(frames)
        counts.gone += (len(audience.transports) - sent) * len(frames)
        counts.due += len(audience.transports) * len(frames)

    def _deliver_each(self, audience: Audience, frames: list[bytes], own: dict[RoomSession, set[int]]) -> None:
        """Sends messages to an audience in which not all members get the same."""
        counts, data = self.counts, b"".join(frames)
        for member in audience.members:
            left_out = own.get(member.session, ())
            if member.is_special or left_out:
                for place, frame in enumerate(frames):
                    if place not in left_out:
                        self.deliver(member, frame)
                continue
            counts.due += len(frames)
            if member.transport.is_closing():
                counts.gone += len(frames)
            else:
                counts.deliveries += len(frames)
                member.transport.write(data)

    def publish_slowly(
        self,
        frame: bytes,
        node: int,
        without: RoomSession | None,
        start: Callable[[Callable[[int], None], int], None],
    ) -> None:
        """Counts a message of a publisher, and has it sent to the members on its node one by one.

        Args:
            frame: Message, encoded.
            node: Node that it is published on.
            without: Member that does not get it.
            start: Called with a function that sends the message to member number i, and the number of members.
        """
        self._rooms.flush()  # what was published before comes before
        audience = self.audience(node)
        members = [member for member in audience.members if member.session is not without]
        counts = self.counts
        counts.published += 1
        counts.unreached += audience.elsewhere
        counts.due += audience.elsewhere
        if self._retention_ns:
            self._keep([frame], node)
        start(lambda number: self.deliver(members[number], frame), len(members))

    def deliver(self, member: Membership, frame: bytes) -> None:
        """Sends a message to one member, with the faults that its URL asks for."""
        counts = self.counts
        counts.due += 1
        if member.transport.is_closing():
            counts.gone += 1
        elif member.stuck:
            counts.withheld += 1
        elif member.slow and self._overflows(member):
            counts.gone += 1
        elif member.faults is not None:
            member.faults.deliver(member, frame)
        else:
            member.transport.write(frame)
            counts.deliveries += 1

    def _keep(self, frames: list[bytes], node: int) -> None:
        """Keeps messages for those who join within the time that `replay` asked for."""
        now_ns = time.monotonic_ns()
        history = self._history
        for frame in frames:
            history.append((now_ns, node, frame))
            self._history_bytes += len(frame)
        while history and (self._history_bytes > MAX_HISTORY_BYTES or history[0][0] < now_ns - self._retention_ns):
            self._history_bytes -= len(history.popleft()[2])

    def restart(self) -> None:
        """Starts the counts and the shares anew."""
        self.counts.restart()
        for faults in self._faults.values():
            faults.restart()

    def _faults_of(self, options: RoomOptions) -> DeliveryFaults | None:
        if not DeliveryFaults.are_in(options):
            return None
        if options not in self._faults:
            self._faults[options] = DeliveryFaults(options, self.counts, lambda frame: self._rooms.stray(self, frame))
        return self._faults[options]

    def _overflows(self, member: Membership) -> bool:
        """Looks at how much waits for a slow member, and has it closed if that is too much."""
        unread_bytes = member.transport.get_write_buffer_size()
        self._rooms.unread_bytes += unread_bytes - member.unread_bytes
        member.unread_bytes = unread_bytes
        if unread_bytes <= MAX_UNREAD_BYTES and self._rooms.unread_bytes <= MAX_ALL_UNREAD_BYTES:
            return False
        self.counts.overflowed += 1
        member.session.overflow()
        return True


class Publisher(Protocol):
    """Publisher of messages that wants to know when they are out."""

    def published(self) -> None:
        """Called once all messages that it has published have been written to the members."""


class Rooms:
    """All rooms of a process.

    What is published in one turn of the loop goes out together at its end, with one write for each member: a write
    costs ten times the rest of a delivery, so a busy server keeps up with more messages.
    """

    def __init__(self) -> None:
        self._published: list[tuple[Room, int, bytes, RoomSession | None]] = []
        """Messages that are to go out: room, node, frame, and the member that must not get it."""
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
        if not self._published:
            asyncio.get_running_loop().call_soon(self.flush)
        self._published.append((room, node, frame, without))
        self._published_bytes += len(frame)
        if publisher is not None:
            self._publishers[publisher] = None
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
        for (room, node), messages in itertools.groupby(published, key=lambda message: message[:2]):
            frames: list[bytes] = []
            own: dict[RoomSession, set[int]] = {}
            for place, (_, _, frame, without) in enumerate(messages):
                frames.append(frame)
                if without is not None:
                    own.setdefault(without, set()).add(place)
            room.fan_out(frames, node, own)
        for publisher in publishers:
            publisher.published()

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
        report = RoomsReport()
        report.total.add(self._forgotten)
        for name, room in self._rooms.items():
            report.add(RoomsReport(room.counts, {name: room.counts}))
        if reset:
            self.restart()
        return report

    def restart(self) -> None:
        """Starts all counts anew; members stay, and rooms without any are forgotten."""
        self.flush()
        self._forgotten = RoomCounts()
        self._empty.clear()
        self._rooms = {name: room for name, room in self._rooms.items() if not room.is_empty}
        for room in self._rooms.values():
            room.restart()
