"""Command line that repeats a run, made from its plan: options of the catalogue, and their values as users write them.

`read_plan` of these options is the same plan. Of a plan without secrets (`Plan.redacted`), ``***`` stands in the place
of each secret and of the contents of messages, which no recording has.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.units import LONGEST_NS
from ws_load_test.common.version import PROGRAM
from ws_load_test.messages import DEFAULT_PAYLOAD, SetupMessage
from ws_load_test.messages.trace_context import DEFAULT_TRACE_SHARE
from ws_load_test.plan.fan_out import FanOut, MarkerRule
from ws_load_test.plan.option_texts import (
    write_addresses,
    write_duration,
    write_number,
    write_share,
    write_size,
    write_value,
)
from ws_load_test.plan.options.catalog import BY_NAME, RUN_OPTIONS
from ws_load_test.plan.options.scenario.excluded import EXCLUDED
from ws_load_test.plan.options.scenario.one_role import only_python_role
from ws_load_test.plan.options.spec import Owner
from ws_load_test.plan.redaction import REDACTED
from ws_load_test.websocket.deflate_negotiation import DEFAULT_OFFER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.session_policy import ReconnectPolicy

Written = str | list[str] | bool
"""Value of an option on a command line: a text, several, or True for a flag."""
UNKNOWN_FILE = "@FILE"
"""Place of a file with the contents of a message, whose name a plan does not have."""
PLAN_FILE = "FILE"
"""Place of the plan file with the roles of a scenario, which a recording has without the contents of messages."""
_RATHER_SHORT = frozenset({"connections", "rate", "duration", "messages", "message", "header", "workers"})
"""Options that are written with their letter."""


def command_line(plan: Plan, *, with_workers: bool = True) -> str:
    """Returns the command line of a plan, quoted for a POSIX shell.

    Args:
        plan: The plan; ``plan.redacted()`` where others are to read it.
        with_workers: False where the workers were those of a cluster, whose hosts have their own number of them.
    """
    written = options_of(plan)
    if not with_workers:
        del written["workers"]
    urls = written.pop("url")
    words = [PROGRAM, *(urls if isinstance(urls, list) else [str(urls)])]
    if plan.scenario is not None and "scenario" not in written:
        # No option has what the roles do.
        words += ["--plan", PLAN_FILE]
    for name, value in written.items():
        words += _words(name, value)
    return shlex.join(words)


def options_of(plan: Plan) -> dict[str, Written]:
    """Returns the options of a plan by their names in the catalogue, in its order, without those at their defaults."""
    found: dict[str, Written] = {"url": list(plan.target.urls)}
    found |= dict(_load(plan))
    found |= dict(_messages(plan))
    found |= dict(_fan_out(plan))
    found |= dict(_sessions(plan))
    found |= dict(_plain_fields(plan))
    # Written by their own rules, although they are fields.
    found |= dict(_target(plan))
    if plan.scenario is not None:
        # Of the steps that send and the role that receives, which the plan file names.
        found = {name: value for name, value in found.items() if name not in EXCLUDED}
        found |= dict(_scenario(plan))
    return {option.name: found[option.name] for option in RUN_OPTIONS if option.name in found}


def _words(name: str, value: Written) -> Iterator[str]:
    option = BY_NAME[name]
    flag = f"-{option.short}" if name in _RATHER_SHORT else option.flag
    if value is True:
        yield flag
        return
    for text in value if isinstance(value, list) else [str(value)]:
        if text.startswith("-") and not option.may_begin_with_hyphen:
            yield f"{option.flag}={text}"
        else:
            yield from (flag, text)


def _plain_fields(plan: Plan) -> Iterator[tuple[str, Written]]:
    """Yields the options that name a field of the plan, where its value is not the default."""
    for option in RUN_OPTIONS:
        if option.owner is not Owner.PLAN or not option.field:
            continue
        *parts, name = option.field.split(".")
        holder: Any = plan
        for part in parts:
            holder = getattr(holder, part, None)
        if holder is None:
            continue
        value = getattr(holder, name)
        if value != _defaults(type(holder))[name]:
            yield option.name, write_value(value, name)


_DEFAULTS: dict[type[msgspec.Struct], dict[str, Any]] = {}


def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Returns the defaults of a struct's fields; kept, because looking them up takes 2 ms."""
    if kind not in _DEFAULTS:
        _DEFAULTS[kind] = {one.name: one.default for one in msgspec.structs.fields(kind)}
    return _DEFAULTS[kind]


