"""Two targets measured in turn, in short rounds: what drifts on a machine drifts for both.

from ws_load_test import Plan, make_plan
from ws_load_test.experiments.ab import Series

series = Series(make_plan(url_a, duration="2s"), make_plan(url_b, duration="2s"), rounds=10)
for turn in series.turns():
    series.take(turn, asyncio.run(turn.run().execute()))
print(series.comparison())
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.comparison.compare import CONFIDENCE, compare
from ws_load_test.analysis.comparison.samples import Variant, pair_variants
from ws_load_test.api import Run
from ws_load_test.common.errors import OutputError
from ws_load_test.metrics.recording import Round
from ws_load_test.plan.load import OpenLoop

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.api import Result
    from ws_load_test.metrics.recording import Recording
from ws_load_test.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class ExperimentRound:
    """One round of one target."""

    variant: str
    """``a`` or ``b``."""
    number: int
    """From 1; the turns of both targets that share it are a pair."""
    plan: Plan
    output: Path | None
    """Where its recording is written; None for nowhere."""
    round_id: Round

    def run(self) -> Run:
        """Returns its run, which has not begun; see `ws_load_test.run` for what is raised."""
        return Run(self.plan, output=self.output, of_series=self.round_id)


@dataclass(slots=True)
class PairedExperiment:
    """Rounds of two plans, in an order that chance decides for each pair."""

    a: Plan
    b: Plan
    rounds: int = 10
    seed: int = field(default_factory=lambda: secrets.randbelow(1 << 32))
    """Of the order; the same seed gives the same order."""
    output: str | os.PathLike[str] | None = None
    """A directory: recordings are written to its ``a`` and ``b``, numbered; None for nowhere."""
    taken: dict[str, list[Recording]] = field(default_factory=lambda: {"a": [], "b": []}, init=False)
    """The recordings of the turns that were carried out."""
    _id: str = field(default_factory=lambda: secrets.token_hex(8), init=False)

    @property
    def order(self) -> tuple[str, ...]:
        """The order of every pair, ``ab`` or ``ba``."""
        chance = random.Random(self.seed)  # noqa: S311 - nobody must not guess it
        return tuple(chance.choice(("ab", "ba")) for _ in range(self.rounds))

    def folder(self, letter: str) -> Path | None:
        """Returns where a target's recordings are written."""
        return None if self.output is None else Path(self.output) / letter

    def path(self, letter: str, number: int) -> Path | None:
        """Returns where the recording of a round is written; None for nowhere."""
        folder = self.folder(letter)
        return None if folder is None else folder / f"{number:0{max(2, len(str(self.rounds)))}}.jsonl"

    def paths(self) -> Iterator[Path]:
        """Yields where recordings are written."""
        for number in range(1, self.rounds + 1):
            yield from (path for letter in "ab" if (path := self.path(letter, number)) is not None)

    def turns(self) -> Iterator[ExperimentRound]:
        """Yields the turns in their order.

        Raises:
            OutputError: The directories for the recordings cannot be made.
        """
        for number, pair in enumerate(self.order, 1):
            for letter in pair:
                folder = self.folder(letter)
                if folder is not None:
                    _make(folder)
                yield ExperimentRound(
                    letter, number, self._plan(letter, number), self.path(letter, number), Round(self._id, number)
                )

    def add_result(self, turn: ExperimentRound, result: Result) -> None:
        """Takes in what a turn came to."""
        self.taken[turn.variant].append(result.recording)

    def comparison(self, *, confidence: float = CONFIDENCE) -> Comparison | None:
        """Compares b with a over the rounds that both have ended; None before there is one."""
        pair: tuple[Variant, Variant] | None = pair_variants(("a", "b"), self.taken["a"], self.taken["b"])
        return None if pair is None else compare(*pair, confidence=confidence, paired=True)

    def _plan(self, letter: str, number: int) -> Plan:
        plan = self.a if letter == "a" else self.b
        if not isinstance(plan.load, OpenLoop) or plan.load.arrivals != "poisson":
            return plan
        # Other instants in every pair, and the same ones for both of a pair: they differ by the targets alone.
        load = msgspec.structs.replace(plan.load, seed=self.seed + number)
        return msgspec.structs.replace(plan, load=load)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory {folder}: {error.strerror}") from None
