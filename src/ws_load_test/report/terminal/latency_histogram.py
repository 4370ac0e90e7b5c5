"""Response times as a table of statistics and as a bar chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.data_quality import too_few_in_tail
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.metrics.hdr_buckets import bucket_of
from ws_load_test.metrics.histogram import PERCENTILES
from ws_load_test.report.terminal.glyphs import bar

if TYPE_CHECKING:
    from ws_load_test.analysis.summary_times import TimeStats
    from ws_load_test.metrics.histogram import Histogram

ROWS = 12
"""Bars of the chart, at most: as many as the table beside it has rows."""
_SHORTEST_BAR = 8
"""Letters of the longest bar, however narrow the chart is."""


def percentile_table(response: TimeStats, service: TimeStats | None) -> list[Text]:
    """Returns the table of statistics; the service time has a column where it differs from the response time."""
    columns = [response] if service is None or service == response else [response, service]
    rows: list[tuple[str, bool]] = [("min", False)]
    rows += [(f"p{p}", too_few_in_tail(p, response.count)) for p in PERCENTILES]
    rows += [("max", False), ("mean", False), ("stdev", False)]
    head = f"{'percentiles':<11}{'response':>9}" + (f"{'service':>11}" if len(columns) > 1 else "")
    lines = [Text(head, style="bold")]
    for key, few in rows:
        values = "".join(f"{_shown(column, key):>11}" for column in columns)
        lines.append(Text(f"{key:>9}{values}{' *' if few else ''}", style="dim" if few else ""))
    return lines


def _shown(stats: TimeStats, key: str) -> str:
    # One value has no spread, so its deviation is not 0 but unknown.
    return format_duration(None if key == "stdev" and stats.count < 2 else stats.value(key))


def bar_edges(low_ns: int, high_ns: int, rows: int = ROWS) -> list[int]:
    """Returns rising edges from `low_ns` to `high_ns` at equal ratios: at most `rows` spans, at least one.

    Edges that would read the same, or cut a histogram's bucket, are left out, so that no two rows look alike.
    """
    start = max(1, low_ns)
    ratio = max(high_ns, 1) / start
    edges = [low_ns]
    shown = {format_duration(low_ns)}
    for row in range(1, rows):
        edge = round(start * ratio ** (row / rows))
        # Of all before it: a round value has fewer digits, and those on both sides of it may read the same.
        if bucket_of(edge) > bucket_of(edges[-1]) and format_duration(edge) not in shown:
            edges.append(edge)
            shown.add(format_duration(edge))
    while len(edges) > 1 and bucket_of(edges[-1]) >= bucket_of(high_ns):
        edges.pop()
    return [*edges, high_ns]


def histogram_bars(histogram: Histogram, width: int, encoding: str, rows: int = ROWS) -> list[Text]:
    """Returns the histogram of at least one value as `rows` bars at most, `width` letters wide where that is enough.

    A row ends where the next begins, the last one at the maximum.
    """
    assert histogram.min is not None
    assert histogram.max is not None
    edges = bar_edges(histogram.min, histogram.max, rows)
    counts = histogram.merge_buckets(edges) if edges[-1] > edges[0] else [histogram.count]
    labels = [format_duration(edge) for edge in edges[:-1]]
    shown = [format_count(count) for count in counts]
    shares = [_percent(count, histogram.count) for count in counts]
    label_width = max(map(len, ["from", *labels]))
    count_width = max(map(len, ["answers", *shown]))
    share_width = max(map(len, ["share", *shares]))
    bar_width = max(_SHORTEST_BAR, width - label_width - count_width - share_width - 6)
    head = f"  {'from':>{label_width}}  {'':{bar_width}}  {'answers':>{count_width}}  {'share':>{share_width}}"
    lines = [Text(head, style="bold")]
    most = max(counts)
    for label, count, number, share in zip(labels, counts, shown, shares, strict=True):
        drawn = bar(count / most, bar_width, encoding)
        line = Text(f"  {label:>{label_width}}  ")
        line.append(f"{drawn:<{bar_width}}", style="cyan")
        line.append(f"  {number:>{count_width}}  {share:>{share_width}}", style="" if count else "dim")
        lines.append(line)
    return lines


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    if 0 < share < 0.05:
        return "<0.1 %"
    return ">99.9 %" if share >= 99.95 and count < total else f"{share:.1f} %"
