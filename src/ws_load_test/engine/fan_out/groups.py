"""Groups of subscribers by which reports show where deliveries are slow: rooms, or ranges of them or of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ws_load_test.engine.fan_out.membership import RoomMembers
    from ws_load_test.plan.fan_out import FanOut

MAX_GROUPS = 32
"""Groups at most: rows of a heat map that the eye can follow."""


def delivery_groups(fan_out: FanOut, rooms: Sequence[RoomMembers]) -> tuple[NDArray[np.int64], list[str]]:
    """Returns the group of each slot, and the groups' names: the same groups on every worker."""
    count = len(fan_out.rooms)
    total = count if count > 1 else fan_out.subscribers
    groups = min(total, MAX_GROUPS)
    members = [room.room if count > 1 else one for room in rooms for one in room.subscribers]
    of_slot = np.array(members, np.int64) * groups // total
    if count > 1:
        names = [fan_out.rooms[_first(group, groups, total)] for group in range(groups)]
        lasts = [fan_out.rooms[_first(group + 1, groups, total) - 1] for group in range(groups)]
    else:
        names = [str(_first(group, groups, total)) for group in range(groups)]
        lasts = [str(_first(group + 1, groups, total) - 1) for group in range(groups)]
    return of_slot, [name if name == last else f"{name}–{last}" for name, last in zip(names, lasts, strict=True)]


def _first(group: int, groups: int, total: int) -> int:
    """Returns the first number that belongs to a group, of numbers from 0 that are n * groups // total."""
    return -(-group * total // groups)
