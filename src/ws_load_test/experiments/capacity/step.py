"""One step of a search: evaluates a run with one load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from ws_load_test.analysis.capacity_types import (
    ObjectiveCheck,
    StepConnections,
    StepGenerator,
    StepMessages,
    StepSummary,
    StepTimes,
)
from ws_load_test.analysis.condition_scope import ConditionScope, time_count
from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.analysis.findings import awaits_replies
from ws_load_test.analysis.summary_types import MixedLoad, UnknownLoad
from ws_load_test.analysis.verdict import UNMEASURED
from ws_load_test.experiments.capacity.attribution import attribute_to_generator, generator_lateness_ns
from ws_load_test.experiments.capacity.backlog import (
    TOLERATED_SHARE,
    backlog_growth,
    delivery_backlog_growth,
    describe_backlog,
    shortfalls,
)
from ws_load_test.experiments.capacity.bracketing import Outcome
from ws_load_test.plan.thresholds import parse_condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.api import Result
    from ws_load_test.experiments.capacity.bracketing import NextStep
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.thresholds import Condition

ERRORS = parse_condition("errors > 0%")
Part = TypeVar("Part", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step."""

    load_level: float
    outcome: Outcome
    summary: StepSummary
    """The step as `--json` prints it."""


def evaluate_step(
    number: int,
    plan: NextStep,
    objectives: Sequence[Condition],
    result: Result,
    *,
    digest: Aggregate,
    recording: str | None = None,
    ended_early: bool = False,
) -> Step:
    """Evaluates the run of a step.

    Args:
        number: Number of the step in the search, from 1.
        plan: Load and purpose of the step.
        objectives: Objectives of the search.
        result: Result of the run.
        digest: Aggregate of the run.
        recording: File of the recording, if one is kept.
        ended_early: True if the run was stopped because its objectives could no longer be met.
    """
    summary, header = result.summary, result.recording.header
    lost = result.recording.trailer.lost_workers if result.recording.trailer is not None else ()
    checks = _checks(objectives, summary, digest.tally)
    # In a closed loop each message waits for the reply to the one before, and in a scenario each step for the one
    # before, so no queue can grow.
    waits = header.due_when_sent or summary.sessions is not None
    growth = None if waits else backlog_growth(digest.recordings[0])
    queued = summary.messages.sent
    if summary.fanout is not None:
        growth, queued = (
            delivery_backlog_growth(digest.recordings[0], digest.tally),
            digest.tally.delivery_time_ns.count,
        )
    missing = shortfalls(summary)
    behind = [
        *missing,
        *([] if growth is None else [describe_backlog(growth, of_deliveries=summary.fanout is not None)]),
    ]
    limits = [*summary.generator.reasons, *(f"a worker was lost: {worker.reason}" for worker in lost)]
    met = not behind and all(check.met for check in checks)
    unsent = _unsent_by_generator(summary)
    unsent_is_missing = unsent > TOLERATED_SHARE * digest.tally.due
    # The generator can explain a shortfall only if unsent messages are the only one.
    nothing_else_is_missing = len(missing) == 1 if unsent_is_missing else not missing
    if not met and not limits and nothing_else_is_missing:
        grown_ns = None if growth is None else growth * summary.duration_s * 1e9 / max(1, queued)
        limits += filter(None, [attribute_to_generator(objectives, checks, digest, grown_ns=grown_ns, unsent=unsent)])
    definite = behind or any(not check.met and check.judged is UNSET for check in checks)
    outcome = _outcome(summary, met=met, bound=bool(limits), judged=met or bool(definite))
    return Step(
        plan.load_level,
        outcome,
        StepSummary(
            number=number,
            amount=plan.load_level,
            purpose=plan.purpose.value,
            outcome=outcome.value,
            duration_s=summary.duration_s,
            ended_early=ended_early,
            sent_per_s=summary.messages.sent / summary.duration_s if summary.duration_s else None,
            achieved_per_s=_achieved_per_s(summary),
            connections=_some_of(StepConnections, summary.connections),
            messages=_some_of(StepMessages, summary.messages),
            errors=_errors(digest.tally, awaits_replies=awaits_replies([result.recording])),
            response_time_ns=StepTimes.of(summary.response_time_ns),
            delivery_time_ns=UNSET if summary.fanout is None else StepTimes.of(summary.fanout.delivery_time_ns),
            reach=UNSET if summary.fanout is None else summary.fanout.reach,
            faults=summary.faults,
            objectives=checks,
            behind=behind,
            generator=StepGenerator(
                cpu_share=summary.generator.cpu_share,
                late_p99_ns=generator_lateness_ns(digest.tally),
                saturated=bool(limits),
                reasons=limits,
                workers=header.workers,
                hosts=UNSET if header.hosts is UNSET else len(header.hosts),
            ),
            recording=recording,
        ),
    )


