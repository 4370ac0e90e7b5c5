"""Faults of deliveries to the members of a room, with what each counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ws_load_test.echo.even_share import EvenShare

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ws_load_test.echo.room_counts import RoomCounts
    from ws_load_test.echo.room_options import RoomOptions


class RoomSession(Protocol):
    """A session that is a member of rooms."""

    def overflow(self) -> None:
        """Called when too much waits for a session that does not read: closes it."""


class Membership:
    """A session in a room: its transport, its node, and the faults of the deliveries to it."""

    __slots__ = ("faults", "held", "node", "session", "slow", "stuck", "transport", "unread_bytes")

    def __init__(
        self, session: RoomSession, transport: asyncio.Transport, node: int, faults: DeliveryFaults | None
    ) -> None:
        self.session = session
        self.transport = transport
        self.node = node
        self.faults = faults
        """Faults that the URL asks for; None without any."""
        self.stuck = False
        self.slow = False
        """True while more waits for the session than its transport holds without complaint."""
        self.unread_bytes = 0
        """Bytes that waited for it at the latest delivery, while it is slow."""
        self.held: list[bytes] = []
        """Frames of a delivery that changes places with the next one."""

    @property
    def is_special(self) -> bool:
        """True if deliveries need more than a write."""
        return self.faults is not None or self.stuck or self.slow


class DeliveryFaults:
    """Faults of the deliveries to all members of a room whose URLs ask for the same ones."""

    __slots__ = ("_counts", "_duplicate", "_lose", "_misdeliver", "_owed_swaps", "_stray", "_swap")

    def __init__(self, options: RoomOptions, counts: RoomCounts, stray: Callable[[bytes], bool]) -> None:
        """Takes the shares, the counts of the room, and a function.

        Args:
            options: Options of the members' URLs.
            counts: Counts of the room.
            stray: Sends a frame to a member of another room; returns False if there is none.
        """
        self._counts = counts
        self._stray = stray
        self._lose = EvenShare(options.lose)
        self._duplicate = EvenShare(options.duplicate)
        self._swap = EvenShare(options.swap)
        self._misdeliver = EvenShare(options.misdeliver)
        self._owed_swaps = 0
        """Swaps that are due but have met a member that holds a delivery already."""

    @staticmethod
    def are_in(options: RoomOptions) -> bool:
        """True if the options ask for one of these faults."""
        return bool(options.lose or options.duplicate or options.swap or options.misdeliver)

    def restart(self) -> None:
        """Starts the shares anew."""
        for share in (self._lose, self._duplicate, self._swap, self._misdeliver):
            share.restart()
        self._owed_swaps = 0

    def deliver(self, member: Membership, frame: bytes) -> None:
        """Sends a frame to a member, or not; counts it."""
        counts = self._counts
        if self._lose.hit():
            counts.lost += 1
            return
        frames = [frame]
        if self._duplicate.hit():
            counts.duplicated += 1
            frames.append(frame)
        if self._misdeliver.hit() and self._stray(frame):
            counts.misdelivered += 1
        self._owed_swaps += self._swap.hit()
        if member.held:
            held, member.held = member.held, []
            counts.held -= 1
            counts.swapped += 1
            counts.deliveries += 2
            member.transport.write(b"".join(frames + held))
        elif self._owed_swaps:
            self._owed_swaps -= 1
            counts.held += 1
            member.held = frames
        else:
            counts.deliveries += 1
            member.transport.write(b"".join(frames))
