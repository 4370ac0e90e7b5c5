"""May these sides be compared, and what is to be borne in mind? Sentences without a full stop, about plans and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.findings import FindingKind, join_and
from ws_load_test.analysis.generator_health import diagnose
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.samples import Variant
    from ws_load_test.metrics.recording import Recording

_TOLD = (FindingKind.PAIRING, FindingKind.UNANSWERED)
"""Doubts that concern a comparison although the generator was not the bottleneck."""
_OF_NO_MATTER = frozenset({"fails if", "aborts if"})


def blocker(base: Variant, new: Variant) -> str | None:
    """Returns why two sides must not be compared; None where they may."""
    if base.kinds != new.kinds and {"open", "closed"} <= base.kinds | new.kinds:
        scheduled = base.name if "open" in base.kinds else new.name
        return (
            f"{scheduled} sent on a schedule and the other was a flood, whose response times begin at another moment;"
            " compare runs of the same kind"
        )
    return None


def caveats(side: Variant) -> Iterator[str]:
    """Yields what makes a side's own numbers doubtful: to be told before any of them."""
    recordings, many = side.recordings, len(side.recordings)
    digested = aggregate(recordings)
    if not digested.tally.opened:
        yield f"{side.name} could not open a single connection"
    for how, count in (
        ("killed before the end", sum(one.trailer is None for one in recordings)),
        ("interrupted", sum(one.trailer is not None and one.trailer.interrupted for one in recordings)),
        ("stopped early, by its own condition", sum(bool(one.trailer and one.trailer.aborted) for one in recordings)),
        ("left by a worker that was lost", sum(bool(one.trailer and one.trailer.lost_workers) for one in recordings)),
    ):
        if count:
            yield f"{side.name} was {how}{f', in {count} of {many} recordings' if many > 1 else ''}"
    for reason in diagnose(recordings, digested):
        if reason.saturates:
            yield f"{side.name} was generator-bound, so it says more of the generator than of the target: {reason.text}"
        elif reason.kind in _TOLD:
            yield f"{side.name}: {reason.text}"


def notes(comparison: Comparison) -> Iterator[str]:
    """Yields what is to be borne in mind of a comparison: other plans, what is left out, what was not seen."""
    base, new = comparison.base, comparison.new
    yield from _plans_apart(base, new)
    if comparison.unanswered_variant is not None:
        yield f"{comparison.unanswered_variant.name} got no answer at all, so there are no times to compare"
    elif comparison.unanswered_recordings:
        yield f"{new.name} got no answer at all in {comparison.unanswered_recordings} of {len(new.units)} {comparison.unit}"
    missing: dict[str, list[str]] = {}
    for metric, why in comparison.left_out:
        missing.setdefault(why, []).append(metric.word)
    for why, labels in missing.items():
        if comparison.unanswered_variant is None:
            yield f"not compared: {join_and(labels)}, because {why}"
    if comparison.inconclusive_reason is not None or comparison.paired:
        return
    cut = [side.name for side in (base, new) if not side.unit_is_recording]
    if cut:
        seen = "here" if len(cut) > 1 else f"of {cut[0]}"
        yield (
            f"only the variation within runs is seen {seen}, and runs minutes apart differ by the machine's drift as"
            " well: to be sure of a small difference, compare directories of repeats, or use ws-load-test ab"
        )


def _plans_apart(base: Variant, new: Variant) -> Iterator[str]:
    for side in (base, new):
        if any(one.header.plan.keys() != side.recordings[0].header.plan.keys() for one in side.recordings) or any(
            _told(one) != _told(side.recordings[0]) for one in side.recordings
        ):
            yield f"the recordings of {side.name} were not all made with the same plan"
    alike, unlike = _told(base.recordings[0]), _told(new.recordings[0])
    apart = [label for label in dict.fromkeys([*alike, *unlike]) if alike.get(label) != unlike.get(label)]
    one, other = (_told(side.recordings[0], seeds=True) for side in (base, new))
    if apart:
        words = "; ".join(f"{label}: {one.get(label, 'none')} / {other.get(label, 'none')}" for label in apart)
        yield f"the plans differ, and so may the numbers for that reason alone: {words}"


def _told(recording: Recording, *, seeds: bool = False) -> dict[str, str]:
    """Returns a plan in words, the target and its conditions apart; as it is where another version wrote it.

    Without its seed: that of random instants is another in each run, and makes no other load of it.
    """
    try:
        plan = msgspec.convert(recording.header.plan, Plan)
    except (msgspec.ValidationError, ValueError):
        return {label: str(value) for label, value in recording.header.plan.items() if label != "target"}
    if isinstance(plan.load, OpenLoop) and not seeds:
        plan = msgspec.structs.replace(plan, load=msgspec.structs.replace(plan.load, seed=0))
    left = {label for label, _ in plan.target.describe()} | _OF_NO_MATTER
    return {label: words for label, words in describe_plan(plan) if label not in left}
