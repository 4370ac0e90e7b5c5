"""Numbers of workers for each of several hosts: pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def workers_per_host(cores: Sequence[int], connections: int, each: int | None = None) -> list[int]:
    """Returns the number of workers for each host, in their order.

    A worker without a connection would do nothing, so there are never more workers than connections. Where that is
    fewer than the hosts could have, hosts get one worker after another in turn, so that their parts are as even as
    possible.

    Args:
        cores: How many workers each host has cores for.
        connections: How many connections the plan has.
        each: How many workers every host must have; None: one for each of its cores.
    """
    limits = [max(1, count) if each is None else each for count in cores]
    counts = [0] * len(limits)
    left = connections
    while left and counts != limits:
        for host, limit in enumerate(limits):
            if left and counts[host] < limit:
                counts[host] += 1
                left -= 1
    return counts


def first_worker_numbers(workers: Sequence[int]) -> list[int]:
    """Returns the number of each host's first worker: workers are numbered host by host."""
    return [sum(workers[:host]) for host in range(len(workers))]
