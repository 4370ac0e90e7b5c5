"""Counts of the rooms of the echo server: what a load generator's own accounting can be checked against.

Of the deliveries that were due, each is in one count:
due = deliveries + lost + withheld + unreached + held + gone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Self


@dataclass(slots=True)
class RoomCounts:
    """Counts of a room, or of all rooms together.

    Attributes:
        members: Sessions that are members now.
        published: Messages published to the room.
        due: Deliveries that a server without faults would make: for each message its members at that moment, without
            the publisher where its URL has `self=no`.
        deliveries: Deliveries that were sent: handed to the kernel or, where the member reads too slowly, to the
            connection's buffer. Copies of `duplicate`, `misdeliver` and `replay` are not among them.
        lost: Deliveries that `lose` left out.
        duplicated: Deliveries that `duplicate` sent a second time.
        swapped: Deliveries that `swap` sent after the member's next one.
        held: Deliveries that wait for the member's next one, to be sent after it.
        misdelivered: Deliveries that `misdeliver` sent to a member of another room as well.
        replayed: Earlier messages that `replay` sent to a session when it joined.
        withheld: Deliveries that were not sent because `stuck` stopped the member.
        unreached: Deliveries that were not sent because `nodes` put publisher and member on different nodes.
        gone: Deliveries that were not sent because the member's connection was closing by then.
        stuck: Members that `stuck` has stopped.
        overflowed: Members that were closed because they did not read.
        unshared: Messages that were not passed on to another process of the server, because it did not keep up.
    """

    members: int = 0
    published: int = 0
    due: int = 0
    deliveries: int = 0
    lost: int = 0
    duplicated: int = 0
    swapped: int = 0
    held: int = 0
    misdelivered: int = 0
    replayed: int = 0
    withheld: int = 0
    unreached: int = 0
    gone: int = 0
    stuck: int = 0
    overflowed: int = 0
    unshared: int = 0

    def add(self, other: RoomCounts) -> None:
        """Adds the counts of another room, or of another process's part of the room."""
        for name in _NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def restart(self) -> None:
        """Sets to 0 what counts events; keeps what is so now: members, stuck and held."""
        for name in _NAMES:
            if name not in _STATES:
                setattr(self, name, 0)
        self.due = self.held  # so that the sum of the module's description still holds


_NAMES = tuple(part.name for part in fields(RoomCounts))
_STATES = {"members", "stuck", "held"}


@dataclass(slots=True)
class RoomsReport:
    """Counts of all rooms.

    Attributes:
        total: Sum over all rooms, those that were forgotten included.
        rooms: Counts of each room, by its name.
        latest_ns: Nanoseconds that the latest delivery of `fan-delay` left after its instant, because the process was
            busy: by so much the spread of a fan-out can differ from members × delay.
    """

    total: RoomCounts = field(default_factory=RoomCounts)
    rooms: dict[str, RoomCounts] = field(default_factory=dict)
    latest_ns: int = 0

    def add(self, other: RoomsReport) -> None:
        """Adds the report of another process."""
        self.total.add(other.total)
        self.latest_ns = max(self.latest_ns, other.latest_ns)
        for name, counts in other.rooms.items():
            self.rooms.setdefault(name, RoomCounts()).add(counts)

    def to_json(self) -> str:
        """Returns one line of JSON: the total, and under `rooms` each room."""
        rooms = {name: asdict(counts) for name, counts in self.rooms.items()}
        return json.dumps(asdict(self.total) | {"latest_ns": self.latest_ns, "rooms": rooms})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` returned."""
        total = json.loads(text)
        rooms, latest_ns = total.pop("rooms"), total.pop("latest_ns")
        return cls(RoomCounts(**total), {name: RoomCounts(**counts) for name, counts in rooms.items()}, latest_ns)
