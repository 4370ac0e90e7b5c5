"""Warnings about a plan: conditions that its run can hardly satisfy or have a value for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.common.errors import option_name
from ws_load_test.common.units import format_count, format_duration
from ws_load_test.messages.fields import RoomName
from ws_load_test.metrics.catalog import CONDITION_METRICS
from ws_load_test.plan.scenario.condition_parts import why_part_uncounted
from ws_load_test.plan.thresholds import (
    ConditionMetric,
    is_of_scenario,
    needs_replies,
    parse_condition,
    why_not_of_plan,
)

if TYPE_CHECKING:
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.target import Target


PER_MESSAGE_TIMES = ("response", "service", "send_lag", "first", "gap")
"""Times that are measured once per message."""


def threshold_warnings(plan: Plan) -> tuple[str, ...]:
    """Returns a sentence for each condition that the run can hardly satisfy or have a value for."""
    found: dict[str, None] = {}
    for name, texts in (("fail_if", plan.fail_if), ("slo", plan.slo), ("abort_if", plan.abort_if)):
        for text in texts:
            lack = why_unavailable(parse_condition(text).metric, plan)
            if lack:
                found[f'{option_name(name)}: "{text}" fails, because {lack}'] = None
    length_ns = plan.duration_ns
    if plan.abort_if and length_ns is not None and plan.abort_grace_ns >= length_ns:
        grace, length = format_duration(plan.abort_grace_ns), format_duration(length_ns)
        found[f"--abort-if: stops nothing, because it looks only after {grace} and the run takes {length}"] = None
    return tuple(found)


def room_warnings(plan: Plan) -> tuple[str, ...]:
    """Returns a sentence where a publisher sends to several rooms from a session that the URL puts into one of them."""
    fan_out = plan.fan_out
    if fan_out is None or fan_out.publish is not None or fan_out.publishers >= len(fan_out.rooms):
        return ()
    if not any(f"{{{RoomName.name}}}" in url for url in plan.target.urls):
        return ()
    rooms = format_count(len(fan_out.rooms))
    few = "1 publisher sends" if fan_out.publishers == 1 else f"{format_count(fan_out.publishers)} publishers send"
    text = f"{few} to {rooms} rooms in turn, and the URL names one room for each session: deliveries are missing where"
    return (f"--publishers: {text} the target takes a message's room from the URL; take --publishers {rooms}",)


def why_unavailable(metric: ConditionMetric, plan: Plan) -> str:
    """Returns the reason why a metric will have no value; empty if it can have one."""
    return _lack_of_replies(metric, plan) or _lack_of_phases(metric, plan, plan.target) or why_uncounted(metric, plan)


def why_uncounted(metric: ConditionMetric, plan: Plan) -> str:
    """Returns the reason why nothing would count what a metric is about; empty where something does."""
    if lack := why_not_of_plan(metric, fan_out=plan.has_deliveries):
        return lack
    if is_of_scenario(metric):
        return why_part_uncounted(metric, plan.scenario)
    spec = CONDITION_METRICS[metric.name]
    if spec.needs_scenario and plan.scenario is None:
        return "only a scenario sends messages to which no reply is awaited"
    if plan.correlation.stream is None and not _has_streamed_steps(plan):
        if metric.name == "first":
            lack = "a message has one answer without --until, and no delivery without --subscribers"
            return "" if plan.has_deliveries else lack
        if spec.needs_stream:
            return "an answer is one message without --until"
    if plan.has_deliveries and metric.name == "out_of_order":
        # That of deliveries is always known.
        return ""
    if spec.needs_ids and not plan.correlation.by_id:
        return "no reply has an id by which it would show; match them by their id with --match"
    if metric.name != "faults" or plan.scenario is not None:
        return ""
    # Other faults that cannot happen are none in truth; of replies that are not checked, nothing is known.
    correlation = plan.correlation
    lacks = {
        "check-failed": "" if correlation.expect or correlation.expect_first else "there is no --expect",
        "check-failed:first-reply": "" if correlation.expect_first else "there is no --expect-first",
    }
    return lacks.get(metric.statistic, "")


def _has_streamed_steps(plan: Plan) -> bool:
    roles = () if plan.scenario is None else plan.scenario.roles
    return any(step.until for role in roles for step in role.steps)


def _lack_of_replies(metric: ConditionMetric, plan: Plan) -> str:
    if plan.correlation.rule != "none" or not needs_replies(metric):
        return ""
    if plan.fan_out is not None:
        return "no acknowledgement is awaited without --match; delivery.p99 and the like are of deliveries"
    return "no reply is awaited with --match none"


def _lack_of_phases(metric: ConditionMetric, plan: Plan, target: Target) -> str:
    if metric.name == "nodes.skew" and plan.node is None:
        return "no session shows its node without --node"
    if metric.kind != "time":
        return ""
    if metric.name in PER_MESSAGE_TIMES and not plan.load.sends_messages:
        return "no message is sent at --rate 0"
    lacks = {
        "tls": "" if target.secure or target.follow_redirects else "the target is ws://, without TLS",
        "proxy": "" if target.proxies else "there is no --proxy",
        "first_reply": _lack_of_first_replies(plan),
        "keepalive": "" if plan.ping_interval_ns else "there is no --ping-interval",
        "reconnect": "" if plan.reconnect.policy != "none" else "no session is dialled again without --reconnect",
    }
    return lacks.get(metric.name, "")


def _lack_of_first_replies(plan: Plan) -> str:
    if not plan.setup_messages:
        return "there is no --first-message"
    if len(plan.setup_messages) == 1 and plan.correlation.first_wait_ns is not None:
        return "the only first message is not answered (--first-wait)"
    return ""
