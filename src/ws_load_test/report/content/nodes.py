"""Nodes of the target (``--node``): a row for each, and how even their sessions are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.report.content.labeled import NO_VALUE, count_of

if TYPE_CHECKING:
    from ws_load_test.analysis.wave_types import NodesSummary, NodeSummary

HEADINGS = ("nodes", "at start", "at end", "opened", "answered", "p50", "p99")


def cells(node: NodeSummary) -> tuple[str, ...]:
    """Returns the cells of a node's row, under `HEADINGS`."""
    return (
        sanitize(node.name),
        format_count(node.sessions_at_start),
        format_count(node.sessions_at_end),
        format_count(node.opened),
        format_count(node.answered),
        NO_VALUE if node.response_p50_ns is None else format_duration(node.response_p50_ns),
        NO_VALUE if node.response_p99_ns is None else format_duration(node.response_p99_ns),
    )


def skew_words(nodes: NodesSummary) -> str:
    """Returns a sentence about the skew."""
    words = f"skew {_ratio(nodes.skew_at_start)} at the start and {_ratio(nodes.skew)} at the end; 1 is even"
    return f"{words}; {count_of(nodes.unnamed, 'session')} on no node that is known" if nodes.unnamed else words


def _ratio(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.2f}"