def _achieved_per_s(summary: Summary) -> float | None:
    """Returns the replies per second; of a fan-out the messages published per second, which need no reply."""
    if summary.fanout is None:
        return summary.throughput_per_s
    return summary.messages.sent / summary.duration_s if summary.duration_s else None


def _some_of(part: type[Part], whole: msgspec.Struct) -> Part:
    """Returns those counts of a run's summary that a step's summary has."""
    return part(**{one.name: getattr(whole, one.name) for one in msgspec.structs.fields(part)})


def _unsent_by_generator(summary: Summary) -> int:
    """Returns the number of messages that were not sent although the target did not prevent it."""
    connections, load = summary.connections, summary.load
    # A step is one run of a plan that this version made; types allow more of a summary.
    held_back = not isinstance(load, MixedLoad | UnknownLoad) and load.limits_in_flight
    hindered = connections.failed + connections.lost or held_back
    return 0 if hindered else summary.messages.dropped


def infeasible_step(number: int, plan: NextStep, reason: str) -> Step:
    """Returns the step of a load that this machine cannot carry, without a run."""
    outcome = Outcome.GENERATOR_BOUND
    summary = StepSummary(
        number=number,
        amount=plan.load_level,
        purpose=plan.purpose.value,
        outcome=outcome.value,
        faults={},
        objectives=[],
        behind=[],
        generator=StepGenerator(cpu_share=None, late_p99_ns=None, saturated=True, reasons=[reason]),
        recording=None,
    )
    return Step(plan.load_level, outcome, summary)


def _outcome(summary: Summary, *, met: bool, bound: bool, judged: bool) -> Outcome:
    """Returns the outcome of a step.

    Objectives that were met count even if the generator was saturated: its lateness only makes times longer, and
    messages that it cannot send are errors. Objectives that a saturated generator missed are no evidence. Neither
    are times that cannot be judged, where nothing else was missed.
    """
    if summary.interrupted:
        return Outcome.INTERRUPTED
    measured = summary.verdict.reason not in UNMEASURED
    if met and measured:
        return Outcome.MET
    if measured and not judged:
        return Outcome.NOT_JUDGED
    if bound:
        return Outcome.GENERATOR_BOUND
    if measured:
        return Outcome.MISSED
    return Outcome.NOTHING_MEASURED if summary.connections.opened else Outcome.NOTHING_OPENED


def _checks(objectives: Sequence[Condition], summary: Summary, tally: Tally) -> list[ObjectiveCheck]:
    """Returns the result of each objective; the run itself checked them."""
    found = {check.check: check for check in summary.verdict.checks}
    return [
        ObjectiveCheck(
            objective=objective.text,
            met=check.passed,
            value=check.value,
            limit=check.limit,
            unit=check.unit,
            why=check.why,
            judged=check.judged,
            few=_too_few(objective, tally),
        )
        for objective in objectives
        for check in (found[objective.text],)
    ]


def _too_few(objective: Condition, tally: Tally) -> int | UnsetType:
    """Returns the number of values that a percentile rests on, where it is too small."""
    metric = objective.metric
    if metric.kind != "time" or not metric.statistic[0].isdigit():
        return UNSET
    count = time_count(tally, metric)
    if count and 0 < float(metric.statistic) < 100 and too_few_in_tail(metric.statistic, count):
        return count
    return UNSET


def _errors(tally: Tally, *, awaits_replies: bool) -> float | None:
    """Returns the share of errors as conditions define it; None without messages and connections."""
    share = ConditionScope(tally, 0, awaits_replies=awaits_replies).value(ERRORS)
    return None if share is None else float(share)
