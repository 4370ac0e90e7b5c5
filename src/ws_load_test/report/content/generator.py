"""How the generator itself fared: whether its numbers are to be trusted, and what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import (
    Reason,
    ReasonKind,
    awaits_nothing,
    percent,
)
from ws_load_test.common.units import show_count, show_duration
from ws_load_test.report.content.labelled import NOTHING, Labelled, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.aggregate import Digest
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.metrics.recording import Recording

_MOST_WORKERS_NAMED = 8
_TOLD_ELSEWHERE = {ReasonKind.PAIRING, ReasonKind.FEW_SAMPLES, ReasonKind.UNANSWERED}
"""Reasons that the report gives at its top, or beside the response times."""
_LATE = {ReasonKind.STARVED, ReasonKind.SEND_LAG, ReasonKind.LOOP_LAG}


def generator(recordings: Sequence[Recording], digest: Digest, judged: Sequence[Reason]) -> list[Labelled]:
    """Returns the reasons to doubt the run, and one line of facts, which is all there is when all is well."""
    reasons = [reason for reason in judged if reason.kind not in _TOLD_ELSEWHERE]
    late = any(reason.binding or reason.kind in _LATE for reason in reasons)
    done = digest.tally.sent if awaits_nothing(recordings) else digest.tally.answered
    calm = "" if late or not done else "keeps up: "
    lines = [Labelled("generator", calm + _facts(digest))]
    for reason in reasons:
        label, style = ("bound", "red") if reason.binding else ("warning", "yellow")
        lines.append(Labelled(label, sentence(reason.text), style))
    return lines


def _facts(digest: Digest) -> str:
    parts = [_processor(digest.cpu_shares())]
    parts += _late("loop lag", digest.tally.loop_lag_ns)
    parts += _late("send lag", digest.tally.send_lag_ns)
    return "; ".join(parts)


def _late(word: str, lag: Histogram) -> list[str]:
    if not lag.count:
        return []
    middle, late = lag.percentiles((50, 99))
    return [f"{word} 50 % {show_duration(middle)}, 99 % {show_duration(late)}"]


def _processor(shares: list[float]) -> str:
    if not shares:
        return f"processor {NOTHING}"
    text = f"{percent(max(shares))} of a core"
    if len(shares) < 2:
        return f"{text}, one worker"
    if len(shares) > _MOST_WORKERS_NAMED:
        return f"{text} by the busiest of {show_count(len(shares))} workers, {percent(min(shares))} by the idlest"
    return f"{text} by the busiest of {len(shares)} workers: {', '.join(map(percent, shares))}"
