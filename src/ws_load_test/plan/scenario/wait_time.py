"""Wait times of a scenario: fixed, or drawn from a distribution for each wait."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ws_load_test.common.units import LONGEST_NS, format_duration
from ws_load_test.plan.ranges import Duration

if TYPE_CHECKING:
    from random import Random


class WaitTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time that a session waits before it goes on: ``2s``, ``1s..5s``, ``exp:3s``, ``lognormal:8s,0.6``."""

    kind: Literal["fixed", "uniform", "exp", "normal", "lognormal"] = "fixed"
    """Distribution of the time."""
    ns: Duration = 0
    """The time itself (*fixed*), the shortest (*uniform*), the mean (*exp*, *normal*), or the median (*lognormal*)."""
    longest_ns: Duration = 0
    """The longest time of *uniform*; unused elsewhere."""
    deviation_ns: Duration = 0
    """Standard deviation of *normal*; unused elsewhere."""
    sigma: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """Standard deviation of the logarithm of *lognormal*; unused elsewhere."""

    def draw_ns(self, random: Random) -> int:
        """Returns the next time in ns, from 0 to `LONGEST_NS`."""
        if self.kind == "exp":
            # `Random.expovariate`, without its call.
            return min(LONGEST_NS, round(-math.log(1.0 - random.random()) * self.ns))
        if self.kind == "fixed":
            return self.ns
        if self.kind == "uniform":
            return self.ns + int(random.random() * (self.longest_ns - self.ns + 1))
        if self.kind == "normal":
            drawn = random.gauss(self.ns, self.deviation_ns)
        else:
            drawn = self.ns * random.lognormvariate(0.0, self.sigma)
        return max(0, min(LONGEST_NS, round(drawn)))

    @property
    def mean_ns(self) -> float:
        """Mean of the times in ns; of a normal distribution, without what is cut off below 0."""
        if self.kind == "uniform":
            return (self.ns + self.longest_ns) / 2
        # The mean of a lognormal distribution is its median times exp(sigma² / 2).
        return self.ns * math.exp(self.sigma**2 / 2) if self.kind == "lognormal" else self.ns

    def describe(self) -> str:
        """Returns the time in words."""
        time = format_duration(self.ns)
        return {
            "fixed": time,
            "uniform": f"{time} to {format_duration(self.longest_ns)}",
            "exp": f"a random time, on average {time} (exponential)",
            "normal": f"a random time, on average {time}, deviation {format_duration(self.deviation_ns)} (normal)",
            "lognormal": f"a random time, half of them below {time}, sigma {self.sigma:g} (lognormal)",
        }[self.kind]
