"""Options of the commands that make several runs: `capacity`, `ab`, and `compare`, which reads them again."""

from __future__ import annotations

from typing import Literal, TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options import session_values
from ws_load_test.plan.options.spec import Count, Duration, Group, Number, OptionSpec, Owner

SEARCH = (
    OptionSpec(
        name="find",
        metavar="rate|connections|subscribers|sessions",
        help="rate: the highest rate of messages over -c connections (100). connections: the highest number of"
        " connections, each sending --rate-per-connection (1) or keeping --in-flight N messages in flight, or all"
        " together sending -r RATE; -r 0 only holds them. subscribers: the highest number of subscribers of a fan-out"
        " whose publishers together send -r RATE. sessions: the highest number of sessions of a plan with roles, which"
        " keep their shares of it, and the rates that they have",
        group=Group.SEARCH,
        parse=option_values.choice("rate", "connections", "subscribers", "sessions"),
        owner=Owner.CAPACITY,
        default="rate",
    ),
    OptionSpec(
        name="from",
        metavar="AMOUNT",
        help="lowest load of interest, where the search begins",
        group=Group.SEARCH,
        parse=option_values.unchecked,
        owner=Owner.CAPACITY,
        default="100",
    ),
    OptionSpec(
        name="max",
        metavar="AMOUNT",
        help="highest load of interest; without it, the search has no upper end",
        group=Group.SEARCH,
        parse=option_values.unchecked,
        owner=Owner.CAPACITY,
    ),
    OptionSpec(
        name="precision",
        metavar="SHARE",
        help="how far apart the ends of the result can be, 1% to 50%",
        group=Group.SEARCH,
        parse=session_values.share,
        owner=Owner.CAPACITY,
        default="5%",
    ),
    OptionSpec(
        name="step_duration",
        metavar="TIME",
        help="how long each step measures at least; --warmup, here 1s, comes before",
        group=Group.SEARCH,
        parse=option_values.positive_duration,
        owner=Owner.CAPACITY,
        default="5s",
        former_names=("step",),
    ),
    OptionSpec(
        name="max_step_duration",
        metavar="TIME",
        help="how long each step measures at most; within these bounds, as long as the objectives need",
        group=Group.SEARCH,
        parse=option_values.positive_duration,
        owner=Owner.CAPACITY,
        default="60s",
        former_names=("longest_step",),
    ),
    OptionSpec(
        name="cooldown",
        metavar="TIME",
        help="wait between steps",
        group=Group.SEARCH,
        parse=option_values.duration,
        owner=Owner.CAPACITY,
        default="1s",
        former_names=("rest",),
    ),
)
COMPARISON = (
    OptionSpec(
        name="rounds",
        metavar="N",
        help="number of rounds of each target",
        group=Group.COMPARISON,
        parse=option_values.rounds,
        owner=Owner.AB,
        default="10",
    ),
    OptionSpec(
        name="round_duration",
        metavar="TIME",
        help="how long each round is measured; there is no -d here",
        group=Group.COMPARISON,
        parse=option_values.positive_duration,
        owner=Owner.AB,
        default="2s",
        former_names=("round",),
    ),
    OptionSpec(
        name="confidence",
        metavar="SHARE",
        help="how sure to be that nothing is called different if nothing is, 50% to 99.99%",
        group=Group.COMPARISON,
        parse=option_values.unchecked,
        owner=Owner.COMPARISON,
        default="95%",
    ),
    OptionSpec(
        name="metric",
        metavar="NAME",
        help="compare these alone: p99, or p50,p99,errors; the fewer there are, the smaller the differences that can be"
        " distinguished from chance",
        group=Group.COMPARISON,
        parse=option_values.unchecked,
        owner=Owner.COMPARISON,
        default="all",
        repeatable=True,
    ),
    OptionSpec(
        name="fail_on_regression",
        metavar="SHARE",
        help="fail (exit code 1) if something is worse by more than this: 5%",
        group=Group.COMPARISON,
        parse=option_values.unchecked,
        owner=Owner.COMPARISON,
    ),
)


class SearchOptions(TypedDict, total=False):
    """Python types of the options of a search; ``from_`` is ``--from``, since ``from`` is a keyword of Python."""

    find: Literal["rate", "connections", "subscribers"] | None
    from_: Number
    max: Number
    precision: Number
    step_duration: Duration
    max_step_duration: Duration
    cooldown: Duration


class PairedOptions(TypedDict, total=False):
    """Python types of the options of `ab`."""

    rounds: Count
    round_duration: Duration
