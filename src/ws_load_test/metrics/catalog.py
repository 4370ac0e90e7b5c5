"""The metric catalogue: one row for each count and time of a run, and what is derived from the rows.

A new time takes a row here, a new count one in `count_metrics`, and the line of the engine that counts it. Merging,
recordings, ``--fail-if``, the warm-up, the numbers of each machine, OpenMetrics, OTLP, ``--csv`` and the reports' table
of messages follow from the row.
"""

from __future__ import annotations

from dataclasses import dataclass

from ws_load_test.metrics.count_metrics import CONNECTION, FAULT, MESSAGE
from ws_load_test.metrics.fan_out_metrics import DELIVERY, NO_DELIVERY, PUBLISH, SUBSCRIBER, FanOutMetrics
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.metric_set import rows_of
from ws_load_test.metrics.metric_spec import MetricSpec, amounts, count, times
from ws_load_test.metrics.scenario_metrics import (
    ITERATION,
    REACTION,
    SESSION,
    STEP,
    condition_of_part,
    part_conditions,
)


@dataclass(slots=True)
class Metrics(FanOutMetrics):
    """Counts and times, each with its row, in the order in which recordings have them."""

    # --- Times ------------------------------------------------------------------------------------------------------

    response_time_ns: Histogram = times(
        MetricSpec(
            "From when a message was due until its reply was read.",
            condition="response",
            no_value="no message was answered",
            needs_replies=True,
            per_host=True,
            family="response_time_seconds",
            csv=("50", "90", "99", "99.9", "max"),
        )
    )
    service_time_ns: Histogram = times(
        MetricSpec(
            "From when a message was sent until its reply was read.",
            condition="service",
            no_value="no message was answered",
            needs_replies=True,
            family="service_time_seconds",
            csv=("50", "99", "max"),
        )
    )
    send_lag_ns: Histogram = times(
        MetricSpec(
            "From when a message was due until it was sent.",
            condition="send_lag",
            no_value="no message was sent on a schedule",
            per_host=True,
            family="send_lag_seconds",
            csv=("99", "max"),
        )
    )
    # The generator's own share of a response time: with it, the time would have been measured up to the reading.
    unread_time_ns: Histogram = times(
        MetricSpec(
            "From when the kernel received a reply until it was read.",
            condition="unread_time",
            no_value="replies were timed when they were read (--reply-instant)",
        )
    )
    # Their response times would have been at least that.
    unanswered_wait_ns: Histogram = times(
        MetricSpec("From when a message that stayed unanswered was due until it was given up.")
    )
    # Measured 50 times per second.
    loop_lag_ns: Histogram = times(
        MetricSpec("From when a timer of the worker's event loop was due until it ran.", per_host=True)
    )
    # Only those of more than 50 ms.
    hold_up_ns: Histogram = times(
        MetricSpec(
            "Time for which a role's coroutine kept the event loop, where that was long.",
            in_warmup=False,
            per_host=True,
        )
    )
    keepalive_time_ns: Histogram = times(
        MetricSpec(
            "From a keep-alive ping to its pong.",
            condition="keepalive",
            no_value="no keep-alive ping was answered",
            in_warmup=False,
        )
    )
    connect_time_ns: Histogram = times(
        MetricSpec(
            "From the start of a dial to the end of its upgrade.",
            condition="connect",
            no_value="no session opened",
            family="connect_time_seconds",
            csv=("50", "99", "max"),
        )
    )
    resolve_time_ns: Histogram = times(
        MetricSpec(
            "Name resolution, one look-up for each name, worker and --dns-ttl.",
            condition="resolve",
            no_value="no name was looked up",
        )
    )
    tcp_time_ns: Histogram = times(
        MetricSpec(
            "From the start of a dial to the TCP connection with the target or the proxy.",
            condition="tcp",
            no_value="no session opened",
            per_host=True,
        )
    )
    proxy_time_ns: Histogram = times(
        MetricSpec(
            "From the TCP connection with a proxy to the proxy's consent.",
            condition="proxy",
            no_value="no session opened through a proxy",
        )
    )
    tls_time_ns: Histogram = times(
        MetricSpec("The TLS handshake.", condition="tls", no_value="no session opened with TLS")
    )
    upgrade_time_ns: Histogram = times(
        MetricSpec("From the upgrade request to its response.", condition="upgrade", no_value="no session opened")
    )
    first_reply_time_ns: Histogram = times(
        MetricSpec(
            "From a first message to its reply.", condition="first_reply", no_value="no first message was answered"
        )
    )
    reconnect_time_ns: Histogram = times(
        MetricSpec(
            "From the loss of a session to the opening of the one in its place.",
            condition="reconnect",
            no_value="no session was reconnected",
        )
    )

    # --- Streams ----------------------------------------------------------------------------------------------------

    gap_ns: Histogram = times(
        MetricSpec(
            "Between two messages of an answer, from its first one on.",
            condition="gap",
            no_value="no answer had a second message",
            needs_replies=True,
            needs_stream=True,
            family="gap_seconds",
            csv=("50", "99", "max"),
        )
    )
    answer_messages: Histogram = amounts(MetricSpec("Messages of each answer that ended."))
    answer_bytes: Histogram = amounts(MetricSpec("Payload bytes of each answer that ended."))
    answer_count: Histogram = amounts(MetricSpec("Number in the last message of each answer (--count)."))
    # Per 1,000 s, since a histogram holds whole numbers.
    answer_messages_per_ks: Histogram = amounts(
        MetricSpec("Messages of each answer, for each 1,000 s of its response time.")
    )
    answer_bytes_per_ks: Histogram = amounts(
        MetricSpec("Payload bytes of each answer, for each 1,000 s of its response time.")
    )
    answer_count_per_ks: Histogram = amounts(
        MetricSpec("Number in the last message of each answer, for each 1,000 s of its response time.")
    )

    open_dip: int = count(
        MetricSpec(
            "Sessions by which those that were open fell below their number at the start of an interval.",
            unit_name=CONNECTION,
        )
    )

    # --- Reconnect storms -------------------------------------------------------------------------------------------

    storm_disconnected: int = count(MetricSpec("Sessions that a reconnect storm disconnected.", unit_name=CONNECTION))
    storm_unanswered: int = count(
        MetricSpec("Unanswered messages that were in flight on sessions disconnected by a storm.", unit_name=MESSAGE)
    )
    storm_recovery_time_ns: Histogram = times(
        MetricSpec("From a reconnect storm to the reopening of each session that it disconnected.")
    )


