"""A role as it was read, each part with its place in the plan file."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ws_load_test.plan.options.scenario.steps import Placed
from ws_load_test.plan.scenario.model import Reaction, Role, Step, Timer

if TYPE_CHECKING:
    from ws_load_test.plan.fan_out import SelfDelivery
    from ws_load_test.plan.options.scenario.toml_lines import Path


@dataclass(frozen=True, slots=True)
class WrittenRole:
    """A role as it was read, with what it takes from another in place or not."""

    name: str
    place: Path
    values: Mapping[str, Any]
    open: tuple[Placed[Step], ...] = ()
    steps: tuple[Placed[Step], ...] = ()
    leave: tuple[Placed[Step], ...] = ()
    reactions: tuple[Placed[Reaction], ...] = ()
    timers: tuple[Placed[Timer], ...] = ()
    deliver_to: str = ""
    """Role that receives what its coroutine publishes; empty: none, or it is none of Python."""
    self_delivery: SelfDelivery = "either"

    def model(self, sessions: int) -> Role:
        """Returns the role of the plan."""
        values = self.values
        arrivals = values.get("arrivals", "constant")
        # Chosen here and printed with the plan, so that any run can be repeated.
        seed = values.get("seed", secrets.randbelow(1 << 32)) if arrivals == "poisson" else 0
        return Role(
            name=self.name,
            sessions=sessions,
            arrive_per_s=values.get("arrive"),
            arrivals=arrivals,
            seed=seed,
            stay=values.get("stay"),
            iterations=values.get("iterations"),
            rate_per_s=values.get("rate"),
            open=tuple(one.part for one in self.open),
            steps=tuple(one.part for one in self.steps),
            leave=tuple(one.part for one in self.leave),
            reactions=tuple(one.part for one in self.reactions),
            timers=tuple(one.part for one in self.timers),
            python=values.get("python", ""),
            deliver_to=self.deliver_to,
            self_delivery=self.self_delivery,
        )

    @property
    def publishing(self) -> tuple[tuple[Step | Role, Path], ...]:
        """Parts that publish, with their places: the role itself where it is a coroutine, and steps."""
        steps = tuple((one.part, one.place) for one in self.all_steps if one.part.deliver_to)
        return ((self.model(1), (*self.place, "python")), *steps) if self.deliver_to else steps

    @property
    def all_steps(self) -> tuple[Placed[Step], ...]:
        """Every step, those of timers included."""
        return (*self.open, *self.steps, *self.leave, *self.timer_steps)

    @property
    def timer_steps(self) -> tuple[Placed[Step], ...]:
        """Steps of the timers."""
        return tuple(Placed(one.part.step, one.place) for one in self.timers)