def _target(plan: Plan) -> Iterator[tuple[str, Written]]:
    target = plan.target
    if target.proxy_environment is not None:
        yield "proxy", "env"
    elif target.proxy is not None:
        # The user info of a redacted URL is one word, and SOCKS takes two.
        yield "proxy", target.proxy.replace(f"://{REDACTED}@", f"://{REDACTED}:{REDACTED}@")
    if target.headers:
        yield "header", [f"{name}: {value}" for name, value in target.headers]
    if target.user == REDACTED:
        yield "user", f"{REDACTED}:{REDACTED}"
    if target.deflate == DEFAULT_OFFER:
        yield "deflate", "on"
    if plan.bind:
        yield "bind", write_addresses(plan.bind)


def _load(plan: Plan) -> Iterator[tuple[str, Written]]:
    # A fan-out has as many as its publishers and subscribers, but for one in which each session is both.
    if plan.connection_profile is None and (plan.fan_out is None or plan.fan_out.everyone):
        yield "connections", str(plan.connections)
    stages_end = False
    # Fields of a load that have the names of options.
    for field in msgspec.structs.fields(type(plan.load)):
        value = getattr(plan.load, field.name)
        is_needed = plan.load.has_random_arrivals if field.name == "seed" else value != field.default
        if field.name in BY_NAME and field.name != "rate" and is_needed:
            yield field.name, write_value(value, field.name)
    if plan.load.requested_rate is not None:
        first, *more = plan.load.requested_rate.stages
        length_ns = LONGEST_NS if plan.duration_ns is None else plan.duration_ns + plan.warmup_ns
        stages_end = bool(more) or first.start != first.end or first.duration_ns != length_ns
        if stages_end:
            yield "stages", str(write_value(plan.load.requested_rate, "stages"))
        else:
            yield "rate", write_number(first.end)
    if plan.duration_ns is not None and not stages_end:
        yield "duration", write_duration(plan.duration_ns)
    if plan.connect_rate_per_s:
        yield _opening(plan.connections, plan.connect_rate_per_s)
    yield "workers", str(plan.workers)


def _opening(connections: int, per_s: float) -> tuple[str, str]:
    """Returns the rate of opening, or the time that it is written with more briefly."""
    ramp_ns = round(connections * 1e9 / per_s)
    if not per_s.is_integer() and ramp_ns and connections * 1e9 / ramp_ns == per_s:
        return "ramp", write_duration(ramp_ns)
    return "connect_rate", write_number(per_s)


def _messages(plan: Plan) -> Iterator[tuple[str, Written]]:
    message = plan.message
    if message.kind != "text":
        yield message.kind, True
    if message.sizes is not None:
        sizes = message.sizes
        first, second = write_size(sizes.first_bytes), write_size(sizes.second_bytes)
        forms = {"uniform": f"{first}..{second}", "normal": f"normal:{first},{second}", "exponential": f"exp:{first}"}
        yield "size", forms[sizes.shape]
    elif message.generated:
        yield "size", write_size(message.size_bytes)
    elif message.weights or message.payload != DEFAULT_PAYLOAD:
        # A recording has none of the contents, and the number of them as the number of their weights.
        hidden = not message.payload and (message.size_bytes or message.weights)
        payloads = (message.payload, *message.alternatives)
        fields = message.is_template or (False,) * len(payloads)
        given = [
            _text(one, as_is=message.kind == "binary" and not varies)
            for one, varies in zip(payloads, fields, strict=False)
        ]
        yield "message", [REDACTED] * (len(message.weights) or 1) if hidden else given
    if len(set(message.weights)) > 1:
        yield "weights", ",".join(map(str, message.weights))
    if message.feed is not None:
        yield "feed", message.feed.path
        if message.feed.order != "round-robin":
            yield "feed_order", message.feed.order
    yield from _beside_messages(plan)