def _in_groups(specs: tuple[MetricSpec, ...]) -> tuple[MetricSpec, ...]:
    groups = (MESSAGE, CONNECTION, FAULT, "", DELIVERY, PUBLISH, SUBSCRIBER, STEP, REACTION, SESSION, ITERATION)
    return tuple(sorted(specs, key=lambda spec: groups.index(spec.unit_name)))


METRICS: dict[str, MetricSpec] = {spec.name: spec for spec in _in_groups(tuple(rows_of(Metrics).values()))}
"""Every row by the name of its field, in the order in which people read them: messages, sessions, faults, the rest."""
DERIVED = (
    MetricSpec(
        "Messages and sessions that were asked for and did not come about, each counted once.",
        name="errors",
        percent_of=("due", "attempted"),
        condition="errors",
        unit_name=FAULT,
    ),
    MetricSpec(
        "Share of the expected deliveries that came within the time-out.",
        name="reach",
        percent_of=("deliveries_expected",),
        condition="reach",
        unit_name=DELIVERY,
    ),
    MetricSpec(
        "Messages of the longest of these gaps: of one publisher, and missed by one subscriber.",
        name="delivery_gaps",
        condition="gaps.longest",
        unit_name=DELIVERY,
    ),
    MetricSpec(
        "Delivery times of all hosts, where `delivery` is of publishers and subscribers on the same one.",
        name="delivery_time_ns",
        kind="time",
        condition="delivery.all",
        no_value=NO_DELIVERY,
        unit_name=DELIVERY,
    ),
    MetricSpec(
        "Mean delivery time of the slowest subscribers (p99), divided by that of the median subscriber.",
        name="subscriber_mean_time_ns",
        kind="ratio",
        condition="subscribers.skew",
        no_value="no subscriber's deliveries were timed",
        unit_name=SUBSCRIBER,
    ),
    MetricSpec(
        "Replies read in the measured time, for each second of it.",
        name="rate",
        kind="rate",
        condition="rate",
        no_value="nothing was measured",
        needs_replies=True,
    ),
    MetricSpec(
        "Messages sent in the measured time, for each second of it.",
        name="sent_rate",
        kind="rate",
        condition="sent_rate",
        no_value="nothing was measured",
    ),
    MetricSpec(
        "Disconnect waves: sessions that the target ended together.",
        name="waves",
        condition="waves",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "From the first session that a wave ended until as many were open as before; the longest of all waves.",
        name="waves.back",
        kind="duration",
        condition="waves.back",
        no_value="a wave was not back at the end of the load",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "Sessions that waves ended without a code that announces it.",
        name="waves.abrupt",
        condition="waves.abrupt",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "Sessions that came back from a wave.",
        name="waves.reconnected",
        condition="waves.reconnected",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "Sessions that came back from a wave, and that the target ended again within 30 s.",
        name="waves.bounced",
        percent_of=("waves.reconnected",),
        condition="waves.bounced",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "Most sessions that waves ended within a second.",
        name="waves.closes_per_s",
        kind="rate",
        condition="waves.closes_per_s",
        no_value="nothing was measured",
        unit_name=CONNECTION,
    ),
    MetricSpec(
        "Sessions of the fullest node at the end of the load, relative to an even share.",
        name="nodes.skew",
        kind="ratio",
        condition="nodes.skew",
        no_value="no session was open on a node that is known (--node)",
        unit_name=CONNECTION,
    ),
)
"""Metrics that conditions offer and no tally counts: they are worked out of others."""
STEP_FAILED = MetricSpec(
    "Times that it went wrong: unanswered, dropped, or answered by what failed a check.",
    name="failed",
    percent_of=("due",),
    condition="failed",
)
"""Failures of a step, which are worked out of its counts."""
_STEP_CONDITIONS = (
    *("due", "sent", "answered", "unanswered", "unawaited", "dropped", "stalls", "broken_off"),
    *("response_time_ns", "service_time_ns", "send_lag_ns", "first_time_ns", "gap_ns"),
)
PART_CONDITIONS = (
    *(
        condition_of_part("steps.NAME", spec, STEP)
        for spec in (*(METRICS[name] for name in _STEP_CONDITIONS), STEP_FAILED)
    ),
    *part_conditions(),
)
"""Metrics of the parts of a scenario: NAME is that of a step or a reaction, in all roles that have it, or ROLE/NAME."""
CONDITION_METRICS: dict[str, MetricSpec] = {
    spec.condition: spec
    for spec in _in_groups((*METRICS.values(), *DERIVED, *PART_CONDITIONS))
    if spec.condition is not None
}
"""Every metric that ``--fail-if`` offers, by its name there."""
WHOLE_RUN = tuple(spec.name for spec in DERIVED if spec.name.startswith(("waves", "nodes.")))
"""Metrics that only a whole run has, since they follow from what happens before and after an instant."""
COUNT_FIELDS = tuple(spec.name for spec in METRICS.values() if spec.kind in ("count", "size"))
LABELED_FIELDS = tuple(spec.name for spec in METRICS.values() if spec.kind == "labeled")
HISTOGRAM_FIELDS = tuple(spec.name for spec in METRICS.values() if spec.kind in ("time", "amount"))
PER_HOST_FIELDS = tuple(spec.name for spec in METRICS.values() if spec.per_host)
"""Fields that are kept for each machine: its rate, its own troubles and its way to the target show in them."""
PER_NODE_FIELDS = ("opened", "closed", "answered", "unanswered", "response_time_ns")
"""Fields that are kept for each node of the target (``--node``)."""
PER_STEP_FIELDS = (
    *("due", "sent", "answered", "unanswered", "unawaited", "dropped", "faults", "answered_in_window"),
    *("response_time_ns", "service_time_ns", "send_lag_ns", "unanswered_wait_ns", "first_time_ns", "gap_ns", "stalls"),
    *("streamed", "broken_off", "came_together", "without_first", "without_count"),
    *("answer_messages", "answer_bytes", "answer_count"),
    *("answer_messages_per_ks", "answer_bytes_per_ks", "answer_count_per_ks"),
)
"""Fields that are kept for each step of a scenario; `faults` are those that happened at it."""
EXCLUDED_FROM_WARMUP = tuple(spec.name for spec in METRICS.values() if not spec.in_warmup)
"""Fields that are reset when a warm-up interval is reported."""
