"""Options that make a plan a fan-out: who publishes, who receives, and how a delivery is recognized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options import fan_out_values
from ws_load_test.plan.options.rows.load import CHOSEN_BY_SEARCH
from ws_load_test.plan.options.spec import Count, Flag, Group, OptionSpec, Requirements, Text, Texts

NEEDED = "is of a fan-out; add --subscribers N, or --everyone and -c N"
FAN_OUT_ONLY: Requirements = {("subscribers", "everyone"): NEEDED}
FAN_OUT_OR_ROLES: Requirements = {("subscribers", "everyone", "scenario", "role"): NEEDED}
"""The same of options that a scenario has as well, by --scenario or by the roles of a plan file."""
_ONLY_MEASURED = "every session of a fan-out is a publisher or a subscriber that is measured"
NOT_IN_FAN_OUT: Mapping[str, str] = {
    "size": "a delivery is recognized by the {marker} in -m, and generated text has none",
    "ping": "a ping reaches the target alone, and no subscriber",
    "connection_stages": "who receives what is known in advance; let sessions leave and come back with --lifetime",
    "slow_readers": _ONLY_MEASURED,
    "stalled_readers": _ONLY_MEASURED,
    "no_pong_clients": _ONLY_MEASURED,
}
"""Options that no fan-out has, and why."""
FAN_OUT = (
    OptionSpec(
        name="subscribers",
        metavar="N",
        help="fan-out: N sessions that only receive, after their first messages, and whose deliveries are counted and"
        " timed",
        group=Group.FAN_OUT,
        parse=option_values.connections,
        excludes={
            "everyone": "there every session receives; say with -c how many there are",
            "connections": "a fan-out opens as many as --publishers and --subscribers say; leave -c out, or write"
            " --everyone instead of --subscribers, where each connection is both",
            **NOT_IN_FAN_OUT,
        },
        refused_by={
            "capacity --find connections": "a fan-out opens its subscribers and publishers; take --find subscribers, or"
            " --everyone, where each connection is both",
            "capacity --find subscribers": CHOSEN_BY_SEARCH,
        },
    ),
    OptionSpec(
        name="publishers",
        metavar="N",
        help="sessions that send -m on the schedule of --rate, all together",
        group=Group.FAN_OUT,
        parse=option_values.connections,
        default="1",
        excludes={"everyone": "there every session publishes; say with -c how many there are"},
        requires={("subscribers",): "is of a fan-out; add --subscribers N"},
    ),
    OptionSpec(
        name="everyone",
        metavar="",
        help="fan-out: each of the -c sessions publishes and receives",
        group=Group.FAN_OUT,
        parse=option_values.boolean,
        excludes=NOT_IN_FAN_OUT,
    ),
    OptionSpec(
        name="rooms",
        metavar="N|A,B,...",
        help="how many rooms there are, or their names: session i is in room i mod N, and {room} is its number or name",
        group=Group.FAN_OUT,
        parse=fan_out_values.rooms,
        default="1",
        requires=FAN_OUT_OR_ROLES,
    ),
    OptionSpec(
        name="marker",
        metavar="RULE",
        help="how a delivery is recognized: {marker}, anywhere in what comes, or json:PATH, msgpack:PATH, protobuf:1.3"
        " or regex:PATTERN, where {seq} of -m comes back; json:PATH=PATH where a delivery has it elsewhere",
        group=Group.FAN_OUT,
        parse=fan_out_values.marker_rule,
        default="{marker}",
        requires=FAN_OUT_ONLY,
    ),
    OptionSpec(
        name="self_delivery",
        metavar="WHETHER",
        help="whether a publisher receives its own message: expected, excluded or either",
        group=Group.FAN_OUT,
        parse=option_values.choice("either", "expected", "excluded"),
        default="either",
        requires={("everyone",): "publishers receive nothing that counts without --everyone"},
    ),
    OptionSpec(
        name="recovery",
        metavar="WHETHER",
        help="whether a session that comes back is sent what was published meanwhile: none or expected",
        group=Group.FAN_OUT,
        parse=option_values.choice("none", "expected"),
        default="none",
        requires=FAN_OUT_OR_ROLES,
    ),
    OptionSpec(
        name="timed",
        metavar="N|all",
        help="time the deliveries to N subscribers, evenly picked; those to the others are read as well, and counted",
        group=Group.FAN_OUT,
        parse=fan_out_values.timed,
        default="all",
        requires=FAN_OUT_OR_ROLES,
    ),
    OptionSpec(
        name="publish_url",
        metavar='"POST URL"',
        help="publish -m by HTTP requests there, from as many clients as there are publishers; fields are filled in",
        group=Group.FAN_OUT,
        parse=fan_out_values.publish_url,
        excludes={
            "everyone": "sessions that publish do not publish by HTTP",
            "match": "the response to a publish by HTTP is that of its request",
        },
        requires={("subscribers",): "is of a fan-out; add --subscribers N"},
    ),
    OptionSpec(
        name="publish_header",
        metavar='"NAME: VALUE"',
        help="add a header to these requests",
        group=Group.FAN_OUT,
        parse=fan_out_values.publish_headers,
        repeatable=True,
        requires={("publish_url",): 'there is no request; add --publish-url "POST URL"'},
    ),
)


class FanOutOptions(TypedDict, total=False):
    """Python types of these options."""

    subscribers: Count
    publishers: Count
    everyone: Flag
    rooms: int | str | Sequence[str] | None
    marker: Text
    self_delivery: Literal["either", "expected", "excluded"] | None
    recovery: Literal["none", "expected"] | None
    timed: Count
    publish_url: Text
    publish_header: Texts | Mapping[str, str]


def is_fan_out(values: Mapping[str, Any]) -> bool:
    """True if the options make a fan-out."""
    return "subscribers" in values or bool(values.get("everyone"))
