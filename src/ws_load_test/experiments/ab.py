"""Paired experiment: two targets measured in alternating short rounds, so that drift of the machine affects both.

from ws_load_test import ab

comparison = ab("ws://localhost:3001", "ws://localhost:3002", connections=10, rounds=20)
print(comparison.overall, comparison.failing(0.05))
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from ws_load_test.analysis.comparison.compare import CONFIDENCE, compare
from ws_load_test.analysis.comparison.metrics import METRICS, ComparedMetric, metrics_named
from ws_load_test.analysis.comparison.samples import MIN_REPEATS, Variant, pair_variants
from ws_load_test.analysis.comparison.sides import check_confidence
from ws_load_test.api import Run
from ws_load_test.common.errors import OptionProblem, OutputError, PlanError, UsageError, option_name
from ws_load_test.common.event_loop import run_blocking
from ws_load_test.experiments.losses import loss_that_ends
from ws_load_test.fleet.factory import shared_fleets
from ws_load_test.fleet.local import LocalFleet
from ws_load_test.metrics.recording import Round
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.catalog import refused_by
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.api import Result
    from ws_load_test.fleet.base import FleetFactory
    from ws_load_test.fleet.cluster.spec import Cluster
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.plan.options.catalog import ABOptions

ROUNDS, ROUND_DURATION, WARMUP = "10", "2s", "500ms"
"""Defaults: pairs of rounds, measured time of a round, and warm-up before it."""


def ab(
    url_a: str,
    url_b: str,
    *,
    output: str | os.PathLike[str] | None = None,
    on_round: Callable[[ExperimentRound, Result], None] | None = None,
    confidence: float = CONFIDENCE,
    metrics: Sequence[str] = (),
    cluster: Cluster | None = None,
    **options: Unpack[ABOptions],
) -> Comparison:
    """Measures two targets in turn and compares b with a, in a script or in a notebook's cell.

    Args:
        url_a: URL of the target to compare with.
        url_b: URL of the other target.
        output: Directory for the recordings of the rounds.
        on_round: Called with each round as it ends, and its result.
        confidence: Probability, from 0.5 to 0.9999, that no metric is reported as different if none is.
        metrics: Names of the metrics to compare, such as p99; empty: all.
        cluster: Other machines that run the rounds in place of this one; it is joined once for all of them.
        options: Options of the command line, dashes as underscores.

    Raises:
        PlanError: The options have problems; each names its option.
        UsageError: The confidence is out of range, or the first pair of rounds was interrupted, or the cluster cannot
            be used.
        HostError: This machine, or one of the cluster, cannot carry the plan.
        LostHostError: A worker was lost, and the cluster's `on_worker_lost` is ``stop``; or all hosts are lost.
        OutputError: The directories for the recordings cannot be made.
    """
    check_confidence(confidence)
    try:
        compared = metrics_named(metrics)
    except ValueError as error:
        raise UsageError(f"metrics: {error}") from None
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    rounds, duration = given.pop("rounds", ROUNDS), given.pop("round_duration", ROUND_DURATION)
    if problems := refusals(given):
        raise PlanError(tuple(problems))
    experiment = read_experiment((url_a, url_b), given, rounds, duration, output)
    running: list[Run] = []

    async def run_rounds() -> None:
        async with shared_fleets(cluster) as make_fleet:
            for round_ in experiment.iter_rounds():
                running[:] = [round_.run(make_fleet)]
                result = await running[0].execute()
                experiment.add_result(round_, result)
                if on_round is not None:
                    on_round(round_, result)
                if running[0].interrupted:
                    return
                if (error := loss_that_ends(result, cluster)) is not None:
                    raise error

    run_blocking(run_rounds, lambda: running[0].interrupt() if running else None)
    comparison = experiment.comparison(confidence=confidence, metrics=compared)
    if comparison is None:
        raise UsageError("ab: there is no pair of rounds to compare")
    return comparison


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

    def run(self, make_fleet: FleetFactory = LocalFleet) -> Run:
        """Makes its run, which has not begun; see `ws_load_test.run` for the errors."""
        return Run(self.plan, output=self.output, of_series=self.round_id, make_fleet=make_fleet)


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

    def comparison(
        self, *, confidence: float = CONFIDENCE, metrics: Sequence[ComparedMetric] = METRICS
    ) -> Comparison | None:
        """Compares b with a over the rounds that both completed; returns None if there is none."""
        pair: tuple[Variant, Variant] | None = pair_variants(("a", "b"), self.recordings["a"], self.recordings["b"])
        return None if pair is None else compare(*pair, confidence=confidence, paired=True, metrics=metrics)

    def _plan(self, variant: str, number: int) -> Plan:
        plan = self.a if variant == "a" else self.b
        if not plan.load.has_random_arrivals:
            return plan
        # Send times differ between pairs, and are the same within a pair, which so differs only by the targets.
        return msgspec.structs.replace(plan, load=plan.load.with_seed(self.seed + number))


def _make_directory(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory {folder}: {error.strerror}") from None


# --- Options --------------------------------------------------------------------------------------------------------


def refusals(options: Mapping[str, Any]) -> list[OptionProblem]:
    """Returns a problem for each option of a run that an experiment does not take."""
    return [
        OptionProblem(option_name(name), f"has no place in ab: {why}")
        for name, why in refused_by("ab").items()
        if options.get(name) not in (None, False)
    ]


def read_experiment(
    urls: Sequence[str],
    options: Mapping[str, Any],
    rounds: int | str,
    round_time: float | str,
    output: str | os.PathLike[str] | None,
) -> PairedExperiment:
    """Returns the experiment that the options describe; its two plans differ in their targets alone.

    Args:
        urls: URLs of both targets.
        options: Options of their plans.
        rounds: Number of pairs of rounds.
        round_time: Measured time of a round.
        output: As `PairedExperiment.output`.

    Raises:
        PlanError: with every problem of the options.
    """
    refused = refused_by("ab")
    options = {name: value for name, value in options.items() if name not in refused}
    problems: list[OptionProblem] = []
    values: dict[str, int] = {}
    asked: dict[str, tuple[Any, Callable[[Any], int]]] = {
        "rounds": (rounds, option_values.rounds),
        "round_duration": (round_time, option_values.positive_duration),
    }
    if "seed" in options:
        asked["seed"] = (options.pop("seed"), option_values.seed)
    for name, (value, read) in asked.items():
        try:
            values[name] = read(value)
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))
    if values.get("rounds", MIN_REPEATS) < MIN_REPEATS:
        problems.append(
            OptionProblem(
                "--rounds", f"{values['rounds']} are too few to tell a difference from chance; take 10 or more"
            )
        )
    plans: list[Plan] = []
    for url in urls:
        try:
            plans.append(read_plan({"warmup": WARMUP, **options, "url": url, "duration": round_time}))
        except PlanError as error:
            mine = {"--duration"} if problems else set()
            problems += [one for one in error.problems if one not in problems and one.option not in mine]
    if problems:
        raise PlanError(tuple(problems))
    series = PairedExperiment(plans[0], plans[1], rounds=values["rounds"], output=output)
    if "seed" in values:
        series.seed = values["seed"]
    return series
