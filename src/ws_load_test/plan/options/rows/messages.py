"""Options that say what is sent, which reply belongs to which message, and what a reply must say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options import message_values, presets
from ws_load_test.plan.options.scenario.values import python_role
from ws_load_test.plan.options.spec import Count, Duration, Flag, Group, Number, OptionSpec, Text, Texts
from ws_load_test.plan.presets import preset_names

_ONE_ACKNOWLEDGEMENT = "a fan-out is measured by its deliveries, and acknowledged with one message"
_ONE_MESSAGE = "an answer is one message; add --until CHECK, which names the last of several"
MESSAGE = (
    OptionSpec(
        name="message",
        metavar="TEXT|@FILE|@DIR",
        help="what to send; several are sent in turn, as all files of DIR are",
        group=Group.MESSAGE,
        parse=message_values.messages,
        default="PING",
        short="m",
        repeatable=True,
        may_begin_with_hyphen=True,
        excludes={"size": "the text is either given or generated"},
    ),
    OptionSpec(
        name="weights",
        metavar="N,N,...",
        help="how often each of several messages is sent",
        group=Group.MESSAGE,
        parse=message_values.weights,
        excludes={"size": "generated contents have sizes, not weights"},
    ),
    OptionSpec(
        name="size",
        metavar="SIZE",
        help="send generated text of this size instead: 512, 64kB, 1MiB, 100..1000 (any between), normal:1kB,200B or"
        " exp:1kB (random, by mean)",
        group=Group.MESSAGE,
        parse=message_values.size,
    ),
    OptionSpec(
        name="binary",
        metavar="",
        help="send binary messages",
        group=Group.MESSAGE,
        parse=option_values.boolean,
        excludes={"ping": "a ping frame is neither text nor binary"},
    ),
    OptionSpec(
        name="ping",
        metavar="",
        help="send ping frames, and take their pongs for the replies",
        group=Group.MESSAGE,
        parse=option_values.boolean,
        excludes={"ping_interval": "both send pings, and a pong would answer either"},
    ),
    OptionSpec(
        name="feed",
        metavar="FILE",
        help="rows for {feed.COLUMN}: CSV with a header line, or JSON lines",
        group=Group.MESSAGE,
        parse=option_values.text,
    ),
    OptionSpec(
        name="feed_order",
        metavar="ORDER",
        help="round-robin, random, connection (each connection has a row of its own) or connection-shared (the same,"
        " and rows are used again)",
        group=Group.MESSAGE,
        parse=message_values.feed_order,
        default="round-robin",
        excludes={"size": "generated contents take nothing from a feed"},
        requires={("feed",): "there is no feed; add --feed FILE"},
    ),
    OptionSpec(
        name="trace",
        metavar="SHARE",
        help="share of the {traceparent} that ask the target to record a trace (flag 01)",
        group=Group.MESSAGE,
        parse=message_values.trace_share,
        default="1%",
    ),
    OptionSpec(
        name="first_message",
        metavar="TEXT|@FILE",
        help="send this once in each session before the load; each of several waits for the reply to the one before",
        group=Group.MESSAGE,
        parse=option_values.strings,
        repeatable=True,
        may_begin_with_hyphen=True,
    ),
    OptionSpec(
        name="scenario",
        metavar="FILE.py:NAME",
        help="each session runs this coroutine (docs/scenarios.md); --rate is then that of its iterations, over all"
        " sessions",
        group=Group.MESSAGE,
        parse=python_role,
    ),
    OptionSpec(
        name="protocol",
        metavar="NAME",
        help="begin with what a protocol asks for: its handshake, keep-alive and rule of matching; alone with --explain"
        f" it prints the preset: {', '.join(preset_names())}",
        group=Group.MESSAGE,
        parse=presets.protocol,
    ),
    OptionSpec(
        name="fill",
        metavar="NAME=TEXT",
        help="put TEXT into a place of the preset",
        group=Group.MESSAGE,
        parse=presets.fills,
        repeatable=True,
        requires={("protocol",): "fills a place of a preset; add --protocol NAME"},
    ),
)
REPLIES = (
    OptionSpec(
        name="match",
        metavar="RULE",
        help="which reply answers which message: order, echo (equal payloads), json:PATH or regex:PATTERN (equal ids),"
        " json:PATH=PATH (where the reply has the id elsewhere), msgpack:PATH, protobuf:1.3 (field numbers), none"
        " (send only)",
        group=Group.REPLIES,
        parse=message_values.rule,
        default="order",
    ),
    OptionSpec(
        name="skip_first",
        metavar="N",
        help="the first N messages of a session are greetings and answer nothing",
        group=Group.REPLIES,
        parse=option_values.non_negative_int,
        default="0",
        field="correlation.greetings",
    ),
    OptionSpec(
        name="ignore",
        metavar="CHECK",
        help="a message that satisfies this answers nothing",
        group=Group.REPLIES,
        parse=message_values.checks,
        field="correlation.ignore",
        repeatable=True,
    ),
    OptionSpec(
        name="auto_reply",
        metavar="CHECK=>TEXT",
        help="answer a message that satisfies this with TEXT",
        group=Group.REPLIES,
        parse=message_values.auto_replies,
        field="correlation.auto_replies",
        former_names=("answer",),
        repeatable=True,
    ),
    OptionSpec(
        name="until",
        metavar="CHECK",
        help="an answer is many messages, the last of which satisfies this; of several options one is enough",
        group=Group.REPLIES,
        parse=message_values.checks,
        field="correlation.stream.until",
        repeatable=True,
        excludes={
            "ping": "the answer to a ping is one pong",
            "subscribers": _ONE_ACKNOWLEDGEMENT,
            "everyone": _ONE_ACKNOWLEDGEMENT,
        },
    ),
    OptionSpec(
        name="first",
        metavar="CHECK",
        help="the first message of an answer that satisfies this counts as its first: a word and no head before it",
        group=Group.REPLIES,
        parse=message_values.checks,
        default="any",
        field="correlation.stream.first",
        repeatable=True,
        requires={("until",): _ONE_MESSAGE},
    ),
    OptionSpec(
        name="stall",
        metavar="TIME",
        help="a longer gap between two messages of an answer is a stall",
        group=Group.REPLIES,
        parse=option_values.positive_duration,
        default="1s",
        field="correlation.stream.stall_ns",
        requires={("until", "scenario", "role"): _ONE_MESSAGE},
    ),
    OptionSpec(
        name="count",
        metavar="WHERE",
        help="a number in the last message of an answer, such as its tokens: json:PATH, msgpack:PATH, protobuf:1.3,"
        " or regex:PATTERN with a group",
        group=Group.REPLIES,
        parse=message_values.number_place,
        field="correlation.stream.count",
        requires={("until",): _ONE_MESSAGE},
    ),
    OptionSpec(
        name="expect",
        metavar="CHECK",
        help="a reply that does not satisfy this is a fault; with --until its last message is checked",
        group=Group.REPLIES,
        parse=message_values.checks,
        field="correlation.expect",
        repeatable=True,
    ),
    OptionSpec(
        name="expect_first",
        metavar="CHECK",
        help="a reply to --first-message that does not satisfy this is a fault, and ends the session",
        group=Group.REPLIES,
        parse=message_values.checks,
        field="correlation.expect_first",
        repeatable=True,
        requires={("first_message",): "needs a --first-message, whose reply it checks"},
    ),
    OptionSpec(
        name="first_wait",
        metavar="DURATION",
        help="the last --first-message is not answered: begin this long after it, and await no reply to it",
        group=Group.REPLIES,
        parse=option_values.positive_duration,
        field="correlation.first_wait_ns",
        requires={("first_message",): "needs a --first-message, behind which it waits"},
    ),
    OptionSpec(
        name="check_utf8",
        metavar="",
        help="check that text messages are valid UTF-8",
        group=Group.REPLIES,
        parse=option_values.boolean,
        field="correlation.check_utf8",
        former_names=("strict_protocol",),
    ),
)


class MessageOptions(TypedDict, total=False):
    """Python types of these options."""

    message: Texts
    weights: str | int | Sequence[int] | None
    size: Number
    binary: Flag
    ping: Flag
    feed: Text
    feed_order: Literal["round-robin", "random", "connection", "connection-shared"] | None
    trace: Number
    scenario: Text
    protocol: Text
    fill: Texts | Mapping[str, str]
    first_message: Texts
    match: Text
    skip_first: Count
    ignore: Texts
    auto_reply: Texts
    until: Texts
    first: Texts
    stall: Duration
    count: Text
    expect: Texts
    expect_first: Texts
    first_wait: Duration
    check_utf8: Flag
