"""Types of the parts of a summary that are about disconnect waves and nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
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
