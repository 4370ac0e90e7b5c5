"""Estimated load of a scenario, as far as its plan decides it: the target's response times are not known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ws_load_test.plan.scenario.model import Role, Scenario, Step


class RoleEstimate(msgspec.Struct, frozen=True):
    """Load of one role while all its sessions are there, in events a second."""

    iterations_per_s: float | None
    """Iterations; None where nothing bounds them but the target, 0 without steps."""
    is_upper_bound: bool
    """True if the time that the target takes comes on top, so that there are fewer."""
    sent_per_s: float | None
    """Messages of steps and timers; None where nothing bounds them."""
    delivered_per_s: float | None
    """Deliveries of those to other sessions; None where nothing bounds them."""


def estimate(scenario: Scenario, role: Role) -> RoleEstimate:
    """Returns the estimated load of a role."""

    def sent(step: Step) -> float:
        return float(step.send is not None)

    def delivered(step: Step) -> float:
        return receivers_of(scenario, role, step) if step.deliver_to else 0.0

    per_s, is_bound = _iterations_per_s(role)
    of_timers = [(one.step, role.sessions / one.every_ns * 1e9) for one in role.timers]
    if per_s is None:
        return RoleEstimate(None, True, None, None if any(step.deliver_to for step in role.steps) else 0.0)
    return RoleEstimate(
        per_s,
        is_bound and per_s > 0,
        per_s * mean_of(role.steps, sent) + sum(each * sent(step) for step, each in of_timers),
        per_s * mean_of(role.steps, delivered) + sum(each * delivered(step) for step, each in of_timers),
    )


def publishes_per_s(scenario: Scenario) -> float | None:
    """Returns how many messages a second other sessions receive; None where nothing bounds them but the target."""
    total = 0.0
    for role in scenario.roles:
        if role.publishes_to:
            per_s, _ = _iterations_per_s(role)
            if per_s is None or role.deliver_to:
                # How often a coroutine publishes is up to its code.
                return None
            total += per_s * mean_of(role.steps, lambda step: bool(step.deliver_to))
    return total


def _iterations_per_s(role: Role) -> tuple[float | None, bool]:
    """Returns the iterations a second, None if nothing bounds them, and True if there are so many at most."""
    if not role.steps:
        return 0.0, False
    if role.rate_per_s is not None:
        return role.rate_per_s, False
    waits_ns = mean_of(role.steps, lambda step: 0 if step.wait is None else step.wait.mean_ns)
    by_waits = role.sessions / waits_ns * 1e9 if waits_ns else None
    if role.arrive_per_s is None or role.iterations is None:
        return by_waits, True
    by_arrivals = role.arrive_per_s * sum(role.iterations) / 2
    return by_arrivals if by_waits is None else min(by_arrivals, by_waits), True


def mean_of(steps: Sequence[Step], amount: Callable[[Step], float]) -> float:
    """Returns the mean of a sum over an iteration: of steps in a choice, the mean by their weights."""
    total = 0.0
    for is_choice, group in groupby(steps, lambda step: step.weight is not None):
        found = list(group)
        weights = [step.weight or 1.0 for step in found]
        divisor = sum(weights) if is_choice else 1.0
        total += sum(weight * amount(step) for weight, step in zip(weights, found, strict=True)) / divisor
    return total


def receivers_of(scenario: Scenario, role: Role, source: Step | Role) -> float:
    """Returns how many sessions must receive a message of a step or a coroutine, on average over the rooms."""
    audience = next(one for one in scenario.roles if one.name == source.deliver_to)
    itself = audience.name == role.name and source.self_delivery != "expected"
    return max(0.0, audience.sessions / max(1, len(scenario.rooms)) - itself)
