"""Comparison for people at a terminal, and the rows that Markdown and HTML share with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.analysis.comparison.comparability import caveats
from ws_load_test.analysis.comparison.comparability import notes as comparison_notes
from ws_load_test.analysis.comparison.metrics import Verdict
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import (
    format_3_significant,
    format_duration,
    format_rate,
    format_share,
)
from ws_load_test.report.content.labeled import NO_VALUE, count_of
from ws_load_test.report.content.thresholds import describe_check
from ws_load_test.report.terminal.glyphs import to_encodable
from ws_load_test.report.terminal.layout import hanging_indent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from ws_load_test.analysis.comparison.compare import Comparison
    from ws_load_test.analysis.comparison.metrics import Difference
    from ws_load_test.analysis.comparison.samples import Variant
    from ws_load_test.analysis.summary_types import ThresholdCheck

STYLES = {Verdict.WORSE: "red", Verdict.BETTER: "green", Verdict.NO_DIFFERENCE: "", Verdict.UNKNOWN: "yellow"}
_HEADINGS = {
    Verdict.WORSE: "Worse",
    Verdict.BETTER: "Better",
    Verdict.NO_DIFFERENCE: "No difference",
    Verdict.UNKNOWN: "Nothing can be concluded",
}
_GAP = "  "


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Comparisons with one base, and the sentences around them."""

    comparisons: Sequence[Comparison]
    limit: float | None = None
    """Limit of ``--fail-on-regression``, as a share; None without one."""
    doubts: Sequence[str] = ()
    """Sentences about reasons to doubt all comparisons."""
    facts: Sequence[str] = ()
    """Sentences about the way of measuring."""
    checks: Sequence[tuple[str, ThresholdCheck]] = ()
    """Checks of conditions on a side, each with the name of the side."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of the data."""

    @property
    def sides(self) -> list[Variant]:
        """All sides, the base first."""
        return [self.comparisons[0].base, *(comparison.new for comparison in self.comparisons)]

    @property
    def failing(self) -> list[str]:
        """Sentence for each side that has regressed."""
        if self.limit is None:
            return []
        found = ((one.new.name, one.failing(self.limit)) for one in self.comparisons)
        return [f"{name}: {why}" for name, why in found if why is not None]


def heading(comparison: Comparison) -> str:
    """Returns the outcome of a comparison: ``Worse: p99, mean``."""
    words = _HEADINGS[comparison.overall]
    if comparison.unanswered_variant is not None:
        return f"{words}: {comparison.unanswered_variant.name} got no answer"
    parts = []
    for verdict in (Verdict.WORSE, Verdict.BETTER):
        labels = [one.metric.word for one in comparison.differences if one.verdict is verdict]
        if not any(one.verdict is verdict for one in comparison.deciding):
            continue
        if labels:
            parts.append(f"{_HEADINGS[verdict]}: {', '.join(labels)}")
    return "; ".join(parts) or words


def notes(comparison: Comparison) -> list[str]:
    """Returns notes on a comparison, the method of its intervals first."""
    made = [] if comparison.inconclusive_reason is not None else [method(comparison)]
    return [*made, *comparison_notes(comparison)]


def method(comparison: Comparison) -> str:
    """Returns a sentence on the sources of the intervals and their error probability."""
    error = format_share(1 - comparison.confidence)
    promise = f"if nothing differs, the chance that any metric is called different is at most {error}"
    base, new = len(comparison.base.units), len(comparison.new.units)
    if comparison.paired:
        return f"intervals from {base} pairs of rounds; {promise}"
    kinds = {True: "recordings", False: "blocks of intervals"}
    one, other = (kinds[side.unit_is_recording] for side in (comparison.base, comparison.new))
    units = f"{base} and {new} {one}" if one == other else f"{base} {one} and {new} {other}"
    return f"intervals from {units}; {promise}"


def rows(comparison: Comparison) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yields label, base, new, change, interval and verdict of each metric, as they are shown."""
    for one in comparison.differences:
        share = one.metric.unit == "share"
        unit = "pt" if share else "%"
        interval = NO_VALUE
        if one.low is not None and one.high is not None:
            interval = f"{show_change(one.low, share=share)} to {show_change(one.high, share=share)} {unit}"
        yield (
            one.metric.label,
            show_value(one, one.base),
            show_value(one, one.new),
            f"{show_change(one.change, share=share)} {unit}",
            interval,
            str(one.verdict),
        )


def show_value(difference: Difference, value: float) -> str:
    """Returns a metric's value in its unit."""
    shown = {"ns": format_duration, "per_s": format_rate, "share": format_share}
    return shown[difference.metric.unit](value)


