"""A room of the echo server: its members, and what is sent to them.

Frames are encoded once, and written straight to the connections of the members in order of joining: a write hands the
frame to the kernel before it returns, unless earlier bytes still wait in the connection's buffer. A room without faults
and without members that read too slowly takes one loop over the connections, and nothing else for each delivery.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ws_load_test.echo.room_counts import RoomCounts
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


class Building(Protocol):
    """All rooms together, as far as one of them knows; `Rooms` is one."""

    unread_bytes: int
    """Bytes that wait for members that do not read."""

    def flush(self) -> None:
        """Sends what has been published so far."""

    def forget_some(self, empty: Room) -> None:
        """Takes note of a room without members."""

    def stray(self, room: Room, frame: bytes) -> bool:
        """Sends a frame to a member of another room; returns False if there is none."""
        raise NotImplementedError


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

    def __init__(self, name: str, rooms: Building) -> None:
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

    def retain(self, time_ns: int) -> bool:
        """Keeps messages for such a time from now on; returns True if it did not do so before."""
        longer = time_ns > self._retention_ns
        self._retention_ns = max(self._retention_ns, time_ns)
        return longer

    def replay(self, session: RoomSession, replay_ns: int) -> None:
        """Sends what was published within a time before to a member."""
        member = self._members[session]
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

    def plan_fan_out(self, frame: bytes, node: int, without: RoomSession | None) -> tuple[Callable[[int], None], int]:
        """Counts a message whose deliveries are sent later.

        Args:
            frame: Message, encoded.
            node: Node that it is published on.
            without: Member that does not get it.

        Returns:
            A function that sends the message to member number i, and the number of members.
        """
        audience = self.audience(node)
        members = [member for member in audience.members if member.session is not without]
        self.counts.unreached += audience.elsewhere
        self.counts.due += audience.elsewhere
        if self._retention_ns:
            self._keep([frame], node)
        return lambda number: self.deliver(members[number], frame), len(members)

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
