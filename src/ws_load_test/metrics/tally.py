"""What one stretch of a run amounted to: counts and histograms that add up exactly.

A tally holds only things for which ``a.merge(b)`` is exact and order does not matter, so the tallies of any
workers, intervals, machines or repeats can be put together without losing anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from ws_load_test.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(slots=True)
class Tally:
    """Counts and histograms of one interval, or of everything.

    Every message that was due is in ``sent`` or ``dropped``, and every sent one is, once the run is over, in
    ``answered`` or ``unanswered``.
    """

    attempted: int = 0
    """Sessions that were dialled."""
    opened: int = 0
    """Sessions whose upgrade succeeded."""
    failed: int = 0
    """Sessions that were dialled and never opened."""
    cancelled: int = 0
    """Sessions that were being dialled when the run ended, or was interrupted."""
    lost: int = 0
    """Sessions that were open and ended before the run wanted them to."""
    reconnected: int = 0
    """Of the opened: those that took the place of a lost one."""
    recycled: int = 0
    """Of the opened: those that took the place of one whose lifetime was over."""
    tls_resumed: int = 0
    """Of the opened: those whose TLS handshake resumed an earlier session (RFC 8446, section 2.2)."""
    closed: Counter[str] = field(default_factory=Counter)
    """Close codes (RFC 6455, section 7.4) of the sessions that ended: the code that ended
    them, whichever side sent it, 1006 where no close frame came."""
    close_reasons: Counter[str] = field(default_factory=Counter)
    """What targets said with their close codes (``1011 overloaded``)."""

    due: int = 0
    """Messages that should have left."""
    sent: int = 0
    """Messages handed to the kernel."""
    answered: int = 0
    """Sent messages whose reply was read, however late."""
    unanswered: int = 0
    """Sent messages that got no reply: timed out, lost with their session, or open at the end."""
    dropped: int = 0
    """Messages that were due and never sent."""
    pushed: int = 0
    """Messages that came and answered nothing."""
    surplus_replies: int = 0
    """Of the pushed: those that came as replies, paired in order, when no message was in flight."""
    duplicate_replies: int = 0
    """Replies to a message that had been answered already."""
    late_replies: int = 0
    """Replies to a message that had been given up."""
    unknown_id: int = 0
    """Messages with an id that no message of ours had; where replies are told by their id."""
    out_of_order: int = 0
    """Of the answered: those whose reply was overtaken by the reply to a later message."""
    greetings: int = 0
    """Greetings: the first messages of a session, which answer nothing."""
    first_replies: int = 0
    """Replies to first messages (authentication, subscription), which are in no other count."""
    answered_in_window: int = 0
    """Replies read within the measured time: what the throughput counts."""

    bytes_sent: int = 0
    """Bytes of WebSocket frames written, headers included, TLS and TCP not."""
    bytes_received: int = 0
    """Bytes of WebSocket frames read, headers included, TLS and TCP not."""

    pushed_bytes: int = 0
    """Payload of the pushes, where messages are read whole."""
    uncompressed_bytes_sent: int = 0
    """Payload before compression, where permessage-deflate was agreed (RFC 7692)."""
    uncompressed_bytes_received: int = 0
    """Payload after decompression, where permessage-deflate was agreed (RFC 7692)."""

    write_blocked_ns: int = 0
    """Time, summed over connections, in which the kernel's buffer was full and bytes waited in the generator."""

    warmup_sent: int = 0
    """Messages sent during the warm-up: shown, and in no other count."""
    warmup_answered: int = 0
    """Replies to messages of the warm-up."""

    faults: Counter[str] = field(default_factory=Counter)
    """What the target did wrong, by kind (``connect-refused``, ``closed:1011``, …)."""
    host_errors: Counter[str] = field(default_factory=Counter)
    """What the generator's own host could not do, by kind (``too-many-open-files``, …)."""

    response_time_ns: Histogram = field(default_factory=Histogram)
    """done - due."""
    service_time_ns: Histogram = field(default_factory=Histogram)
    """done - sent."""
    send_lag_ns: Histogram = field(default_factory=Histogram)
    """sent - due."""
    unanswered_wait_ns: Histogram = field(default_factory=Histogram)
    """How long messages that stayed unanswered had waited, from due, when they were given up: their times are at
    least that."""
    loop_lag_ns: Histogram = field(default_factory=Histogram)
    """How late the worker's loop turned to what was due, looked at fifty times a second."""
    keepalive_time_ns: Histogram = field(default_factory=Histogram)
    """From a keep-alive ping to its pong."""
    connect_time_ns: Histogram = field(default_factory=Histogram)
    """From the start of a dial to the end of its upgrade."""
    resolve_time_ns: Histogram = field(default_factory=Histogram)
    """Name resolution: one lookup for each name and worker."""
    tcp_time_ns: Histogram = field(default_factory=Histogram)
    """From the start of a dial to the TCP connection, with the target or with the proxy."""
    proxy_time_ns: Histogram = field(default_factory=Histogram)
    """From there to the proxy's consent."""
    tls_time_ns: Histogram = field(default_factory=Histogram)
    """The TLS handshake."""
    upgrade_time_ns: Histogram = field(default_factory=Histogram)
    """From the upgrade request to its answer."""
    first_reply_time_ns: Histogram = field(default_factory=Histogram)
    """From a first message to its reply."""
    reconnect_time_ns: Histogram = field(default_factory=Histogram)
    """From the loss of a session to the opening of the one in its place."""

    storm_disconnected: int = 0
    """Sessions that a reconnect storm cut off."""
    storm_unanswered: int = 0
    """Messages in flight on them: of the unanswered."""
    storm_recovery_time_ns: Histogram = field(default_factory=Histogram)
    """From the moment of the storm to the reopening of each session that it cut off."""

    misbehaving: Tally | None = None
    """What the unkind connections (slow, deaf, mute) came to once they were open, which is in no other count."""

    @property
    def ended(self) -> int:
        """Sessions that ended, the unkind ones among them, whose opening counts like any other's."""
        return self.closed.total() + (self.misbehaving.closed.total() if self.misbehaving is not None else 0)

    def merge(self, other: Tally) -> None:
        """Adds another tally to this one, exactly."""
        for room in fields(self):
            mine, theirs = getattr(self, room.name), getattr(other, room.name)
            if isinstance(mine, int):
                setattr(self, room.name, mine + theirs)
            elif isinstance(mine, Histogram):
                mine.merge(theirs)
            elif isinstance(theirs, Tally):
                if mine is None:
                    mine = Tally()
                    setattr(self, room.name, mine)
                mine.merge(theirs)
            elif theirs is not None:
                mine.update(theirs)

    def to_wire(self) -> dict[str, Any]:
        """Returns what a worker hands out: as little work as possible, histograms as raw buckets."""
        return self._fields(Histogram.to_wire)

    def subset(self, rooms: Iterable[str]) -> Tally:
        """Returns a tally with some of the rooms alone; it shares their histograms."""
        return Tally(**{room: getattr(self, room) for room in rooms})

    def to_record(self) -> dict[str, Any]:
        """Returns what a recording keeps: histograms in the standard HdrHistogram encoding."""
        return self._fields(Histogram.to_record)

    def _fields(self, write: Callable[[Histogram], dict[str, Any]]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for room in fields(self):
            value = getattr(self, room.name)
            if isinstance(value, Histogram):
                if value.count:
                    data[room.name] = write(value)
            elif isinstance(value, Tally):
                data[room.name] = value._fields(write)
            elif value:
                data[room.name] = value if isinstance(value, int) else dict(value)
        return data

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Self:
        """Reads what `to_wire` wrote.

        Raises:
            ValueError: The data are not a tally's.
        """
        return cls._read(data, Histogram.from_wire)

    @classmethod
    def from_record(cls, data: dict[str, Any]) -> Self:
        """Reads what `to_record` wrote.

        Raises:
            ValueError: The data are not a tally's.
        """
        return cls._read(data, Histogram.from_record)

    @classmethod
    def _read(cls, data: dict[str, Any], read: Callable[[dict[str, Any]], Histogram]) -> Self:
        if not isinstance(data, dict):
            raise ValueError("a tally is an object of counts and histograms")  # noqa: TRY004 - data, not a type
        tally = cls()
        unknown = data.keys() - {room.name for room in fields(cls)}
        if unknown:
            # Counts that nobody adds up would be lost without a word.
            raise ValueError(f"a tally has no {min(map(str, unknown))!r}")
        for name, value in data.items():
            empty = getattr(tally, name)
            if isinstance(empty, Histogram):
                setattr(tally, name, read(value))
            elif empty is None:
                setattr(tally, name, cls._read(value, read))
            elif isinstance(empty, int):
                setattr(tally, name, _count(name, value))
            elif isinstance(value, dict):
                empty.update({kind: _count(name, count) for kind, count in value.items()})
            else:
                raise ValueError(f"a tally's {name!r} is an object of counts")
        return tally


def _count(name: str, value: object) -> int:
    # Not isinstance: True is an int there.
    if type(value) is not int or value < 0:
        raise ValueError(f"a tally's {name!r} holds {value!r}, which is no count")
    return value
