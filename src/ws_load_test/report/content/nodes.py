"""Nodes of the target (``--node``): a row for each, and how even their sessions are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labeled import NO_VALUE, count_of

if TYPE_CHECKING:
    from ws_load_test.analysis.wave_types import NodesSummary, NodeSummary

HEADINGS = ("nodes", "at start", "at end", "opened", "answered", "p50", "p99")


def rows(nodes: NodesSummary) -> list[tuple[str, ...]]:
    """Returns the cells of each node's row, under `HEADINGS`."""
    return [_cells(node, is_start_known=_is_start_known(nodes)) for node in nodes.rows]


def _cells(node: NodeSummary, *, is_start_known: bool) -> tuple[str, ...]:
    return (
        sanitize(node.name),
        format_count(node.sessions_at_start) if is_start_known else NO_VALUE,
        format_count(node.sessions_at_end),
        format_count(node.opened),
        format_count(node.answered),
        NO_VALUE if node.response_p50_ns is None else format_duration(node.response_p50_ns),
        NO_VALUE if node.response_p99_ns is None else format_duration(node.response_p99_ns),
    )


def _is_start_known(nodes: NodesSummary) -> bool:
    """Returns False where no session had shown its node when the load began: they may do so in replies alone."""
    return any(node.sessions_at_start for node in nodes.rows)


def skew_words(nodes: NodesSummary) -> str:
    """Returns a sentence about the skew."""
    words = f"skew {_ratio(nodes.skew_at_start)} at the start and {_ratio(nodes.skew)} at the end; 1 is even"
    if not _is_start_known(nodes):
        words = f"skew {_ratio(nodes.skew)} at the end; 1 is even; no session had shown its node when the load began"
    return f"{words}; {count_of(nodes.unnamed, 'session')} on no node that is known" if nodes.unnamed else words


def _ratio(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.2f}"
