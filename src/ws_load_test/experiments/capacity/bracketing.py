"""Which amount of load to try next, and what the tries come to: pure, without a clock, a socket or a memory of its own.

`decide` takes what has been tried and returns the next thing to do. It doubles the amount until a try fails, halves
the ratio between the highest amount that met the objectives and the lowest that did not until they are near enough,
and then has each end of that bracket tried until it has turned out the same way twice. An amount that met the
objectives once and missed them once is neither end: it stays inside the bracket, which is the wider for it.

A try that failed through the generator's doing says nothing about the target, and is repeated at once. If that says no
more, the search does not go beyond it: below an amount that the target did miss it is as unsure as one that
contradicted itself, and with nothing above it the search ends without an upper end.
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
CONFIRMATIONS = 2
"""How often an end of the bracket must have turned out the same way."""
MOST_STEPS = 60
"""A target that answers the same load differently every time would be tried for ever."""
FEWEST_DIGITS = 3
"""Amounts are round: people read them, and a load is never that exact."""
MOST_DIGITS = 9


class Outcome(StrEnum):
    """How a step ended."""

    MET = "met"
    """The objectives were met, whether the generator was at its limit or not."""
    MISSED = "missed"
    """They were not, and the generator had room."""
    GENERATOR_BOUND = "generator-bound"
    """They were not, and the generator was at its limit: no evidence against the target."""
    NOTHING_OPENED = "nothing-opened"
    INTERRUPTED = "interrupted"


class Purpose(StrEnum):
    """What a step is for."""

    GROW = "grow"
    NARROW = "narrow"
    CONFIRM = "confirm"


class StopReason(StrEnum):
    """What a search came to."""

    FOUND = "found"
    """The limit lies between two amounts."""
    ALL_MET = "all-met"
    """Every amount that was tried, up to the highest that was to be."""
    NONE_MET = "none-met"
    """Not even the lowest that was to be tried."""
    GENERATOR = "generator-bound"
    """The generator was at its limit before the target was."""
    NOTHING_OPENED = "nothing-opened"
    """The target let nobody in, from the first step on."""
    GONE = "target-gone"
    """It let somebody in once, and then nobody, twice in a row."""
    UNSETTLED = "unsettled"
    """Steps contradicted each other until there had been too many, or whether the most is met did not turn out."""
    INTERRUPTED = "interrupted"
    BROKEN_OFF = "broken-off"
    """By an error: a file that cannot be written, a process that cannot be started."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Where to search, and how closely."""

    first: float
    """The least amount of interest, tried first."""
    most: float | None = None
    """The most; None: as far as it goes."""
    precision: float = 0.05
    """How far the ends of the bracket may lie apart, as a part of the lower."""
    whole: bool = False
    """Whether amounts are whole numbers."""


class StepResult(NamedTuple):
    """A step that has been."""

    amount: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class NextStep:
    """The instruction to try an amount."""

    amount: float
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The end of a search, and what is known by then."""

    ending: StopReason
    lower: float | None = None
    """The highest amount that met the objectives each time."""
    lower_times: int = 0
    upper: float | None = None
    """The lowest amount above it that missed them each time through the target's doing."""
    upper_times: int = 0
    bound: float | None = None
    """The lowest amount above it at which the generator was at its limit, where nothing lower was missed."""
    unsure: tuple[float, ...] = ()
    """Amounts between these that turned out one way and the other, or where the generator was at its limit."""
    contradicted: tuple[float, ...] = ()
    """All amounts that turned out one way and the other."""


def next_step(where: SearchRange, tried: Sequence[StepResult]) -> NextStep | SearchResult:
    """Returns the next step, or the answer; the same for the same tries."""
    sight = _Bracket(where, tried)
    if (early := _early_end(tried)) is not None:
        return sight.answer(early)
    move = sight.next_try()
    if move is None:
        return sight.answer(sight.ending())
    return move if len(tried) < MOST_STEPS else sight.answer(StopReason.UNSETTLED)


def known(where: SearchRange, tried: Sequence[StepResult], ending: StopReason) -> SearchResult:
    """Returns what is known when something other than the tries ends the search."""
    return _Bracket(where, tried).answer(ending)


def _early_end(tried: Sequence[StepResult]) -> StopReason | None:
    outcomes = [one.outcome for one in tried]
    if outcomes[-1:] == [Outcome.INTERRUPTED]:
        return StopReason.INTERRUPTED
    if outcomes[:1] == [Outcome.NOTHING_OPENED]:
        return StopReason.NOTHING_OPENED
    if outcomes[-2:] == [Outcome.NOTHING_OPENED] * 2:
        return StopReason.GONE
    return None