def show_change(change: float, *, share: bool) -> str:
    """Returns a change in per cent, or in percentage points of a share, with its sign and without its unit."""
    value = 100 * change
    size = abs(value)
    if not value or (size < 0.05 and not share):
        return "0" if share else "0.0"
    digits = f"{size:,.0f}" if size >= 100 else format_3_significant(size) if share and size < 0.1 else f"{size:.1f}"
    return f"{'-' if value < 0 else '+'}{digits}"


def described_checks(outcome: ComparisonReport) -> list[str]:
    """Returns a line for each check: ``failed  b: slo p99 < 50ms: 61.2 ms``."""
    return [
        f"{'passed' if check.passed else 'failed'}  {name}: {describe_check(check)}" for name, check in outcome.checks
    ]


def print_outcome(outcome: ComparisonReport, *, console: Console) -> None:
    """Prints comparisons; the console's encoding decides between letters, colors are its own decision."""
    for line in outcome_lines(outcome, encoding=console.encoding):
        console.print(line, soft_wrap=True)


def outcome_lines(outcome: ComparisonReport, *, encoding: str = "utf-8") -> list[Text]:
    """Returns the lines: doubts, outcome, table, notes."""
    lines: list[Text] = []
    doubted = [*outcome.doubts, *(doubt for side in outcome.sides for doubt in caveats(side))]
    for doubt in doubted:
        lines += hanging_indent("doubt  ", sanitize(doubt), "bold yellow")
    if doubted:
        lines.append(Text())
    for comparison in outcome.comparisons:
        lines += [*_about(comparison), Text(), *_table(comparison), Text()]
        if comparison.inconclusive_reason is not None:
            lines += hanging_indent(
                "  ", sanitize(f"nothing can be concluded: {comparison.inconclusive_reason}"), "yellow"
            )
        for note in notes(comparison):
            lines += hanging_indent("  - ", sanitize(note), "dim")
        lines.append(Text())
    for fact in outcome.facts:
        lines += hanging_indent("  - ", sanitize(fact), "dim")
    lines += _verdict_lines(outcome)
    while lines and not lines[-1].plain:
        lines.pop()
    for line in lines:
        # Of the same length, so that the styles stay where they are.
        line.plain = to_encodable(line.plain, encoding)
        line.rstrip()
    return lines


def _verdict_lines(outcome: ComparisonReport) -> list[Text]:
    """Returns a line for each check, those that passed last, and one for each side that has regressed."""
    lines: list[Text] = []
    for check in sorted(described_checks(outcome), key=lambda one: one.startswith("passed")):
        style = "green" if check.startswith("passed") else "bold red"
        lines += hanging_indent(f"{check[:6]}  ", sanitize(check[8:]), style)
    for why in outcome.failing:
        lines += hanging_indent(
            "failed  ", sanitize(f"--fail-on-regression {format_share(outcome.limit or 0)}: {why}"), "bold red"
        )
    return lines


def _about(comparison: Comparison) -> list[Text]:
    lines = [Text(sanitize(heading(comparison)), style=f"bold {STYLES[comparison.overall]}".strip())]
    for role, side in (("base", comparison.base), ("new", comparison.new)):
        lines += hanging_indent(f"  {role:6}", sanitize(f"{side.name}: {about(side)}"), "dim")
    return lines


def about(side: Variant) -> str:
    """Returns the sources of a side's numbers, in a few words."""
    targets = ", ".join(dict.fromkeys(recording.header.target for recording in side.recordings))
    many = len(side.recordings)
    seconds = format_duration(side.total.measured_ns)
    recordings = f"{many} recordings, " if many > 1 else ""
    return f"{targets}, {recordings}{seconds} measured, {count_of(side.total.response.count, 'answer')}"


def _table(comparison: Comparison) -> list[Text]:
    heads = ("", "base", "new", "change", "interval", "")
    body = list(rows(comparison))
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    lines = [Text("  " + _row(heads, widths), style="bold")]
    for row, difference in zip(body, comparison.differences, strict=True):
        line = Text("  " + _row(row[:-1], widths) + _GAP)
        line.append(row[-1], style=STYLES[difference.verdict])
        lines.append(line)
    return lines


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(
        f"{cell:{width}}" if place == 0 else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, widths, strict=False))
    )
