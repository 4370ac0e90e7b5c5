"""Words for a plan: what `--explain` prints, and what reports show of a run's options. Secrets are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.units import format_bytes, format_count, format_duration, format_rate, format_share
from ws_load_test.plan.plan import DEFAULT_MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ws_load_test.plan.fan_out import FanOut
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.scenario.model import Scenario

Line = tuple[str, str]
"""A label and a phrase."""


def describe_plan(plan: Plan) -> list[Line]:
    """Returns one line for each part of the plan that is in use."""
    name = [("name", plan.name)] if plan.name else []
    return [*name, *plan.target.describe(), *_load_lines(plan), *_session_lines(plan), *_threshold_lines(plan)]


def _load_lines(plan: Plan) -> Iterator[Line]:
    yield "connections", _connections(plan)
    if plan.scenario is not None:
        yield from _scenario_lines(plan, plan.scenario)
        return
    yield "load", plan.load.describe()
    if plan.fan_out is not None:
        yield from _fan_out_lines(plan, plan.fan_out)
    yield "message", plan.message.describe()
    yield "replies", plan.correlation.describe()
    yield from _limit_lines(plan)


def _limit_lines(plan: Plan) -> Iterator[Line]:
    yield "length", _length(plan)
    reply, connect = format_duration(plan.timeout_ns), format_duration(plan.connect_timeout_ns)
    whole = "" if plan.open_timeout_ns is None else f", {format_duration(plan.open_timeout_ns)} to open all"
    yield "timeouts", f"{reply} for a reply, {connect} to open{whole}"
    if plan.max_message_bytes != DEFAULT_MAX_MESSAGE_BYTES:
        yield "takes", f"messages of at most {format_bytes(plan.max_message_bytes)}"
    yield "workers", f"{plan.workers} {'process' if plan.workers == 1 else 'processes'}"
    if plan.ping_interval_ns is not None:
        yield "keep-alive", f"a ping on each connection every {format_duration(plan.ping_interval_ns)}"
    if plan.bind:
        yield "bind", f"{plan.bind[0]} and {len(plan.bind) - 1} more" if plan.bind[1:] else plan.bind[0]


def _scenario_lines(plan: Plan, scenario: Scenario) -> Iterator[Line]:
    roles = [f"{format_count(role.sessions)} {role.name}" for role in scenario.roles]
    yield "roles", f"{', '.join(roles)} sessions"
    if scenario.protocol:
        yield "protocol", scenario.protocol
    if len(scenario.rooms) > 1:
        yield "rooms", format_count(len(scenario.rooms))
    if scenario.audience:
        words = f"to the {scenario.audience} sessions{' of the same room' if len(scenario.rooms) > 1 else ''}"
        if scenario.recovery == "expected":
            words += "; what was missed while away must come as well"
        if scenario.timed is not None:
            words += f"; those to {format_count(scenario.timed)} of them are timed"
        yield "deliveries", words
    yield from _limit_lines(plan)


def _fan_out_lines(plan: Plan, fan_out: FanOut) -> Iterator[Line]:
    rooms, per_s = len(fan_out.rooms), plan.load.peak_per_s
    yield "fan-out", fan_out.describe()
    words = f"each {format_rate(per_s / fan_out.publishers)}" if fan_out.publishers > 1 else format_rate(per_s)
    if rooms > fan_out.publishers:
        words += ", to the rooms in turn"
    elif rooms > 1:
        words += ", to its room"
    if fan_out.publish is not None:
        publish = fan_out.publish.redacted()
        words += f", by {publish.method} {publish.url}, one request in flight"
        words += f" ({'; '.join(f'{name}: {value}' for name, value in publish.headers)})" * bool(publish.headers)
    rate = plan.load.requested_rate
    amounts = {amount for stage in (rate.stages if rate else ()) for amount in (stage.start, stage.end)}
    at_most = "at most " * (len(amounts) > 1)
    yield "publishes", at_most + words
    audience = f"{fan_out.mean_audience:.3g}" if fan_out.mean_audience % 1 else format_count(fan_out.mean_audience)
    words = f"{at_most}{format_count(fan_out.deliveries_per_s(per_s))} a second expected, of each message {audience}"
    own = {"expected": "; its publisher receives it too", "excluded": "; its publisher must not receive it"}
    words += own.get(fan_out.self_delivery, "") * fan_out.reaches_publishers
    if fan_out.recovery == "expected":
        words += "; what was missed while away must come as well"
    yield "deliveries", f"{words}; recognized by {fan_out.marker}"
    if fan_out.timed is not None and fan_out.timed < fan_out.subscribers:
        yield "timed", f"those to {format_count(fan_out.timed)} subscribers; those to the others are counted"
    needed = fan_out.accounting_bytes(per_s, plan.timeout_ns) / plan.workers
    yield "memory", f"{format_bytes(needed)} in each worker for deliveries that can still come"


def _connections(plan: Plan) -> str:
    if plan.connection_profile is not None:
        return plan.connection_profile.describe(format_count)
    if plan.connect_rate_per_s is None:
        return f"{format_count(plan.connections)}, opened as fast as the target takes them"
    last_ns = (plan.connections - 1) * 1e9 / plan.connect_rate_per_s
    rate = format_rate(plan.connect_rate_per_s)
    return f"{format_count(plan.connections)}, opened at {rate}, the last after {format_duration(last_ns)}"


def _length(plan: Plan) -> str:
    length = (
        format_duration(plan.duration_ns)
        if plan.duration_ns is not None
        else f"{format_count(plan.messages or 0)} messages in all"
    )
    if plan.warmup_ns:
        length += f", after a warm-up of {format_duration(plan.warmup_ns)} that is not counted"
    return length


def _session_lines(plan: Plan) -> Iterator[Line]:
    if plan.setup_messages:
        yield "first", _first_messages(plan)
    if plan.message.trace_share is not None:
        yield "traces", f"{100 * plan.message.trace_share:g} % of the trace contexts ask the target for a trace"
    if plan.message.feed is not None:
        yield "feed", plan.message.feed.describe()
    if plan.reconnect.policy != "none":
        yield "lost", plan.reconnect.describe()
    if plan.lifetime_ns is not None:
        yield "lifetime", f"{format_duration(plan.lifetime_ns)}, then closed and another opened instead"
    if plan.disconnect_storm is not None:
        at = format_duration(plan.disconnect_storm.at_ns)
        yield "storm", f"{format_share(plan.disconnect_storm.share)} of the connections are cut off after {at}"
    if plan.node is not None:
        yield "nodes", f"told apart by {plan.node}"
    for number, command in enumerate(plan.commands):
        yield "" if number else "runs", command.describe()
    if plan.misbehaving is not None:
        yield "misbehaving", plan.misbehaving.describe()


def _first_messages(plan: Plan) -> str:
    count, wait_ns = len(plan.setup_messages), plan.correlation.first_wait_ns
    words = "are sent, each after a reply" if count > 1 else "is sent and its reply awaited"
    if wait_ns is None:
        return f"{format_count(count)} {words} before the load"
    words = "are sent, each after a reply," if count > 1 else "is sent"
    last = "the last of them is not answered" if count > 1 else "it is not answered"
    return f"{format_count(count)} {words} before the load, which waits {format_duration(wait_ns)}, as {last}"


def _threshold_lines(plan: Plan) -> Iterator[Line]:
    if plan.fail_if:
        yield "fails if", " or ".join(plan.fail_if)
    if plan.slo:
        yield "must hold", " and ".join(plan.slo)
    if plan.abort_if:
        yield "aborts if", f"{' or '.join(plan.abort_if)}, after {format_duration(plan.abort_grace_ns)}"
