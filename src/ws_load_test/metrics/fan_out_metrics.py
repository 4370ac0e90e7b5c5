"""Rows of the metric catalogue for fan-out: publishes, deliveries to subscribers, and their times.

Every delivery that must come is, once it is settled, in ``deliveries``, ``deliveries_missing`` or
``deliveries_cut_off``; together they are ``deliveries_expected``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from ws_load_test.metrics.count_metrics import CountMetrics
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.metric_spec import MetricSpec, count, labeled, times

DELIVERY, PUBLISH, SUBSCRIBER = "delivery", "publish", "subscriber"
"""Nouns of what is counted."""
EXPECTED = ("deliveries_expected",)
NO_DELIVERY = "no delivery came"
NOTHING_FOLLOWED = "no publish was received by any subscriber"
FanOutSpec = partial(MetricSpec, needs_fan_out=True)
"""Row of what only a fan-out has."""


@dataclass(slots=True)
class FanOutMetrics(CountMetrics):
    """Counts and times of a fan-out; all are 0 or empty where the plan has none."""

    # --- Deliveries -------------------------------------------------------------------------------------------------

    deliveries_expected: int = count(
        FanOutSpec(
            "Deliveries that had to come: to each member of a room, of each message published there.",
            condition="expected",
            no_value="no delivery was expected",
            family="deliveries_expected",
            unit_name=DELIVERY,
            csv=("deliveries_expected",),
        )
    )
    deliveries: int = count(
        FanOutSpec(
            "Expected deliveries that came within the time-out.",
            percent_of=EXPECTED,
            condition="delivered",
            per_host=True,
            family="deliveries",
            unit_name=DELIVERY,
            csv=("deliveries",),
        )
    )
    deliveries_missing: int = count(
        FanOutSpec(
            "Expected deliveries that did not come within the time-out, although the session was there.",
            percent_of=EXPECTED,
            condition="missing",
            family="deliveries_missing",
            unit_name=DELIVERY,
            csv=("deliveries_missing",),
            is_failure=True,
        )
    )
    deliveries_cut_off: int = count(
        FanOutSpec(
            "Expected deliveries that did not come because the target ended the session.",
            percent_of=EXPECTED,
            condition="cut_off",
            family="deliveries_cut_off",
            unit_name=DELIVERY,
            csv=("deliveries_cut_off",),
            is_failure=True,
        )
    )
    deliveries_late: int = count(
        FanOutSpec(
            "Missing deliveries that came after the time-out.",
            percent_of=EXPECTED,
            condition="late",
            family="deliveries_late",
            unit_name=DELIVERY,
        )
    )
    deliveries_duplicate: int = count(
        FanOutSpec(
            "Deliveries that came once more.",
            percent_of=EXPECTED,
            condition="duplicate",
            family="deliveries_duplicate",
            unit_name=DELIVERY,
        )
    )
    deliveries_out_of_order: int = count(
        FanOutSpec(
            "Deliveries that came to a subscriber behind a later one of the same publisher.",
            percent_of=EXPECTED,
            family="deliveries_out_of_order",
            unit_name=DELIVERY,
        )
    )
    deliveries_misdelivered: int = count(
        FanOutSpec(
            "Deliveries to subscribers that are not in the room.",
            percent_of=EXPECTED,
            condition="misdelivered",
            family="deliveries_misdelivered",
            unit_name=DELIVERY,
        )
    )
    deliveries_foreign: int = count(
        FanOutSpec(
            "Messages with the marker of another run.",
            condition="foreign",
            family="deliveries_foreign",
            unit_name=DELIVERY,
        )
    )
    deliveries_ambiguous: int = count(
        FanOutSpec(
            "Pairs of a publish and a subscriber that are not judged: the session was joining, or we ended it.",
            condition="ambiguous",
            family="deliveries_ambiguous",
            unit_name=DELIVERY,
        )
    )
    deliveries_replayed: int = count(
        FanOutSpec(
            "Deliveries of what was published before the subscriber joined or came back.",
            condition="replayed",
            family="deliveries_replayed",
            unit_name=DELIVERY,
        )
    )
    deliveries_to_publisher: int = count(
        FanOutSpec(
            "Deliveries to the publishers themselves that need not come, and may.",
            family="deliveries_to_publisher",
            unit_name=DELIVERY,
        )
    )
    deliveries_negative: int = count(
        FanOutSpec(
            "Deliveries that came before they were due, by clocks of different machines; their time counts as 0.",
            unit_name=DELIVERY,
        )
    )
    deliveries_before_sent: int = count(
        FanOutSpec(
            "Deliveries that came before they were sent, by these clocks; their transit time counts as 0.",
            unit_name=DELIVERY,
        )
    )

    # --- Gaps -------------------------------------------------------------------------------------------------------

    # By length, as text.
    delivery_gaps: Counter[str] = labeled(
        FanOutSpec(
            "Gaps: consecutive messages of one publisher that a subscriber missed, by their number.",
            condition="gaps",
            unit_name=DELIVERY,
        )
    )
    subscribers_with_gaps: int = count(
        FanOutSpec("Subscribers that missed a delivery.", condition="subscribers_with_gaps", unit_name=SUBSCRIBER)
    )

    # --- Publishes --------------------------------------------------------------------------------------------------

    publishes_sent: int = count(
        FanOutSpec("Messages of a scenario's steps that others must receive, as far as they left.", unit_name=PUBLISH)
    )
    publishes_acknowledged: int = count(
        FanOutSpec("These messages, as far as their step was completed by a message of the target.", unit_name=PUBLISH)
    )
    publishes_followed: int = count(
        FanOutSpec(
            "Publishes whose first and last delivery were followed over all workers.",
            no_value="no publish was followed",
            unit_name=PUBLISH,
        )
    )
    publishes_complete: int = count(
        FanOutSpec(
            "Followed publishes that came to every subscriber they had to.",
            percent_of=("publishes_followed",),
            condition="complete",
            unit_name=PUBLISH,
        )
    )

    # --- Times ------------------------------------------------------------------------------------------------------

    delivery_time_ns: Histogram = times(
        FanOutSpec(
            "From when a message was due until a subscriber's delivery of it was read.",
            condition="delivery",
            unit_name=DELIVERY,
            no_value=NO_DELIVERY,
            per_host=True,
            family="delivery_time_seconds",
            csv=("50", "90", "99", "99.9", "max"),
        )
    )
    same_host_delivery_time_ns: Histogram = times(
        FanOutSpec(
            "The same where publisher and subscriber are on one machine, in a run on several.", unit_name=DELIVERY
        )
    )
    transit_time_ns: Histogram = times(
        FanOutSpec(
            "From when a message was sent until a subscriber's delivery of it was read.",
            condition="transit",
            unit_name=DELIVERY,
            no_value=NO_DELIVERY,
            family="transit_time_seconds",
        )
    )
    first_time_ns: Histogram = times(
        FanOutSpec(
            "From when a message was due until the first message that it causes was read.",
            needs_stream=True,
            condition="first",
            unit_name=DELIVERY,
            no_value="no first message came",
            family="first_time_seconds",
            csv=("50", "99", "max"),
        )
    )
    last_time_ns: Histogram = times(
        FanOutSpec(
            "From when a message was due until the last of its deliveries was read.",
            condition="last",
            unit_name=DELIVERY,
            no_value=NOTHING_FOLLOWED,
            family="last_time_seconds",
            csv=("50", "99", "max"),
        )
    )
    spread_ns: Histogram = times(
        FanOutSpec(
            "From the first to the last delivery of a publish.",
            condition="spread",
            unit_name=DELIVERY,
            no_value=NOTHING_FOLLOWED,
            family="spread_time_seconds",
        )
    )
    read_lag_ns: Histogram = times(
        FanOutSpec(
            "Time for which a delivery at most waited in the worker, because others were read first.",
            condition="read_lag",
            unit_name=DELIVERY,
            no_value=NO_DELIVERY,
            family="read_lag_seconds",
        )
    )
    subscriber_mean_time_ns: Histogram = times(
        FanOutSpec("Mean delivery time of each subscriber, over the whole run: one value for each.", unit_name=DELIVERY)
    )

    # --- Where they came --------------------------------------------------------------------------------------------

    delivery_groups: Counter[str] = labeled(
        FanOutSpec("Timed deliveries by room, or by group of subscribers where there is one room.", unit_name=DELIVERY)
    )
    delivery_group_time_us: Counter[str] = labeled(
        FanOutSpec("Sum of their delivery times in microseconds, by the same.", unit_name=DELIVERY)
    )
