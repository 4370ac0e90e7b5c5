"""``--html`` of a comparison: percentiles of all sides in one chart, and the change of each metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ws_load_test.analysis.comparison.comparability import caveats
from ws_load_test.analysis.comparison.metrics import Verdict
from ws_load_test.common.units import format_share
from ws_load_test.report.content.labeled import NO_VALUE
from ws_load_test.report.html.document import (
    Chart,
    Head,
    KeyValueRows,
    Section,
    Table,
    Text,
    document,
)
from ws_load_test.report.html.figures import (
    figure,
    percentile_curves,
    percentile_table,
    plain,
)
from ws_load_test.report.terminal.comparison import (
    about,
    heading,
    notes,
    rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.metrics import Difference
    from ws_load_test.report.html.document import Part, Severity
    from ws_load_test.report.terminal.comparison import ComparisonReport

_TONES: dict[Verdict, Severity] = {
    Verdict.WORSE: "bad",
    Verdict.BETTER: "good",
    Verdict.NO_DIFFERENCE: "plain",
    Verdict.UNKNOWN: "doubt",
}
_HEADS = ("", "base", "new", "change", "interval", "verdict")
_LEAST_SPAN = 0.02
"""Least span of the axis on each side of no change: on less, a difference within chance would look large."""
_LEAST_RATIO = 1e-3
"""Ratio at which smaller ones are drawn: 0 has no place on a logarithmic axis."""
_STEPS = (
    (1.2, (0.01, 0.02, 0.04, 0.07)),
    (2.0, (0.05, 0.1, 0.2, 0.4)),
    (8.0, (0.25, 0.5, 1.0, 2.0, 4.0)),
    (math.inf, (1.0, 4.0, 19.0, 99.0)),
)
"""Changes with a tick, upwards and downwards, by the largest ratio of the axis' ends that they serve."""
_MARKS = {
    Verdict.WORSE: ("var(--bad)", "triangle-right"),
    Verdict.NO_DIFFERENCE: ("var(--series-7)", "circle"),
    Verdict.BETTER: ("var(--good)", "triangle-left"),
}


def page(outcome: ComparisonReport) -> Iterator[str]:
    """Returns the page's text in parts.

    Raises:
        OutputError: The library that draws the charts is not installed.
    """
    first = outcome.comparisons[0]
    several = len(outcome.comparisons) > 1
    found = {comparison.overall for comparison in outcome.comparisons}
    worst = next(verdict for verdict in _TONES if verdict in found)
    headings = [heading(one) for one in outcome.comparisons]
    verdict = "; ".join(
        f"{one.new.name}: {words}" if several else words
        for one, words in zip(outcome.comparisons, headings, strict=True)
    )
    sides = [("base", first.base), *(("new", comparison.new) for comparison in outcome.comparisons)]
    parts: list[Part] = [KeyValueRows([(role, f"{side.name}: {about(side)}") for role, side in sides])]
    parts += [Text(doubt, "doubt") for doubt in outcome.doubts]
    parts += [Text(doubt, "doubt") for _, side in sides for doubt in caveats(side)]
    parts += [
        Text(f"Failed (--fail-on-regression {format_share(outcome.limit or 0)}): {why}", "bad")
        for why in outcome.failing
    ]
    head = Head(verdict, _TONES[worst], (), parts)
    sections = [Section("Percentiles", _percentiles(outcome))]
    for number, comparison in enumerate(outcome.comparisons, 1):
        title = f"{comparison.new.name} against {comparison.base.name}"
        sections.append(Section(title, list(_comparison(comparison, f"changes-{number}"))))
    sections.append(Section("How it was measured", [Text(fact) for fact in outcome.facts]))
    return document(f"{first.base.name} compared", head, sections)


