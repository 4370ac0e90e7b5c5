"""Sizes that follow a distribution, and contents of such sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from ws_load_test.common.units import format_bytes
from ws_load_test.messages.random_values import random_characters

LARGEST_BYTES = 1 << 30
POOL_BYTES = 1 << 20
_DEVIATIONS, _MEANS = 6, 21
"""Where a distribution counts as ended: one message in a thousand million is larger."""


class SizeDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large messages are: drawn anew for each."""

    shape: Literal["uniform", "normal", "exponential"]
    first_bytes: int
    """The smallest size of a uniform distribution, the mean of the others, before they are cut."""
    second_bytes: int = 0
    """The largest size of a uniform distribution, the standard deviation of a normal one."""

    @property
    def largest_bytes(self) -> int:
        """The size that practically no message passes; that none passes, of a uniform distribution."""
        if self.shape == "uniform":
            return self.second_bytes
        far = self.first_bytes * _MEANS
        if self.shape == "normal":
            far = self.first_bytes + self.second_bytes * _DEVIATIONS
        return min(far, LARGEST_BYTES)

    @property
    def mean_bytes(self) -> float:
        """The mean, what is cut off at 0 and at 1 GiB counted as lying there."""
        mean, deviation, end = float(self.first_bytes), float(self.second_bytes), LARGEST_BYTES
        if self.shape == "uniform":
            return (mean + deviation) / 2
        if self.shape == "exponential":
            return mean * -math.expm1(-end / mean) if mean else 0.0
        if not deviation:
            return mean
        low, high = -mean / deviation, (end - mean) / deviation
        within = mean * (_below(high) - _below(low)) + deviation * (_density(low) - _density(high))
        return within + end * (1 - _below(high))

    def sampler(self, random: Random) -> Callable[[], int]:
        """What gives a size at each call."""
        first, second, fraction = self.first_bytes, self.second_bytes, random.random
        if self.shape == "uniform":
            span = second - first + 1
            return lambda: first + int(fraction() * span)
        if self.shape == "normal":
            gauss = random.gauss
            return lambda: min(max(round(gauss(first, second)), 0), LARGEST_BYTES)
        log = math.log
        return lambda: min(round(-log(1.0 - fraction()) * first), LARGEST_BYTES)

    def describe(self) -> str:
        """The sizes in words."""
        if self.shape == "uniform":
            return f"{format_bytes(self.first_bytes)} to {format_bytes(self.second_bytes)}, uniform"
        if self.shape == "normal":
            return f"{format_bytes(self.first_bytes)} on average, normal with a deviation of {format_bytes(self.second_bytes)}"
        return f"{format_bytes(self.first_bytes)} on average, exponential"


def random_payloads(sizes: SizeDistribution, random: Random, *, letters: bool) -> Callable[[], bytes]:
    """What gives a payload at each call: a stretch of a pool, of a size that is drawn, from a place that is drawn.

    Args:
        sizes: How large.
        random: What decides.
        letters: Whether ASCII letters and digits are wanted, or any bytes.
    """
    pool = random.randbytes(POOL_BYTES)
    if letters:
        pool = b""
        while len(pool) < POOL_BYTES:
            pool += random_characters(random, POOL_BYTES)
        pool = pool[:POOL_BYTES]
    draw, fraction, half = sizes.sampler(random), random.random, POOL_BYTES // 2

    def payload() -> bytes:
        size = draw()
        if size > half:
            return (pool * (size // POOL_BYTES + 1))[:size]
        start = int(fraction() * half)
        return pool[start : start + size]

    return payload


def _below(deviations: float) -> float:
    """The part of a normal distribution that lies below this many deviations above its mean."""
    return (1 + math.erf(deviations / math.sqrt(2))) / 2


def _density(deviations: float) -> float:
    """The density of the normal distribution of mean 0 and deviation 1."""
    return math.exp(-deviations * deviations / 2) / math.sqrt(2 * math.pi)
