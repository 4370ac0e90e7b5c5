"""Names and slots of session events: sparse counts of what happened when a target ended sessions, by time.

A key is a slot and an event: ``1234 1001`` counts sessions that the target ended with close code 1001 in slot 1234. A
worker counts slots of `WIRE_SLOT_NS` of its machine's monotonic clock, so that a fleet can take clock offsets off; a
recording has slots of `SLOT_NS` from the start of the run. Keys are added up over workers, so merging stays exact.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WIRE_SLOT_NS = 1_000_000
"""Length (1 ms) of a slot in a worker's report: taking off a clock offset moves an event by no more than that."""
SLOT_NS = 10_000_000
"""Length (10 ms) of a slot in a recording: what a chart shows, and shorter than any restart."""
LOSS_NS = 1_000_000_000
"""Length (1 s) of the time to which the loss of a session is rounded down in `RECONNECTED` and `BOUNCED`: waves are
further apart than that, and thousands of losses need few keys."""
OPENED, CLOSED = "opened", "closed"
"""A session opened; a session was closed, and not by the target."""
DIALED, REFUSED = "dialed", "refused"
"""A dial began; a dial failed."""
UNANSWERED = "unanswered"
"""Messages that were in flight on a session that the target ended."""
BOUNCED = "bounced"
"""A session that the target ended again soon after it had been reconnected; in the slot of its first loss."""
RECONNECTED = "reconnected:"
"""Beginning of the event of a session that came back, in the slot of its loss; a bucket of its duration follows."""
SIGNIFICANT_BITS = 6
"""Bits of a duration in ms that are kept: buckets are 3 % wide at most, so that few are needed."""
_KEY = re.compile(
    r"\d{1,12} (?:opened|closed|dialed|refused|unanswered|bounced|reconnected:\d{1,11}|\d{4}|other)", re.ASCII
)


def key_of(slot: int, event: str) -> str:
    """Returns the key of an event in a slot."""
    return f"{slot} {event}"


def is_key(key: str) -> bool:
    """Returns True for a text that is a key."""
    return _KEY.fullmatch(key) is not None


def split_key(key: str) -> tuple[int, str]:
    """Returns the slot and the event of a key."""
    slot, _, event = key.partition(" ")
    return int(slot), event


def duration_bucket(duration_ns: int) -> int:
    """Returns the lowest duration in ms of the bucket that a duration in ns belongs to."""
    whole_ms = max(0, duration_ns) // 1_000_000
    shift = max(0, whole_ms.bit_length() - SIGNIFICANT_BITS)
    return whole_ms >> shift << shift


def bucket_end_ns(bucket: int) -> int:
    """Returns the end of a bucket in ns: no duration in it is longer, and none shorter by more than 3 % and 1 ms."""
    return (bucket + (1 << max(0, bucket.bit_length() - SIGNIFICANT_BITS))) * 1_000_000


def in_run_slots(events: Mapping[str, int], zero_ns: int) -> Counter[str]:
    """Returns the events of a worker's report in slots of the run, whose zero is at `zero_ns` of the worker's clock."""
    placed: Counter[str] = Counter()
    for key, count in events.items():
        slot, event = split_key(key)
        placed[key_of(max(0, (slot * WIRE_SLOT_NS - zero_ns) // SLOT_NS), event)] += count
    return placed
