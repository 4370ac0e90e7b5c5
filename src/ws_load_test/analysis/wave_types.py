"""Types of the parts of a summary that are about disconnect waves and nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

from ws_load_test.analysis.nodes import skew_of

if TYPE_CHECKING:
    from ws_load_test.analysis.aggregate import Aggregate
    from ws_load_test.analysis.waves import Wave


class WaveSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that the target ended together. Instants count from the start of the run, exact to about 10 ms."""

    from_ns: Annotated[int, Meta(description="Instant of the first end.")]
    to_ns: Annotated[int, Meta(description="Instant of the last end.")]
    sessions: Annotated[int, Meta(description="Sessions that the target ended; one that it ended twice counts twice.")]
    closed: Annotated[dict[str, int], Meta(description="The same by close code (RFC 6455, section 7.4).")]
    announced: Annotated[int, Meta(description="Sessions ended with code 1000, 1001, 1012, 1013 or 4000 to 4999.")]
    abrupt: Annotated[int, Meta(description="Sessions ended in any other way, such as a reset (1006).")]
    peak_closes_per_s: Annotated[int, Meta(description="Most sessions that ended within a second.")]
    peak_dials_per_s: Annotated[int, Meta(description="Most dials that began within a second, until all were back.")]
    open_before: Annotated[int, Meta(description="Sessions that were open before the first end.")]
    fewest_open: Annotated[int, Meta(description="Fewest sessions that were open until as many were back.")]
    back_after_ns: Annotated[
        int | None,
        Meta(
            description="From the first end until as many sessions were open as before it, after the last end; null "
            "where they were not by the end of the load."
        ),
    ]
    reconnected: Annotated[int, Meta(description="Sessions that came back.")]
    reconnect_p50_ns: Annotated[int | None, Meta(description="Median time from the loss of a session to its return.")]
    reconnect_p99_ns: Annotated[int | None, Meta(description="99th percentile of it, rounded up by 3 % at most.")]
    bounced: Annotated[int, Meta(description="Sessions that the target ended again within 30 s of their return.")]
    refused: Annotated[int, Meta(description="Dials that failed until all were back.")]
    unanswered: Annotated[int, Meta(description="Messages in flight on the sessions that ended.")]
    dropped: Annotated[int, Meta(description="Messages dropped in the intervals until all were back.")]

    @classmethod
    def of(cls, wave: Wave) -> Self:
        """Returns the summary of a wave."""
        counts: tuple[str, ...] = (
            "from_ns",
            "to_ns",
            "sessions",
            "announced",
            "abrupt",
            "peak_closes_per_s",
            "peak_dials_per_s",
        )
        counts += ("open_before", "fewest_open", "back_after_ns", "bounced", "refused", "unanswered", "dropped")
        return cls(
            **{name: getattr(wave, name) for name in counts},
            closed=dict(sorted(wave.closed.items(), key=lambda item: (-item[1], item[0]))),
            reconnected=wave.reconnected.total(),
            reconnect_p50_ns=wave.reconnect_percentile_ns(50),
            reconnect_p99_ns=wave.reconnect_percentile_ns(99),
        )


class NodeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions and times of one node of the target."""

    name: Annotated[str, Meta(description="Name that the target gives it; other: all beyond 64 of a worker.")]
    sessions_at_start: Annotated[int, Meta(description="Open sessions on it when the load began.")]
    sessions_at_end: Annotated[int, Meta(description="Open sessions on it when the load ended.")]
    opened: Annotated[int, Meta(description="Sessions that opened on it.")]
    answered: Annotated[int, Meta(description="Messages that it answered.")]
    unanswered: Annotated[int, Meta(description="Messages sent to it that got no reply.")]
    response_p50_ns: Annotated[int | None, Meta(description="Median response time.")]
    response_p99_ns: Annotated[int | None, Meta(description="99th percentile of the response time.")]


class NodesSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions by node of the target (--node)."""

    skew_at_start: Annotated[
        float | None,
        Meta(description="Largest share of a node at the start of the load, relative to an even share."),
    ]
    skew: Annotated[float | None, Meta(description="The same at the end of the load; null without sessions.")]
    unnamed: Annotated[int, Meta(description="Opened sessions whose node is not known, misbehaving ones among them.")]
    rows: Annotated[list[NodeSummary], Meta(description="Nodes, the one with most sessions at the end first.")]

    @classmethod
    def of(cls, aggregated: Aggregate) -> Self | None:
        """Returns the summary of the nodes; None where none is known."""
        nodes, start, end = aggregated.tally.nodes, aggregated.sessions_at_start, aggregated.sessions_at_end
        if not nodes:
            return None
        first, last = skew_of(start, nodes), skew_of(end, nodes)
        rows = []
        for name in sorted(nodes, key=lambda one: (-end[one], -start[one], one)):
            part = nodes[name]
            p50, p99 = part.response_time_ns.percentiles((50, 99))
            rows.append(
                NodeSummary(
                    name=name,
                    sessions_at_start=max(0, start[name]),
                    sessions_at_end=max(0, end[name]),
                    opened=part.opened,
                    answered=part.answered,
                    unanswered=part.unanswered,
                    response_p50_ns=p50,
                    response_p99_ns=p99,
                )
            )
        return cls(
            skew_at_start=None if first is None else float(first),
            skew=None if last is None else float(last),
            unnamed=max(0, aggregated.tally.opened - sum(part.opened for part in nodes.values())),
            rows=rows,
        )