def _percentiles(outcome: ComparisonReport) -> list[Part]:
    histograms = {side.name: side.total.response for side in outcome.sides}
    if not any(one.count for one in histograms.values()):
        return [Text("No message was answered.", "doubt")]
    text = (
        "How long the replies took that a share of all did not pass. The thin end of a line rests on few values, where"
        " chance decides."
    )
    table = percentile_table(histograms)
    return [Chart("percentiles", "Response times of all sides", text, percentile_curves(histograms), table, 420)]


def _comparison(comparison: Comparison, key: str) -> Iterator[Part]:
    if comparison.inconclusive_reason is not None:
        yield Text(f"Nothing can be concluded: {comparison.inconclusive_reason}.", "doubt")
    table = Table(_HEADS, list(rows(comparison)))
    known = [one for one in comparison.differences if one.low is not None and one.metric.unit != "share"]
    if known:
        text = (
            "New over base, less one: the estimate and its interval. An interval that does not touch the line at 0 is"
            " a difference that the data support."
        )
        height = 120 + 34 * len(known)
        yield Chart(key, "Change of each metric", text, _forest(known), None, height)
    yield table
    yield from (Text(f"{note[:1].upper()}{note[1:]}.") for note in notes(comparison))


def _forest(differences: Sequence[Difference]) -> dict[str, Any]:
    """Returns intervals of ratios under each other, the first metric on top, a series for each verdict."""
    traces = []
    for verdict in (Verdict.WORSE, Verdict.NO_DIFFERENCE, Verdict.BETTER):
        with_verdict = [one for one in differences if one.verdict is verdict]
        if not with_verdict:
            continue
        color, symbol = _MARKS[verdict]
        ratios = [_ends(one) for one in with_verdict]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(verdict),
                "showlegend": True,
                "x": [at for at, _, _ in ratios],
                "y": [plain(one.metric.label) for one in with_verdict],
                "marker": {"color": color, "size": 9, "symbol": symbol},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - at for at, _, high in ratios],
                    "arrayminus": [at - low for at, low, _ in ratios],
                    "color": color,
                },
                "text": [plain(_words(one)) for one in with_verdict],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    labels = [plain(one.metric.label) for one in differences]
    y = {"type": "category", "categoryorder": "array", "categoryarray": labels[::-1]}
    unchanged = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1}
    unchanged["line"] = {"color": "var(--soft)", "width": 1.5}
    return figure(traces, _ratio_axis(differences), y, shapes=[unchanged])


def _ends(one: Difference) -> tuple[float, float, float]:
    """Returns a ratio and the ends of its interval, none of them 0, which has no place on a logarithmic axis."""
    at, low, high = (1 + (one.change if end is None else end) for end in (one.change, one.low, one.high))
    return max(at, _LEAST_RATIO), max(low, _LEAST_RATIO), max(high, _LEAST_RATIO)


def _ratio_axis(differences: Sequence[Difference]) -> dict[str, Any]:
    """Returns a logarithmic axis of ratios, on which half and twice are equally far, labeled with changes."""
    ends = [_ends(one) for one in differences]
    low = min(1 - _LEAST_SPAN, *(low for _, low, _ in ends))
    high = max(1 + _LEAST_SPAN, *(high for _, _, high in ends))
    margin = math.log10(high / low) * 0.05
    steps = next(steps for most, steps in _STEPS if high / low <= most)
    ticks = sorted({1.0, *(1 + step for step in steps), *(1 / (1 + step) for step in steps if 1 / (1 + step) < 1)})
    shown = [tick for tick in ticks if low <= tick <= high]
    return {
        "type": "log",
        "title": {"text": "change"},
        "range": [math.log10(low) - margin, math.log10(high) + margin],
        "tickvals": shown,
        "ticktext": [f"{100 * (tick - 1):+,.0f} %" if tick != 1 else "0 %" for tick in shown],
    }


def _words(one: Difference) -> str:
    low, high = ((NO_VALUE if end is None else f"{100 * end:+.1f} %") for end in (one.low, one.high))
    return f"{one.metric.label}: {100 * one.change:+.1f} %, {low} to {high}, {one.verdict}"
