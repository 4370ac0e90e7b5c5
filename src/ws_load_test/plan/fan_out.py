"""Fan-out of a plan: which sessions publish, which receive, and in which rooms.

Publishers, subscribers and rooms are numbered, and who receives what is arithmetic, so that no worker needs a table
of another's sessions: subscriber s is in room s mod R, publisher p publishes to room p mod R or, where there are more
rooms than publishers, its message n to room (p + n) mod R.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from ws_load_test.common.units import format_count
from ws_load_test.plan.codecs import CodecName
from ws_load_test.plan.ranges import Connections, Count, PositiveCount
from ws_load_test.plan.redaction import public_header, public_url, secrets_in_header, secrets_in_url

SelfDelivery = Literal["either", "expected", "excluded"]
"""A publisher that is in the room: it may receive its own message, must, or must not."""
Recovery = Literal["none", "expected"]
"""Publishes from while a session was away: they need not come after its return, or must."""


_GOLDEN_RATIO_64 = 0x9E3779B97F4A7C15
"""Odd number next to 2^64 divided by the golden ratio."""
_MASK_64 = (1 << 64) - 1


class HttpPublish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Publishing by HTTP requests instead of WebSocket messages; each publisher has a connection of its own."""

    method: str
    """Method of the request: ``POST``."""
    url: str
    """URL with fields."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers, with fields."""

    def redacted(self) -> HttpPublish:
        """The same with the secrets of its URL and its headers hidden."""
        headers = tuple(public_header(name, value) for name, value in self.headers)
        return msgspec.structs.replace(self, url=public_url(self.url), headers=headers)

    def secrets(self) -> frozenset[str]:
        """Returns the secrets of its URL and its headers; the values of fields apart."""
        return frozenset(secrets_in_url(self.url).union(*(secrets_in_header(*header) for header in self.headers)))


class MarkerRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Recognition of a delivery."""

    kind: Literal["marker", CodecName, "regex"] = "marker"
    """``marker``: the field ``{marker}`` anywhere in a message. The others find the ``{seq}`` of the publish."""
    pattern: str = ""
    """Path or regular expression; empty for ``marker``."""

    def __str__(self) -> str:
        return "{marker}" if self.kind == "marker" else f"{self.kind}:{self.pattern}"


class SessionRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions whose numbers follow each other."""

    first: Count
    """Number of the first one's connection."""
    count: Connections
    """Number of sessions."""
    """Number of sessions."""

    def place_of(self, connection: int) -> int | None:
        """Returns the place of a connection among them, from 0; None if it is none of them."""
        place = connection - self.first
        return place if 0 <= place < self.count else None


