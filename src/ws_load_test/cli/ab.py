"""``ws-load-test ab``: two targets measured in turn in one go, and compared."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.comparison.comparability import about_side
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.verdict import UNMEASURED
from ws_load_test.cli.cluster import describe, pop_cluster_options
from ws_load_test.cli.comparison_output import parse_terms, report_outcome
from ws_load_test.cli.output import exports_in, pop_output_options, set_log_level, warn_unwritable
from ws_load_test.cli.run import with_usable
from ws_load_test.cli.signals import run_with_signals
from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import (
    ExitCode,
    LoadTestError,
    OutputError,
    PlanError,
    UsageError,
    option_name,
)
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.experiments.ab import ROUND_DURATION, ROUNDS, read_experiment, refusals
from ws_load_test.experiments.losses import loss_that_ends
from ws_load_test.fleet.factory import shared_fleets
from ws_load_test.plan.options.catalog import refused_by
from ws_load_test.plan.plan import Plan
from ws_load_test.report.content.generator_size import GeneratorSize, describe_sizes, sizes_of
from ws_load_test.report.content.labeled import count_of
from ws_load_test.report.terminal.comparison import ComparisonReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.summary_types import Summary, ThresholdCheck
    from ws_load_test.api import Result
    from ws_load_test.experiments.ab import ExperimentRound, PairedExperiment
    from ws_load_test.fleet.cluster.spec import Cluster

_OWN = ("url", "output")
"""Options of a plan file that belong to a run: `ab` has targets of its own, and makes many recordings."""
_log = logging.getLogger(__name__)


def run_ab(
    urls: Sequence[str],
    options: dict[str, Any],
) -> int:
    """``ws-load-test ab URL_A URL_B``."""
    if len(urls) != 2:
        raise UsageError(
            f"ab: takes two URLs and not {len(urls)}; write for example: ws-load-test ab ws://one:3001 ws://other:3001"
        )
    rounds, round_time = options.pop("rounds", ROUNDS), options.pop("round_duration", ROUND_DURATION)
    confidence, fail_on_regression = options.pop("confidence", None), options.pop("fail_on_regression", None)
    metrics = options.pop("metric", ())
    refused = refused_by("ab")
    options, left_out = _with_file(options, refused)
    cluster = pop_cluster_options(options).get("cluster")
    output_options, problems = pop_output_options(options, "ab")
    problems = [*refusals(options), *problems]
    if problems:
        raise PlanError(tuple(problems))
    wanted = exports_in(output_options)
    as_json, quiet = bool(output_options.get("json")), bool(output_options.get("quiet"))
    series = read_experiment(urls, options, rounds, round_time, output_options.get("output"))
    kept = {"a recording of --output": [str(path) for path in series.paths()]} if wanted else {}
    sure, limit, compared = parse_terms(
        confidence, fail_on_regression, wanted, as_json=as_json, kept=kept, metrics=metrics
    )
    _prepare(series)
    set_log_level(output_options.get("log_level", "warn"))
    _log_plan(series.a, cluster, left_out)
    warn_unwritable(wanted)
    shows = not quiet and sys.stderr.isatty()
    going = _ABRunner(series, cluster, shows=shows)
    code = going.run()
    comparison = series.comparison(confidence=sure, metrics=compared)
    if comparison is None:
        _log.error("there is no pair of rounds to compare: it was stopped before the first was over")
        return code
    order = going.order(comparison)
    outcome = ComparisonReport(
        comparisons=[comparison],
        limit=limit,
        doubts=going.doubts,
        facts=going.facts(comparison),
        checks=_checks(comparison),
        more={
            "ab": {
                "rounds": series.rounds,
                "order": order,
                "seed": series.seed,
                "opened": going.opened,
                "generator": going.generator(),
            }
        },
    )
    lesser = ExitCode.OUTPUT_FAILED if going.output_failed else ExitCode.PASSED
    if going.bound and output_options.get("fail_if_saturated"):
        lesser = ExitCode.GENERATOR_BOUND
    return report_outcome(outcome, wanted, as_json=as_json, quiet=quiet, code=code, lesser=lesser)


def _with_file(options: dict[str, Any], refused: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Returns the options over those of the plan file, and the names of those in the file that `ab` cannot use."""
    path = options.pop("plan", None)
    return (options, []) if path is None else with_usable(path, options, {*refused, *_OWN})


