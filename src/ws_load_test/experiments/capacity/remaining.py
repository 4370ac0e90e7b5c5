"""Steps and time that a search still takes, as a range: it is played to its end for limits all over its bracket.

A played search has a target that meets every load up to a limit and none above it. Outcomes that contradict each other
make a real one longer, and a step that ends early makes it shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ws_load_test.common.units import format_duration
from ws_load_test.experiments.capacity.bracketing import (
    NextStep,
    Outcome,
    StepResult,
    StopReason,
    next_step,
    partial_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ws_load_test.experiments.capacity.bracketing import SearchRange

LIMITS = 12
"""Limits that are played, evenly apart in ratio: the numbers of steps between two of them differ by one or two."""
_NS_PER_S = 10**9


@dataclass(frozen=True, slots=True)
class Remaining:
    """Steps and time to the end of a search."""

    fewest_steps: int
    most_steps: int
    least_ns: float
    most_ns: float
    is_bounded: bool
    """False while no load has failed and there is no highest one, so that there can be any number of steps."""

    def describe(self) -> str:
        """Returns the range in words: ``4 to 7 steps left, 30 s to 1 min``; empty where there is none left."""
        if not self.most_steps:
            return ""
        least, most = (format_duration(round(ns / _NS_PER_S) * _NS_PER_S) for ns in (self.least_ns, self.most_ns))
        steps = "1 step" if self.most_steps == 1 else f"{self.most_steps} steps"
        if not self.is_bounded:
            steps = "1 step" if self.fewest_steps == 1 else f"{self.fewest_steps} steps"
            return f"at least {steps} left, {least}"
        if self.fewest_steps != self.most_steps:
            steps = f"{self.fewest_steps} to {steps}"
        return f"{steps} left, " + (f"about {most}" if least == most else f"{least} to {most}")


def remaining(search_range: SearchRange, results: Sequence[StepResult], step_ns: Callable[[float], float]) -> Remaining:
    """Returns what a search still takes.

    Args:
        search_range: Range of the search.
        results: Steps so far.
        step_ns: Returns the time in ns that a step with a load takes, with the rest before it.
    """
    limits, is_bounded = _limits(search_range, results)
    played = [_play(search_range, results, limit) for limit in limits]
    counts = [len(levels) for levels in played]
    times = [sum(map(step_ns, levels)) for levels in played]
    return Remaining(min(counts), max(counts), min(times), max(times), is_bounded=is_bounded)


def _limits(search_range: SearchRange, results: Sequence[StepResult]) -> tuple[list[float], bool]:
    """Returns the limits to play, and False where there can be any above them."""
    known = partial_result(search_range, results, StopReason.UNSETTLED)
    upper = known.bound if known.upper is None else known.upper
    lower = search_range.first if known.lower is None else known.lower
    if upper is None:
        upper = search_range.maximum and search_range.maximum * 2
    # Below the first load nothing is met; at `upper` itself it would have been met.
    below = [] if known.lower is not None else [lower / 2]
    if not upper:
        return [*below, lower], False
    return [*below, *(lower * (upper / lower) ** (step / LIMITS) for step in range(LIMITS))], True


def _play(search_range: SearchRange, results: Sequence[StepResult], limit: float) -> list[float]:
    """Returns the loads of the steps to the end, for a target that meets loads up to a limit."""
    played, levels = list(results), []
    while isinstance(step := next_step(search_range, played), NextStep):
        levels.append(step.load_level)
        played.append(StepResult(step.load_level, Outcome.MET if step.load_level <= limit else Outcome.MISSED))
    return levels