class RoleSessions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions of a scenario's roles, by what they do in its fan-out.

    Publishers are numbered over all roles that publish. Each publishes to the room that its own session is in, that of
    its place in the role mod R; where its role has fewer sessions than there are rooms, to all in turn from there.
    """

    sessions: Connections
    """Sessions of all roles."""
    audience: SessionRange
    """Sessions of the role that receives."""
    publishing: tuple[SessionRange, ...]
    """Sessions of each role that publishes; the audience may be one of them."""

    @property
    def audience_publishes(self) -> bool:
        """True if a publisher can be a subscriber as well."""
        return self.audience in self.publishing

    def publisher_of(self, connection: int) -> int | None:
        """Returns the number of the publisher that a connection is; None if it is none."""
        first = 0
        for sessions in self.publishing:
            place = sessions.place_of(connection)
            if place is not None:
                return first + place
            first += sessions.count
        return None

    def place_of_publisher(self, publisher: int) -> tuple[SessionRange, int]:
        """Returns the sessions of a publisher's role, and its place among them.

        Raises:
            IndexError: There is no such publisher.
        """
        place = publisher
        for sessions in self.publishing:
            if place < sessions.count:
                return sessions, place
            place -= sessions.count
        raise IndexError(publisher)


class FanOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Publishers, subscribers and the rooms in which they meet."""

    publishers: PositiveCount = 1
    """Sessions that publish on the schedule, or clients that do so by HTTP."""
    subscribers: Connections = 1
    """Sessions whose deliveries count."""
    everyone: bool = False
    """Every session is publisher and subscriber at once; both numbers are the same."""
    rooms: tuple[str, ...] = ("0",)
    """Names of the rooms."""
    marker: MarkerRule = MarkerRule()
    """Recognition of a delivery."""
    self_delivery: SelfDelivery = "either"
    """Deliveries to the publisher itself: they may come, must, or must not."""
    recovery: Recovery = "none"
    """Deliveries of what was published while a session was away: they need not come, or must."""
    timed: PositiveCount | None = None
    """Subscribers whose deliveries are timed, evenly picked; those to all others are counted. None: all."""
    publish: HttpPublish | None = None
    """Way of publishing; None: as messages of WebSocket sessions."""
    by_role: RoleSessions | None = None
    """Sessions that publish and receive, where the roles of a scenario say so; None elsewhere."""

    @property
    def sessions(self) -> int:
        """WebSocket sessions in all."""
        if self.by_role is not None:
            return self.by_role.sessions
        if self.everyone or self.publish is not None:
            return self.subscribers
        return self.publishers + self.subscribers

    def publisher_of(self, connection: int) -> int | None:
        """Returns the number of the publisher that a connection is; None if it only receives."""
        if self.by_role is not None:
            return self.by_role.publisher_of(connection)
        if self.everyone:
            return connection
        return connection if self.publish is None and connection < self.publishers else None

    def subscriber_of(self, connection: int) -> int | None:
        """Returns the number of the subscriber that a connection is; None if it only publishes."""
        if self.by_role is not None:
            return self.by_role.audience.place_of(connection)
        if self.everyone or self.publish is not None:
            return connection
        return connection - self.publishers if connection >= self.publishers else None

    def connection_of(self, subscriber: int) -> int:
        """Returns the number of a subscriber's connection."""
        if self.by_role is not None:
            return self.by_role.audience.first + subscriber
        return subscriber if self.everyone or self.publish is not None else subscriber + self.publishers

    def connection_of_publisher(self, publisher: int) -> int | None:
        """Returns the number of a publisher's connection; None if it publishes by HTTP."""
        if self.by_role is not None:
            sessions, place = self.by_role.place_of_publisher(publisher)
            return sessions.first + place
        return publisher if self.publish is None else None

    @property
    def reaches_publishers(self) -> bool:
        """True if a publisher can be in the room that it publishes to."""
        return self.everyone if self.by_role is None else self.by_role.audience_publishes

    def room_of_connection(self, connection: int) -> int:
        """Returns the number of the room that a connection is in, or first publishes to."""
        subscriber = self.subscriber_of(connection)
        if subscriber is not None:
            return subscriber % len(self.rooms)
        publisher = self.publisher_of(connection)
        return 0 if publisher is None else self.room_of_publish(publisher, 0)

    def room_name_of_connection(self, connection: int) -> str:
        """Returns the name of the room that a connection is in, or first publishes to."""
        return self.rooms[self.room_of_connection(connection)]

    def room_of_publish(self, publisher: int, number: int) -> int:
        """Returns the number of the room to which a publisher's message with a number goes."""
        rooms = len(self.rooms)
        if self.by_role is not None:
            sessions, place = self.by_role.place_of_publisher(publisher)
            return place % rooms if sessions.count >= rooms else (place + number) % rooms
        return publisher % rooms if self.publishers >= rooms else (publisher + number) % rooms

    @property
    def largest_room(self) -> int:
        """Subscribers of the largest room."""
        return -(-self.subscribers // len(self.rooms))

    @property
    def mean_audience(self) -> float:
        """Subscribers that a message must reach, on average over the rooms."""
        own = 0.0
        if self.reaches_publishers and self.self_delivery != "expected":
            own = self.subscribers / self.publishers if self.by_role is not None else 1.0
        return self.subscribers / len(self.rooms) - own

    def deliveries_per_s(self, publishes_per_s: float) -> float:
        """Returns how many deliveries a second are expected."""
        return publishes_per_s * self.mean_audience

    def accounting_bytes(self, publishes_per_s: float, timeout_ns: int) -> float:
        """Returns the memory of all workers for the deliveries that may come: a byte each, until twice the time-out."""
        return publishes_per_s * self.subscribers / len(self.rooms) * 2 * timeout_ns / 1e9

    def is_timed(self, subscriber: int) -> bool:
        """Returns True if a subscriber's deliveries are timed: as many as asked, spread over all orders.

        Every so many-th would be all in one room, or all on one worker, where their numbers have a common divisor.
        Multiples of the golden ratio, without their whole part, lie evenly in every arithmetic progression (D. Knuth,
        The Art of Computer Programming, section 6.4); those of the lowest are timed.
        """
        if self.timed is None or self.timed >= self.subscribers:
            return True
        return subscriber * _GOLDEN_RATIO_64 & _MASK_64 <= _highest_timed(self.subscribers, self.timed)

    def redacted(self) -> FanOut:
        """The same without secrets; the names of rooms stay."""
        return self if self.publish is None else msgspec.structs.replace(self, publish=self.publish.redacted())

    def describe(self) -> str:
        """Returns the fan-out in words."""
        rooms = f" in {format_count(len(self.rooms))} rooms" if len(self.rooms) > 1 else ""
        if self.everyone:
            return f"{format_count(self.subscribers)} sessions{rooms}, each of which publishes and receives"
        way = " by HTTP" if self.publish is not None else ""
        plural = "s" if self.publishers > 1 else ""
        return (
            f"{format_count(self.subscribers)} subscribers{rooms}, "
            f"{format_count(self.publishers)} publisher{plural}{way}"
        )


@lru_cache(maxsize=4)
def _highest_timed(subscribers: int, timed: int) -> int:
    """Returns the place, of 2^64, of the last of the timed subscribers; no two have the same."""
    places = np.arange(subscribers, dtype=np.uint64) * np.uint64(_GOLDEN_RATIO_64)
    return int(np.partition(places, timed - 1)[timed - 1])
