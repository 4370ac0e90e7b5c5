"""Blockers and caveats of a comparison, as sentences without a full stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.findings import FindingKind, join_and, sends_messages
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.analysis.verdict import why_nothing_measured
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.samples import Variant
    from ws_load_test.metrics.recording import Recording

_RELEVANT_FINDINGS = (FindingKind.PAIRING, FindingKind.UNANSWERED)
"""Findings that concern a comparison even if the generator was not saturated."""
_IGNORED_LINES = frozenset({"fails if", "must hold", "aborts if"})
"""Lines of a plan that do not change the load."""


def blocker(base: Variant, new: Variant) -> str | None:
    """Returns the reason why two variants must not be compared; None if there is none."""
    if base.kinds != new.kinds and {"open", "closed"} <= base.kinds | new.kinds:
        scheduled = base.name if "open" in base.kinds else new.name
        return (
            f"{scheduled} was an open loop and the other a closed loop, whose response times begin at another moment;"
            " compare runs of the same load model"
        )
    if base.has_fan_out != new.has_fan_out:
        one, other = (base, new) if base.has_fan_out else (new, base)
        return f"{one.name} was a fan-out and {other.name} was none; compare runs of the same kind"
    sends = [sends_messages(variant.recordings) for variant in (base, new)]
    if sends[0] != sends[1]:
        held = new.name if sends[0] else base.name
        return f"{held} only held its connections, and the other sent messages; compare runs of the same load"
    return None


def about_side(name: str, why: str) -> str:
    """Returns a sentence about a side from its name and the reason why it measured nothing."""
    return f"{name} {why}" if why.startswith("could ") else f"{name}: {why}"


def caveats(variant: Variant) -> Iterator[str]:
    """Yields the reasons to doubt a variant's own numbers; a report shows them before any number."""
    name, recordings = variant.name, variant.recordings
    trailers = [recording.trailer for recording in recordings]
    merged = aggregate(recordings)
    if (nothing := why_nothing_measured(recordings, merged.tally)) is not None:
        yield about_side(name, nothing[1])
    for ending, count in (
        ("was killed before the end", trailers.count(None)),
        ("was interrupted", sum(bool(trailer and trailer.interrupted) for trailer in trailers)),
        ("was stopped early by --abort-if", sum(bool(trailer and trailer.aborted) for trailer in trailers)),
        ("lost a worker", sum(bool(trailer and trailer.lost_workers) for trailer in trailers)),
    ):
        if count:
            yield f"{name} {ending}{f', in {count} of {len(trailers)} recordings' if len(trailers) > 1 else ''}"
    for finding in diagnose(recordings, merged):
        if finding.saturates:
            yield f"{name} was generator-bound, so it measures the generator rather than the target: {finding.text}"
        elif finding.kind in _RELEVANT_FINDINGS:
            yield f"{name}: {finding.text}"


def notes(comparison: Comparison) -> Iterator[str]:
    """Yields remarks on a comparison: different plans, missing metrics, variation that was not measured."""
    base, new = comparison.base, comparison.new
    yield from _plan_differences(base, new)
    if comparison.unanswered_variant is not None:
        yield f"{comparison.unanswered_variant.name} got no answer at all, so there are no times to compare"
    elif comparison.unanswered_recordings:
        count = f"{comparison.unanswered_recordings} of {len(new.units)} {comparison.unit}"
        yield f"{new.name} got no answer at all in {count}"
    missing: dict[str, list[str]] = {}
    for metric, reason in comparison.left_out:
        missing.setdefault(reason, []).append(metric.word)
    for reason, labels in missing.items():
        if comparison.unanswered_variant is None:
            yield f"not compared: {join_and(labels)}, because {reason}"
    if comparison.inconclusive_reason is not None or comparison.paired:
        return
    cut = [variant.name for variant in (base, new) if not variant.unit_is_recording]
    if cut:
        scope = "" if len(cut) > 1 else f" for {cut[0]}"
        yield (
            f"only the variation within runs is known{scope}, and runs minutes apart also differ by the machine's"
            " drift: to be sure of a small difference, compare directories of repeats, or use ws-load-test ab"
        )


def _plan_differences(base: Variant, new: Variant) -> Iterator[str]:
    for variant in (base, new):
        first, *others = variant.recordings
        if any(
            other.header.plan.keys() != first.header.plan.keys() or _plan_lines(other) != _plan_lines(first)
            for other in others
        ):
            yield f"the recordings of {variant.name} were not all made with the same plan"
    base_lines, new_lines = _plan_lines(base.recordings[0]), _plan_lines(new.recordings[0])
    labels = [
        label for label in dict.fromkeys([*base_lines, *new_lines]) if base_lines.get(label) != new_lines.get(label)
    ]
    base_lines, new_lines = (_plan_lines(variant.recordings[0], seeds=True) for variant in (base, new))
    if labels:
        pairs = "; ".join(
            f"{label}: {base_lines.get(label, 'none')} / {new_lines.get(label, 'none')}" for label in labels
        )
        yield f"the plans differ, which alone can make the numbers differ: {pairs}"


def _plan_lines(recording: Recording, *, seeds: bool = False) -> dict[str, str]:
    """Returns the lines that describe a plan, without target and conditions; its raw values if they cannot be read.

    Without `seeds`, the seed of random send times is left out: it differs in each run, and the load is the same.
    """
    try:
        plan = msgspec.convert(recording.header.plan, Plan)
    except (msgspec.ValidationError, ValueError):
        return {label: str(value) for label, value in recording.header.plan.items() if label != "target"}
    if not seeds:
        plan = msgspec.structs.replace(plan, load=plan.load.with_seed(0))
    left_out = {label for label, _ in plan.target.describe()} | _IGNORED_LINES
    return {label: text for label, text in describe_plan(plan) if label not in left_out}
