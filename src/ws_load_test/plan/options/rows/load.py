"""Options that say how much load there is, when, and for how long."""

from __future__ import annotations

from typing import Literal, TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.spec import Count, Duration, Group, Number, OptionSpec, Requirements, Texts

SCHEDULE = ("rate", "rate_per_connection", "stages")
"""Options that make the load an open loop."""
OPEN_LOOP_ONLY: Requirements = {SCHEDULE: "needs a schedule; add --rate or --stages"}
BOTH_RATES = "both say how many messages fall due"
BOTH_OPEN = "both say how connections open"
CHOSEN_BY_SEARCH = "is what the search varies; say where it begins with --from, and where it ends with --max"
STEP_LENGTH = (
    "each step is as long as its objectives need; say how long at least with --step-duration, at most with"
    " --max-step-duration"
)
ROUND_LENGTH = "each round is as long as --round-duration says"
OWN_STEPS = "the search makes its own steps"
LOAD = (
    OptionSpec(
        name="connections",
        metavar="N",
        help="number of connections",
        group=Group.LOAD,
        parse=option_values.connections,
        default="1",
        short="c",
        refused_by={
            "capacity --find connections": CHOSEN_BY_SEARCH,
            "capacity --find sessions": CHOSEN_BY_SEARCH,
        },
    ),
    OptionSpec(
        name="in_flight",
        metavar="N",
        help="closed loop (the load without a rate): keep this many messages in flight on each connection, and send"
        " the next when a reply comes",
        group=Group.LOAD,
        parse=option_values.in_flight,
        default="1",
        refused_by={
            "capacity --find rate": "is of a closed loop, which has no rate; take --find connections to find how many"
            " it can have"
        },
    ),
    OptionSpec(
        name="rate",
        metavar="RATE",
        help="open loop: send messages on a schedule, over all connections: 500, 2k/s, 90/m; 0 only holds the"
        " connections. Times then count from when a message was due",
        group=Group.LOAD,
        parse=option_values.rate_or_zero,
        short="r",
        excludes={"rate_per_connection": BOTH_RATES},
        refused_by={"capacity --find rate": CHOSEN_BY_SEARCH},
    ),
    OptionSpec(
        name="rate_per_connection",
        metavar="RATE",
        help="open loop: the same, for each connection",
        group=Group.LOAD,
        parse=option_values.rate,
        refused_by={"capacity --find rate": CHOSEN_BY_SEARCH},
    ),
    OptionSpec(
        name="stages",
        metavar="TIME:RATE,...",
        help="open loop: a rate that changes: 30s:1000,2m:5000 in straight lines, 30s@1000 in steps",
        group=Group.LOAD,
        parse=option_values.rate_stages,
        excludes={
            "rate": BOTH_RATES,
            "rate_per_connection": BOTH_RATES,
            "duration": "the stages say how long the run takes",
            "messages": "the stages say when the run ends",
        },
        refused_by={
            "ab": "a rate that changes would make each round another test; give --rate",
            "capacity": OWN_STEPS,
        },
    ),
    OptionSpec(
        name="arrivals",
        metavar="KIND",
        help="open loop: constant, or poisson, as independent users would send",
        group=Group.LOAD,
        parse=option_values.arrivals,
        default="constant",
        requires=OPEN_LOOP_ONLY,
    ),
    OptionSpec(
        name="seed",
        metavar="N",
        help="seed of poisson arrivals; printed with the plan, so that a run can be repeated",
        group=Group.LOAD,
        parse=option_values.seed,
        requires=OPEN_LOOP_ONLY,
    ),
    OptionSpec(
        name="max_in_flight",
        metavar="N",
        help="open loop: hold messages back while N await replies on their connection, and drop those that wait longer"
        " than --timeout",
        group=Group.LOAD,
        parse=option_values.positive_int,
        requires=OPEN_LOOP_ONLY,
    ),
    OptionSpec(
        name="duration",
        metavar="TIME",
        help="how long to send: 10s, 500ms, 2m; a bare number is seconds",
        group=Group.LOAD,
        parse=option_values.positive_duration,
        default="10s",
        short="d",
        refused_by={"ab": ROUND_LENGTH, "capacity": STEP_LENGTH},
    ),
    OptionSpec(
        name="messages",
        metavar="N",
        help="how many messages to send in all, instead of a duration",
        group=Group.LOAD,
        parse=option_values.positive_int,
        field="messages",
        short="n",
        excludes={"duration": "the run ends either after a number of messages or after a time"},
        refused_by={"ab": ROUND_LENGTH, "capacity": STEP_LENGTH},
    ),
    OptionSpec(
        name="warmup",
        metavar="TIME",
        help="send this long before anything counts",
        group=Group.LOAD,
        parse=option_values.duration,
        default="0s",
        field="warmup_ns",
    ),
    OptionSpec(
        name="connect_rate",
        metavar="RATE",
        help="open this many connections per second: 500, 2k/s, 90/m",
        group=Group.LOAD,
        parse=option_values.rate,
        excludes={"ramp": "both say how fast connections open"},
    ),
    OptionSpec(
        name="ramp",
        metavar="TIME",
        help="open all connections evenly over this time",
        group=Group.LOAD,
        parse=option_values.duration,
    ),
    OptionSpec(
        name="connection_stages",
        metavar="TIME:N,...",
        help="open loop: a number of connections that changes, up and down",
        group=Group.LOAD,
        parse=option_values.connection_stages,
        field="connection_profile",
        excludes={
            "connections": "both say how many connections there are",
            "ramp": BOTH_OPEN,
            "connect_rate": BOTH_OPEN,
            "rate_per_connection": "the number of connections changes; give the whole --rate",
            "warmup": "connections come and go from the first moment on",
        },
        requires=OPEN_LOOP_ONLY,
        refused_by={
            "ab": "connections that come and go would make each round another test; give --connections",
            "capacity": OWN_STEPS,
        },
    ),
    OptionSpec(
        name="ping_interval",
        metavar="TIME",
        help="open loop: ping each connection this often, and time the pongs",
        group=Group.LOAD,
        parse=option_values.positive_duration,
        field="ping_interval_ns",
        former_names=("keepalive",),
        requires={(*SCHEDULE, "scenario", "role"): OPEN_LOOP_ONLY[SCHEDULE]},
    ),
)


class LoadOptions(TypedDict, total=False):
    """Python types of these options."""

    connections: Count
    in_flight: Count
    rate: Number
    rate_per_connection: Number
    stages: Texts
    arrivals: Literal["constant", "poisson"] | None
    seed: Count
    max_in_flight: Count
    duration: Duration
    messages: Count
    warmup: Duration
    connect_rate: Number
    ramp: Duration
    connection_stages: Texts
    ping_interval: Duration
