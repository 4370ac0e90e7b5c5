"""One step of a search: a run with an amount of load, and how it turned out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.analysis.thresholds import ConditionScope
from ws_load_test.experiments.capacity.attribution import attribute_to_generator, generator_lateness_ns
from ws_load_test.experiments.capacity.backlog import (
    LEFT_OUT,
    backlog_growth,
    describe_backlog,
    shortfalls,
)
from ws_load_test.experiments.capacity.bracketing import Outcome
from ws_load_test.experiments.capacity.search_options import negate
from ws_load_test.plan.thresholds import parse_condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.summary_types import Summary
    from ws_load_test.api import Result
    from ws_load_test.experiments.capacity.bracketing import NextStep
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.thresholds import Condition

ERRORS = parse_condition("errors > 0%")
_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")


@dataclass(frozen=True, slots=True)
class Step:
    """What a step amounted to."""

    amount: float
    purpose: str
    outcome: Outcome
    facts: dict[str, Any]
    """The step as `--json` prints it."""


def evaluate_step(
    number: int,
    move: NextStep,
    objectives: Sequence[Condition],
    result: Result,
    *,
    digest: Aggregate,
    recording: str | None = None,
    ended_early: bool = False,
) -> Step:
    """Returns the step that a run was.

    Args:
        number: Which step of the search it is, from 1.
        move: What it was for.
        objectives: What had to hold.
        result: The run's.
        digest: The run's.
        recording: The file where it is kept.
        ended_early: Whether it was ended when its objectives could not be met any more.
    """
    summary = result.summary
    lost = result.recording.trailer.lost_workers if result.recording.trailer is not None else ()
    checks = _checks(objectives, summary, digest.tally)
    # Each message of a flood waits for a reply, so that no queue can grow.
    grown = None if summary.load.get("kind") == "closed" else backlog_growth(digest.recordings[0])
    missing = shortfalls(summary)
    behind = [*missing, *([] if grown is None else [describe_backlog(grown)])]
    limits = [*summary.generator.reasons, *(f"a worker was lost: {one.reason}" for one in lost)]
    met = not behind and all(one["met"] for one in checks)
    unsent = _unsent_by_us(summary)
    unsent_is_missing = unsent > LEFT_OUT * digest.tally.due
    # What was left out may be the generator's doing only where it is nothing else than what never left.
    nothing_else_is_missing = len(missing) == 1 if unsent_is_missing else not missing
    if not met and not limits and nothing_else_is_missing:
        grown_ns = None if grown is None else grown * summary.duration_s * 1e9 / max(1, summary.messages.sent)
        limits += filter(
            None, [attribute_to_generator(objectives, checks, digest.tally, grown_ns=grown_ns, unsent=unsent)]
        )
    outcome = _outcome(summary, met=met, bound=bool(limits))
    measures = {
        "duration_s": summary.duration_s,
        "ended_early": ended_early,
        "sent_per_s": summary.messages.sent / summary.duration_s if summary.duration_s else None,
        "achieved_per_s": summary.throughput_per_s,
        "connections": {name: getattr(summary.connections, name) for name in ("attempted", "opened", "failed", "lost")},
        "messages": {
            name: getattr(summary.messages, name) for name in ("due", "sent", "answered", "unanswered", "dropped")
        },
        "errors": _errors(digest.tally),
        "response_time_ns": _times(summary),
        "faults": summary.faults,
        "objectives": checks,
        "behind": behind,
        "generator": {
            "cpu_share": summary.generator.cpu_share,
            "late_p99_ns": generator_lateness_ns(digest.tally),
            "saturated": bool(limits),
            "reasons": limits,
        },
    }
    facts = {**_head(number, move, outcome), **measures, "recording": recording}
    return Step(move.amount, move.purpose, outcome, facts)


def _unsent_by_us(summary: Summary) -> int:
    """Returns how many messages were not sent though nothing of the target stood in their way."""
    connections, load = summary.connections, summary.load
    hindered = connections.failed + connections.lost or load.get("max_in_flight") is not None
    return 0 if hindered else summary.messages.dropped


def infeasible_step(number: int, move: NextStep, why: str) -> Step:
    """Returns the step that this machine could not carry, so that there was no run."""
    facts = _head(number, move, Outcome.GENERATOR_BOUND)
    measures = dict.fromkeys(
        ("duration_s", "sent_per_s", "achieved_per_s", "connections", "messages", "errors", "response_time_ns")
    )
    generator = {"cpu_share": None, "late_p99_ns": None, "saturated": True, "reasons": [why]}
    empty: dict[str, Any] = {
        "ended_early": False,
        "faults": {},
        "objectives": [],
        "behind": [],
        "generator": generator,
        "recording": None,
    }
    return Step(move.amount, move.purpose, Outcome.GENERATOR_BOUND, {**facts, **measures, **empty})


def _head(number: int, move: NextStep, outcome: Outcome) -> dict[str, Any]:
    return {"number": number, "amount": move.amount, "purpose": str(move.purpose), "outcome": str(outcome)}


def _outcome(summary: Summary, *, met: bool, bound: bool) -> Outcome:
    """Returns how a step turned out.

    What met the objectives did so whether the generator had room or not: its lateness makes times longer, and
    messages that it cannot send are errors. What missed them while the generator was at its limit says nothing.
    """
    if summary.interrupted:
        return Outcome.INTERRUPTED
    if met and summary.connections.opened:
        return Outcome.MET
    if bound:
        return Outcome.GENERATOR_BOUND
    return Outcome.MISSED if summary.connections.opened else Outcome.NOTHING_OPENED


def _checks(objectives: Sequence[Condition], summary: Summary, tally: Tally) -> list[dict[str, Any]]:
    """Returns what became of each objective, of which the run judged the contrary."""
    contraries = {check.check: check for check in summary.verdict.checks}
    checks = []
    for objective in objectives:
        check = contraries[negate(objective)]
        found = {
            "objective": objective.text,
            "met": check.passed,
            "value": check.value,
            **{
                name: value
                for name, value in (("limit", check.limit), ("unit", check.unit), ("why", check.why))
                if value is not UNSET
            },
        }
        metric = objective.metric
        if metric.kind == "time" and metric.statistic[0].isdigit():
            count = times_of(tally, metric.name).count
            if count and 0 < float(metric.statistic) < 100 and too_few_in_tail(metric.statistic, count):
                found["few"] = count
        checks.append(found)
    return checks


def times_of(tally: Tally, name: str) -> Histogram:
    """Returns the histogram of a time that conditions name."""
    times: Histogram = getattr(tally, f"{name}_ns" if name == "send_lag" else f"{name}_time_ns")
    return times


def _errors(tally: Tally) -> float | None:
    """Returns the share of errors, as conditions count them."""
    share = ConditionScope(tally, 0).value(ERRORS)
    return None if share is None else float(share)


def _times(summary: Summary) -> dict[str, Any] | None:
    stats = summary.response_time_ns
    return None if stats is None else {name: stats.value(name) for name in ("count", *_PERCENTILES)}
