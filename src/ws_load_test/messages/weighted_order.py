"""Whose turn it is among several messages with weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd


def weighted_round_robin(weights: Sequence[int]) -> list[int]:
    """One cycle of turns, as numbers of messages: repeated, every beginning holds each to within one of its share.

    The j-th turn of a message with the part w of all turns belongs between floor(j / w) and ceil((j + 1) / w); of those
    that may go, the one with the nearest deadline goes. That this always works out is the theorem behind Pfair
    scheduling (Baruah, Cohen, Plaxton and Varvel, "Proportionate progress", 1996). Taking the one that is furthest
    behind, as smooth weighted round robin does, is off by more than one with a dozen messages.
    """
    divisor = gcd(*weights)
    parts = [weight // divisor for weight in weights]
    total = sum(parts)
    taken = [0] * len(parts)
    cycle: list[int] = []
    for now in range(total):
        _, _, chosen = min(
            (-(-(count + 1) * total // part), release, number)
            for number, (part, count) in enumerate(zip(parts, taken, strict=True))
            if (release := count * total // part) <= now and count < part
        )
        taken[chosen] += 1
        cycle.append(chosen)
    return cycle
