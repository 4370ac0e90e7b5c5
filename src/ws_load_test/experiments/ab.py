"""Paired experiment: two targets measured in alternating short rounds, so that drift of the machine affects both.

from ws_load_test import make_plan
from ws_load_test.experiments.ab import PairedExperiment

experiment = PairedExperiment(make_plan(url_a, duration="2s"), make_plan(url_b, duration="2s"), rounds=10)
for round_ in experiment.iter_rounds():
    experiment.add_result(round_, asyncio.run(round_.run().execute()))
print(experiment.comparison())
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
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.api import Result
    from ws_load_test.metrics.recording import Recording


@dataclass(frozen=True, slots=True)
class ExperimentRound:
    """One round of one target."""

    variant: str
    """``a`` or ``b``."""
    number: int
    """Number of the pair, from 1: one round of each target has it."""
    plan: Plan
    output: Path | None
    """File for the recording; None to keep none."""
    round_id: Round

    def run(self) -> Run:
        """Makes its run, which has not begun; see `ws_load_test.run` for the errors."""
        return Run(self.plan, output=self.output, of_series=self.round_id)


@dataclass(slots=True)
class PairedExperiment:
    """Pairs of rounds of two plans; the order within each pair is random."""

    a: Plan
    b: Plan
    rounds: int = 10
    seed: int = field(default_factory=lambda: secrets.randbelow(1 << 32))
    """Seed of the order; the same seed gives the same order."""
    output: str | os.PathLike[str] | None = None
    """Directory for numbered recordings, in its folders ``a`` and ``b``; None to keep none."""
    recordings: dict[str, list[Recording]] = field(default_factory=lambda: {"a": [], "b": []}, init=False)
    """Recordings of the rounds that were carried out, by variant."""
    _id: str = field(default_factory=lambda: secrets.token_hex(8), init=False)

    @property
    def order(self) -> tuple[str, ...]:
        """Order of every pair, ``ab`` or ``ba``."""
        rng = random.Random(self.seed)  # noqa: S311 - no secret
        return tuple(rng.choice(("ab", "ba")) for _ in range(self.rounds))

    def folder(self, variant: str) -> Path | None:
        """Returns the folder of a variant's recordings; None to keep none."""
        return None if self.output is None else Path(self.output) / variant

    def path(self, variant: str, number: int) -> Path | None:
        """Returns the file of a round's recording; None to keep none."""
        folder = self.folder(variant)
        return None if folder is None else folder / f"{number:0{max(2, len(str(self.rounds)))}}.jsonl"

    def paths(self) -> Iterator[Path]:
        """Yields the files of all recordings."""
        for number in range(1, self.rounds + 1):
            yield from (path for variant in "ab" if (path := self.path(variant, number)) is not None)

    def iter_rounds(self) -> Iterator[ExperimentRound]:
        """Yields the rounds of both variants in their order.

        Raises:
            OutputError: The directories for the recordings cannot be made.
        """
        for number, pair in enumerate(self.order, 1):
            for variant in pair:
                folder = self.folder(variant)
                if folder is not None:
                    _make_directory(folder)
                yield ExperimentRound(
                    variant, number, self._plan(variant, number), self.path(variant, number), Round(self._id, number)
                )

    def add_result(self, round_: ExperimentRound, result: Result) -> None:
        """Keeps the recording of a round."""
        self.recordings[round_.variant].append(result.recording)

    def comparison(self, *, confidence: float = CONFIDENCE) -> Comparison | None:
        """Compares b with a over the rounds that both completed; returns None if there is none."""
        pair: tuple[Variant, Variant] | None = pair_variants(("a", "b"), self.recordings["a"], self.recordings["b"])
        return None if pair is None else compare(*pair, confidence=confidence, paired=True)

    def _plan(self, variant: str, number: int) -> Plan:
        plan = self.a if variant == "a" else self.b
        if not isinstance(plan.load, OpenLoop) or plan.load.arrivals != "poisson":
            return plan
        # Send times differ between pairs, and are the same within a pair, which so differs only by the targets.
        load = msgspec.structs.replace(plan.load, seed=self.seed + number)
        return msgspec.structs.replace(plan, load=load)


def _make_directory(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory {folder}: {error.strerror}") from None
