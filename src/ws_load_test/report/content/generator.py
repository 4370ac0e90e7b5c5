"""How the generator itself fared: whether its numbers are to be trusted, and what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import (
    Finding,
    FindingKind,
    awaits_nothing,
    percent,
)
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labelled import NO_VALUE, LabelledText, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.recording import Recording

_MOST_WORKERS_NAMED = 8
_TOLD_ELSEWHERE = {FindingKind.PAIRING, FindingKind.FEW_SAMPLES, FindingKind.UNANSWERED}
"""Reasons that the report gives at its top, or beside the response times."""
_LATE = {FindingKind.STARVED, FindingKind.SEND_LAG, FindingKind.LOOP_LAG}


def generator(recordings: Sequence[Recording], digest: Aggregate, judged: Sequence[Finding]) -> list[LabelledText]:
    """Returns the reasons to doubt the run, and one line of facts, which is all there is when all is well."""
    reasons = [reason for reason in judged if reason.kind not in _TOLD_ELSEWHERE]
    late = any(reason.saturates or reason.kind in _LATE for reason in reasons)
    done = digest.tally.sent if awaits_nothing(recordings) else digest.tally.answered
    calm = "" if late or not done else "keeps up: "
    lines = [LabelledText("generator", calm + _facts(digest))]
    for reason in reasons:
        label, style = ("saturated", "red") if reason.saturates else ("warning", "yellow")
        lines.append(LabelledText(label, sentence(reason.text), style))
    return lines


def _facts(digest: Aggregate) -> str:
    parts = [_processor(digest.cpu_shares())]
    parts += _late("loop lag", digest.tally.loop_lag_ns)
    parts += _late("send lag", digest.tally.send_lag_ns)
    return "; ".join(parts)


def _late(word: str, lag: Histogram) -> list[str]:
    if not lag.count:
        return []
    middle, late = lag.percentiles((50, 99))
    return [f"{word} 50 % {format_duration(middle)}, 99 % {format_duration(late)}"]


def _processor(shares: list[float]) -> str:
    if not shares:
        return f"processor {NO_VALUE}"
    text = f"{percent(max(shares))} of a core"
    if len(shares) < 2:
        return f"{text}, one worker"
    if len(shares) > _MOST_WORKERS_NAMED:
        return f"{text} by the busiest of {format_count(len(shares))} workers, {percent(min(shares))} by the idlest"
    return f"{text} by the busiest of {len(shares)} workers: {', '.join(map(percent, shares))}"
