"""One publish on a worker, with its deliveries to the worker's members of the room; the publishes of one publisher."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ws_load_test.engine.fan_out.membership import RoomMembers

NO_SLOT = -1
"""Slot of a publisher that is no subscriber of this worker."""


class Publish:
    """A publish while deliveries of it may still come.

    A delivery adds its slot and its instant, and nothing else happens until the next flush.
    """

    __slots__ = (
        "add_slot",
        "add_time",
        "came",
        "due_ns",
        "first_ns",
        "in_time",
        "keys",
        "last_ns",
        "number",
        "publisher_slot",
        "room",
        "sent_from_ns",
        "sent_to_ns",
        "slots",
        "standings",
        "times",
    )

    def __init__(
        self, number: int, room: RoomMembers, publisher_slot: int, *, due_ns: int = 0, sent_ns: tuple[int, int]
    ) -> None:
        """Takes what is known of it.

        Args:
            number: Its number among those of its publisher.
            room: Members of its room.
            publisher_slot: Slot of the subscriber that its publisher is.
            due_ns: Instant at which it was due; 0 until a delivery shows it.
            sent_ns: It was sent between these two instants, which are the same once a delivery shows it.
        """
        self.number = number
        self.room = room
        self.due_ns = due_ns
        self.sent_from_ns, self.sent_to_ns = sent_ns
        self.publisher_slot = publisher_slot
        self.slots = array("q")
        """Slots of the deliveries since the last flush, in the order in which they came."""
        self.times = array("q")
        """Their instants."""
        self.add_slot = self.slots.append
        self.add_time = self.times.append
        self.came: NDArray[np.uint8] = np.zeros(room.size, np.uint8)
        """Deliveries to each place, at most 255."""
        self.in_time: NDArray[np.bool_] = np.zeros(room.size, bool)
        """Places to which the first of them came within the time-out."""
        self.first_ns = self.last_ns = 0
        """Instants of the first and the last timed delivery; 0: none yet."""
        self.standings: NDArray[np.int8] | None = None
        """Claims of the members, once it is settled."""
        self.keys: list[bytes] = []
        """Reads by which it is recognized."""


@dataclass(slots=True)
class PublisherLog:
    """The publishes of one publisher that are not retired."""

    number: int
    """Number of the publisher."""
    same_host: bool = False
    """It is on this machine, in a run on several."""
    window: dict[int, Publish] = field(default_factory=dict)
    newest: int = 0
    """Number behind the largest that is known to have been sent."""
    settled: int = 0
    """Number of the first publish that is not settled."""
    retired: int = 0
    """Number of the first publish that is not retired."""
    sent_ns: int = 0
    """Instant before which no further publish was sent."""
    missed: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """Consecutive publishes that each member has just missed, by room."""
    latest: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """Largest number that each member has received, by room."""
