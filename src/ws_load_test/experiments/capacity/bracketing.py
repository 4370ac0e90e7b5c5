"""Bracketing search for the highest load that meets the objectives: chooses the next step from the steps so far.

`next_step` is a pure function, without a clock, sockets or state. It doubles the load until a step fails, bisects (in
ratio) between the highest load that met the objectives and the lowest that did not until they are close enough, and
then repeats each end of that bracket until it has had the same outcome twice. A load that met the objectives once and
missed them once is no end: it stays inside the bracket, which is wider because of it.

A step that failed because the generator was saturated is no evidence about the target, and is repeated at once. If it
fails that way again, the search does not exceed its load: it counts as unsure if the target missed a higher load, and
otherwise the search ends without an upper end.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

GROWTH = 2.0
"""Factor between the loads of steps until one fails."""
CONFIRMATIONS = 2
"""Times that each end of the bracket must have the same outcome: a single one can be chance."""
MAX_STEPS = 60
"""Steps of a search: one with a target whose outcomes contradict each other would never end."""
MIN_DIGITS = 3
"""Significant digits of a load: round numbers are easy to read, and a load is not more exact than that."""
MAX_DIGITS = 9
"""Significant digits of a load between two that are close together."""


class Outcome(StrEnum):
    """Outcome of a step."""

    MET = "met"
    """The objectives were met, even if the generator was saturated."""
    MISSED = "missed"
    """The objectives were missed, and the generator was not saturated."""
    GENERATOR_BOUND = "generator-bound"
    """The objectives were missed, and the generator was saturated: no evidence against the target."""
    NOTHING_OPENED = "nothing-opened"
    NOTHING_MEASURED = "nothing-measured"
    """Sessions opened, and all were lost, or no reply came."""
    NOT_JUDGED = "not-judged"
    """Nothing else was missed, but replies are perhaps not those of their messages, so their times prove nothing."""
    INTERRUPTED = "interrupted"


class Purpose(StrEnum):
    """Purpose of a step."""

    GROW = "grow"
    NARROW = "narrow"
    CONFIRM = "confirm"


class StopReason(StrEnum):
    """Reason for the end of a search."""

    FOUND = "found"
    """The capacity lies between two loads."""
    ALL_MET = "all-met"
    """Every load up to the maximum met the objectives."""
    NONE_MET = "none-met"
    """Even the lowest load missed the objectives."""
    GENERATOR = "generator-bound"
    """The generator was saturated before the target was."""
    NOTHING_OPENED = "nothing-opened"
    """No connection of the first step could be opened."""
    NOTHING_MEASURED = "nothing-measured"
    """The first step lost all of its sessions, or got no reply."""
    NOT_JUDGED = "not-judged"
    """A step's times could not be judged."""
    GONE = "target-gone"
    """Connections could be opened at first, but none in two steps in a row."""
    UNSETTLED = "unsettled"
    """Outcomes contradicted each other for `MAX_STEPS` steps, or at the maximum."""
    INTERRUPTED = "interrupted"
    BROKEN_OFF = "broken-off"
    """An error ended the search: a file that cannot be written, a process that cannot be started."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Range of loads to search, and the precision of the result."""

    first: float
    """Load of the first step, the lowest of interest."""
    maximum: float | None = None
    """Highest load to try; None for no limit."""
    precision: float = 0.05
    """Largest distance between the ends of the bracket, as a share of the lower one."""
    whole: bool = False
    """True if loads are whole numbers."""


