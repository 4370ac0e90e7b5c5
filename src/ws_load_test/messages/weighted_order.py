"""Order of several messages with weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd


def weighted_round_robin(weights: Sequence[int]) -> list[int]:
    """Returns one cycle of turns, as indices of messages.

    Repeated, every beginning of it holds each message to within one of its share.

    The j-th turn of a message with the share w of all turns belongs between floor(j / w) and ceil((j + 1) / w); of
    those that are released, the one with the nearest deadline is next. That this always works out is the theorem behind
    Pfair scheduling (Baruah, Cohen, Plaxton and Varvel, "Proportionate progress", 1996). Choosing the one that is
    furthest behind, as smooth weighted round robin does, is off by more than one with a dozen messages.
    """
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    turns = [0] * len(shares)
    cycle: list[int] = []
    for position in range(total):
        _, _, chosen = min(
            (-(-(count + 1) * total // share), release, index)
            for index, (share, count) in enumerate(zip(shares, turns, strict=True))
            if (release := count * total // share) <= position and count < share
        )
        turns[chosen] += 1
        cycle.append(chosen)
    return cycle
