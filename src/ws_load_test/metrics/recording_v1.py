"""Recordings of format 1, read as if they were of the current format: only names differ."""

from __future__ import annotations

import re
from typing import Any

TALLY_FIELDS = {
    "called_off": "cancelled",
    "reopened": "reconnected",
    "renewed": "recycled",
    "surplus": "surplus_replies",
    "duplicates": "duplicate_replies",
    "late": "late_replies",
    "mismatched": "unknown_id",
    "skipped": "greetings",
    "answered_in_time": "answered_in_window",
    "plain_bytes_sent": "uncompressed_bytes_sent",
    "plain_bytes_received": "uncompressed_bytes_received",
    "reopen_time_ns": "reconnect_time_ns",
    "storm_dropped": "storm_disconnected",
    "storm_back_time_ns": "storm_recovery_time_ns",
    "unkind": "misbehaving",
}
PLAN_FIELDS = {
    "first_messages": "setup_messages",
    "matching": "correlation",
    "connection_shape": "connection_profile",
    "keepalive_ns": "ping_interval_ns",
    "storm": "disconnect_storm",
    "unkind": "misbehaving",
    "abort_after_ns": "abort_grace_ns",
    "doubts": "warnings",
}
MISBEHAVING_FIELDS = {
    "slow": "slow_reader",
    "slow_bytes_per_s": "slow_reader_bytes_per_s",
    "deaf": "stalled_reader",
    "mute": "no_pong",
}
CORRELATION_FIELDS = {
    "where": "selector",
    "answers": "auto_replies",
    "skip_first": "greetings",
    "strict": "check_utf8",
}
MESSAGE_FIELDS = {"others": "alternatives", "templated": "is_template"}
CONDITION_NAMES = {
    "late": "late_replies",
    "duplicates": "duplicate_replies",
    "mismatched": "unknown_id",
    "skipped": "greetings",
    "reopened": "reconnected",
    "renewed": "recycled",
    "called_off": "cancelled",
    "storm_dropped": "storm_disconnected",
    "reopen": "reconnect",
}
"""Metrics of ``--fail-if`` and ``--abort-if``; the fault ``mismatch`` is ``check-failed``."""
_METRIC = re.compile(rf"(?<![\w.-])({'|'.join(CONDITION_NAMES)})(?![\w-])")


def upgrade_header(header: dict[str, Any]) -> dict[str, Any]:
    """Returns a header of format 1 with the names of the current format."""
    plan = header.get("plan")
    return {**header, "plan": upgrade_plan(plan)} if isinstance(plan, dict) else header


def upgrade_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Returns the plan of a format 1 header with the names of the current format."""
    plan = _renamed(plan, PLAN_FIELDS)
    for field, names in (
        ("misbehaving", MISBEHAVING_FIELDS),
        ("message", MESSAGE_FIELDS),
        ("target", {"more_urls": "extra_urls"}),
        ("reconnect", {"longest_ns": "max_delay_ns"}),
        ("correlation", CORRELATION_FIELDS),
    ):
        if isinstance(plan.get(field), dict):
            plan[field] = _renamed(plan[field], names)
    correlation = plan.get("correlation")
    if isinstance(correlation, dict):
        for field in ("expect", "expect_first", "ignore"):
            if isinstance(correlation.get(field), list):
                correlation[field] = [_check(one) for one in correlation[field]]
        if isinstance(correlation.get("auto_replies"), list):
            correlation["auto_replies"] = [
                {**one, "check": _check(one.get("check"))} if isinstance(one, dict) else one
                for one in correlation["auto_replies"]
            ]
    if isinstance(plan.get("setup_messages"), list):
        plan["setup_messages"] = [
            _renamed(one, MESSAGE_FIELDS) if isinstance(one, dict) else one for one in plan["setup_messages"]
        ]
    for field in ("fail_if", "abort_if"):
        if isinstance(plan.get(field), list):
            plan[field] = [upgrade_condition(one) if isinstance(one, str) else one for one in plan[field]]
    return plan


def upgrade_condition(condition: str) -> str:
    """Returns a condition of format 1 with the current names of its metric and fault."""
    return _METRIC.sub(lambda found: CONDITION_NAMES[found[1]], condition).replace(
        "faults.mismatch", "faults.check-failed"
    )


def upgrade_line(line: dict[str, Any]) -> dict[str, Any]:
    """Returns an interval or trailer of format 1 with the names of the current format."""
    line = _renamed(line, {"examples": "fault_examples"})
    if isinstance(line.get("fault_examples"), dict):
        line["fault_examples"] = upgrade_faults(line["fault_examples"])
    if isinstance(line.get("tally"), dict):
        line["tally"] = upgrade_tally(line["tally"])
    if isinstance(line.get("hosts"), list):
        line["hosts"] = [
            {**host, "tally": upgrade_tally(host["tally"])}
            if isinstance(host, dict) and isinstance(host.get("tally"), dict)
            else host
            for host in line["hosts"]
        ]
    if isinstance(line.get("aborted"), list):
        line["aborted"] = [
            {**one, "condition": upgrade_condition(one["condition"])}
            if isinstance(one, dict) and isinstance(one.get("condition"), str)
            else one
            for one in line["aborted"]
        ]
    return line


def upgrade_tally(tally: dict[str, Any]) -> dict[str, Any]:
    """Returns an encoded tally of format 1 with the names of the current format."""
    tally = _renamed(tally, TALLY_FIELDS)
    if isinstance(tally.get("faults"), dict):
        tally["faults"] = upgrade_faults(tally["faults"])
    if isinstance(tally.get("misbehaving"), dict):
        tally["misbehaving"] = upgrade_tally(tally["misbehaving"])
    return tally


def upgrade_faults(faults: dict[str, Any]) -> dict[str, Any]:
    """Returns a mapping by fault in which ``mismatch`` is ``check-failed``."""
    return {"check-failed" if kind == "mismatch" else kind: value for kind, value in faults.items()}


def _check(check: Any) -> Any:
    return _renamed(check, {"what": "operand"}) if isinstance(check, dict) else check


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