def _log_plan(plan: Plan, cluster: Cluster | None, left_out: Sequence[str]) -> None:
    """Logs the plan, which is the same for both targets, and its warnings."""
    for label, words in describe(plan, cluster):
        _log.info("%s: %s", label, words)
    if left_out:
        names = ", ".join(map(option_name, left_out))
        _log.warning("--plan: %s: left out, because ab has its own targets and lengths, and makes many runs", names)
    for warning in plan.warnings:
        _log.warning("%s", warning)


def _prepare(series: PairedExperiment) -> None:
    """Makes the directories of the recordings. They must hold none: `compare` would take those for rounds."""
    for letter in ("a", "b"):
        folder = series.folder(letter)
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = any(folder.glob("*.jsonl"))
        except OSError as error:
            raise OutputError(f"--output: cannot make the directory {folder}: {error.strerror}") from error
        if taken:
            raise UsageError(f"--output: {folder} holds recordings already; name another directory, or remove them")


class _ABRunner:
    """Runs the rounds of an experiment and keeps how they ended."""

    def __init__(self, series: PairedExperiment, cluster: Cluster | None, *, shows: bool) -> None:
        self.series = series
        self.cluster = cluster
        self.shows = shows
        self.opened = {"a": 0, "b": 0}
        """Rounds of each target in which a connection opened."""
        self.unmeasured: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}
        """Rounds of each target that measured nothing, by the reason."""
        self.done = {"a": 0, "b": 0}
        """Rounds of each target that ran to their end."""
        self.sizes: list[GeneratorSize] = []
        """Hosts and workers of each round; 0 hosts are this machine."""
        self.lost_workers = 0
        self.bound = False
        self.interrupted = False
        self.output_failed = False
        self.ended: ExitCode | None = None
        """Exit code of the error that ended the series; None without one."""
        self.doubts: list[str] = []
        self.began_ns = monotonic_ns()

    def run(self) -> ExitCode:
        """Runs the rounds; returns their exit code, before the comparison is considered.

        Raises:
            LoadTestError: The first pair of rounds could not be carried out.
            OSError: The same, for want of processes or memory.
        """
        try:
            asyncio.run(self._run_rounds())
        except KeyboardInterrupt:
            self.interrupted = True
        except (LoadTestError, OSError) as error:
            if not all(self.done.values()):
                raise
            self._end(error)
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.ended is not None:
            return self.ended
        if self.lost_workers:
            return ExitCode.WORKER_LOST
        never = any(self.unmeasured[letter].total() == self.done[letter] for letter in self.done)
        return ExitCode.NOTHING_OPENED if never else ExitCode.PASSED

    async def _run_rounds(self) -> None:
        """Runs the rounds in one event loop, so that signals are handled between them as well."""
        async with shared_fleets(self.cluster) as make_fleet:
            for turn in self.series.iter_rounds():
                run = turn.run(make_fleet)
                result = await run_with_signals(run)
                interrupted = result.summary.interrupted
                self._add(turn, result, interrupted=interrupted)
                # Of a signal that came while the round was summed up its summary does not know.
                if interrupted or run.interrupted:
                    self.interrupted = True
                    return
                if (error := loss_that_ends(result, self.cluster)) is not None:
                    raise error

    def _add(self, turn: ExperimentRound, result: Result, *, interrupted: bool) -> None:
        self.series.add_result(turn, result)
        summary = result.summary
        if not interrupted:
            self.done[turn.variant] += 1
            self.opened[turn.variant] += summary.connections.opened > 0
            if summary.verdict.reason in UNMEASURED and summary.verdict.why is not None:
                self.unmeasured[turn.variant][summary.verdict.why] += 1
        self.bound = self.bound or summary.generator.saturated
        header = result.recording.header
        self.sizes.append(GeneratorSize(turn.number, header.workers, len(header.hosts or ())))
        self.lost_workers += len(result.recording.trailer.lost_workers) if result.recording.trailer else 0
        if result.output_error is not None:
            self.output_failed = True
            _log.error("%s", result.output_error)
        if self.shows:
            rounds_done = sum(self.done.values())
            left_ns = (monotonic_ns() - self.began_ns) // max(1, rounds_done) * (2 * self.series.rounds - rounds_done)
            remaining = f"; about {format_duration(left_ns // NS_PER_S * NS_PER_S)} left" if left_ns >= NS_PER_S else ""
            sys.stderr.write(f"{_line(turn, self.series.rounds, summary)}{remaining}\n")
            sys.stderr.flush()

    def _end(self, error: LoadTestError | OSError) -> None:
        """Records the error that ended the series; the rounds before it are reported all the same."""
        why = str(error)
        if isinstance(error, OutputError):
            self.output_failed = True
        elif isinstance(error, LoadTestError):
            self.ended = error.exit_code
        else:
            why, self.ended = f"this machine cannot carry the run: {error.strerror or error}", ExitCode.USAGE
        pairs = min(self.done.values())
        self.doubts.append(
            f"the series ended after {format_count(pairs)} of {format_count(self.series.rounds)} rounds: {why}"
        )
        _log.error("%s", self.doubts[-1])

    def order(self, comparison: Comparison) -> list[str]:
        """Returns the order of the pairs that are compared."""
        marks = [recording.header.round for recording in comparison.base.recordings]
        return [self.series.order[mark.number - 1] for mark in marks if mark]

    def generator(self) -> list[dict[str, int]]:
        """Returns the hosts and workers of the rounds as ``--json`` has them: an object for each change."""
        return [
            {"round": size.first, "workers": size.workers} | ({"hosts": size.hosts} if size.hosts else {})
            for size in sizes_of(self.sizes)
        ]

    def facts(self, comparison: Comparison) -> list[str]:
        """Returns sentences about how it was measured."""
        series = self.series
        order = " ".join(self.order(comparison))
        length, warmup = format_duration(series.a.duration_ns), format_duration(series.a.warmup_ns)
        count = f"{count_of(len(comparison.base.units), 'round')} of {length} for each target"
        facts = [f"{count}, each after a warm-up of {warmup}; the order was {order} (--seed {series.seed})"]
        if self.cluster is not None:
            facts.append(f"the rounds were run by {describe_sizes(sizes_of(self.sizes), 'round')}")
        for letter, reasons in self.unmeasured.items():
            if reasons.total() < self.done[letter]:
                of = format_count(self.done[letter])
                facts += [
                    about_side(letter, f"{why} in {format_count(count)} of {of} rounds")
                    for why, count in reasons.most_common()
                ]
        return facts


def _checks(comparison: Comparison) -> list[tuple[str, ThresholdCheck]]:
    """Returns the checks of ``--slo`` on all compared rounds of each target, with its name."""
    sides = (comparison.base, comparison.new)
    return [(side.name, check) for side in sides for check in summarize(side.recordings).verdict.checks]


def _line(turn: ExperimentRound, rounds: int, summary: Summary) -> str:
    times = summary.response_time_ns
    words = (
        "nothing answered" if times is None else f"p50 {format_duration(times.p50)}, p99 {format_duration(times.p99)}"
    )
    if not summary.connections.opened:
        words = "could not open a single connection"
    return f"round {turn.number} of {rounds}, {turn.variant}: {words}"
