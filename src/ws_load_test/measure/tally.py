"""What one stretch of a run amounted to: counts and histograms that add up exactly.

A tally holds only things for which ``a.merge(b)`` is exact and order does not matter, so the tallies of any
workers, intervals, machines or repeats can be put together without losing anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from ws_load_test.measure.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable


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
    lost: int = 0
    """Sessions that were open and ended before the run wanted them to."""
    closed: Counter[str] = field(default_factory=Counter)
    """Close codes (RFC 6455, section 7.4) of the sessions that ended: the code that ended
    them, whichever side sent it, 1006 where no close frame came."""

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
    answered_in_time: int = 0
    """Replies read within the measured time: what the throughput counts."""

    bytes_sent: int = 0
    """Bytes of WebSocket frames written, headers included, TLS and TCP not."""
    bytes_received: int = 0
    """Bytes of WebSocket frames read, headers included, TLS and TCP not."""

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

    def merge(self, other: Tally) -> None:
        """Adds another tally to this one, exactly."""
        for room in fields(self):
            mine, theirs = getattr(self, room.name), getattr(other, room.name)
            if isinstance(mine, int):
                setattr(self, room.name, mine + theirs)
            elif isinstance(mine, Histogram):
                mine.merge(theirs)
            else:
                mine.update(theirs)

    def to_wire(self) -> dict[str, Any]:
        """Returns what a worker hands out: as little work as possible, histograms as raw buckets."""
        return self._rooms(Histogram.to_wire)

    def to_record(self) -> dict[str, Any]:
        """Returns what a recording keeps: histograms in the standard HdrHistogram encoding."""
        return self._rooms(Histogram.to_record)

    def _rooms(self, write: Callable[[Histogram], dict[str, Any]]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for room in fields(self):
            value = getattr(self, room.name)
            if isinstance(value, Histogram):
                if value.count:
                    data[room.name] = write(value)
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
            elif isinstance(empty, int):
                setattr(tally, name, _count(name, value))
            elif isinstance(value, dict):
                empty.update({kind: _count(name, count) for kind, count in value.items()})
            else:
                raise ValueError(f"a tally's {name!r} is an object of counts")  # noqa: TRY004 - as above
        return tally


def _count(name: str, value: object) -> int:
    # Not isinstance: True is an int there.
    if type(value) is not int or value < 0:
        raise ValueError(f"a tally's {name!r} holds {value!r}, which is no count")
    return value
