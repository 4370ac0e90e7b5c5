"""A comparison as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.analysis.comparison.comparability import caveats
from ws_load_test.analysis.comparison.metrics import Verdict
from ws_load_test.report.exports.markdown import code, prose
from ws_load_test.report.terminal.comparison import ComparisonReport, about, described_checks, heading, notes, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.metrics import Difference
    from ws_load_test.analysis.comparison.samples import Variant


SCHEMA = 1
"""Version of the shape of the data."""


def markdown(outcome: ComparisonReport) -> Iterator[str]:
    """Yields the comparisons as GitHub Flavored Markdown."""
    yield from (f"- {prose(doubt)}\n" for doubt in outcome.doubts)
    yield "\n" if outcome.doubts else ""
    for comparison in outcome.comparisons:
        yield f"### ws-load-test: {prose(heading(comparison))}\n\n"
        for role, side in (("base", comparison.base), ("new", comparison.new)):
            yield f"- {role}: {code(side.name)}, {code(about(side))}\n"
        yield "\n| | base | new | change | interval | |\n| :-- | --: | --: | --: | --: | :-- |\n"
        for *cells, verdict in rows(comparison):
            strong = f"**{verdict}**" if verdict in (Verdict.WORSE, Verdict.BETTER) else verdict
            yield f"| {' | '.join([*map(prose, cells), strong])} |\n"
        cannot = (
            []
            if comparison.inconclusive_reason is None
            else [f"nothing can be concluded: {comparison.inconclusive_reason}"]
        )
        listed = [*cannot, *caveats(comparison.base), *caveats(comparison.new), *notes(comparison)]
        yield "\n"
        yield from (f"- {prose(note)}\n" for note in listed)
        yield "\n"
    yield from (f"- {prose(fact)}\n" for fact in outcome.facts)
    yield from (f"- {prose(check)}\n" for check in described_checks(outcome))
    yield from (f"- **failed**: {prose(why)}\n" for why in outcome.failing)
    yield "\n"


def data(outcome: ComparisonReport) -> dict[str, Any]:
    """Returns the comparisons as an object for programs: times in ns, shares of 1, null where there is no number."""
    first = outcome.comparisons[0]
    return {
        "schema": SCHEMA,
        "confidence": first.confidence,
        "base": _side_data(first.base),
        "comparisons": [_comparison_data(comparison, outcome.limit) for comparison in outcome.comparisons],
        "doubts": list(outcome.doubts),
        **outcome.more,
        "checks": [{"side": name, **msgspec.to_builtins(check)} for name, check in outcome.checks],
        "failed": bool(outcome.failing) or not all(check.passed for _, check in outcome.checks),
    }


def _side_data(side: Variant) -> dict[str, Any]:
    return {
        "name": side.name,
        "target": list(dict.fromkeys(recording.header.target for recording in side.recordings)),
        "recordings": len(side.recordings),
        "measured_s": side.total.measured_ns / 1e9,
        "answers": side.total.response.count,
        "doubts": list(caveats(side)),
    }


def _comparison_data(comparison: Comparison, limit: float | None) -> dict[str, Any]:
    return {
        "new": _side_data(comparison.new),
        "verdict": str(comparison.overall),
        "units": {
            "kind": comparison.unit.partition(" ")[0],
            "base": len(comparison.base.units),
            "new": len(comparison.new.units),
            "paired": comparison.paired,
        },
        "cannot": comparison.inconclusive_reason,
        "metrics": [_difference_data(one, limit) for one in comparison.differences],
        "notes": notes(comparison),
        "failing": None if limit is None else comparison.failing(limit),
    }


def _difference_data(one: Difference, limit: float | None) -> dict[str, Any]:
    """Returns a metric; `ratio` and its ends are new over base, of a share `difference` and its ends new less base."""
    share = one.metric.unit == "share"
    kind, offset = ("difference", 0.0) if share else ("ratio", 1.0)
    low, high = (None if end is None else end + offset for end in (one.low, one.high))
    return {
        "metric": one.metric.name,
        "unit": one.metric.unit,
        "base": one.base if one.metric.unit != "ns" else round(one.base),
        "new": one.new if one.metric.unit != "ns" else round(one.new),
        kind: one.change + offset,
        "low": low,
        "high": high,
        "verdict": str(one.verdict),
        "regression": None if limit is None else one.is_regression(limit),
    }
