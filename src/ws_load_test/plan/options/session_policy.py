"""Builds the session policy of a plan from parsed option values: reconnects, and clients that misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.common.units import format_duration
from ws_load_test.plan.session_policy import MisbehavingClients, ReconnectPolicy

MAX_MISBEHAVING_SHARE = 0.9
"""Largest share of the connections that can misbehave: fewer than a tenth left would measure too little."""
MISBEHAVING = ("slow_readers", "stalled_readers", "no_pong_clients")


def read_reconnect(values: Mapping[str, Any], problems: list[OptionProblem]) -> ReconnectPolicy:
    """Returns the policy for lost sessions: where a storm cuts them off, they reconnect at once by default."""
    storm = values.get("disconnect")
    policy: ReconnectPolicy = values.get(
        "reconnect", ReconnectPolicy("now") if storm is not None else ReconnectPolicy()
    )
    if storm is not None and policy.policy == "none":
        problems.append(OptionProblem("--disconnect", "needs a --reconnect other than none, or no session comes back"))
    if storm is not None and "duration" in values and storm.at_ns >= values["duration"]:
        problems.append(OptionProblem("--disconnect", "comes after the end of the run; give it an earlier moment"))
    return policy


def check_commands_and_node(values: Mapping[str, Any], problems: list[OptionProblem]) -> None:
    """Finds commands whose instant the load does not reach, and a place of nodes at which none would be looked for."""
    node = values.get("node")
    if node is not None and node.in_messages and ("subscribers" in values or "everyone" in values):
        problems.append(OptionProblem("--node", "messages of a fan-out name no node; take header:NAME or cookie:NAME"))
    if "duration" not in values:
        return
    length_ns = values["duration"] + values.get("warmup", 0)
    late = [one for one in values.get("run_at", ()) if one.at_ns >= length_ns]
    if late:
        text = f"{format_duration(late[0].at_ns)} is not before the end of the load, {format_duration(length_ns)}"
        problems.append(OptionProblem("--run-at", f"{text}; make the run longer, or the time shorter"))


def read_misbehaving(
    values: Mapping[str, Any], connections: int, problems: list[OptionProblem]
) -> MisbehavingClients | None:
    """Returns the shares of connections that misbehave; None without any."""
    given = [name for name in MISBEHAVING if name in values]
    if not given:
        return None
    slow_share, bytes_per_s = values.get("slow_readers", (0.0, 0.0))
    misbehaving = MisbehavingClients(
        slow_reader=slow_share,
        slow_reader_bytes_per_s=bytes_per_s,
        stalled_reader=values.get("stalled_readers", 0.0),
        no_pong=values.get("no_pong_clients", 0.0),
    )
    share = misbehaving.slow_reader + misbehaving.stalled_reader + misbehaving.no_pong
    if share > MAX_MISBEHAVING_SHARE or len(misbehaving.assign(connections)) >= connections:
        text = f"too few of the connections (-c {connections}) are left healthy to be measured; add some"
        problems.append(OptionProblem(option_name(given[0]), text))
    return misbehaving
