"""Options that say how sessions are kept and disturbed, when a run has failed, and its limits."""

from __future__ import annotations

from typing import TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.node import node_rule
from ws_load_test.plan.options import session_values
from ws_load_test.plan.options.spec import Count, Duration, Group, Number, OptionSpec, Text, Texts
from ws_load_test.plan.timed_commands import run_at

VARYING_CONNECTIONS = {"connection_stages": "they say which connections are open"}
OBJECTIVES = 'say with --slo what must hold, for example --slo "p99 < 50ms"'
SESSIONS = (
    OptionSpec(
        name="reconnect",
        metavar="POLICY",
        help="reconnect lost sessions: none, now, after a delay such as 1s, exponential or exponential:100ms..30s",
        group=Group.SESSIONS,
        parse=session_values.reconnect,
        default="none; with --disconnect, now",
        excludes=VARYING_CONNECTIONS,
    ),
    OptionSpec(
        name="lifetime",
        metavar="TIME",
        help="close each session after this time, and open another in its place",
        group=Group.SESSIONS,
        parse=option_values.positive_duration,
        field="lifetime_ns",
        excludes=VARYING_CONNECTIONS,
    ),
    OptionSpec(
        name="disconnect",
        metavar="SHARE@TIME",
        help="cut off this share of the connections at once, and measure how they come back: 30%@10s",
        group=Group.SESSIONS,
        parse=session_values.disconnect_storm,
        field="disconnect_storm",
        former_names=("storm",),
        excludes=VARYING_CONNECTIONS,
        refused_by={
            "ab": "a storm in each round would be most of it",
            "capacity": "would be most of what each step measures; a run without `capacity` shows how all come back",
        },
    ),
    OptionSpec(
        name="run_at",
        metavar="'TIME: COMMAND'",
        help="run a shell command on this machine at this time of the load, and mark it in reports: '60s: ./deploy.sh'",
        group=Group.SESSIONS,
        parse=run_at,
        field="commands",
        repeatable=True,
        refused_by={"capacity": "each step would run it; a run without `capacity` shows what it does to sessions"},
    ),
    OptionSpec(
        name="node",
        metavar="WHERE",
        help="count sessions and times by node of the target, which it names in header:NAME or cookie:NAME of the"
        " upgrade response, or at json:PATH (msgpack:PATH, protobuf:1.3) of a first message",
        group=Group.SESSIONS,
        parse=node_rule,
        field="node",
    ),
    OptionSpec(
        name="slow_readers",
        metavar="SHARE:SPEED",
        help="let this share of the connections read slowly: 5%:1kB/s; only the others are measured",
        group=Group.SESSIONS,
        parse=session_values.slow_reader,
        former_names=("slow",),
    ),
    OptionSpec(
        name="stalled_readers",
        metavar="SHARE",
        help="let this share stop reading; only the others are measured",
        group=Group.SESSIONS,
        parse=session_values.share,
        former_names=("deaf",),
    ),
    OptionSpec(
        name="no_pong_clients",
        metavar="SHARE",
        help="let this share answer no ping; only the others are measured",
        group=Group.SESSIONS,
        parse=session_values.share,
        former_names=("mute",),
    ),
)
VERDICT = (
    OptionSpec(
        name="fail_if",
        metavar='"CONDITION"',
        help="the run has failed (exit code 1) if this holds at its end",
        group=Group.VERDICT,
        parse=option_values.strings,
        repeatable=True,
        refused_by={
            "ab": "it judges one run; say with --slo what must hold for both targets, or take --fail-on-regression",
            "capacity": OBJECTIVES,
        },
    ),
    OptionSpec(
        name="slo",
        metavar='"OBJECTIVE"',
        help='the contrary: the run has failed unless this holds at its end: "p99 < 50ms", "errors < 0.1%"',
        group=Group.VERDICT,
        parse=option_values.strings,
        repeatable=True,
    ),
    OptionSpec(
        name="abort_if",
        metavar='"CONDITION"',
        help="the same, and the run is stopped as soon as it holds",
        group=Group.VERDICT,
        parse=option_values.strings,
        repeatable=True,
        refused_by={"ab": "it judges one run; take --fail-on-regression", "capacity": OBJECTIVES},
    ),
    OptionSpec(
        name="abort_grace",
        metavar="TIME",
        help="measure this long before the first check of --abort-if",
        group=Group.VERDICT,
        parse=option_values.duration,
        default="5s",
        field="abort_grace_ns",
        former_names=("abort_after",),
        requires={("abort_if",): "there is nothing to stop for; add --abort-if CONDITION"},
        refused_by={"ab": "it belongs to --abort-if, which judges one run", "capacity": OBJECTIVES},
    ),
)
LIMITS = (
    OptionSpec(
        name="timeout",
        metavar="TIME",
        help="how long a reply can take",
        group=Group.LIMITS,
        parse=option_values.positive_duration,
        default="10s",
        field="timeout_ns",
    ),
    OptionSpec(
        name="connect_timeout",
        metavar="TIME",
        help="how long opening a connection can take",
        group=Group.LIMITS,
        parse=option_values.positive_duration,
        default="10s",
        field="connect_timeout_ns",
    ),
    OptionSpec(
        name="open_timeout",
        metavar="TIME",
        help="how long opening all connections can take; the load then begins on those that are open",
        group=Group.LIMITS,
        parse=option_values.positive_duration,
        default="none; a target that takes no more ends it",
        field="open_timeout_ns",
        excludes=VARYING_CONNECTIONS,
    ),
    OptionSpec(
        name="max_message_size",
        metavar="SIZE",
        help="end a session on which a larger message comes, compressed or not: 125 bytes to 1 GiB",
        group=Group.LIMITS,
        parse=option_values.message_limit,
        default="64MiB",
        field="max_message_bytes",
    ),
    OptionSpec(
        name="name",
        metavar="TEXT",
        help="a name for the run, which its report, recording, page and comparisons show",
        group=Group.RESULTS,
        parse=option_values.run_name,
        field="name",
        refused_by={"ab": "its two sides are called a and b", "capacity": "its steps have numbers"},
    ),
    OptionSpec(
        name="engine",
        metavar="NAME",
        help="data plane: native (compiled; closed loops by io_uring where it is allowed), native-epoll, portable, or "
        "auto: native where it can run the plan",
        group=Group.GENERATOR,
        parse=option_values.choice("auto", "native", "native-epoll", "portable"),
        default="auto",
        field="engine",
    ),
    OptionSpec(
        name="reply_instant",
        metavar="WHEN",
        help="when a reply has come: when it was read, when the kernel received it (native engine), or auto: the "
        "latter if it can be had",
        group=Group.GENERATOR,
        parse=option_values.choice("auto", "read", "kernel"),
        default="auto",
        field="reply_instant",
    ),
    OptionSpec(
        name="workers",
        metavar="N",
        help="number of worker processes",
        group=Group.GENERATOR,
        parse=option_values.workers,
        default="one for each core, or two of them if the target is on this machine",
        short="w",
    ),
)


class SessionOptions(TypedDict, total=False):
    """Python types of these options."""

    reconnect: Duration
    lifetime: Duration
    disconnect: Text
    run_at: Texts
    node: Text
    slow_readers: Text
    stalled_readers: Number
    no_pong_clients: Number
    fail_if: Texts
    slo: Texts
    abort_if: Texts
    abort_grace: Duration
    timeout: Duration
    connect_timeout: Duration
    open_timeout: Duration
    max_message_size: Count
    name: Text
    engine: Text
    reply_instant: Text
    workers: Count