class _OutcomesAt:
    """How the steps of one amount turned out."""

    def __init__(self, outcomes: Counter[Outcome]) -> None:
        self.met = outcomes[Outcome.MET]
        self.missed = outcomes[Outcome.MISSED] + outcomes[Outcome.NOTHING_OPENED]
        self.bound = outcomes[Outcome.GENERATOR_BOUND]

    @property
    def holds(self) -> bool:
        """It met the objectives, and nothing is to be said against that."""
        return self.met > 0 and not self.missed and self.bound < CONFIRMATIONS

    @property
    def fails(self) -> bool:
        """It never met them."""
        return not self.met and self.missed + self.bound > 0

    @property
    def fails_by_target(self) -> bool:
        """It never met them, and that was not the generator's doing."""
        return self.fails and self.missed >= self.bound

    @property
    def contradicts(self) -> bool:
        """It did, and did not."""
        return self.met > 0 and self.missed > 0

    @property
    def wavers(self) -> bool:
        """It met them, and the target or the generator speaks against that."""
        return self.met > 0 and not self.holds

    @property
    def settled(self) -> bool:
        """It turned out the same way often enough."""
        return max(self.met, self.missed, self.bound) >= CONFIRMATIONS


class _Bracket:
    """What the tries show: where the bracket's ends are, and what lies between them."""

    def __init__(self, where: SearchRange, tried: Sequence[StepResult]) -> None:
        self._where = where
        outcomes: dict[float, Counter[Outcome]] = {}
        for amount, outcome in tried:
            outcomes.setdefault(amount, Counter())[outcome] += 1
        self._seen = {amount: _OutcomesAt(outcomes[amount]) for amount in sorted(outcomes)}
        self.lower = max((amount for amount, seen in self._seen.items() if seen.holds), default=None)
        floor = -math.inf if self.lower is None else self.lower
        failing = [amount for amount, seen in self._seen.items() if seen.fails and amount > floor]
        missed = [amount for amount in failing if self._seen[amount].fails_by_target]
        self.upper = min(missed or failing, default=None)
        ceiling = math.inf if self.upper is None else self.upper
        self.contradicted = tuple(amount for amount, seen in self._seen.items() if seen.contradicts)
        unsure = {*failing, *(amount for amount, seen in self._seen.items() if seen.wavers)}
        self.unsure = tuple(amount for amount in self._seen if amount in unsure and floor < amount < ceiling)

    def next_try(self) -> NextStep | None:
        """Returns what is still to be tried; None where the bracket is narrow and each end settled."""
        where = self._where
        ladder = [one for one in (self.lower, *self.unsure, self.upper) if one is not None]
        if not ladder:
            return NextStep(where.first, Purpose.GROW)
        if self.upper is None and (where.most is None or ladder[-1] < where.most):
            return NextStep(min(self._round(ladder[-1] * GROWTH), where.most or math.inf), Purpose.GROW)
        # A hiccup of the generator is over soon, and must not decide where the search goes.
        for amount in (*self.unsure, *(one for one in (self.upper,) if one is not None)):
            seen = self._seen[amount]
            if seen.fails and not seen.fails_by_target and not seen.settled:
                return NextStep(amount, Purpose.CONFIRM)
        # Amounts that are unsure make the bracket wider, so its ends must be nearer to them.
        ratio = 1 + (where.precision / 2 if self.unsure else where.precision)
        for low, high in itertools.pairwise(ladder):
            # What lies between two amounts that are unsure is as unsure as they are.
            between = low in self.unsure and high in self.unsure
            if high > low * ratio and not between:
                middle = self._middle(low, high)
                if middle is not None:
                    return NextStep(middle, Purpose.NARROW)
        for end in (self.lower, self.upper):
            if end is not None and not self._seen[end].settled:
                return NextStep(end, Purpose.CONFIRM)
        return None

    def ending(self) -> StopReason:
        """Returns what a search has come to that has nothing left to try."""
        if self.upper is None:
            if self.lower is None:
                return StopReason.NONE_MET
            return StopReason.ALL_MET if self.lower == self._where.most else StopReason.UNSETTLED
        if not self._by_target(self.upper):
            return StopReason.GENERATOR
        return StopReason.NONE_MET if self.lower is None else StopReason.FOUND

    def answer(self, ending: StopReason) -> SearchResult:
        """Returns the answer, as far as anything is known."""
        lower, upper = self.lower, self.upper
        by_target = upper is not None and self._by_target(upper)
        return SearchResult(
            ending,
            lower,
            0 if lower is None else self._seen[lower].met,
            upper if by_target else None,
            0 if upper is None or not by_target else self._seen[upper].missed,
            None if by_target else upper,
            self.unsure,
            self.contradicted,
        )

    def _by_target(self, amount: float) -> bool:
        return self._seen[amount].fails_by_target

    def _middle(self, low: float, high: float) -> float | None:
        """Returns a round amount about halfway between two in ratio; None where there is none."""
        middle = math.sqrt(low * high)
        for digits in range(FEWEST_DIGITS, MOST_DIGITS):
            rounded = self._round(middle, digits)
            if low < rounded < high:
                return rounded
        return None

    def _round(self, amount: float, digits: int = FEWEST_DIGITS) -> float:
        magnitude = math.floor(math.log10(amount))
        rounded = round(amount, digits - 1 - magnitude)
        return float(round(rounded)) if self._where.whole else rounded
