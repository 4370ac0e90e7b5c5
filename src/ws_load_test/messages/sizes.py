"""Message sizes drawn from a distribution, and payloads of such sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from ws_load_test.common.units import format_bytes
from ws_load_test.messages.random_values import random_characters

LARGEST_BYTES = 1 << 30
"""Bytes of the largest payload that is drawn, 1 GiB: an unbounded distribution would exhaust the memory some day."""
POOL_BYTES = 1 << 20
"""Random bytes that payloads are cut from, 1 MiB: drawing fresh ones would cost more than sending them."""
_MAX_DEVIATIONS, _MAX_MEANS = 6, 21
"""Ends of the normal distribution in standard deviations above its mean, and of the exponential one in means.

One message in a thousand million is larger.
"""


class SizeDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Distribution of the sizes of messages; each message gets its own draw."""

    shape: Literal["uniform", "normal", "exponential"]
    """Kind of distribution."""
    first_bytes: int
    """The smallest size of a uniform distribution, the mean of the others, before they are cut."""
    second_bytes: int = 0
    """The largest size of a uniform distribution, the standard deviation of a normal one."""

    @property
    def largest_bytes(self) -> int:
        """Bytes that practically no message exceeds; of a uniform distribution, that none exceeds."""
        if self.shape == "uniform":
            return self.second_bytes
        end = self.first_bytes * _MAX_MEANS
        if self.shape == "normal":
            end = self.first_bytes + self.second_bytes * _MAX_DEVIATIONS
        return min(end, LARGEST_BYTES)

    @property
    def mean_bytes(self) -> float:
        """The mean in bytes, with sizes below 0 counted as 0 and those above 1 GiB as 1 GiB."""
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
        """Returns a function that draws a size in bytes."""
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
        """Describes the sizes in a phrase."""
        if self.shape == "uniform":
            return f"{format_bytes(self.first_bytes)} to {format_bytes(self.second_bytes)}, uniform"
        if self.shape == "normal":
            mean, deviation = format_bytes(self.first_bytes), format_bytes(self.second_bytes)
            return f"{mean} on average, normal with a deviation of {deviation}"
        return f"{format_bytes(self.first_bytes)} on average, exponential"


def random_payloads(sizes: SizeDistribution, random: Random, *, as_text: bool) -> Callable[[], bytes]:
    """Returns a function that cuts a payload out of a pool, with a random size and a random start.

    Args:
        sizes: Distribution of the sizes.
        random: Source of the contents, the sizes and the starts.
        as_text: True for ASCII letters and digits, False for any bytes.
    """
    pool = random.randbytes(POOL_BYTES)
    if as_text:
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
    """Share of a normal distribution that lies below this many standard deviations above its mean."""
    return (1 + math.erf(deviations / math.sqrt(2))) / 2


def _density(deviations: float) -> float:
    """Density of the normal distribution with mean 0 and standard deviation 1."""
    return math.exp(-deviations * deviations / 2) / math.sqrt(2 * math.pi)
