"""Reports of a worker about a fan-out that are no counts: publishes that are followed over all workers."""

from __future__ import annotations

import msgspec

NOT_KNOWN = -1
"""Due instant of a publish of which a worker has seen no delivery."""


class FollowedPublish(msgspec.Struct, frozen=True, array_like=True):
    """Part of one worker in a publish: instants are ns from the start of the load, 0 where no delivery came."""

    publisher: int
    number: int
    due_ns: int
    """`NOT_KNOWN` where it was in none of the deliveries here."""
    first_ns: int
    """Its first timed delivery on this worker."""
    last_ns: int
    expected: int
    delivered: int
    members: int
    """Subscribers of the room that this worker has, members or not."""


class SlowSubscriber(msgspec.Struct, frozen=True, array_like=True):
    """Deliveries to one subscriber over the whole run."""

    subscriber: int
    mean_ns: int
    expected: int
    delivered: int
