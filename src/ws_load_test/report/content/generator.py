"""Health of the generator itself, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.findings import FindingKind, percent
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labeled import NO_VALUE, LabeledText, sentence

if TYPE_CHECKING:
    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.metrics.histogram import Histogram
    from ws_load_test.report.results import Results

_MOST_WORKERS_NAMED = 8
"""Workers whose CPU shares fit on one line; of more only the busiest and the idlest are shown."""
_SHOWN_ELSEWHERE = {FindingKind.PAIRING, FindingKind.FEW_SAMPLES, FindingKind.UNANSWERED}
"""Findings that the report shows at its top, or beside the response times."""
_LATENESS = {FindingKind.STARVED, FindingKind.SEND_LAG, FindingKind.LOOP_LAG, FindingKind.HOLD_UP}
"""Findings that contradict "keeps up"."""


def generator(results: Results, *, brief: bool = False) -> list[LabeledText]:
    """Returns one line of facts, in `brief` the most important of them, and a line for each reason to doubt the run."""
    tally = results.aggregate.tally
    findings = [finding for finding in results.findings if finding.kind not in _SHOWN_ELSEWHERE]
    late = any(finding.saturates or finding.kind in _LATENESS for finding in findings)
    done = tally.answered if results.awaits_replies else tally.sent
    praise = "" if late or not done else "keeps up: "
    lines = [LabeledText("generator", praise + (_brief(results.aggregate) if brief else facts(results.aggregate)))]
    for finding in findings:
        label, style = ("saturated", "red") if finding.saturates else ("warning", "yellow")
        lines.append(LabeledText(label, sentence(finding.text), style))
    return lines


def _brief(aggregate: Aggregate) -> str:
    shares, lag = aggregate.cpu_shares(), aggregate.tally.send_lag_ns
    text = f"busiest worker {percent(max(shares))} of a core" if shares else f"processor {NO_VALUE}"
    if len(shares) > 1:
        text += f", of {format_count(len(shares))}"
    return f"{text}; send lag p99 {format_duration(lag.percentiles((99,))[0])}" if lag.count else text


def facts(aggregate: Aggregate) -> str:
    """Returns the use of the processor and the lateness of the workers, in a line or two."""
    parts = [_cpu(aggregate.cpu_shares())]
    if engines := aggregate.engines():
        parts.append(f"{' and '.join(engines)} engine")
    parts += _lag("loop lag", aggregate.tally.loop_lag_ns)
    parts += _lag("send lag", aggregate.tally.send_lag_ns)
    parts += _lag("replies unread", aggregate.tally.unread_time_ns)
    return "; ".join(parts)


def _lag(name: str, lag: Histogram) -> list[str]:
    if not lag.count:
        return []
    p50, p99 = lag.percentiles((50, 99))
    return [f"{name} p50 {format_duration(p50)}, p99 {format_duration(p99)}"]


def _cpu(shares: list[float]) -> str:
    if not shares:
        return f"processor {NO_VALUE}"
    text = f"{percent(max(shares))} of a core"
    if len(shares) < 2:
        return f"{text}, one worker"
    if len(shares) > _MOST_WORKERS_NAMED:
        return f"{text} by the busiest of {format_count(len(shares))} workers, {percent(min(shares))} by the idlest"
    return f"{text} by the busiest of {len(shares)} workers: {', '.join(map(percent, shares))}"