def _beside_messages(plan: Plan) -> Iterator[tuple[str, Written]]:
    """Yields the share of traces, the first messages and the rule of matching."""
    message = plan.message
    if message.trace_share is not None and message.trace_share != DEFAULT_TRACE_SHARE:
        yield "trace", write_share(message.trace_share) if message.trace_share else "0"
    if plan.setup_messages:
        hidden_one = SetupMessage()
        yield "first_message", [REDACTED if one == hidden_one else _text(one.payload) for one in plan.setup_messages]
    rule, selector = plan.correlation.rule, plan.correlation.selector
    if rule != _usual_rule(plan):
        yield "match", f"{rule}:{selector}" if selector else rule


def _usual_rule(plan: Plan) -> str:
    """Returns the rule of matching without an option."""
    if plan.message.kind == "ping":
        return "ping"
    return "none" if plan.fan_out is not None and plan.fan_out.publish is None else "order"


def _fan_out(plan: Plan) -> Iterator[tuple[str, Written]]:
    fan_out = plan.fan_out
    if fan_out is None:
        return
    if not fan_out.everyone:
        yield "subscribers", str(fan_out.subscribers)
    # Fields that have the names of options.
    for field in msgspec.structs.fields(FanOut):
        value = getattr(fan_out, field.name)
        counted = field.name == "subscribers" or (field.name == "publishers" and fan_out.everyone)
        if field.name in BY_NAME and value != field.default and not counted:
            yield field.name, str(value) if isinstance(value, MarkerRule) else write_value(value, field.name)
    rooms = fan_out.rooms
    if len(rooms) > 1 or rooms != ("0",):
        yield "rooms", _rooms(rooms)
    if fan_out.publish is not None:
        yield "publish_url", f"{fan_out.publish.method} {fan_out.publish.url}"
        if fan_out.publish.headers:
            yield "publish_header", [f"{name}: {value}" for name, value in fan_out.publish.headers]


def _scenario(plan: Plan) -> Iterator[tuple[str, Written]]:
    """Yields the options of a scenario: those that its plan file may have otherwise, and that of a role alone."""
    if plan.scenario is None:
        return
    yield "connections", str(plan.connections)
    if plan.scenario.rooms:
        yield "rooms", _rooms(plan.scenario.rooms)
    role = only_python_role(plan)
    if role is None:
        return
    yield "scenario", role.python
    if role.rate_per_s is not None:
        yield "rate", write_number(role.rate_per_s)


def _rooms(rooms: tuple[str, ...]) -> str:
    return str(len(rooms)) if rooms == tuple(map(str, range(len(rooms)))) else ",".join(rooms)


def _text(payload: bytes, *, as_is: bool = False) -> str:
    """Returns the contents of a message as an option has them, or the place of their file where no option can.

    Args:
        payload: The contents.
        as_is: True where they are sent as they are, while an option's braces are fields.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return UNKNOWN_FILE
    return UNKNOWN_FILE if text.startswith("@") or "\0" in text or (as_is and "{" in text) else text


def _sessions(plan: Plan) -> Iterator[tuple[str, Written]]:
    if plan.reconnect.policy != "none":
        yield "reconnect", _reconnect(plan.reconnect)
    if (clients := plan.misbehaving) is not None:
        if clients.slow_reader:
            speed = write_size(round(clients.slow_reader_bytes_per_s))
            yield "slow_readers", f"{write_share(clients.slow_reader)}:{speed}/s"
        if clients.stalled_reader:
            yield "stalled_readers", write_share(clients.stalled_reader)
        if clients.no_pong:
            yield "no_pong_clients", write_share(clients.no_pong)
    for name, conditions in (("fail_if", plan.fail_if), ("slo", plan.slo), ("abort_if", plan.abort_if)):
        if conditions:
            yield name, list(conditions)


def _reconnect(policy: ReconnectPolicy) -> str:
    if policy.policy == "exponential":
        return f"exponential:{write_duration(policy.delay_ns)}..{write_duration(policy.max_delay_ns)}"
    return write_duration(policy.delay_ns) if policy.policy == "delay" else policy.policy