class StepResult(NamedTuple):
    """Load and outcome of a finished step."""

    load_level: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class NextStep:
    """Load and purpose of the step to run next."""

    load_level: float
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of a search, as far as it came."""

    stop_reason: StopReason
    lower: float | None = None
    """Highest load that met the objectives each time."""
    lower_times: int = 0
    """Steps that had this outcome."""
    upper: float | None = None
    """Lowest load above it that missed them each time because of the target."""
    upper_times: int = 0
    """Steps that had this outcome."""
    bound: float | None = None
    """Lowest load above `lower` that saturated the generator, if the target missed no lower one."""
    unsure: tuple[float, ...] = ()
    """Loads between these with contradictory outcomes, or that saturated the generator."""
    contradicted: tuple[float, ...] = ()
    """All loads with contradictory outcomes."""


def next_step(search_range: SearchRange, results: Sequence[StepResult]) -> NextStep | SearchResult:
    """Returns the next step, or the result of the search."""
    bracket = _Bracket(search_range, results)
    if (reason := _early_end(results)) is not None:
        return bracket.result(reason)
    step = bracket.next_step()
    if step is None:
        return bracket.result(bracket.stop_reason())
    return step if len(results) < MAX_STEPS else bracket.result(StopReason.UNSETTLED)


def partial_result(search_range: SearchRange, results: Sequence[StepResult], reason: StopReason) -> SearchResult:
    """Returns the result of a search that ends for another reason than its steps."""
    return _Bracket(search_range, results).result(reason)


def _early_end(results: Sequence[StepResult]) -> StopReason | None:
    outcomes = [result.outcome for result in results]
    if outcomes[-1:] == [Outcome.INTERRUPTED]:
        return StopReason.INTERRUPTED
    if outcomes[-1:] == [Outcome.NOT_JUDGED]:
        return StopReason.NOT_JUDGED
    # At a higher load than the first one, that is what an overloaded target may do.
    first = {
        Outcome.NOTHING_OPENED: StopReason.NOTHING_OPENED,
        Outcome.NOTHING_MEASURED: StopReason.NOTHING_MEASURED,
    }
    if outcomes and outcomes[0] in first:
        return first[outcomes[0]]
    if outcomes[-2:] == [Outcome.NOTHING_OPENED] * 2:
        return StopReason.GONE
    return None


_MISSED = (Outcome.MISSED, Outcome.NOTHING_OPENED, Outcome.NOTHING_MEASURED)
"""Outcomes that are evidence against the target."""


class _OutcomesAt:
    """Outcomes of the steps with one load."""

    def __init__(self, outcomes: Counter[Outcome]) -> None:
        self.met = outcomes[Outcome.MET]
        self.missed = sum(outcomes[one] for one in _MISSED)
        self.bound = outcomes[Outcome.GENERATOR_BOUND]

    @property
    def holds(self) -> bool:
        """True if it met the objectives, without evidence to the contrary."""
        return self.met > 0 and not self.missed and self.bound < CONFIRMATIONS

    @property
    def fails(self) -> bool:
        """True if it never met the objectives."""
        return not self.met and self.missed + self.bound > 0

    @property
    def fails_by_target(self) -> bool:
        """True if it never met the objectives, and mostly because of the target."""
        return self.fails and self.missed >= self.bound

    @property
    def contradicts(self) -> bool:
        """True if it both met and missed the objectives."""
        return self.met > 0 and self.missed > 0

    @property
    def wavers(self) -> bool:
        """True if it met the objectives, with evidence to the contrary."""
        return self.met > 0 and not self.holds

    @property
    def settled(self) -> bool:
        """True if it had the same outcome `CONFIRMATIONS` times."""
        return max(self.met, self.missed, self.bound) >= CONFIRMATIONS


class _Bracket:
    """Ends of the bracket, and the loads between them, from the results so far."""

    def __init__(self, search_range: SearchRange, results: Sequence[StepResult]) -> None:
        self._range = search_range
        outcomes: dict[float, Counter[Outcome]] = {}
        for level, outcome in results:
            outcomes.setdefault(level, Counter())[outcome] += 1
        self._outcomes = {level: _OutcomesAt(outcomes[level]) for level in sorted(outcomes)}
        self.lower = max((level for level, at in self._outcomes.items() if at.holds), default=None)
        floor = -math.inf if self.lower is None else self.lower
        failing = [level for level, at in self._outcomes.items() if at.fails and level > floor]
        missed = [level for level in failing if self._outcomes[level].fails_by_target]
        self.upper = min(missed or failing, default=None)
        ceiling = math.inf if self.upper is None else self.upper
        self.contradicted = tuple(level for level, at in self._outcomes.items() if at.contradicts)
        unsure = {*failing, *(level for level, at in self._outcomes.items() if at.wavers)}
        self.unsure = tuple(level for level in self._outcomes if level in unsure and floor < level < ceiling)

    def next_step(self) -> NextStep | None:
        """Returns the next step; None if the bracket is narrow enough and both ends are settled."""
        limits = self._range
        ladder = [level for level in (self.lower, *self.unsure, self.upper) if level is not None]
        if not ladder:
            return NextStep(limits.first, Purpose.GROW)
        if self.upper is None and (limits.maximum is None or ladder[-1] < limits.maximum):
            return NextStep(min(self._round(ladder[-1] * GROWTH), limits.maximum or math.inf), Purpose.GROW)
        # A short disturbance of the generator must not decide where the search goes.
        for level in (*self.unsure, *((self.upper,) if self.upper is not None else ())):
            at = self._outcomes[level]
            if at.fails and not at.fails_by_target and not at.settled:
                return NextStep(level, Purpose.CONFIRM)
        # Unsure loads make the bracket wider, so its ends must be closer to them.
        ratio = 1 + (limits.precision / 2 if self.unsure else limits.precision)
        for low, high in itertools.pairwise(ladder):
            # A load between two unsure loads would be as unsure as they are.
            between = low in self.unsure and high in self.unsure
            if high > low * ratio and not between:
                middle = self._middle(low, high)
                if middle is not None:
                    return NextStep(middle, Purpose.NARROW)
        for end in (self.lower, self.upper):
            if end is not None and not self._outcomes[end].settled:
                return NextStep(end, Purpose.CONFIRM)
        return None

    def stop_reason(self) -> StopReason:
        """Returns the reason for the end of a search without a next step."""
        if self.upper is None:
            if self.lower is None:
                return StopReason.NONE_MET
            return StopReason.ALL_MET if self.lower == self._range.maximum else StopReason.UNSETTLED
        if not self._by_target(self.upper):
            return StopReason.GENERATOR
        return StopReason.NONE_MET if self.lower is None else StopReason.FOUND

    def result(self, reason: StopReason) -> SearchResult:
        """Returns the result of a search that ends now."""
        lower, upper = self.lower, self.upper
        by_target = upper is not None and self._by_target(upper)
        return SearchResult(
            reason,
            lower,
            0 if lower is None else self._outcomes[lower].met,
            upper if by_target else None,
            0 if upper is None or not by_target else self._outcomes[upper].missed,
            None if by_target else upper,
            self.unsure,
            self.contradicted,
        )

    def _by_target(self, level: float) -> bool:
        return self._outcomes[level].fails_by_target

    def _middle(self, low: float, high: float) -> float | None:
        """Returns a round load near the geometric mean of two; None if there is none between them."""
        middle = math.sqrt(low * high)
        for digits in range(MIN_DIGITS, MAX_DIGITS):
            rounded = self._round(middle, digits)
            if low < rounded < high:
                return rounded
        return None

    def _round(self, level: float, digits: int = MIN_DIGITS) -> float:
        magnitude = math.floor(math.log10(level))
        rounded = round(level, digits - 1 - magnitude)
        return float(round(rounded)) if self._range.whole else rounded
