"""Client side of a session beyond its messages: reconnecting, leaving, being cut off, reading slowly.

Pure arithmetic: every worker computes for itself which connections are meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ws_load_test.common.units import format_bytes, format_duration, format_share
from ws_load_test.plan.ranges import Duration, Share

if TYPE_CHECKING:
    import random

Misbehavior = Literal["slow_reader", "stalled_reader", "no_pong"]
GOLDEN_RATIO = (5**0.5 - 1) / 2
BACKOFF_BASE_NS, BACKOFF_LONGEST_NS = 100_000_000, 30_000_000_000


class ReconnectPolicy(msgspec.Struct, frozen=True):
    """Policy for dialing lost sessions again."""

    policy: Literal["none", "now", "delay", "exponential"] = "none"
    """Time of the next dial: never, at once, after a fixed time, or after a random one that doubles."""
    delay_ns: Duration = 0
    """Wait of *delay*; the longest first wait of *exponential*."""
    max_delay_ns: Duration = 0
    """Longest wait of *exponential* at all."""

    def backoff_ns(self, attempt: int, chance: random.Random) -> int:
        """Returns the wait before attempt 0, 1, 2, … in ns.

        *exponential* waits a random time up to base * 2**attempt ("full jitter", M. Brooker, Exponential Backoff And
        Jitter, AWS Architecture Blog, 2015), so that clients lost together do not come back together.
        """
        if self.policy == "exponential":
            return round(chance.random() * min(self.max_delay_ns, self.delay_ns << min(attempt, 40)))
        return self.delay_ns

    def describe(self) -> str:
        """The policy in words."""
        return {
            "none": "not dialled again",
            "now": "dialled again at once",
            "delay": f"dialled again after {format_duration(self.delay_ns)}",
            "exponential": f"dialled again after a random time, at first up to {format_duration(self.delay_ns)},"
            f" doubling up to {format_duration(self.max_delay_ns)}",
        }[self.policy]


class DisconnectStorm(msgspec.Struct, frozen=True):
    """A share of all sessions is cut off at one moment."""

    share: Share
    """Part of the sessions that is cut off, from 0 to 1."""
    at_ns: Duration
    """Instant from the start of the measured time."""


class MisbehavingClients(msgspec.Struct, frozen=True):
    """Shares of the connections that misbehave."""

    slow_reader: Share = 0.0
    """Read no faster than `slow_reader_bytes_per_s`."""
    slow_reader_bytes_per_s: Annotated[float, msgspec.Meta(ge=0, le=1e19)] = 0.0
    """Bytes that a slow reader reads per second."""
    stalled_reader: Share = 0.0
    """Stop reading once they are open."""
    no_pong: Share = 0.0
    """Never answer a ping."""

    def assign(self, connections: int) -> dict[int, Misbehavior]:
        """Returns the numbers of the connections that misbehave; a share stands for at least one.

        They are spread evenly, and so are the kinds among them.
        """
        counts: dict[Misbehavior, int] = {
            "slow_reader": _some(self.slow_reader, connections),
            "stalled_reader": _some(self.stalled_reader, connections),
            "no_pong": _some(self.no_pong, connections),
        }
        kinds: list[tuple[float, Misbehavior]] = sorted(
            ((place + 0.5) / count, kind) for kind, count in counts.items() if count for place in range(count)
        )
        # `read_misbehaving` refuses more kinds than connections.
        return {number: kind for number, (_, kind) in zip(pick_evenly(len(kinds), connections), kinds, strict=False)}

    def describe(self) -> str:
        """The shares in words."""
        shares = {
            f"read {format_bytes(self.slow_reader_bytes_per_s)}/s": self.slow_reader,
            "stop reading": self.stalled_reader,
            "never pong": self.no_pong,
        }
        return ", ".join(f"{format_share(share)} of the connections {what}" for what, share in shares.items() if share)


def pick_evenly(count: int, total: int) -> list[int]:
    """`count` different ones of the numbers below `total`, in order, spread evenly, and over the workers as well.

    Those come first whose multiple of the golden ratio has the smallest fraction (D. E. Knuth, The Art of Computer
    Programming, volume 3, section 6.4: such fractions lie evenly wherever one stops). Numbers at equal distances would
    often be all one worker's, since it has every n-th.
    """
    import numpy as np  # noqa: PLC0415 - most plans pick no connections

    fractions = np.arange(total) * GOLDEN_RATIO % 1
    return sorted(np.argsort(fractions, kind="stable")[:count].tolist())


def pick_share(share: float, total: int) -> frozenset[int]:
    """The numbers of a share of so many connections, evenly apart; at least one."""
    return frozenset(pick_evenly(_some(share, total), total))


def _some(share: float, total: int) -> int:
    return max(1, round(share * total)) if share else 0
