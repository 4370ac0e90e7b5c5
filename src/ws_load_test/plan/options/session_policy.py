"""From options to the conduct of sessions: coming back, leaving, storms, unkind clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ws_load_test.common.errors import OptionProblem
from ws_load_test.common.units import parse_bytes
from ws_load_test.plan import values as option_values
from ws_load_test.plan.session_policy import (
    BACKOFF_BASE_NS,
    BACKOFF_LONGEST_NS,
    DisconnectStorm,
    MisbehavingClients,
    ReconnectPolicy,
)

MAX_MISBEHAVING_SHARE = 0.9
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", re.ASCII)


def share(value: Any) -> float:
    """A part of all connections: ``5%`` or ``0.05``."""
    found = _SHARE.fullmatch(str(value).strip())
    part = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < part <= 1:
        raise ValueError(f'"{value}" is not a share; write for example 5% or 0.05')
    return part


def slow_reader(value: Any) -> tuple[float, float]:
    """``5%:1kB/s``: which share, and how fast it reads."""
    part, colon, speed = str(value).partition(":")
    amount, slash, period = speed.partition("/")
    if not colon or (slash and period.strip() != "s"):
        raise ValueError(f'"{value}" names no speed; write for example 5%:1kB/s')
    bytes_per_s = parse_bytes(amount)
    if not bytes_per_s:
        raise ValueError("0 B/s is not slow but deaf; did you mean --stalled-readers?")
    return share(part), float(bytes_per_s)


def disconnect_storm(value: Any) -> DisconnectStorm:
    """``30%@10s``: which share is cut off, and when."""
    part, mark, moment = str(value).partition("@")
    if not mark:
        raise ValueError(f'"{value}" names no moment; write for example 30%@10s')
    return DisconnectStorm(share(part), option_values.duration(moment))


def reconnect(value: Any) -> ReconnectPolicy:
    """``none``, ``now``, a delay, or ``exponential`` with its bounds."""
    text = str(value).strip()
    if text in {"none", "now"}:
        return ReconnectPolicy("none" if text == "none" else "now")
    kind, colon, bounds = text.partition(":")
    if kind == "exponential":
        first, dots, longest = bounds.partition("..")
        if colon and not dots:
            raise ValueError(f'"{text}" names no bounds; write for example exponential:100ms..30s')
        base_ns, longest_ns = (
            (option_values.positive_duration(first), option_values.positive_duration(longest))
            if colon
            else (BACKOFF_BASE_NS, BACKOFF_LONGEST_NS)
        )
        if longest_ns < base_ns:
            raise ValueError(f"the longest wait, {longest}, is shorter than the first, {first}")
        return ReconnectPolicy("exponential", base_ns, longest_ns)
    try:
        delay_ns = option_values.positive_duration(text)
    except ValueError:
        raise ValueError(f'"{text}" is no policy; write none, now, a delay such as 1s, or exponential') from None
    return ReconnectPolicy("delay", delay_ns)


PARSERS: dict[str, Callable[[Any], Any]] = {
    "reconnect": reconnect,
    "lifetime": option_values.positive_duration,
    "disconnect": disconnect_storm,
    "slow_readers": slow_reader,
    "stalled_readers": share,
    "no_pong_clients": share,
}


def read_reconnect(values: Mapping[str, Any], problems: list[OptionProblem]) -> ReconnectPolicy:
    """What becomes of lost sessions; those that a storm cuts off come back at once unless the options say otherwise."""
    storms = values.get("disconnect")
    policy: ReconnectPolicy = values.get(
        "reconnect", ReconnectPolicy("now") if storms is not None else ReconnectPolicy()
    )
    if storms is not None and policy.policy == "none":
        problems.append(OptionProblem("--disconnect", "needs a --reconnect other than none, or nobody comes back"))
    if storms is not None and "duration" in values and storms.at_ns >= values["duration"]:
        problems.append(OptionProblem("--disconnect", "comes after the end of the run; give it an earlier moment"))
    problems.extend(
        OptionProblem(
            f"--{name.replace('_', '-')}", "cannot stand beside --connection-stages, which say who is connected"
        )
        for name in ("reconnect", "lifetime", "disconnect")
        if name in values and "connection_stages" in values
    )
    return policy


def read_misbehaving(
    values: Mapping[str, Any], connections: int, problems: list[OptionProblem]
) -> MisbehavingClients | None:
    """Which connections behave badly; None where none does."""
    if not {"slow_readers", "stalled_readers", "no_pong_clients"} & values.keys():
        return None
    slow_share, bytes_per_s = values.get("slow_readers", (0.0, 0.0))
    unkind = MisbehavingClients(
        slow_reader=slow_share,
        slow_reader_bytes_per_s=bytes_per_s,
        stalled_reader=values.get("stalled_readers", 0.0),
        no_pong=values.get("no_pong_clients", 0.0),
    )
    if (
        unkind.slow_reader + unkind.stalled_reader + unkind.no_pong > MAX_MISBEHAVING_SHARE
        or len(unkind.assign(connections)) >= connections
    ):
        option = next(
            f"--{name.replace('_', '-')}"
            for name in ("slow_readers", "stalled_readers", "no_pong_clients")
            if name in values
        )
        problems.append(
            OptionProblem(
                option, f"too few of the connections (-c {connections}) are left healthy to be measured; add some"
            )
        )
    return unkind
