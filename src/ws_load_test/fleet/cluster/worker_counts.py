"""How many workers each of several machines gets, and which numbers they have: pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def workers_per_host(cores: Sequence[int], connections: int, each: int | None = None) -> list[int]:
    """Returns the number of workers for each machine, in their order.

    A worker without a connection would do nothing, so there are never more workers than connections; where that is
    fewer than wanted, machines get one after another in turns, and so their parts stay as even as they can be.

    Args:
        cores: How many workers each machine has cores for.
        connections: How many connections the plan has.
        each: How many workers every machine shall have; None: one for each of its cores.
    """
    room = [max(1, count) if each is None else each for count in cores]
    found = [0] * len(room)
    left = connections
    while left and found != room:
        for place, most in enumerate(room):
            if left and found[place] < most:
                found[place] += 1
                left -= 1
    return found


def first_worker_numbers(workers: Sequence[int]) -> list[int]:
    """Returns the number of each machine's first worker: they are numbered machine by machine."""
    return [sum(workers[:place]) for place in range(len(workers))]
